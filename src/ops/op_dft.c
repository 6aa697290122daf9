/* dft: discrete Fourier transform along an axis of a tensor whose last axis has real and imaginary
 * parts, (...,n,...,2) or (...,n,...,1): y_k = sum_j x_j exp(-2 pi i j k / N). The input is cut off
 * or filled up with zeros to N. One-sided: of a forward transform only k = 0 .. N/2 are kept; an
 * inverse one takes those for the whole, and its result is real, (...,N,...,1).
 *
 * In double, by Cooley and Tukey's decomposition: N * (sum of the prime factors of N) operations.
 * Where a factor is large, the transform becomes a convolution of a power-of-two length (L. I.
 * Bluestein, 1970): with w_k = exp(-pi i k^2 / N), y_k = w_k sum_j (x_j w_j) conj(w_(k-j)). */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/move.h"

typedef struct attrs {
    int64_t axis, length, inverse, onesided;
} attrs;
static const sqz_attr schema[] = {
    {.name = "axis",
     .offset = offsetof(attrs, axis),
     .type = SQZ_A_INT,
     .def = -2,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .doc = "axis that is transformed, not the last one"},
    {.name = "dft_length",
     .offset = offsetof(attrs, length),
     .type = SQZ_A_INT,
     .max = INT32_MAX,
     .doc = "N; 0: as long as the input says"},
    {.name = "inverse",
     .offset = offsetof(attrs, inverse),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "with the other sign, and divided by N"},
    {.name = "onesided",
     .offset = offsetof(attrs, onesided),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "half of the frequencies, the others being their conjugates"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    int32_t axis = 0;
    SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(sqz_axis(q->ctx, at->axis, x->rank, &axis));
    if (axis == x->rank - 1 || (x->dim[x->rank - 1] != 1 && x->dim[x->rank - 1] != 2))
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "axis %d of %d with %lld numbers in the last, expected another axis and "
                        "one or two numbers",
                        (int)axis, (int)x->rank, (long long)x->dim[x->rank - 1]);
    const bool whole = at->inverse && at->onesided; /* from half of it */
    const int64_t n = at->length ? at->length : whole ? 2 * (x->dim[axis] - 1) : x->dim[axis];
    if (n < 1 || n > INT32_MAX)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "a transform of length %lld", (long long)n);
    q->out[0] = *x;
    q->out[0].dim[axis] = at->onesided && !at->inverse ? n / 2 + 1 : n;
    q->out[0].dim[x->rank - 1] = whole ? 1 : 2;
    return SQZ_OK;
}

/* ---- the transform ---- */

