/* attend.c: see attend.h. */
#include "ops/attend.h"
#include <math.h>

/* ---- heads ---- */

static int64_t dim(const sqz_build *b, sqz_vid v, int32_t axis)
{
    return sqz_b_val(b, v)->shape.dim[axis];
}

sqz_vid sqz_attend_split(sqz_build *b, sqz_vid x, int64_t heads)
{
    const int64_t width = dim(b, x, 2);
    if (b->status == SQZ_OK && (heads < 1 || width % heads != 0))
        b->status = sqz_fail(b->im->g->ctx, SQZ_E_SHAPE, "rows of %lld are no %lld heads",
                             (long long)width, (long long)heads);
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    x = sqz_bf(b, "reshape", &x, 1, "shape=0,0,%lld,%lld", (long long)heads,
               (long long)(width / heads));
    return sqz_b(b, "transpose", "perm=0,2,1,3", 1, x);
}

sqz_vid sqz_attend_join(sqz_build *b, sqz_vid x)
{
    const long long width = (long long)(dim(b, x, 1) * dim(b, x, 3)); /* counted: they fit */
    x = sqz_b(b, "transpose", "perm=0,2,1,3", 1, x);
    return sqz_bf(b, "reshape", &x, 1, "shape=0,0,%lld", width);
}

/* ---- biases ---- */

sqz_vid sqz_attend_both(sqz_build *b, sqz_vid x, sqz_vid y)
{
    if (x == SQZ_NONE || y == SQZ_NONE)
        return x == SQZ_NONE ? y : x;
    return sqz_b(b, "add", NULL, 2, x, y);
}

sqz_vid sqz_attend_allow(sqz_build *b, sqz_vid condition, sqz_vid like)
{
    return sqz_b(b, "where", NULL, 3, condition, sqz_b_num(b, 0, like),
                 sqz_b_num(b, -INFINITY, like));
}

sqz_vid sqz_attend_ints(sqz_build *b, sqz_shape s, const int64_t *v)
{
    sqz_tensor t;
    if (b->status == SQZ_OK)
        b->status = sqz_tensor_alloc(b->im->g->ctx, SQZ_S64, &s, &t);
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    for (size_t i = 0; i < t.count; i++)
        SQZ_S64P(&t)[i] = v[i];
    return sqz_b_tensor(b, &t);
}

static bool allowed(const sqz_window_of *w, int64_t i, int64_t j)
{
    int64_t back = i + w->offset - j; /* how far the key is behind the query */
    return (!w->causal || back >= 0) && (w->left < 0 || back <= w->left) &&
           (w->right < 0 || -back <= w->right);
}

sqz_vid sqz_attend_window(sqz_build *b, const sqz_window_of *w, int64_t queries, int64_t keys,
                          sqz_vid like)
{
    const sqz_shape s = {.rank = 2, .dim = {queries, keys}};
    sqz_tensor t;
    bool any = false;
    if (b->status == SQZ_OK)
        b->status = sqz_tensor_alloc(b->im->g->ctx, sqz_b_val(b, like)->dtype, &s, &t);
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    for (size_t at = 0; at < t.count; at++) {
        bool ok = allowed(w, (int64_t)at / keys, (int64_t)at % keys);
        any = any || !ok;
        sqz_tensor_set_f64(&t, at, ok ? 0 : -INFINITY);
    }
    if (any)
        return sqz_b_tensor(b, &t);
    sqz_tensor_free(b->im->g->ctx, &t);
    return SQZ_NONE;
}

/* Whether a row of the bias may be -inf everywhere: unknown biases may. */
static bool may_mask_all(const sqz_build *b, sqz_vid bias)
{
    const sqz_tensor *t = sqz_b_val(b, bias)->constant;
    if (!t)
        return true;
    size_t n = t->shape.rank ? (size_t)t->shape.dim[t->shape.rank - 1] : 1;
    for (size_t row = 0; n && row < t->count / n; row++) {
        bool all = true;
        for (size_t i = 0; i < n; i++)
            all = all && sqz_tensor_f64(t, row * n + i) == -INFINITY;
        if (all)
            return true;
    }
    return false;
}

/* ---- scores ---- */

/* q . k^T. The heads of queries that share keys stand below each other, as one taller matrix. */
static sqz_vid product(sqz_build *b, sqz_vid q, sqz_vid k)
{
    const int64_t heads = dim(b, q, 1), groups = dim(b, k, 1), rows = dim(b, q, 2),
                  keys = dim(b, k, 2), depth = dim(b, q, 3);
    sqz_vid kt = sqz_b(b, "transpose", "perm=0,1,3,2", 1, k);
    if (heads == groups)
        return sqz_b(b, "matmul", NULL, 2, q, kt);
    q = sqz_bf(b, "reshape", &q, 1, "shape=0,%lld,%lld,%lld", (long long)groups,
               (long long)(heads / groups * rows), (long long)depth);
    q = sqz_b(b, "matmul", NULL, 2, q, kt);
    return sqz_bf(b, "reshape", &q, 1, "shape=0,%lld,%lld,%lld", (long long)heads, (long long)rows,
                  (long long)keys);
}

