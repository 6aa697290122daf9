/* dwconv2d: depthwise convolution: x (N,H,W,I), w (O,Kh,Kw,1), b (O) -> y (N,H',W',O); output
 * channel o reads input channel o / (O/I) only. Also (N,W,I) with w (O,Kw,1),
 * and (N,D,H,W,I). */
#include "ops/conv.h"
#include <string.h>

typedef struct dw_attrs {
    sqz_window_attrs window;
} dw_attrs;
static const sqz_attr attrs[] = {SQZ_WINDOW_ROWS(dw_attrs, window)};

static sqz_status infer(sqz_infer *q)
{
    return sqz_conv_infer(
        q, &(sqz_conv_shape){.attrs = &((const dw_attrs *)q->attrs)->window, .group = 0});
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    sqz_conv_cost(q, out);
    out->kind = SQZ_COST_DEPTHWISE;
}

/* Scratch of a worker, float: pointers to the taps and to their weights. Integer: accumulators of a
 * chunk, one row of padding, pointers to the taps, and with a multiplier above 1 the taps with
 * repeated channels. */
typedef struct parts {
    size_t acc, zero, tap, wide, bytes;
} parts;

static parts parts_of(const sqz_conv *v)
{
    parts s = {.zero = sqz_scratch_round(v->grain * v->c_out * sizeof(int32_t))};
    s.tap = s.zero + sqz_scratch_round(v->c_out);
    s.wide = s.tap + sqz_scratch_round(v->taps * sizeof(int8_t *));
    s.bytes = s.wide + (v->c_out == v->c_in ? 0 : sqz_scratch_round(v->taps * v->c_out));
    return s;
}

/* Weights (O, taps) to (taps, O). */
static void turn(const sqz_conv *v, const float *w, float *out)
{
    for (size_t o = 0; o < v->c_out; o++)
        for (size_t t = 0; t < v->taps; t++)
            out[t * v->c_out + o] = w[o * v->taps + t];
}

static sqz_status prepare_f32(sqz_prep *p, sqz_conv *v)
{
    size_t bytes = v->taps * v->c_out * sizeof(float); /* those of the weights */
    v->each = sqz_scratch_round(2 * v->taps * sizeof(float *));
    SQZ_TRY(sqz_scratch_all(p, v->each));
    if (!p->in[1]->data) { /* not constant: turned at every run */
        v->shared = sqz_scratch_round(bytes);
        p->scratch_bytes += v->shared;
        return SQZ_OK;
    }
    float *kernel = sqz_arena_alloc(p->arena, bytes, 1);
    if (!kernel)
        return SQZ_E_NOMEM;
    turn(v, SQZ_F32P(p->in[1]), kernel);
    v->kernel = kernel;
    return SQZ_OK;
}

static sqz_status prepare(sqz_prep *p)
{
    const dw_attrs *a = p->attrs;
    sqz_conv *v = sqz_arena_alloc(p->arena, 1, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_conv_geometry(p, &(sqz_conv_shape){.attrs = &a->window, .group = 0}, v));
    v->grain = SQZ_MAX(1, SQZ_MIN(8192 / v->c_out, 256));
    p->state = v;
    if (!sqz_is_integer(p))
        return prepare_f32(p, v);
    const sqz_weights w = {
        .n = v->c_out, .k = v->taps, .ld_n = v->taps, .ld_k = 1, .groups = 1, .slot = 1, .bias = 2};
    SQZ_TRY(sqz_linear_prepare(p, &w, &v->lin));
    v->each = parts_of(v).bytes;
    return sqz_scratch_all(p, v->each);
}

/* ---- float ---- */

typedef struct job {
    const sqz_call *c;
    const float *kernel, *bias;
} job;

/* Index of the image row under kernel row t (of Kd * Kh), -1: in the padding. */
static int64_t row_under(const sqz_window *w, sqz_pixel at, int64_t t)
{
    const int64_t k_h = w->k[SQZ_AXIS_H], in_h = w->in[SQZ_AXIS_H];
    const int64_t z = sqz_window_input(w, SQZ_AXIS_D, at.z, t / k_h);
    const int64_t y = sqz_window_input(w, SQZ_AXIS_H, at.y, t % k_h);
    return z < 0 || y < 0 || z >= w->in[SQZ_AXIS_D] || y >= in_h ? -1 : z * in_h + y;
}

/* The taps of one pixel that lie in the image: their inputs and weights. Returns how many. */
static size_t taps_f32(const sqz_conv *v, const float *x, const float *kernel, sqz_pixel at,
                       const float **tap, const float **weight)
{
    const sqz_window *w = &v->w;
    size_t n = 0;
    int64_t x0, x1;
    sqz_window_taps(w, SQZ_AXIS_W, at.x, &x0, &x1);
    x += at.n * sqz_volume(w->in) * v->c_in;
    for (int64_t t = 0; t < w->k[SQZ_AXIS_D] * w->k[SQZ_AXIS_H]; t++) {
        const int64_t row = row_under(w, at, t);
        for (int64_t kx = x0; row >= 0 && kx < x1; kx++, n++) {
            int64_t ix = sqz_window_input(w, SQZ_AXIS_W, at.x, kx);
            tap[n] = x + (size_t)(row * w->in[SQZ_AXIS_W] + ix) * v->c_in;
            weight[n] = kernel + (size_t)(t * w->k[SQZ_AXIS_W] + kx) * v->c_out;
        }
    }
    return n;
}

/* Every input channel feeds m outputs. */
static void repeated(const sqz_conv *v, size_t n, const float **tap, const float **weight,
                     const float *bias, float *y)
{
    size_t m = v->c_out / v->c_in;
    for (size_t o = 0; o < v->c_out; o++) {
        y[o] = bias ? bias[o] : 0.0f;
        for (size_t t = 0; t < n; t++)
            y[o] += tap[t][o / m] * weight[t][o];
    }
}

