/* resize: linear and cubic interpolation along any axes, one axis at a time: output i of an axis is
 * a weighted sum of the input elements around its source coordinate x, with weights
 * f((k - x) * s) of a kernel f. s is 1; with antialias it is the scale where that shrinks the axis,
 * which widens the kernel. Linear: f(t) = 1 - |t|. Cubic: Keys' kernel with the coefficient a
 * (R. G. Keys, "Cubic convolution interpolation for digital image processing", 1981). */
#include "ops/grad.h"
#include "ops/resize.h"
#include "ops/ties.h"
#include <string.h>

static const sqz_attr schema[] = {
    SQZ_RESIZE_ROWS,
    SQZ_RESIZE_CROP_ROWS,
    {.name = "mode",
     .offset = offsetof(sqz_resize_attrs, mode),
     .type = SQZ_A_ENUM,
     .max = SQZ_RESIZE_CUBIC,
     .names = "linear|cubic",
     .doc = "how many neighbors count"},
    {.name = "cubic_coeff_a",
     .offset = offsetof(sqz_resize_attrs, cubic_a),
     .type = SQZ_A_FLOAT,
     .def = -0.75,
     .doc = "coefficient of the cubic kernel"},
    {.name = "exclude_outside",
     .offset = offsetof(sqz_resize_attrs, exclude_outside),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "neighbors outside of the input have no weight, instead of the value at the edge"},
    {.name = "antialias",
     .offset = offsetof(sqz_resize_attrs, antialias),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "smooth what shrinks"},
};

static sqz_status infer(sqz_infer *q)
{
    SQZ_TRY(sqz_need_real(q, 0));
    return sqz_resize_infer(q);
}

/* ---- tables ---- */

typedef struct pass { /* (outer, in, inner) -> (outer, out, inner) */
    size_t outer, in, out, inner;
    size_t taps;       /* of each output */
    const int64_t *at; /* input index of each tap of each output; -1 first: extrapolated */
    const float *weight;
} pass;

typedef struct state {
    pass pass[SQZ_MAX_RANK];
    unsigned n;
    size_t half; /* bytes of one of the two buffers between passes */
} state;

static double kernel(const sqz_resize_attrs *at, double t)
{
    const double a = at->cubic_a;
    t = fabs(t);
    if (at->mode == SQZ_RESIZE_LINEAR)
        return SQZ_MAX(1 - t, 0);
    if (t <= 1)
        return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

/* How far the kernel reaches on each side, in input elements. */
static double reach(const sqz_resize_attrs *at, const sqz_resize_axis *a, double *stretch)
{
    *stretch = at->antialias && a->scale < 1 ? (double)a->scale : 1;
    return ceil((at->mode == SQZ_RESIZE_LINEAR ? 1 : 2) / *stretch);
}

/* Taps of one output. */
static void fill_taps(const sqz_resize_attrs *at, const sqz_resize_axis *a, float x, size_t n,
                      int64_t *index, float *weight)
{
    double stretch, sum = 0;
    const double first = floor((double)x) - reach(at, a, &stretch) + 1;
    const bool clip = at->exclude_outside != 0;
    for (size_t k = 0; k < n; k++) {
        const double i = first + (double)k;
        const bool inside = i >= 0 && i < (double)a->in;
        const double w = inside || !clip ? kernel(at, (i - (double)x) * stretch) : 0;
        index[k] = (int64_t)fmin(fmax(i, 0), (double)(a->in - 1));
        weight[k] = (float)w;
        sum += w;
    }
    for (size_t k = 0; k < n && sum != 0 && (clip || at->antialias); k++)
        weight[k] = (float)((double)weight[k] / sum);
    if (sqz_resize_outside(at, a, x))
        index[0] = -1;
}

static sqz_status make_pass(sqz_prep *p, const sqz_resize_axis *a, pass *s)
{
    const sqz_resize_attrs *at = p->attrs;
    double stretch;
    const double taps = 2 * reach(at, a, &stretch);
    size_t n;
    if (!(taps < INT32_MAX) || !sqz_mul((size_t)taps, (size_t)a->out, &n))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "a filter of %g elements is too long", taps);
    s->taps = (size_t)taps;
    int64_t *index = sqz_arena_alloc(p->arena, n, sizeof *index);
    float *weight = sqz_arena_alloc(p->arena, n, sizeof *weight);
    if (!index || !weight)
        return SQZ_E_NOMEM;
    for (int64_t i = 0; i < a->out; i++)
        fill_taps(at, a, sqz_resize_source(at, a, i), s->taps, index + (size_t)i * s->taps,
                  weight + (size_t)i * s->taps);
    s->at = index;
    s->weight = weight;
    return SQZ_OK;
}

