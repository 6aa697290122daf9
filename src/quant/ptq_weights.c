/* ptq_weights.c: numbers of integer nodes.
 *
 * Weights are symmetric, -127..127 (fewer with fewer bits), one scale for each output channel;
 * biases 32 bits wide with scale s_x * s_w[c]. Three things make s_w[c] larger than wscale.h has
 * it:
 *   - a channel without weights gets s_y / (256 s_x): its bias keeps 1/256 of an output step;
 *   - a bias of more than 2^30 steps would come near the end of 32 bits: s_w[c] = |b| / (2^30 s_x);
 *   - sum|w| * 255 + |b| must stay below 2^31, or the accumulator could wrap around.
 * Each is noted: it costs the channel precision. */
#include "ir/qround.h"
#include "quant/ptq.h"
#include <math.h>
#include <string.h>

#define BIAS_STEPS_MAX 1073741824.0 /* 2^30 */
#define ACC_MAX        2147483647.0
#define DEAD           1e-12f /* max|w| of a channel without weights... */
#define DEAD_PART      1e-7f  /* ... and as part of the largest of the tensor */

/* ---- numbers of a constant ---- */

static sqz_status not_finite(const sqz_ptq *p, sqz_vid v, size_t i)
{
    const sqz_value *c = sqz_val(p->g, v);
    return sqz_fail(p->g->ctx, SQZ_E_FORMAT,
                    "constant '%s': number %zu is %g; it cannot be "
                    "quantized",
                    c->name, i, (double)SQZ_F32P(c->constant)[i]);
}

sqz_status sqz_ptq_constant_range(const sqz_ptq *p, sqz_vid v, sqz_range *out, size_t *masked)
{
    const sqz_tensor *t = sqz_val(p->g, v)->constant;
    const float *x = SQZ_F32P(t);
    *out = (sqz_range){0.0f, 0.0f};
    *masked = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (isnan(x[i]) || x[i] > 1e30f)
            return not_finite(p, v, i);
        if (x[i] < -1e30f) {
            ++*masked;
            continue;
        }
        out->lo = fminf(out->lo, x[i]);
        out->hi = fmaxf(out->hi, x[i]);
    }
    return SQZ_OK;
}

/* ---- weights of one or more nodes ---- */

typedef struct weights {
    const sqz_tensor *t;
    int32_t axis;           /* of the channels */
    size_t outer, c, inner; /* element (o, c, i) at (o * c + c) * inner + i */
    float *amax;            /* by channel */
    double *sum;            /* of magnitudes */
    float *scale;           /* by channel; all equal for per_tensor */
    sqz_scheme scheme;
    int32_t limit; /* largest code */
    sqz_nid *user;
    uint32_t n_user;
} weights;

static const float *bias_of(const sqz_ptq *p, const sqz_node *n)
{
    int slot = n->op->quant.bias;
    return slot && slot < n->n_in && n->in[slot] != SQZ_NONE
               ? SQZ_F32P(sqz_val(p->g, n->in[slot])->constant)
               : NULL;
}

static sqz_status measure(const sqz_ptq *p, sqz_vid w, weights *out)
{
    const sqz_qrule *r = &sqz_nod(p->g, out->user[0])->op->quant;
    const sqz_tensor *t = out->t = sqz_val(p->g, w)->constant;
    const float *x = SQZ_F32P(t);
    out->scheme = p->scheme[out->user[0]];
    out->limit = (1 << (out->scheme.bits - 1)) - 1;
    out->axis = r->channel_axis < 0 ? t->shape.rank + r->channel_axis : r->channel_axis;
    out->c = (size_t)t->shape.dim[out->axis];
    out->outer = out->inner = 1; /* factors of a count that was checked */
    for (int32_t a = 0; a < out->axis; a++)
        out->outer *= (size_t)t->shape.dim[a];
    for (int32_t a = out->axis + 1; a < t->shape.rank; a++)
        out->inner *= (size_t)t->shape.dim[a];
    out->amax = sqz_arena_alloc(p->a, out->c + 1, sizeof *out->amax);
    out->sum = sqz_arena_alloc(p->a, out->c + 1, sizeof *out->sum);
    out->scale = sqz_arena_alloc(p->a, out->c + 1, sizeof *out->scale);
    if (!out->amax || !out->sum || !out->scale)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < t->count; i++) {
        size_t c = i / out->inner % out->c;
        if (!isfinite(x[i]))
            return not_finite(p, w, i);
        out->amax[c] = fmaxf(out->amax[c], fabsf(x[i]));
        out->sum[c] += fabs((double)x[i]);
    }
    return SQZ_OK;
}

