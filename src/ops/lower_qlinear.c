/* lower_qlinear.c: operators on integers with scales and zero points as inputs: QLinearConv and
 * QLinearMatMul of ONNX, QLinear* and QGemm of com.microsoft. Each becomes
 *
 *     dequantize -> the float operator -> quantize
 *
 * which is what ONNX defines them as; the pass fold_qdq makes integer operators of that again. */
#include "ops/qdq.h"
#include <string.h>

#define OPSET 13 /* whose spelling the inner operators are given in */

/* Real numbers of the code in input `slot`, scale and zero point in the next two. */
static sqz_vid real(sqz_build *b, unsigned slot, int64_t axis)
{
    sqz_vid x = sqz_b_in(b, slot);
    if (b->status == SQZ_OK && x == SQZ_NONE)
        b->status = sqz_fail(b->im->g->ctx, SQZ_E_FORMAT, "input %u is missing", slot);
    const sqz_qdq q = {.scale = sqz_b_in(b, slot + 1), .zero = sqz_b_in(b, slot + 2), .axis = axis};
    return sqz_b_dequantize(b, x, &q);
}

/* Ends the hook: y on the grid whose scale is input `slot`; the type of input `like` where there is
 * no zero point. */
static sqz_status end(sqz_build *b, sqz_vid y, unsigned slot, unsigned like)
{
    const sqz_qdq q = {.scale = sqz_b_in(b, slot), .zero = sqz_b_in(b, slot + 1)};
    sqz_dtype d = sqz_b_val(b, sqz_b_in(b, like))->dtype;
    return sqz_b_end(b, 1, sqz_b_quantize(b, y, &q, d));
}

/* The attributes of the node but one. */
static sqz_raw_attr *without(sqz_import *im, const char *name, unsigned *n)
{
    sqz_raw_attr *a = sqz_arena_alloc(&im->g->arena, im->n_attr + 1u, sizeof *a);
    *n = 0;
    for (unsigned i = 0; a && i < im->n_attr; i++)
        if (strcmp(im->attr[i].name, name) != 0)
            a[(*n)++] = im->attr[i];
    return a;
}

/* The float operator with the node's attributes; `channels_last` is answered by transposes. */
static sqz_vid inner(sqz_build *b, const char *op_type, const sqz_vid *in, unsigned n)
{
    static const char *const to_first[] = {"perm=0,2,1", "perm=0,3,1,2", "perm=0,4,1,2,3"};
    static const char *const to_last[] = {"perm=0,2,1", "perm=0,2,3,1", "perm=0,2,3,4,1"};
    const bool last = sqz_import_int(b->im, "channels_last", 0) != 0;
    sqz_vid args[4] = {SQZ_NONE, SQZ_NONE, SQZ_NONE, SQZ_NONE};
    unsigned n_attr;
    const sqz_raw_attr *attr = without(b->im, "channels_last", &n_attr);
    if (b->status == SQZ_OK && !attr)
        b->status = SQZ_E_NOMEM;
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    memcpy(args, in, n * sizeof *in);
    const int32_t rank = sqz_b_val(b, in[0])->shape.rank;
    const bool moves = last && rank >= 3 && rank <= 5;
    if (moves)
        args[0] = sqz_b(b, "transpose", to_first[rank - 3], 1, in[0]);
    sqz_vid y = sqz_b_onnx(b, op_type, OPSET, args, n, attr, n_attr);
    return moves ? sqz_b(b, "transpose", to_last[rank - 3], 1, y) : y;
}

/* An int32 input on the grid of products, scale_x * scale_w * factor. */
static sqz_vid bias(sqz_build *b, unsigned slot, unsigned scale_x, unsigned scale_w, double factor)
{
    sqz_vid x = sqz_b_in(b, slot);
    if (x == SQZ_NONE || b->status != SQZ_OK)
        return SQZ_NONE;
    sqz_vid s = sqz_b(b, "mul", NULL, 2, sqz_b_cast(b, sqz_b_in(b, scale_x), SQZ_F32),
                      sqz_b_cast(b, sqz_b_in(b, scale_w), SQZ_F32));
    if (factor != 1)
        s = sqz_b(b, "mul", NULL, 2, s, sqz_b_num(b, factor, s));
    return sqz_b_dequantize(b, x, &(sqz_qdq){.scale = s, .zero = SQZ_NONE, .axis = -1});
}

static sqz_status needs(sqz_import *im, unsigned n)
{
    return im->n_in >= n
               ? SQZ_OK
               : sqz_fail(im->g->ctx, SQZ_E_FORMAT, "has %u inputs, expected %u", im->n_in, n);
}

/* ---- products ---- */

static sqz_status conv(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs(im, 7));
    const sqz_vid in[] = {real(&b, 0, 1), real(&b, 3, 0), bias(&b, 8, 1, 4, 1)};
    return end(&b, inner(&b, "Conv", in, 3), 6, 0);
}

