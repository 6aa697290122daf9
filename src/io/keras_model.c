/* keras_model.c: the layers of a Keras model, called in the order in which their inputs are there.
 * A layer that cannot be built goes on the list, and what depends on it is left out. */
#include "io/keras_model.h"
#include <stdio.h>
#include <string.h>

#define ROUNDS 4000 /* through the layers of a model, until all are called */

static const sqz_kval bad = {SQZ_NONE, SQZ_NONE, false, true};

/* ---- one layer ---- */

/* "node 'x' (conv2d): why": the layer says it better. */
static const char *reason(const char *text)
{
    for (int i = 0; i < 3; i++) {
        const char *end = strncmp(text, "node '", 6) == 0 ? strstr(text, "): ") : NULL;
        text = end ? end + 3 : text;
    }
    return text;
}

static void poison(sqz_klayer *l)
{
    l->n_out = SQZ_KERAS_OUTS;
    for (uint32_t i = 0; i < l->n_out; i++)
        l->out[i] = bad;
}

/* What the layer made last gets its name; what had it before is called after its operator. */
static sqz_status name_output(sqz_klayer *l, uint32_t i, uint32_t first_value)
{
    sqz_graph *g = l->k->g;
    sqz_vid v = l->out[i].first != SQZ_NONE ? l->out[i].first : l->out[i].plain;
    if (v == SQZ_NONE || v < first_value || sqz_val(g, v)->producer == SQZ_NONE)
        return SQZ_OK;
    const char *name = i ? sqz_arena_printf(&l->k->arena, "%s:%u", l->label, i) : l->label;
    if (!name)
        return SQZ_E_NOMEM;
    if (strcmp(sqz_val(g, v)->name, name) == 0)
        return SQZ_OK;
    sqz_vid holder = sqz_graph_find(g, name);
    if (holder != SQZ_NONE) {
        const sqz_value *h = sqz_val(g, holder);
        if (h->producer == SQZ_NONE)
            return SQZ_OK;
        const char *other = sqz_arena_printf(&l->k->arena, "%s/%s", name,
                                             sqz_nod(g, h->producer)->op->info.name);
        if (!other)
            return SQZ_E_NOMEM;
        if (sqz_graph_find(g, other) != SQZ_NONE)
            return SQZ_OK;
        SQZ_TRY(sqz_graph_rename(g, holder, other));
    }
    return sqz_graph_rename(g, v, name);
}

static sqz_status masks(sqz_klayer *l)
{
    bool masked = false;
    for (uint32_t i = 0; i < l->n_in; i++)
        masked = masked || l->in[i]->masked;
    if (masked && l->cls->mask == SQZ_K_MASK_USE)
        sqz_keras_fail(
            l, SQZ_E_UNSUPPORTED,
            "a mask reaches it (mask_zero of Embedding), and steps that are left out are "
            "not supported: train without it, or export to ONNX with tf2onnx");
    return l->status;
}

static sqz_status build(sqz_klayer *l)
{
    uint32_t first = l->k->g->n_value;
    bool masked = l->in[0]->masked;
    SQZ_TRY(masks(l));
    SQZ_TRY(l->cls->build(l));
    SQZ_TRY(l->status);
    for (uint32_t i = 0; i < l->n_out; i++) {
        SQZ_TRY(name_output(l, i, first));
        if (l->cls->mask == SQZ_K_MASK_PASS)
            l->out[i].masked = l->out[i].masked || masked;
    }
    return l->n_out ? SQZ_OK : sqz_fail(l->k->ctx, SQZ_E_INTERNAL, "it made no output");
}

static void refuse(sqz_klayer *l, sqz_status s)
{
    if (!l->refused) {
        char why[sizeof l->k->ctx->error];
        (void)snprintf(why, sizeof why, "%s", reason(l->k->ctx->error));
        sqz_refuse(&l->k->no, s, "layer '%.100s' (%.60s): %s", l->name, l->type, why);
    }
    l->refused = true;
    poison(l);
}

