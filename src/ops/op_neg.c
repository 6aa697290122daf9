/* neg: y = -x. Integers wrap around. */
#include "ops/ew.h"
#include "ops/grad.h"

SQZ_FLOATS(SQZ_EW_MAP, map, , -v)
SQZ_SIGNED(SQZ_EW_MAP, map, , 0 - (uint64_t)v)
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map) SQZ_SIGNED(SQZ_EW_OF, map)},
                                 .fast = SQZ_MAP_neg};
SQZ_EW_UNARY_FUNCTIONS

static void slopes(const void *opts, const float *x, const float *g, float *d, size_t n, bool add)
{
    (void)opts, (void)x;
    for (size_t i = 0; i < n; i++)
        d[i] = add ? d[i] - g[i] : -g[i];
}
static sqz_status grad(const sqz_grad_call *c) { return sqz_ew_grad(c, slopes, true); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_neg = {
    .info = {.name = "neg", .doc = "-x"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .grad = grad,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Neg", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
