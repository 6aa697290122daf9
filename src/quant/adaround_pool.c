/* adaround_pool.c: patches of a site with what the float network makes of them. */
#include "kernels/blas.h"
#include "quant/adaround.h"
#include <math.h>
#include <string.h>

enum { SLICE = 256, MOST = 16384, CHUNK = 128 };
#define BYTES ((size_t)48 << 20)

typedef struct filler {
    const sqz_rounding *r;
    sqz_patch_pool *p;
    float *x, *xq; /* inputs of a batch */
    double *bias;
    size_t *to;  /* place of each patch in the pool */
    size_t *at;  /* patches of the batch */
    size_t each; /* of a batch */
    float *row, *y;
} filler;

static void shuffle(size_t *to, size_t n, uint64_t seed)
{
    sqz_rng g = {.seed = seed};
    for (size_t i = 0; i < n; i++)
        to[i] = i;
    for (size_t i = n; i > 1; i--) {
        const size_t k = (size_t)sqz_rng_below(&g, i), t = to[i - 1];
        to[i - 1] = to[k];
        to[k] = t;
    }
}

static float clamp(const sqz_site *s, double v)
{
    return (float)(v < (double)s->clip_lo   ? (double)s->clip_lo
                   : v > (double)s->clip_hi ? (double)s->clip_hi
                                            : v);
}

/* Patches i .. i+n-1 of the batch; `first` counts those of earlier batches. */
static void put(const filler *f, size_t group, size_t i, size_t n, size_t first)
{
    const sqz_rounding *r = f->r;
    const size_t k = r->cols, wide = r->rows / r->groups;
    const double *mean = r->m->centered ? r->m->mq + group * k : NULL;
    sqz_patches_gather(r->site, f->x, group, f->at + i, n, f->row);
    const sqz_sgemm y = {.m = n,
                         .n = wide,
                         .k = k,
                         .a = f->row,
                         .b = r->w + group * wide * k,
                         .lda = k,
                         .ldb = k,
                         .ldc = wide,
                         .b_rows = true,
                         .c = f->y};
    sqz_sgemm_rows(&y, 0, n);
    for (size_t j = 0; j < n; j++)
        for (size_t o = 0; o < wide; o++)
            f->p->z[(group * wide + o) * f->p->n + f->to[first + i + j]] = clamp(
                r->site, (double)f->y[j * wide + o] + f->bias[group * wide + o]);
    sqz_patches_gather(r->site, f->xq, group, f->at + i, n, f->row);
    for (size_t j = 0; j < n; j++) {
        float *to = f->p->x + (group * f->p->n + f->to[first + i + j]) * k;
        for (size_t c = 0; c < k; c++)
            to[c] = f->row[j * k + c] - (mean ? (float)mean[c] : 0.0f);
    }
}

static sqz_status fill(filler *f)
{
    const sqz_rounding *r = f->r;
    const size_t all = sqz_patches(r->flow, r->site), batches = sqz_flow_batches(r->flow);
    for (size_t b = 0; b < batches && b * f->each < f->p->n; b++) {
        const size_t n = SQZ_MIN(f->each, f->p->n - b * f->each);
        SQZ_TRY(sqz_flow_read(r->flow, SQZ_FLOAT_SIDE, r->site->x, b, f->x));
        SQZ_TRY(sqz_flow_read(r->flow, SQZ_QUANT_SIDE, r->site->qx, b, f->xq));
        sqz_rng g = {.seed = r->seed + 1 + b};
        for (size_t i = 0; i < n; i++)
            f->at[i] = (size_t)sqz_rng_below(&g, all);
        for (size_t k = 0; k < r->groups; k++)
            for (size_t i = 0; i < n; i += CHUNK)
                put(f, k, i, SQZ_MIN(n - i, (size_t)CHUNK), b * f->each);
    }
    for (size_t row = 0; row < r->rows; row++)
        f->p->offset[row] = (float)(f->bias[row] + (r->m->centered ? r->m->my[row] : 0.0));
    return SQZ_OK;
}

