/* pow: y = a ^ b, with broadcasting. */
#include "ops/build.h"
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

static uint64_t whole_pow(uint64_t a, uint64_t b)
{
    uint64_t y = 1;
    for (; b; b >>= 1, a *= a)
        y *= b & 1 ? a : 1;
    return y;
}

/* 1/a as an integer, to the power of -b. */
static uint64_t whole_root(int64_t a, uint64_t b)
{
    return a == 1 ? 1 : a != -1 ? 0 : b & 1 ? UINT64_MAX : 1;
}

/* The square, by far the most frequent, needs no pow. Integers wrap around. */
SQZ_FLOATS(SQZ_EW_ROW, row, b == 2 ? a * a : pow(a, b))
SQZ_SIGNED(SQZ_EW_ROW, row,
           b < 0 ? whole_root(a, (uint64_t)b) : whole_pow((uint64_t)a, (uint64_t)b))
SQZ_UNSIGNED(SQZ_EW_ROW, row, whole_pow(a, b))
static const sqz_rows rows = {.of = {SQZ_NUMBERS(SQZ_EW_OF, row)}};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static bool is_square(const sqz_call *c)
{
    return c->in[1]->dtype == SQZ_F32 && c->in[1]->count == 1 && *SQZ_F32P(c->in[1]) == 2 &&
           c->in[0]->count == c->out[0]->count;
}
static sqz_status part(const sqz_call *c, size_t begin, size_t end)
{
    if (!is_square(c))
        return sqz_ew_part2(c, &rows, begin, end);
    const sqz_operand a = {.x = SQZ_F32P(c->in[0]) + begin, .step = 1};
    c->ctx->kernels->bin_f32(SQZ_BIN_mul, &a, &a, SQZ_F32P(c->out[0]) + begin, 1, end - begin);
    return SQZ_OK;
}
static sqz_status piece(void *arg, size_t begin, size_t end) { return part(arg, begin, end); }
static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    return is_square(c) ? sqz_parallel(c->ctx, c->out[0]->count, 16384, piece, &call)
                        : sqz_ew_run2(c, &rows);
}

/* Since opset 12 the exponent may have another type than the base, whose type the result has. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    sqz_vid in[2];
    SQZ_TRY(sqz_ew_operands(im, in));
    sqz_build b = {.im = im};
    const sqz_dtype base = sqz_val(im->g, in[0])->dtype, exponent = sqz_val(im->g, in[1])->dtype;
    if (base == exponent)
        return sqz_import_node(im, op, NULL, in, 2);
    const bool real = !sqz_dtype_is_float(base) && sqz_dtype_is_float(exponent);
    const sqz_dtype type = real ? SQZ_F64 : base;
    for (int i = 0; i < 2; i++)
        if (sqz_b_val(&b, in[i])->dtype != type)
            in[i] = sqz_bf(&b, "cast", &in[i], 1, "to=%d", (int)sqz_dtype_onnx(type));
    SQZ_TRY(b.status);
    if (!real)
        return sqz_import_node(im, op, NULL, in, 2);
    sqz_vid y = sqz_b(&b, "pow", NULL, 2, in[0], in[1]);
    y = sqz_bf(&b, "cast", &y, 1, "to=%d", (int)sqz_dtype_onnx(base));
    return sqz_b_end(&b, 1, y);
}

SQZ_EW_GRAD2(b *pow(a, b - 1), a > 0 ? pow(a, b) * log(a) : 0)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {1, {4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{2, {3, 1}}, {3, {2, 1, 5}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {0}}, .constant = 2, .lo = 0.5, .hi = 2},
    {.n_in = 2, .in = {{2, {3, 4}}, {1, {4}}}, .lo = 0, .hi = 5, .dtype = {SQZ_S64, SQZ_S64}},
};

const sqz_op sqz_op_pow = {
    .info = {.name = "pow", .doc = "a to the power of b"},
    SQZ_EW_BINARY,
    .part = part,
    SQZ_EW_GRAD2_COLUMNS,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Pow", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