/* Lists of scales are one for each row of a, one for each column of b. */
static sqz_status matmul(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs(im, 7));
    sqz_vid y = sqz_b(&b, "matmul", NULL, 2, real(&b, 0, -2), real(&b, 3, -1));
    return end(&b, y, 6, 0);
}

/* y = alpha * (A B) + C, where C has the scale alpha * scale_a * scale_b; float when y has none. */
static sqz_status gemm(sqz_import *im)
{
    sqz_build b = {.im = im};
    const sqz_raw_attr *alpha = sqz_import_attr(im, "alpha");
    const bool turned = sqz_import_int(im, "transB", 0) != 0;
    SQZ_TRY(needs(im, 6));
    const sqz_vid in[] = {real(&b, 0, 0), real(&b, 3, turned ? 0 : 1),
                          bias(&b, 6, 1, 4, alpha ? (double)alpha->f : 1)};
    sqz_vid y = inner(&b, "Gemm", in, 3);
    return sqz_b_in(&b, 7) == SQZ_NONE ? sqz_b_end(&b, 1, y) : end(&b, y, 7, 0);
}

/* ---- one operand: x, scale, zero; then scale, zero of y ---- */

static sqz_status unary(sqz_import *im, const char *op_type)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs(im, 4));
    const sqz_vid x = real(&b, 0, 1);
    return end(&b, inner(&b, op_type, &x, 1), 3, 0);
}

static sqz_status sigmoid(sqz_import *im) { return unary(im, "Sigmoid"); }
static sqz_status leaky_relu(sqz_import *im) { return unary(im, "LeakyRelu"); }
static sqz_status average_pool(sqz_import *im) { return unary(im, "AveragePool"); }
static sqz_status global_average_pool(sqz_import *im) { return unary(im, "GlobalAveragePool"); }
static sqz_status reduce_mean(sqz_import *im) { return unary(im, "ReduceMean"); }

/* Means what Softmax meant at the opset that its attribute names. */
static sqz_status softmax(sqz_import *im)
{
    sqz_build b = {.im = im};
    unsigned n;
    SQZ_TRY(needs(im, 4));
    const sqz_raw_attr *attr = without(im, "opset", &n);
    const sqz_vid x = real(&b, 0, 1);
    if (!attr)
        return SQZ_E_NOMEM;
    sqz_vid y = sqz_b_onnx(&b, "Softmax", sqz_import_int(im, "opset", 13), &x, 1, attr, n);
    return end(&b, y, 3, 0);
}

/* ---- several operands ---- */

static sqz_status binary(sqz_import *im, const char *op)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs(im, 7));
    return end(&b, sqz_b(&b, op, NULL, 2, real(&b, 0, 1), real(&b, 3, 1)), 6, 0);
}
static sqz_status add(sqz_import *im) { return binary(im, "add"); }
static sqz_status mul(sqz_import *im) { return binary(im, "mul"); }

/* scale and zero of y, then x, scale, zero of each part */
static sqz_status concat(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs(im, 4));
    unsigned n = (im->n_in - 2 + 2) / 3; /* the last zero point may be left out */
    sqz_vid *x = sqz_arena_alloc(&im->g->arena, n, sizeof *x);
    if (!x)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < n; i++)
        x[i] = real(&b, 2 + 3 * i, 1);
    sqz_vid y = sqz_b_onnx(&b, "Concat", OPSET, x, n, im->attr, im->n_attr);
    return end(&b, y, 0, 2);
}

/* condition; x, scale, zero; y, scale, zero; scale, zero of the result */
static sqz_status where(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs(im, 8));
    const sqz_vid in[] = {im->in[0], real(&b, 1, 1), real(&b, 4, 1)};
    return end(&b, sqz_b_onnx(&b, "Where", OPSET, in, 3, NULL, 0), 7, 1);
}

#define MS(type, fn)                                                                               \
    {                                                                                              \
        .domain = "com.microsoft", .op_type = (type), .since = 1, .import = (fn)                   \
    }
static const sqz_lower rules[] = {
    {.domain = "", .op_type = "QLinearConv", .since = 10, .import = conv},
    {.domain = "", .op_type = "QLinearMatMul", .since = 10, .import = matmul},
    MS("QLinearConv", conv),
    MS("QGemm", gemm),
    MS("QLinearAdd", add),
    MS("QLinearMul", mul),
    MS("QLinearConcat", concat),
    MS("QLinearWhere", where),
    MS("QLinearSigmoid", sigmoid),
    MS("QLinearLeakyRelu", leaky_relu),
    MS("QLinearSoftmax", softmax),
    MS("QLinearReduceMean", reduce_mean),
    MS("QLinearAveragePool", average_pool),
    MS("QLinearGlobalAveragePool", global_average_pool),
};
const sqz_lower_set sqz_lower_qlinear = {rules, SQZ_COUNT(rules)};
