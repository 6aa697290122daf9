/* blas.c: float matrix products through OpenBLAS; the only file that includes its header. */
#include "kernels/blas.h"
#include <cblas.h>
#include <string.h>

#define TINY 1024 /* multiplications below which the call costs more than the work */

void sqz_blas_single_thread(sqz_ctx *ctx)
{
    openblas_set_num_threads(1);
    if (openblas_get_parallel() == OPENBLAS_OPENMP) /* OpenBLAS issue 5806: no effect there */
        SQZ_WARN(ctx, "OpenBLAS was built with OpenMP and picks its own number of threads: set "
                      "OMP_NUM_THREADS=1, or float results may differ in the last bits");
}

size_t sqz_sgemm_grain(size_t k)
{
    size_t rows = 262144 / (k ? k : 1); /* about 1 MiB of the left side */
    return rows < 64 ? 64 : rows > 512 ? 512 : rows;
}

/* Adds to c, which holds the bias already. */
static void plain(const sqz_sgemm *g, size_t begin, size_t end)
{
    size_t step_k = g->b_rows ? 1 : g->ldb, step_n = g->b_rows ? g->ldb : 1;
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < g->n; j++) {
            const float *a = g->a + i * g->lda, *b = g->b + j * step_n;
            float sum = 0;
            for (size_t t = 0; t < g->k; t++)
                sum += a[t] * b[t * step_k];
            g->c[i * g->ldc + j] += sum;
        }
}

static void add_rows(const sqz_sgemm *g, size_t begin, size_t end)
{
    size_t m = end - begin;
    if (m == 0 || g->n == 0 || g->k == 0)
        return;
    if (m * g->n * g->k < TINY)
        plain(g, begin, end);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, g->b_rows ? CblasTrans : CblasNoTrans, (int)m,
                    (int)g->n, (int)g->k, 1.0f, g->a + begin * g->lda, (int)g->lda, g->b,
                    (int)g->ldb, 1.0f, g->c + begin * g->ldc, (int)g->ldc);
}

void sqz_sgemm_rows(const sqz_sgemm *g, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (g->bias)
            memcpy(g->c + i * g->ldc, g->bias, g->n * sizeof(float));
        else
            memset(g->c + i * g->ldc, 0, g->n * sizeof(float));
    add_rows(g, begin, end);
}

void sqz_sgemm_add(const sqz_sgemm *g) { add_rows(g, 0, g->m); }

void sqz_sgemm_turned(const sqz_sgemm_t *g)
{
    if (g->m && g->n && g->k)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)g->m, (int)g->n, (int)g->k, 1.0f,
                    g->left, (int)g->ld_left, g->right, (int)g->ld_right, 1.0f, g->c, (int)g->ld_c);
}

void sqz_sgemv(size_t m, size_t k, const float *w, const float *x, float *y)
{
    if (m)
        memset(y, 0, m * sizeof *y);
    if (m && k)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)m, (int)k, 1.0f, w, (int)k, x, 1, 1.0f, y, 1);
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    sqz_sgemm_rows(arg, begin, end);
    return SQZ_OK;
}

sqz_status sqz_sgemm_all(sqz_ctx *ctx, const sqz_sgemm *g)
{
    sqz_sgemm call = *g;
    return sqz_parallel(ctx, g->m, sqz_sgemm_grain(g->k), chunk, &call);
}
