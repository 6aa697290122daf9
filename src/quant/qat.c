/* qat.c: see qat.h. */
#include "quant/qat.h"
#include "ir/qgrid.h"
#include "ops/fake.h"
#include "quant/fake.h"
#include "quant/qparams.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct weight { /* of a site; its codes may be read by further nodes */
    sqz_site site;
    sqz_vid out;       /* of the net: on the grid */
    uint32_t w, scale; /* places in the list of what is trained */
    uint32_t bias;     /* the same, SQZ_NONE: none */
} weight;

typedef struct plain { /* a float constant that both graphs have */
    sqz_vid value;
    uint32_t at;
} plain;

struct sqz_qat {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_training training;
    sqz_trained *trained;
    uint32_t n_trained;
    sqz_fake *grid;
    uint32_t n_grid;
    uint32_t *class_of; /* by value of the quantized graph: those of a class have one grid */
    bool *fixed;        /* by class: its scale is not trained */
    uint32_t *at;       /* by class: of its scale in the list of what is trained, SQZ_NONE */
    uint32_t n_value;
    weight *weight;
    uint32_t n_weight;
    plain *plain;
    uint32_t n_plain;
};

/* ---- which values share a grid ---- */

static bool is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

static const sqz_quant *grid_of(const sqz_graph *g, sqz_vid v)
{
    const sqz_quant *q = v == SQZ_NONE ? NULL : sqz_val(g, v)->quant;
    return q && q->n == 1 ? q : NULL;
}

static bool same_grid(const sqz_quant *a, const sqz_quant *b)
{
    return a && b && a->scale[0] == b->scale[0] && a->zero[0] == b->zero[0];
}

static uint32_t root(const sqz_qat *q, uint32_t v)
{
    while (q->class_of[v] != v)
        v = q->class_of[v];
    return v;
}

static void join(sqz_qat *q, sqz_vid a, sqz_vid b)
{
    const uint32_t x = root(q, a), y = root(q, b);
    q->class_of[SQZ_MAX(x, y)] = SQZ_MIN(x, y);
}

/* The operator hands codes on as they are. */
static bool keeps_codes(const sqz_graph *g, const sqz_node *n)
{
    if (n->op->quant.kind == SQZ_Q_SAME || (n->op->traits & (SQZ_T_VIEW | SQZ_T_MOVES)))
        return true;
    return (n->op->traits & SQZ_T_RELU_LIKE) &&
           same_grid(grid_of(g, n->in[0]), grid_of(g, n->out[0]));
}

static void join_node(sqz_qat *q, const sqz_graph *g, const sqz_node *n)
{
    sqz_vid first = SQZ_NONE;
    for (unsigned k = 0; k < n->n_in + (unsigned)n->n_out; k++) {
        const sqz_vid v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
        if (!grid_of(g, v))
            continue;
        if (first == SQZ_NONE)
            first = v;
        else if (same_grid(grid_of(g, first), grid_of(g, v)))
            join(q, first, v);
    }
}

/* Scales that training must leave alone: those that an operator dictates, those of constants that
 * lie on an activation's grid, and those of clamps with an upper end, which a wider grid would
 * lift.
 */
static bool dictates(const sqz_graph *g, const sqz_node *n)
{
    const sqz_qrule *r = &n->op->quant;
    if (r->fixed_scale > 0 || r->kind == SQZ_Q_FIXED)
        return true;
    if ((n->op->traits & SQZ_T_RELU_LIKE) && !is_op(n, "relu"))
        return true;
    for (unsigned k = 0; keeps_codes(g, n) && k < n->n_in; k++)
        if (n->in[k] != SQZ_NONE && sqz_val(g, n->in[k])->constant && grid_of(g, n->in[k]))
            return true;
    return false;
}

static sqz_status classes(sqz_qat *q, const sqz_graph *g)
{
    q->n_value = g->n_value;
    q->class_of = sqz_arena_alloc(&q->arena, g->n_value + 1u, sizeof *q->class_of);
    q->fixed = sqz_arena_alloc(&q->arena, g->n_value + 1u, sizeof *q->fixed);
    q->at = sqz_arena_alloc(&q->arena, g->n_value + 1u, sizeof *q->at);
    if (!q->class_of || !q->fixed || !q->at)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        q->class_of[v] = v;
        q->at[v] = SQZ_NONE;
    }
    SQZ_EACH_NODE(g, id)
    {
        if (keeps_codes(g, sqz_nod(g, id)))
            join_node(q, g, sqz_nod(g, id));
    }
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        for (unsigned k = 0; dictates(g, n) && k < n->n_out; k++)
            if (grid_of(g, n->out[k]))
                q->fixed[root(q, n->out[k])] = true;
    }
    return SQZ_OK;
}