static sqz_status chunk_f32(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_conv *v = j->c->state;
    const sqz_kernels *kern = j->c->ctx->kernels;
    void *mem = (char *)j->c->scratch + v->shared + (size_t)sqz_worker_index() * v->each;
    const float **tap = mem, **weight = tap + v->taps;
    for (size_t i = begin; i < end; i++) {
        float *y = SQZ_F32P(j->c->out[0]) + i * v->c_out;
        size_t n = taps_f32(v, SQZ_F32P(j->c->in[0]), j->kernel, sqz_pixel_at(&v->w, i), tap,
                            weight);
        if (v->c_out == v->c_in)
            kern->dwconv_f32(v->c_out, n, tap, weight, j->bias, y);
        else
            repeated(v, n, tap, weight, j->bias, y);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_conv *v = c->state;
    const sqz_tensor *bias = sqz_input(c, 2);
    job j = {c, v->kernel, bias ? SQZ_F32P(bias) : NULL};
    if (!v->kernel) {
        turn(v, SQZ_F32P(c->in[1]), c->scratch);
        j.kernel = c->scratch;
    }
    return sqz_parallel(c->ctx, v->pixels, v->grain, chunk_f32, &j);
}

/* ---- integer ---- */

/* The taps of one output pixel as rows of c_out bytes; taps in the padding are the zero row. */
static void find_taps(const sqz_conv *v, const int8_t *x, sqz_pixel at, char *mem,
                      const int8_t **tap)
{
    const sqz_window *w = &v->w;
    parts s = parts_of(v);
    size_t m = v->c_out / v->c_in;
    int8_t *wide = (int8_t *)mem + s.wide;
    x += at.n * sqz_volume(w->in) * v->c_in;
    for (int64_t t = 0; t < w->k[SQZ_AXIS_D] * w->k[SQZ_AXIS_H]; t++) {
        const int64_t row = row_under(w, at, t);
        for (int64_t kx = 0; kx < w->k[SQZ_AXIS_W]; kx++, tap++) {
            int64_t ix = sqz_window_input(w, SQZ_AXIS_W, at.x, kx);
            *tap = (const int8_t *)mem + s.zero;
            if (row < 0 || ix < 0 || ix >= w->in[SQZ_AXIS_W])
                continue;
            *tap = x + (size_t)(row * w->in[SQZ_AXIS_W] + ix) * v->c_in;
            if (m == 1)
                continue;
            for (size_t o = 0; o < v->c_out; o++)
                wide[o] = (*tap)[o / m];
            *tap = wide;
            wide += v->c_out;
        }
    }
}

static sqz_status chunk_s8(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const sqz_conv *v = c->state;
    const sqz_kernels *kern = c->ctx->kernels;
    char *mem = (char *)c->scratch + (size_t)sqz_worker_index() * v->each;
    parts s = parts_of(v);
    int32_t *acc = (int32_t *)(void *)mem;
    const int8_t **tap = (const int8_t **)(void *)(mem + s.tap);
    memset(mem + s.zero, v->lin->in_zero, v->c_out);
    for (size_t i = begin; i < end; i++) {
        find_taps(v, SQZ_S8P(c->in[0]), sqz_pixel_at(&v->w, i), mem, tap);
        kern->dwconv_s8(v->lin->packed, tap, acc + (i - begin) * v->c_out);
    }
    kern->requant_s8(&v->lin->out, end - begin, acc, SQZ_S8P(c->out[0]) + begin * v->c_out,
                     v->c_out);
    return SQZ_OK;
}

static sqz_status run_int(const sqz_call *c)
{
    sqz_call call = *c;
    const sqz_conv *v = c->state;
    return sqz_parallel(c->ctx, v->pixels, v->grain, chunk_s8, &call);
}

/* ---- ONNX: a Conv with as many groups as input channels ---- */
static sqz_status write(sqz_export *e)
{
    const sqz_value *x = sqz_val(e->g, e->node->in[0]);
    SQZ_TRY(sqz_export_schema(e));
    e->attr[e->n_attr++] = (sqz_export_attr){
        .name = "group", .type = 2, .i = x->shape.dim[sqz_axis_c(x)]};
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "pads=1,1,1,1",
     .n_in = 3,
     .in = {{4, {2, 5, 4, 6}}, {4, {6, 3, 3, 1}}, {1, {6}}},
     .constant = 6},
    {.attrs = "strides=2,2 dilations=2,1",
     .n_in = 2,
     .in = {{4, {1, 7, 5, 3}}, {4, {6, 2, 3, 1}}}, /* multiplier 2 */
     .constant = 2},
    {.attrs = "pads=1,0", /* one dimension */
     .n_in = 3,
     .in = {{3, {2, 6, 5}}, {3, {5, 3, 1}}, {1, {5}}},
     .constant = 6},
    {.attrs = "strides=1,2,1 pads=1,1,0,1,1,0", /* three */
     .n_in = 2,
     .in = {{5, {1, 3, 5, 4, 3}}, {5, {6, 3, 3, 2, 1}}},
     .constant = 2},
};

const sqz_op sqz_op_dwconv2d = {
    .info = {.name = "dwconv2d",
             .doc = "depthwise convolution over one to three spatial axes",
             .opt_size = sizeof(dw_attrs),
             .opts = attrs,
             .n_opts = SQZ_COUNT(attrs)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .run_int = run_int,
    .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .bias = 2, .channel_axis = 0},
    .onnx = {.op_type = "Conv", .since = UINT8_MAX, .write = write}, /* read by conv2d */
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