static sqz_status prepare(sqz_prep *p)
{
    sqz_resize_axis axis[SQZ_MAX_RANK];
    sqz_shape now = p->in[0]->shape;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_resize_axes(p->ctx, p->attrs, &now, axis));
    for (int32_t i = 0; i < now.rank; i++) {
        const sqz_resize_axis *a = &axis[i];
        const sqz_split3 split = sqz_split_at(&now, i);
        size_t bytes;
        if (a->scale == 1 && a->in == a->out && a->begin == 0 && a->end == 1)
            continue;
        pass *q = &s->pass[s->n++];
        *q = (pass){.outer = split.outer, .inner = split.inner};
        q->in = (size_t)a->in;
        q->out = (size_t)a->out;
        SQZ_TRY(make_pass(p, a, q));
        now.dim[i] = a->out;
        SQZ_TRY(sqz_shape_count(p->ctx, &now, SQZ_F32, NULL, &bytes));
        s->half = SQZ_MAX(s->half, bytes);
    }
    s->half = (s->half + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN;
    if (s->n > 1 && !sqz_mul(s->half, 2, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    p->state = s;
    return SQZ_OK;
}

/* ---- running ---- */

typedef struct job {
    const pass *s;
    const float *x;
    float *y, fill;
} job;

/* Rows of `inner` elements: one output index of one outer index. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const pass *s = j->s;
    for (size_t row = begin; row < end; row++) {
        const size_t o = row % s->out;
        const int64_t *at = s->at + o * s->taps;
        const float *w = s->weight + o * s->taps;
        const float *x = j->x + row / s->out * s->in * s->inner;
        float *y = j->y + row * s->inner;
        for (size_t i = 0; i < s->inner; i++)
            y[i] = at[0] < 0 ? j->fill : 0;
        for (size_t k = 0; k < s->taps && at[0] >= 0; k++) {
            const float *from = x + (size_t)at[k] * s->inner, wk = w[k];
            for (size_t i = 0; i < s->inner; i++)
                y[i] += wk * from[i];
        }
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_resize_attrs *at = c->attrs;
    const state *s = c->state;
    const float *x = SQZ_F32P(c->in[0]);
    if (c->out[0]->count == 0)
        return SQZ_OK;
    if (s->n == 0)
        return sqz_view_run(c);
    for (unsigned i = 0; i < s->n; i++) {
        const pass *q = &s->pass[i];
        char *buffer = (char *)c->scratch + (i % 2) * s->half;
        float *y = i + 1 == s->n ? SQZ_F32P(c->out[0]) : (float *)(void *)buffer;
        job j = {.s = q, .x = x, .y = y, .fill = (float)at->extrapolation};
        SQZ_TRY(
            sqz_parallel(c->ctx, q->outer * q->out, 1 + 16384 / (q->inner * q->taps), piece, &j));
        x = y;
    }
    return SQZ_OK;
}

/* Products of the last pass for each output element. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    sqz_move_cost(q, out);
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops *= ((const sqz_resize_attrs *)q->attrs)->mode == SQZ_RESIZE_LINEAR ? 4 : 8;
}
static sqz_status write(sqz_export *e)
{
    const sqz_resize_attrs *at = e->attrs;
    return sqz_resize_write(e, at->mode == SQZ_RESIZE_LINEAR ? "linear" : "cubic");
}

/* ---- gradient: the passes the other way around, each handing its sums back ---- */

static sqz_status grad_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const pass *s = j->s;
    for (size_t outer = begin; outer < end; outer++)
        for (size_t o = 0; o < s->out; o++) {
            const int64_t *at = s->at + o * s->taps;
            const float *w = s->weight + o * s->taps;
            const float *g = j->x + (outer * s->out + o) * s->inner;
            float *d = j->y + outer * s->in * s->inner;
            for (size_t k = 0; k < s->taps && at[0] >= 0; k++)
                for (size_t i = 0; i < s->inner; i++)
                    d[(size_t)at[k] * s->inner + i] += w[k] * g[i];
        }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const state *s = c->state;
    const float *g = c->out_grad[0];
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    if (s->n == 0)
        return sqz_grad_copy(c);
    sqz_grad_begin(c, 0);
    for (unsigned i = s->n; i-- > 0;) {
        const pass *q = &s->pass[i];
        float *d = c->in_grad[0];
        if (i > 0) {
            d = (float *)(void *)((char *)c->scratch + (i % 2) * s->half);
            memset(d, 0, q->outer * q->in * q->inner * sizeof *d);
        }
        job j = {.s = q, .x = g, .y = d};
        SQZ_TRY(sqz_parallel(c->ctx, q->outer, 1 + 16384 / (q->out * q->inner * q->taps + 1),
                             grad_piece, &j));
        g = d;
    }
    return SQZ_OK;
}

/* The workspace holds what lies between passes: the input of the second one and so on, which all
 * are results of a pass. */
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    sqz_prep run_prep = sqz_grad_as_prep(p);
    SQZ_TRY(prepare(&run_prep));
    p->state = run_prep.state;
    p->scratch_bytes = run_prep.scratch_bytes;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "mode=cubic scales=1,2,0.8,1", .n_in = 1, .in = {{4, {2, 4, 5, 3}}}},
    {.attrs = "mode=linear sizes=0,3,5,7", .n_in = 1, .in = {{4, {1, 2, 4, 5}}}}, /* channels too */
    {.attrs = "mode=linear antialias=1 sizes=0,3,2", .n_in = 1, .in = {{3, {2, 8, 7}}}},
    {.attrs = "mode=cubic sizes=4,3 exclude_outside=1 cubic_coeff_a=-0.5 "
              "coordinate_transformation_mode=align_corners keep_aspect_ratio_policy=not_smaller",
     .n_in = 1,
     .in = {{2, {2, 6}}}},
    {.attrs = "sizes=0,5,4 coordinate_transformation_mode=tf_crop_and_resize "
              "roi=0,-0.5,0.25,1,1.5,0.75 extrapolation_value=2.5",
     .n_in = 1,
     .in = {{3, {1, 4, 4}}}},
};

const sqz_op sqz_op_resize = {
    .info = {.name = "resize",
             .doc = "linear and cubic resizing along any axes",
             .opt_size = sizeof(sqz_resize_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .ties = sqz_resize_ties,
    .recut = sqz_resize_recut,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Resize", .since = UINT8_MAX, .write = write}, /* read by resize_nearest */
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
