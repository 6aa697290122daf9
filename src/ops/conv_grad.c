/* conv_grad.c: gradients of convolutions and transposed convolutions. The gradient of the data of
 * one is the other, with the same weights; with stride 1 it is a convolution by the kernel turned
 * around, which runs as every convolution does. */
#include "ops/conv_back.h"
#include "ops/linear_grad.h"
#include <string.h>

typedef struct state {
    sqz_conv v; /* the node, or of a transposed one the convolution that it turns around */
    bool transposed;
    sqz_weight_grad w;
    size_t n_weight; /* floats */
    /* the data: a product as it lies, or a convolution of out_grad */
    bool direct, turns;      /* stride 1: kernel turned around */
    size_t n_in, n_out, n_x; /* channels of in and out, numbers of x */
    sqz_tensor g, k, dx;     /* its input, weights (rows of the product), result */
    const sqz_tensor *in[2];
    sqz_tensor *out[1];
    sqz_call call;
    sqz_back *back;                   /* steps: phase by phase */
    size_t room;                      /* direct: of its weights, in the scratch */
    size_t kernel_at, own_at, sum_at; /* bytes in the scratch: its weights, its own, its result */
} state;

/* ---- preparing ---- */

/* dx as a convolution of g by weights `k`. */
static sqz_status prepare_data(sqz_grad_prep *p, state *s, const sqz_conv_shape *as)
{
    static const sqz_quant *const none[2];
    const bool conv = !as->extra;
    const sqz_tensor *const *out = (const sqz_tensor *const *)s->out;
    sqz_prep run = {.ctx = p->ctx,
                    .arena = p->arena,
                    .n_in = 2,
                    .n_out = 1,
                    .in = s->in,
                    .out = out,
                    .in_q = none,
                    .out_q = none};
    s->in[0] = &s->g;
    s->in[1] = &s->k;
    s->out[0] = &s->dx;
    SQZ_TRY(conv ? sqz_conv_f32_prepare(&run, as) : sqz_conv_prepare(&run, as));
    s->call = (sqz_call){.ctx = p->ctx,
                         .n_in = 2,
                         .n_out = 1,
                         .in = s->in,
                         .out = s->out,
                         .in_q = none,
                         .out_q = none,
                         .state = run.state};
    s->kernel_at = p->scratch_bytes;
    s->own_at = s->kernel_at + sqz_scratch_round(s->n_weight * sizeof(float));
    s->sum_at = s->own_at + sqz_scratch_round(run.scratch_bytes);
    p->scratch_bytes = s->sum_at + sqz_scratch_round(s->n_x * sizeof(float));
    return SQZ_OK;
}

static sqz_status list(sqz_arena *a, uint32_t n, const int64_t *v, sqz_ints *out)
{
    int64_t *copy = sqz_arena_alloc(a, n, sizeof *copy);
    if (!copy)
        return SQZ_E_NOMEM;
    memcpy(copy, v, n * sizeof *copy);
    *out = (sqz_ints){n, copy};
    return SQZ_OK;
}

/* Stride 1, one group: what is left and right of the kernel becomes padding. */
static sqz_status prepare_turned(sqz_grad_prep *p, state *s, const sqz_conv_shape *c)
{
    const sqz_window *w = &s->v.w;
    const int32_t n = p->in[0]->shape.rank - 2;
    int64_t pads[2 * SQZ_WINDOW_AXES];
    sqz_window_attrs *at = sqz_arena_alloc(p->arena, 1, sizeof *at);
    if (!at)
        return SQZ_E_NOMEM;
    for (int32_t i = 0; i < n; i++) {
        const int a = SQZ_WINDOW_AXES - n + i;
        const int64_t reach = w->dil[a] * (w->k[a] - 1);
        pads[i] = reach - w->begin[a];
        pads[n + i] = w->in[a] - 1 + w->begin[a] - (w->out[a] - 1);
    }
    at->dilations = c->attrs->dilations;
    SQZ_TRY(list(p->arena, 2 * (uint32_t)n, pads, &at->pads));
    s->k.shape.dim[0] = p->in[1]->shape.dim[n + 1];
    s->k.shape.dim[n + 1] = p->in[1]->shape.dim[0];
    return prepare_data(p, s, &(sqz_conv_shape){.attrs = at, .group = 1, .gradient = true});
}

