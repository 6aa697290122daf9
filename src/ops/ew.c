/* ew.c: float runs of elementwise operators, and broadcasting. */
#include "ops/ew.h"
#include "ops/walk.h"
#include <string.h>

#define GRAIN 16384 /* elements of one piece of work */

sqz_status sqz_need_real(const sqz_infer *q, unsigned i)
{
    if (sqz_dtype_is_float(q->in[i]->dtype) || q->in[i]->quant)
        return SQZ_OK;
    return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input %u is %s, expected floats", i,
                    sqz_dtype_name(q->in[i]->dtype));
}

sqz_status sqz_need_s8(const sqz_prep *p, unsigned n_in, bool *integer)
{
    unsigned n = 0;
    for (unsigned i = 0; i <= n_in; i++) {
        const sqz_quant *g = i < n_in ? sqz_grid_in(p, i) : sqz_grid_out(p);
        if (g && (g->dtype != SQZ_S8 || g->n != 1))
            return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                            "an %s grid with %u scales, expected int8 with one",
                            sqz_dtype_name(g->dtype), (unsigned)g->n);
        n += g != NULL;
    }
    if (n != 0 && n != n_in + 1)
        return sqz_fail(p->ctx, SQZ_E_INTERNAL,
                        "%u of %u values stand on a grid, expected all or none", n, n_in + 1);
    *integer = n != 0;
    return SQZ_OK;
}

sqz_status sqz_need_same_grid(const sqz_prep *p)
{
    bool integer = false;
    SQZ_TRY(sqz_need_s8(p, p->n_in, &integer));
    for (unsigned i = 0; integer && i < p->n_in; i++)
        if (p->in_q[i]->scale[0] != p->out_q[0]->scale[0] ||
            p->in_q[i]->zero[0] != p->out_q[0]->zero[0])
            return sqz_fail(p->ctx, SQZ_E_INTERNAL, "input %u and the output are on two grids", i);
    return SQZ_OK;
}

/* ---- unary ---- */

/* The sentence about an input whose type is not in the table. */
static sqz_status refuse(const sqz_infer *q, unsigned i, bool floats, bool wholes)
{
    const char *want = floats && wholes ? "floats or integers"
                       : floats         ? "floats"
                       : wholes         ? "integers"
                                        : "bool";
    return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input %u is %s, expected %s", i,
                    sqz_dtype_name(q->in[i]->dtype), want);
}

sqz_status sqz_ew_infer(sqz_infer *q, const sqz_ew_maps *maps)
{
    const sqz_dtype d = q->in[0]->dtype;
    q->out[0] = q->in[0]->shape;
    if (q->in[0]->quant || maps->of[d] || (sqz_dtype_is_float(d) && maps->of[SQZ_F32]))
        return SQZ_OK;
    return refuse(q, 0, maps->of[SQZ_F32] != NULL, maps->of[SQZ_S64] || maps->of[SQZ_U64]);
}

static size_t size_of(const sqz_tensor *t) { return sqz_dtype_bits(t->dtype) / 8; }

typedef struct map_job {
    const sqz_call *c;
    const sqz_ew_maps *maps;
} map_job;

static sqz_status map_piece(void *arg, size_t begin, size_t end)
{
    const map_job *j = arg;
    const sqz_tensor *x = j->c->in[0], *y = j->c->out[0];
    float p[2] = {0, 0};
    const sqz_map_kind fast = x->dtype != SQZ_F32 ? SQZ_MAP_none
                              : j->maps->choose   ? j->maps->choose(j->c->attrs, p)
                                                  : j->maps->fast;
    if (fast) {
        j->c->ctx->kernels->map_f32(fast, p, SQZ_F32P(x) + begin, SQZ_F32P(y) + begin, end - begin);
    } else {
        j->maps->of[x->dtype](j->c->attrs, (const char *)x->data + begin * size_of(x),
                              (char *)y->data + begin * size_of(y), end - begin);
    }
    return SQZ_OK;
}

sqz_status sqz_ew_run(const sqz_call *c, const sqz_ew_maps *maps)
{
    map_job j = {c, maps};
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, map_piece, &j);
}

sqz_status sqz_ew_part(const sqz_call *c, const sqz_ew_maps *maps, size_t begin, size_t end)
{
    map_job j = {c, maps};
    return c->state ? sqz_lut_part(c, begin, end) : map_piece(&j, begin, end);
}

/* ---- broadcasting ---- */

#define BLOCK    256  /* elements that a repeated operand is spread to */
#define REPEATED 2048 /* bytes of repeated rows */
#define MOST_IN  SQZ_WALK_IN

