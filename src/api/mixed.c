/* mixed.c: sensitivity of each layer to the bits of its weights, and the choice under limits. */
#include "api/mixed.h"
#include "eval/without.h"
#include "quant/site.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOOK_SAMPLES 128 /* that losses are measured on */
#define MEASURED_MAX 480 /* models that are made for that, at most */

/* ---- recipes with bits by layer ---- */

static bool can_be_named(const char *node) { return !strpbrk(node, ",:\"\\ \t"); }

/* "conv1:4,conv2:8", for layers whose bits `of` tells (0: as the recipe has them). */
static sqz_status with_bits(const sqz_mix *m, const sqz_recipe *r, const int *of, sqz_recipe *out)
{
    sqz_arena *a = &m->f->arena;
    sqz_str text = {.ctx = a->ctx};
    for (uint32_t i = 0; i < m->n; i++)
        if (of[i])
            sqz_str_addf(&text, "%s%s:%d", text.len ? "," : "",
                         sqz_nod(m->f->w->graph, m->layer[i].node)->name, of[i]);
    const char *more = sqz_recipe_ptq_text(r, "bits"); /* what the user fixed comes first */
    if (*more)
        sqz_str_addf(&text, "%s%s", text.len ? "," : "", more);
    sqz_status s = text.status;
    if (s == SQZ_OK)
        s = sqz_recipe_copy(a, r, out);
    if (s == SQZ_OK && text.len)
        s = sqz_recipe_set(a, out, "ptq", "bits", text.data);
    sqz_str_free(&text);
    return s;
}

static sqz_status make(const sqz_mix *m, const int *of, sqz_graph **out)
{
    sqz_recipe r;
    SQZ_TRY(with_bits(m, &m->base, of, &r));
    return sqz_work_quantized(m->f->w, &r, NULL, out);
}

/* ---- which layers ---- */

static sqz_status find_layers(sqz_mix *m, const sqz_graph *g)
{
    sqz_arena *a = &m->f->arena;
    const sqz_graph *reference = m->f->w->graph;
    sqz_site *site;
    uint32_t n;
    SQZ_TRY(sqz_sites(reference, g, a, &site, &n));
    m->layer = sqz_arena_alloc(a, n + 1u, sizeof *m->layer);
    if (!m->layer)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (can_be_named(sqz_nod(reference, site[i].node)->name) && !site[i].shared)
            m->layer[m->n++] = (sqz_mix_layer){.node = site[i].node,
                                               .weights = (uint64_t)site[i].rows * site[i].cols};
    return SQZ_OK;
}

/* ---- costs ---- */

static sqz_status add_estimate(sqz_mix *m, const sqz_graph *g, unsigned k)
{
    sqz_estimate *e;
    SQZ_TRY(sqz_estimate_graph(g, m->f->w->device, &e));
    double sum[SQZ_KNAPSACK_COSTS] = {0};
    for (uint32_t j = 0; j < e->n_node; j++)
        for (uint32_t i = 0; i < m->n; i++)
            if (e->node[j].node == m->layer[i].node) {
                double *c = m->layer[i].cost[k];
                sum[SQZ_MIX_BYTES] += c[SQZ_MIX_BYTES] = e->node[j].weight_bytes;
                sum[SQZ_MIX_SECONDS] += c[SQZ_MIX_SECONDS] = e->node[j].seconds;
                sum[SQZ_MIX_JOULES] += c[SQZ_MIX_JOULES] = e->node[j].joules;
            }
    if (k == 0) {
        m->fixed[SQZ_MIX_BYTES] = e->flash - sum[SQZ_MIX_BYTES];
        m->fixed[SQZ_MIX_SECONDS] = e->latency - sum[SQZ_MIX_SECONDS];
        m->fixed[SQZ_MIX_JOULES] = e->energy - sum[SQZ_MIX_JOULES];
    }
    sqz_estimate_free(m->f->w->ctx, e);
    return SQZ_OK;
}

static sqz_status add_costs(sqz_mix *m, const sqz_graph *g, unsigned k)
{
    double all = 0.0;
    if (m->f->w->device)
        return add_estimate(m, g, k);
    for (uint32_t i = 0; i < m->n; i++)
        all += m->layer[i].cost[k][SQZ_MIX_BYTES] = sqz_node_constant_bytes(g, m->layer[i].node);
    if (k == 0)
        m->fixed[SQZ_MIX_BYTES] = sqz_graph_constant_bytes(g) - all;
    return SQZ_OK;
}

