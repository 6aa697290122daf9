/* cast: y = x as another type; cast.h has the rules. */
#include "ir/op.h"
#include "ops/cast.h"
#include "ops/grad.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    int64_t to, clamp;
} attrs;
static const sqz_attr schema[] = {
    {.name = "to",
     .offset = offsetof(attrs, to),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = 26,
     .flags = SQZ_AF_REQUIRED,
     .doc = "TensorProto.DataType: 1 f32, 6 s32, 7 s64, 9 bool"},
    {.name = "clamp",
     .offset = offsetof(attrs, clamp),
     .type = SQZ_A_BOOL,
     .max = 1,
     .flags = SQZ_AF_INTERNAL,
     .doc = "reals outside of 4 bits become the nearest 4-bit number"},
};

/* TensorProto.DataType: what ONNX calls them. */
static const char *const type_name[] = {
    "UNDEFINED",      "FLOAT",    "UINT8",        "INT8",           "UINT16",
    "INT16",          "INT32",    "INT64",        "STRING",         "BOOL",
    "FLOAT16",        "DOUBLE",   "UINT32",       "UINT64",         "COMPLEX64",
    "COMPLEX128",     "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2",
    "FLOAT8E5M2FNUZ", "UINT4",    "INT4",         "FLOAT4E2M1",     "FLOAT8E8M0",
    "UINT2",          "INT2"};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    q->out_dtype[0] = sqz_dtype_of_onnx((int32_t)at->to);
    q->out[0] = q->in[0]->shape;
    if (q->out_dtype[0] == SQZ_N_DTYPE)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                        "a cast to %s, which is not supported: the narrowest types are FLOAT16, "
                        "BFLOAT16 and INT4",
                        type_name[at->to]);
    return SQZ_OK;
}

typedef struct job {
    const sqz_tensor *x;
    sqz_tensor *y;
    bool clamp;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    sqz_cast_range(j->x, j->y, begin, end, j->clamp);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    job j = {c->in[0], c->out[0], ((const attrs *)c->attrs)->clamp != 0};
    if (j.x->dtype == j.y->dtype) {
        if (j.y->bytes && j.y->data != j.x->data)
            memcpy(j.y->data, j.x->data, j.y->bytes);
        return SQZ_OK;
    }
    return sqz_parallel(c->ctx, j.y->count, 8192, piece, &j); /* even: 4-bit pairs stay together */
}

/* Before opset 6 the type is a word. */
static sqz_status read_type(sqz_import *im, int64_t *to)
{
    const sqz_raw_attr *a = sqz_import_attr(im, "to");
    for (size_t i = 1; a && a->type == 3 && i < SQZ_COUNT(type_name); i++)
        if (strcmp(a->s, type_name[i]) == 0)
            *to = (int64_t)i;
    if (a && a->type == 2)
        *to = a->i;
    if (*to < 1 || *to >= (int64_t)SQZ_COUNT(type_name))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "attribute 'to' names no type");
    return SQZ_OK;
}

/* A cast to the type that is already there is an identity, which needs no float island. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    /* reals outside of 4 bits: clamped until opset 23, wrapped since, both by ONNX's reference */
    attrs at = {.clamp = im->opset < 24};
    if (strcmp(im->op_type, "CastLike") != 0)
        SQZ_TRY(read_type(im, &at.to));
    else if (im->n_in == 2 && im->in[1] != SQZ_NONE)
        at.to = sqz_dtype_onnx(sqz_val(im->g, im->in[1])->dtype);
    else
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%u inputs, expected 2", im->n_in);
    const sqz_dtype from = sqz_val(im->g, im->in[0])->dtype;
    const sqz_dtype to = sqz_dtype_of_onnx((int32_t)at.to);
    if (to == from)
        return sqz_import_node(im, sqz_op_find("identity"), NULL, im->in, 1);
    at.clamp = at.clamp && sqz_dtype_is_float(from) && (to == SQZ_S4 || to == SQZ_U4);
    return sqz_import_node(im, op, &at, im->in, 1);
}

static const sqz_case cases[] = {
    {.attrs = "to=7", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9},
    {.attrs = "to=9", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "to=10", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "to=22", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9},
    {.attrs = "to=1", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
    {.attrs = "to=1", .n_in = 1, .in = {{2, {3, 5}}}, .dtype = {SQZ_BF16}},
    {.attrs = "to=1", .n_in = 1, .in = {{2, {3, 5}}}},
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
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_TYPES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .ties = sqz_ties_elementwise,
    .grad = sqz_grad_copy, /* between floats, all of which are float32 where gradients are */
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Cast", .also = "CastLike", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
