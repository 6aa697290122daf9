/* reduce.c: see reduce.h. */
#include "ops/reduce.h"
#include "kernels/multiplier.h"
#include "runtime/sqz_rt.h"
#include <string.h>

#define BLOCK SQZ_REDUCE_BLOCK /* elements that are converted and accumulated together */

/* ---- shapes ---- */

/* Bit mask of the axes that go. */
static sqz_status reduced(sqz_ctx *ctx, const sqz_reduce_attrs *at, int32_t rank, uint32_t *mask)
{
    SQZ_TRY(sqz_axes_mask(ctx, &at->axes, rank, mask));
    if (at->axes.n == 0 && !at->noop_with_empty_axes)
        *mask = (1u << rank) - 1;
    return SQZ_OK;
}

sqz_status sqz_reduce_infer(sqz_infer *q, const sqz_reducer *r)
{
    const sqz_reduce_attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    const sqz_dtype d = q->in[0]->dtype;
    uint32_t mask = 0;
    const bool taken = sqz_dtype_bits(d) >= 8 && (d != SQZ_BOOL || r->order);
    if (!taken)
        SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(reduced(q->ctx, at, x->rank, &mask));
    for (int32_t i = 0; i < x->rank; i++)
        if (!(mask & 1u << i) || at->keepdims)
            q->out[0].dim[q->out[0].rank++] = mask & 1u << i ? 1 : x->dim[i];
    return SQZ_OK;
}

void sqz_reduce_ties(sqz_ties *t, const sqz_reducer *r)
{
    const sqz_reduce_attrs *at = t->attrs;
    const int32_t rank = t->in[0]->shape.rank;
    uint32_t mask = 0;
    if (reduced(t->ctx, at, rank, &mask) != SQZ_OK)
        return; /* infer has said so */
    for (int32_t i = 0, k = 0; i < rank; i++) {
        const sqz_tie_end axis = SQZ_TIE_IN(0, i);
        const bool gone = mask >> i & 1;
        if (!gone)
            sqz_tie_same(t, axis, SQZ_TIE_OUT(0, k));
        else if (r->sums || r->means)
            sqz_tie_free(t, axis);
        if (gone && r->means)
            t->shift(t, &axis, "is averaged over");
        k += !gone || at->keepdims;
    }
}

void sqz_reduce_cost(const sqz_infer *q, sqz_cost *out)
{
    *out = (sqz_cost){.kind = SQZ_COST_POOL, .ops = 1};
    for (int32_t i = 0; i < q->in[0]->shape.rank; i++)
        out->ops *= (uint64_t)q->in[0]->shape.dim[i];
}

/* ---- the walk ----
 * The axes of the input fall into those kept and those reduced, each with its step; neighbors of
 * one kind are one axis. The innermost axis is worked on in blocks: if it is kept, a block of
 * accumulators; if it is reduced, one accumulator. */
typedef struct axes {
    int n;
    size_t dim[SQZ_MAX_RANK], step[SQZ_MAX_RANK], total;
} axes;

typedef struct walk {
    axes kept, gone;     /* without the innermost axis */
    size_t inner;        /* length of the innermost axis */
    bool inner_kept;     /* what it is */
    double count;        /* elements behind each result */
    const sqz_tensor *x; /* float, integers, or int8 codes */
    sqz_tensor *y;
    const sqz_reducer *r;
    const sqz_rt_pool *grid; /* of int8 codes, which are folded as doubles; else NULL */
    sqz_fold_fn fold;
    bool whole; /* folds int64 */
    bool fast;  /* by kernels */
    const sqz_kernels *kernels;
} walk;

static void append(axes *a, size_t dim, size_t step)
{
    if (a->n && a->step[a->n - 1] == dim * step) {
        a->dim[a->n - 1] *= dim;
        a->step[a->n - 1] = step;
    } else {
        a->dim[a->n] = dim;
        a->step[a->n++] = step;
    }
    a->total *= dim;
}

