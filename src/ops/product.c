/* product.c: see product.h. */
#include "ops/product.h"
#include "kernels/blas.h"
#include <math.h>

/* ---- right side ---- */

static const float *numbers(const sqz_tensor *t) { return t ? t->data : NULL; }

static void pack(const sqz_product *p, const float *w, const float *bias)
{
    for (size_t g = 0; g < p->w.groups; g++) {
        const size_t first = g * p->n;
        sqz_pack_f32(&p->packed[g], w + first * p->w.ld_n, p->w.ld_n, p->w.ld_k,
                     bias ? bias + first : NULL);
    }
}

sqz_status sqz_product_prepare(sqz_prep *p, const sqz_weights *w, sqz_product *out)
{
    const sqz_tensor *bias = w->bias && w->bias < p->n_in ? p->in[w->bias] : NULL;
    *out = (sqz_product){.w = *w, .n = w->n / w->groups};
    const size_t each = sqz_pack_f32_bytes(out->n, 1, w->k);
    size_t bytes;
    if (!sqz_mul(each, w->groups, &bytes) || !bytes)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the weights are too large");
    const bool known = p->in[w->slot]->data && (!bias || bias->data);
    char *data = known ? sqz_arena_room(p->arena, bytes, 1) : NULL;
    out->packed = sqz_arena_alloc(p->arena, w->groups, sizeof *out->packed);
    if ((known && !data) || !out->packed)
        return SQZ_E_NOMEM;
    for (size_t g = 0; g < w->groups; g++)
        out->packed[g] = (sqz_packed){out->n, 1, w->k, known ? data + g * each : NULL};
    out->shared = known ? 0 : bytes;
    if (known) {
        pack(out, p->in[w->slot]->data, numbers(bias));
        p->spent |= 1u << w->slot | (bias ? 1u << w->bias : 0);
    }
    return SQZ_OK;
}

typedef struct panels {
    const sqz_call *c;
    const sqz_product *p;
} panels;

/* Panels [begin, end) of all groups. */
static sqz_status pack_panels(void *arg, size_t begin, size_t end)
{
    const panels *j = arg;
    const sqz_product *p = j->p;
    const float *w = j->c->in[p->w.slot]->data;
    const float *bias = numbers(p->w.bias ? sqz_input(j->c, p->w.bias) : NULL);
    const size_t each = (p->n + SQZ_PANEL - 1) / SQZ_PANEL;
    for (size_t i = begin; i < end; i++) {
        const size_t at = i % each * SQZ_PANEL, first = i / each * p->n + at;
        sqz_packed one = p->packed[i / each];
        one.data = (float *)one.data + at * (one.n_seg * one.len + 1);
        one.n = SQZ_MIN(SQZ_PANEL, p->n - at);
        sqz_pack_f32(&one, w + first * p->w.ld_n, p->w.ld_n, p->w.ld_k, bias ? bias + first : NULL);
    }
    return SQZ_OK;
}

void sqz_product_start(const sqz_call *c, sqz_product *p)
{
    enum { FLOATS = 1 << 15 }; /* that are worth a piece of work */
    panels j = {c, p};
    const size_t each = (p->n + SQZ_PANEL - 1) / SQZ_PANEL;
    if (!p->shared)
        return;
    for (size_t g = 0; g < p->w.groups; g++)
        p->packed[g].data = (char *)c->scratch + g * (p->shared / p->w.groups);
    (void)sqz_parallel(c->ctx, each * p->w.groups, FLOATS / (SQZ_PANEL * (p->w.k + 1)) + 1,
                       pack_panels, &j); /* nothing in it fails */
}

/* ---- a part of the result ---- */

