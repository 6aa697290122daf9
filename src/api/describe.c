/* describe.c: sections that reports share. */
#include "api/work.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- numbers for people ---- */
static void scaled(char out[32], double v, const char *const unit[4])
{
    if (!(v > 0.0)) {
        (void)snprintf(out, 32, "0");
        return;
    }
    int k = v >= 1.0 ? 0 : v >= 1e-3 ? 1 : v >= 1e-6 ? 2 : 3;
    double shown = v * (k == 0 ? 1.0 : k == 1 ? 1e3 : k == 2 ? 1e6 : 1e9);
    (void)snprintf(out, 32,
                   shown >= 100  ? "%.0f %s"
                   : shown >= 10 ? "%.1f %s"
                                 : "%.2f %s",
                   shown, unit[k]);
}
void sqz_print_seconds(char out[32], double s)
{
    static const char *const unit[4] = {"s", "ms", "us", "ns"};
    scaled(out, s, unit);
}
void sqz_print_joules(char out[32], double j)
{
    static const char *const unit[4] = {"J", "mJ", "uJ", "nJ"};
    scaled(out, j, unit);
}
void sqz_print_metric(char out[48], const sqz_metric *m, double v)
{
    if (isnan(v))
        (void)snprintf(out, 48, "-");
    else if (m && m->fraction)
        (void)snprintf(out, 48, "%.2f %%", 100.0 * v);
    else
        (void)snprintf(out, 48, "%.5g", v);
}
static void print_limit_value(char out[48], const char *unit, const char *what, double v)
{
    char text[32];
    if (isnan(v))
        (void)snprintf(text, sizeof text, "-");
    else if (strcmp(unit, "nodes") == 0)
        (void)snprintf(text, sizeof text, "%.0f refused", v);
    else if (strcmp(unit, "B") == 0)
        sqz_print_bytes(text, v > 0.0 ? (uint64_t)ceil(v) : 0);
    else if (strcmp(unit, "s") == 0)
        sqz_print_seconds(text, v);
    else if (strcmp(unit, "J") == 0)
        sqz_print_joules(text, v);
    else if (strcmp(unit, "fraction") == 0)
        (void)snprintf(text, sizeof text, "%.2f %s", 100.0 * v, strstr(what, "drop") ? "pp" : "%");
    else
        (void)snprintf(text, sizeof text, "%.0f", v);
    (void)snprintf(out, 48, "%s", text);
}

/* ---- model ---- */
void sqz_describe_model(sqz_work *w, const char *key, const sqz_graph *g, double bytes)
{
    sqz_report *r = w->rep;
    uint64_t macs = 0, parameters = 0;
    uint32_t nodes = 0;
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (sqz_val(g, v)->constant)
            parameters += sqz_val(g, v)->constant->count;
    SQZ_EACH_NODE(g, id)
    {
        sqz_cost c;
        sqz_node_cost(g, sqz_nod(g, id), &c);
        macs += c.macs;
        nodes++;
    }
    cJSON *m = sqz_json_object(r, NULL, key);
    sqz_json_str(r, m, "path", w->job.model);
    sqz_json_num(r, m, "file_bytes", bytes);
    sqz_json_str(r, m, "sha256", w->source.sha256);
    sqz_json_num(r, m, "nodes", nodes);
    sqz_json_num(r, m, "parameters", (double)parameters);
    sqz_json_num(r, m, "macs", (double)macs);
    char size[32];
    sqz_print_bytes(size, (uint64_t)bytes);
    sqz_view_text(r, "%s: %u nodes, %llu parameters, %.3f M MACs, file %s",
                  w->job.model ? w->job.model : "model", (unsigned)nodes,
                  (unsigned long long)parameters, (double)macs / 1e6, size);
}

