/* pool.c: see pool.h. */
#include "ops/pool.h"
#include "kernels/multiplier.h"
#include "ops/ew.h"
#include "ops/pool_rows.h"
#include "runtime/sqz_rt.h"
#include <string.h>

/* ---- shapes ---- */

sqz_status sqz_pool_window(sqz_ctx *ctx, const sqz_pool_attrs *at, const sqz_shape *x, int32_t s,
                           sqz_window *w)
{
    static const sqz_window_attrs plain;
    int32_t n = 1;
    int64_t all = 1;
    if (!at) {
        if (x->rank < 3)
            return sqz_fail(ctx, SQZ_E_SHAPE, "the input has rank %d, expected 3 or more",
                            (int)x->rank);
        for (int32_t i = 0; i < x->rank - 2; i++)
            all *= x->dim[s + i];
        return sqz_window_make(ctx, n, &all, &all, &plain, false, w);
    }
    SQZ_TRY(sqz_window_rank(ctx, x, &n));
    if (at->kernel_shape.n != (uint32_t)n)
        return sqz_fail(ctx, SQZ_E_SHAPE, "kernel_shape has %u entries, expected %d",
                        (unsigned)at->kernel_shape.n, (int)n);
    return sqz_window_make(ctx, n, x->dim + s, at->kernel_shape.v, &at->window, at->ceil_mode, w);
}

static sqz_status infer(sqz_infer *q, const sqz_pool_attrs *at)
{
    const sqz_shape *x = &q->in[0]->shape;
    const int32_t s = sqz_axis_s(q->in[0]);
    sqz_window w;
    SQZ_TRY(sqz_pool_window(q->ctx, at, x, s, &w));
    q->out[0] = *x;
    for (int32_t i = 0; i < x->rank - 2; i++)
        q->out[0].dim[s + i] = at ? w.out[i + SQZ_WINDOW_AXES + 2 - x->rank] : 1;
    if (q->n_out > 1) {
        q->out[1] = q->out[0];
        q->out_dtype[1] = SQZ_S64;
    }
    return SQZ_OK;
}

static sqz_status need_ordered(const sqz_infer *q)
{
    const sqz_dtype d = q->in[0]->dtype;
    return d == SQZ_S8 || d == SQZ_U8 ? SQZ_OK : sqz_need_real(q, 0);
}
sqz_status sqz_pool_infer(sqz_infer *q)
{
    SQZ_TRY(sqz_need_real(q, 0));
    return infer(q, q->attrs);
}
sqz_status sqz_pool_infer_global(sqz_infer *q)
{
    SQZ_TRY(sqz_need_real(q, 0));
    return infer(q, NULL);
}
sqz_status sqz_pool_infer_max(sqz_infer *q)
{
    SQZ_TRY(need_ordered(q));
    return infer(q, q->attrs);
}
sqz_status sqz_pool_infer_global_max(sqz_infer *q)
{
    SQZ_TRY(need_ordered(q));
    return infer(q, NULL);
}

/* One operation for each tap of each output. */
void sqz_pool_cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_pool_attrs *at = q->attrs; /* empty for global pools: n stays 0 */
    const sqz_shape *x = &q->in[0]->shape, *y = &q->out[0];
    *out = (sqz_cost){.kind = SQZ_COST_POOL, .ops = 1};
    for (int32_t i = 0; i < y->rank; i++)
        out->ops *= (uint64_t)y->dim[i];
    for (int32_t i = 0; i < x->rank - 2; i++)
        out->ops *= (uint64_t)(at ? at->kernel_shape.v[i] : x->dim[sqz_axis_s(q->in[0]) + i]);
}

/* ---- import ---- */

/* The size of the window; LpPool of opset 1 may leave it out: one element then. */
static sqz_status kernel_of(sqz_import *im, sqz_ints *out)
{
    const sqz_raw_attr *k = sqz_import_attr(im, "kernel_shape");
    const int32_t rank = sqz_val(im->g, im->in[0])->shape.rank;
    if (k && k->ints.n) {
        *out = k->ints;
        return SQZ_OK;
    }
    if (strcmp(im->op_type, "LpPool") != 0 || im->opset > 1 || rank < 3)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "attribute 'kernel_shape' is missing");
    int64_t *ones = sqz_arena_alloc(&im->g->arena, (size_t)rank - 2, sizeof *ones);
    if (!ones)
        return SQZ_E_NOMEM;
    for (int32_t i = 0; i < rank - 2; i++)
        ones[i] = 1;
    *out = (sqz_ints){(uint32_t)rank - 2, ones};
    return SQZ_OK;
}