sqz_status sqz_product_run(const sqz_call *c, const sqz_product *p, const sqz_product_rows *r)
{
    const sqz_fused *f = c->fused;
    const size_t all = p->w.n;
    sqz_left l = r->l;
    sqz_out_f32 o = {
        .ld = all, .ld_add = all, .lo = f ? f->lo : -INFINITY, .hi = f ? f->hi : INFINITY};
    for (size_t g = 0; g < p->w.groups; g++, l.a = (const char *)l.a + r->group) {
        const size_t at = r->first * all + g * p->n;
        o.y = SQZ_F32P(c->out[0]) + at;
        o.bias = f && f->bias ? SQZ_F32P(f->bias) + g * p->n : NULL;
        o.add = f && f->add ? SQZ_F32P(f->add) + at : NULL;
        c->ctx->kernels->gemm_f32(&p->packed[g], r->begin, r->end, &l, &o);
    }
    const bool whole = r->end - r->begin == p->n; /* of each group */
    return sqz_fused_block(f, all, r->first, r->first + l.m, whole ? 0 : r->begin,
                           whole ? all : r->end);
}

sqz_status sqz_fused_rows(const sqz_call *c, size_t n, size_t begin, size_t end)
{
    const sqz_fused *f = c->fused;
    if (!f)
        return SQZ_OK;
    for (size_t i = begin; i < end; i++) {
        float *y = SQZ_F32P(c->out[0]) + i * n;
        const float *add = f->add ? SQZ_F32P(f->add) + i * n : NULL;
        for (size_t j = 0; f->bias && j < n; j++)
            y[j] += SQZ_F32P(f->bias)[j];
        for (size_t j = 0; add && j < n; j++)
            y[j] += add[j];
        for (size_t j = 0; j < n; j++) {
            const float v = y[j] < f->lo ? f->lo : y[j];
            y[j] = v > f->hi ? f->hi : v;
        }
    }
    return sqz_fused_then(f, begin * n, end * n);
}

/* ---- chunks ---- */

#define WIDE  (4 * SQZ_PANEL)     /* outputs: kernels take four panels together */
#define TALL  ((size_t)12)        /* rows: with fewer, reading the weights counts */
#define CACHE ((size_t)512 << 10) /* bytes that a chunk reads and writes */
#define SMALL ((size_t)600000)    /* products of a chunk: about 10 us on one core */
#define SHARE ((size_t)16)        /* chunks: enough for as many threads */

static size_t up(size_t a, size_t b) { return a / b + (a % b != 0); }
static size_t within(size_t v, size_t lo, size_t hi) { return v < lo ? lo : v > hi ? hi : v; }

void sqz_product_divide(const sqz_product *p, size_t rows, size_t bytes, sqz_division *s)
{
    /* few rows cost as much as three: their weights have to come from a cache */
    const double work = (double)SQZ_MAX(rows * s->units, (size_t)3) * (double)p->w.n *
                        (double)p->w.k / (double)SMALL;
    const size_t want = work > (double)SHARE ? SHARE : (size_t)work;
    const size_t least = within(up(TALL, SQZ_MAX(rows, (size_t)1)), 1,
                                SQZ_MAX(s->units, (size_t)1));
    const size_t fits = (size_t)((double)s->units * (double)bytes / (double)CACHE);
    s->n_ranges = within(SQZ_MAX(want, fits), 1, SQZ_MAX(s->units / least, (size_t)1));
    const size_t planes = s->plane ? s->units / s->plane : 1;
    if (s->n_ranges > planes && planes)
        s->n_ranges = SQZ_MIN(up(s->n_ranges, planes) * planes, s->units);
    s->n_outputs = p->w.groups > 1 ? 1 : within(want / s->n_ranges, 1, up(p->n, WIDE));
}

/* Begin of part i of n equal ones. */
static size_t bound(size_t all, size_t n, size_t i) { return all / n * i + all % n * i / n; }

static size_t unit_at(const sqz_division *s, size_t range)
{
    const size_t planes = s->units / s->plane;
    return s->n_ranges > planes ? bound(s->units, s->n_ranges, range)
                                : bound(planes, s->n_ranges, range) * s->plane;
}

