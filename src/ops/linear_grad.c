/* linear_grad.c: dx = g . w; see linear_grad.h. */
#include "ops/linear_grad.h"
#include <math.h>

enum {
    WORK = 2400 * 1000, /* products of a piece */
    ROWS = 64           /* of a piece, at least: its weights come from a cache */
};

sqz_status sqz_data_grad_prepare(sqz_grad_prep *p, size_t n, size_t k, size_t *at)
{
    const size_t bytes = sqz_pack_f32_bytes(k, 1, n);
    *at = sqz_scratch_round(p->scratch_bytes);
    if ((n && k && !bytes) || !sqz_add(*at, bytes, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

typedef struct job {
    const sqz_ctx *ctx;
    const sqz_data_grad *d;
    sqz_packed w;
} job;

static sqz_status data_rows(void *arg, size_t begin, size_t end)
{
    static const size_t start = 0;
    const job *j = arg;
    const sqz_data_grad *d = j->d;
    const sqz_left l = {.a = d->g + begin * d->n,
                        .m = end - begin,
                        .width = end - begin,
                        .step = d->n * sizeof(float),
                        .seg = &start,
                        .n_seg = 1,
                        .len = d->n};
    float *y = d->dx + begin * d->k;
    const sqz_out_f32 o = {.y = y,
                           .ld = d->k,
                           .add = d->add ? y : NULL,
                           .ld_add = d->k,
                           .lo = -INFINITY,
                           .hi = INFINITY};
    j->ctx->kernels->gemm_f32(&j->w, 0, d->k, &l, &o);
    return SQZ_OK;
}

sqz_status sqz_data_grad_run(sqz_ctx *ctx, const sqz_data_grad *d)
{
    job j = {ctx, d, {.n = d->k, .n_seg = 1, .len = d->n, .data = d->room}};
    if (d->rows == 0 || d->k == 0)
        return SQZ_OK;
    sqz_pack_f32(&j.w, d->w, d->turned ? d->n : 1, d->turned ? 1 : d->k, NULL);
    const size_t grain = WORK / SQZ_MAX(d->n * d->k, (size_t)1);
    return sqz_parallel(ctx, d->rows, SQZ_MAX(grain, (size_t)ROWS), data_rows, &j);
}