sqz_status sqz_pool_import(sqz_import *im, const sqz_op *op)
{
    sqz_pool_attrs at;
    const sqz_raw_attr *p = sqz_import_attr(im, "p"); /* a float in opset 1, then an integer */
    sqz_opts_default(&op->info, &at);
    SQZ_TRY(kernel_of(im, &at.kernel_shape));
    at.ceil_mode = sqz_import_int(im, "ceil_mode", 0) != 0;
    at.count_include_pad = sqz_import_int(im, "count_include_pad", 0) != 0;
    at.storage_order = sqz_import_int(im, "storage_order", 0) != 0;
    at.p = p && p->type == 1 ? (double)p->f : (double)sqz_import_int(im, "p", 2);
    SQZ_TRY(sqz_window_import(im, (int32_t)at.kernel_shape.n, at.kernel_shape.v, &at.window));
    bool dilated = false;
    for (uint32_t i = 0; i < at.window.dilations.n; i++)
        dilated = dilated || at.window.dilations.v[i] != 1;
    if (!dilated) /* older opsets have no dilations in pools: none are written then */
        at.window.dilations.n = 0;
    return sqz_import_node(im, op, &at, im->in, 1);
}

/* ---- state ---- */

typedef struct state {
    sqz_window w;
    int64_t n, c;
    sqz_dtype type; /* of the elements */
    bool count_pad;
    bool columns_first; /* storage_order 1 of the indices */
    double p;
    sqz_rt_pool rt; /* averages of int8: grids and factors only */
} state;

static sqz_status prepare(sqz_prep *p, const sqz_pool_attrs *at)
{
    const sqz_shape *x = &p->in[0]->shape;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_pool_window(p->ctx, at, x, 1, &s->w));
    s->n = x->dim[0];
    s->c = x->dim[x->rank - 1];
    s->type = p->in[0]->dtype;
    s->count_pad = at && at->count_include_pad;
    s->columns_first = at && at->storage_order;
    s->p = at ? at->p : 0;
    if (s->n > INT32_MAX || s->c > INT32_MAX)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "a tensor of %lld samples and %lld channels",
                        (long long)s->n, (long long)s->c);
    p->state = s;
    return SQZ_OK;
}
sqz_status sqz_pool_prepare(sqz_prep *p) { return prepare(p, p->attrs); }

sqz_status sqz_pool_prepare_max(sqz_prep *p)
{
    SQZ_TRY(sqz_need_same_grid(p));
    return prepare(p, p->attrs);
}

#define MAX_TAPS 65536 /* 255 of each stay below the 2^24 of sqz_rt_small_to_s8 */

/* Multipliers of s_in / (s_out * k) for every count k of taps. */
sqz_status sqz_pool_prepare_average(sqz_prep *p)
{
    bool integer = false;
    SQZ_TRY(sqz_need_s8(p, 1, &integer));
    SQZ_TRY(prepare(p, p->attrs));
    if (!integer)
        return SQZ_OK;
    state *s = p->state;
    int64_t taps = 1;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++) {
        taps *= SQZ_MIN(s->w.k[a], MAX_TAPS + 1);
        if (taps > MAX_TAPS)
            return sqz_fail(p->ctx, SQZ_E_LIMIT, "an int8 average over more than %d elements",
                            MAX_TAPS);
    }
    int32_t *mult = sqz_arena_alloc(p->arena, (size_t)taps, sizeof *mult);
    int32_t *shift = sqz_arena_alloc(p->arena, (size_t)taps, sizeof *shift);
    if (!mult || !shift)
        return SQZ_E_NOMEM;
    const double ratio = (double)p->in_q[0]->scale[0] / (double)p->out_q[0]->scale[0];
    for (int64_t k = 1; k <= taps; k++)
        sqz_multiplier(ratio / (double)k, &mult[k - 1], &shift[k - 1]);
    s->rt.mult = mult;
    s->rt.shift = shift;
    s->rt.in_zero = p->in_q[0]->zero[0];
    s->rt.out_zero = p->out_q[0]->zero[0];
    return SQZ_OK;
}