/* ---- activations ---- */

static uint32_t train(sqz_qat *q, sqz_vid v, bool decays, double rate, double floor)
{
    q->trained[q->n_trained] = (sqz_trained){
        .value = v, .decays = decays, .rate = rate, .floor = floor};
    return q->n_trained++;
}

/* All fake quantizations of a class read one scale. */
static sqz_status activations(sqz_qat *q, const sqz_qat_options *o)
{
    sqz_graph *g = q->training.g;
    const double rate = o->rate > 0 ? o->rate : 1;
    for (uint32_t i = 0; i < q->n_grid; i++) {
        const uint32_t c = root(q, q->grid[i].owner);
        if (q->fixed[c] || o->fixed_scales)
            continue;
        if (q->at[c] == SQZ_NONE)
            q->at[c] = train(q, q->grid[i].scale, false, rate, (double)q->grid[i].start * 1e-3);
        sqz_nod(g, q->grid[i].node)->in[1] = q->trained[q->at[c]].value;
    }
    return SQZ_OK;
}

/* ---- weights ---- */

static sqz_status check_weight(const sqz_graph *g, const sqz_graph *quantized, const sqz_site *s)
{
    const sqz_value *w = sqz_val(quantized, s->qw);
    bool even = !w->quant->group && sqz_shape_eq(&w->constant->shape, &sqz_val(g, s->w)->shape);
    for (uint32_t i = 0; even && i < w->quant->n; i++)
        even = w->quant->zero[i] == 0 && w->quant->scale[i] > 0;
    if (even)
        return SQZ_OK;
    return sqz_fail(
        g->ctx, SQZ_E_UNSUPPORTED,
        "node '%s': quantization-aware training needs symmetric weights with one scale, "
        "or one for each output channel: quantize without blocks (group=0)",
        sqz_nod(g, s->node)->name);
}

static sqz_status put_weight(sqz_qat *q, const sqz_graph *quantized, const sqz_site *s,
                             const sqz_qat_options *o)
{
    sqz_graph *g = q->training.g;
    const sqz_quant *grid = sqz_val(quantized, s->qw)->quant;
    const double each = (double)sqz_val(g, s->w)->constant->count / (double)grid->n;
    const float zero = 0;
    weight *w = &q->weight[q->n_weight];
    sqz_vid in[3] = {s->w, SQZ_NONE, SQZ_NONE};
    char attrs[128];
    SQZ_TRY(check_weight(g, quantized, s));
    (void)snprintf(attrs, sizeof attrs, "lo=%d hi=%d axis=%d factor=%.9g", s->lo, s->hi,
                   grid->n == 1 ? -1 : (int)grid->axis, fmin(1 / sqrt(each * s->hi), 1));
    SQZ_TRY(sqz_fake_constant(g, grid->scale, grid->n, &in[1]));
    SQZ_TRY(sqz_fake_constant(g, &zero, 1, &in[2]));
    *w = (weight){.site = *s};
    SQZ_TRY(sqz_graph_node_text(g, "fake_quantize", NULL, attrs, in, 3, s->node, &w->out));
    sqz_val(g, w->out)->channel_last = sqz_val(g, s->w)->channel_last;
    float least = grid->scale[0];
    for (uint32_t i = 1; i < grid->n; i++)
        least = fminf(least, grid->scale[i]);
    w->w = train(q, s->w, true, 1, -INFINITY);
    w->scale = SQZ_NONE;
    if (!o->fixed_scales)
        w->scale = train(q, in[1], false, o->rate > 0 ? o->rate : 1, (double)least * 1e-3);
    q->n_weight++;
    return SQZ_OK;
}

static sqz_status weights(sqz_qat *q, const sqz_graph *quantized, const sqz_site *site, uint32_t n,
                          const sqz_qat_options *o)
{
    sqz_graph *g = q->training.g;
    for (uint32_t i = 0; i < n; i++) {
        const sqz_site *s = &site[i];
        sqz_vid bias, out = SQZ_NONE;
        if (!s->shared)
            SQZ_TRY(put_weight(q, quantized, s, o));
        for (uint32_t k = 0; k < q->n_weight; k++)
            if (q->weight[k].site.qw == s->qw)
                out = q->weight[k].out;
        sqz_nod(g, s->node)->in[s->weight_slot] = out;
        SQZ_TRY(sqz_fake_bias(g, quantized, s, &bias));
        if (s->shared)
            continue;
        q->weight[q->n_weight - 1].bias = bias == SQZ_NONE ? SQZ_NONE
                                                           : train(q, bias, false, 1, -INFINITY);
    }
    return SQZ_OK;
}

