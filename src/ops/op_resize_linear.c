/* resize_linear: bilinear interpolation, (N,H,W,C); (N,W,C) is one row. What it cannot do (other
 * axes, filters, cropping) `resize` does. */
#include "kernels/multiplier.h"
#include "ops/grad.h"
#include "ops/resize.h"
#include "ops/ties.h"
#include "runtime/sqz_rt.h"

static const sqz_attr schema[] = {SQZ_RESIZE_ROWS};

static sqz_status infer(sqz_infer *q)
{
    const int32_t rank = q->in[0]->shape.rank;
    SQZ_TRY(sqz_need_real(q, 0));
    if (rank != 3 && rank != 4)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "linear resizing of rank %d, expected 3 or 4",
                        (int)rank);
    SQZ_TRY(sqz_resize_infer(q));
    const int32_t c = sqz_axis_c(q->in[0]);
    const sqz_shape *x = &q->in[0]->shape, *y = &q->out[0];
    if (y->dim[0] != x->dim[0] || y->dim[c] != x->dim[c])
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                        "the batch or the channels change from %lld x %lld to %lld x %lld",
                        (long long)x->dim[0], (long long)x->dim[c], (long long)y->dim[0],
                        (long long)y->dim[c]);
    return SQZ_OK;
}

/* Output coordinate -> two neighbors and the weight of the second. */
typedef struct axis_table {
    int64_t in, out;
    int32_t *lo, *hi, *fixed; /* fixed: the weight for integers */
    float *weight;
} axis_table;

typedef struct state {
    axis_table h, w;
    int64_t c;
    sqz_rt_resize rt; /* of one sample */
} state;

/* `a` NULL: the row that 1-D input is. */
static sqz_status table(sqz_prep *p, const sqz_resize_axis *a, axis_table *t)
{
    t->in = a ? a->in : 1;
    t->out = a ? a->out : 1;
    t->lo = sqz_arena_alloc(p->arena, 3 * (size_t)t->out, sizeof *t->lo);
    t->weight = sqz_arena_alloc(p->arena, (size_t)t->out, sizeof *t->weight);
    if (!t->lo || !t->weight)
        return SQZ_E_NOMEM;
    t->hi = t->lo + t->out;
    t->fixed = t->hi + t->out;
    for (int64_t i = 0; a && i < t->out; i++) {
        float x = sqz_resize_source(p->attrs, a, i);
        x = fminf(fmaxf(x, 0.0f), (float)(t->in - 1));
        t->lo[i] = (int32_t)x;
        t->hi[i] = (int32_t)SQZ_MIN(t->lo[i] + 1, t->in - 1);
        t->weight[i] = x - (float)t->lo[i];
        t->fixed[i] = (int32_t)nearbyintf(t->weight[i] * SQZ_RT_RESIZE_ONE);
    }
    return SQZ_OK;
}

static void prepare_rt(const sqz_prep *p, state *s)
{
    const double ratio = (double)p->in_q[0]->scale[0] / (double)p->out_q[0]->scale[0];
    s->rt = (sqz_rt_resize){.n = 1,
                            .in_h = (int32_t)s->h.in,
                            .in_w = (int32_t)s->w.in,
                            .c = (int32_t)s->c,
                            .out_h = (int32_t)s->h.out,
                            .out_w = (int32_t)s->w.out,
                            .in_zero = p->in_q[0]->zero[0],
                            .out_zero = p->out_q[0]->zero[0],
                            .row = {s->h.lo, s->h.hi, s->h.fixed},
                            .col = {s->w.lo, s->w.hi, s->w.fixed}};
    sqz_multiplier(ratio / ((double)SQZ_RT_RESIZE_ONE * SQZ_RT_RESIZE_ONE), &s->rt.mult,
                   &s->rt.shift);
}

static sqz_status prepare(sqz_prep *p)
{
    const int32_t rank = p->in[0]->shape.rank;
    sqz_resize_axis axis[SQZ_MAX_RANK];
    bool integer = false;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_need_s8(p, 1, &integer));
    SQZ_TRY(sqz_resize_axes(p->ctx, p->attrs, &p->in[0]->shape, axis));
    s->c = p->in[0]->shape.dim[rank - 1];
    SQZ_TRY(table(p, rank == 4 ? &axis[1] : NULL, &s->h));
    SQZ_TRY(table(p, &axis[rank - 2], &s->w));
    p->state = s;
    for (int i = 0; i < rank && integer; i++)
        if (p->in[0]->shape.dim[i] > INT32_MAX)
            return sqz_fail(p->ctx, SQZ_E_LIMIT, "axis %d is too long for integers", i);
    if (integer)
        prepare_rt(p, s);
    return SQZ_OK;
}