/* ---- one pixel at a time; work is split by output rows of all samples ---- */

#define BLOCK 128 /* channels that are accumulated together */

typedef struct job {
    const state *s;
    const void *x;
    void *y;
    int64_t *index; /* of the largest element, NULL: not wanted */
} job;

typedef struct taps { /* of one output pixel: those inside the image, and the divisor */
    int64_t lo[SQZ_WINDOW_AXES], hi[SQZ_WINDOW_AXES], first[SQZ_WINDOW_AXES];
    double counted;
    size_t sample;
} taps;

static taps taps_at(const state *s, const int64_t o[SQZ_WINDOW_AXES])
{
    sqz_window padded = s->w; /* the image with its padding, for count_include_pad */
    taps t = {.counted = 1};
    for (int a = 0; a < SQZ_WINDOW_AXES; a++) {
        int64_t lo, hi;
        sqz_window_taps(&s->w, a, o[a], &t.lo[a], &t.hi[a]);
        padded.in[a] += padded.begin[a] + padded.end[a];
        padded.begin[a] = 0;
        sqz_window_taps(s->count_pad ? &padded : &s->w, a, o[a], &lo, &hi);
        t.counted *= (double)(hi - lo);
        t.first[a] = sqz_window_input(&s->w, a, o[a], 0);
    }
    return t;
}

/* Goes over the taps inside the image in order of their index; `at` is the index of the first
 * channel of a tap in the sample. */
typedef struct walk {
    int64_t k[SQZ_WINDOW_AXES], pixel;
} walk;
static bool begin_walk(const taps *t, walk *k)
{
    bool some = true;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++) {
        k->k[a] = t->lo[a];
        some = some && t->lo[a] < t->hi[a];
    }
    return some;
}
static bool next_tap(const taps *t, walk *k)
{
    for (int a = SQZ_WINDOW_AXES - 1; a >= 0; a--) {
        if (++k->k[a] < t->hi[a])
            return true;
        k->k[a] = t->lo[a];
    }
    return false;
}
static int64_t pixel_of(const state *s, const taps *t, const walk *k)
{
    int64_t at = 0;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        at = at * s->w.in[a] + t->first[a] + k->k[a] * s->w.dil[a];
    return at;
}
#define EACH_TAP(s, t, k) for (bool k##_ = begin_walk(t, &(k)); k##_; k##_ = next_tap(t, &(k)))

static void max_f32(const state *s, const taps *t, const void *x, void *y)
{
    float *out = y;
    walk k;
    for (int64_t c = 0; c < s->c; c++)
        out[c] = -INFINITY;
    EACH_TAP(s, t, k)
    {
        const float *v = (const float *)x + pixel_of(s, t, &k) * s->c;
        for (int64_t c = 0; c < s->c; c++)
            out[c] = v[c] > out[c] || isnan(v[c]) ? v[c] : out[c];
    }
}

static void max_s8(const state *s, const taps *t, const void *x, void *y)
{
    walk k;
    memset(y, INT8_MIN, (size_t)s->c);
    EACH_TAP(s, t, k)
    {
        const int8_t *v = (const int8_t *)x + pixel_of(s, t, &k) * s->c;
        for (int64_t c = 0; c < s->c; c++)
            ((int8_t *)y)[c] = SQZ_MAX(v[c], ((int8_t *)y)[c]);
    }
}

static void max_u8(const state *s, const taps *t, const void *x, void *y)
{
    walk k;
    memset(y, 0, (size_t)s->c);
    EACH_TAP(s, t, k)
    {
        const uint8_t *v = (const uint8_t *)x + pixel_of(s, t, &k) * s->c;
        for (int64_t c = 0; c < s->c; c++)
            ((uint8_t *)y)[c] = SQZ_MAX(v[c], ((uint8_t *)y)[c]);
    }
}

static void average_f32(const state *s, const taps *t, const void *x, void *y)
{
    walk k;
    for (int64_t c0 = 0; c0 < s->c; c0 += BLOCK) {
        const int64_t n = SQZ_MIN(s->c - c0, (int64_t)BLOCK);
        double acc[BLOCK] = {0};
        EACH_TAP(s, t, k)
        {
            const float *v = (const float *)x + pixel_of(s, t, &k) * s->c + c0;
            for (int64_t c = 0; c < n; c++)
                acc[c] += (double)v[c];
        }
        for (int64_t c = 0; c < n; c++)
            ((float *)y)[c0 + c] = t->counted > 0 ? (float)(acc[c] / t->counted) : 0.0f;
    }
}

