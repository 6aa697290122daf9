/* linear_grad.h: gradients of y(r,o) = sum over k of x(r,k) * w(o,k) + b(o) for what is multiplied:
 * dw(o,k) = sum over r of g(r,o) * x(r,k), db(o) = sum of g(r,o), dx(r,k) = sum over o of
 * g(r,o) * w(o,k). Shared by convolutions, gemm and matmul. Sums over rows are made in parts that
 * depend on the sizes only, and added in order. */
#ifndef SQZ_LINEAR_GRAD_H
#define SQZ_LINEAR_GRAD_H
#include "ops/band.h"
#include "ops/conv.h"
#include "ops/grad.h"

typedef struct sqz_weight_grad {
    const sqz_conv *v;         /* rows are patches under output pixels; NULL: rows as they lie */
    size_t rows, n, k, groups; /* n outputs of all groups, k terms of one row of a group */
    size_t step, depth;        /* without v: numbers from row to row, from group to group */
    bool turned;               /* weights are (k, n), else (n, k) */
    unsigned slot, bias;       /* inputs; bias 0: none */
    /* how it is divided; set by prepare */
    size_t units, chunk;               /* rows or lines of output; of a kernel call */
    size_t parts, part, blocks, block; /* of units; of outputs */
    size_t planes, each;               /* of a chunk; bytes of the band of one */
    size_t *seg, n_seg, len;           /* of a row, `len` terms each */
    sqz_band band;
    bool swapped, own; /* sums are (k, n); they do not stand in the gradient itself */
    size_t room, sums; /* bytes of a part's sums of weights; with those of the bias */
} sqz_weight_grad;
/* Adds to p->scratch_bytes; sqz_weight_grad_run takes scratch of that size from `scratch` on. */
sqz_status sqz_weight_grad_prepare(sqz_grad_prep *p, sqz_weight_grad *w);
/* x: the numbers that rows are made of; g: rows x n. Wants of c decide. */
sqz_status sqz_weight_grad_run(const sqz_grad_call *c, const sqz_weight_grad *w, const float *x,
                               const float *g, char *scratch);

/* dx = g . w for rows as they lie, or added. */
typedef struct sqz_data_grad {
    size_t rows, n, k; /* of g (rows, n), of dx (rows, k) */
    bool turned;       /* w is (k, n), else (n, k) */
    bool add;
    const float *g, *w;
    float *dx;
    void *room; /* for the packed weights */
} sqz_data_grad;
/* Adds room for such a product to p->scratch_bytes and says where it begins. */
sqz_status sqz_data_grad_prepare(sqz_grad_prep *p, size_t n, size_t k, size_t *at);
sqz_status sqz_data_grad_run(sqz_ctx *ctx, const sqz_data_grad *d);
#endif