sqz_status sqz_keras_call(sqz_klayer *l) /* NOLINT(misc-no-recursion): the JSON bounds the depth */
{
    uint32_t call = l->calls++;
    bool poisoned = l->n_in == 0;
    l->label = call ? sqz_arena_printf(&l->k->arena, "%s_%u", l->name, call) : l->name;
    l->status = SQZ_OK;
    l->n_out = l->at_made = 0;
    for (uint32_t i = 0; i < SQZ_KERAS_OUTS; i++)
        l->out[i] = bad;
    if (!l->label)
        return SQZ_E_NOMEM;
    if (l->model && l->model->n_output > SQZ_KERAS_OUTS)
        return sqz_fail(l->k->ctx, SQZ_E_LIMIT, "layer '%.100s': a model of %u outputs, at most %d",
                        l->name, l->model->n_output, SQZ_KERAS_OUTS);
    if (l->model)
        return sqz_keras_run_model(l->k, l->model, l->in, l->n_in, l->out, &l->n_out);
    for (uint32_t i = 0; i < l->n_in; i++)
        poisoned = poisoned || l->in[i]->bad;
    if (l->n_in == 0 && !l->refused) {
        (void)sqz_fail(l->k->ctx, SQZ_E_FORMAT, "it has no input");
        refuse(l, SQZ_E_FORMAT);
    }
    if (poisoned || l->refused || !l->cls) {
        poison(l);
        return SQZ_OK;
    }
    sqz_status s = build(l);
    if (s != SQZ_OK && s != SQZ_E_NOMEM) {
        refuse(l, s);
        s = SQZ_OK;
    }
    return s;
}

/* ---- models ---- */

/* The branches of a Merge at the begin of a model, each on its share of the inputs. */
static sqz_status run_branches(sqz_klayer *l, sqz_kval *const *in, uint32_t n_in) /* NOLINT */
{
    sqz_keras *k = l->k;
    sqz_kval *all = sqz_arena_alloc(&k->arena, (size_t)l->n_branch * SQZ_KERAS_OUTS, sizeof *all);
    l->in = sqz_arena_alloc(&k->arena, l->n_branch, sizeof *l->in);
    if (!all || !l->in)
        return SQZ_E_NOMEM;
    uint32_t at = 0;
    for (uint32_t i = 0; i < l->n_branch; i++) {
        sqz_kmodel *m = l->branch[i].model;
        uint32_t n = sqz_keras_n_inputs(m), outs = 0;
        if (n > n_in - at || m->n_output > SQZ_KERAS_OUTS)
            return sqz_fail(k->ctx, SQZ_E_FORMAT, "a branch of layer '%.100s' has no input",
                            l->name);
        l->in[i] = all + (size_t)i * SQZ_KERAS_OUTS;
        SQZ_TRY(sqz_keras_run_model(k, m, in + at, n, l->in[i], &outs));
        at += n;
    }
    l->n_in = l->n_branch;
    return SQZ_OK;
}

static sqz_status run_sequential(sqz_keras *k, sqz_kmodel *m, sqz_kval *const *in, /* NOLINT */
                                 uint32_t n_in, sqz_kval *out, uint32_t *n_out)
{
    sqz_kval *now = *in, **list = sqz_arena_alloc(&k->arena, m->n_layer, sizeof *list);
    if (!list)
        return SQZ_E_NOMEM;
    if (n_in != sqz_keras_n_inputs(m))
        return sqz_fail(k->ctx, SQZ_E_FORMAT, "a Sequential model with %u inputs", n_in);
    for (uint32_t i = 0; i < m->n_layer; i++) {
        sqz_klayer *l = &m->layer[i];
        list[i] = now;
        l->in = &list[i];
        l->n_in = 1;
        if (l->n_branch && i == 0)
            SQZ_TRY(run_branches(l, in, n_in));
        SQZ_TRY(sqz_keras_call(l));
        now = sqz_arena_alloc(&k->arena, SQZ_KERAS_OUTS, sizeof *now);
        if (!now)
            return SQZ_E_NOMEM;
        memcpy(now, l->out, sizeof l->out);
        *n_out = l->n_out;
    }
    memcpy(out, now, SQZ_KERAS_OUTS * sizeof *out);
    return SQZ_OK;
}

typedef struct result { /* of one call */
    sqz_kval out[SQZ_KERAS_OUTS];
    uint32_t n;
    bool done;
} result;

static result *result_of(const sqz_kmodel *m, result *const *all, const sqz_kref *r)
{
    return r->node < m->n_call[r->layer] ? &all[r->layer][r->node] : NULL;
}