/* The transposed convolution, with what it must add at the end to reach the size of x. */
static sqz_status prepare_strided(sqz_grad_prep *p, state *s, const sqz_conv_shape *c)
{
    const sqz_window *w = &s->v.w;
    const int32_t n = p->in[0]->shape.rank - 2;
    int64_t more[SQZ_WINDOW_AXES];
    sqz_ints *extra = sqz_arena_alloc(p->arena, 1, sizeof *extra);
    if (!extra)
        return SQZ_E_NOMEM;
    for (int32_t i = 0; i < n; i++) {
        const int a = SQZ_WINDOW_AXES - n + i;
        more[i] = w->in[a] - (w->stride[a] * (w->out[a] - 1) + w->dil[a] * (w->k[a] - 1) + 1 -
                              w->begin[a] - w->end[a]);
    }
    SQZ_TRY(list(p->arena, (uint32_t)n, more, extra));
    return prepare_data(
        p, s, &(sqz_conv_shape){.attrs = c->attrs, .extra = extra, .group = (int64_t)s->v.groups});
}

static bool can_turn(const sqz_conv *v)
{
    bool can = v->groups == 1;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        can = can && v->w.stride[a] == 1 && v->w.begin[a] <= v->w.dil[a] * (v->w.k[a] - 1) &&
              v->w.end[a] <= v->w.dil[a] * (v->w.k[a] - 1);
    return can;
}

/* The geometry of the convolution that maps the larger image to the smaller one: for a transposed
 * one, out to in. */
static sqz_status geometry(sqz_grad_prep *p, const sqz_conv_shape *s, state *t)
{
    const sqz_tensor *in[2] = {s->extra ? p->out[0] : p->in[0], p->in[1]};
    const sqz_tensor *out[1] = {s->extra ? p->in[0] : p->out[0]};
    sqz_prep run = {.ctx = p->ctx, .arena = p->arena, .in = in, .out = out, .n_in = 2, .n_out = 1};
    SQZ_TRY(
        sqz_conv_geometry(&run, &(sqz_conv_shape){.attrs = s->attrs, .group = s->group}, &t->v));
    const int32_t n = in[0]->shape.rank - 2;
    for (int32_t i = 0; i < n; i++) /* output_padding of a whole stride */
        if (t->v.w.out[SQZ_WINDOW_AXES - n + i] != out[0]->shape.dim[1 + i])
            return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                            "the gradient of a transposed convolution whose output_padding is not "
                            "below its stride");
    return SQZ_OK;
}

sqz_status sqz_conv_grad_prepare(sqz_grad_prep *p, const sqz_conv_shape *s)
{
    state *t = sqz_arena_alloc(p->arena, 1, sizeof *t);
    if (!t)
        return SQZ_E_NOMEM;
    p->state = t;
    sqz_grad_product_reads(p);
    SQZ_TRY(geometry(p, s, t));
    t->transposed = s->extra != NULL;
    t->n_weight = p->in[1]->count;
    t->n_x = p->in[0]->count;
    t->n_in = t->v.c_in;
    t->n_out = t->v.c_out;
    t->w = (sqz_weight_grad){.v = &t->v,
                             .rows = t->v.pixels,
                             .n = t->v.c_out,
                             .k = t->v.k,
                             .groups = t->v.groups,
                             .step = t->v.c_in,
                             .depth = t->v.depth,
                             .slot = 1,
                             .bias = t->transposed ? 0 : 2};
    SQZ_TRY(sqz_weight_grad_prepare(p, &t->w));
    p->scratch_bytes = sqz_scratch_round(p->scratch_bytes);
    t->direct = t->v.pointwise && t->v.groups == 1;
    if (!(p->want & 1))
        return SQZ_OK;
    if (t->direct)
        return t->transposed ? sqz_data_grad_prepare(p, t->v.c_in, t->v.c_out, &t->room)
                             : sqz_data_grad_prepare(p, t->v.c_out, t->v.c_in, &t->room);
    t->turns = !t->transposed && can_turn(&t->v);
    if (!t->transposed && !t->turns && t->v.groups == 1 && sqz_back_can(&t->v))
        return sqz_back_prepare(p, &t->v, &t->back);
    SQZ_TRY(sqz_tensor_view(p->ctx, SQZ_F32, &p->out[0]->shape, NULL, &t->g));
    SQZ_TRY(sqz_tensor_view(p->ctx, SQZ_F32, &p->in[1]->shape, NULL, &t->k));
    SQZ_TRY(sqz_tensor_view(p->ctx, SQZ_F32, &p->in[0]->shape, NULL, &t->dx));
    if (t->transposed)
        return prepare_data(p, t, &(sqz_conv_shape){.attrs = s->attrs, .group = s->group});
    return t->turns ? prepare_turned(p, t, s) : prepare_strided(p, t, s);
}

