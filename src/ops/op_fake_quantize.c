/* fake_quantize: y = scale * (clamp(round(x/scale) + zero, lo, hi) - zero), what a grid makes of x;
 * where `keep` is not 0, y = x. One scale, or one for each index of an axis. With `unit`, the steps
 * of an accumulator (one, or one for each index of the last axis), it rounds as the integer kernels
 * do, in two steps. Internal: stands in graphs that are trained. The gradient goes straight through
 * inside of the grid; that of the scale is Esser et al.'s (2020, "Learned step size quantization"):
 * round(x/s) - x/s inside, lo - zero or hi - zero outside, times a factor. */
#include "ir/qround.h"
#include "ops/ew.h"
#include "ops/fake.h"
#include "ops/grad.h"
#include "ops/linear.h"

typedef struct attrs {
    int64_t lo, hi, axis;
    double factor;
} attrs;
static const sqz_attr schema[] = {
    {.name = "lo",
     .offset = offsetof(attrs, lo),
     .type = SQZ_A_INT,
     .def = -128,
     .min = -0x1p30,
     .max = 0,
     .doc = "least code"},
    {.name = "hi",
     .offset = offsetof(attrs, hi),
     .type = SQZ_A_INT,
     .def = 127,
     .min = 0,
     .max = 0x1p30,
     .doc = "largest code"},
    {.name = "axis",
     .offset = offsetof(attrs, axis),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -1,
     .max = SQZ_MAX_RANK - 1,
     .doc = "whose indices have scales of their own; -1: one scale"},
    {.name = "factor",
     .offset = offsetof(attrs, factor),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .min = 0,
     .max = 1,
     .doc = "of the gradient of scales"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    SQZ_TRY(sqz_need_real(q, 0));
    if (at->axis >= x->rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "scales along axis %lld of %d", (long long)at->axis,
                        (int)x->rank);
    for (unsigned k = 1; k < 3; k++) {
        const size_t want = k == 1 && at->axis >= 0 ? (size_t)x->dim[at->axis] : 1;
        size_t n;
        SQZ_TRY(sqz_need_real(q, k));
        SQZ_TRY(sqz_shape_count(q->ctx, &q->in[k]->shape, SQZ_F32, &n, NULL));
        if (n != want)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "%zu numbers in input %u, expected %zu", n, k,
                            want);
    }
    if (q->n_in > 3 && q->in[3] && !sqz_shape_eq(&q->in[3]->shape, x))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "keep must have the shape of the data");
    if (q->n_in > 4 && q->in[4]) {
        size_t n;
        SQZ_TRY(sqz_shape_count(q->ctx, &q->in[4]->shape, SQZ_F32, &n, NULL));
        if (at->axis >= 0 || x->rank < 1 || (n != 1 && n != (size_t)x->dim[x->rank - 1]))
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "%zu units, expected one for each channel", n);
    }
    q->out[0] = *x;
    return SQZ_OK;
}

/* The grid of scale k. */
static sqz_fake_grid grid_of(const void *opts, const sqz_tensor *const *in, size_t k)
{
    const attrs *at = opts;
    return sqz_fake_grid_of(SQZ_F32P(in[1])[k], (float)at->lo, (float)at->hi, *SQZ_F32P(in[2]));
}

/* Elements that have one scale: `inner` in a row, of n scales in turn. */
typedef struct rows {
    size_t n, inner;
} rows;
static rows rows_of(const void *opts, const sqz_shape *x)
{
    const attrs *at = opts;
    rows r = {at->axis < 0 ? 1 : (size_t)x->dim[at->axis], 1};
    for (int32_t d = at->axis < 0 ? 0 : (int32_t)at->axis + 1; d < x->rank; d++)
        r.inner *= (size_t)x->dim[d];
    return r;
}

static void on_grid(const sqz_fake_grid *g, const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = g->scale * sqz_fake_step(g, x[i]);
}

/* Elements begin .. end by way of the accumulator; parts: of each channel, n of them. */
static void by_parts(const sqz_call *c, size_t begin, size_t end)
{
    const sqz_fake_grid g = grid_of(c->attrs, c->in, 0);
    const float *x = SQZ_F32P(c->in[0]), *parts = c->scratch;
    const size_t n = c->in[4]->count;
    float *y = SQZ_F32P(c->out[0]);
    for (size_t i = begin, k = begin % n, m; i < end; i += m, k = 0) {
        m = SQZ_MIN(n == 1 ? end - i : n - k, end - i);
        for (size_t t = 0; t < m; t++)
            y[i + t] = g.scale * sqz_fake_requant(&g, x[i + t], n == 1 ? *parts : parts[k + t]);
    }
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const rows r = rows_of(c->attrs, &c->in[0]->shape);
    const float *x = SQZ_F32P(c->in[0]);
    const float *keep = sqz_input(c, 3) ? SQZ_F32P(c->in[3]) : NULL;
    float *y = SQZ_F32P(c->out[0]);
    const bool two = sqz_input(c, 4) != NULL;
    if (two)
        by_parts(c, begin, end);
    for (size_t i = begin, n; !two && i < end; i += n) {
        const sqz_fake_grid g = grid_of(c->attrs, c->in, i / r.inner % r.n);
        n = r.n == 1 ? end - i : SQZ_MIN(r.inner - i % r.inner, end - i);
        on_grid(&g, x + i, y + i, n);
    }
    for (size_t i = begin; keep && i < end; i++)
        y[i] = keep[i] != 0 ? x[i] : y[i];
    return SQZ_OK;
}
static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    for (size_t k = 0; sqz_input(c, 4) && k < c->in[4]->count; k++) {
        const sqz_fake_grid g = grid_of(c->attrs, c->in, 0);
        ((float *)c->scratch)[k] = sqz_fake_parts(&g, SQZ_F32P(c->in[4])[k]);
    }
    return sqz_parallel(c->ctx, c->out[0]->count, 16384, piece, &call);
}

