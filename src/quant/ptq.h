/* ptq.h: what the steps of post-training quantization share. pass_ptq.c calls them in this order:
 *
 *   schemes  bits of each node's weights                                 ptq_scheme.c
 *   plan     which nodes become integer                                  ptq_plan.c, ptq_islands.c
 *   trim     ranges that only functions read                             ptq_trim.c
 *   grids    which values share a grid, and the grid of each             ptq_grids.c
 *   weights  weights, biases and other constants                         ptq_weights.c
 *   borders  quantize, dequantize and requantize nodes                   ptq_borders.c
 *   dynamic  grids of activations that are found at every run            ptq_dynamic.c
 *   coded    weights on grids under nodes that compute in float          ptq_coded.c
 */
#ifndef SQZ_PTQ_H
#define SQZ_PTQ_H
#include "quant/qparams.h"
#include "quant/quantize.h"
#include "quant/wscale.h"

typedef struct sqz_ptq_options { /* of the pass; enums as in its schema */
    const char *exclude, *bits;
    int64_t weights, group, per_tensor, pow2, ranges, edges;
    int64_t softmax, islands, symmetric, activations, dynamic;
} sqz_ptq_options;

typedef struct sqz_scheme { /* of one node's weights */
    uint8_t bits;           /* 8, 4, 3, 2; 32: the node stays float */
    int32_t group;          /* terms that share a scale; 0: all of an output */
} sqz_scheme;

typedef struct sqz_grid { /* int8, one scale */
    float scale;
    int32_t zero;
} sqz_grid;

typedef struct sqz_ptq {
    sqz_graph *g;
    sqz_env *env;
    sqz_arena *a; /* of the pass */
    const sqz_ptq_options *o;
    bool integer_softmax;     /* at the end of the model, too */
    sqz_uses uses;            /* of the float graph */
    uint32_t n_value, n_node; /* of the float graph */
    sqz_scheme *scheme;       /* by node */
    sqz_dtype type;           /* of activations on grids: S8, S16, S4 */
    int32_t lo, hi;           /* their codes */
    bool *integer;            /* by node: its data stand on grids */
    bool *pairs;              /* by node: of those, it computes in float between dequantize and
                                 quantize */
    bool *coded;              /* by node: its weights stand on a grid, it computes in float */
    bool *covered;            /* by value: only feeds a clamp, whose grid it takes */
    const sqz_range **range;  /* by value: its own, or that of what it is a copy of */
    sqz_grid *grid;           /* by value: grid of its int8 form */
    bool *fixed_apart;        /* by value: keeps a fixed grid that its set does not have */
    sqz_grid *set_grid;       /* by value: grid of its set, where fixed_apart */
} sqz_ptq;

/* Input `slot` of n is data on an int8 grid when n is integer: an activation or a constant. */
bool sqz_ptq_is_data(const sqz_graph *g, const sqz_node *n, unsigned slot);
/* Value v is made by a node whose data stand on grids. */
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

/* n is a product with constant weights. */
bool sqz_ptq_has_weights(const sqz_graph *g, const sqz_node *n);
/* Operators that hand numbers on, and clamps that disappear: inputs and outputs on one grid. */
bool sqz_ptq_is_tied(const sqz_ptq *p, const sqz_node *n);
/* Block size of the scales of a product's weights, 0 where it has too few terms for blocks; and the
 * axis of the scales or blocks. */
int32_t sqz_ptq_group(const sqz_ptq *p, sqz_nid n, int32_t *axis);
/* How scales of weights are found. */
sqz_wrule sqz_ptq_rule(const sqz_ptq *p, sqz_scheme s);
/* The grid of activations for a range; false: it has no extent, and the scale is 1. */
bool sqz_ptq_grid_of(const sqz_ptq *p, sqz_range r, sqz_grid *g);
sqz_status sqz_ptq_schemes(sqz_ptq *p);
sqz_status sqz_ptq_plan(sqz_ptq *p);
/* Of the plan: nodes that are better off float leave `able`, with a reason in `why`. */
sqz_status sqz_ptq_islands(sqz_ptq *p, bool *able, const char **why);
/* Ranges of values that only functions read, less what these do not tell apart. */
sqz_status sqz_ptq_trim(sqz_ptq *p);
sqz_status sqz_ptq_grids(sqz_ptq *p);
sqz_status sqz_ptq_weights(sqz_ptq *p);
sqz_status sqz_ptq_borders(sqz_ptq *p);
sqz_status sqz_ptq_coded(sqz_ptq *p);
sqz_status sqz_ptq_dynamic(sqz_ptq *p);
#endif
