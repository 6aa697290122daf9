/* blas.h: float matrix products. */
#ifndef SQZ_BLAS_H
#define SQZ_BLAS_H
#include "base/base.h"

typedef struct sqz_sgemm { /* c(M,N) = a(M,K) . b(K,N) + bias(N), row-major */
    size_t m, n, k;
    const float *a, *b, *bias; /* bias NULL: 0 */
    size_t lda, ldb, ldc;      /* elements from row to row as stored */
    bool b_rows;               /* b is stored as (N,K) */
    float *c;
} sqz_sgemm;
/* Rows [begin, end) on the calling thread; for use inside a chunk. Dimensions fit int. */
void sqz_sgemm_rows(const sqz_sgemm *g, size_t begin, size_t end);
/* All rows, in chunks over the context's threads. */
sqz_status sqz_sgemm_all(sqz_ctx *ctx, const sqz_sgemm *g);
/* c += a . b, all rows, on the calling thread; no bias. */
void sqz_sgemm_add(const sqz_sgemm *g);
/* c(M,N) += left^T(M,K) . right(K,N) on the calling thread, left stored as (K,M): gradients of
 * weights. Dimensions fit int. */
typedef struct sqz_sgemm_t {
    size_t m, n, k;
    const float *left, *right;
    size_t ld_left, ld_right, ld_c;
    float *c;
} sqz_sgemm_t;
void sqz_sgemm_turned(const sqz_sgemm_t *g);
/* y = w . x, w (M,K) row-major, on the calling thread. Dimensions fit int. */
void sqz_sgemv(size_t m, size_t k, const float *w, const float *x, float *y);
/* Rows of one chunk for products with sums of k terms: depends on nothing else. */
size_t sqz_sgemm_grain(size_t k);

/* Keeps OpenBLAS to one thread, for the whole process: the library has its own threads, and the
 * bytes of float results then do not depend on how many. A library must not decide that for its
 * host, so only the command line calls this. Warns where the build of OpenBLAS ignores it. */
void sqz_blas_single_thread(sqz_ctx *ctx);
#endif
