/* linear.h: what the operators with y = sum(x * w) + b share: conv2d, dwconv2d, conv_transpose,
 * gemm, matmul. The integer form, with raw codes x of zero point z:
 *   acc = sum(x * w) + (b - z * sum(w)),   y = requant(acc, s_x * s_w / s_y) + zero_y. */
#ifndef SQZ_LINEAR_H
#define SQZ_LINEAR_H
#include "ir/op.h"
#include "kernels/kernels.h"

typedef struct sqz_linear {
    sqz_requant out;   /* bias there is b - z * sum(w) */
    sqz_packed *right; /* one for each group, of out.n / groups outputs */
    size_t groups;
    int8_t in_zero;
} sqz_linear;

typedef struct sqz_weights { /* where weight of output o, term t lies: o*ld_n + t*ld_k */
    size_t n, k, ld_n, ld_k, groups;
    size_t n_seg, len;    /* k as segments of the left side */
    bool depthwise;       /* w is (n, len, n_seg), as dwconv_s8 takes it */
    int32_t channel_axis; /* of the weight tensor: scales per output, n of them */
    unsigned slot, bias;  /* input slots; bias 0: none */
} sqz_weights;

/* Every input is float (of any width, see sqz_op_run_type) or has a grid. */
sqz_status sqz_check_types(const sqz_infer *q);
/* Whether the node runs on integers: both the data and the output have a grid. */
static inline bool sqz_is_integer(const sqz_prep *p) { return p->in_q[0] && p->out_q[0]; }
/* Checks the grids, packs the weights, makes multipliers; all in p->arena. Refuses, with a
 * sentence, what the kernels cannot do: weights that are no constant or have a zero point, grouped
 * scales, other types than int8 activations, an accumulator that may not fit 32 bits. */
sqz_status sqz_linear_prepare(sqz_prep *p, const sqz_weights *w, sqz_linear **out);

/* dim as size_t; shapes were checked by inference. */
static inline size_t sqz_dim(const sqz_tensor *t, int32_t axis)
{
    return (size_t)t->shape.dim[axis];
}
/* A slot that may be left out. */
static inline const sqz_tensor *sqz_input(const sqz_call *c, unsigned slot)
{
    return slot < c->n_in ? c->in[slot] : NULL;
}
/* Scratch for every worker, `each` bytes; parts are rounded up to the alignment of tensors. */
size_t sqz_scratch_round(size_t bytes);
sqz_status sqz_scratch_all(sqz_prep *p, size_t each);
#endif