/* One output row of one sample. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const state *s = c->state;
    for (size_t row = begin; row < end; row++) {
        const int64_t n = (int64_t)row / s->h.out, oy = (int64_t)row % s->h.out;
        const float *x = SQZ_F32P(c->in[0]) + n * s->h.in * s->w.in * s->c;
        const float *top = x + (int64_t)s->h.lo[oy] * s->w.in * s->c,
                    *low = x + (int64_t)s->h.hi[oy] * s->w.in * s->c;
        float *y = SQZ_F32P(c->out[0]) + (int64_t)row * s->w.out * s->c;
        const float v = s->h.weight[oy];
        for (int64_t ox = 0; ox < s->w.out; ox++) {
            const int64_t l = (int64_t)s->w.lo[ox] * s->c, r = (int64_t)s->w.hi[ox] * s->c;
            const float u = s->w.weight[ox];
            for (int64_t k = 0; k < s->c; k++)
                *y++ = (1.0f - v) * ((1.0f - u) * top[l + k] + u * top[r + k]) +
                       v * ((1.0f - u) * low[l + k] + u * low[r + k]);
        }
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const state *s = c->state;
    sqz_call call = *c;
    if (c->out[0]->count == 0)
        return SQZ_OK;
    const size_t rows = (size_t)(c->out[0]->shape.dim[0] * s->h.out);
    return sqz_parallel(c->ctx, rows, 1 + 4096 / (c->out[0]->count / rows), piece, &call);
}

/* Samples begin .. end, on integers. */
static sqz_status samples(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const state *s = c->state;
    const size_t in = (size_t)(s->h.in * s->w.in * s->c),
                 out = (size_t)(s->h.out * s->w.out * s->c);
    sqz_rt_resize rt = s->rt;
    rt.n = (int32_t)(end - begin);
    sqz_rt_resize_linear_s8(&rt, SQZ_S8P(c->in[0]) + begin * in, SQZ_S8P(c->out[0]) + begin * out);
    return SQZ_OK;
}

static sqz_status run_int(const sqz_call *c)
{
    sqz_call call = *c;
    if (c->out[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, (size_t)c->out[0]->shape.dim[0], 1, samples, &call);
}

/* Four products for each output element. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    sqz_move_cost(q, out);
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops *= 4;
}
static sqz_status write(sqz_export *e) { return sqz_resize_write(e, "linear"); }

/* Each pixel hands its gradient to the four that it was mixed of; samples do not meet. */
static sqz_status grad_samples(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const state *s = c->state;
    const size_t in = (size_t)(s->h.in * s->w.in * s->c);
    const float *g = c->out_grad[0] + begin * (size_t)(s->h.out * s->w.out * s->c);
    for (size_t n = begin; n < end; n++) {
        float *d = c->in_grad[0] + n * in;
        for (int64_t oy = 0; oy < s->h.out; oy++)
            for (int64_t ox = 0; ox < s->w.out; ox++, g += s->c) {
                const float v = s->h.weight[oy], u = s->w.weight[ox];
                const int64_t top = (int64_t)s->h.lo[oy] * s->w.in,
                              low = (int64_t)s->h.hi[oy] * s->w.in;
                const int64_t at[4] = {top + s->w.lo[ox], top + s->w.hi[ox], low + s->w.lo[ox],
                                       low + s->w.hi[ox]};
                const float by[4] = {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u};
                for (int t = 0; t < 4; t++)
                    for (int64_t k = 0; k < s->c; k++)
                        d[at[t] * s->c + k] += by[t] * g[k];
            }
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    return sqz_parallel(c->ctx, (size_t)c->in[0]->shape.dim[0], 1, grad_samples, &call);
}
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    sqz_prep run_prep = sqz_grad_as_prep(p);
    SQZ_TRY(prepare(&run_prep));
    p->state = run_prep.state;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "scales=1,2,2,1", .n_in = 1, .in = {{4, {2, 3, 4, 3}}}},
    {.attrs = "sizes=0,5,3,0 coordinate_transformation_mode=align_corners",
     .n_in = 1,
     .in = {{4, {1, 3, 4, 3}}}},
    {.attrs = "scales=1,1.5,1", .n_in = 1, .in = {{3, {2, 5, 2}}}},
};

const sqz_op sqz_op_resize_linear = {
    .info = {.name = "resize_linear",
             .doc = "bilinear resizing of the spatial axes",
             .opt_size = sizeof(sqz_resize_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .run_int = run_int,
    .ties = sqz_resize_ties,
    .recut = sqz_resize_recut,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_REALIGN},
    .onnx = {.op_type = "Resize",
             .also = "Upsample",
             .since = UINT8_MAX, /* read by resize_nearest */
             .import = sqz_resize_import,
             .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
