/* linear.c: see linear.h. */
#include "ops/linear.h"
#include "ir/qround.h"
#include "kernels/multiplier.h"
#include <math.h>
#include <stdlib.h>

sqz_status sqz_check_types(const sqz_infer *q)
{
    for (unsigned i = 0; i < q->n_in; i++)
        if (q->in[i] && !sqz_dtype_is_float(q->in[i]->dtype) && !q->in[i]->quant)
            return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input %u ('%s') is %s, expected floats", i,
                            q->in[i]->name, sqz_dtype_name(q->in[i]->dtype));
    return SQZ_OK;
}

static bool per_tensor_s8(const sqz_quant *q) { return q->dtype == SQZ_S8 && q->n == 1; }

static sqz_status check_grids(const sqz_prep *p, const sqz_weights *w)
{
    const sqz_quant *x = p->in_q[0], *y = p->out_q[0], *g = p->in_q[w->slot];
    if (!per_tensor_s8(x) || !per_tensor_s8(y))
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "activations on a grid of %s (%u scales) to %s (%u), expected int8 with "
                        "one scale",
                        sqz_dtype_name(x->dtype), (unsigned)x->n, sqz_dtype_name(y->dtype),
                        (unsigned)y->n);
    if (!g || !p->in[w->slot] || !p->in[w->slot]->data)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "the integer form needs weights that are constant and have a grid");
    if (g->dtype != SQZ_S8 && g->dtype != SQZ_S4)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED, "weights on a grid of %s, expected s8 or s4",
                        sqz_dtype_name(g->dtype));
    if (g->group)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED, "weights with one scale per group of %d inputs",
                        (int)g->group);
    if (g->n != 1 && (g->n != w->n || g->axis != w->channel_axis))
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "weights with %u scales along axis %d, expected one or %zu along axis %d",
                        (unsigned)g->n, (int)g->axis, w->n, (int)w->channel_axis);
    for (uint32_t i = 0; i < g->n; i++)
        if (g->zero[i] != 0 || g->scale[i] < 0.0f)
            return sqz_fail(
                p->ctx, SQZ_E_UNSUPPORTED,
                "weights with a negative scale, or zero point %d, expected 0 (symmetric)",
                (int)g->zero[i]);
    return SQZ_OK;
}

static float scale_of(const sqz_quant *q, size_t channel)
{
    return q->scale[q->n == 1 ? 0 : channel];
}

/* The weights as bytes in the tensor's own order. */
static sqz_status codes(const sqz_prep *p, const sqz_weights *w, const int8_t **out)
{
    const sqz_tensor *t = p->in[w->slot];
    const sqz_quant *q = p->in_q[w->slot];
    if (t->dtype == SQZ_S8) {
        *out = t->data;
        return SQZ_OK;
    }
    int limit = q->dtype == SQZ_S4 ? 7 : 127;
    int8_t *v = sqz_arena_alloc(p->arena, t->count, 1);
    if (!v)
        return SQZ_E_NOMEM;
    for (size_t o = 0; o < w->n; o++)
        for (size_t i = 0; i < w->k; i++) {
            size_t at = o * w->ld_n + i * w->ld_k;
            v[at] = sqz_dtype_is_float(t->dtype)
                        ? (int8_t)sqz_qround((float)sqz_tensor_f64(t, at), scale_of(q, o), 0,
                                             -limit, limit)
                        : (int8_t)sqz_tensor_i64(t, at);
        }
    *out = v;
    return SQZ_OK;
}