/* The average of the runtime, over more axes than it has. */
static void average_s8(const state *s, const taps *t, const void *x, void *y)
{
    const int32_t counted = (int32_t)t->counted;
    walk k;
    for (int64_t c0 = 0; c0 < s->c; c0 += BLOCK) {
        const int64_t n = SQZ_MIN(s->c - c0, (int64_t)BLOCK);
        int32_t acc[BLOCK] = {0};
        EACH_TAP(s, t, k)
        {
            const int8_t *v = (const int8_t *)x + pixel_of(s, t, &k) * s->c + c0;
            for (int64_t c = 0; c < n; c++)
                acc[c] += v[c] - s->rt.in_zero;
        }
        for (int64_t c = 0; c < n; c++)
            ((int8_t *)y)[c0 + c] = counted ? sqz_rt_small_to_s8(acc[c], s->rt.mult[counted - 1],
                                                                 s->rt.shift[counted - 1],
                                                                 s->rt.out_zero, INT8_MIN, INT8_MAX)
                                            : (int8_t)s->rt.out_zero;
    }
}

/* |v|^p, fast where models are. */
static double power(double v, double p)
{
    v = fabs(v);
    return p == 2 ? v * v : p == 1 ? v : pow(v, p);
}

static void lp_f32(const state *s, const taps *t, const void *x, void *y)
{
    walk k;
    for (int64_t c0 = 0; c0 < s->c; c0 += BLOCK) {
        const int64_t n = SQZ_MIN(s->c - c0, (int64_t)BLOCK);
        double acc[BLOCK] = {0};
        EACH_TAP(s, t, k)
        {
            const float *v = (const float *)x + pixel_of(s, t, &k) * s->c + c0;
            for (int64_t c = 0; c < n; c++)
                acc[c] += power((double)v[c], s->p);
        }
        for (int64_t c = 0; c < n; c++)
            ((float *)y)[c0 + c] = (float)(s->p == 2   ? sqrt(acc[c])
                                           : s->p == 1 ? acc[c]
                                                       : pow(acc[c], 1 / s->p));
    }
}

/* Where in the tensor of the file, (N,C,D,H,W), a pixel of channel c lies. With columns first, the
 * spatial axes of a channel are numbered the other way around. */
static int64_t file_index(const state *s, const taps *t, const walk *k, int64_t c)
{
    int64_t at = 0, size = 1;
    for (int i = 0; i < SQZ_WINDOW_AXES; i++) {
        int a = s->columns_first ? SQZ_WINDOW_AXES - 1 - i : i;
        at = at * s->w.in[a] + t->first[a] + k->k[a] * s->w.dil[a];
        size *= s->w.in[a];
    }
    return ((int64_t)t->sample * s->c + c) * size + at;
}

/* Maximum with the index of the first element that has it. */
static void indexed_f32(const state *s, const taps *t, const float *x, float *y, int64_t *index)
{
    walk k;
    for (int64_t c = 0; c < s->c; c++)
        index[c] = -1;
    EACH_TAP(s, t, k)
    {
        const float *v = x + pixel_of(s, t, &k) * s->c;
        for (int64_t c = 0; c < s->c; c++)
            if (index[c] < 0 || v[c] > y[c] || (isnan(v[c]) && !isnan(y[c]))) {
                y[c] = v[c];
                index[c] = file_index(s, t, &k, c);
            }
    }
    for (int64_t c = 0; c < s->c; c++)
        y[c] = index[c] < 0 ? -INFINITY : y[c];
}

static void indexed_8(const state *s, const taps *t, const uint8_t *x, uint8_t *y, int64_t *index)
{
    const int flip = s->type == SQZ_S8 ? 0x80 : 0; /* orders int8 as uint8 */
    walk k;
    for (int64_t c = 0; c < s->c; c++) {
        index[c] = -1;
        y[c] = (uint8_t)flip;
    }
    EACH_TAP(s, t, k)
    {
        const uint8_t *v = x + pixel_of(s, t, &k) * s->c;
        for (int64_t c = 0; c < s->c; c++)
            if (index[c] < 0 || (v[c] ^ flip) > (y[c] ^ flip)) {
                y[c] = v[c];
                index[c] = file_index(s, t, &k, c);
            }
    }
}