/* *ready false: an input is not there yet. */
static sqz_status call(sqz_keras *k, sqz_kmodel *m, result **all, uint32_t i,
                       uint32_t c, /* NOLINT */
                       bool *ready)
{
    sqz_klayer *l = &m->layer[i];
    const sqz_kcall *at = &m->call[i][c];
    *ready = false;
    for (uint32_t t = 0; t < at->n_in; t++) {
        const result *r = result_of(m, all, &at->in[t]);
        if (!r)
            return sqz_fail(k->ctx, SQZ_E_FORMAT,
                            "layer '%.100s' takes call %u of '%.100s', which has %u", l->name,
                            at->in[t].node, m->layer[at->in[t].layer].name,
                            m->n_call[at->in[t].layer]);
        if (!r->done)
            return SQZ_OK;
    }
    *ready = true;
    l->in = sqz_arena_alloc(&k->arena, (size_t)at->n_in + 1, sizeof *l->in);
    if (!l->in)
        return SQZ_E_NOMEM;
    l->n_in = at->n_in;
    l->kwargs = at->kwargs;
    l->constant = at->constant;
    for (uint32_t t = 0; t < at->n_in; t++) {
        result *r = result_of(m, all, &at->in[t]);
        if (at->in[t].tensor >= r->n)
            return sqz_fail(k->ctx, SQZ_E_FORMAT,
                            "layer '%.100s' takes output %u of '%.100s', which has %u", l->name,
                            at->in[t].tensor, m->layer[at->in[t].layer].name, r->n);
        l->in[t] = &r->out[at->in[t].tensor];
    }
    SQZ_TRY(sqz_keras_call(l));
    result *r = &all[i][c];
    memcpy(r->out, l->out, sizeof r->out);
    r->n = l->n_out;
    r->done = true;
    return SQZ_OK;
}

/* Round after round, every call whose inputs are there. */
static sqz_status call_all(sqz_keras *k, sqz_kmodel *m,
                           result **all) /* NOLINT(misc-no-recursion) */
{
    for (int round = 0; round < ROUNDS; round++) {
        bool moved = false, left = false;
        for (uint32_t i = 0; i < m->n_layer; i++)
            for (uint32_t c = 0; c < m->n_call[i]; c++) {
                bool ready;
                if (all[i][c].done)
                    continue;
                if (m->call[i][c].n_in == 0) { /* an input that is none of the model's */
                    all[i][c] = (result){.out = {bad}, .n = 1, .done = true};
                    continue;
                }
                SQZ_TRY(call(k, m, all, i, c, &ready));
                moved = moved || ready;
                left = left || !ready;
            }
        if (!left)
            return SQZ_OK;
        if (!moved)
            return sqz_fail(k->ctx, SQZ_E_FORMAT, "layers of the model wait for each other");
    }
    return sqz_fail(k->ctx, SQZ_E_LIMIT, "the order of the layers takes more than %d rounds",
                    ROUNDS);
}

static sqz_status run_functional(sqz_keras *k, sqz_kmodel *m, sqz_kval *const *in, /* NOLINT */
                                 uint32_t n_in, sqz_kval *out, uint32_t *n_out)
{
    result **all = sqz_arena_alloc(&k->arena, m->n_layer, sizeof *all);
    if (!all)
        return SQZ_E_NOMEM;
    if (n_in != m->n_input || m->n_output > UINT16_MAX)
        return sqz_fail(k->ctx, SQZ_E_FORMAT, "a model of %u inputs gets %u", m->n_input, n_in);
    for (uint32_t i = 0; i < m->n_layer; i++) {
        all[i] = sqz_arena_alloc(&k->arena, m->n_call[i], sizeof **all);
        if (!all[i])
            return SQZ_E_NOMEM;
    }
    for (uint32_t i = 0; i < n_in; i++) {
        result *r = result_of(m, all, &m->input[i]);
        if (!r)
            return sqz_fail(k->ctx, SQZ_E_FORMAT, "input %u of a model is no input", i);
        *r = (result){.out = {*in[i]}, .n = 1, .done = true};
    }
    SQZ_TRY(call_all(k, m, all));
    for (uint32_t i = 0; i < m->n_output; i++) {
        result *r = result_of(m, all, &m->output[i]);
        if (!r || m->output[i].tensor >= r->n)
            return sqz_fail(k->ctx, SQZ_E_FORMAT,
                            "output %u of a model is of a call that is not there", i);
        out[i] = r->out[m->output[i].tensor];
    }
    *n_out = m->n_output;
    return SQZ_OK;
}

sqz_status sqz_keras_run_model(sqz_keras *k, sqz_kmodel *m, sqz_kval *const *in, /* NOLINT */
                               uint32_t n_in, sqz_kval *out, uint32_t *n_out)
{
    return m->sequential ? run_sequential(k, m, in, n_in, out, n_out)
                         : run_functional(k, m, in, n_in, out, n_out);
}

