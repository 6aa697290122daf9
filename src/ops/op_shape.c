/* shape: the dimensions of x as a list of int64. Every dimension is known at import, so a model's
 * Shape becomes a constant there. */
#include "ops/move.h"

typedef struct attrs {
    int64_t start, end;
} attrs;
static const sqz_attr schema[] = {
    {.name = "start",
     .offset = offsetof(attrs, start),
     .type = SQZ_A_INT,
     .min = -0x1p62,
     .max = 0x1p62,
     .doc = "first dimension"},
    {.name = "end",
     .offset = offsetof(attrs, end),
     .type = SQZ_A_INT,
     .def = 0x1p62,
     .min = -0x1p62,
     .max = 0x1p62,
     .doc = "dimension to stop before"},
};

static int64_t clamp(int64_t i, int64_t rank)
{
    i += i < 0 ? rank : 0;
    return SQZ_MIN(SQZ_MAX(i, 0), rank);
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const int64_t rank = q->in[0]->shape.rank;
    const int64_t n = clamp(at->end, rank) - clamp(at->start, rank);
    q->out_dtype[0] = SQZ_S64;
    q->out[0] = (sqz_shape){1, {SQZ_MAX(n, 0)}};
    return SQZ_OK;
}

static void list(const attrs *at, const sqz_shape *x, sqz_tensor *y)
{
    const int64_t first = clamp(at->start, x->rank);
    for (size_t i = 0; i < y->count; i++)
        SQZ_S64P(y)[i] = x->dim[first + (int64_t)i];
}

static sqz_status run(const sqz_call *c)
{
    list(c->attrs, &c->in[0]->shape, c->out[0]);
    return SQZ_OK;
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    sqz_tensor t;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const int64_t n = clamp(at.end, x->rank) - clamp(at.start, x->rank);
    const sqz_shape s = {1, {SQZ_MAX(n, 0)}};
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, SQZ_S64, &s, &t));
    list(&at, x, &t);
    return sqz_graph_constant(im->g, im->out_name[0], &t, &im->out[0]);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 5, 4}}}},
    {.attrs = "start=-2 end=3", .n_in = 1, .in = {{4, {2, 3, 5, 4}}}},
};

const sqz_op sqz_op_shape = {
    .info = {.name = "shape",
             .doc = "the dimensions of x",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = sqz_view_cost,
    .no_grad = "its result is a shape",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Shape", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