typedef struct job { /* operands along a walk */
    sqz_walk w;
    unsigned n_in;
    bool repeats;                 /* along the last dimension, some operand is one element */
    size_t size[MOST_IN], y_size; /* bytes of an element */
    const unsigned char *x[MOST_IN];
    unsigned char *y;
    sqz_row_fn row;
    const void *arg;
    const sqz_kernels *kernels;
    sqz_bin_kind fast; /* the kernel that computes it; none: row */
} job;

static void spread(unsigned char *block, const unsigned char *from, size_t size, size_t n)
{
    if (size == 1)
        memset(block, *from, n);
    else
        for (size_t i = 0; i < n; i++)
            memcpy(block + i * size, from, size);
}

/* Operands 0 and 1 of two; of three, the first is the argument. */
static void call_row(const job *j, const unsigned char *const x[MOST_IN], unsigned char *y,
                     size_t n)
{
    if (j->n_in == 2)
        j->row(j->arg, x[0], x[1], y, n);
    else
        j->row(x[0], x[1], x[2], y, n);
}

/* A row in which some operands are one element each. */
static void run_repeating(const job *j, const unsigned char *const from[MOST_IN], unsigned char *y,
                          size_t n)
{
    _Alignas(8) unsigned char block[MOST_IN - 1][BLOCK * 8]; /* one operand at least is whole */
    const unsigned char *x[MOST_IN] = {from[0], from[1], from[2]};
    const size_t *step = j->w.step[j->w.n_dim - 1];
    unsigned used = 0;
    for (unsigned k = 0; k < j->n_in; k++)
        if (!step[k]) {
            spread(block[used], from[k], j->size[k], SQZ_MIN(n, (size_t)BLOCK));
            x[k] = block[used++];
        }
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = SQZ_MIN(n - i, (size_t)BLOCK);
        call_row(j, x, y + i * j->y_size, m);
        for (unsigned k = 0; k < j->n_in; k++)
            x[k] += step[k] * m * j->size[k];
    }
}

/* Whole rows of two operands, the second or the first of which is the same row in all: repeated in
 * a block, so that short rows go many at a time. `rows`: how many may. */
static void run_alike(const job *j, const unsigned char *const from[MOST_IN], unsigned char *y,
                      size_t n, size_t rows)
{
    _Alignas(8) unsigned char block[REPEATED];
    const unsigned char *x[MOST_IN] = {from[0], from[1], NULL};
    const unsigned k = j->w.step[j->w.n_dim - 2][0] ? 1 : 0;
    const size_t bytes = n * j->size[k], m = SQZ_MIN(rows, REPEATED / bytes);
    for (size_t i = 0; i < m; i++)
        memcpy(block + i * bytes, from[k], bytes);
    x[k] = block;
    for (size_t i = 0, some; i < rows; i += some) {
        some = SQZ_MIN(m, rows - i);
        call_row(j, x, y + i * n * j->y_size, some * n);
        x[!k] += some * n * j->size[!k];
    }
}

/* Rows of n elements are short, and one operand repeats its row. */
static bool is_alike(const job *j, size_t n)
{
    const int d = j->w.n_dim - 2; /* the dimension in front of the rows */
    if (j->n_in != 2 || j->repeats || d < 0 || n * j->size[0] > REPEATED / 4)
        return false;
    const size_t *step = j->w.step[d];
    return (step[0] == 0 && step[1] == n) || (step[1] == 0 && step[0] == n);
}

/* The kernel takes as many whole rows as lie side by side. */
static void run_fast(const job *j, size_t at, size_t rows, size_t n, const size_t *from)
{
    const sqz_walk *w = &j->w;
    const int last = w->n_dim - 1;
    sqz_operand x[2];
    for (unsigned k = 0; k < 2; k++)
        x[k] = (sqz_operand){.x = (const float *)j->x[k] + from[k],
                             .row = last ? w->step[last - 1][k] : 0,
                             .step = w->step[last][k]};
    j->kernels->bin_f32(j->fast, &x[0], &x[1], (float *)j->y + at, rows, n);
}

static sqz_status walk_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_walk *w = &j->w;
    const size_t wide = w->dim[w->n_dim - 1], high = w->n_dim > 1 ? w->dim[w->n_dim - 2] : 1;
    for (size_t at = begin, n, rows; at < end; at += n * rows) {
        const size_t col = at % wide;
        size_t from[MOST_IN];
        const unsigned char *x[MOST_IN] = {0};
        n = SQZ_MIN(wide - col, end - at);
        const bool alike = n == wide && (j->fast || is_alike(j, n));
        rows = alike ? SQZ_MIN(high - at / wide % high, (end - at) / n) : 1;
        sqz_walk_at(w, at, from);
        for (unsigned k = 0; k < j->n_in; k++)
            x[k] = j->x[k] + from[k] * j->size[k];
        if (j->fast)
            run_fast(j, at, rows, n, from);
        else if (j->repeats)
            run_repeating(j, x, j->y + at * j->y_size, n);
        else if (alike)
            run_alike(j, x, j->y + at * j->y_size, n, rows);
        else
            call_row(j, x, j->y + at * j->y_size, n);
    }
    return SQZ_OK;
}

