/* onnx_quant.c: the nodes that import does itself: Constant, and QuantizeLinear and
 * DequantizeLinear, whose scale and zero point become the grid of the integer value. */
#include "io/onnx.h"
#include <math.h>
#include <string.h>

/* ---- Constant ---- */

static sqz_status constant(sqz_import *im)
{
    sqz_ctx *ctx = im->g->ctx;
    sqz_tensor t = {0};
    const sqz_raw_attr *a = im->n_attr == 1 ? &im->attr[0] : NULL;
    if (!a)
        return sqz_fail(ctx, SQZ_E_FORMAT, "has %u attributes, expected one with the value",
                        im->n_attr);
    bool list = a->type == SQZ_ONNX_INTS || a->type == SQZ_ONNX_FLOATS;
    bool whole = a->type == SQZ_ONNX_INTS || a->type == SQZ_ONNX_INT;
    sqz_shape shape = {.rank = list};
    shape.dim[0] = a->type == SQZ_ONNX_INTS ? a->ints.n : a->floats.n;
    if (a->type == SQZ_ONNX_TENSOR) {
        sqz_tensor_share(a->t, &t);
        return sqz_graph_constant(im->g, im->out_name[0], &t, &im->out[0]);
    }
    if (!list && a->type != SQZ_ONNX_INT && a->type != SQZ_ONNX_FLOAT)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "a constant of texts is not supported");
    SQZ_TRY(sqz_tensor_alloc(ctx, whole ? SQZ_S64 : SQZ_F32, &shape, &t));
    for (size_t i = 0; i < t.count; i++)
        if (whole)
            SQZ_S64P(&t)[i] = list ? a->ints.v[i] : a->i;
        else
            SQZ_F32P(&t)[i] = list ? a->floats.v[i] : a->f;
    return sqz_graph_constant(im->g, im->out_name[0], &t, &im->out[0]);
}

/* ---- grids ---- */

typedef struct grid {
    sqz_dtype dtype;
    int32_t axis;
    uint32_t n;
    float *scale;
    int32_t *zero;
    bool negative; /* some scale is below 0: only in constants, which are turned around */
} grid;

/* The axis that a list of n scales belongs to, in the shape of `x`. */
static sqz_status axis_of(sqz_import *im, const sqz_shape *x, uint32_t n, int32_t *out)
{
    *out = -1;
    if (n == 1)
        return SQZ_OK;
    SQZ_TRY(sqz_axis(im->g->ctx, sqz_import_int(im, "axis", 1), x->rank, out));
    if (x->dim[*out] != n)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "%u scales for axis %d of length %lld", n, *out,
                        (long long)x->dim[*out]);
    return SQZ_OK;
}

/* Scale (input 1) and zero point (input 2) for a value of shape x; lists in `a`. dtype stays the
 * caller's guess where there is no zero point. */
static sqz_status grid_of(sqz_import *im, sqz_arena *a, const sqz_shape *x, grid *g)
{
    sqz_ctx *ctx = im->g->ctx;
    const sqz_tensor *s, *z;
    if (im->n_in < 2)
        return sqz_fail(ctx, SQZ_E_FORMAT, "has %u inputs, expected 2 or 3", im->n_in);
    if (sqz_import_int(im, "block_size", 0) != 0)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "scales by blocks (block_size) are not supported");
    SQZ_TRY(sqz_import_const(im, 1, &s));
    SQZ_TRY(sqz_import_const(im, 2, &z));
    if (!s || s->dtype != SQZ_F32 || s->shape.rank > 1 || s->count == 0 || s->count > INT32_MAX)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "the scale must be one float or a list of them");
    if (z && z->count != s->count)
        return sqz_fail(ctx, SQZ_E_SHAPE, "%zu zero points for %zu scales", z->count, s->count);
    g->n = (uint32_t)s->count;
    if (z)
        g->dtype = z->dtype;
    SQZ_TRY(axis_of(im, x, g->n, &g->axis));
    g->scale = sqz_arena_alloc(a, g->n, sizeof *g->scale);
    g->zero = sqz_arena_alloc(a, g->n, sizeof *g->zero);
    if (!g->scale || !g->zero)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < g->n; i++) {
        g->scale[i] = SQZ_F32P(s)[i];
        g->zero[i] = z ? (int32_t)sqz_tensor_i64(z, i) : 0;
        g->negative = g->negative || g->scale[i] < 0.0f;
        if (g->scale[i] == 0.0f || !isfinite(g->scale[i]))
            return sqz_fail(ctx, SQZ_E_FORMAT, "scale %u is %g, expected a positive number", i,
                            (double)g->scale[i]);
    }
    return SQZ_OK;
}