static sqz_grid grid_in(const sqz_ptq *p, const sqz_node *n) { return p->grid[n->in[0]]; }
static sqz_grid grid_out(const sqz_ptq *p, const sqz_node *n)
{
    sqz_vid y = n->out[0];
    return p->grid[y];
}

/* Counts channels and remembers the first, for one note. */
typedef struct tally {
    size_t n, first;
} tally;
static void count(tally *t, size_t c)
{
    if (t->n++ == 0)
        t->first = c;
}
static void say(const sqz_ptq *p, const sqz_node *n, const tally *t, const char *what)
{
    if (t->n)
        sqz_ptq_note(p, "node '%s' (%s): %zu output channel%s (first: %zu) %s", n->name,
                     n->op->info.name, t->n, t->n == 1 ? "" : "s", t->first, what);
}

typedef struct scaling {
    const weights *w;
    sqz_wrule rule;
    bool pow2;
    float *magnitude; /* |w|, channel after channel */
} scaling;

static sqz_status scale_channels(void *arg, size_t begin, size_t end)
{
    const scaling *s = arg;
    const weights *w = s->w;
    const float *x = SQZ_F32P(w->t);
    const size_t n = w->outer * w->inner;
    for (size_t c = begin; c < end; c++) {
        float *m = s->magnitude + c * n;
        for (size_t o = 0; o < w->outer; o++)
            for (size_t i = 0; i < w->inner; i++)
                m[o * w->inner + i] = fabsf(x[(o * w->c + c) * w->inner + i]);
        w->scale[c] = sqz_weight_scale(m, n, w->limit, s->rule, s->pow2);
    }
    return SQZ_OK;
}

static sqz_status scale_by_rule(const sqz_ptq *p, weights *w, sqz_arena *a)
{
    const size_t n = w->outer * w->inner;
    scaling s = {w, sqz_ptq_rule(p, w->scheme), p->o->pow2 != 0, NULL};
    s.magnitude = sqz_arena_alloc(a, w->t->count + 1, sizeof *s.magnitude);
    if (!s.magnitude)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_parallel(p->g->ctx, w->c, 4096 / SQZ_MAX(n, (size_t)1) + 1, scale_channels, &s));
    if (!p->o->per_tensor)
        return SQZ_OK;
    const float one = sqz_weight_scale(s.magnitude, w->t->count, w->limit, s.rule, s.pow2);
    for (size_t c = 0; c < w->c; c++)
        w->scale[c] = one;
    return SQZ_OK;
}

static sqz_status scale_by_weights(const sqz_ptq *p, weights *w)
{
    const sqz_node *n = sqz_nod(p->g, w->user[0]);
    float most = 0.0f, spare = grid_out(p, n).scale / (256.0f * grid_in(p, n).scale);
    tally dead = {0};
    for (size_t c = 0; c < w->c; c++)
        most = fmaxf(most, w->amax[c]);
    sqz_arena a = {.ctx = p->g->ctx};
    const sqz_status s = scale_by_rule(p, w, &a);
    sqz_arena_free(&a);
    SQZ_TRY(s);
    spare = fmaxf(p->o->pow2 ? sqz_scale_pow2(spare) : spare, SQZ_SCALE_MIN);
    for (size_t c = 0; c < w->c; c++) {
        bool none = w->amax[c] < fmaxf(DEAD, DEAD_PART * most);
        if (none && (!p->o->per_tensor || most < DEAD))
            w->scale[c] = spare;
        if (none)
            count(&dead, c);
    }
    say(p, n, &dead, "have no weights to speak of: quantized to zeros");
    return SQZ_OK;
}