/* ---- running ---- */

/* w (O, taps, I/groups) as the rows that compute dx. */
static void turn_weights(const sqz_kernels *kernels, const state *s, const float *w, float *out)
{
    const size_t taps = s->v.taps, depth = s->v.depth, wide = s->v.c_out / s->v.groups;
    if (s->transposed) { /* as they are */
        memcpy(out, w, s->n_weight * sizeof *out);
        return;
    }
    for (size_t t = 0; s->v.groups == 1 && t < taps; t++)
        kernels->transpose_b4(wide, depth, w + (s->turns ? taps - 1 - t : t) * depth, taps * depth,
                              out + t * wide, taps * wide);
    for (size_t i = 0; s->v.groups > 1 && i < s->v.c_in; i++)
        for (size_t t = 0; t < taps; t++)
            for (size_t o = 0; o < wide; o++)
                *out++ = w[((i / depth * wide + o) * taps + (s->turns ? taps - 1 - t : t)) * depth +
                           i % depth];
}

static sqz_status data(const sqz_grad_call *c, state *s)
{
    const bool add = sqz_grad_adds(c, 0);
    float *d = c->in_grad[0], *sum = (float *)(void *)((char *)c->scratch + s->sum_at);
    const sqz_data_grad plain = {.rows = s->v.pixels,
                                 .n = s->v.c_out,
                                 .k = s->v.c_in,
                                 .add = add,
                                 .g = c->out_grad[0],
                                 .w = s->direct ? SQZ_F32P(c->in[1]) : NULL,
                                 .dx = d,
                                 .room = (char *)c->scratch + s->room};
    const sqz_data_grad back = {.rows = s->v.pixels,
                                .n = s->v.c_in,
                                .k = s->v.c_out,
                                .turned = true,
                                .add = add,
                                .g = c->out_grad[0],
                                .w = plain.w,
                                .dx = d,
                                .room = plain.room};
    if (s->back)
        return sqz_back_run(c, s->back);
    if (s->direct)
        return sqz_data_grad_run(c->ctx, s->transposed ? &back : &plain);
    s->k.data = (char *)c->scratch + s->kernel_at;
    turn_weights(c->ctx->kernels, s, SQZ_F32P(c->in[1]), s->k.data);
    memcpy(&s->g.data, &c->out_grad[0], sizeof s->g.data); /* read only */
    s->dx.data = add ? sum : d;
    s->call.ctx = c->ctx;
    s->call.scratch = (char *)c->scratch + s->own_at;
    SQZ_TRY(s->transposed || s->turns ? sqz_conv_f32_run(&s->call)
                                      : sqz_conv_run(&s->call, s->k.data));
    for (size_t i = 0; add && i < s->n_x; i++)
        d[i] += sum[i];
    return SQZ_OK;
}

/* The bias of a transposed convolution stands on the larger image. */
static void sum_pixels(const sqz_grad_call *c, size_t channels)
{
    float *d = c->in_grad[2];
    for (size_t o = 0; o < channels; o++) {
        double sum = 0;
        for (size_t i = o; i < c->out[0]->count; i += channels)
            sum += (double)c->out_grad[0][i];
        d[o] = sqz_grad_adds(c, 2) ? d[o] + (float)sum : (float)sum;
    }
}

sqz_status sqz_conv_grad(const sqz_grad_call *c)
{
    state *s = c->state;
    if (sqz_grad_none(c))
        return SQZ_OK;
    const float *g = c->out_grad[0];
    if (sqz_grad_wants(c, 1) || (!s->transposed && sqz_grad_wants(c, 2))) {
        const float *x = c->in[0] ? SQZ_F32P(c->in[0]) : NULL;
        SQZ_TRY(sqz_weight_grad_run(c, &s->w, s->transposed ? g : x, s->transposed ? x : g,
                                    c->scratch));
    }
    if (s->transposed && sqz_grad_wants(c, 2))
        sum_pixels(c, s->v.c_in);
    return sqz_grad_wants(c, 0) ? data(c, s) : SQZ_OK;
}