static void plan(walk *w, uint32_t mask)
{
    const sqz_shape *s = &w->x->shape;
    size_t step = w->x->count;
    w->kept.total = w->gone.total = 1;
    for (int32_t i = 0; i < s->rank; i++) {
        size_t d = (size_t)s->dim[i];
        if (d == 1)
            continue;
        step /= d;
        append(mask & 1u << i ? &w->gone : &w->kept, d, step);
    }
    w->count = (double)w->gone.total;
    w->inner_kept = w->kept.n && w->kept.step[w->kept.n - 1] == 1;
    axes *in = w->inner_kept ? &w->kept : &w->gone;
    w->inner = 1;
    if (in->n && in->step[in->n - 1] == 1) {
        w->inner = in->dim[--in->n];
        in->total /= w->inner;
    }
}

static size_t offset_of(const axes *a, size_t i)
{
    size_t at = 0;
    for (int d = a->n - 1; d >= 0; d--) {
        at += i % a->dim[d] * a->step[d];
        i /= a->dim[d];
    }
    return at;
}

typedef union word {
    double d;
    int64_t i;
} word;
#define TOP ((uint64_t)1 << 63) /* turns the order of uint64 into that of int64, and back */

static void load_whole(const walk *w, size_t at, size_t n, word *v)
{
    const sqz_tensor *x = w->x;
    if (x->dtype == SQZ_U64)
        for (size_t i = 0; i < n; i++)
            v[i].i = (int64_t)(((const uint64_t *)x->data)[at + i] ^ (w->r->order ? TOP : 0));
    else
        for (size_t i = 0; i < n; i++)
            v[i].i = sqz_tensor_i64(x, at + i);
}

static void load(const walk *w, size_t at, size_t n, word *v)
{
    const sqz_tensor *x = w->x;
    if (w->whole)
        load_whole(w, at, n, v);
    else if (w->grid)
        for (size_t i = 0; i < n; i++)
            v[i].d = SQZ_S8P(x)[at + i] - w->grid->in_zero;
    else if (x->dtype == SQZ_F32)
        for (size_t i = 0; i < n; i++)
            v[i].d = (double)SQZ_F32P(x)[at + i];
    else
        for (size_t i = 0; i < n; i++)
            v[i].d = sqz_tensor_f64(x, at + i);
}

/* An integer of y's type; what does not fit wraps around. */
static void store_whole(const walk *w, size_t i, int64_t v)
{
    sqz_tensor *y = w->y;
    switch (sqz_dtype_bits(y->dtype)) {
    case 8: ((uint8_t *)y->data)[i] = (uint8_t)v; break;
    case 16: ((uint16_t *)y->data)[i] = (uint16_t)v; break;
    case 32: ((uint32_t *)y->data)[i] = (uint32_t)v; break;
    default:
        ((uint64_t *)y->data)[i] = (uint64_t)v ^ (y->dtype == SQZ_U64 && w->r->order ? TOP : 0);
    }
}

static void store_one(const walk *w, size_t i, word acc, double second)
{
    const sqz_rt_pool *g = w->grid;
    double v = !w->whole ? acc.d : w->y->dtype == SQZ_U64 ? (double)(uint64_t)acc.i : (double)acc.i;
    if (w->r->finish)
        v = w->r->finish(v, second, w->count);
    if (g)
        SQZ_S8P(w->y)
    [i] = sqz_rt_small_to_s8((int32_t)v, g->mult[0], g->shift[0], g->out_zero, INT8_MIN, INT8_MAX);
    else if (w->whole && !w->r->finish) store_whole(w, i, acc.i);
    else sqz_tensor_set_f64(w->y, i, sqz_dtype_is_float(w->y->dtype) ? v : trunc(v));
}