static sqz_status make(filler *f, const sqz_graph *reference, sqz_arena *a, sqz_arena *temp)
{
    const sqz_rounding *r = f->r;
    sqz_patch_pool *p = f->p;
    const size_t k = r->cols, line = (r->groups * k + r->rows) * sizeof(float),
                 batches = sqz_flow_batches(r->flow),
                 count = sqz_flow_count(r->flow, SQZ_FLOAT_SIDE, r->site->x);
    const size_t seen = batches * sqz_patches(r->flow, r->site);
    p->n = SQZ_MIN(SQZ_MIN(BYTES / line, (size_t)MOST), SQZ_MAX(seen, 1u));
    p->slice = SQZ_MIN(p->n, (size_t)SLICE);
    p->n -= p->n % SQZ_MAX(p->slice, 1u);
    if (!p->n)
        return SQZ_OK; /* a patch alone is too large: no pool */
    f->each = (p->n + batches - 1) / batches;
    p->x = sqz_arena_alloc(a, r->groups * p->n, k * sizeof *p->x);
    p->z = sqz_arena_alloc(a, r->rows, p->n * sizeof *p->z);
    p->offset = sqz_arena_alloc(a, r->rows, sizeof *p->offset);
    f->x = sqz_arena_room(temp, count, sizeof *f->x);
    f->xq = sqz_arena_room(temp, count, sizeof *f->xq);
    f->bias = sqz_arena_alloc(temp, r->rows, sizeof *f->bias);
    f->to = sqz_arena_alloc(temp, p->n, sizeof *f->to);
    f->at = sqz_arena_alloc(temp, f->each, sizeof *f->at);
    f->row = sqz_arena_room(temp, CHUNK, k * sizeof *f->row);
    f->y = sqz_arena_room(temp, CHUNK, r->rows * sizeof *f->y);
    if (!p->x || !p->z || !p->offset || !f->x || !f->xq || !f->bias || !f->to || !f->at ||
        !f->row || !f->y)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_site_bias(reference, r->site, f->bias));
    shuffle(f->to, p->n, r->seed);
    return fill(f);
}

sqz_status sqz_patch_pool_make(const sqz_rounding *r, const sqz_graph *reference, sqz_arena *a,
                               sqz_patch_pool *p)
{
    sqz_arena temp = {.ctx = a->ctx};
    *p = (sqz_patch_pool){0};
    filler f = {.r = r, .p = p};
    sqz_status s = make(&f, reference, a, &temp);
    sqz_arena_free(&temp);
    return s;
}

/* ---- costs ---- */

typedef struct coster {
    const sqz_rounding *r;
    const sqz_patch_pool *p;
    const int8_t *codes;
    double *cost;
    float *w, *y; /* of each worker: a row of weights, its results on a slice */
} coster;

static sqz_status cost_rows(void *arg, size_t begin, size_t end)
{
    const coster *c = arg;
    const sqz_rounding *r = c->r;
    const sqz_patch_pool *p = c->p;
    const size_t k = r->cols, wide = r->rows / r->groups;
    float *w = c->w + (size_t)sqz_worker_index() * k;
    float *y = c->y + (size_t)sqz_worker_index() * p->slice;
    for (size_t row = begin; row < end; row++) {
        double sum = 0;
        for (size_t i = 0; i < k; i++)
            w[i] = r->scale[row * k + i] * (float)(c->codes[row * k + i] - r->zero[row * k + i]);
        for (size_t at = 0; at < p->n; at += p->slice) {
            sqz_sgemv(p->slice, k, p->x + (row / wide * p->n + at) * k, w, y);
            for (size_t i = 0; i < p->slice; i++) {
                const double e = (double)clamp(r->site, (double)y[i] + (double)p->offset[row]) -
                                 (double)p->z[row * p->n + at + i];
                sum += e * e;
            }
        }
        c->cost[row] = sum / (double)p->n;
    }
    return SQZ_OK;
}

sqz_status sqz_patch_pool_cost(const sqz_rounding *r, const sqz_patch_pool *p, const int8_t *codes,
                               double *cost)
{
    sqz_arena a = {.ctx = r->ctx};
    const size_t threads = (size_t)sqz_pool_threads(r->ctx->pool);
    coster c = {.r = r,
                .p = p,
                .codes = codes,
                .cost = cost,
                .w = sqz_arena_alloc(&a, threads, r->cols * sizeof(float)),
                .y = sqz_arena_alloc(&a, threads, p->slice * sizeof(float))};
    sqz_status s = c.w && c.y ? sqz_parallel(r->ctx, r->rows, 1, cost_rows, &c) : SQZ_E_NOMEM;
    sqz_arena_free(&a);
    return s;
}