typedef struct cpx {
    double re, im;
} cpx;
static cpx times(cpx a, cpx b)
{
    return (cpx){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static cpx conjugate(cpx a) { return (cpx){a.re, -a.im}; }
static cpx turn_of(double turns) /* exp(2 pi i turns) */
{
    const double a = 2 * 3.14159265358979323846 * turns;
    return (cpx){cos(a), sin(a)};
}

#define FACTOR_MOST 64 /* larger prime factors go the other way */

typedef struct plan { /* a transform of length n */
    size_t n;
    const cpx *root; /* exp(-+ 2 pi i k / n) */
} plan;

static size_t smallest_factor(size_t n)
{
    for (size_t p = 2; p * p <= n; p++)
        if (n % p == 0)
            return p;
    return n;
}

static bool has_large_factor(size_t n)
{
    for (size_t p; n > 1; n /= p)
        if ((p = smallest_factor(n)) > FACTOR_MOST)
            return true;
    return false;
}

/* y (n) of x[0], x[step], ...: n * step is the whole length. The recursion is as deep as n has
 * prime factors. */
static void transform(const plan *s, const cpx *x, size_t step, size_t n, cpx *y)
{
    if (n <= 1) {
        y[0] = x[0];
        return;
    }
    const size_t p = smallest_factor(n), m = n / p;
    cpx temp[FACTOR_MOST];
    for (size_t q = 0; q < p; q++)
        transform(s, x + q * step, step * p, m, y + q * m);
    for (size_t k = 0; k < m; k++) {
        for (size_t q = 0; q < p; q++)
            temp[q] = times(y[q * m + k], s->root[q * k * step]);
        for (size_t r = 0; r < p; r++) {
            cpx sum = temp[0];
            for (size_t q = 1, turn = r; q < p; q++, turn += turn + r < p ? r : r - p) {
                const cpx t = times(temp[q], s->root[turn * (s->n / p)]);
                sum.re += t.re;
                sum.im += t.im;
            }
            y[r * m + k] = sum;
        }
    }
}

/* ---- state ---- */

typedef struct state {
    int64_t n, in, out; /* transform; input and output along the axis */
    size_t outer, inner, parts_in, parts_out;
    bool inverse, half_in; /* input is half of the frequencies */
    plan plan;             /* of length n, or of the convolution */
    const cpx *chirp;      /* n times w; NULL: no convolution */
    const cpx *kernel;     /* transform of conj(w) */
    size_t each;           /* scratch of a worker: two lines and two of the plan's length */
} state;

static sqz_status make_plan(sqz_prep *p, size_t n, double sign, plan *out)
{
    cpx *root = sqz_arena_alloc(p->arena, n, sizeof *root);
    if (!root)
        return SQZ_E_NOMEM;
    for (size_t k = 0; k < n; k++)
        root[k] = turn_of(sign * (double)k / (double)n);
    *out = (plan){n, root};
    return SQZ_OK;
}

/* The convolution wraps around at m >= 2 n - 1. */
static sqz_status make_convolution(sqz_prep *p, state *s, double sign)
{
    const size_t n = (size_t)s->n;
    size_t m = 1;
    while (m < 2 * n)
        m *= 2;
    SQZ_TRY(make_plan(p, m, -1, &s->plan));
    cpx *chirp = sqz_arena_alloc(p->arena, n, sizeof *chirp);
    cpx *wrapped = sqz_arena_alloc(p->arena, m, sizeof *wrapped);
    cpx *kernel = sqz_arena_alloc(p->arena, m, sizeof *kernel);
    if (!chirp || !wrapped || !kernel)
        return SQZ_E_NOMEM;
    for (size_t k = 0; k < n; k++) { /* k^2 / (2 n) turns, without the whole ones */
        chirp[k] = turn_of(sign * (double)(k * k % (2 * n)) / (2 * (double)n));
        wrapped[k] = wrapped[k ? m - k : 0] = conjugate(chirp[k]);
    }
    transform(&s->plan, wrapped, 1, m, kernel);
    s->chirp = chirp;
    s->kernel = kernel;
    return SQZ_OK;
}

static sqz_status prepare(sqz_prep *p)
{
    const attrs *at = p->attrs;
    const sqz_shape *x = &p->in[0]->shape, *y = &p->out[0]->shape;
    int32_t axis = 0;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_axis(p->ctx, at->axis, x->rank, &axis));
    s->inverse = at->inverse != 0;
    s->half_in = at->inverse && at->onesided;
    s->in = x->dim[axis];
    s->out = y->dim[axis];
    s->n = at->length ? at->length : s->half_in ? s->out : s->in;
    s->outer = s->inner = 1;
    for (int32_t i = 0; i < x->rank - 1; i++)
        *(i < axis ? &s->outer : &s->inner) *= i == axis ? 1 : (size_t)x->dim[i];
    s->parts_in = (size_t)x->dim[x->rank - 1];
    s->parts_out = (size_t)y->dim[x->rank - 1];
    const double sign = s->inverse ? 1 : -1;
    if (has_large_factor((size_t)s->n))
        SQZ_TRY(make_convolution(p, s, sign));
    else
        SQZ_TRY(make_plan(p, (size_t)s->n, sign, &s->plan));
    const size_t numbers = 2 * ((size_t)s->n + s->plan.n); /* at most 2^34 */
    s->each = (numbers * sizeof(cpx) + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN;
    if (!sqz_mul(s->each, (size_t)sqz_pool_threads(p->ctx->pool), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    p->state = s;
    return SQZ_OK;
}

/* line becomes its transform, by convolution with the chirp; a and b: work of the plan's length. */
static void convolve(const state *s, cpx *line, cpx *a, cpx *b)
{
    const size_t n = (size_t)s->n, m = s->plan.n;
    for (size_t k = 0; k < m; k++)
        a[k] = k < n ? times(line[k], s->chirp[k]) : (cpx){0, 0};
    transform(&s->plan, a, 1, m, b);
    for (size_t k = 0; k < m; k++) /* back by the conjugate of a forward transform */
        b[k] = conjugate(times(b[k], s->kernel[k]));
    transform(&s->plan, b, 1, m, a);
    for (size_t k = 0; k < n; k++) {
        const cpx c = {a[k].re / (double)m, -a[k].im / (double)m};
        line[k] = times(c, s->chirp[k]);
    }
}

/* ---- running ---- */

/* One line of the input as n complex numbers. */
static void load(const state *s, const float *x, cpx *line)
{
    const int64_t half = s->n / 2 + 1, have = SQZ_MIN(s->in, s->half_in ? half : s->n);
    const size_t step = s->inner * s->parts_in;
    for (int64_t k = 0; k < s->n; k++)
        line[k] = (cpx){0, 0};
    for (int64_t k = 0; k < have; k++) {
        const float *v = x + (size_t)k * step;
        line[k] = (cpx){(double)v[0], s->parts_in == 2 ? (double)v[1] : 0};
    }
    if (!s->half_in)
        return;
    line[0].im = 0; /* a real signal has none there */
    if (s->n % 2 == 0)
        line[s->n / 2].im = 0;
    for (int64_t k = half; k < s->n; k++)
        line[k] = (cpx){line[s->n - k].re, -line[s->n - k].im};
}

static void store(const state *s, const cpx *line, float *y)
{
    const double by = s->inverse ? 1 / (double)s->n : 1;
    for (int64_t k = 0; k < s->out; k++) {
        float *v = y + (size_t)k * s->inner * s->parts_out;
        v[0] = (float)(line[k].re * by);
        if (s->parts_out == 2)
            v[1] = (float)(line[k].im * by);
    }
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const state *s = c->state;
    cpx *line = (cpx *)(void *)((char *)c->scratch + (size_t)sqz_worker_index() * s->each);
    cpx *result = line + s->n, *a = result + s->n;
    for (size_t i = begin; i < end; i++) {
        const size_t o = i / s->inner, k = i % s->inner;
        load(s, SQZ_F32P(c->in[0]) + (o * (size_t)s->in * s->inner + k) * s->parts_in, line);
        if (s->chirp)
            convolve(s, line, a, a + s->plan.n);
        else
            transform(&s->plan, line, 1, s->plan.n, result);
        store(s, s->chirp ? line : result,
              SQZ_F32P(c->out[0]) + (o * (size_t)s->out * s->inner + k) * s->parts_out);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const state *s = c->state;
    sqz_call call = *c;
    return sqz_parallel(c->ctx, s->outer * s->inner, 1 + 1024 / (size_t)s->n, piece, &call);
}

/* About 10 operations for each halving of each element. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    uint64_t halvings = 1;
    sqz_move_cost(q, out);
    for (uint64_t n = out->ops; n > 1; n /= 2)
        halvings++;
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops *= 10 * halvings;
}

/* ---- ONNX: the length is an input, the axis too since opset 20, and its default another one ----
 */

static sqz_status scalar(sqz_import *im, unsigned slot, int64_t *out)
{
    const sqz_tensor *t = NULL;
    SQZ_TRY(sqz_import_const(im, slot, &t));
    if (t && t->count != 1)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u has %zu elements, expected one number",
                        slot, t->count);
    if (t)
        *out = sqz_tensor_i64(t, 0);
    return SQZ_OK;
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at = {.axis = im->opset < 20 ? sqz_import_int(im, "axis", 1) : -2,
                .inverse = sqz_import_int(im, "inverse", 0) != 0,
                .onesided = sqz_import_int(im, "onesided", 0) != 0};
    SQZ_TRY(scalar(im, 1, &at.length));
    if (im->opset >= 20)
        SQZ_TRY(scalar(im, 2, &at.axis));
    if (at.length < 0 || at.length > INT32_MAX)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "a length of %lld", (long long)at.length);
    return sqz_import_node(im, op, &at, im->in, 1);
}

static sqz_status scalar_input(sqz_export *e, unsigned slot, int64_t value, bool wanted)
{
    int64_t *v = sqz_arena_alloc(e->arena, 1, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    *v = value;
    e->in[slot].value = SQZ_NONE;
    e->in[slot].ints = (sqz_ints){wanted ? 1 : 0, v};
    e->in[slot].is_const = e->in[slot].scalar = wanted;
    e->n_in = wanted ? slot + 1 : e->n_in;
    return SQZ_OK;
}

static sqz_status write(sqz_export *e)
{
    const attrs *at = e->attrs;
    SQZ_TRY(scalar_input(e, 1, at->length, at->length != 0));
    if (at->inverse)
        e->attr[e->n_attr++] = (sqz_export_attr){.name = "inverse", .type = 2, .i = 1};
    if (at->onesided)
        e->attr[e->n_attr++] = (sqz_export_attr){.name = "onesided", .type = 2, .i = 1};
    if (e->opset >= 20)
        return scalar_input(e, 2, at->axis, at->axis != -2);
    e->attr[e->n_attr++] = (sqz_export_attr){.name = "axis", .type = 2, .i = at->axis};
    return SQZ_OK;
}

/* ---- gradient: the transform is linear, so the transposed one of the gradient. The matrix of
 * exp(-+ 2 pi i j k / N) is its own transpose; taken as real numbers, the sign of i turns. ---- */

/* One line of gradients of the output as n complex numbers, conjugated. */
static void load_grad(const state *s, const float *g, cpx *line)
{
    const size_t step = s->inner * s->parts_out;
    for (int64_t k = 0; k < s->n; k++)
        line[k] = (cpx){0, 0};
    for (int64_t k = 0; k < s->out; k++)
        line[k] = (cpx){(double)g[(size_t)k * step],
                        s->parts_out == 2 ? -(double)g[(size_t)k * step + 1] : 0};
}

/* Frequencies that stand for their conjugates too count twice. */
static void store_grad(const state *s, const cpx *line, bool add, float *d)
{
    const int64_t half = s->n / 2 + 1, have = SQZ_MIN(s->in, s->half_in ? half : s->n);
    const double by = s->inverse ? 1 / (double)s->n : 1;
    for (int64_t k = 0; k < s->in; k++) {
        float *v = d + (size_t)k * s->inner * s->parts_in;
        const bool real = s->half_in && (k == 0 || 2 * k == s->n);
        const double twice = s->half_in && !real ? 2 * by : by;
        const double re = k < have ? line[k].re * twice : 0;
        const double im = k < have && !real ? -line[k].im * twice : 0;
        v[0] = (add ? v[0] : 0) + (float)re;
        if (s->parts_in == 2)
            v[1] = (add ? v[1] : 0) + (float)im;
    }
}

static sqz_status grad_piece(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const state *s = c->state;
    cpx *line = (cpx *)(void *)((char *)c->scratch + (size_t)sqz_worker_index() * s->each);
    cpx *result = line + s->n, *a = result + s->n;
    for (size_t i = begin; i < end; i++) {
        const size_t o = i / s->inner, k = i % s->inner;
        load_grad(s, c->out_grad[0] + (o * (size_t)s->out * s->inner + k) * s->parts_out, line);
        if (s->chirp)
            convolve(s, line, a, a + s->plan.n);
        else
            transform(&s->plan, line, 1, s->plan.n, result);
        store_grad(s, s->chirp ? line : result, sqz_grad_adds(c, 0),
                   c->in_grad[0] + (o * (size_t)s->in * s->inner + k) * s->parts_in);
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const state *s = c->state;
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    return sqz_parallel(c->ctx, s->outer * s->inner, 1 + 1024 / (size_t)s->n, grad_piece, &call);
}
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    sqz_prep run_prep = sqz_grad_as_prep(p);
    SQZ_TRY(prepare(&run_prep));
    p->state = run_prep.state;
    p->scratch_bytes = run_prep.scratch_bytes;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "axis=1", .n_in = 1, .in = {{3, {2, 12, 2}}}},
    {.attrs = "axis=1 onesided=1", .n_in = 1, .in = {{4, {2, 10, 3, 1}}}},
    {.attrs = "axis=-2 inverse=1 dft_length=7", .n_in = 1, .in = {{3, {2, 5, 2}}}},
    {.attrs = "axis=1 inverse=1 onesided=1", .n_in = 1, .in = {{3, {2, 5, 2}}}},
    {.attrs = "axis=0 dft_length=67", .n_in = 1, .in = {{3, {9, 2, 2}}}}, /* a large factor */
};

const sqz_op sqz_op_dft = {
    .info = {.name = "dft",
             .doc = "discrete Fourier transform",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "DFT", .since = 17, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
