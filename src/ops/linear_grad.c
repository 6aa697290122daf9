/* linear_grad.c: see linear_grad.h. */
#include "ops/linear_grad.h"
#include "kernels/blas.h"
#include <string.h>

enum {
    MOST_PARTS = 8,
    PART_WORK = 4000000,         /* products that are worth a part */
    SUM_BYTES = 16 * 1024 * 1024 /* of all parts together */
};

/* ---- weights and bias ---- */

static void divide(sqz_weight_grad *w)
{
    const size_t weights = SQZ_MAX(w->n * w->k, (size_t)1);
    const double work = (double)w->rows * (double)weights;
    size_t wanted = work / PART_WORK < MOST_PARTS ? (size_t)(work / PART_WORK) : MOST_PARTS;
    wanted = SQZ_MAX(wanted, (size_t)1);
    w->parts = SQZ_MIN(wanted, SQZ_MAX(SUM_BYTES / sizeof(float) / weights, (size_t)1));
    w->grain = sqz_sgemm_grain(w->k);
    w->parts = SQZ_MAX(SQZ_MIN(w->parts, w->rows / w->grain), (size_t)1);
    w->part_rows = (w->rows + w->parts - 1) / w->parts;
    w->blocks = w->groups == 1 ? SQZ_MIN(wanted / w->parts, (w->n + 63) / 64) : 1;
    w->block = (w->n + w->blocks - 1) / w->blocks;
}