static float up(double x) /* to float, not below */
{
    float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}

/* Largest magnitude of the accumulator of channel c: inputs are at most 255 steps from their zero
 * point, weights rounded by at most half a step each. */
static double load(const weights *w, size_t c, double b, double s_x)
{
    double k = (double)(w->outer * w->inner);
    return 255.0 * (w->sum[c] / (double)w->scale[c] + 0.5 * k) + b / (s_x * (double)w->scale[c]) +
           1;
}

/* At least x. */
static float raised(const sqz_ptq *p, double x)
{
    return p->o->pow2 ? sqz_scale_pow2(up(x)) : up(x);
}

static sqz_status raise_for(const sqz_ptq *p, weights *w, const sqz_node *n)
{
    const float *bias = bias_of(p, n);
    double s_x = (double)grid_in(p, n).scale;
    tally wide = {0}, heavy = {0};
    for (size_t c = 0; c < w->c; c++) {
        double b = bias ? fabs((double)bias[c]) : 0.0;
        if (!isfinite(b))
            return not_finite(p, n->in[n->op->quant.bias], c);
        if (b / (s_x * (double)w->scale[c]) > BIAS_STEPS_MAX) {
            w->scale[c] = raised(p, b / (BIAS_STEPS_MAX * s_x));
            count(&wide, c);
        }
        bool over = load(w, c, b, s_x) > ACC_MAX;
        for (int tries = 0; tries < 64 && load(w, c, b, s_x) > ACC_MAX; tries++)
            w->scale[c] = raised(p, (double)w->scale[c] * 1.05 * load(w, c, b, s_x) / ACC_MAX);
        if (over)
            count(&heavy, c);
        if (!(load(w, c, b, s_x) <= ACC_MAX))
            return sqz_fail(p->g->ctx, SQZ_E_LIMIT,
                            "node '%s' (%s): a sum of %zu products does not fit 32 bits", n->name,
                            n->op->info.name, w->outer * w->inner);
    }
    say(p, n, &wide, "have a bias too large for 32 bits: their weight scale is raised");
    say(p, n, &heavy, "could overflow the 32-bit sum: their weight scale is raised");
    return SQZ_OK;
}

static void level(const sqz_ptq *p, weights *w) /* one scale for all */
{
    float most = 0.0f;
    if (!p->o->per_tensor)
        return;
    for (size_t c = 0; c < w->c; c++)
        most = fmaxf(most, w->scale[c]);
    for (size_t c = 0; c < w->c; c++)
        w->scale[c] = most;
}

/* ---- putting them into the graph ---- */

/* A grid of one scale, or of one for each index of `axis`. */
static sqz_status set_quant(const sqz_ptq *p, sqz_vid v, sqz_dtype d, int32_t axis, size_t n,
                            const float *scale, int32_t zero)
{
    int32_t *zeros = sqz_arena_alloc(p->a, n, sizeof *zeros);
    if (!zeros)
        return SQZ_E_NOMEM;
    zeros[0] = zero; /* others: symmetric, 0 */
    return sqz_value_set_quant(p->g, v, d, axis, (uint32_t)n, scale, zeros);
}

/* Input `slot` of n becomes the constant t: in place when nobody else uses it, else a new one. */
static sqz_status put(const sqz_ptq *p, sqz_node *n, unsigned slot, bool in_place, sqz_tensor *t,
                      sqz_vid *out)
{
    sqz_vid old = n->in[slot], made = old;
    bool last = sqz_val(p->g, old)->channel_last;
    if (in_place) {
        SQZ_TRY(sqz_value_set_constant(p->g, old, t));
    } else {
        const char *name = sqz_arena_printf(p->a, "%s_%s", sqz_val(p->g, old)->name,
                                            t->dtype == SQZ_S32             ? "int32"
                                            : sqz_dtype_bits(t->dtype) == 4 ? "int4"
                                                                            : "int8");
        if (!name) {
            sqz_tensor_free(p->g->ctx, t);
            return SQZ_E_NOMEM;
        }
        SQZ_TRY(sqz_graph_constant(p->g, name, t, &made));
    }
    sqz_val(p->g, made)->channel_last = last;
    n->in[slot] = made;
    *out = made;
    return SQZ_OK;
}

