/* adaround.h: learned rounding of one site (Nagel et al. 2020, "Up or down? Adaptive rounding for
 * post-training quantization"). The weight of a term is scale * (base + h(V) - zero) with
 * h(V) = clamp(1.2 sigmoid(V) - 0.1, 0, 1); V is learned by Adam so that the layer gives what the
 * float one does, while a regularizer draws every h to 0 or 1.
 *
 * The loss of a row with k terms is
 *
 *     c E + lambda sum(1 - |2 h - 1|^beta),     c = k / sum(H_ii scale_i^2 / 12)
 *
 * E is J of refine.h (one matrix product for all rows and no data), or in the last part, where a
 * clamp follows the layer, the mean of (f(W~ x^ + b) - f(W x + b))^2 over a slice of patches. c
 * makes E about k for rounding at random, whatever the size of the layer's numbers. */
#ifndef SQZ_ADAROUND_H
#define SQZ_ADAROUND_H
#include "quant/refine.h"

typedef struct sqz_adaround_options {
    int64_t iterations;
    double rate;   /* of Adam */
    double lambda; /* of the regularizer */
    double warmup; /* part of the iterations without it */
    double data;   /* part of the iterations, the last ones, on patches where a clamp follows */
} sqz_adaround_options;

/* Patches of a site, in an order at random; what rows need of them. */
typedef struct sqz_patch_pool {
    size_t n, slice; /* patches; of them at a time */
    float *x;        /* groups x n x cols: x^, less its mean where the bias moves */
    float *z;        /* rows x n: what the layer gives in the float network, clamped */
    float *offset;   /* rows: to be added to W~ x before the clamp */
} sqz_patch_pool;
sqz_status sqz_patch_pool_make(const sqz_rounding *r, const sqz_graph *reference, sqz_arena *a,
                               sqz_patch_pool *p);

/* Mean squared error of each row over all patches, for its codes. */
sqz_status sqz_patch_pool_cost(const sqz_rounding *r, const sqz_patch_pool *p, const int8_t *codes,
                               double *cost);

/* The loss's gradient by V of rows begin .. end, rows x cols of the whole site. pool NULL: J. beta
 * is an even number; 0: no regularizer. `at`: first patch of the slice. */
typedef struct sqz_adaround_at {
    const sqz_rounding *r;
    const sqz_patch_pool *pool;
    const float *base; /* rows x cols */
    float lambda;
    int beta;
    size_t at;
} sqz_adaround_at;
typedef struct sqz_adaround_room { /* of a panel */
    float *h, *d, *g, *sig;        /* rows x cols */
    float *e;                      /* rows x slice */
} sqz_adaround_room;
void sqz_adaround_gradient(const sqz_adaround_at *p, size_t begin, size_t end, const float *v,
                           const sqz_adaround_room *room, float *grad);
/* base and V that stand for the weights; codes are between them where they are not neighbors. */
void sqz_adaround_begin(const sqz_rounding *r, float *base, float *v);
/* Codes of `r` become those that are learned; r->codes in and out. pool NULL: moments only. */
sqz_status sqz_adaround(const sqz_rounding *r, const sqz_patch_pool *pool,
                        const sqz_adaround_options *o);
#endif
