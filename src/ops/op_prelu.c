/* prelu: y = x where x >= 0, slope[c] * x elsewhere; one slope, or one for each channel. The slope
 * keeps the shape it has in the file, (C,1,1) or (1,C,1,1) or scalar: only its size matters here.
 */
#include "kernels/multiplier.h"
#include "ops/build.h"
#include "ops/grad.h"
#include "ops/linear.h"
#include "ops/ties.h"
#include "runtime/sqz_rt.h"
#include <math.h>

#define GRAIN 16384 /* elements of a chunk, about */

static sqz_status infer(sqz_infer *q)
{
    const sqz_value *x = q->in[0];
    size_t n;
    SQZ_TRY(sqz_check_types(q));
    SQZ_TRY(sqz_shape_count(q->ctx, &q->in[1]->shape, SQZ_F32, &n, NULL));
    int64_t c = x->shape.rank > 1 ? x->shape.dim[sqz_axis_c(x)] : 1;
    if (n != 1 && n != (size_t)c)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%zu slopes for %lld channels, expected 1 or %lld", n,
                        (long long)c, (long long)c);
    q->out[0] = x->shape;
    return SQZ_OK;
}

/* Elements begin .. end-1: the rest of a pixel, whole pixels, the begin of one. */
static sqz_status part_f32(const sqz_call *c, size_t begin, size_t end)
{
    const size_t all = c->in[1]->count, n = all > 1 ? all : end - begin;
    for (size_t at = begin, m, rows; at < end; at += m * rows) {
        const size_t col = all > 1 ? at % n : 0;
        m = SQZ_MIN(n - col, end - at);
        rows = m == n ? (end - at) / n : 1;
        const sqz_operand x = {.x = SQZ_F32P(c->in[0]) + at, .row = n, .step = 1},
                          slope = {.x = SQZ_F32P(c->in[1]) + col, .step = all > 1};
        c->ctx->kernels->bin_f32(SQZ_BIN_prelu, &x, &slope, SQZ_F32P(c->out[0]) + at, rows, m);
    }
    return SQZ_OK;
}

/* ---- integer: a table of 256 codes for each channel, filled by the runtime ---- */

static sqz_status fill(const sqz_prep *p, int8_t *table)
{
    const sqz_quant *in = p->in_q[0], *out = p->out_q[0];
    double unit = (double)in->scale[0] / out->scale[0];
    for (size_t k = 0; k < p->in[1]->count; k++) {
        double slope = SQZ_F32P(p->in[1])[k];
        int8_t x[256];
        int32_t mult, shift;
        sqz_rt_prelu rt = {.n = 256,
                           .c = 1,
                           .in_zero = in->zero[0],
                           .out_zero = out->zero[0],
                           .mult_neg = &mult,
                           .shift_neg = &shift};
        if (!(fabs(slope) * unit < 1073741824.0) || !(unit < 1073741824.0))
            return sqz_fail(p->ctx, SQZ_E_LIMIT,
                            "slope %zu: the scales ask for a factor of %g, at most 2^30 is "
                            "possible",
                            k, fabs(slope) * unit);
        sqz_multiplier(unit, &rt.mult_pos, &rt.shift_pos);
        sqz_multiplier(fabs(slope) * unit, &mult, &shift);
        mult = slope < 0 ? -mult : mult;
        for (int i = 0; i < 256; i++)
            x[i] = (int8_t)(i - 128);
        sqz_rt_prelu_s8(&rt, x, table + 256 * k);
    }
    return SQZ_OK;
}

static sqz_status prepare(sqz_prep *p)
{
    if (!sqz_is_integer(p))
        return SQZ_OK;
    if (p->in_q[0]->dtype != SQZ_S8 || p->in_q[0]->n != 1 || p->out_q[0]->dtype != SQZ_S8 ||
        p->out_q[0]->n != 1)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED, "expected int8 grids with one scale");
    if (!p->in[1]->data || p->in[1]->dtype != SQZ_F32)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "the integer form needs slopes that are constant and float");
    if (p->in[1]->count == 0)
        return SQZ_OK;
    int8_t *table = sqz_arena_alloc(p->arena, p->in[1]->count, 256);
    if (!table)
        return SQZ_E_NOMEM;
    p->state = table;
    return fill(p, table);
}

static sqz_status part(const sqz_call *c, size_t begin, size_t end)
{
    const int8_t *x = SQZ_S8P(c->in[0]), *table = c->state;
    int8_t *y = SQZ_S8P(c->out[0]);
    const size_t n = c->in[1]->count;
    if (!table)
        return part_f32(c, begin, end);
    if (n == 1)
        c->ctx->kernels->lut_s8(table, end - begin, x + begin, y + begin);
    else
        for (size_t i = begin, k = begin % n; i < end; i++, k = k + 1 == n ? 0 : k + 1)
            y[i] = table[256 * k + (size_t)(x[i] + 128)];
    return SQZ_OK;
}

