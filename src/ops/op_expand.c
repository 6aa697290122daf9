/* expand: x broadcast to a shape, both ways as NumPy does. ConstantOfShape, whose shape must be
 * known, is a constant from the import on. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    sqz_ints shape;
} attrs;
static const sqz_attr schema[] = {{.name = "shape",
                                   .offset = offsetof(attrs, shape),
                                   .type = SQZ_A_INTS,
                                   .min = 0,
                                   .max = 0x1p62,
                                   .flags = SQZ_AF_REQUIRED | SQZ_AF_PER_AXIS,
                                   .slot = 1,
                                   .since = 8,
                                   .doc = "target; 1: as in the input"}};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    if (at->shape.n > SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "expand to %u dimensions, at most %d are supported",
                        (unsigned)at->shape.n, SQZ_MAX_RANK);
    const sqz_shape target = sqz_shape_of((int32_t)at->shape.n, at->shape.v);
    return sqz_shape_broadcast(q->ctx, &q->in[0]->shape, &target, &q->out[0]);
}

static void map(const void *opts, const sqz_prep *p, int32_t axis, int64_t in, int64_t out,
                int64_t *m)
{
    (void)opts, (void)p, (void)axis;
    for (int64_t i = 0; i < out; i++)
        m[i] = in == 1 ? 0 : i;
}
static sqz_status prepare(sqz_prep *p) { return sqz_maps_prepare(p, map); }

/* Bytes of one element everywhere; `t` is zero before. */
static void repeat(const sqz_tensor *from, sqz_tensor *t)
{
    const size_t elem = sqz_elem(t);
    const unsigned char *one = from->data;
    unsigned char *y = t->data;
    if (elem == 0) { /* packed: a byte of the element's code */
        const unsigned bits = sqz_dtype_bits(t->dtype), mask = (1u << bits) - 1;
        unsigned byte = 0;
        for (unsigned k = 0; k < 8; k += bits)
            byte |= (*one & mask) << k;
        memset(y, (int)byte, t->bytes);
        if (t->count * bits % 8)
            y[t->bytes - 1] &= (unsigned char)((1u << t->count * bits % 8) - 1);
    }
    for (size_t i = 0; elem && i < t->count; i++)
        memcpy(y + i * elem, one, elem);
}

static sqz_status constant_of_shape(sqz_import *im)
{
    const sqz_raw_attr *value = sqz_import_attr(im, "value");
    const sqz_tensor *dims = NULL;
    sqz_tensor t;
    sqz_shape s = {0};
    SQZ_TRY(sqz_import_const(im, 0, &dims));
    if (!dims || dims->count > SQZ_MAX_RANK)
        return sqz_fail(im->g->ctx, SQZ_E_LIMIT, "a shape of %zu dimensions, at most %d",
                        dims ? dims->count : 0, SQZ_MAX_RANK);
    for (s.rank = 0; s.rank < (int32_t)dims->count; s.rank++)
        s.dim[s.rank] = sqz_tensor_i64(dims, (size_t)s.rank);
    const sqz_tensor *from = value ? value->t : NULL;
    if (from && from->count != 1)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "attribute 'value' has %zu elements, expected 1",
                        from->count);
    const sqz_dtype d = from ? from->dtype : SQZ_F32;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, d, &s, &t)); /* zeros */
    if (from)
        repeat(from, &t);
    return sqz_graph_constant(im->g, im->out_name[0], &t, &im->out[0]);
}

/* The target is spelt with one entry for each axis, 1 where nothing grows: the batch stays free,
 * and the layout pass can move the entries. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    int64_t *v;
    if (im->op_type[0] == 'C')
        return constant_of_shape(im);
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    const sqz_ints file = at.shape;
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const uint32_t rank = SQZ_MAX(file.n, (uint32_t)x->rank), xr = (uint32_t)x->rank;
    SQZ_TRY(sqz_ints_new(&im->g->arena, rank, &at.shape, &v));
    for (uint32_t i = 0; i < rank; i++) {
        const int64_t have = i + xr < rank ? -1 : x->dim[i + xr - rank];
        v[i] = i + file.n < rank ? 1 : file.v[i + file.n - rank];
        v[i] = v[i] == have ? 1 : v[i];
    }
    return sqz_import_node(im, op, &at, im->in, 1);
}

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_maps_grad_prepare(p, prepare); }

static void ties(sqz_ties *t)
{
    sqz_ties_elementwise(t); /* axes that are repeated are not mentioned: they stay */
}

static sqz_status recut(sqz_recut *c)
{
    attrs *at = c->attrs;
    const sqz_ints old = at->shape;
    const int32_t rank = c->out[0]->shape.rank;
    int64_t *v;
    SQZ_TRY(sqz_ints_new(c->arena, old.n, &at->shape, &v));
    for (uint32_t i = 0; i < old.n; i++) {
        const sqz_tie_end to = SQZ_TIE_OUT(0, rank - (int32_t)old.n + (int32_t)i);
        v[i] = old.v[i] == 1 ? 1 : c->kept(c, &to);
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "shape=2,3,4", .n_in = 1, .in = {{2, {3, 1}}}},
    {.attrs = "shape=1,4", .n_in = 1, .in = {{2, {3, 1}}}},
    {.attrs = "shape=1,4,1", .n_in = 1, .in = {{3, {3, 1, 2}}}},
    {.attrs = "shape=2,2", .n_in = 1, .in = {{1, {1}}}, .lo = -8, .hi = 7, .dtype = {SQZ_S4}},
};

const sqz_op sqz_op_expand = {
    .info = {.name = "expand",
             .doc = "broadcasts to a shape",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = sqz_maps_run_plain,
    .prepare = prepare,
    .cost = sqz_move_cost,
    .grad = sqz_maps_grad,
    .grad_prepare = grad_prepare,
    .ties = ties,
    .recut = recut,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Expand", .also = "ConstantOfShape", .since = 8, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