static job job_of(const sqz_call *c, unsigned n_in, sqz_row_fn row, const void *arg)
{
    job j = {.n_in = n_in, .y = c->out[0]->data, .row = row, .arg = arg};
    j.y_size = size_of(c->out[0]);
    for (unsigned k = 0; k < n_in; k++) {
        j.x[k] = c->in[k]->data;
        j.size[k] = size_of(c->in[k]);
    }
    sqz_walk_plan(&j.w, c->in, n_in, &c->out[0]->shape);
    for (unsigned k = 0; k < n_in; k++)
        j.repeats = j.repeats || !j.w.step[j.w.n_dim - 1][k];
    return j;
}

sqz_status sqz_ew_broadcast(const sqz_call *c, sqz_row_fn row, const void *arg)
{
    job j = job_of(c, 2, row, arg);
    return sqz_parallel(c->ctx, c->out[0]->count, 4 * GRAIN / j.y_size, walk_piece, &j);
}

static bool is_plain(const sqz_call *c) /* nothing repeats: no walk to plan */
{
    return c->in[0]->count == c->out[0]->count && c->in[1]->count == c->out[0]->count;
}

sqz_status sqz_ew_broadcast_part(const sqz_call *c, sqz_row_fn row, const void *arg, size_t begin,
                                 size_t end)
{
    const sqz_tensor *a = c->in[0], *b = c->in[1], *y = c->out[0];
    if (is_plain(c)) {
        const size_t from = begin * size_of(a);
        row(arg, (const char *)a->data + from, (const char *)b->data + from,
            (char *)y->data + begin * size_of(y), end - begin);
        return SQZ_OK;
    }
    job j = job_of(c, 2, row, arg);
    return walk_piece(&j, begin, end);
}

sqz_status sqz_ew_broadcast3(const sqz_call *c, sqz_row_fn row)
{
    job j = job_of(c, 3, row, NULL);
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, walk_piece, &j);
}

/* ---- binary ---- */

sqz_status sqz_ew_infer2(sqz_infer *q, const sqz_rows *rows)
{
    const sqz_value *a = q->in[0], *b = q->in[1];
    const bool floats = rows->of[SQZ_F32] != NULL;
    if (a->dtype != b->dtype)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "inputs are %s and %s, expected one type",
                        sqz_dtype_name(a->dtype), sqz_dtype_name(b->dtype));
    if (!a->quant && !rows->of[a->dtype] && !(floats && sqz_dtype_is_float(a->dtype)))
        return refuse(q, 0, floats, rows->of[SQZ_S64] || rows->of[SQZ_U64]);
    return sqz_shape_broadcast(q->ctx, &a->shape, &b->shape, &q->out[0]);
}

static job job_of2(const sqz_call *c, const sqz_rows *rows)
{
    const sqz_dtype d = c->in[0]->dtype;
    job j = job_of(c, 2, rows->of[d], c->attrs);
    j.fast = d == SQZ_F32 ? rows->fast : SQZ_BIN_none;
    j.kernels = c->ctx->kernels;
    return j;
}

sqz_status sqz_ew_run2(const sqz_call *c, const sqz_rows *rows)
{
    job j = job_of2(c, rows);
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, walk_piece, &j);
}

sqz_status sqz_ew_part2(const sqz_call *c, const sqz_rows *rows, size_t begin, size_t end)
{
    if (rows->fast && c->in[0]->dtype == SQZ_F32 && is_plain(c)) {
        const sqz_operand a = {.x = SQZ_F32P(c->in[0]) + begin, .step = 1},
                          b = {.x = SQZ_F32P(c->in[1]) + begin, .step = 1};
        c->ctx->kernels->bin_f32(rows->fast, &a, &b, SQZ_F32P(c->out[0]) + begin, 1, end - begin);
        return SQZ_OK;
    }
    if (is_plain(c))
        return sqz_ew_broadcast_part(c, rows->of[c->in[0]->dtype], c->attrs, begin, end);
    job j = job_of2(c, rows);
    return walk_piece(&j, begin, end);
}

sqz_status sqz_ew_no_zero(const sqz_call *c)
{
    const sqz_tensor *b = c->in[1];
    static const unsigned char zero[8] = {0};
    const size_t size = size_of(b);
    if (sqz_dtype_is_float(b->dtype))
        return SQZ_OK;
    for (size_t i = 0; i < b->count; i++)
        if (memcmp((const char *)b->data + i * size, zero, size) == 0)
            return sqz_fail(c->ctx, SQZ_E_ARG, "division of integers by zero at element %zu", i);
    return SQZ_OK;
}
