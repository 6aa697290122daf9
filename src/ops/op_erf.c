/* erf: y = erf(x), the Gauss error function. */
#include "ops/build.h"
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(erf, erf(v))

/* Until opset 12 of integers too, truncated. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    sqz_build b = {.im = im};
    const sqz_dtype d = sqz_val(im->g, im->in[0])->dtype;
    if (sqz_dtype_is_float(d) || im->n_in != 1)
        return sqz_import_node(im, op, NULL, im->in, im->n_in);
    sqz_vid y = sqz_b(&b, "erf", NULL, 1, sqz_b(&b, "cast", "to=1", 1, im->in[0]));
    return sqz_b_end(&b, 1, sqz_bf(&b, "cast", &y, 1, "to=%d", (int)sqz_dtype_onnx(d)));
}

SQZ_EW_GRAD(, (T)1.12837916709551257390 * exp(-v * v)) /* 2 / sqrt(pi) */

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_erf = {
    .info = {.name = "erf", .doc = "Gauss error function"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Erf", .since = 9, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