/* ---- the outermost model ---- */

static uint32_t same_before(const sqz_kmodel *m, uint32_t i)
{
    uint32_t n = 0;
    for (uint32_t j = 0; j < i; j++)
        n += m->output[j].layer == m->output[i].layer;
    return n;
}

/* Keras calls an output after its layer; a second one of the layer gets a number. */
static const char *output_name(sqz_keras *k, const sqz_kmodel *m, uint32_t i)
{
    if (m->sequential)
        return m->layer[m->n_layer - 1].own;
    const char *own = m->layer[m->output[i].layer].own;
    uint32_t before = same_before(m, i);
    return before ? sqz_arena_printf(&k->arena, "%s_%u", own, before) : own;
}

static sqz_status free_name(sqz_keras *k, const char *name)
{
    sqz_vid holder = sqz_graph_find(k->g, name);
    if (holder == SQZ_NONE)
        return SQZ_OK;
    for (unsigned i = 0; i < 1000; i++) {
        const char *other = sqz_arena_printf(&k->arena, i ? "%s/inner_%u" : "%s/inner", name, i);
        if (!other)
            return SQZ_E_NOMEM;
        if (sqz_graph_find(k->g, other) == SQZ_NONE)
            return sqz_graph_rename(k->g, holder, other);
    }
    return SQZ_OK;
}

static bool is_input(const sqz_graph *g, sqz_vid v)
{
    return sqz_val(g, v)->role != SQZ_ROLE_ACTIVATION || sqz_val(g, v)->producer == SQZ_NONE;
}

static sqz_status add_output(sqz_keras *k, const sqz_kmodel *m, uint32_t i, sqz_kval *v,
                             sqz_vid *list)
{
    sqz_klayer l = {.k = k, .name = "output", .label = "output", .type = "output"};
    const char *name = output_name(k, m, i);
    sqz_vid id = sqz_keras_plain(&l, v);
    SQZ_TRY(l.status);
    bool taken = is_input(k->g, id);
    for (uint32_t j = 0; j < i; j++)
        taken = taken || list[j] == id;
    list[i] = id;
    if (!name)
        return SQZ_E_NOMEM;
    if (strcmp(sqz_val(k->g, id)->name, name) == 0 && !taken)
        return SQZ_OK;
    if (taken && is_input(k->g, id) && strcmp(sqz_val(k->g, id)->name, name) == 0)
        name = sqz_arena_printf(&k->arena, "%s_output", name);
    SQZ_TRY(name ? free_name(k, name) : SQZ_E_NOMEM);
    if (!taken)
        return sqz_graph_rename(k->g, id, name);
    return sqz_graph_node(k->g, sqz_op_find("identity"), name, NULL, &id, 1, &name, 1, SQZ_NONE,
                          &list[i]);
}

static sqz_status outputs(sqz_keras *k, const sqz_kmodel *m, sqz_kval *v, uint32_t n)
{
    sqz_vid *list = sqz_arena_alloc(&k->arena, (size_t)n + 1, sizeof *list);
    if (!list)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        SQZ_TRY(add_output(k, m, i, &v[i], list));
    return sqz_graph_set_outputs(k->g, list, n);
}

sqz_status sqz_keras_model(sqz_keras *k)
{
    sqz_kmodel *m;
    sqz_kval *in;
    uint32_t n_in, n_out = 0;
    SQZ_TRY(sqz_keras_parse_model(k, k->root, "", NULL, &m));
    SQZ_TRY(sqz_keras_inputs(k, m, &in, &n_in));
    sqz_kval **list = sqz_arena_alloc(&k->arena, n_in, sizeof *list);
    sqz_kval *out = sqz_arena_alloc(&k->arena, SQZ_MAX(SQZ_KERAS_OUTS, m->n_output), sizeof *out);
    if (!list || !out)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < n_in; i++)
        list[i] = &in[i];
    SQZ_TRY(sqz_keras_run_model(k, m, list, n_in, out, &n_out));
    if (k->no.n)
        return k->no.lines->status;
    for (uint32_t i = 0; i < n_out; i++)
        if (out[i].bad)
            return sqz_fail(k->ctx, SQZ_E_FORMAT, "output %u of the model is not made by it", i);
    SQZ_TRY(outputs(k, m, out, n_out));
    k->g->batch_free = !k->batch_bound;
    return SQZ_OK;
}
