/* linear_grad.c: dx = g . w; see linear_grad.h. */
#include "ops/linear_grad.h"
#include "kernels/blas.h"

static sqz_status data_rows(void *arg, size_t begin, size_t end)
{
    const sqz_data_grad *d = arg;
    sqz_sgemm g = {.m = end - begin,
                   .n = d->k,
                   .k = d->n,
                   .a = d->g + begin * d->n,
                   .lda = d->n,
                   .b = d->w,
                   .ldb = d->turned ? d->n : d->k,
                   .b_rows = d->turned,
                   .c = d->dx + begin * d->k,
                   .ldc = d->k};
    if (d->add)
        sqz_sgemm_add(&g);
    else
        sqz_sgemm_rows(&g, 0, g.m);
    return SQZ_OK;
}

sqz_status sqz_data_grad_run(sqz_ctx *ctx, const sqz_data_grad *d)
{
    sqz_data_grad call = *d;
    return sqz_parallel(ctx, d->rows, sqz_sgemm_grain(d->n), data_rows, &call);
}
