/* product_s8.c: see product_s8.h. */
#include "ops/product_s8.h"
#include "ops/band.h"
#include <string.h>

/* About 10 us of products on one fast core; a chunk below that costs more than it gives. */
#define CHUNK_MACS 2500000
/* Weights are streamed once for each chunk of rows: that costs as much as so many products each. */
#define WEIGHT_MACS 5
#define MANY_CHUNKS 16 /* enough for every thread to have work until the end */

static size_t ratio(size_t a, size_t b) { return (a + b - 1) / b; }

void sqz_s8_split(sqz_s8_product *p, size_t most)
{
    const size_t n = p->lin->out.n, groups = p->lin->groups;
    const size_t k = SQZ_MAX(p->n_seg * p->len, (size_t)1), panels = ratio(n, SQZ_PANEL);
    /* products of float size: sizes of hostile shapes do not overflow here */
    const double row = (double)k * (double)n, all = row * (double)p->rows,
                 weights = row / (double)groups;
    double want = SQZ_MAX((double)CHUNK_MACS, all / (4 * MANY_CHUNKS)) / row;
    if (weights > 128 * 1024)
        want = SQZ_MAX(want, 42.0);
    size_t rows = want < (double)p->rows ? (size_t)want + 1 : p->rows;
    rows = ratio(SQZ_MAX(SQZ_MIN(rows, most), (size_t)1), p->unit) * p->unit;
    const size_t chunks = ratio(p->rows, rows);
    p->grain = rows;
    p->columns = n;
    if (chunks == 0 || chunks >= MANY_CHUNKS || groups > 1)
        return;
    const double cost = SQZ_MAX(row * (double)SQZ_MIN(rows, p->rows), WEIGHT_MACS * weights);
    const size_t worth = (size_t)SQZ_MIN(cost / CHUNK_MACS, (double)MANY_CHUNKS);
    const size_t parts = SQZ_MIN(SQZ_MIN(ratio(MANY_CHUNKS, chunks), worth), panels / 2);
    if (parts > 1)
        p->columns = ratio(ratio(panels, parts), 2) * 2 * SQZ_PANEL;
}

typedef struct job {
    const sqz_call *c;
    const sqz_s8_product *p;
    sqz_s8_rows_fn fn;
    void *arg;
} job;

static sqz_status chunks(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_s8_product *p = j->p;
    const size_t n = p->lin->out.n, parts = ratio(n, p->columns);
    for (size_t i = begin; i < end; i++) {
        const size_t row = i / parts * p->grain, from = i % parts * p->columns;
        SQZ_TRY(j->fn(j->c, p, j->arg, row, SQZ_MIN(row + p->grain, p->rows), from,
                      SQZ_MIN(from + p->columns, n)));
    }
    return SQZ_OK;
}

sqz_status sqz_s8_run(const sqz_call *c, const sqz_s8_product *p, sqz_s8_rows_fn fn, void *arg)
{
    job j = {c, p, fn, arg};
    const size_t parts = ratio(p->lin->out.n, p->columns);
    return sqz_parallel(c->ctx, ratio(p->rows, p->grain) * parts, 1, chunks, &j);
}

char *sqz_s8_scratch(const sqz_call *c, const sqz_s8_product *p)
{
    return (char *)c->scratch + (size_t)sqz_worker_index() * p->each;
}

sqz_status sqz_s8_store(const sqz_call *c, const sqz_s8_product *p, const sqz_left *l, size_t row,
                        size_t from, size_t to)
{
    const sqz_linear *lin = p->lin;
    const size_t n = lin->out.n, each = n / lin->groups;
    sqz_left left = *l;
    left.seg = p->seg;
    left.n_seg = p->n_seg;
    left.len = p->len;
    for (size_t g = 0; g < lin->groups; g++) {
        sqz_requant rq = lin->out;
        rq.mult += g * each;
        rq.shift += g * each;
        rq.scale = rq.scale ? rq.scale + g * each : NULL;
        rq.offset = rq.scale ? rq.offset + g * each : NULL;
        const sqz_out_s8 o = {SQZ_S8P(c->out[0]) + row * n + g * each, n, &rq};
        c->ctx->kernels->gemm_s8(&lin->right[g], from, SQZ_MIN(to, each), &left, &o);
        left.a = (const char *)left.a + p->next;
    }
    return sqz_fused_block(c->fused, n, row, row + l->m, from, to);
}

/* ---- matrices ---- */

/* Rows of a block that is copied. */
static size_t block_rows(size_t k) { return SQZ_MAX((size_t)16384 / SQZ_MAX(k, (size_t)1), 56); }

static bool is_direct(const sqz_ctx *ctx, const sqz_s8_product *p)
{
    return !ctx->kernels->s8_flip && p->len % 4 == 0;
}

sqz_status sqz_s8_prepare_matrix(sqz_prep *p, sqz_s8_product *out)
{
    static const size_t zero;
    const size_t wide = out->len * out->lin->groups;
    size_t bytes = 0;
    out->seg = &zero;
    out->n_seg = 1;
    out->next = out->len;
    sqz_s8_split(out, SIZE_MAX);
    if (!is_direct(p->ctx, out) && (!sqz_mul(SQZ_MIN(block_rows(wide), out->grain), wide, &bytes) ||
                                    !sqz_add(bytes, SQZ_BAND_SLACK, &bytes)))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "rows of %zu numbers are too long", wide);
    out->each = sqz_scratch_round(bytes);
    return sqz_scratch_all(p, out->each);
}

typedef struct matrix {
    size_t width, step, line;
} matrix;

static void copy_rows(const sqz_call *c, const matrix *x, size_t wide, size_t r, size_t m,
                      char *out)
{
    const uint8_t flip = c->ctx->kernels->s8_flip;
    const char *a = c->in[0]->data;
    if (x->step == wide &&
        (x->line == x->width * x->step || r / x->width == (r + m - 1) / x->width))
        sqz_band_copy(out, a + r / x->width * x->line + r % x->width * wide, m * wide, flip);
    else
        for (size_t end = r + m; r < end; r++, out += wide)
            sqz_band_copy(out, a + r / x->width * x->line + r % x->width * x->step, wide, flip);
}

static sqz_status matrix_chunk(const sqz_call *c, const sqz_s8_product *p, void *arg, size_t begin,
                               size_t end, size_t from, size_t to)
{
    const matrix *x = arg;
    const size_t wide = p->len * p->lin->groups, most = block_rows(wide);
    char *rows = sqz_s8_scratch(c, p);
    if (is_direct(c->ctx, p)) {
        const int8_t *a = SQZ_S8P(c->in[0]) + begin / x->width * x->line +
                          begin % x->width * x->step;
        const sqz_left l = {
            .a = a, .m = end - begin, .width = x->width, .step = x->step, .line = x->line};
        return sqz_s8_store(c, p, &l, begin, from, to);
    }
    for (size_t r = begin, m; r < end; r += m) {
        m = SQZ_MIN(end - r, most);
        copy_rows(c, x, wide, r, m, rows);
        const sqz_left l = {.a = rows, .m = m, .width = m, .step = wide};
        SQZ_TRY(sqz_s8_store(c, p, &l, r, from, to));
    }
    return SQZ_OK;
}

sqz_status sqz_s8_run_matrix(const sqz_call *c, const sqz_s8_product *p, size_t width, size_t step,
                             size_t line)
{
    matrix x = {width, step, line};
    return sqz_s8_run(c, p, matrix_chunk, &x);
}
