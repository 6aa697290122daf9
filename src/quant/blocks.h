/* blocks.h: the pieces of a network that are tuned together, and each of them as a network of its
 * own that imitates the quantized one in floating point. */
#ifndef SQZ_BLOCKS_H
#define SQZ_BLOCKS_H
#include "quant/feed.h"
#include "train/tape.h"

/* ---- which (blocks.c) ---- */
typedef struct sqz_block { /* nodes [begin, end) of the float graph, in execution order */
    sqz_nid begin, end;    /* end SQZ_NONE: to the last one */
    uint32_t site, n_site; /* of the list of sites */
} sqz_block;
/* A residual or attention block is what lies between two places that a single value crosses; layers
 * in a row are put together, up to `chain` of them; pieces of more than SQZ_BLOCK_MOST layers are
 * cut into such chains. Every node is in one block; in `a`. */
#define SQZ_BLOCK_MOST 12
sqz_status sqz_blocks_find(const sqz_graph *reference, const sqz_site *site, uint32_t n_site,
                           uint32_t chain, sqz_arena *a, sqz_block **list, uint32_t *n);

/* ---- as a network (block_net.c) ---- */
typedef struct sqz_block_grid { /* an activation's grid inside of the block */
    sqz_vid owner;              /* of the quantized graph: the value that has it */
    sqz_vid scale, keep;        /* of the net: constant, and input (SQZ_NONE: none) */
    sqz_vid input;              /* of the net: the input that it is of, SQZ_NONE: made inside */
    float start;                /* scale */
    int bits;
    bool free; /* nothing else depends on the scale: it may be learned */
} sqz_block_grid;
typedef struct sqz_block_net {
    sqz_arena arena;
    sqz_graph *g;                  /* float, for the flow's batch */
    sqz_tape *tape;                /* wants the weights of the block's sites and the free scales */
    const sqz_vid *input, *output; /* ids of the float graph, as in g */
    uint32_t n_input, n_output;
    sqz_vid *from; /* of each input: the value of the quantized graph that is read */
    sqz_block_grid *grid;
    uint32_t n_grid;
} sqz_block_net;
typedef struct sqz_block_options {
    bool activations; /* values are put on their grids */
    bool keep;        /* with an input for each grid that says which elements stay float */
    bool learn;       /* gradients of free scales */
} sqz_block_options;
/* The cut of `f` lies in front of the block. `batch` is the float graph for the flow's batch. */
sqz_status sqz_block_net_make(const sqz_graph *batch, const sqz_graph *quantized, const sqz_flow *f,
                              const sqz_block *b, const sqz_site *site, const sqz_block_options *o,
                              sqz_block_net *out);
void sqz_block_net_free(sqz_block_net *n);
#endif