/* ---- losses ---- */

static bool by_classes(const sqz_mix *m) { return strstr(m->f->metrics, ",kl") != NULL; }

/* Distance from the float model on some of the calibration data: mean KL divergence of classes, or
 * noise relative to the signal. Both add up over layers, as long as they are small. */
static sqz_status distance(const sqz_mix *m, const sqz_graph *g, const sqz_eval_result *reference,
                           double *out)
{
    sqz_work *w = m->f->w;
    const sqz_eval_options o = {.layout = w->job.layout,
                                .metrics = by_classes(m) ? "kl" : "snr",
                                .limit = LOOK_SAMPLES,
                                .reference_output = reference->output};
    sqz_eval_result *r;
    SQZ_TRY(sqz_eval_graph(g, w->calib, &o, &r));
    *out = by_classes(m) ? r->metric[0].value : pow(10.0, -r->metric[0].value / 10.0);
    sqz_eval_free(w->ctx, r);
    return SQZ_OK;
}

/* Noise of every layer's own output when all have bits k: the trace of H dW dW^T over that of
 * H W W^T, H being the moments of its inputs; by one run. */
static sqz_status add_proxies(sqz_mix *m, const sqz_graph *g, unsigned k)
{
    sqz_work *w = m->f->w;
    const sqz_eval_options o = {.layout = w->job.layout,
                                .metrics = "",
                                .limit = LOOK_SAMPLES / 4,
                                .reference = w->graph,
                                .layers = true};
    sqz_eval_result *r;
    SQZ_TRY(sqz_eval_graph(g, w->calib, &o, &r));
    for (uint32_t j = 0; j < r->n_layer; j++)
        for (uint32_t i = 0; i < m->n; i++)
            if (r->layer[j].id == m->layer[i].node)
                m->layer[i].proxy[k] = pow(10.0, -r->layer[j].own_db / 10.0);
    sqz_eval_free(w->ctx, r);
    return SQZ_OK;
}

static sqz_status measure_one(sqz_mix *m, uint32_t i, unsigned k, int *of,
                              const sqz_eval_result *reference)
{
    sqz_graph *g;
    double d = 0.0;
    of[i] = m->bits[k];
    sqz_status s = make(m, of, &g);
    of[i] = m->bits[0];
    if (s != SQZ_OK)
        return s;
    s = distance(m, g, reference, &d);
    sqz_graph_free(g);
    m->layer[i].loss[k] = fmax(d - m->distance, 0.0);
    return s;
}

static sqz_status measure(sqz_mix *m, int *of, const sqz_eval_result *reference)
{
    const uint64_t total = (uint64_t)m->n * (m->n_bits - 1);
    uint64_t done = 0;
    for (uint32_t i = 0; i < m->n; i++)
        of[i] = m->bits[0];
    for (uint32_t i = 0; i < m->n; i++)
        for (unsigned k = 1; k < m->n_bits; k++) {
            SQZ_TRY(measure_one(m, i, k, of, reference));
            if (!sqz_progress(m->f->w->ctx, "sensitivity", ++done, total))
                return sqz_fail(m->f->w->ctx, SQZ_E_ARG, "stopped");
        }
    m->measured = true;
    return SQZ_OK;
}

static void use_proxies(sqz_mix *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        for (unsigned k = 1; k < m->n_bits; k++)
            m->layer[i].loss[k] = fmax(m->layer[i].proxy[k] - m->layer[i].proxy[0], 0.0);
}

/* More bits never lose more: what measuring says otherwise is noise. */
static void smooth(sqz_mix *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        for (unsigned k = 1; k < m->n_bits; k++)
            m->layer[i].loss[k] = fmax(m->layer[i].loss[k], m->layer[i].loss[k - 1]);
}

/* ---- all of it ---- */

static sqz_status uniform(sqz_mix *m, unsigned k, int *of, const sqz_eval_result *reference)
{
    sqz_graph *g;
    for (uint32_t i = 0; i < m->n; i++)
        of[i] = m->bits[k];
    SQZ_TRY(make(m, of, &g));
    sqz_status s = add_costs(m, g, k);
    if (s == SQZ_OK)
        s = add_proxies(m, g, k);
    if (s == SQZ_OK && k == 0)
        s = distance(m, g, reference, &m->distance);
    sqz_graph_free(g);
    return s;
}

