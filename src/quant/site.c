/* site.c: nodes with weights on a grid, seen alike. */
#include "quant/site.h"
#include "ir/qgrid.h"
#include "quant/qparams.h"
#include <math.h>
#include <string.h>

#define BIAS_STEPS_MAX 1073741824.0 /* 2^30, as ptq_weights.c */

/* ---- finding ---- */

/* An attribute of the node by its name; NULL: the operator has none of it. */
static const void *attr(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NULL;
}

static bool is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

/* The constant that input `slot` stands for, through a dequantization. */
static sqz_vid constant_of(const sqz_graph *g, const sqz_node *n, unsigned slot)
{
    sqz_vid v = slot < n->n_in ? n->in[slot] : SQZ_NONE;
    if (v == SQZ_NONE || sqz_val(g, v)->constant)
        return v;
    sqz_nid maker = sqz_val(g, v)->producer;
    if (maker == SQZ_NONE || !is_op(sqz_nod(g, maker), "dequantize"))
        return SQZ_NONE;
    v = sqz_nod(g, maker)->in[0];
    return sqz_val(g, v)->constant ? v : SQZ_NONE;
}

/* Codes that a site may have; false: no such type. */
static bool code_ends(const sqz_value *w, sqz_site *s)
{
    bool even = true;
    for (uint32_t i = 0; i < w->quant->n; i++)
        even = even && w->quant->zero[i] == 0;
    switch (w->dtype) {
    case SQZ_S8:
    case SQZ_S4:
        s->hi = (1 << (sqz_quant_bits(w->quant) - 1)) - 1;
        s->lo = even ? -s->hi : -s->hi - 1;
        return true;
    default: return false;
    }
}

static sqz_status set_window(sqz_ctx *ctx, const sqz_node *n, const sqz_shape *x,
                             const sqz_shape *w, sqz_site *s)
{
    const sqz_ints *extra = attr(n, "output_padding");
    const int64_t *group = attr(n, "group");
    const sqz_window_attrs at = {.strides = *(const sqz_ints *)attr(n, "strides"),
                                 .pads = *(const sqz_ints *)attr(n, "pads"),
                                 .dilations = *(const sqz_ints *)attr(n, "dilations")};
    const int32_t axes = x->rank - 2;
    s->window_op = true;
    s->transposed = extra != NULL;
    SQZ_TRY(
        s->transposed
            ? sqz_window_make_transposed(ctx, axes, x->dim + 1, w->dim + 1, &at, extra, &s->window)
            : sqz_window_make(ctx, axes, x->dim + 1, w->dim + 1, &at, false, &s->window));
    s->c_in = (size_t)x->dim[x->rank - 1];
    s->groups = group ? (size_t)*group : s->c_in;
    s->depth = s->c_in / s->groups;
    s->taps = sqz_volume(s->window.k);
    s->cols = s->taps * s->depth;
    s->rows = s->transposed ? (size_t)w->dim[w->rank - 1] * s->groups : (size_t)w->dim[0];
    s->ld_row = s->cols;
    s->ld_col = 1;
    return SQZ_OK;
}

/* The shape of the product; false: not one that is known here. */
static sqz_status set_shape(const sqz_graph *g, const sqz_node *n, sqz_site *s, bool *known)
{
    const sqz_value *x = sqz_val(g, s->x), *w = sqz_val(g, s->w);
    const int64_t *turned = attr(n, "trans_b");
    *known = false;
    s->groups = s->taps = 1;
    if (turned && *turned)
        return SQZ_OK;
    if (is_op(n, "conv2d") || is_op(n, "dwconv2d") || is_op(n, "conv_transpose")) {
        *known = x->channel_last || !(g->have & SQZ_HAS_LAYOUT);
        return set_window(g->ctx, n, &x->shape, &w->shape, s);
    }
    const bool gemm = is_op(n, "gemm");
    if ((!gemm && !is_op(n, "matmul")) || w->shape.rank != 2 || x->shape.rank < 1)
        return SQZ_OK;
    s->rows = (size_t)w->shape.dim[gemm ? 0 : 1];
    s->cols = s->c_in = s->depth = (size_t)w->shape.dim[gemm ? 1 : 0];
    s->ld_row = gemm ? s->cols : 1;
    s->ld_col = gemm ? 1 : s->rows;
    *known = true;
    return SQZ_OK;
}

