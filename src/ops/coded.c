/* coded.c: see coded.h. Chunks are panels of outputs, for all rows. */
#include "ops/coded.h"
#include "ir/qgrid.h"
#include <math.h>

/* ---- the grid, as the kernels want it ---- */

/* What is added to codes to make them unsigned. */
static int32_t lift(sqz_dtype d) { return d == SQZ_S4 ? 8 : d == SQZ_S8 ? 128 : 0; }

/* Terms of a packed block: at most LONGEST, for which int8 rows stay fine enough and sums fit. A
 * divisor of the grid's blocks that is a multiple of 8; 0: there is none. */
enum { LONGEST = 256, USUAL = 128 };
static size_t block_of(const sqz_quant *q, size_t k)
{
    const size_t group = (size_t)q->group;
    if (group == 0 || group >= k)
        return SQZ_MIN(USUAL, (k + 7) / 8 * 8);
    if (group % 8)
        return 0;
    size_t block = SQZ_MIN(group, LONGEST) / 8 * 8;
    while (group % block)
        block -= 8;
    return block;
}

bool sqz_coded_fits(const sqz_quant *q, const sqz_shape *s, int32_t axis)
{
    const unsigned bits = sqz_dtype_bits(q->dtype);
    if (s->rank != 2 || s->dim[0] < 1 || s->dim[1] < 1)
        return false;
    if (q->dtype != SQZ_S4 && q->dtype != SQZ_U4 && q->dtype != SQZ_S8 && q->dtype != SQZ_U8)
        return false;
    if (q->group ? q->axis != axis : q->axis == axis)
        return false;
    for (uint32_t i = 0; i < q->n; i++) {
        const int64_t zero = (int64_t)q->zero[i] + lift(q->dtype);
        if (zero < 0 || zero >> bits != 0)
            return false;
    }
    return block_of(q, (size_t)s->dim[axis]) != 0;
}

/* ---- packing ---- */

typedef struct source { /* of sqz_blockw_source: output i, term t */
    const sqz_tensor *w;
    const sqz_quant *q;
    size_t ld_i, ld_t;
    size_t outer;      /* entries of the list of scales from block to block, or output to output */
    size_t step, each; /* terms in a packed block, and in one of the grid */
    bool by_terms;     /* the terms are axis 0 */
    size_t n_list;     /* blocks of the grid */
} source;

static int32_t code(const void *arg, size_t i, size_t t)
{
    const source *s = arg;
    const size_t at = i * s->ld_i + t * s->ld_t;
    switch (s->w->dtype) {
    case SQZ_S8: return ((const int8_t *)s->w->data)[at] + 128;
    case SQZ_U8: return ((const uint8_t *)s->w->data)[at];
    default: { /* two to a byte; flipping the sign bit lifts s4 by 8 */
        const int32_t v = ((const uint8_t *)s->w->data)[at / 2] >> at % 2 * 4 & 15;
        return s->w->dtype == SQZ_S4 ? v ^ 8 : v;
    }
    }
}

/* Entry of the grid's list for block b of output i. */
static size_t entry(const source *s, size_t i, size_t b)
{
    if (s->q->axis < 0)
        return 0;
    if (!s->q->group)
        return i;
    const size_t block = b * s->step / s->each;
    return s->by_terms ? block * s->outer + i : i * s->n_list + block;
}

static float scale(const void *arg, size_t i, size_t b)
{
    const source *s = arg;
    return s->q->scale[entry(s, i, b)];
}

static int32_t zero(const void *arg, size_t i, size_t b)
{
    const source *s = arg;
    return s->q->zero[entry(s, i, b)] + lift(s->w->dtype);
}

typedef struct pack_job {
    const sqz_blockw *w;
    const sqz_blockw_source *s;
} pack_job;

static sqz_status pack_chunk(void *arg, size_t begin, size_t end)
{
    const pack_job *j = arg;
    sqz_blockw_pack(j->w, j->s, begin * SQZ_PANEL, SQZ_MIN(end * SQZ_PANEL, j->w->n));
    return SQZ_OK;
}

static bool zeros_differ(const sqz_quant *q)
{
    for (uint32_t i = 1; i < q->n; i++)
        if (q->zero[i] != q->zero[0])
            return true;
    return false;
}

static sqz_status pack(const sqz_prep *p, int32_t axis, sqz_blockw *w)
{
    const sqz_tensor *t = p->in[1];
    const sqz_quant *q = p->in_q[1];
    const size_t k = sqz_dim(t, axis), n = sqz_dim(t, 1 - axis);
    *w = (sqz_blockw){.n = n,
                      .k = k,
                      .block = block_of(q, k),
                      .bits = sqz_dtype_bits(q->dtype),
                      .zeros = zeros_differ(q),
                      .zero = q->zero[0] + lift(q->dtype)};
    const size_t bytes = sqz_blockw_bytes(w);
    if (!bytes)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "weights of %zu x %zu are too large", n, k);
    w->data = sqz_arena_alloc(p->arena, bytes, 1);
    if (!w->data)
        return SQZ_E_NOMEM;
    const source s = {.w = t,
                      .q = q,
                      .ld_i = axis == 0 ? 1 : k,
                      .ld_t = axis == 0 ? n : 1,
                      .outer = n,
                      .step = w->block,
                      .each = q->group ? (size_t)q->group : k,
                      .by_terms = axis == 0,
                      .n_list = q->group ? (k + (size_t)q->group - 1) / (size_t)q->group : 1};
    const sqz_blockw_source from = {&s, code, scale, zero};
    pack_job job = {w, &from};
    return sqz_parallel(p->ctx, (n + SQZ_PANEL - 1) / SQZ_PANEL, 4, pack_chunk, &job);
}

