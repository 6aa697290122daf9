/* keras_array.c: moving numbers from Keras' weight layouts to ONNX's. Every move can carry along
 * where each number came from, so that it can be undone. */
#include "io/keras.h"
#include <string.h>

void sqz_karray_free(sqz_klayer *l, sqz_karray *a)
{
    sqz_tensor_free(l->k->ctx, &a->num);
    sqz_tensor_free(l->k->ctx, &a->idx);
    *a = (sqz_karray){0};
}

static void keep(sqz_klayer *l, sqz_status s)
{
    if (l->status == SQZ_OK)
        l->status = s;
}

static void alloc(sqz_klayer *l, const sqz_shape *s, sqz_karray *out)
{
    *out = (sqz_karray){0};
    keep(l, sqz_tensor_alloc(l->k->ctx, SQZ_F32, s, &out->num));
    if (l->status == SQZ_OK && l->k->track)
        keep(l, sqz_tensor_alloc(l->k->ctx, SQZ_S64, s, &out->idx));
    if (l->status != SQZ_OK)
        sqz_karray_free(l, out);
}

void sqz_karray_zeros(sqz_klayer *l, const sqz_shape *s, sqz_karray *out)
{
    *out = (sqz_karray){0};
    if (l->status == SQZ_OK)
        alloc(l, s, out);
}

static void permute(sqz_klayer *l, sqz_tensor *t, const int *perm)
{
    sqz_tensor turned = {0};
    if (l->status != SQZ_OK || !t->data)
        return;
    keep(l, sqz_tensor_permute(l->k->ctx, t, perm, &turned));
    if (l->status != SQZ_OK)
        return;
    sqz_tensor_free(l->k->ctx, t);
    *t = turned;
}

void sqz_karray_permute(sqz_klayer *l, sqz_karray *a, int32_t rank, const int *perm)
{
    if (l->status == SQZ_OK && a->num.shape.rank != rank)
        sqz_keras_fail(l, SQZ_E_FORMAT, "weights have %d axes, expected %d", (int)a->num.shape.rank,
                       (int)rank);
    permute(l, &a->num, perm);
    permute(l, &a->idx, perm);
}

void sqz_karray_reshape(sqz_klayer *l, sqz_karray *a, int32_t rank, const int64_t *dims)
{
    sqz_shape s = sqz_shape_of(rank, dims);
    size_t n;
    if (l->status != SQZ_OK)
        return;
    keep(l, sqz_shape_count(l->k->ctx, &s, SQZ_F32, &n, NULL));
    if (l->status == SQZ_OK && n != a->num.count) {
        char have[160], want[160];
        sqz_shape_print(have, &a->num.shape);
        sqz_shape_print(want, &s);
        sqz_keras_fail(l, SQZ_E_FORMAT, "weights of shape %s do not fit %s", have, want);
    }
    if (l->status == SQZ_OK)
        a->num.shape = a->idx.shape = s;
}

/* A tensor as (outer, n, inner) around an axis. */
typedef struct span {
    size_t outer, n, inner;
} span;

static span around(const sqz_shape *s, int32_t axis)
{
    span p = {1, (size_t)s->dim[axis], 1};
    for (int32_t i = 0; i < s->rank; i++) {
        p.outer *= i < axis ? (size_t)s->dim[i] : 1;
        p.inner *= i > axis ? (size_t)s->dim[i] : 1;
    }
    return p;
}

/* to[:, at + i, :] = from[:, begin + i * step, :] for i < n. */
static void copy(const sqz_tensor *from, sqz_tensor *to, int32_t axis, size_t begin, int step,
                 size_t at, size_t n)
{
    span f = around(&from->shape, axis), t = around(&to->shape, axis);
    size_t elem = sqz_dtype_bits(from->dtype) / 8, row = f.inner * elem;
    for (size_t o = 0; row && o < f.outer; o++)
        for (size_t i = 0; i < n; i++)
            memcpy((char *)to->data + (o * t.n + at + i) * row,
                   (const char *)from->data + (o * f.n + (step > 0 ? begin + i : begin - i)) * row,
                   row);
}

static void copy_both(const sqz_karray *from, sqz_karray *to, int32_t axis, size_t begin, int step,
                      size_t at, size_t n)
{
    copy(&from->num, &to->num, axis, begin, step, at, n);
    if (from->idx.data && to->idx.data)
        copy(&from->idx, &to->idx, axis, begin, step, at, n);
}

void sqz_karray_flip(sqz_klayer *l, sqz_karray *a, int32_t axis)
{
    sqz_karray out;
    if (l->status != SQZ_OK)
        return;
    alloc(l, &a->num.shape, &out);
    if (l->status != SQZ_OK)
        return;
    size_t n = (size_t)a->num.shape.dim[axis];
    if (n)
        copy_both(a, &out, axis, n - 1, -1, 0, n);
    sqz_karray_free(l, a);
    *a = out;
}

void sqz_karray_take(sqz_klayer *l, const sqz_karray *a, int32_t axis, int64_t from, int64_t n,
                     sqz_karray *out)
{
    *out = (sqz_karray){0};
    if (l->status != SQZ_OK)
        return;
    sqz_shape s = a->num.shape;
    if (axis >= s.rank || from < 0 || n < 0 || from > s.dim[axis] - n) {
        sqz_keras_fail(l, SQZ_E_FORMAT, "the weights are too short");
        return;
    }
    s.dim[axis] = n;
    alloc(l, &s, out);
    if (l->status == SQZ_OK)
        copy_both(a, out, axis, (size_t)from, 1, 0, (size_t)n);
}

static bool fits(const sqz_karray *part, uint32_t n, int32_t axis, sqz_shape *out)
{
    *out = part[0].num.shape;
    if (axis >= out->rank)
        return false;
    for (uint32_t i = 1; i < n; i++) {
        const sqz_shape *s = &part[i].num.shape;
        if (s->rank != out->rank || s->dim[axis] > INT64_MAX / 2 - out->dim[axis])
            return false;
        for (int32_t d = 0; d < s->rank; d++)
            if (d != axis && s->dim[d] != out->dim[d])
                return false;
        out->dim[axis] += s->dim[axis];
    }
    return true;
}

void sqz_karray_join(sqz_klayer *l, sqz_karray *part, uint32_t n, int32_t axis, sqz_karray *out)
{
    sqz_shape s;
    size_t at = 0;
    *out = (sqz_karray){0};
    if (l->status == SQZ_OK && !fits(part, n, axis, &s))
        sqz_keras_fail(l, SQZ_E_FORMAT, "the weights of its gates have different shapes");
    if (l->status == SQZ_OK)
        alloc(l, &s, out);
    for (uint32_t i = 0; i < n; i++) {
        size_t have = part[i].num.data ? (size_t)part[i].num.shape.dim[axis] : 0;
        if (l->status == SQZ_OK)
            copy_both(&part[i], out, axis, 0, 1, at, have);
        at += have;
        sqz_karray_free(l, &part[i]);
    }
}