static sqz_dtype type_of(const weights *w) { return w->scheme.bits < 8 ? SQZ_S4 : SQZ_S8; }

static sqz_status quantize_weights(const sqz_ptq *p, const weights *w, sqz_tensor *q)
{
    const float *x = SQZ_F32P(w->t);
    SQZ_TRY(sqz_tensor_alloc(p->g->ctx, type_of(w), &w->t->shape, q));
    for (size_t i = 0; i < w->t->count; i++) {
        const int32_t code = sqz_qround(x[i], w->scale[i / w->inner % w->c], 0, -w->limit,
                                        w->limit);
        if (q->dtype == SQZ_S8)
            SQZ_S8P(q)[i] = (int8_t)code;
        else
            sqz_tensor_set_i64(q, i, code);
    }
    return SQZ_OK;
}

static sqz_status put_bias(const sqz_ptq *p, sqz_node *n, const weights *w)
{
    const float *b = bias_of(p, n);
    sqz_tensor q;
    sqz_vid v;
    if (!b)
        return SQZ_OK;
    unsigned slot = (unsigned)n->op->quant.bias;
    const sqz_value *old = sqz_val(p->g, n->in[slot]);
    float s_x = grid_in(p, n).scale, *scale = sqz_arena_alloc(p->a, w->c, sizeof *scale);
    if (!scale)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_tensor_alloc(p->g->ctx, SQZ_S32, &old->constant->shape, &q));
    for (size_t c = 0; c < w->c; c++) {
        scale[c] = sqz_bias_scale(s_x, w->scale[c]);
        SQZ_S32P(&q)[c] = (int32_t)nearbyint((double)b[c] / (double)scale[c]);
    }
    SQZ_TRY(put(p, n, slot, sqz_n_uses(&p->uses, n->in[slot]) == 1, &q, &v));
    bool one = p->o->per_tensor || w->c == 1;
    int32_t axis = sqz_val(p->g, v)->shape.rank - 1;
    while (axis > 0 && sqz_val(p->g, v)->shape.dim[axis] != (int64_t)w->c)
        axis--; /* (O), (1, O) or (O, 1, 1) */
    return set_quant(p, v, SQZ_S32, one ? -1 : axis, one ? 1 : w->c, scale, 0);
}

static sqz_status put_weights(const sqz_ptq *p, const weights *w, bool in_place)
{
    sqz_tensor q;
    sqz_vid v = SQZ_NONE;
    for (uint32_t k = 0; k < w->n_user; k++) /* biases first: they read the float weights' node */
        SQZ_TRY(put_bias(p, sqz_nod(p->g, w->user[k]), w));
    SQZ_TRY(quantize_weights(p, w, &q));
    sqz_node *first = sqz_nod(p->g, w->user[0]);
    SQZ_TRY(put(p, first, (unsigned)first->op->quant.weight, in_place, &q, &v));
    const bool one = p->o->per_tensor != 0;
    SQZ_TRY(set_quant(p, v, type_of(w), one ? -1 : w->axis, one ? 1 : w->c, w->scale, 0));
    if (w->scheme.bits == 8 || w->scheme.bits == 4)
        return SQZ_OK;
    sqz_quant q3 = *sqz_val(p->g, v)->quant;
    q3.bits = w->scheme.bits;
    return sqz_value_set_grid(p->g, v, &q3);
}

/* ---- which nodes share ---- */

static bool has_weights(const sqz_ptq *p, sqz_nid id)
{
    return p->integer[id] && !p->pairs[id] && sqz_ptq_has_weights(p->g, sqz_nod(p->g, id));
}

