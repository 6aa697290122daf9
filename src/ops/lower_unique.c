/* lower_unique.c: Unique: the different elements (or slices along an axis) of data that are known,
 * where each comes first, which one each is, and how often it comes. NaN equals NaN. */
#include "ops/build.h"
#include "ops/indexing.h"
#include <stdlib.h>
#include <string.h>

typedef struct items { /* slices along an axis, or elements; compared in row-major order */
    const sqz_tensor *x;
    sqz_split3 s;
} items;

static int compare(const items *t, size_t a, size_t b)
{
    for (size_t o = 0; o < t->s.outer; o++)
        for (size_t i = 0; i < t->s.inner; i++) {
            const uint64_t p = sqz_order_key(t->x, (o * t->s.n + a) * t->s.inner + i);
            const uint64_t q = sqz_order_key(t->x, (o * t->s.n + b) * t->s.inner + i);
            if (p != q)
                return p < q ? -1 : 1;
        }
    return 0;
}

/* Merge sort from the bottom, stable: equal items stay in the order of the data. */
static void sort(const items *t, size_t *v, size_t *spare)
{
    for (size_t width = 1; width < t->s.n; width *= 2) {
        for (size_t lo = 0; lo < t->s.n; lo += 2 * width) {
            const size_t mid = SQZ_MIN(lo + width, t->s.n), hi = SQZ_MIN(lo + 2 * width, t->s.n);
            for (size_t a = lo, b = mid, k = lo; k < hi; k++)
                spare[k] = b == hi || (a < mid && compare(t, v[a], v[b]) <= 0) ? v[a++] : v[b++];
        }
        memcpy(v, spare, t->s.n * sizeof *v);
    }
}

typedef struct groups {
    size_t n;
    size_t *first, *count, *of; /* of a group: its first item, its size; of an item: its group */
} groups;

static int by_number(const void *a, const void *b)
{
    const size_t p = *(const size_t *)a, q = *(const size_t *)b;
    return (p > q) - (p < q);
}

/* Groups in sorted order, or in the order of their first items. */
static sqz_status group(const items *t, sqz_arena *a, bool sorted, groups *g)
{
    const size_t n = t->s.n, room = n + 1;
    size_t *v = sqz_arena_alloc(a, room, sizeof *v), *spare = sqz_arena_alloc(a, room, sizeof *v);
    size_t *rank = sqz_arena_alloc(a, room, sizeof *rank);
    g->first = sqz_arena_alloc(a, room, sizeof *g->first);
    g->count = sqz_arena_alloc(a, room, sizeof *g->count);
    g->of = sqz_arena_alloc(a, room, sizeof *g->of);
    if (!v || !spare || !rank || !g->first || !g->count || !g->of)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        v[i] = i;
    sort(t, v, spare);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || compare(t, v[i - 1], v[i]) != 0)
            g->first[g->n++] = v[i]; /* stable: the earliest of its group */
        g->of[v[i]] = g->n - 1;
    }
    if (!sorted) { /* rank[item]: of the group that it is the first of */
        qsort(g->first, g->n, sizeof *g->first, by_number);
        for (size_t k = 0; k < g->n; k++)
            rank[g->of[g->first[k]]] = k;
        for (size_t i = 0; i < n; i++)
            g->of[i] = rank[g->of[i]];
    }
    for (size_t i = 0; i < n; i++)
        g->count[g->of[i]]++;
    return SQZ_OK;
}

/* Output `slot` as a constant, where it is wanted. */
static sqz_status give_list(sqz_import *im, unsigned slot, const size_t *v, size_t n)
{
    const sqz_shape s = {1, {(int64_t)n}};
    sqz_tensor t;
    if (slot >= im->n_out || !im->out_name[slot])
        return SQZ_OK;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, SQZ_S64, &s, &t));
    for (size_t i = 0; i < n; i++)
        SQZ_S64P(&t)[i] = (int64_t)v[i];
    return sqz_graph_constant(im->g, im->out_name[slot], &t, &im->out[slot]);
}

static sqz_status give_items(sqz_import *im, const items *t, const groups *g, int32_t axis)
{
    sqz_shape s = t->x->shape;
    sqz_tensor y;
    const size_t bytes = t->s.inner * sqz_elem(t->x);
    if (axis < 0)
        s.rank = 1;
    s.dim[SQZ_MAX(axis, 0)] = (int64_t)g->n;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, t->x->dtype, &s, &y));
    for (size_t o = 0; bytes && o < t->s.outer; o++)
        for (size_t k = 0; k < g->n; k++)
            memcpy((unsigned char *)y.data + (o * g->n + k) * bytes,
                   (const unsigned char *)t->x->data + (o * t->s.n + g->first[k]) * bytes, bytes);
    return sqz_graph_constant(im->g, im->out_name[0], &y, &im->out[0]);
}

static sqz_status unique_in(sqz_import *im, const sqz_tensor *x, sqz_arena *a)
{
    const sqz_raw_attr *named = sqz_import_attr(im, "axis");
    items t = {x, {1, x->count, 1}};
    groups g = {0};
    int32_t axis = -1;
    if (named) {
        SQZ_TRY(sqz_axis(im->g->ctx, named->i, x->shape.rank, &axis));
        t.s = sqz_split_at(&x->shape, axis);
    }
    if (sqz_dtype_bits(x->dtype) < 8)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "data are packed %s, expected whole bytes",
                        sqz_dtype_name(x->dtype));
    SQZ_TRY(group(&t, a, sqz_import_int(im, "sorted", 1) != 0, &g));
    SQZ_TRY(give_items(im, &t, &g, axis));
    SQZ_TRY(give_list(im, 1, g.first, g.n));
    SQZ_TRY(give_list(im, 2, g.of, t.s.n));
    return give_list(im, 3, g.count, g.n);
}

static sqz_status unique(sqz_import *im)
{
    const sqz_tensor *x;
    sqz_arena a = {.ctx = im->g->ctx};
    SQZ_TRY(sqz_note(im->g->ctx, sqz_import_const(im, 0, &x), "its output size depends on data"));
    if (!x)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input 0 is missing");
    sqz_status s = unique_in(im, x, &a);
    sqz_arena_free(&a);
    return s;
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "Unique", .since = 11, .import = unique}};
const sqz_lower_set sqz_lower_unique = {rules, SQZ_COUNT(rules)};
