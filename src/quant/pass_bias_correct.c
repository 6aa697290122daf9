/* bias_correct: biases that make the mean of every output channel what it is in the float network,
 * layer by layer behind layers that are corrected already (Nagel et al. 2019, "Data-free
 * quantization through weight equalization and bias correction", the empirical form). With
 * y = W x + b the means of the inputs are all that is needed: b~ = b + W E[x] - W~ E[x^]. */
#include "quant/refine.h"
#include <math.h>
#include <stdio.h>

typedef struct options {
    int64_t samples, patches;
} options;

typedef struct tally {
    uint32_t sites, none;
    size_t capped;
    const char *first_none;
} tally;

static sqz_status correct(sqz_graph *g, const sqz_graph *reference, sqz_flow *f, sqz_site *s,
                          const options *o, tally *t)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_site_moments m;
    size_t capped = 0;
    const sqz_moment_options mo = {.patches = (uint64_t)o->patches, .means_only = true};
    float *w = sqz_arena_alloc(&a, s->rows * s->cols, sizeof *w);
    sqz_status st = w ? sqz_flow_advance(f, s->node) : SQZ_E_NOMEM;
    if (st == SQZ_OK)
        st = sqz_site_weights(reference, s, w);
    if (st == SQZ_OK)
        st = sqz_site_measure(f, s, w, &mo, &a, &m);
    if (st == SQZ_OK)
        st = sqz_site_mend_bias(g, reference, s, &m, &a, &capped);
    sqz_arena_free(&a);
    t->sites++;
    t->capped += capped;
    return st;
}

static sqz_status walk(sqz_graph *g, const sqz_graph *reference, sqz_flow *f, const options *o,
                       sqz_arena *a, tally *t)
{
    sqz_site *list;
    uint32_t n;
    SQZ_TRY(sqz_sites(reference, g, a, &list, &n));
    for (uint32_t i = 0; i < n; i++) {
        const sqz_node *nd = sqz_nod(g, list[i].node);
        if (list[i].bias_slot)
            SQZ_TRY(sqz_note(g->ctx, correct(g, reference, f, &list[i], o, t), "node '%s' (%s)",
                             nd->name, nd->op->info.name));
        else if (t->none++ == 0)
            t->first_none = nd->name;
        if (!sqz_progress(g->ctx, "bias_correct", i + 1, n))
            return sqz_fail(g->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

static void say(const sqz_graph *g, const sqz_env *env, const tally *t)
{
    char text[256];
    int n = snprintf(text, sizeof text, "bias_correct: biases of %u layers", (unsigned)t->sites);
    if (t->capped)
        n += snprintf(text + n, sizeof text - (size_t)n, "; %zu are cut at 2^30 steps", t->capped);
    if (t->none)
        (void)snprintf(text + n, sizeof text - (size_t)n, "; %u layers take none (first: %.60s)",
                       (unsigned)t->none, t->first_none);
    SQZ_INFO(g->ctx, "%s", text);
    if (env->notes && (t->capped || t->none)) {
        sqz_str_add(env->notes, text);
        sqz_str_add(env->notes, "\n");
    }
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const options *o = opts;
    const sqz_graph *reference;
    sqz_arena a = {.ctx = g->ctx};
    sqz_flow *f;
    tally t = {0};
    SQZ_TRY(sqz_sites_ready(g, env, "bias_correct", &reference));
    const sqz_flow_options fo = {
        .ds = env->calib, .layout = env->layout, .samples = o->samples ? o->samples : env->samples};
    SQZ_TRY(sqz_flow_open(reference, g, &fo, &f));
    sqz_status s = walk(g, reference, f, o, &a, &t);
    if (s == SQZ_OK)
        say(g, env, &t);
    sqz_flow_close(f);
    sqz_arena_free(&a);
    return s;
}

static const sqz_attr schema[] = {
    {.name = "samples",
     .offset = offsetof(options, samples),
     .type = SQZ_A_INT,
     .max = 9007199254740992.0,
     .doc = "calibration samples to look at; 0: as the job says, else 512"},
    {.name = "patches",
     .offset = offsetof(options, patches),
     .type = SQZ_A_INT,
     .max = 9007199254740992.0,
     .doc = "positions of each layer to look at; 0: all"},
};

const sqz_pass sqz_pass_bias_correct = {
    .info = {.name = "bias_correct",
             .doc = "biases that keep the means of the float network, from data",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_QUANT,
    .run = run,
};