sqz_status sqz_weight_grad_prepare(sqz_grad_prep *p, sqz_weight_grad *w)
{
    sqz_prep run = sqz_grad_as_prep(p);
    size_t all;
    if (!(p->want >> w->slot & 1) && !(w->bias && p->want >> w->bias & 1))
        return SQZ_OK;
    divide(w);
    w->each = w->v ? sqz_scratch_round(w->grain * w->k * sizeof(float)) : 0;
    const size_t room = sqz_scratch_round(w->n * w->k * sizeof(float));
    w->sums = room + sqz_scratch_round(w->n * sizeof(double));
    SQZ_TRY(sqz_scratch_all(&run, w->each));
    if (!sqz_mul(w->sums, w->parts, &all) || !sqz_add(all, run.scratch_bytes, &all) ||
        !sqz_add(all, p->scratch_bytes, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

typedef struct job {
    const sqz_grad_call *c;
    const sqz_weight_grad *w;
    const float *x, *g;
    char *sums, *rows; /* of the parts, of the workers */
} job;

static float *weight_sums(const job *j, size_t part)
{
    return (float *)(void *)(j->sums + part * j->w->sums);
}
static double *bias_sums(const job *j, size_t part)
{
    const size_t room = sqz_scratch_round(j->w->n * j->w->k * sizeof(float));
    return (double *)(void *)(j->sums + part * j->w->sums + room);
}

/* sum(o, k) += g^T . x over rows [begin, end), outputs [o0, o1). */
static void multiply(const job *j, size_t begin, size_t end, size_t o0, size_t o1, float *sum)
{
    const sqz_weight_grad *w = j->w;
    const size_t n = w->n / w->groups;
    float *rows = (float *)(void *)(j->rows + (size_t)sqz_worker_index() * w->each);
    for (size_t g = 0; g < w->groups; g++) {
        const size_t first = w->groups == 1 ? o0 : g * n, wide = w->groups == 1 ? o1 - o0 : n;
        const float *x = j->x + begin * w->step + g * w->depth;
        size_t ld = w->step;
        if (w->v && !w->v->pointwise) {
            sqz_conv_gather(w->v, j->x, g, begin, end, rows);
            x = rows;
            ld = w->k;
        }
        const sqz_sgemm_t t = {.m = w->turned ? w->k : wide,
                               .n = w->turned ? wide : w->k,
                               .k = end - begin,
                               .left = w->turned ? x : j->g + begin * w->n + first,
                               .ld_left = w->turned ? ld : w->n,
                               .right = w->turned ? j->g + begin * w->n + first : x,
                               .ld_right = w->turned ? w->n : ld,
                               .c = sum + (w->turned ? first : first * w->k),
                               .ld_c = w->turned ? w->n : w->k};
        sqz_sgemm_turned(&t);
    }
}

static sqz_status weights_part(void *arg, size_t first, size_t last)
{
    const job *j = arg;
    const sqz_weight_grad *w = j->w;
    for (size_t i = first; i < last; i++) {
        const size_t part = i / w->blocks, o0 = i % w->blocks * w->block;
        const size_t o1 = SQZ_MIN(o0 + w->block, w->n);
        const size_t end = SQZ_MIN((part + 1) * w->part_rows, w->rows);
        for (size_t r = part * w->part_rows; r < end && o0 < o1; r += w->grain)
            multiply(j, r, SQZ_MIN(r + w->grain, end), o0, o1, weight_sums(j, part));
    }
    return SQZ_OK;
}

/* Blocks of 64 rows in float, their sums in double. */
static sqz_status bias_part(void *arg, size_t first, size_t last)
{
    enum { ROWS = 64, WIDE = 256 };
    const job *j = arg;
    const sqz_weight_grad *w = j->w;
    float part[WIDE];
    for (size_t i = first; i < last; i++) {
        const size_t end = SQZ_MIN((i + 1) * w->part_rows, w->rows);
        double *sum = bias_sums(j, i);
        memset(sum, 0, w->n * sizeof *sum);
        for (size_t r = i * w->part_rows; r < end; r += ROWS)
            for (size_t o = 0; o < w->n; o += WIDE) {
                const size_t wide = SQZ_MIN(w->n - o, (size_t)WIDE);
                j->c->ctx->kernels->moments_f32(SQZ_MIN(end - r, (size_t)ROWS), wide, w->n,
                                                j->g + r * w->n + o, NULL, part, NULL);
                for (size_t t = 0; t < wide; t++)
                    sum[o + t] += (double)part[t];
            }
    }
    return SQZ_OK;
}

static sqz_status add_parts(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    float *d = j->c->in_grad[j->w->slot];
    const bool add = sqz_grad_adds(j->c, j->w->slot);
    for (size_t i = begin; i < end; i++) {
        float sum = weight_sums(j, 0)[i];
        for (size_t p = 1; p < j->w->parts; p++)
            sum += weight_sums(j, p)[i];
        d[i] = add ? d[i] + sum : sum;
    }
    return SQZ_OK;
}

sqz_status sqz_weight_grad_run(const sqz_grad_call *c, const sqz_weight_grad *w, const float *x,
                               const float *g, char *scratch)
{
    job j = {c, w, x, g, scratch, scratch + w->parts * w->sums};
    if (sqz_grad_wants(c, w->slot)) {
        for (size_t p = 0; p < w->parts; p++)
            memset(weight_sums(&j, p), 0, w->n * w->k * sizeof(float));
        SQZ_TRY(sqz_parallel(c->ctx, w->parts * w->blocks, 1, weights_part, &j));
        SQZ_TRY(sqz_parallel(c->ctx, w->n * w->k, 16384, add_parts, &j));
    }
    if (!w->bias || !sqz_grad_wants(c, w->bias))
        return SQZ_OK;
    SQZ_TRY(sqz_parallel(c->ctx, w->parts, 1, bias_part, &j));
    float *d = c->in_grad[w->bias];
    for (size_t o = 0; o < w->n; o++) {
        double sum = 0;
        for (size_t p = 0; p < w->parts; p++)
            sum += bias_sums(&j, p)[o];
        d[o] = sqz_grad_adds(c, w->bias) ? d[o] + (float)sum : (float)sum;
    }
    return SQZ_OK;
}

/* ---- data ---- */

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