static sqz_status look(sqz_mix *m, const sqz_eval_result *reference)
{
    sqz_graph *g;
    SQZ_TRY(sqz_work_quantized(m->f->w, &m->base, NULL, &g));
    sqz_status s = find_layers(m, g);
    sqz_graph_free(g);
    SQZ_TRY(s);
    int *of = sqz_arena_alloc(&m->f->arena, m->n + 1u, sizeof *of);
    if (!of)
        return SQZ_E_NOMEM;
    for (unsigned k = 0; k < m->n_bits; k++)
        SQZ_TRY(uniform(m, k, of, reference));
    if ((uint64_t)m->n * (m->n_bits - 1) <= MEASURED_MAX)
        SQZ_TRY(measure(m, of, reference));
    else
        use_proxies(m);
    smooth(m);
    return SQZ_OK;
}

static void choose_bits(sqz_mix *m)
{
    static const int all[SQZ_MIX_BITS] = {8, 4, 3, 2};
    const sqz_device *d = m->f->w->device;
    m->n_bits = d ? (d->numerics.w_s4 ? 2 : 1) : SQZ_MIX_BITS;
    memcpy(m->bits, all, sizeof all);
}

sqz_status sqz_mix_open(sqz_mix *m, sqz_fit_state *f, const sqz_recipe *r)
{
    *m = (sqz_mix){.f = f};
    if (!f->w->calib)
        return sqz_fail(f->w->ctx, SQZ_E_ARG,
                        "bits are chosen by calibration data, and none is given (--data)");
    choose_bits(m);
    SQZ_TRY(sqz_recipe_copy(&f->arena, r, &m->base));
    m->base.after = "";
    SQZ_TRY(sqz_recipe_set(&f->arena, &m->base, "ptq", "weights", "8"));
    const sqz_eval_options o = {
        .layout = f->w->job.layout, .metrics = "", .limit = LOOK_SAMPLES, .keep_outputs = true};
    sqz_eval_result *reference;
    SQZ_TRY(sqz_eval_graph(f->w->graph, f->w->calib, &o, &reference));
    sqz_status s = look(m, reference);
    sqz_eval_free(f->w->ctx, reference);
    return s;
}

/* ---- choosing ---- */

double sqz_mix_bytes(const sqz_mix *m, unsigned k)
{
    double bytes = m->fixed[SQZ_MIX_BYTES];
    for (uint32_t i = 0; i < m->n; i++)
        bytes += m->layer[i].cost[k][SQZ_MIX_BYTES];
    return bytes;
}

static sqz_status solve(sqz_mix *m, const double *limit, sqz_arena *a)
{
    uint32_t *first = sqz_arena_alloc(a, m->n + 1u, sizeof *first);
    sqz_choice *choice = sqz_arena_alloc(a, (size_t)m->n * m->n_bits + 1, sizeof *choice);
    if (!first || !choice)
        return SQZ_E_NOMEM;
    sqz_knapsack k = {.n_group = m->n, .first = first, .choice = choice};
    for (int d = 0; d < SQZ_KNAPSACK_COSTS; d++)
        k.limit[d] = limit[d] - m->fixed[d];
    for (uint32_t i = 0; i <= m->n; i++)
        first[i] = i * m->n_bits;
    for (uint32_t i = 0; i < m->n; i++)
        for (unsigned b = 0; b < m->n_bits; b++) {
            sqz_choice *c = &choice[i * m->n_bits + b];
            c->loss = m->layer[i].loss[b];
            memcpy(c->cost, m->layer[i].cost[b], sizeof c->cost);
        }
    SQZ_TRY(sqz_knapsack_solve(a, &k));
    for (uint32_t i = 0; i < m->n; i++)
        m->layer[i].pick = k.pick[i] - first[i];
    m->loss = k.loss;
    m->bound = k.bound;
    m->feasible = k.feasible;
    return SQZ_OK;
}