static bool same_grid(const sqz_quant *q, const grid *g)
{
    return q->dtype == g->dtype && q->axis == g->axis && q->n == g->n && q->group == 0 &&
           memcmp(q->scale, g->scale, g->n * sizeof *g->scale) == 0 &&
           memcmp(q->zero, g->zero, g->n * sizeof *g->zero) == 0;
}

static sqz_status set_grid(sqz_graph *g, sqz_vid v, const grid *r)
{
    return sqz_value_set_quant(g, v, r->dtype, r->axis, r->n, r->scale, r->zero);
}

/* ---- QuantizeLinear ---- */

static sqz_status result_type(sqz_import *im, sqz_dtype *out)
{
    int64_t code = sqz_import_int(im, "output_dtype", 0);
    *out = code > 0 && code < 100 ? sqz_dtype_of_onnx((int32_t)code) : SQZ_U8;
    if (*out == SQZ_N_DTYPE)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "output_dtype %lld is not supported",
                        (long long)code);
    return SQZ_OK;
}

/* A constant on its grid, computed now. */
static sqz_status quantize_constant(sqz_import *im, const sqz_op *op, const void *opts,
                                    const grid *r)
{
    const sqz_tensor *x = sqz_val(im->g, im->in[0])->constant;
    const sqz_quant to = {
        .dtype = r->dtype, .axis = r->axis, .n = r->n, .scale = r->scale, .zero = r->zero};
    const sqz_quant *none = NULL, *out_q = &to;
    sqz_tensor q, *out = &q;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, r->dtype, &x->shape, &q));
    sqz_status s = sqz_op_run_once(im->g->ctx, op, opts, &x, 1, &out, 1, &none, &out_q);
    if (s == SQZ_OK)
        s = sqz_graph_constant(im->g, im->out_name[0], &q, &im->out[0]);
    else
        sqz_tensor_free(im->g->ctx, &q);
    return s == SQZ_OK ? set_grid(im->g, im->out[0], r) : s;
}

static sqz_status quantize_in(sqz_import *im, sqz_arena *a, const sqz_op *op)
{
    sqz_graph *g = im->g;
    const sqz_value *x = sqz_val(g, im->in[0]);
    grid r = {0};
    void *opts = sqz_arena_alloc(a, 1, op->info.opt_size ? op->info.opt_size : 1);
    if (!opts)
        return SQZ_E_NOMEM;
    SQZ_TRY(result_type(im, &r.dtype));
    SQZ_TRY(grid_of(im, a, &x->shape, &r));
    if (r.negative)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED, "its scale is negative");
    if (x->dtype != SQZ_F32)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED, "its input is %s, only f32 is supported",
                        sqz_dtype_name(x->dtype));
    sqz_opts_default(&op->info, opts);
    char *text = sqz_arena_printf(a, "dtype=%s", sqz_dtype_name(r.dtype));
    if (!text)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_opts_parse(a, &op->info, text, opts));
    if (x->constant)
        return quantize_constant(im, op, opts, &r);
    SQZ_TRY(sqz_graph_node(g, op, im->name, opts, im->in, 1, im->out_name, 1, SQZ_NONE, im->out));
    return set_grid(g, im->out[0], &r);
}

static sqz_status quantize(sqz_import *im)
{
    sqz_arena a = {.ctx = im->g->ctx};
    const sqz_op *op = sqz_op_find("quantize");
    sqz_status s = op && im->n_in ? quantize_in(im, &a, op)
                                  : sqz_fail(im->g->ctx, op ? SQZ_E_FORMAT : SQZ_E_UNSUPPORTED,
                                             op ? "has no input" : "the operator is not supported");
    sqz_arena_free(&a);
    return s;
}

/* ---- DequantizeLinear ---- */