/* ---- state ---- */

typedef struct coded {
    sqz_blockw w;
    size_t m, grain; /* rows; panels of a chunk */
    bool int8;
    unsigned bias;
    size_t at_scale, at_less; /* in the scratch, behind the codes of the rows */
} coded;

static bool rows_are_int8(const sqz_ctx *ctx, bool allowed)
{
    return ctx->rows == SQZ_ROWS_INT8 || (ctx->rows == SQZ_ROWS_MODEL && allowed);
}

/* Codes of all rows, their scales and sums. */
static sqz_status lay_out_rows(sqz_prep *p, coded *s)
{
    size_t codes, list, all;
    if (!sqz_mul(s->m, s->w.n_block, &list) || !sqz_mul(list, s->w.block, &codes) ||
        !sqz_mul(list, sizeof(float), &list) || !sqz_add(list, 2 * SQZ_ALIGN, &all) ||
        !sqz_mul(all, 2, &all) || !sqz_add(all, codes, &all))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "%zu rows are too many", s->m);
    s->at_scale = sqz_scratch_round(codes);
    s->at_less = s->at_scale + sqz_scratch_round(list);
    p->scratch_bytes = SQZ_MAX(p->scratch_bytes, s->at_less + list);
    return SQZ_OK;
}

sqz_status sqz_coded_prepare(sqz_prep *p, const sqz_coded_options *o)
{
    coded *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(pack(p, o->axis, &s->w));
    s->m = p->out[0]->count / s->w.n;
    s->bias = o->bias;
    s->int8 = rows_are_int8(p->ctx, o->int8_rows);
    /* some 10 us; few rows go by 4 panels */
    const size_t work = SQZ_PANEL * s->w.k * SQZ_MAX(s->m, (size_t)1);
    s->grain = (s->int8 ? (size_t)2 << 20 : (size_t)512 << 10) / SQZ_MAX(work, (size_t)1) + 1;
    s->grain = s->grain > 2 ? (s->grain + 3) / 4 * 4 : s->grain;
    p->state = s;
    return s->int8 ? lay_out_rows(p, s) : SQZ_OK;
}

/* ---- running ---- */

typedef struct job {
    const sqz_call *c;
    const coded *s;
    int8_t *q;
    float *scale;
    int32_t *less;
} job;

static sqz_status quantize_rows(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_blockw *w = &j->s->w;
    for (size_t r = begin; r < end; r++) {
        const size_t at = r * w->n_block;
        j->c->ctx->kernels->block_rows(w->k, w->block, SQZ_F32P(j->c->in[0]) + r * w->k,
                                       j->q + at * w->block, j->scale + at, j->less + at);
    }
    return SQZ_OK;
}

/* Outputs [begin, end) of row r: bias, residual, clamp. */
static void finish(const job *j, size_t r, size_t begin, size_t end)
{
    const sqz_fused *f = j->c->fused;
    const sqz_tensor *own = j->s->bias ? sqz_input(j->c, j->s->bias) : NULL;
    float *y = SQZ_F32P(j->c->out[0]) + r * j->s->w.n;
    for (size_t i = begin; own && i < end; i++)
        y[i] += SQZ_F32P(own)[i];
    if (!f)
        return;
    for (size_t i = begin; f->bias && i < end; i++)
        y[i] += SQZ_F32P(f->bias)[i];
    const float *add = f->add ? SQZ_F32P(f->add) + r * j->s->w.n : NULL;
    for (size_t i = begin; add && i < end; i++)
        y[i] += add[i];
    if (f->lo == -INFINITY && f->hi == INFINITY)
        return;
    for (size_t i = begin; i < end; i++) { /* a NaN stays one */
        y[i] = y[i] < f->lo ? f->lo : y[i];
        y[i] = y[i] > f->hi ? f->hi : y[i];
    }
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_kernels *kern = j->c->ctx->kernels;
    const sqz_blockw *w = &j->s->w;
    const size_t m = j->s->m, n = w->n;
    float *y = SQZ_F32P(j->c->out[0]);
    begin *= SQZ_PANEL;
    end = SQZ_MIN(end * SQZ_PANEL, n);
    if (j->s->int8)
        kern->blockw_s8(w, begin, end, &(sqz_block_rows){m, j->q, j->scale, j->less}, y, n);
    else
        kern->blockw_f32(w, begin, end, m, SQZ_F32P(j->c->in[0]), w->k, y, n);
    for (size_t r = 0; r < m; r++)
        finish(j, r, begin, end);
    return sqz_fused_block(j->c->fused, n, 0, m, begin, end);
}

sqz_status sqz_coded_run(const sqz_call *c)
{
    const coded *s = c->state;
    job j = {.c = c, .s = s};
    if (s->m == 0)
        return SQZ_OK;
    if (s->int8) {
        j.q = c->scratch;
        j.scale = (float *)(void *)((char *)c->scratch + s->at_scale);
        j.less = (int32_t *)(void *)((char *)c->scratch + s->at_less);
        SQZ_TRY(sqz_parallel(c->ctx, s->m, 32768 / s->w.k + 1, quantize_rows, &j));
    }
    return sqz_parallel(c->ctx, (s->w.n + SQZ_PANEL - 1) / SQZ_PANEL, s->grain, chunk, &j);
}