static sqz_status piece(void *arg, size_t begin, size_t end) { return part(arg, begin, end); }

static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, piece, &call);
}

/* max and min by parts: slopes of any shape, of integers, of rank 1. */
static sqz_status compose(sqz_import *im, const sqz_vid in[2])
{
    sqz_build b = {.im = im};
    sqz_vid below = sqz_b(&b, "less", NULL, 2, in[0], sqz_b_num(&b, 0, in[0]));
    sqz_vid scaled = sqz_b(&b, "mul", NULL, 2, in[1], in[0]);
    return sqz_b_end(&b, 1, sqz_b(&b, "where", NULL, 3, below, scaled, in[0]));
}

/* Before opset 7 a list of slopes is one for each channel; NumPy's rules find the channels when
 * ones stand behind it. */
static sqz_status place(sqz_import *im, sqz_vid *slope)
{
    static const char *const behind[] = {"axes=1", "axes=1,2", "axes=1,2,3"};
    const int32_t more = sqz_val(im->g, im->in[0])->shape.rank - 2;
    const sqz_shape *s = &sqz_val(im->g, *slope)->shape;
    if (im->opset >= 7 || s->rank != 1 || s->dim[0] == 1 || more <= 0)
        return SQZ_OK;
    if (more > (int32_t)SQZ_COUNT(behind))
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "an input of %d dimensions", more + 2);
    return sqz_graph_node_text(im->g, "unsqueeze", NULL, behind[more - 1], slope, 1, SQZ_NONE,
                               slope);
}

/* Since opset 7 the slope broadcasts to x as NumPy does. The operator takes it where it varies
 * along the channels only. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    if (im->n_in != 2 || im->in[0] == SQZ_NONE || im->in[1] == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "an input is missing");
    sqz_vid in[] = {im->in[0], im->in[1]};
    SQZ_TRY(place(im, &in[1]));
    SQZ_TRY(sqz_fold_value(im->g, in[1]));
    const sqz_value *v = sqz_val(im->g, in[0]), *slope = sqz_val(im->g, in[1]);
    const sqz_shape *x = &v->shape, *s = &slope->shape;
    bool by_channel = slope->constant && (v->quant || sqz_dtype_is_float(v->dtype));
    for (int32_t i = 0; i < s->rank; i++)
        by_channel = by_channel && (s->dim[i] == 1 || i + x->rank - s->rank == 1);
    return by_channel ? sqz_import_node(im, op, NULL, in, 2) : compose(im, in);
}

/* Slopes of the channels: dx = g or slope * g, dslope = sum of x * g where x is below 0. */
static sqz_status grad(const sqz_grad_call *c)
{
    const float *x = SQZ_F32P(c->in[0]), *slope = SQZ_F32P(c->in[1]), *g = c->out_grad[0];
    const size_t n = c->in[1]->count, all = c->in[0]->count;
    if (sqz_grad_none(c))
        return SQZ_OK;
    for (size_t i = 0, k = 0; sqz_grad_wants(c, 0) && i < all; i++, k = k + 1 == n ? 0 : k + 1) {
        const float d = x[i] < 0 ? slope[k] * g[i] : g[i];
        c->in_grad[0][i] = sqz_grad_adds(c, 0) ? c->in_grad[0][i] + d : d;
    }
    for (size_t k = 0; sqz_grad_wants(c, 1) && k < n; k++) {
        double sum = 0;
        for (size_t i = k; i < all; i += n)
            sum += x[i] < 0 ? (double)x[i] * (double)g[i] : 0;
        c->in_grad[1][k] = sqz_grad_adds(c, 1) ? c->in_grad[1][k] + (float)sum : (float)sum;
    }
    return SQZ_OK;
}

static void ties(sqz_ties *t)
{
    const int32_t c = sqz_axis_c(t->in[0]);
    const sqz_shape *s = &t->in[1]->shape;
    sqz_ties_axes(t, 0, 0);
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dim[i] > 1)
            sqz_tie_same(t, SQZ_TIE_IN(1, i), SQZ_TIE_IN(0, c));
}

static const sqz_case cases[] = {
    {.n_in = 2, .in = {{4, {2, 3, 4, 5}}, {3, {5, 1, 1}}}, .constant = 2},
    {.n_in = 2, .in = {{3, {2, 4, 3}}, {1, {1}}}, .constant = 2},
    {.n_in = 2, .in = {{2, {3, 6}}, {1, {6}}}, .constant = 2},
};

const sqz_op sqz_op_prelu = {
    .info = {.name = "prelu", .doc = "x, or slope * x below 0, slopes per channel"},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .prepare = prepare,
    .run_int = run,
    .part = part,
    .grad = grad,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .ties = ties,
    .quant = {.kind = SQZ_Q_REALIGN, .data_inputs = 1},
    .onnx = {.op_type = "PRelu", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