/* Bias of output o on the grid s_x * s_w. */
static sqz_status bias_of(const sqz_prep *p, const sqz_weights *w, size_t o, int64_t *out)
{
    const sqz_tensor *t = w->bias && w->bias < p->n_in ? p->in[w->bias] : NULL;
    double unit = (double)p->in_q[0]->scale[0] * scale_of(p->in_q[w->slot], o);
    *out = 0;
    if (!t)
        return SQZ_OK;
    if (!t->data || t->count != w->n)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "the integer form needs a constant bias of %zu numbers", w->n);
    const sqz_quant *q = p->in_q[w->bias];
    if (sqz_dtype_is_float(t->dtype)) {
        double v = nearbyint(sqz_tensor_f64(t, o) / unit);
        if (!(fabs(v) < 2147483648.0))
            return sqz_fail(p->ctx, SQZ_E_LIMIT,
                            "bias %g of output %zu does not fit 32 bits in steps of %g",
                            sqz_tensor_f64(t, o), o, unit);
        *out = (int64_t)v;
        return SQZ_OK;
    }
    if (!q || (q->n != 1 && q->n != w->n) || fabs(scale_of(q, o) / unit - 1) > 1e-4)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "bias of output %zu on a grid of %g, expected input scale x weight scale, "
                        "%g",
                        o, q ? (double)scale_of(q, o) : 0.0, unit);
    *out = sqz_tensor_i64(t, o);
    return SQZ_OK;
}

/* Bias, multiplier and shift of output o, whose weights are w[0], w[ld_k], ... */
static sqz_status channel(const sqz_prep *p, const sqz_weights *w, const int8_t *v, size_t o,
                          int32_t *bias, int32_t *mult, int32_t *shift, int *small)
{
    int64_t b, sum = 0, size = 0;
    double m = (double)p->in_q[0]->scale[0] * scale_of(p->in_q[w->slot], o) / p->out_q[0]->scale[0];
    SQZ_TRY(bias_of(p, w, o, &b));
    if (!(m < 1073741824.0))
        return sqz_fail(p->ctx, SQZ_E_LIMIT,
                        "output %zu: the scales ask for a factor of %g, at most 2^30 is possible",
                        o, m);
    for (size_t i = 0; i < w->k; i++) {
        sum += v[i * w->ld_k];
        size += abs(v[i * w->ld_k]);
    }
    /* |x - zero| <= 255: a bound on every partial sum, in any order */
    if (size > INT32_MAX / 255 || 255 * size + (b < 0 ? -b : b) > INT32_MAX)
        return sqz_fail(p->ctx, SQZ_E_LIMIT,
                        "output %zu: sums of %zu products and a bias of %lld may leave 32 bits", o,
                        w->k, (long long)b);
    if (255 * size + (b < 0 ? -b : b) >= INT32_C(1) << 29)
        *small = 0;
    *bias = (int32_t)(b - p->in_q[0]->zero[0] * sum);
    sqz_multiplier(m, mult, shift);
    return SQZ_OK;
}

/* The form in float, where there may be one and requantization is a large part of the work. */
static sqz_status fit(const sqz_prep *p, const sqz_weights *w, sqz_requant *out)
{
    const size_t room = out->n + SQZ_PANEL;
    if (!w->n || out->zero != -128 || !out->small || w->k > 256 || p->out[0]->count / w->n < 32)
        return SQZ_OK;
    float *at = sqz_arena_alloc(p->arena, 2 * room, sizeof *at);
    if (!at)
        return SQZ_E_NOMEM;
    p->ctx->kernels->requant_fit(out->n, out->mult, out->shift, at, at + room);
    out->scale = at;
    out->offset = at + room;
    return SQZ_OK;
}

static sqz_status channels(const sqz_prep *p, const sqz_weights *w, const int8_t *v,
                           sqz_requant *out)
{
    const size_t room = w->n + SQZ_PANEL; /* the last panel of a group is read to its end */
    int32_t *at = sqz_arena_alloc(p->arena, 3 * room, sizeof *at);
    if (!at)
        return SQZ_E_NOMEM;
    int small = 1;
    for (size_t o = 0; o < w->n; o++)
        SQZ_TRY(
            channel(p, w, v + o * w->ld_n, o, &at[o], &at[room + o], &at[2 * room + o], &small));
    *out = (sqz_requant){.n = w->n,
                         .bias = at,
                         .mult = at + room,
                         .shift = at + 2 * room,
                         .zero = p->out_q[0]->zero[0],
                         .lo = -128,
                         .hi = 127,
                         .small = small};
    return fit(p, w, out);
}