/* The integer value to read: input 0 with the grid; a constant that has another one is copied. */
static sqz_status with_grid(sqz_import *im, const grid *r, sqz_vid *out)
{
    sqz_graph *g = im->g;
    const sqz_value *x = sqz_val(g, im->in[0]);
    *out = im->in[0];
    if (!x->quant)
        return set_grid(g, *out, r);
    if (same_grid(x->quant, r))
        return SQZ_OK;
    if (!x->constant)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "reads '%.80s' with another scale or zero point than it was written with",
                        x->name);
    sqz_tensor t;
    sqz_tensor_share(x->constant, &t);
    SQZ_TRY(sqz_graph_constant(g, x->name, &t, out));
    return set_grid(g, *out, r);
}

/* scale * (q - zero) = (-scale) * (-q + zero): integers of negative scales change their sign, so
 * that all scales are positive. Converters from other formats leave such weights behind. */
static sqz_status turn_around(sqz_import *im, grid *r, sqz_vid *out)
{
    sqz_graph *g = im->g;
    const sqz_value *x = sqz_val(g, im->in[0]);
    const int64_t lowest = x->dtype == SQZ_S8 ? -127 : -INT32_MAX;
    sqz_tensor t;
    size_t inner = 1;
    if (!x->constant || (x->dtype != SQZ_S8 && x->dtype != SQZ_S32))
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED, "its scale is negative");
    for (int32_t a = r->axis + 1; r->axis >= 0 && a < x->shape.rank; a++)
        inner *= (size_t)x->shape.dim[a];
    SQZ_TRY(sqz_tensor_cast(g->ctx, x->constant, x->dtype, &t));
    bool fits = true;
    for (size_t i = 0; i < t.count; i++) {
        uint32_t c = r->axis < 0 ? 0 : (uint32_t)(i / inner % r->n);
        int64_t q = sqz_tensor_i64(&t, i);
        if (r->scale[c] < 0.0f) {
            fits = fits && q >= lowest && r->zero[c] == 0;
            sqz_tensor_set_i64(&t, i, -q);
        }
    }
    if (!fits) {
        sqz_tensor_free(g->ctx, &t);
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "its scale is negative, and its integers cannot change sign");
    }
    for (uint32_t c = 0; c < r->n; c++)
        r->scale[c] = fabsf(r->scale[c]);
    SQZ_TRY(sqz_graph_constant(g, x->name, &t, out));
    return set_grid(g, *out, r);
}

static sqz_status dequantize_in(sqz_import *im, sqz_arena *a, const sqz_op *op)
{
    sqz_graph *g = im->g;
    const sqz_value *x = sqz_val(g, im->in[0]);
    grid r = {.dtype = x->dtype};
    sqz_vid in;
    SQZ_TRY(grid_of(im, a, &x->shape, &r));
    if (r.dtype != x->dtype)
        return sqz_fail(g->ctx, SQZ_E_FORMAT, "its input is %s, its zero point %s",
                        sqz_dtype_name(x->dtype), sqz_dtype_name(r.dtype));
    SQZ_TRY(r.negative ? turn_around(im, &r, &in) : with_grid(im, &r, &in));
    return sqz_graph_node(g, op, im->name, NULL, &in, 1, im->out_name, 1, SQZ_NONE, im->out);
}

static sqz_status dequantize(sqz_import *im)
{
    sqz_arena a = {.ctx = im->g->ctx};
    const sqz_op *op = sqz_op_find("dequantize");
    sqz_status s = op && im->n_in ? dequantize_in(im, &a, op)
                                  : sqz_fail(im->g->ctx, op ? SQZ_E_FORMAT : SQZ_E_UNSUPPORTED,
                                             op ? "has no input" : "the operator is not supported");
    sqz_arena_free(&a);
    return s;
}

sqz_onnx_import_fn sqz_onnx_special(const char *op_type)
{
    static const struct {
        const char *op_type;
        sqz_onnx_import_fn fn;
    } table[] = {
        {"Constant", constant}, {"QuantizeLinear", quantize}, {"DequantizeLinear", dequantize}};
    for (size_t i = 0; i < SQZ_COUNT(table); i++)
        if (strcmp(table[i].op_type, op_type) == 0)
            return table[i].fn;
    return NULL;
}