sqz_chunk sqz_chunk_at(const sqz_division *s, size_t n, size_t i)
{
    const size_t range = i % s->n_ranges, part = i / s->n_ranges, wide = up(n, WIDE);
    return (sqz_chunk){.range = range,
                       .unit = unit_at(s, range),
                       .unit_end = unit_at(s, range + 1),
                       .begin = bound(wide, s->n_outputs, part) * WIDE,
                       .end = SQZ_MIN(bound(wide, s->n_outputs, part + 1) * WIDE, n)};
}

/* ---- a matrix on the left ---- */

/* Rows from which weights that are no constant are packed at each run. With fewer, OpenBLAS is
 * faster: measured at 16, 64 and 128 rows of 64 to 512 products. */
#define PACKED ((size_t)64)

sqz_status sqz_matrix_prepare(sqz_prep *p, const sqz_weights *w, size_t rows, size_t step,
                              sqz_matrix *out)
{
    *out = (sqz_matrix){.s = {.units = rows, .plane = SQZ_MAX(rows, (size_t)1)}, .step = step};
    SQZ_TRY(sqz_product_prepare(p, w, &out->p));
    sqz_product_divide(&out->p, 1, step + w->n * sizeof(float), &out->s);
    out->blas = out->p.shared && rows < PACKED && w->groups == 1;
    if (out->blas) {
        out->s.n_outputs = 1;
        return SQZ_OK;
    }
    if (!sqz_add(p->scratch_bytes, out->p.shared, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    return SQZ_OK;
}

typedef struct job {
    const sqz_call *c;
    const sqz_matrix *m;
} job;

static sqz_status blas_chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_weights *w = &j->m->p.w;
    const sqz_tensor *bias = w->bias ? sqz_input(j->c, w->bias) : NULL;
    const bool rows = w->ld_k == 1 && w->ld_n >= w->k; /* as (N,K), else as (K,N) */
    const sqz_sgemm g = {.m = j->m->s.units,
                         .n = w->n,
                         .k = w->k,
                         .a = SQZ_F32P(j->c->in[0]),
                         .lda = SQZ_MAX(j->m->step / sizeof(float), (size_t)1),
                         .b = SQZ_F32P(j->c->in[w->slot]),
                         .ldb = SQZ_MAX(rows ? w->ld_n : w->ld_k, (size_t)1),
                         .b_rows = rows,
                         .bias = bias ? SQZ_F32P(bias) : NULL,
                         .c = SQZ_F32P(j->c->out[0]),
                         .ldc = w->n};
    for (size_t i = begin; i < end; i++) {
        const sqz_chunk at = sqz_chunk_at(&j->m->s, w->n, i);
        sqz_sgemm_rows(&g, at.unit, at.unit_end);
        SQZ_TRY(sqz_fused_rows(j->c, w->n, at.unit, at.unit_end));
    }
    return SQZ_OK;
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    static const size_t start = 0;
    const job *j = arg;
    const sqz_matrix *m = j->m;
    for (size_t i = begin; i < end; i++) {
        const sqz_chunk at = sqz_chunk_at(&m->s, m->p.n, i);
        const sqz_product_rows r = {.l = {.a = (const char *)j->c->in[0]->data + at.unit * m->step,
                                          .m = at.unit_end - at.unit,
                                          .width = at.unit_end - at.unit,
                                          .step = m->step,
                                          .seg = &start,
                                          .n_seg = 1,
                                          .len = m->p.w.k},
                                    .group = m->p.w.k * sizeof(float),
                                    .first = at.unit,
                                    .begin = at.begin,
                                    .end = at.end};
        SQZ_TRY(sqz_product_run(j->c, &m->p, &r));
    }
    return SQZ_OK;
}

sqz_status sqz_matrix_run(const sqz_call *c, sqz_matrix *m)
{
    job j = {c, m};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    if (!m->blas)
        sqz_product_start(c, &m->p);
    return sqz_parallel(c->ctx, m->s.n_ranges * m->s.n_outputs, 1, m->blas ? blas_chunk : chunk,
                        &j);
}
