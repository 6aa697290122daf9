/* lower_qdq.c: QuantizeLinear and DequantizeLinear of ONNX (opset 10 on) and of com.microsoft:
 *     quantize:   y = saturate(round_half_even(x / scale) + zero)
 *     dequantize: y = scale * (x - zero)
 * with one scale, one for each index of an axis, or one for each block along it. */
#include "ops/qdq.h"

static sqz_qdq params(sqz_import *im, const sqz_build *b)
{
    return (sqz_qdq){.scale = sqz_b_in(b, 1),
                     .zero = sqz_b_in(b, 2),
                     .axis = sqz_import_int(im, "axis", 1),
                     .block = sqz_import_int(im, "block_size", 0),
                     .whole = true};
}

static sqz_status needs_two(sqz_import *im)
{
    return im->n_in >= 2 && im->n_in <= 3 && im->in[0] != SQZ_NONE && im->in[1] != SQZ_NONE
               ? SQZ_OK
               : sqz_fail(im->g->ctx, SQZ_E_FORMAT, "has %u inputs, expected 2 or 3", im->n_in);
}

static sqz_status quantize(sqz_import *im)
{
    sqz_build b = {.im = im};
    sqz_dtype d = SQZ_U8;
    int64_t code = sqz_import_int(im, "output_dtype", 0);
    SQZ_TRY(needs_two(im));
    if (code)
        SQZ_TRY(sqz_qdq_type(im, code, &d));
    const sqz_qdq q = params(im, &b);
    if (code && q.zero != SQZ_NONE && sqz_val(im->g, q.zero)->dtype != d)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "output_dtype is %s, its zero point %s",
                        sqz_dtype_name(d), sqz_dtype_name(sqz_val(im->g, q.zero)->dtype));
    return sqz_b_end(&b, 1, sqz_b_quantize(&b, im->in[0], &q, d));
}

/* The result has the type of the scale, or the one asked for. */
static sqz_status dequantize(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs_two(im));
    sqz_qdq q = params(im, &b);
    sqz_dtype d = sqz_val(im->g, q.scale)->dtype;
    int64_t code = sqz_import_int(im, "output_dtype", 0);
    if (code)
        SQZ_TRY(sqz_qdq_type(im, code, &d));
    if (!sqz_dtype_is_float(d))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "its result would be %s", sqz_dtype_name(d));
    q.whole = d == SQZ_F32;
    return sqz_b_end(&b, 1, sqz_b_cast(&b, sqz_b_dequantize(&b, im->in[0], &q), d));
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "QuantizeLinear", .since = 10, .import = quantize},
    {.domain = "", .op_type = "DequantizeLinear", .since = 10, .import = dequantize},
    {.domain = "com.microsoft", .op_type = "QuantizeLinear", .since = 1, .import = quantize},
    {.domain = "com.microsoft", .op_type = "DequantizeLinear", .since = 1, .import = dequantize},
};
const sqz_lower_set sqz_lower_qdq = {rules, SQZ_COUNT(rules)};