/* Results of one place of the outer kept axes, n of the innermost from `from` on. */
static void block(const walk *w, size_t outer, size_t from, size_t n)
{
    word acc[2 * BLOCK], v[BLOCK];
    const size_t base = offset_of(&w->kept, outer);
    for (size_t i = 0; i < n; i++) {
        acc[i] = w->whole ? (word){.i = w->r->start_whole} : (word){.d = w->r->start};
        acc[BLOCK + i].d = 0;
    }
    for (size_t g = 0; g < w->gone.total; g++) {
        const size_t at = base + offset_of(&w->gone, g);
        if (w->inner_kept) {
            load(w, at + from, n, v);
            w->fold(acc, 1, v, n);
        } else
            for (size_t i = 0; i < w->inner; i += BLOCK) {
                size_t m = SQZ_MIN(w->inner - i, (size_t)BLOCK);
                load(w, at + i, m, v);
                w->fold(acc, 0, v, m);
            }
    }
    const size_t to = w->inner_kept ? outer * w->inner + from : outer;
    for (size_t i = 0; i < n; i++)
        store_one(w, to + i, acc[i], acc[BLOCK + i].d);
}

/* ---- the same by kernels: float, and the reduced axes lie side by side ---- */

#define LINES 64 /* that are added up in float */

/* Rows begin .. end-1: all of a row goes. */
static void fast_rows(const walk *w, size_t begin, size_t end)
{
    double acc[BLOCK];
    for (size_t i = begin, n; i < end; i += n) {
        n = SQZ_MIN(end - i, (size_t)BLOCK);
        w->kernels->fold_f32(w->r->fast, n, w->inner, SQZ_F32P(w->x) + i * w->inner, acc);
        for (size_t k = 0; k < n; k++)
            store_one(w, i + k, (word){.d = acc[k]}, 0);
    }
}

/* n columns of the lines behind outer place `outer`. */
static void fast_columns(const walk *w, size_t outer, size_t from, size_t n)
{
    const size_t lines = w->gone.total, ld = w->inner;
    const float *x = SQZ_F32P(w->x) + outer * lines * ld + from;
    const bool top = w->r->fast == SQZ_FOLD_max || w->r->fast == SQZ_FOLD_min;
    float first[BLOCK], second[BLOCK];
    double acc[BLOCK] = {0};
    memcpy(first, x, n * sizeof *first);
    for (size_t i = 1; top && i < lines; i++) {
        const sqz_operand a = {.x = first, .step = 1}, b = {.x = x + i * ld, .step = 1};
        w->kernels->bin_f32(w->r->fast == SQZ_FOLD_max ? SQZ_BIN_max : SQZ_BIN_min, &a, &b, first,
                            1, n);
    }
    for (size_t k = 0; top && k < n; k++)
        acc[k] = (double)first[k];
    for (size_t i = 0; !top && i < lines; i += LINES) {
        w->kernels->moments_f32(SQZ_MIN(lines - i, (size_t)LINES), n, ld, x + i * ld, NULL, first,
                                w->r->fast == SQZ_FOLD_square ? second : NULL);
        for (size_t k = 0; k < n; k++)
            acc[k] += (double)(w->r->fast == SQZ_FOLD_sum ? first[k] : second[k]);
    }
    for (size_t k = 0; k < n; k++)
        store_one(w, outer * w->inner + from + k, (word){.d = acc[k]}, 0);
}

/* Whether these can do it: rows, or columns without sums of magnitudes. */
static bool is_fast(const walk *w)
{
    if (!w->r->fast || w->grid || w->whole || w->x->dtype != SQZ_F32 || w->y->dtype != SQZ_F32)
        return false;
    if (!w->inner_kept)
        return w->gone.n == 0;
    return w->r->fast != SQZ_FOLD_abs && w->gone.n == 1 && w->gone.step[0] == w->inner &&
           (w->kept.n == 0 || (w->kept.n == 1 && w->kept.step[0] == w->gone.dim[0] * w->inner));
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const walk *w = arg;
    const size_t per = w->inner_kept ? (w->inner + BLOCK - 1) / BLOCK : 1;
    if (w->fast && !w->inner_kept) {
        fast_rows(w, begin, end);
        return SQZ_OK;
    }
    for (size_t i = begin; i < end; i++) {
        size_t from = i % per * BLOCK;
        size_t n = w->inner_kept ? SQZ_MIN(w->inner - from, (size_t)BLOCK) : 1;
        if (w->fast)
            fast_columns(w, i / per, from, n);
        else
            block(w, i / per, from, n);
    }
    return SQZ_OK;
}