/* A clamp that alone reads y of the float graph. */
static void find_clip(const sqz_graph *g, const sqz_uses *u, sqz_site *s)
{
    s->clip_lo = -INFINITY;
    s->clip_hi = INFINITY;
    if (sqz_n_uses(u, s->y) != 1 || u->node[u->first[s->y]] == SQZ_NONE)
        return;
    const sqz_node *n = sqz_nod(g, u->node[u->first[s->y]]);
    const double *lo = attr(n, "min"), *hi = attr(n, "max");
    if (is_op(n, "relu"))
        s->clip_lo = 0.0f;
    if (is_op(n, "clip") && lo && hi) {
        s->clip_lo = (float)*lo;
        s->clip_hi = (float)*hi;
    }
}

/* Fills *s when node id has weights on a grid. */
static sqz_status look(const sqz_graph *f, const sqz_graph *q, sqz_nid id, sqz_site *s, bool *yes)
{
    const sqz_node *qn = sqz_nod(q, id), *fn = id < f->n_node ? sqz_nod(f, id) : NULL;
    const sqz_qrule *r = &qn->op->quant;
    *yes = false;
    if (r->kind != SQZ_Q_LINEAR || !r->weight || r->weight2 || !fn || fn->dead || fn->op != qn->op)
        return SQZ_OK;
    *s = (sqz_site){.node = id,
                    .x = fn->in[0],
                    .y = fn->out[0],
                    .w = fn->in[r->weight],
                    .b = SQZ_NONE,
                    .qx = qn->in[0],
                    .qy = qn->out[0],
                    .qw = constant_of(q, qn, (unsigned)r->weight),
                    .weight_slot = (unsigned)r->weight,
                    .bias_slot = (unsigned)r->bias};
    if (s->bias_slot && s->bias_slot < fn->n_in)
        s->b = fn->in[s->bias_slot];
    s->qb = constant_of(q, qn, s->bias_slot);
    const sqz_value *w = sqz_val(f, s->w);
    if (s->qw == SQZ_NONE || !sqz_val(q, s->qw)->quant || !w->constant || w->dtype != SQZ_F32 ||
        sqz_val(q, s->qw)->constant->count != w->constant->count ||
        (s->b != SQZ_NONE && !sqz_val(f, s->b)->constant) || !code_ends(sqz_val(q, s->qw), s))
        return SQZ_OK;
    return set_shape(f, fn, s, yes);
}

sqz_status sqz_sites(const sqz_graph *reference, const sqz_graph *quantized, sqz_arena *a,
                     sqz_site **list, uint32_t *n)
{
    sqz_uses u;
    *n = 0;
    sqz_uses uq;
    SQZ_TRY(sqz_uses_build(reference, a, &u));
    SQZ_TRY(sqz_uses_build(quantized, a, &uq));
    *list = sqz_arena_alloc(a, quantized->n_node + 1u, sizeof **list);
    bool *seen = sqz_arena_alloc(a, quantized->n_value + 1u, sizeof *seen);
    if (!*list || !seen)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(quantized, id)
    {
        sqz_site *s = &(*list)[*n];
        bool yes;
        SQZ_TRY(sqz_note(quantized->ctx, look(reference, quantized, id, s, &yes), "node '%s'",
                         sqz_nod(quantized, id)->name));
        if (!yes)
            continue;
        find_clip(reference, &u, s);
        s->alone = sqz_n_uses(&uq, s->qw) == 1;
        s->shared = seen[s->qw];
        seen[s->qw] = true;
        ++*n;
    }
    return SQZ_OK;
}

sqz_status sqz_sites_ready(const sqz_graph *g, const sqz_env *env, const char *pass,
                           const sqz_graph **reference)
{
    SQZ_TRY(sqz_reference(g, env, pass, reference));
    if (!env->calib)
        return sqz_fail(g->ctx, SQZ_E_ARG, "pass '%s' needs calibration data (--data)", pass);
    return SQZ_OK;
}

/* ---- numbers ---- */

