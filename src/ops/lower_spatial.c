/* lower_spatial.c: operators over space that are compositions of others:
 *     GlobalLpPool         (sum |x|^p)^(1/p) over all spatial axes
 *     AffineGrid           theta . (x, y, 1) for every pixel of an image
 *     CausalConvWithState  a depthwise convolution over the past state and the input */
#include "ops/build.h"
#include "ops/move.h"
#include <stdio.h>
#include <string.h>

/* The first n inputs are there. */
static sqz_status need(const sqz_import *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (i >= im->n_in || im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    return SQZ_OK;
}

/* ---- GlobalLpPool ---- */

static sqz_status global_lp_pool(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(need(im, 1));
    const sqz_raw_attr *a = sqz_import_attr(im, "p"); /* a float in opset 1 */
    const double p = a && a->type == 1 ? (double)a->f : (double)sqz_import_int(im, "p", 2);
    const int32_t rank = sqz_val(im->g, im->in[0])->shape.rank;
    char axes[64] = "axes=2";
    sqz_vid x = im->in[0];
    if (rank < 3 || !(p > 0))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "an input of rank %d with p %g", (int)rank, p);
    for (int32_t i = 3; i < rank; i++)
        (void)snprintf(axes + strlen(axes), sizeof axes - strlen(axes), ",%d", (int)i);
    if (p == 1 || p == 2)
        return sqz_b_end(&b, 1, sqz_b(&b, p == 1 ? "reduce_l1" : "reduce_l2", axes, 1, x));
    x = sqz_b(&b, "abs", NULL, 1, x);
    x = sqz_b(&b, "pow", NULL, 2, x, sqz_b_num(&b, p, im->in[0]));
    x = sqz_b(&b, "reduce_sum", axes, 1, x);
    x = sqz_b(&b, "pow", NULL, 2, x, sqz_b_num(&b, 1 / p, im->in[0]));
    return sqz_b_end(&b, 1, x);
}

/* ---- AffineGrid ---- */

/* The places of all pixels, one a row: coordinates of -1 .. 1, last axis first, and a 1. */
static sqz_status places(sqz_import *im, const sqz_tensor *size, bool corners, sqz_tensor *t)
{
    const int32_t n = (int32_t)size->count - 2;
    sqz_shape s = {.rank = 2, .dim = {1, n + 1}};
    size_t count = 1;
    for (int32_t a = 0; a < n; a++) {
        const int64_t d = sqz_tensor_i64(size, 2 + (size_t)a);
        if (d < 1 || d > INT32_MAX || !sqz_mul(count, (size_t)d, &count) || count > INT32_MAX)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "a size of %lld", (long long)d);
    }
    s.dim[0] = (int64_t)count;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, SQZ_F32, &s, t));
    for (size_t i = 0; i < count; i++) {
        size_t rest = i;
        for (int32_t a = n - 1; a >= 0; a--) {
            const size_t d = (size_t)sqz_tensor_i64(size, 2 + (size_t)a), at = rest % d;
            const double v = corners ? d > 1 ? 2.0 * (double)at / (double)(d - 1) - 1 : -1
                                     : (2.0 * (double)at + 1) / (double)d - 1;
            rest /= d;
            SQZ_F32P(t)[i * (size_t)(n + 1) + (size_t)(n - 1 - a)] = (float)v;
        }
        SQZ_F32P(t)[i * (size_t)(n + 1) + (size_t)n] = 1;
    }
    return SQZ_OK;
}