/* Results of nothing: what an accumulator starts with, as far as the type goes. */
static void run_empty(const walk *w)
{
    const sqz_dtype d = w->y->dtype;
    for (size_t i = 0; i < w->y->count; i++)
        if (!w->whole || !w->r->order)
            store_one(w, i, w->whole ? (word){.i = w->r->start_whole} : (word){.d = w->r->start},
                      0);
        else if (d == SQZ_U64)
            store_whole(w, i, w->r->start_whole);
        else if (d == SQZ_BOOL)
            store_whole(w, i, w->r->start_whole > 0);
        else
            sqz_tensor_set_i64(w->y, i, w->r->start_whole);
}

static sqz_status run_walk(const sqz_call *c, const sqz_reducer *r, const sqz_rt_pool *grid)
{
    walk w = {.x = c->in[0], .y = c->out[0], .r = r, .grid = grid};
    uint32_t mask = 0;
    w.whole = !grid && r->whole && !sqz_dtype_is_float(w.x->dtype);
    w.fold = !w.whole ? r->real : w.x->dtype == SQZ_U64 && r->natural ? r->natural : r->whole;
    if (w.y->count == 0)
        return SQZ_OK;
    SQZ_TRY(reduced(c->ctx, c->attrs, w.x->shape.rank, &mask));
    if (w.x->count == 0) {
        run_empty(&w);
        return SQZ_OK;
    }
    plan(&w, mask);
    w.kernels = c->ctx->kernels;
    w.fast = is_fast(&w);
    size_t blocks = w.kept.total * (w.inner_kept ? (w.inner + BLOCK - 1) / BLOCK : 1);
    size_t work = w.x->count / blocks; /* not 0: every block has an element */
    return sqz_parallel(c->ctx, blocks, 1 + 16384 / work, piece, &w);
}

sqz_status sqz_reduce_run(const sqz_call *c, const sqz_reducer *r) { return run_walk(c, r, NULL); }

/* ---- int8 mean ---- */

#define MAX_COUNT 65536 /* 255 of each stay below the 2^24 of sqz_rt_small_to_s8 */
SQZ_REDUCE_FOLD(sum, double, a + v)

sqz_status sqz_reduce_mean_prepare(sqz_prep *p)
{
    bool integer = false;
    SQZ_TRY(sqz_need_s8(p, 1, &integer));
    if (!integer)
        return SQZ_OK;
    const size_t out = SQZ_MAX(p->out[0]->count, (size_t)1), count = p->in[0]->count / out;
    sqz_rt_pool *g = sqz_arena_alloc(p->arena, 1, sizeof *g);
    int32_t *scale = sqz_arena_alloc(p->arena, 2, sizeof *scale);
    if (!g || !scale)
        return SQZ_E_NOMEM;
    if (count == 0 || count > MAX_COUNT)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "an int8 mean of %zu elements, expected 1 .. %d",
                        count, MAX_COUNT);
    sqz_multiplier((double)p->in_q[0]->scale[0] / ((double)p->out_q[0]->scale[0] * (double)count),
                   &scale[0], &scale[1]);
    g->mult = &scale[0];
    g->shift = &scale[1];
    g->in_zero = p->in_q[0]->zero[0];
    g->out_zero = p->out_q[0]->zero[0];
    p->state = g;
    return SQZ_OK;
}

sqz_status sqz_reduce_mean_int(const sqz_call *c)
{
    static const sqz_reducer r = {.real = sum};
    return run_walk(c, &r, c->state);
}
