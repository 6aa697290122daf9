/* ptq.h: what the steps of post-training quantization share. pass_ptq.c calls them in this order:
 *
 *   plan     which nodes become integer                                  ptq_plan.c
 *   grids    which values share a grid, and the grid of each             ptq_grids.c
 *   weights  weights, biases and other constants                         ptq_weights.c
 *   borders  quantize, dequantize and requantize nodes                   ptq_borders.c
 *   recurrent  int8 weights of float operators                           ptq_recurrent.c
 */
#ifndef SQZ_PTQ_H
#define SQZ_PTQ_H
#include "quant/qparams.h"
#include "quant/quantize.h"

typedef struct sqz_grid { /* int8, one scale */
    float scale;
    int32_t zero;
} sqz_grid;

typedef struct sqz_ptq {
    sqz_graph *g;
    sqz_env *env;
    sqz_arena *a; /* of the pass */
    const char *exclude;
    bool per_tensor;
    bool integer_softmax;     /* at the end of the model, too */
    sqz_uses uses;            /* of the float graph */
    uint32_t n_value, n_node; /* of the float graph */
    bool *integer;            /* by node */
    const sqz_range **range;  /* by value: its own, or that of what it is a copy of */
    sqz_grid *grid;           /* by value: grid of its int8 form */
    bool *fixed_apart;        /* by value: keeps a fixed grid that its set does not have */
    sqz_grid *set_grid;       /* by value: grid of its set, where fixed_apart */
} sqz_ptq;

/* Input `slot` of n is data on an int8 grid when n is integer: an activation or a constant. */
bool sqz_ptq_is_data(const sqz_graph *g, const sqz_node *n, unsigned slot);
/* Value v is made by an integer node. */
static inline bool sqz_ptq_made_integer(const sqz_ptq *p, sqz_vid v)
{
    sqz_nid n = sqz_val(p->g, v)->producer;
    return n != SQZ_NONE && p->integer[n];
}
static inline bool sqz_ptq_is_constant(const sqz_graph *g, sqz_vid v)
{
    return sqz_val(g, v)->constant != NULL;
}
/* The clamp n (relu, clip) disappears: its input takes the grid of its output. */
bool sqz_ptq_absorbs(const sqz_ptq *p, const sqz_node *n);
/* A line for the report, and a warning in the log. */
SQZ_PRINTF(2, 3) void sqz_ptq_note(const sqz_ptq *p, const char *fmt, ...);
SQZ_PRINTF(2, 3) void sqz_ptq_fact(const sqz_ptq *p, const char *fmt, ...); /* no warning */
/* Ends of the ordinary numbers of a float constant; NaN and +inf are an error that names it,
 * numbers below -1e30 (masks) are counted. */
sqz_status sqz_ptq_constant_range(const sqz_ptq *p, sqz_vid v, sqz_range *out, size_t *masked);

sqz_status sqz_ptq_plan(sqz_ptq *p);
sqz_status sqz_ptq_grids(sqz_ptq *p);
sqz_status sqz_ptq_weights(sqz_ptq *p);
sqz_status sqz_ptq_borders(sqz_ptq *p);
sqz_status sqz_ptq_recurrent(sqz_ptq *p);
#endif