static sqz_status affine_grid(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(need(im, 2));
    const sqz_value *theta = sqz_val(im->g, im->in[0]);
    const sqz_tensor *size = NULL;
    sqz_tensor t, typed;
    char shape[120];
    SQZ_TRY(sqz_import_const(im, 1, &size));
    const int32_t n = size ? (int32_t)SQZ_MIN(size->count, (size_t)9) - 2 : 0;
    if (n < 1 || n > SQZ_MAX_RANK - 2 || theta->shape.rank != 3 || theta->shape.dim[1] != n ||
        theta->shape.dim[2] != n + 1 || theta->shape.dim[0] != sqz_tensor_i64(size, 0))
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE,
                        "theta and size do not fit: expected (N,%d,%d) and N, C and %d sizes",
                        (int)n, (int)n + 1, (int)n);
    SQZ_TRY(places(im, size, sqz_import_int(im, "align_corners", 0) != 0, &t));
    sqz_status s = sqz_tensor_cast(im->g->ctx, &t, theta->dtype, &typed);
    sqz_tensor_free(im->g->ctx, &t);
    SQZ_TRY(s);
    (void)snprintf(shape, sizeof shape, "shape=0");
    for (int32_t a = 0; a < n; a++)
        (void)snprintf(shape + strlen(shape), sizeof shape - strlen(shape), ",%lld",
                       (long long)sqz_tensor_i64(size, 2 + (size_t)a));
    (void)snprintf(shape + strlen(shape), sizeof shape - strlen(shape), ",%d", (int)n);
    sqz_vid grid = sqz_b_tensor(&b, &typed);
    sqz_vid turned = sqz_b(&b, "transpose", "perm=0,2,1", 1, im->in[0]);
    sqz_vid y = sqz_b(&b, "matmul", NULL, 2, grid, turned);
    return sqz_b_end(&b, 1, sqz_b(&b, "reshape", shape, 1, y));
}

/* ---- CausalConvWithState ---- */

/* The input (N,C,L) behind the past state (N,C,K-1), or behind zeros. */
static sqz_vid behind_past(sqz_build *b, sqz_vid past, int64_t k)
{
    const sqz_vid x = b->im->in[0];
    if (k == 1)
        return x;
    if (past != SQZ_NONE) {
        const sqz_vid both[] = {past, x};
        return sqz_bf(b, "concat", both, 2, "axis=2");
    }
    return sqz_bf(b, "pad", &x, 1, "pads=0,0,%lld,0,0,0", (long long)(k - 1));
}

static sqz_status causal_conv(sqz_import *im)
{
    sqz_build b = {.im = im};
    const sqz_raw_attr *word = sqz_import_attr(im, "activation");
    const char *act = word && word->s && *word->s ? word->s : "none";
    const bool silu = strcmp(act, "silu") == 0 || strcmp(act, "swish") == 0;
    SQZ_TRY(need(im, 2));
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape, *w = &sqz_val(im->g, im->in[1])->shape;
    if (!silu && strcmp(act, "none") != 0)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "activation '%s', expected none, silu or swish", act);
    if (x->rank != 3 || w->rank != 3 || w->dim[1] != 1 || w->dim[0] != x->dim[1] || w->dim[2] < 1)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "expected an input (N,C,L) and weights (C,1,K)");
    const int64_t k = w->dim[2], length = x->dim[2], channels = x->dim[1];
    const sqz_vid all = behind_past(&b, sqz_b_in(&b, 3), k);
    const sqz_vid in[] = {all, im->in[1], sqz_b_in(&b, 2)};
    sqz_vid y = sqz_bf(&b, channels > 1 ? "dwconv2d" : "conv2d", in, in[2] == SQZ_NONE ? 2 : 3,
                       "strides=1");
    if (silu)
        y = sqz_b(&b, "mul", NULL, 2, y, sqz_b(&b, "sigmoid", NULL, 1, y));
    sqz_vid state = SQZ_NONE;
    if (im->n_out > 1 && im->out_name[1])
        state = sqz_bf(&b, "slice", &all, 1, "starts=%lld ends=%lld axes=2", (long long)length,
                       (long long)(length + k - 1));
    return sqz_b_end(&b, 2, y, state);
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "GlobalLpPool", .since = 1, .import = global_lp_pool},
    {.domain = "", .op_type = "AffineGrid", .since = 20, .import = affine_grid},
    {.domain = "", .op_type = "CausalConvWithState", .since = 27, .import = causal_conv},
};
const sqz_lower_set sqz_lower_spatial = {rules, SQZ_COUNT(rules)};