sqz_status sqz_mix_choose(sqz_mix *m, const double limit[SQZ_KNAPSACK_COSTS], const sqz_recipe *r,
                          sqz_recipe *out)
{
    sqz_arena a = {.ctx = m->f->w->ctx};
    int *of = sqz_arena_alloc(&a, m->n + 1u, sizeof *of);
    sqz_status s = of ? solve(m, limit, &a) : SQZ_E_NOMEM;
    for (uint32_t i = 0; s == SQZ_OK && i < m->n; i++)
        of[i] = m->bits[m->layer[i].pick];
    if (s == SQZ_OK)
        s = with_bits(m, r, of, out);
    sqz_arena_free(&a);
    return s;
}

typedef struct sqz_mix_choice {
    const sqz_trial *trial;
    unsigned *pick;
    double loss, bound;
    struct sqz_mix_choice *next;
} sqz_mix_choice;

sqz_status sqz_mix_keep(sqz_mix *m, const sqz_trial *t)
{
    sqz_mix_choice *c = sqz_arena_alloc(&m->f->arena, 1, sizeof *c);
    if (!c || !(c->pick = sqz_arena_alloc(&m->f->arena, m->n + 1u, sizeof *c->pick)))
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < m->n; i++)
        c->pick[i] = m->layer[i].pick;
    c->trial = t;
    c->loss = m->loss;
    c->bound = m->bound;
    c->next = m->choices;
    m->choices = c;
    return SQZ_OK;
}

void sqz_mix_recall(sqz_mix *m, const sqz_trial *t)
{
    const sqz_mix_choice *c = m->choices;
    while (c && c->trial != t)
        c = c->next;
    for (uint32_t i = 0; i < m->n; i++)
        m->layer[i].pick = c ? c->pick[i] : 0;
    m->loss = c ? c->loss : 0.0;
    m->bound = c ? c->bound : 0.0;
}

/* ---- report ---- */

static void layer_row(const sqz_mix *m, cJSON *list, const sqz_mix_layer *l)
{
    sqz_report *r = m->f->w->rep;
    const sqz_node *n = sqz_nod(m->f->w->graph, l->node);
    char cell[SQZ_MIX_BITS][32] = {{0}}, bytes[32];
    cJSON *o = sqz_json_object(r, list, NULL);
    sqz_json_str(r, o, "node", n->name);
    sqz_json_num(r, o, "weights", (double)l->weights);
    sqz_json_num(r, o, "bits", m->bits[l->pick]);
    sqz_json_num(r, o, "bytes", l->cost[l->pick][SQZ_MIX_BYTES]);
    cJSON *losses = sqz_json_array(r, o, "losses");
    for (unsigned k = 0; k < m->n_bits; k++) {
        cJSON *one = sqz_json_object(r, losses, NULL);
        sqz_json_num(r, one, "bits", m->bits[k]);
        sqz_json_num(r, one, "loss", l->loss[k]);
        sqz_json_num(r, one, "proxy", l->proxy[k]);
        (void)snprintf(cell[k], sizeof cell[k], "%.3g", l->loss[k]);
    }
    sqz_print_bytes(bytes, (uint64_t)l->cost[l->pick][SQZ_MIX_BYTES]);
    sqz_view_row(r, "%s|%s|%llu|%s|%s|%s|%d|%s", n->name, n->op->info.name,
                 (unsigned long long)l->weights, cell[1], cell[2], cell[3], m->bits[l->pick],
                 bytes);
}

void sqz_describe_mix(const sqz_mix *m)
{
    sqz_report *r = m->f->w->rep;
    cJSON *list = sqz_json_array(r, NULL, "mixed");
    sqz_view_heading(r, "Bits of each layer");
    sqz_view_table(r, "node|operator|>weights|>loss at 4|>at 3|>at 2|>bits|>bytes");
    for (uint32_t i = 0; i < m->n; i++)
        layer_row(m, list, &m->layer[i]);
    double gap = m->loss > 0.0 ? (m->loss - m->bound) / m->loss : 0.0;
    sqz_json_num(r, NULL, "mixed_loss", m->loss);
    sqz_json_num(r, NULL, "mixed_bound", m->bound);
    sqz_view_text(r,
                  "losses are %s; their sum is %.4g, and no choice of bits within the limits has "
                  "less than %.4g (gap %.2f %%)",
                  !m->measured    ? "noise on each layer's output, relative to its signal"
                  : by_classes(m) ? "KL divergences from the float model, measured"
                                  : "noise on the outputs, relative to the signal, measured",
                  m->loss, m->bound, 100.0 * gap);
}