/* Steps of the accumulators of a site that the integer graph computes in integers: of data times
 * those of weights. SQZ_NONE: it computes in float. */
static sqz_status accumulator(sqz_qat *q, const sqz_graph *quantized, const weight *w,
                              sqz_vid *unit)
{
    sqz_graph *g = q->training.g;
    const sqz_node *n = sqz_nod(g, w->site.node);
    const sqz_nid x = sqz_val(g, n->in[0])->producer, of_w = sqz_val(g, w->out)->producer;
    *unit = SQZ_NONE;
    if (!grid_of(quantized, w->site.qx) || !grid_of(quantized, w->site.qy) || x == SQZ_NONE ||
        !is_op(sqz_nod(g, x), "fake_quantize"))
        return SQZ_OK;
    const sqz_vid scales[2] = {sqz_nod(g, x)->in[1], sqz_nod(g, of_w)->in[1]};
    return sqz_graph_node_text(g, "mul", NULL, "", scales, 2, w->site.node, unit);
}

/* A bias beside integer data has 32 bits in those steps, which are wide where weights have 2 bits:
 * it goes through that grid too. Scales learn nothing from it. */
static sqz_status bias_grid(sqz_qat *q, const weight *w, sqz_vid unit)
{
    sqz_graph *g = q->training.g;
    const float zero = 0;
    char attrs[96];
    sqz_vid in[3] = {SQZ_NONE, unit, SQZ_NONE}, out;
    if (w->bias == SQZ_NONE)
        return SQZ_OK;
    in[0] = q->trained[w->bias].value;
    SQZ_TRY(sqz_fake_constant(g, &zero, 1, &in[2]));
    (void)snprintf(attrs, sizeof attrs, "lo=-1073741824 hi=1073741824 axis=%d factor=0",
                   sqz_val(g, unit)->shape.dim[0] == 1 ? -1 : 0);
    SQZ_TRY(sqz_graph_node_text(g, "fake_quantize", NULL, attrs, in, 3, w->site.node, &out));
    sqz_nod(g, w->site.node)->in[w->site.bias_slot] = out;
    return SQZ_OK;
}

/* The grid of the site's result, maybe behind a clamp, rounds as accumulators are. */
static sqz_status result_grid(sqz_qat *q, const sqz_graph *quantized, const weight *w, sqz_vid unit)
{
    sqz_graph *g = q->training.g;
    const sqz_shape *y = &sqz_val(g, w->site.y)->shape;
    for (uint32_t i = 0; i < q->n_grid; i++) {
        sqz_node *n = sqz_nod(g, q->grid[i].node);
        sqz_vid v = q->grid[i].in;
        while (v != w->site.y && sqz_val(g, v)->producer != SQZ_NONE &&
               (sqz_nod(g, sqz_val(g, v)->producer)->op->traits & SQZ_T_RELU_LIKE))
            v = sqz_nod(g, sqz_val(g, v)->producer)->in[0];
        if (v != w->site.y ||
            !same_grid(grid_of(quantized, q->grid[i].owner), grid_of(quantized, w->site.qy)))
            continue;
        if (sqz_val(g, unit)->shape.dim[0] != 1 &&
            sqz_val(g, unit)->shape.dim[0] != y->dim[y->rank - 1])
            continue;
        sqz_vid *in = sqz_arena_alloc(&g->arena, 5, sizeof *in);
        if (!in)
            return SQZ_E_NOMEM;
        for (unsigned k = 0; k < 4; k++)
            in[k] = k < n->n_in ? n->in[k] : SQZ_NONE;
        in[4] = unit;
        n->in = in;
        n->n_in = 5;
    }
    return SQZ_OK;
}

static sqz_status integer_sites(sqz_qat *q, const sqz_graph *quantized)
{
    for (uint32_t i = 0; i < q->n_weight; i++) {
        sqz_vid unit;
        SQZ_TRY(accumulator(q, quantized, &q->weight[i], &unit));
        if (unit == SQZ_NONE)
            continue;
        SQZ_TRY(bias_grid(q, &q->weight[i], unit));
        SQZ_TRY(result_grid(q, quantized, &q->weight[i], unit));
    }
    return SQZ_OK;
}

/* ---- the other parameters ---- */

static bool is_trained(const sqz_qat *q, sqz_vid v)
{
    for (uint32_t i = 0; i < q->n_trained; i++)
        if (q->trained[i].value == v)
            return true;
    return false;
}

