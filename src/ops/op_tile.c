/* tile: repeats x along each axis. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct attrs {
    sqz_ints repeats;
} attrs;
static const sqz_attr schema[] = {{.name = "repeats",
                                   .offset = offsetof(attrs, repeats),
                                   .type = SQZ_A_INTS,
                                   .min = 0,
                                   .max = 0x1p62,
                                   .flags = SQZ_AF_REQUIRED | SQZ_AF_PER_AXIS,
                                   .slot = 1,
                                   .since = 6,
                                   .doc = "how often, for each axis"}};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    if (at->repeats.n != (uint32_t)x->rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%u repeats for an input of rank %d",
                        (unsigned)at->repeats.n, (int)x->rank);
    q->out[0].rank = x->rank;
    for (int32_t i = 0; i < x->rank; i++)
        if (at->repeats.v[i] < 0 ||
            __builtin_mul_overflow(x->dim[i], at->repeats.v[i], &q->out[0].dim[i]))
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld repeats of axis %d",
                            (long long)at->repeats.v[i], (int)i);
    return SQZ_OK;
}

static void map(const void *opts, const sqz_prep *p, int32_t axis, int64_t in, int64_t out,
                int64_t *m)
{
    (void)opts, (void)p, (void)axis;
    for (int64_t i = 0; i < out; i++)
        m[i] = i % in;
}
static sqz_status prepare(sqz_prep *p) { return sqz_maps_prepare(p, map); }

/* Opset 1 repeats one axis: inputs are the number of repeats and the axis. */
static sqz_status import_1(sqz_import *im, const sqz_op *op)
{
    const sqz_tensor *n = NULL, *axis = NULL;
    const int32_t rank = sqz_val(im->g, im->in[0])->shape.rank;
    attrs at;
    int64_t *v;
    int32_t a;
    SQZ_TRY(sqz_import_const(im, 1, &n));
    SQZ_TRY(sqz_import_const(im, 2, &axis));
    if (!n || !axis || n->count != 1 || axis->count != 1)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT,
                        "inputs 1 and 2 are not one number each (repeats and axis)");
    SQZ_TRY(sqz_axis(im->g->ctx, sqz_tensor_i64(axis, 0), rank, &a));
    SQZ_TRY(sqz_ints_new(&im->g->arena, (uint32_t)rank, &at.repeats, &v));
    for (int32_t i = 0; i < rank; i++)
        v[i] = i == a ? sqz_tensor_i64(n, 0) : 1;
    return sqz_import_node(im, op, &at, im->in, 1);
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    return im->opset < 6 ? import_1(im, op) : sqz_import_node(im, op, NULL, NULL, 0);
}

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_maps_grad_prepare(p, prepare); }

static void ties(sqz_ties *t)
{
    for (int32_t i = 0; i < t->in[0]->shape.rank; i++) {
        const sqz_tie_end from = SQZ_TIE_IN(0, i), to = SQZ_TIE_OUT(0, i);
        t->row(t, &from, &to, t->in[0]->shape.dim[i]);
    }
}

static const sqz_case cases[] = {
    {.attrs = "repeats=1,2,3", .n_in = 1, .in = {{3, {2, 3, 2}}}},
    {.attrs = "repeats=3", .n_in = 1, .in = {{1, {2}}}},
    {.attrs = "repeats=2,3", .n_in = 1, .in = {{2, {1, 3}}}, .hi = 15, .dtype = {SQZ_U4}},
};

const sqz_op sqz_op_tile = {
    .info = {.name = "tile",
             .doc = "repeats along each axis",
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
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Tile", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
