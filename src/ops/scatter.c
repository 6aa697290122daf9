/* scatter.c: see indexing.h, last part. y is x, with updates written or combined in the order of
 * the indices: one after another, so that the result does not depend on threads. */
#include "ops/indexing.h"
#include <math.h>
#include <string.h>

#define REDUCTION                                                                                  \
    {                                                                                              \
        .name = "reduction", .offset = offsetof(sqz_scatter_attrs, reduction), .type = SQZ_A_ENUM, \
        .max = SQZ_SCATTER_MAX, .names = "none|add|mul|min|max",                                   \
        .doc = "how an update meets the number that is there"                                      \
    }
const sqz_attr sqz_scatter_elements_schema[2] = {
    {.name = "axis",
     .offset = offsetof(sqz_scatter_attrs, axis),
     .type = SQZ_A_INT,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS,
     .doc = "axis that is indexed"},
    REDUCTION,
};
const sqz_attr sqz_scatter_nd_schema[1] = {REDUCTION};

/* ---- shapes ---- */

static sqz_status updates_fit(const sqz_infer *q, const sqz_shape *want)
{
    char a[160], b[160];
    const sqz_value *u = q->in[2];
    if (!q->in[0]->quant && !u->quant && u->dtype != q->in[0]->dtype)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "updates are %s, data are %s",
                        sqz_dtype_name(u->dtype), sqz_dtype_name(q->in[0]->dtype));
    if (sqz_shape_eq(&u->shape, want))
        return SQZ_OK;
    sqz_shape_print(a, &u->shape);
    sqz_shape_print(b, want);
    return sqz_fail(q->ctx, SQZ_E_SHAPE, "updates of shape %s, expected %s", a, b);
}

sqz_status sqz_scatter_check(const sqz_infer *q, bool sums)
{
    const int64_t r = ((const sqz_scatter_attrs *)q->attrs)->reduction;
    if (sums == (r == SQZ_SCATTER_ADD || r == SQZ_SCATTER_MUL))
        return SQZ_OK;
    return sqz_fail(q->ctx, SQZ_E_ARG, "reduction %lld is one of the operator %s '_reduce'",
                    (long long)r, sums ? "without" : "with");
}

sqz_status sqz_scatter_elements_infer(sqz_infer *q)
{
    SQZ_TRY(sqz_elements_infer(q, ((const sqz_scatter_attrs *)q->attrs)->axis));
    q->out[0] = q->in[0]->shape;
    return updates_fit(q, &q->in[1]->shape);
}

sqz_status sqz_scatter_nd_infer(sqz_infer *q)
{
    SQZ_TRY(sqz_tuples_infer(q, 0));
    const sqz_shape *x = &q->in[0]->shape, *k = &q->in[1]->shape;
    const int32_t m = (int32_t)k->dim[k->rank - 1];
    sqz_shape want = {.rank = k->rank - 1};
    if (want.rank + x->rank - m > SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "updates of rank %d, at most %d are supported",
                        (int)(want.rank + x->rank - m), SQZ_MAX_RANK);
    for (int32_t i = 0; i < k->rank - 1; i++)
        want.dim[i] = k->dim[i];
    for (int32_t i = m; i < x->rank; i++)
        want.dim[want.rank++] = x->dim[i];
    q->out[0] = *x;
    return updates_fit(q, &want);
}

/* ---- y[at ..] meets u[from ..], n elements ---- */

typedef void (*meet_fn)(const sqz_tensor *y, size_t at, const sqz_tensor *u, size_t from, size_t n);

static void put(const sqz_tensor *y, size_t at, const sqz_tensor *u, size_t from, size_t n)
{
    const size_t elem = sqz_elem(y);
    memcpy((unsigned char *)y->data + at * elem, (const unsigned char *)u->data + from * elem,
           n * elem);
}

/* `expr` of a (there) and b (update); `type` is the element, `calc` what it is computed in:
 * unsigned where integers wrap around. */
#define MEET(name, type, calc, expr)                                                               \
    static void name(const sqz_tensor *y, size_t at, const sqz_tensor *u, size_t from, size_t n)   \
    {                                                                                              \
        type *py = (type *)y->data + at;                                                           \
        const type *pu = (const type *)u->data + from;                                             \
        for (size_t i = 0; i < n; i++) {                                                           \
            const calc a = (calc)py[i], b = (calc)pu[i];                                           \
            py[i] = (type)(expr);                                                                  \
        }                                                                                          \
    }