/* Those that are float constants under the same id in the quantized graph. */
static sqz_status others(sqz_qat *q, const sqz_graph *quantized, const sqz_parameter *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const sqz_vid v = p[i].value;
        const sqz_value *x = v < quantized->n_value ? sqz_val(quantized, v) : NULL;
        if (!x || sqz_value_dead(x) || !x->constant || x->quant || x->dtype != SQZ_F32 ||
            is_trained(q, v))
            continue;
        q->plain[q->n_plain++] = (plain){v, train(q, v, p[i].decays, 1, -INFINITY)};
    }
    return SQZ_OK;
}

/* ---- making ---- */

static sqz_status build(sqz_qat *q, const sqz_graph *reference, const sqz_graph *quantized,
                        const sqz_qat_options *o)
{
    const sqz_training_options form = {.batch = o->batch, .no_dropout = true, .freeze_norms = true};
    const sqz_fake_options edges = {.outputs = true, .factor = 1};
    sqz_arena *a = &q->arena;
    sqz_parameter *p;
    sqz_site *site;
    uint32_t n_site, n_param;
    if (!(quantized->have & SQZ_HAS_QUANT))
        return sqz_fail(q->ctx, SQZ_E_ARG,
                        "the model is not quantized: quantization-aware training begins with what "
                        "ptq makes");
    SQZ_TRY(sqz_training_make(reference, &form, &q->training));
    SQZ_TRY(sqz_sites(reference, quantized, a, &site, &n_site));
    SQZ_TRY(sqz_training_parameters(reference, a, &p, &n_param));
    SQZ_TRY(sqz_fake_constants(q->training.g, quantized, site, n_site));
    SQZ_TRY(sqz_fake_edges(q->training.g, quantized, &edges, a, &q->grid, &q->n_grid));
    SQZ_TRY(classes(q, quantized));
    q->weight = sqz_arena_alloc(a, n_site + 1u, sizeof *q->weight);
    q->plain = sqz_arena_alloc(a, n_param + 1u, sizeof *q->plain);
    q->trained = sqz_arena_alloc(a, q->n_grid + 3u * n_site + n_param + 1u, sizeof *q->trained);
    if (!q->weight || !q->plain || !q->trained)
        return SQZ_E_NOMEM;
    SQZ_TRY(weights(q, quantized, site, n_site, o));
    SQZ_TRY(activations(q, o));
    SQZ_TRY(integer_sites(q, quantized));
    return others(q, quantized, p, n_param);
}

sqz_status sqz_qat_make(const sqz_graph *reference, const sqz_graph *quantized,
                        const sqz_qat_options *o, sqz_qat **out)
{
    sqz_qat *q = sqz_calloc(reference->ctx, 1, sizeof *q);
    *out = NULL;
    if (!q)
        return SQZ_E_NOMEM;
    q->ctx = q->arena.ctx = reference->ctx;
    const sqz_status s = build(q, reference, quantized, o);
    if (s == SQZ_OK)
        *out = q;
    else
        sqz_qat_free(q);
    return s;
}

void sqz_qat_free(sqz_qat *q)
{
    if (!q)
        return;
    sqz_training_free(&q->training);
    sqz_arena_free(&q->arena);
    sqz_free(q->ctx, q);
}

sqz_training *sqz_qat_training(sqz_qat *q) { return &q->training; }
sqz_training sqz_qat_take(sqz_qat *q)
{
    const sqz_training t = q->training;
    q->training = (sqz_training){.g = NULL};
    return t;
}
const sqz_trained *sqz_qat_trained(const sqz_qat *q, uint32_t *n)
{
    *n = q->n_trained;
    return q->trained;
}

sqz_vid sqz_qat_value(const sqz_qat *q, sqz_vid v)
{
    for (uint32_t i = 0; i < q->n_grid; i++)
        if (q->grid[i].owner == v)
            return q->grid[i].out;
    return SQZ_NONE;
}

/* ---- the way back ---- */

static sqz_status write_activations(const sqz_qat *q, const float *const *numbers, sqz_graph *g)
{
    for (sqz_vid v = 0; v < q->n_value; v++) {
        const uint32_t at = q->at[root(q, v)];
        if (at == SQZ_NONE || sqz_value_dead(sqz_val(g, v)) || !grid_of(g, v))
            continue;
        sqz_quant grid = *sqz_val(g, v)->quant;
        grid.scale = numbers[at];
        SQZ_TRY(sqz_value_set_grid(g, v, &grid));
    }
    return SQZ_OK;
}