static sqz_status prepare(sqz_prep *p)
{
    p->scratch_bytes = p->n_in > 4 && p->in[4] ? p->in[4]->count * sizeof(float) : 0;
    return SQZ_OK;
}

/* ---- gradients ---- */

enum { PART = 65536, BLOCK = 256 }; /* elements of one sum for the scale: in double, in float */

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    p->scratch_bytes = (p->in[0]->count / PART + 1) * sizeof(double);
    return SQZ_OK;
}

/* n elements: d gets the gradient of x; the sum for the scale comes back. */
static float grad_block(const sqz_fake_grid *t, const float *x, const float *keep, const float *g,
                        float *d, bool add, size_t n)
{
    float sum = 0, own[BLOCK], of_scale[BLOCK];
    for (size_t i = 0; i < n; i++) {
        const float r = sqz_fake_near(t, x[i]), q = sqz_fake_even(r);
        const bool below = q<t->lo, above = q> t->hi;
        own[i] = below || above ? 0 : g[i];
        of_scale[i] = g[i] * (below ? t->lo : above ? t->hi : q - r);
    }
    for (size_t i = 0; keep && i < n; i++) {
        own[i] = keep[i] != 0 ? g[i] : own[i];
        of_scale[i] = keep[i] != 0 ? 0 : of_scale[i];
    }
    for (size_t i = 0; d && i < n; i++)
        d[i] = add ? d[i] + own[i] : own[i];
    for (size_t i = 0; i < n; i++)
        sum += of_scale[i];
    return sum;
}

/* The sum over n elements from `from` on. */
static double grad_run(const sqz_grad_call *c, const sqz_fake_grid *t, size_t from, size_t n)
{
    const float *keep = c->n_in > 3 && c->in[3] ? SQZ_F32P(c->in[3]) : NULL;
    double sum = 0;
    for (size_t i = from; i < from + n; i += BLOCK)
        sum += (double)grad_block(t, SQZ_F32P(c->in[0]) + i, keep ? keep + i : NULL,
                                  c->out_grad[0] + i, c->in_grad[0] ? c->in_grad[0] + i : NULL,
                                  sqz_grad_adds(c, 0), SQZ_MIN(from + n - i, (size_t)BLOCK));
    return sum;
}

static sqz_status grad_part(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const sqz_fake_grid t = grid_of(c->attrs, c->in, 0);
    const size_t all = c->in[0]->count;
    for (size_t part = begin; part < end; part++)
        ((double *)c->scratch)[part] =
            part * PART < all ? grad_run(c, &t, part * PART, SQZ_MIN(all - part * PART, PART)) : 0;
    return SQZ_OK;
}

static void put_scale(const sqz_grad_call *c, size_t k, double sum)
{
    sum *= ((const attrs *)c->attrs)->factor;
    if (sqz_grad_wants(c, 1))
        c->in_grad[1][k] = (sqz_grad_adds(c, 1) ? c->in_grad[1][k] : 0) + (float)sum;
}

/* Scales begin .. end. */
static sqz_status grad_rows(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const rows r = rows_of(c->attrs, &c->in[0]->shape);
    for (size_t k = begin; k < end; k++) {
        const sqz_fake_grid t = grid_of(c->attrs, c->in, k);
        double sum = 0;
        for (size_t i = k * r.inner; i < c->in[0]->count; i += r.n * r.inner)
            sum += grad_run(c, &t, i, r.inner);
        put_scale(c, k, sum);
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    sqz_grad_call call = *c;
    const size_t parts = c->in[0]->count / PART + 1;
    const rows r = rows_of(c->attrs, &c->in[0]->shape);
    double sum = 0;
    if (sqz_grad_none(c))
        return SQZ_OK;
    if (sqz_grad_wants(c, 2) || sqz_grad_wants(c, 3))
        return sqz_fail(c->ctx, SQZ_E_UNSUPPORTED, "zero points and choices are not trained");
    if (r.n > 1)
        return sqz_parallel(c->ctx, r.n, 4096 / SQZ_MAX(r.inner, (size_t)1) + 1, grad_rows, &call);
    sqz_grad_begin(c, 4);
    SQZ_TRY(sqz_parallel(c->ctx, parts, 1, grad_part, &call));
    for (size_t i = 0; i < parts; i++)
        sum += ((const double *)c->scratch)[i];
    put_scale(c, 0, sum);
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "lo=-8 hi=7", .n_in = 3, .in = {{2, {3, 5}}, {1, {1}}, {0}}, .lo = 0.1, .hi = 2},
    {.attrs = "",
     .n_in = 4,
     .in = {{4, {2, 3, 3, 4}}, {1, {1}}, {1, {1}}, {4, {2, 3, 3, 4}}},
     .lo = 0.1,
     .hi = 2},
    {.attrs = "lo=-7 hi=7 axis=1 factor=0.25",
     .n_in = 3,
     .in = {{3, {2, 5, 3}}, {1, {5}}, {0}},
     .lo = 0.1,
     .hi = 2},
    {.attrs = "",
     .n_in = 5,
     .in = {{2, {3, 5}}, {1, {1}}, {0}, {.rank = -1}, {1, {5}}},
     .lo = 0.1,
     .hi = 2},
};

const sqz_op sqz_op_fake_quantize = {
    .info = {.name = "fake_quantize",
             .doc = "what a grid makes of its input, for training",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 3,
    .n_in_max = 5,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .prepare = prepare,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1 | SQZ_GRAD_ESTIMATE,
    .quant = {.kind = SQZ_Q_FLOAT},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
