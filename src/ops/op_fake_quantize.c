/* fake_quantize: y = scale * (clamp(round(x/scale) + zero, lo, hi) - zero), what a grid makes of x;
 * where `keep` is not 0, y = x. Internal: stands in graphs that are trained. The gradient goes
 * straight through inside of the grid; that of the scale is Esser et al.'s (2020, "Learned step
 * size quantization"): round(x/s) - x/s inside, lo - zero or hi - zero outside. */
#include "ir/qround.h"
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/linear.h"

typedef struct attrs {
    int64_t lo, hi;
} attrs;
static const sqz_attr schema[] = {
    {.name = "lo",
     .offset = offsetof(attrs, lo),
     .type = SQZ_A_INT,
     .def = -128,
     .min = -32768,
     .max = 0,
     .doc = "least code"},
    {.name = "hi",
     .offset = offsetof(attrs, hi),
     .type = SQZ_A_INT,
     .def = 127,
     .min = 0,
     .max = 65535,
     .doc = "largest code"},
};

static sqz_status infer(sqz_infer *q)
{
    SQZ_TRY(sqz_need_real(q, 0));
    for (unsigned k = 1; k < 3; k++) {
        size_t n;
        SQZ_TRY(sqz_need_real(q, k));
        SQZ_TRY(sqz_shape_count(q->ctx, &q->in[k]->shape, SQZ_F32, &n, NULL));
        if (n != 1)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "%zu numbers in input %u, expected one", n, k);
    }
    if (q->n_in > 3 && q->in[3] && !sqz_shape_eq(&q->in[3]->shape, &q->in[0]->shape))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "keep must have the shape of the data");
    q->out[0] = q->in[0]->shape;
    return SQZ_OK;
}

typedef struct grid {
    float scale, inverse, lo, hi; /* codes without the zero point: y = scale * k, lo <= k <= hi */
} grid;
static grid grid_of(const void *opts, const sqz_tensor *const *in)
{
    const attrs *at = opts;
    const float s = *SQZ_F32P(in[1]), zero = *SQZ_F32P(in[2]);
    return (grid){s, 1 / s, (float)at->lo - zero, (float)at->hi - zero};
}

/* x / scale, at most one step beside the grid. */
static inline float near_grid(const grid *g, float x)
{
    const float r = x * g->inverse;
    return r < g->lo - 1 ? g->lo - 1 : r > g->hi + 1 ? g->hi + 1 : r;
}
/* To the nearest integer, half to even, for |r| < 2^22: no call, so that loops become vectors. */
static inline float to_even(float r) { return (r + 0x1.8p23f) - 0x1.8p23f; }

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const grid g = grid_of(c->attrs, c->in);
    const float *x = SQZ_F32P(c->in[0]);
    const float *keep = sqz_input(c, 3) ? SQZ_F32P(c->in[3]) : NULL;
    float *y = SQZ_F32P(c->out[0]);
    for (size_t i = begin; i < end; i++) {
        const float q = to_even(near_grid(&g, x[i]));
        y[i] = g.scale * (q < g.lo ? g.lo : q > g.hi ? g.hi : q);
    }
    for (size_t i = begin; keep && i < end; i++)
        y[i] = keep[i] != 0 ? x[i] : y[i];
    return SQZ_OK;
}
static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    return sqz_parallel(c->ctx, c->out[0]->count, 16384, piece, &call);
}

/* ---- gradients ---- */

enum { PART = 65536, BLOCK = 256 }; /* elements of one sum for the scale: in double, in float */

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    p->scratch_bytes = (p->in[0]->count / PART + 1) * sizeof(double);
    return SQZ_OK;
}

/* n elements: d gets the gradient of x; the sum for the scale comes back. */
static float grad_block(const grid *t, const float *x, const float *keep, const float *g, float *d,
                        bool add, size_t n)
{
    float sum = 0, own[BLOCK], of_scale[BLOCK];
    for (size_t i = 0; i < n; i++) {
        const float r = near_grid(t, x[i]), q = to_even(r);
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

static sqz_status grad_part(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const grid t = grid_of(c->attrs, c->in);
    const float *keep = c->n_in > 3 && c->in[3] ? SQZ_F32P(c->in[3]) : NULL;
    const size_t all = c->in[0]->count;
    for (size_t part = begin; part < end; part++) {
        double sum = 0;
        for (size_t i = part * PART; i < SQZ_MIN((part + 1) * PART, all); i += BLOCK)
            sum += (double)grad_block(&t, SQZ_F32P(c->in[0]) + i, keep ? keep + i : NULL,
                                      c->out_grad[0] + i, c->in_grad[0] ? c->in_grad[0] + i : NULL,
                                      sqz_grad_adds(c, 0), SQZ_MIN(all - i, (size_t)BLOCK));
        ((double *)c->scratch)[part] = sum;
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    sqz_grad_call call = *c;
    const size_t parts = c->in[0]->count / PART + 1;
    double sum = 0;
    if (sqz_grad_none(c))
        return SQZ_OK;
    if (sqz_grad_wants(c, 2) || sqz_grad_wants(c, 3))
        return sqz_fail(c->ctx, SQZ_E_UNSUPPORTED, "zero points and choices are not trained");
    SQZ_TRY(sqz_parallel(c->ctx, parts, 1, grad_part, &call));
    for (size_t i = 0; i < parts; i++)
        sum += ((const double *)c->scratch)[i];
    if (sqz_grad_wants(c, 1))
        *c->in_grad[1] = (sqz_grad_adds(c, 1) ? *c->in_grad[1] : 0) + (float)sum;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "lo=-8 hi=7", .n_in = 3, .in = {{2, {3, 5}}, {1, {1}}, {0}}, .lo = 0.1, .hi = 2},
    {.attrs = "",
     .n_in = 4,
     .in = {{4, {2, 3, 3, 4}}, {1, {1}}, {1, {1}}, {4, {2, 3, 3, 4}}},
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
    .n_in_max = 4,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1 | SQZ_GRAD_ESTIMATE,
    .quant = {.kind = SQZ_Q_FLOAT},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