/* ---- device ---- */
void sqz_describe_estimate(sqz_work *w, const char *key, const sqz_estimate *e)
{
    sqz_report *r = w->rep;
    cJSON *o = sqz_json_object(r, NULL, key);
    sqz_json_str(r, o, "device", w->device->name);
    sqz_json_str(r, o, "kind", "estimated");
    sqz_json_num(r, o, "flash", e->flash);
    sqz_json_num(r, o, "ram", e->ram);
    sqz_json_num(r, o, "latency", e->latency);
    sqz_json_num(r, o, "latency_error", e->latency_error);
    sqz_json_num(r, o, "energy", e->energy);
    sqz_json_num(r, o, "weight_bytes", e->weight_bytes);
    sqz_json_num(r, o, "arena_bytes", e->arena_bytes);
    sqz_json_num(r, o, "macs", (double)e->macs);
    sqz_json_num(r, o, "parameters", (double)e->parameters);
    cJSON *refused = sqz_json_array(r, o, "refused");
    for (uint32_t i = 0; i < e->n_refused; i++)
        sqz_json_str(r, refused, NULL, e->refused[i]);
    char flash[32], ram[32], latency[32], energy[32];
    sqz_print_bytes(flash, (uint64_t)ceil(e->flash));
    sqz_print_bytes(ram, (uint64_t)ceil(e->ram));
    sqz_print_seconds(latency, e->latency);
    if (e->energy > 0.0)
        sqz_print_joules(energy, e->energy);
    else /* the profile states no power */
        (void)snprintf(energy, sizeof energy, "unknown");
    sqz_view_text(r, "on %s (estimated): flash %s, RAM %s, latency %s (error %.0f %%), energy %s",
                  w->device->name, flash, ram, latency, 100.0 * e->latency_error, energy);
}

unsigned sqz_describe_limits(sqz_work *w, const char *key, sqz_estimate *e, double accuracy,
                             double reference)
{
    static const char *const word[] = {"not asked", "holds", "broken"};
    sqz_report *r = w->rep;
    sqz_limit_result row[8];
    unsigned n = 0, broken = 0;
    sqz_limits_check(w->device, e, accuracy, reference, row, &n);
    cJSON *list = sqz_json_array(r, NULL, key);
    sqz_view_table(r, "limit|>value|>allowed|margin|verdict|");
    for (unsigned i = 0; i < n; i++) {
        cJSON *o = sqz_json_object(r, list, NULL);
        char value[48], limit[48] = "", margin[16] = "";
        sqz_json_str(r, o, "what", row[i].what);
        sqz_json_str(r, o, "unit", row[i].unit);
        sqz_json_num(r, o, "value", row[i].value);
        sqz_json_num(r, o, "limit", row[i].limit);
        sqz_json_num(r, o, "margin", row[i].margin);
        sqz_json_str(r, o, "verdict", word[row[i].verdict]);
        sqz_json_str(r, o, "why", row[i].why);
        print_limit_value(value, row[i].unit, row[i].what, row[i].value);
        if (row[i].verdict != SQZ_V_NOT_ASKED)
            print_limit_value(limit, row[i].unit, row[i].what, row[i].limit);
        if (row[i].margin > 0.0)
            (void)snprintf(margin, sizeof margin, "%.0f %%", 100.0 * row[i].margin);
        sqz_view_row(r, "%s|%s|%s|%s|%s|%s", row[i].what, value, limit, margin,
                     word[row[i].verdict], row[i].why ? row[i].why : "");
        broken += row[i].verdict == SQZ_V_BROKEN;
    }
    return broken;
}

/* One bar a node: what it costs. */
static cJSON *bar_chart(const char *label, const sqz_graph *g, const sqz_estimate *e, bool time)
{
    cJSON *config = sqz_chart_new("bar"), *series = sqz_chart_series(config, label, SQZ_COLOR_GOOD);
    for (uint32_t i = 0; i < e->n_node; i++)
        sqz_chart_place(config, series, sqz_nod(g, e->node[i].node)->name,
                        time ? 1e3 * e->node[i].seconds : e->node[i].weight_bytes / 1024.0);
    return config;
}