/* p . v, p (B,H,S,T). */
static sqz_vid weighted(sqz_build *b, sqz_vid p, sqz_vid v)
{
    const int64_t heads = dim(b, p, 1), groups = dim(b, v, 1), rows = dim(b, p, 2),
                  keys = dim(b, p, 3), depth = dim(b, v, 3);
    if (heads == groups)
        return sqz_b(b, "matmul", NULL, 2, p, v);
    p = sqz_bf(b, "reshape", &p, 1, "shape=0,%lld,%lld,%lld", (long long)groups,
               (long long)(heads / groups * rows), (long long)keys);
    p = sqz_b(b, "matmul", NULL, 2, p, v);
    return sqz_bf(b, "reshape", &p, 1, "shape=0,%lld,%lld,%lld", (long long)heads, (long long)rows,
                  (long long)depth);
}

static sqz_vid softmax(sqz_build *b, const sqz_attend *a, sqz_vid x)
{
    const sqz_dtype own = sqz_b_val(b, x)->dtype;
    const bool other = a->softmax_type != SQZ_N_DTYPE && a->softmax_type != own;
    if (other)
        x = sqz_bf(b, "cast", &x, 1, "to=%d", (int)sqz_dtype_onnx(a->softmax_type));
    x = sqz_b(b, "softmax", "axis=-1", 1, x);
    return other ? sqz_bf(b, "cast", &x, 1, "to=%d", (int)sqz_dtype_onnx(own)) : x;
}

/* Probabilities of rows without any key are 0. */
static sqz_vid guard(sqz_build *b, sqz_vid p, sqz_vid bias)
{
    sqz_vid top = sqz_b(b, "reduce_max", "axes=-1", 1, bias);
    sqz_vid none = sqz_b(b, "equal", NULL, 2, top, sqz_b_num(b, -INFINITY, bias));
    return sqz_b(b, "where", NULL, 3, none, sqz_b_num(b, 0, p), p);
}

static sqz_status check(const sqz_build *b, const sqz_attend *a)
{
    sqz_ctx *ctx = b->im->g->ctx;
    const sqz_shape *q = &sqz_b_val(b, a->q)->shape, *k = &sqz_b_val(b, a->k)->shape,
                    *v = &sqz_b_val(b, a->v)->shape;
    if (q->rank != 4 || k->rank != 4 || v->rank != 4)
        return sqz_fail(ctx, SQZ_E_SHAPE, "queries, keys and values of rank %d, %d and %d",
                        (int)q->rank, (int)k->rank, (int)v->rank);
    if (k->dim[1] < 1 || q->dim[1] % k->dim[1] != 0 || k->dim[1] != v->dim[1])
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "%lld heads of queries, %lld of keys, %lld of values: expected a multiple "
                        "of equal numbers",
                        (long long)q->dim[1], (long long)k->dim[1], (long long)v->dim[1]);
    if (q->dim[3] != k->dim[3] || k->dim[2] != v->dim[2] || q->dim[3] < 1)
        return sqz_fail(
            ctx, SQZ_E_SHAPE, "queries of %lld, %lld keys of %lld, %lld values do not fit together",
            (long long)q->dim[3], (long long)k->dim[2], (long long)k->dim[3], (long long)v->dim[2]);
    return SQZ_OK;
}

sqz_vid sqz_attend_run(sqz_build *b, sqz_attend *a)
{
    if (b->status == SQZ_OK)
        b->status = check(b, a);
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    double scale = a->scale != 0 ? a->scale : 1 / sqrt((double)dim(b, a->q, 3));
    sqz_vid q = scale == 1 ? a->q : sqz_b(b, "mul", NULL, 2, a->q, sqz_b_num(b, scale, a->q));
    sqz_vid x = a->scores[SQZ_SCORES_PRODUCT] = product(b, q, a->k);
    if (a->softcap > 0) {
        x = sqz_b(b, "div", NULL, 2, x, sqz_b_num(b, a->softcap, a->q));
        x = sqz_b(b, "mul", NULL, 2, sqz_b(b, "tanh", NULL, 1, x), sqz_b_num(b, a->softcap, a->q));
    }
    a->scores[SQZ_SCORES_CAPPED] = x;
    if (a->bias != SQZ_NONE) {
        if (b->status == SQZ_OK)
            b->status = sqz_fold_value(b->im->g, a->bias);
        x = sqz_b(b, "add", NULL, 2, x, a->bias);
    }
    a->scores[SQZ_SCORES_MASKED] = x;
    x = softmax(b, a, x);
    if (a->bias != SQZ_NONE && b->status == SQZ_OK && may_mask_all(b, a->bias))
        x = guard(b, x, a->bias);
    a->scores[SQZ_SCORES_SOFTMAX] = x;
    return weighted(b, x, a->v);
}
