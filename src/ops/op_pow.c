/* pow: y = a ^ b, with broadcasting. */
#include "ops/ew.h"

static void f32(const void *arg, const void *pa, const void *pb, void *py, size_t n)
{
    const float *a = pa, *b = pb;
    float *y = py;
    (void)arg;
    for (size_t i = 0; i < n; i++) /* the square, by far the most frequent, needs no powf */
        y[i] = b[i] == 2.0f ? a[i] * a[i] : powf(a[i], b[i]);
}
static const sqz_rows rows = {.f32 = f32};
static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }

/* Since opset 12 the exponent may have another type than the base: a constant one is converted. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_tensor *t;
    sqz_tensor f;
    sqz_graph *g = im->g;
    if (im->n_in != 2 || sqz_val(g, im->in[1])->dtype == sqz_val(g, im->in[0])->dtype)
        return sqz_import_node(im, op, NULL, im->in, im->n_in);
    sqz_vid in[] = {im->in[0], SQZ_NONE};
    SQZ_TRY(sqz_import_const(im, 1, &t));
    SQZ_TRY(sqz_tensor_cast(g->ctx, t, sqz_val(g, im->in[0])->dtype, &f));
    SQZ_TRY(sqz_graph_constant(g, NULL, &f, &in[1]));
    return sqz_import_node(im, op, NULL, in, 2);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {1, {4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{2, {3, 1}}, {3, {2, 1, 5}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {0}}, .constant = 2, .lo = 0.5, .hi = 2},
};

const sqz_op sqz_op_pow = {
    .info = {.name = "pow", .doc = "a to the power of b"},
    SQZ_EW_BINARY,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Pow", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
