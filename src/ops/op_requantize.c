/* requantize: the same number on another grid. Stands where a fixed grid (softmax) meets a set of
 * values that share another one. In ONNX it is an Identity between DequantizeLinear and
 * QuantizeLinear. */
#include "ops/ew.h"

SQZ_EW_UNARY_FLOAT(v)

static sqz_status write(sqz_export *e)
{
    e->op_type = "Identity";
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_requantize = {
    .info = {.name = "requantize", .doc = "the same number on another int8 grid"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .no_grad = "it works on integers",
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