size_t sqz_site_at(const sqz_site *s, size_t row, size_t col)
{
    if (!s->transposed)
        return row * s->ld_row + col * s->ld_col;
    const size_t wide = s->rows / s->groups, tap = col / s->depth, i = col % s->depth;
    return ((row / wide * s->depth + i) * s->taps + tap) * wide + row % wide;
}

sqz_status sqz_site_weights(const sqz_graph *reference, const sqz_site *s, float *w)
{
    const sqz_tensor *t = sqz_val(reference, s->w)->constant;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->cols; c++) {
            const float v = SQZ_F32P(t)[sqz_site_at(s, r, c)];
            if (!isfinite(v))
                return sqz_fail(reference->ctx, SQZ_E_FORMAT, "weights '%s': a number is %g",
                                sqz_val(reference, s->w)->name, (double)v);
            w[r * s->cols + c] = v;
        }
    return SQZ_OK;
}

sqz_status sqz_site_codes(const sqz_graph *quantized, const sqz_site *s, int8_t *codes)
{
    const sqz_tensor *t = sqz_val(quantized, s->qw)->constant;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->cols; c++)
            codes[r * s->cols + c] = (int8_t)sqz_tensor_i64(t, sqz_site_at(s, r, c));
    return SQZ_OK;
}

sqz_status sqz_site_grid(const sqz_graph *quantized, const sqz_site *s, float *scale, int32_t *zero)
{
    const sqz_value *v = sqz_val(quantized, s->qw);
    const sqz_quant *q = v->quant;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->cols; c++) {
            const sqz_qrun run = sqz_quant_run(q, &v->shape, sqz_site_at(s, r, c));
            scale[r * s->cols + c] = q->scale[run.first];
            zero[r * s->cols + c] = q->zero[run.first];
        }
    return SQZ_OK;
}

sqz_status sqz_site_set_codes(sqz_graph *quantized, const sqz_site *s, const int8_t *codes)
{
    const sqz_tensor *old = sqz_val(quantized, s->qw)->constant;
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(quantized->ctx, old->dtype, &old->shape, &t));
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->cols; c++) {
            const int q = codes[r * s->cols + c];
            if (q < s->lo || q > s->hi) {
                sqz_tensor_free(quantized->ctx, &t);
                return sqz_fail(quantized->ctx, SQZ_E_INTERNAL,
                                "weights '%s': code %d is outside of %d .. %d",
                                sqz_val(quantized, s->qw)->name, q, s->lo, s->hi);
            }
            sqz_tensor_set_i64(&t, sqz_site_at(s, r, c), q);
        }
    return sqz_value_set_constant(quantized, s->qw, &t);
}

/* ---- biases ---- */

sqz_status sqz_site_bias(const sqz_graph *g, const sqz_site *s, double *b)
{
    const sqz_vid v = constant_of(g, sqz_nod(g, s->node), s->bias_slot);
    memset(b, 0, s->rows * sizeof *b);
    if (!s->bias_slot || v == SQZ_NONE)
        return SQZ_OK;
    const sqz_value *val = sqz_val(g, v);
    if (val->constant->count != s->rows)
        return sqz_fail(g->ctx, SQZ_E_SHAPE, "bias '%s': %zu numbers for %zu output channels",
                        val->name, val->constant->count, s->rows);
    for (size_t r = 0; r < s->rows; r++) {
        const double n = sqz_tensor_f64(val->constant, r);
        b[r] = n;
        if (val->quant) {
            const size_t k = sqz_quant_run(val->quant, &val->shape, r).first;
            b[r] = (double)val->quant->scale[k] * (n - val->quant->zero[k]);
        }
    }
    return SQZ_OK;
}