/* All users of w, when all are integer and see it the same way; else `id` alone. */
static sqz_status find_users(const sqz_ptq *p, sqz_nid id, sqz_vid v, weights *w, bool *every)
{
    const sqz_op *op = sqz_nod(p->g, id)->op;
    uint32_t n = sqz_n_uses(&p->uses, v);
    w->user = sqz_arena_alloc(p->a, n + 1u, sizeof *w->user);
    if (!w->user)
        return SQZ_E_NOMEM;
    *every = true;
    for (uint32_t u = p->uses.first[v]; u < p->uses.first[v + 1]; u++) {
        sqz_nid user = p->uses.node[u];
        *every = *every && user != SQZ_NONE && has_weights(p, user) &&
                 sqz_nod(p->g, user)->op == op && p->uses.slot[u] == op->quant.weight &&
                 p->scheme[user].bits == p->scheme[id].bits;
        w->user[w->n_user++] = user;
    }
    if (!*every) {
        w->user[0] = id;
        w->n_user = 1;
    }
    return SQZ_OK;
}

static sqz_status quantize_node(const sqz_ptq *p, sqz_nid id, bool *done)
{
    weights w = {0};
    bool every;
    sqz_vid v = sqz_nod(p->g, id)->in[sqz_nod(p->g, id)->op->quant.weight];
    SQZ_TRY(find_users(p, id, v, &w, &every));
    SQZ_TRY(measure(p, v, &w));
    SQZ_TRY(scale_by_weights(p, &w));
    for (uint32_t k = 0; k < w.n_user; k++) {
        level(p, &w);
        SQZ_TRY(raise_for(p, &w, sqz_nod(p->g, w.user[k])));
        done[w.user[k]] = true;
    }
    level(p, &w);
    return put_weights(p, &w, every);
}

/* ---- other constants ---- */

static sqz_status quantize_operand(const sqz_ptq *p, sqz_node *n, unsigned slot)
{
    sqz_vid v = n->in[slot];
    const sqz_tensor *t = sqz_val(p->g, v)->constant;
    sqz_grid g = p->fixed_apart[n->out[0]] ? p->set_grid[n->out[0]] : grid_out(p, n);
    sqz_range r;
    size_t masked;
    sqz_tensor q;
    sqz_vid made;
    SQZ_TRY(sqz_ptq_constant_range(p, v, &r, &masked));
    if (masked)
        sqz_ptq_note(p,
                     "constant '%s': %zu numbers below -1e30 (a mask) become the least number "
                     "of its grid",
                     sqz_val(p->g, v)->name, masked);
    if (n->op->quant.kind != SQZ_Q_SAME)
        (void)sqz_ptq_grid_of(p, r, &g); /* all zeros: scale 1, exact */
    SQZ_TRY(sqz_tensor_alloc(p->g->ctx, SQZ_S8, &t->shape, &q));
    for (size_t i = 0; i < t->count; i++)
        SQZ_S8P(&q)[i] = (int8_t)sqz_qround(SQZ_F32P(t)[i], g.scale, g.zero, -128, 127);
    SQZ_TRY(put(p, n, slot, sqz_n_uses(&p->uses, v) == 1, &q, &made));
    return set_quant(p, made, SQZ_S8, -1, 1, &g.scale, g.zero);
}

sqz_status sqz_ptq_weights(sqz_ptq *p)
{
    bool *done = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *done);
    if (!done)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(p->g, id)
    {
        sqz_node *n = sqz_nod(p->g, id);
        if (!p->integer[id] || p->pairs[id])
            continue;
        if (has_weights(p, id) && !done[id])
            SQZ_TRY(sqz_note(p->g->ctx, quantize_node(p, id, done), "node '%s' (%s)", n->name,
                             n->op->info.name));
        for (unsigned i = 0; i < n->n_in; i++)
            if (n->op->quant.kind != SQZ_Q_LINEAR && sqz_ptq_is_data(p->g, n, i) &&
                sqz_ptq_is_constant(p->g, n->in[i]))
                SQZ_TRY(quantize_operand(p, n, i));
    }
    return SQZ_OK;
}