/* What the sums of output o start with: the bias, corrected for the zero point and for the left
 * side that the kernel reads as code + flip; modulo 2^32. */
static int32_t start_of(const sqz_prep *p, const sqz_weights *w, const sqz_linear *l,
                        const int8_t *v, size_t o)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < w->k; i++)
        sum += (uint32_t)v[o * w->ld_n + i * w->ld_k];
    return (int32_t)((uint32_t)l->out.bias[o] - p->ctx->kernels->s8_flip * sum);
}

static sqz_status pack(const sqz_prep *p, const sqz_weights *w, const int8_t *v, sqz_linear *l)
{
    const size_t n = w->n / w->groups, bytes = sqz_pack_s8_bytes(n, w->n_seg, w->len);
    int32_t *start = sqz_arena_alloc(p->arena, w->n, sizeof *start);
    l->right = sqz_arena_alloc(p->arena, w->groups, sizeof *l->right);
    if (!bytes)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the weights are too large");
    if (!start || !l->right)
        return SQZ_E_NOMEM;
    for (size_t o = 0; o < w->n; o++)
        start[o] = start_of(p, w, l, v, o);
    for (size_t g = 0; g < w->groups; g++) {
        l->right[g] = (sqz_packed){n, w->n_seg, w->len, sqz_arena_alloc(p->arena, bytes, 1)};
        if (!l->right[g].data)
            return SQZ_E_NOMEM;
        sqz_pack_s8(&l->right[g], v + g * n * w->ld_n, w->ld_n, w->ld_k, start + g * n);
    }
    return SQZ_OK;
}

/* Depthwise kernels take the window by columns, and signed codes on every processor. */
static sqz_status pack_depthwise(const sqz_prep *p, const sqz_weights *w, const int8_t *v,
                                 sqz_linear *l)
{
    const size_t bytes = sqz_pack_s8_bytes(w->n, w->n_seg, w->len);
    int8_t *turned = sqz_arena_alloc(p->arena, w->n, w->k);
    l->right = sqz_arena_alloc(p->arena, 1, sizeof *l->right);
    if (!bytes)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the weights are too large");
    if (!turned || !l->right)
        return SQZ_E_NOMEM;
    *l->right = (sqz_packed){w->n, w->n_seg, w->len, sqz_arena_alloc(p->arena, bytes, 1)};
    if (!l->right->data)
        return SQZ_E_NOMEM;
    for (size_t o = 0; o < w->n; o++)
        for (size_t i = 0; i < w->k; i++) {
            const size_t line = i / w->n_seg, column = i % w->n_seg;
            turned[o * w->k + column * w->len + line] = v[o * w->ld_n + i * w->ld_k];
        }
    sqz_pack_s8(l->right, turned, w->k, 1, l->out.bias);
    return SQZ_OK;
}

sqz_status sqz_linear_prepare(sqz_prep *p, const sqz_weights *w, sqz_linear **out)
{
    const int8_t *v;
    SQZ_TRY(check_grids(p, w));
    SQZ_TRY(codes(p, w, &v));
    sqz_linear *l = sqz_arena_alloc(p->arena, 1, sizeof *l);
    if (!l)
        return SQZ_E_NOMEM;
    l->groups = w->groups;
    l->in_zero = (int8_t)p->in_q[0]->zero[0];
    SQZ_TRY(channels(p, w, v, &l->out));
    SQZ_TRY(w->depthwise ? pack_depthwise(p, w, v, l) : pack(p, w, v, l));
    p->spent |= 1u << w->slot | (w->bias ? 1u << w->bias : 0);
    *out = l;
    return SQZ_OK;
}

size_t sqz_scratch_round(size_t bytes) { return (bytes + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN; }

sqz_status sqz_scratch_all(sqz_prep *p, size_t each)
{
    if (!sqz_mul(each, (size_t)sqz_pool_threads(p->ctx->pool), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "a workspace of %zu bytes a thread is too large",
                        each);
    return SQZ_OK;
}