#define MEETS(suffix, type, wrap)                                                                  \
    MEET(add_##suffix, type, wrap, a + b)                                                          \
    MEET(mul_##suffix, type, wrap, a *b)                                                           \
    MEET(min_##suffix, type, type, b < a || b != b ? b : a)                                        \
    MEET(max_##suffix, type, type, b > a || b != b ? b : a)
MEETS(f32, float, float)
MEETS(f64, double, double)
MEETS(s8, int8_t, uint32_t)
MEETS(u8, uint8_t, uint32_t)
MEETS(s16, int16_t, uint32_t)
MEETS(u16, uint16_t, uint32_t)
MEETS(s32, int32_t, uint32_t)
MEETS(u32, uint32_t, uint32_t)
MEETS(s64, int64_t, uint64_t)
MEETS(u64, uint64_t, uint64_t)

/* Types without arithmetic in C: 16-bit floats, one rounding of the exact result. */
#define MEET_F64(name, expr)                                                                       \
    static void name(const sqz_tensor *y, size_t at, const sqz_tensor *u, size_t from, size_t n)   \
    {                                                                                              \
        sqz_tensor t = *y;                                                                         \
        for (size_t i = 0; i < n; i++) {                                                           \
            const double a = sqz_tensor_f64(y, at + i), b = sqz_tensor_f64(u, from + i);           \
            sqz_tensor_set_f64(&t, at + i, expr);                                                  \
        }                                                                                          \
    }
MEET_F64(add_any, a + b)
MEET_F64(mul_any, a *b)
MEET_F64(min_any, b < a || isnan(b) ? b : a)
MEET_F64(max_any, b > a || isnan(b) ? b : a)

static meet_fn meet_of(int64_t reduction, sqz_dtype d)
{
#define ROW(sym, suffix)                                                                           \
    [SQZ_##sym] = { NULL, add_##suffix, mul_##suffix, min_##suffix, max_##suffix }
    static const meet_fn table[SQZ_N_DTYPE][SQZ_SCATTER_MAX + 1] = {
        ROW(F32, f32),
        ROW(F64, f64),
        ROW(S8, s8),
        ROW(U8, u8),
        ROW(S16, s16),
        ROW(U16, u16),
        ROW(S32, s32),
        ROW(U32, u32),
        ROW(S64, s64),
        ROW(U64, u64),
        ROW(F16, any),
        ROW(BF16, any),
        [SQZ_BOOL] = {NULL, max_u8, min_u8, min_u8, max_u8}, /* or, and */
    };
#undef ROW
    const meet_fn fn = reduction ? table[d][reduction] : put;
    return fn;
}

/* ---- running ---- */

/* y starts as x. */
static void begin(const sqz_call *c)
{
    if (c->out[0]->data != c->in[0]->data && c->out[0]->bytes)
        memcpy(c->out[0]->data, c->in[0]->data, c->out[0]->bytes);
}

static sqz_status meet_for(const sqz_call *c, meet_fn *fn)
{
    const int64_t r = ((const sqz_scatter_attrs *)c->attrs)->reduction;
    *fn = meet_of(r, c->out[0]->dtype);
    return *fn ? SQZ_OK
               : sqz_fail(c->ctx, SQZ_E_UNSUPPORTED, "reduction of %s",
                          sqz_dtype_name(c->out[0]->dtype));
}

static sqz_status elements(const sqz_call *c, const void *arg)
{
    const sqz_scatter_attrs *at = arg;
    const sqz_tensor *k = c->in[1], *y = c->out[0], *u = c->in[2];
    sqz_elements e;
    meet_fn meet;
    SQZ_TRY(meet_for(c, &meet));
    SQZ_TRY(sqz_elements_of(c->ctx, c->in[0], k, at->axis, &e));
    begin(c);
    for (size_t row = 0; row < e.rows; row++) {
        const size_t base = sqz_elements_base(&e, row);
        for (size_t j = 0; j < e.width; j++) {
            const size_t i = row * e.width + j;
            meet(y, base + j * e.step[e.rank - 1] + sqz_index(k, i, e.n) * e.stride, u, i, 1);
        }
    }
    return SQZ_OK;
}

static sqz_status slices(const sqz_call *c, const void *arg)
{
    const sqz_tensor *k = c->in[1], *y = c->out[0], *u = c->in[2];
    sqz_tuples t;
    meet_fn meet;
    (void)arg;
    SQZ_TRY(meet_for(c, &meet));
    SQZ_TRY(sqz_tuples_of(c->ctx, c->in[0], k, 0, &t));
    begin(c);
    for (size_t i = 0; i < t.n && t.slice; i++)
        meet(y, sqz_tuples_at(&t, k, i), u, i * t.slice, t.slice);
    return SQZ_OK;
}

sqz_status sqz_scatter_elements_run(const sqz_call *c)
{
    return sqz_move_run(c, elements, c->attrs);
}
sqz_status sqz_scatter_nd_run(const sqz_call *c) { return sqz_move_run(c, slices, c->attrs); }

sqz_status sqz_scatter_import(sqz_import *im, const sqz_op *op, const char *sums)
{
    sqz_scatter_attrs at;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (at.reduction == SQZ_SCATTER_ADD || at.reduction == SQZ_SCATTER_MUL)
        op = sqz_op_find(sums);
    return sqz_import_node(im, op, &at, im->in, im->n_in);
}
