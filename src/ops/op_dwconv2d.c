/* dwconv2d: depthwise convolution: x (N,H,W,I), w (O,Kh,Kw,1), b (O) -> y (N,H',W',O); output
 * channel o reads input channel o / (O/I) only. Also (N,W,I) with w (O,Kw,1). */
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

/* Scratch of a worker, float: the kernel as (taps, O). Integer: accumulators of a chunk, one row of
 * padding, pointers to the taps, and with a multiplier above 1 the taps with repeated channels. */
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

static sqz_status prepare(sqz_prep *p)
{
    const dw_attrs *a = p->attrs;
    sqz_conv *v = sqz_arena_alloc(p->arena, 1, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_conv_geometry(p, &(sqz_conv_shape){.attrs = &a->window, .group = 0}, v));
    v->grain = SQZ_MAX(1, SQZ_MIN(8192 / v->c_out, 256));
    p->state = v;
    if (!sqz_is_integer(p)) {
        p->scratch_bytes = v->taps * v->c_out * sizeof(float);
        return SQZ_OK;
    }
    const sqz_weights w = {
        .n = v->c_out, .k = v->taps, .ld_n = v->taps, .ld_k = 1, .groups = 1, .slot = 1, .bias = 2};
    SQZ_TRY(sqz_linear_prepare(p, &w, &v->lin));
    v->each = parts_of(v).bytes;
    return sqz_scratch_all(p, v->each);
}

/* ---- float ---- */

/* y[o] += x[o / m] * w[o] for n input channels. */
static void add_tap(size_t n, size_t m, const float *x, const float *w, float *y)
{
    if (m == 1) {
        for (size_t i = 0; i < n; i++)
            y[i] += x[i] * w[i];
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++)
            y[i * m + j] += x[i] * w[i * m + j];
}

static sqz_status chunk_f32(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const sqz_conv *v = c->state;
    const sqz_window *w = &v->w;
    const sqz_tensor *bias = sqz_input(c, 2);
    const float *kernel = c->scratch;
    for (size_t i = begin; i < end; i++) {
        sqz_pixel at = sqz_pixel_at(w, i);
        const float *x = SQZ_F32P(c->in[0]) + at.n * (size_t)w->in[0] * (size_t)w->in[1] * v->c_in;
        float *y = SQZ_F32P(c->out[0]) + i * v->c_out;
        int64_t y0, y1, x0, x1;
        sqz_window_taps(w, 0, at.y, &y0, &y1);
        sqz_window_taps(w, 1, at.x, &x0, &x1);
        for (size_t o = 0; o < v->c_out; o++)
            y[o] = bias ? SQZ_F32P(bias)[o] : 0.0f;
        for (int64_t ky = y0; ky < y1; ky++)
            for (int64_t kx = x0; kx < x1; kx++) {
                int64_t iy = at.y * w->stride[0] - w->begin[0] + ky * w->dil[0];
                int64_t ix = at.x * w->stride[1] - w->begin[1] + kx * w->dil[1];
                add_tap(v->c_in, v->c_out / v->c_in, x + (size_t)(iy * w->in[1] + ix) * v->c_in,
                        kernel + (size_t)(ky * w->k[1] + kx) * v->c_out, y);
            }
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_conv *v = c->state;
    const float *w = SQZ_F32P(c->in[1]);
    float *kernel = c->scratch;
    for (size_t o = 0; o < v->c_out; o++)
        for (size_t t = 0; t < v->taps; t++)
            kernel[t * v->c_out + o] = w[o * v->taps + t];
    sqz_call call = *c;
    return sqz_parallel(c->ctx, v->pixels, v->grain, chunk_f32, &call);
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
    x += at.n * (size_t)w->in[0] * (size_t)w->in[1] * v->c_in;
    for (int64_t ky = 0; ky < w->k[0]; ky++)
        for (int64_t kx = 0; kx < w->k[1]; kx++, tap++) {
            int64_t iy = at.y * w->stride[0] - w->begin[0] + ky * w->dil[0];
            int64_t ix = at.x * w->stride[1] - w->begin[1] + kx * w->dil[1];
            *tap = (const int8_t *)mem + s.zero;
            if (iy < 0 || ix < 0 || iy >= w->in[0] || ix >= w->in[1])
                continue;
            *tap = x + (size_t)(iy * w->in[1] + ix) * v->c_in;
            if (m == 1)
                continue;
            for (size_t o = 0; o < v->c_out; o++)
                wide[o] = (*tap)[o / m];
            *tap = wide;
            wide += v->c_out;
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
};

const sqz_op sqz_op_dwconv2d = {
    .info = {.name = "dwconv2d",
             .doc = "depthwise convolution over one or two spatial axes",
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