/* The codes that the fake quantization stands for, by the same arithmetic. */
static sqz_status write_codes(const sqz_qat *q, const weight *w, const float *const *numbers,
                              sqz_graph *g)
{
    const sqz_value *v = sqz_val(g, w->site.qw);
    const sqz_quant *grid = v->quant;
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, v->constant->dtype, &v->constant->shape, &t));
    for (size_t i = 0; i < t.count; i++) {
        const size_t k = sqz_quant_run(grid, &v->shape, i).first;
        const sqz_fake_grid f = sqz_fake_grid_of(grid->scale[k], (float)w->site.lo,
                                                 (float)w->site.hi, 0);
        sqz_tensor_set_f64(&t, i, (double)sqz_fake_step(&f, numbers[w->w][i]));
    }
    (void)q;
    return sqz_value_set_constant(g, w->site.qw, &t);
}

/* The grid of a bias follows from those of data and weights. */
static sqz_status write_bias(const sqz_qat *q, const weight *w, const float *const *numbers,
                             sqz_graph *g)
{
    sqz_site s = w->site;
    const sqz_quant *x = sqz_val(g, s.qx)->quant, *of_w = sqz_val(g, s.qw)->quant;
    sqz_arena a = {.ctx = q->ctx};
    double *b = sqz_arena_alloc(&a, s.rows, sizeof *b);
    float *scale = sqz_arena_alloc(&a, s.rows, sizeof *scale);
    sqz_status st = b && scale ? SQZ_OK : SQZ_E_NOMEM;
    if (st == SQZ_OK && s.qb != SQZ_NONE && sqz_val(g, s.qb)->quant && x) {
        sqz_quant grid = *sqz_val(g, s.qb)->quant;
        for (uint32_t r = 0; r < grid.n; r++) {
            const size_t at = sqz_site_at(&s, r, 0);
            const size_t k = sqz_quant_run(of_w, &sqz_val(g, s.qw)->shape, at).first;
            scale[r] = sqz_bias_scale(x->scale[0], of_w->scale[k]);
        }
        grid.scale = scale;
        st = sqz_value_set_grid(g, s.qb, &grid);
    }
    for (size_t r = 0; st == SQZ_OK && w->bias != SQZ_NONE && r < s.rows; r++) {
        const sqz_quant *grid = s.qb == SQZ_NONE ? NULL : sqz_val(g, s.qb)->quant;
        b[r] = (double)numbers[w->bias][r];
        if (grid) { /* the step that was trained with */
            const float by = grid->scale[grid->n == 1 ? 0 : r];
            const sqz_fake_grid f = sqz_fake_grid_of(by, -0x1p30f, 0x1p30f, 0);
            b[r] = (double)by * (double)sqz_fake_step(&f, numbers[w->bias][r]);
        }
    }
    if (st == SQZ_OK && w->bias != SQZ_NONE)
        st = sqz_site_set_bias(g, &s, b, NULL);
    sqz_arena_free(&a);
    return st;
}

static sqz_status write_weight(const sqz_qat *q, const weight *w, const float *const *numbers,
                               sqz_graph *g)
{
    if (w->scale != SQZ_NONE) {
        sqz_quant grid = *sqz_val(g, w->site.qw)->quant;
        grid.scale = numbers[w->scale];
        SQZ_TRY(sqz_value_set_grid(g, w->site.qw, &grid));
    }
    SQZ_TRY(write_codes(q, w, numbers, g));
    return write_bias(q, w, numbers, g);
}

sqz_status sqz_qat_write(const sqz_qat *q, const float *const *numbers, sqz_graph *g)
{
    if (g->n_value < q->n_value)
        return sqz_fail(g->ctx, SQZ_E_ARG, "the graph is another one than was trained");
    SQZ_TRY(write_activations(q, numbers, g));
    for (uint32_t i = 0; i < q->n_weight; i++)
        SQZ_TRY(sqz_note(g->ctx, write_weight(q, &q->weight[i], numbers, g), "node '%s'",
                         sqz_nod(g, q->weight[i].site.node)->name));
    for (uint32_t i = 0; i < q->n_plain; i++) {
        const sqz_tensor *old = sqz_val(g, q->plain[i].value)->constant;
        sqz_tensor t;
        SQZ_TRY(sqz_tensor_room(g->ctx, SQZ_F32, &old->shape, &t));
        memcpy(t.data, numbers[q->plain[i].at], t.bytes);
        SQZ_TRY(sqz_value_set_constant(g, q->plain[i].value, &t));
    }
    return SQZ_OK;
}
