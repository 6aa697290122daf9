/* cast: y = x as another type. Real numbers become integers by truncation and saturate, integers
 * wrap around, anything but 0 becomes true. */
#include "ops/ew.h"

typedef struct attrs {
    int64_t to;
} attrs;
static const sqz_attr schema[] = {{.name = "to",
                                   .offset = offsetof(attrs, to),
                                   .type = SQZ_A_INT,
                                   .def = 1,
                                   .min = 1,
                                   .max = 22,
                                   .flags = SQZ_AF_REQUIRED,
                                   .doc = "TensorProto.DataType: 1 f32, 6 s32, 7 s64, 9 bool"}};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    q->out_dtype[0] = sqz_dtype_of_onnx((int32_t)at->to);
    q->out[0] = q->in[0]->shape;
    if (q->out_dtype[0] == SQZ_N_DTYPE)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "cast to ONNX type %lld", (long long)at->to);
    return SQZ_OK;
}

/* Integers that do not fit lose their upper bits, as in C. */
static int64_t wrap(int64_t v, sqz_dtype d)
{
    const unsigned cut = 64 - sqz_dtype_bits(d);
    if (sqz_dtype_is_float(d) || d == SQZ_BOOL)
        return v;
    if (d == SQZ_U8 || d == SQZ_U16 || d == SQZ_U32 || d == SQZ_U4)
        return (int64_t)((uint64_t)v << cut >> cut);
    return (int64_t)((uint64_t)v << cut) >> cut;
}

typedef struct job {
    const sqz_tensor *x;
    sqz_tensor *y;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const bool from_real = sqz_dtype_is_float(j->x->dtype) || j->x->dtype == SQZ_U64;
    const bool to_int = !sqz_dtype_is_float(j->y->dtype) && j->y->dtype != SQZ_BOOL;
    for (size_t i = begin; i < end; i++) {
        if (!from_real) {
            sqz_tensor_set_i64(j->y, i, wrap(sqz_tensor_i64(j->x, i), j->y->dtype));
            continue;
        }
        double v = sqz_tensor_f64(j->x, i);
        sqz_tensor_set_f64(j->y, i, to_int ? trunc(v) : v);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    job j = {c->in[0], c->out[0]};
    return sqz_parallel(c->ctx, j.y->count, 8192, piece, &j); /* even: 4-bit pairs stay together */
}

/* A cast to the type that is already there is an identity, which needs no float island. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    if (im->n_in == 1 && im->in[0] != SQZ_NONE &&
        sqz_import_int(im, "to", 0) == sqz_dtype_onnx(sqz_val(im->g, im->in[0])->dtype))
        return sqz_import_node(im, sqz_op_find("identity"), NULL, im->in, 1);
    return sqz_import_node(im, op, NULL, im->in, im->n_in);
}

static const sqz_case cases[] = {
    {.attrs = "to=7", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9},
    {.attrs = "to=9", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "to=1", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_cast = {
    .info = {.name = "cast",
             .doc = "x as another type",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Cast", .since = 6, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
