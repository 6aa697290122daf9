/* tape.h: reverse-mode gradients of a graph. Forward keeps what the gradients will read; backward
 * goes through the nodes from the last to the first, and passes by those that lead to nothing that
 * is wanted. Memory is planned once: neither allocates. Clamps are computed with what stands before
 * them, views and sums of gradients move nothing. The same bytes for any number of threads. */
#ifndef SQZ_TAPE_H
#define SQZ_TAPE_H
#include "ir/op.h"

typedef struct sqz_tape sqz_tape;
typedef struct sqz_tape_options {
    const sqz_vid *want; /* inputs and constants whose gradients are wanted; such constants begin
                            with the numbers of the graph and may be changed between runs */
    uint32_t n_want;
    const sqz_vid *seed; /* values whose gradients come from outside; they stay readable */
    uint32_t n_seed;
    const sqz_vid *read; /* further values to read after forward */
    uint32_t n_read;
    size_t memory_limit; /* bytes that sqz_tape_bytes must not exceed: what is not kept for the way
                            back is computed again, with the same results. 0: none, only
                            what costs next to nothing is computed again */
    const struct sqz_team *team; /* processes that share the batch (allreduce.h); NULL: none. It
                                    must outlive the tape */
    bool plain;      /* every node by itself, every value in a place of its own; the same numbers */
    bool time_nodes; /* sqz_tape_seconds is asked for */
} sqz_tape_options;
/* For a float graph after the canonical recipe, as its shapes stand; it may change or go
 * afterwards. Refuses by name what has no gradient and stands between, and a limit that cannot be
 * kept. */
sqz_status sqz_tape_create(const sqz_graph *g, const sqz_tape_options *o, sqz_tape **out);
void sqz_tape_free(sqz_tape *t); /* NULL is fine */
/* Numbers of a graph input (to write before a run), a wanted constant (to write), a graph output, a
 * seed or one of `read` (to read after forward). */
float *sqz_tape_data(const sqz_tape *t, sqz_vid v);
/* Gradient of a seed (to write before backward) or of what is wanted (to read after it). */
float *sqz_tape_grad(const sqz_tape *t, sqz_vid v);
size_t sqz_tape_count(const sqz_tape *t, sqz_vid v);
/* Of training, from 0 on: nodes that draw random numbers draw others in every step. */
void sqz_tape_set_step(sqz_tape *t, uint64_t step);
sqz_status sqz_tape_forward(sqz_tape *t);
sqz_status sqz_tape_backward(sqz_tape *t);
size_t sqz_tape_bytes(const sqz_tape *t);   /* values, gradients and workspace */
uint32_t sqz_tape_again(const sqz_tape *t); /* nodes that run twice in a step */
/* Of node n, summed over runs: forward and backward; 0 without time_nodes. */
void sqz_tape_seconds(const sqz_tape *t, sqz_nid n, double seconds[2]);
#endif