typedef void (*pixel_fn)(const state *s, const taps *t, const void *x, void *y);

static void pixel(const job *j, const taps *t, const char *x, size_t at, size_t elem, pixel_fn fn)
{
    char *y = (char *)j->y + at * elem;
    if (!j->index)
        fn(j->s, t, x, y);
    else if (j->s->type == SQZ_F32)
        indexed_f32(j->s, t, (const float *)(const void *)x, (float *)(void *)y, j->index + at);
    else
        indexed_8(j->s, t, (const uint8_t *)x, (uint8_t *)y, j->index + at);
}

static void rows(const job *j, size_t begin, size_t end, pixel_fn fn)
{
    const state *s = j->s;
    const sqz_window *w = &s->w;
    const size_t elem = sqz_dtype_bits(s->type) / 8, high = (size_t)w->out[SQZ_AXIS_H];
    const size_t deep = (size_t)w->out[SQZ_AXIS_D];
    for (size_t row = begin; row < end; row++) {
        const size_t sample = row / high / deep;
        const char *x = (const char *)j->x + sample * sqz_volume(w->in) * (size_t)s->c * elem;
        for (int64_t ox = 0; ox < w->out[SQZ_AXIS_W]; ox++) {
            const int64_t o[] = {(int64_t)(row / high % deep), (int64_t)(row % high), ox};
            const size_t at = (row * (size_t)w->out[SQZ_AXIS_W] + (size_t)ox) * (size_t)s->c;
            taps t = taps_at(s, o);
            t.sample = sample;
            pixel(j, &t, x, at, elem, fn);
        }
    }
}
static sqz_status max_piece(void *arg, size_t begin, size_t end)
{
    const sqz_dtype d = ((const job *)arg)->s->type;
    rows(arg, begin, end, d == SQZ_F32 ? max_f32 : d == SQZ_U8 ? max_u8 : max_s8);
    return SQZ_OK;
}
static sqz_status average_piece(void *arg, size_t begin, size_t end)
{
    rows(arg, begin, end, ((const job *)arg)->s->type == SQZ_F32 ? average_f32 : average_s8);
    return SQZ_OK;
}
static sqz_status lp_piece(void *arg, size_t begin, size_t end)
{
    rows(arg, begin, end, lp_f32);
    return SQZ_OK;
}

/* Rows of about 64k operations make a piece. */
static size_t grain(const state *s)
{
    double work = (double)s->w.out[SQZ_AXIS_W] * (double)s->c;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        work *= (double)SQZ_MIN(s->w.k[a], SQZ_MAX(s->w.in[a], 1));
    return work > 65536 ? 1 : (size_t)(65536 / SQZ_MAX(work, 1));
}

static sqz_status run(const sqz_call *c, sqz_task_fn piece)
{
    job j = {.s = c->state, .x = c->in[0]->data, .y = c->out[0]->data};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    j.index = c->n_out > 1 ? SQZ_S64P(c->out[1]) : NULL;
    const int64_t *out = j.s->w.out;
    return sqz_parallel(c->ctx, (size_t)(j.s->n * out[SQZ_AXIS_D] * out[SQZ_AXIS_H]), grain(j.s),
                        piece, &j);
}

/* Over one or two axes the kernels do it line by line. */
static sqz_status run_rows(const sqz_call *c, bool average, sqz_task_fn piece)
{
    const state *s = c->state;
    const sqz_pool_rows r = {.w = s->w,
                             .n = (size_t)s->n,
                             .c = (size_t)s->c,
                             .average = average,
                             .s8 = s->type == SQZ_S8,
                             .count_pad = s->count_pad,
                             .rt = &s->rt};
    const bool kernels = (s->type == SQZ_F32 || s->type == SQZ_S8) && c->n_out == 1;
    if (kernels && sqz_pool_rows_fit(&r))
        return sqz_pool_rows_run(c->ctx, &r, c->in[0]->data, c->out[0]->data);
    return run(c, piece);
}
sqz_status sqz_pool_run_max(const sqz_call *c) { return run_rows(c, false, max_piece); }
sqz_status sqz_pool_run_average(const sqz_call *c) { return run_rows(c, true, average_piece); }
sqz_status sqz_pool_run_lp(const sqz_call *c) { return run(c, lp_piece); }