/* A bias of zeros for a node without one: 32 bits wide beside integer data, else float. */
static sqz_status add_bias(sqz_graph *g, sqz_site *s)
{
    sqz_node *n = sqz_nod(g, s->node);
    const sqz_quant *x = sqz_val(g, s->qx)->quant, *w = sqz_val(g, s->qw)->quant;
    const bool integer = x && sqz_val(g, s->qy)->quant;
    const sqz_shape shape = {1, {(int64_t)s->rows}};
    sqz_tensor t;
    sqz_vid v;
    if (!s->bias_slot || n->n_in != s->bias_slot)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED, "node '%s' (%s) takes no bias", n->name,
                        n->op->info.name);
    sqz_vid *in = sqz_arena_alloc(&g->arena, n->n_in + 1u, sizeof *in);
    float *scale = sqz_arena_alloc(&g->arena, s->rows, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(&g->arena, s->rows, sizeof *zero);
    if (!in || !scale || !zero)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, integer ? SQZ_S32 : SQZ_F32, &shape, &t));
    SQZ_TRY(sqz_graph_constant(g, NULL, &t, &v));
    const bool one = integer && w->n == 1;
    for (size_t r = 0; r < s->rows && integer; r++) {
        const size_t k = sqz_quant_run(w, &sqz_val(g, s->qw)->shape, sqz_site_at(s, r, 0)).first;
        scale[r] = sqz_bias_scale(x->scale[0], w->scale[k]);
    }
    if (integer)
        SQZ_TRY(sqz_value_set_quant(g, v, SQZ_S32, one ? -1 : 0, one ? 1 : (uint32_t)s->rows, scale,
                                    zero));
    memcpy(in, n->in, n->n_in * sizeof *in);
    in[n->n_in++] = v;
    n->in = in;
    s->qb = v;
    return SQZ_OK;
}

/* The bias in steps of its grid, which is the site's own: other nodes keep their numbers. */
sqz_status sqz_site_set_bias(sqz_graph *quantized, sqz_site *s, const double *b, size_t *capped)
{
    sqz_graph *g = quantized;
    sqz_tensor t;
    size_t cut = 0;
    if (s->qb == SQZ_NONE)
        SQZ_TRY(add_bias(g, s));
    const sqz_value *old = sqz_val(g, s->qb);
    SQZ_TRY(sqz_tensor_alloc(g->ctx, old->dtype, &old->constant->shape, &t));
    for (size_t r = 0; r < s->rows; r++) {
        double v = b[r];
        if (old->quant) {
            const size_t k = sqz_quant_run(old->quant, &old->shape, r).first;
            v = nearbyint(v / (double)old->quant->scale[k]) + old->quant->zero[k];
            cut += fabs(v) > BIAS_STEPS_MAX;
            v = SQZ_MAX(SQZ_MIN(v, BIAS_STEPS_MAX), -BIAS_STEPS_MAX);
        }
        sqz_tensor_set_f64(&t, r, v);
    }
    if (capped)
        *capped = cut;
    return sqz_value_set_constant(g, s->qb, &t);
}

/* ---- scales ---- */

bool sqz_site_row_scales(const sqz_graph *quantized, const sqz_site *s)
{
    const sqz_quant *q = sqz_val(quantized, s->qw)->quant;
    const sqz_quant *b = s->qb == SQZ_NONE ? NULL : sqz_val(quantized, s->qb)->quant;
    return s->alone && !s->transposed && q->n == s->rows && !q->group && (!b || b->n == s->rows);
}

sqz_status sqz_site_set_scales(sqz_graph *quantized, sqz_site *s, const float *scale)
{
    sqz_graph *g = quantized;
    sqz_arena a = {.ctx = g->ctx};
    float *row = sqz_arena_alloc(&a, s->rows, sizeof *row);
    double *b = sqz_arena_alloc(&a, s->rows, sizeof *b);
    sqz_status st = row && b ? sqz_site_bias(g, s, b) : SQZ_E_NOMEM;
    for (size_t r = 0; st == SQZ_OK && r < s->rows; r++)
        row[r] = scale[r * s->cols];
    if (st == SQZ_OK) {
        sqz_quant q = *sqz_val(g, s->qw)->quant;
        q.scale = row;
        st = sqz_value_set_grid(g, s->qw, &q);
    }
    if (st == SQZ_OK && s->qb != SQZ_NONE && sqz_val(g, s->qb)->quant) {
        sqz_quant q = *sqz_val(g, s->qb)->quant;
        for (size_t r = 0; r < s->rows; r++)
            row[r] = sqz_bias_scale(sqz_val(g, s->qx)->quant->scale[0], row[r]);
        q.scale = row;
        st = sqz_value_set_grid(g, s->qb, &q);
        if (st == SQZ_OK)
            st = sqz_site_set_bias(g, s, b, NULL);
    }
    sqz_arena_free(&a);
    return st;
}
