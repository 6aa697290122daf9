/* wgrid.c: see wgrid.h. */
#include "quant/wgrid.h"
#include "ir/qgrid.h"
#include "ir/qround.h"
#include <math.h>

/* Magnitudes sorted by the scale that they share: those of scale j are first[j] .. first[j+1]. */
typedef struct buckets {
    size_t *first; /* n + 1 */
    float *magnitude;
} buckets;

/* For elements i .. i+n-1 of w, scale k, k+step, ... : one call for each run. */
typedef void run_fn(buckets *b, const float *x, size_t n, size_t k, size_t step);

static void tally(buckets *b, const float *x, size_t n, size_t k, size_t step)
{
    (void)x;
    for (size_t j = 0; j < n; j++)
        b->first[k + j * step + 1]++;
}

/* Fills from the ends: first[k+1] counts down to where k begins. */
static void drop(buckets *b, const float *x, size_t n, size_t k, size_t step)
{
    for (size_t j = 0; j < n; j++)
        b->magnitude[b->first[k + j * step]++] = fabsf(x[j]);
}

static void each_run(buckets *b, const sqz_tensor *w, const sqz_quant *q, run_fn *fn)
{
    for (size_t i = 0, n; i < w->count; i += n) {
        const sqz_qrun r = sqz_quant_run(q, &w->shape, i);
        n = SQZ_MIN(r.n, w->count - i);
        fn(b, SQZ_F32P(w) + i, n, r.first, r.step);
    }
}

static sqz_status fill(sqz_arena *a, const sqz_tensor *w, const sqz_quant *q, buckets *b)
{
    b->first = sqz_arena_alloc(a, (size_t)q->n + 2, sizeof *b->first);
    b->magnitude = sqz_arena_alloc(a, w->count + 1, sizeof *b->magnitude);
    if (!b->first || !b->magnitude)
        return SQZ_E_NOMEM;
    each_run(b, w, q, tally);
    for (size_t k = 0; k < q->n; k++)
        b->first[k + 1] += b->first[k];
    each_run(b, w, q, drop); /* first[k] is now where k + 1 begins */
    for (size_t k = q->n; k > 0; k--)
        b->first[k] = b->first[k - 1];
    b->first[0] = 0;
    return SQZ_OK;
}

typedef struct job {
    const buckets *b;
    const sqz_wspec *spec;
    int32_t limit;
    float *scale;
} job;

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t k = begin; k < end; k++)
        j->scale[k] = sqz_weight_scale(j->b->magnitude + j->b->first[k],
                                       j->b->first[k + 1] - j->b->first[k], j->limit, j->spec->rule,
                                       j->spec->pow2);
    return SQZ_OK;
}

static sqz_status scales(sqz_ctx *ctx, sqz_arena *temp, const sqz_tensor *w, const sqz_wspec *spec,
                         const sqz_quant *q, float *scale)
{
    buckets b;
    SQZ_TRY(fill(temp, w, q, &b));
    job j = {&b, spec, sqz_quant_limit(q), scale};
    const size_t each = w->count / SQZ_MAX(q->n, 1u) + 1;
    return sqz_parallel(ctx, q->n, 4096 / each + 1, chunk, &j);
}

static uint32_t n_scales(const sqz_wspec *spec, const sqz_tensor *w, const sqz_quant *q, bool *fits)
{
    uint64_t n = 1;
    *fits = true;
    if (spec->axis >= 0 && spec->group)
        *fits = sqz_quant_blocks(q, &w->shape, &n);
    else if (spec->axis >= 0)
        n = (uint64_t)w->shape.dim[spec->axis];
    *fits = *fits && n <= UINT32_MAX;
    return (uint32_t)n;
}

sqz_status sqz_weight_grid(sqz_ctx *ctx, sqz_arena *a, const sqz_tensor *w, const sqz_wspec *spec,
                           sqz_quant *q)
{
    bool fits;
    sqz_arena temp = {.ctx = ctx};
    *q = (sqz_quant){.dtype = spec->bits < 8 ? SQZ_S4 : SQZ_S8,
                     .bits = spec->bits < 4 ? (uint8_t)spec->bits : 0,
                     .axis = spec->axis,
                     .group = spec->group};
    q->n = n_scales(spec, w, q, &fits);
    if (!fits)
        return sqz_fail(ctx, SQZ_E_LIMIT, "too many scales");
    float *scale = sqz_arena_alloc(a, (size_t)q->n + 1, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(a, (size_t)q->n + 1, sizeof *zero);
    if (!scale || !zero)
        return SQZ_E_NOMEM;
    const sqz_status s = scales(ctx, &temp, w, spec, q, scale);
    sqz_arena_free(&temp);
    q->scale = scale;
    q->zero = zero;
    return s;
}

sqz_status sqz_weight_codes(sqz_ctx *ctx, const sqz_tensor *w, const sqz_quant *q, sqz_tensor *out)
{
    const int32_t limit = sqz_quant_limit(q);
    const float *x = SQZ_F32P(w);
    SQZ_TRY(sqz_tensor_alloc(ctx, q->dtype, &w->shape, out));
    for (size_t i = 0, n; i < w->count; i += n) {
        const sqz_qrun r = sqz_quant_run(q, &w->shape, i);
        n = SQZ_MIN(r.n, w->count - i);
        for (size_t j = 0, k = r.first; j < n; j++, k += r.step)
            sqz_tensor_set_i64(out, i + j, sqz_qround(x[i + j], q->scale[k], 0, -limit, limit));
    }
    return SQZ_OK;
}