void sqz_describe_nodes(sqz_work *w, const sqz_graph *g, const sqz_estimate *e)
{
    sqz_report *r = w->rep;
    cJSON *list = sqz_json_array(r, NULL, "nodes");
    sqz_view_heading(r, "Nodes");
    sqz_view_table(r, "node|operator|output|type|>MACs|>weights|>live RAM|>latency|>energy");
    for (uint32_t i = 0; i < e->n_node; i++) {
        const sqz_node_estimate *ne = &e->node[i];
        const sqz_node *n = sqz_nod(g, ne->node);
        const sqz_value *y = sqz_val(g, n->out[0]);
        char shape[160], weights[32], live[32], latency[32], energy[32];
        sqz_shape_print(shape, &y->shape);
        sqz_print_bytes(weights, (uint64_t)ne->weight_bytes);
        sqz_print_bytes(live, (uint64_t)ne->live_bytes);
        sqz_print_seconds(latency, ne->seconds);
        sqz_print_joules(energy, ne->joules);
        cJSON *o = sqz_json_object(r, list, NULL);
        sqz_json_str(r, o, "name", n->name);
        sqz_json_str(r, o, "op", n->op->info.name);
        sqz_json_str(r, o, "output", y->name);
        sqz_json_str(r, o, "shape", shape);
        sqz_json_str(r, o, "type", sqz_dtype_name(y->dtype));
        sqz_json_num(r, o, "macs", (double)ne->cost.macs);
        sqz_json_num(r, o, "weight_bytes", ne->weight_bytes);
        sqz_json_num(r, o, "live_bytes", ne->live_bytes);
        sqz_json_num(r, o, "latency", ne->seconds);
        sqz_json_num(r, o, "energy", ne->joules);
        sqz_view_row(r, "%s|%s|%s|%s|%llu|%s|%s|%s|%s", n->name, n->op->info.name, shape,
                     sqz_dtype_name(y->dtype), (unsigned long long)ne->cost.macs, weights, live,
                     latency, energy);
    }
    sqz_view_chart(r, "Estimated time of each node, ms", bar_chart("ms", g, e, true));
    sqz_view_chart(r, "Weights of each node, KiB", bar_chart("KiB", g, e, false));
}

/* ---- accuracy ---- */
void sqz_describe_metrics(sqz_work *w, const char *key, const sqz_eval_result *res)
{
    sqz_report *r = w->rep;
    cJSON *o = sqz_json_object(r, NULL, key);
    sqz_json_num(r, o, "samples", (double)res->samples);
    sqz_json_num(r, o, "samples_per_second",
                 res->seconds > 0 ? (double)res->samples / res->seconds : NAN);
    cJSON *list = sqz_json_object(r, o, "metrics");
    sqz_view_table(r, "metric|>value|>standard error|");
    for (unsigned i = 0; i < res->n_metric; i++) {
        const sqz_eval_metric *m = &res->metric[i];
        char value[48], se[48] = "";
        sqz_print_metric(value, m->metric, m->value);
        if (m->se > 0.0)
            sqz_print_metric(se, m->metric, m->se);
        cJSON *one = sqz_json_object(r, list, m->spec);
        sqz_json_num(r, one, "value", m->value);
        sqz_json_num(r, one, "standard_error", m->se > 0.0 ? m->se : NAN);
        sqz_json_bool(r, one, "fraction", m->metric->fraction);
        sqz_view_row(r, "%s|%s|%s|%s", m->spec, value, se, m->metric->info.doc);
    }
    sqz_view_text(r, "%lld samples, measured", (long long)res->samples);
}

void sqz_describe_notes(sqz_work *w)
{
    cJSON *list = sqz_json_array(w->rep, NULL, "notes");
    sqz_arena a = {.ctx = w->ctx};
    char *text = w->notes.len ? sqz_arena_strdup(&a, w->notes.data) : NULL;
    if (text)
        sqz_view_heading(w->rep, "Notes");
    while (text && *text) {
        char *end = strchr(text, '\n');
        if (end)
            *end = '\0';
        sqz_json_str(w->rep, list, NULL, text);
        sqz_view_text(w->rep, "- %s", text);
        text = end ? end + 1 : NULL;
    }
    sqz_arena_free(&a);
}
