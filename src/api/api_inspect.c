/* api_inspect.c: squeeze inspect: what is in a model, and what it would cost on a device. */
#include "api/work.h"
#include <math.h>

static void describe_values(sqz_work *w)
{
    const sqz_graph *g = w->graph;
    sqz_report *r = w->rep;
    cJSON *in = sqz_json_array(r, NULL, "inputs"), *out = sqz_json_array(r, NULL, "outputs");
    for (uint32_t i = 0; i < g->n_input + g->n_output; i++) {
        bool input = i < g->n_input;
        sqz_vid id = input ? g->input[i] : g->output[i - g->n_input];
        const sqz_value *v = sqz_val(g, id);
        const char *name = sqz_value_file_name(g, id);
        char shape[160];
        sqz_shape_print(shape, &v->shape);
        cJSON *o = sqz_json_object(r, input ? in : out, NULL);
        sqz_json_str(r, o, "name", name);
        sqz_json_str(r, o, "type", sqz_dtype_name(v->dtype));
        sqz_json_str(r, o, "shape", shape);
        sqz_json_bool(r, o, "channel_last_inside", v->channel_last);
        sqz_view_text(r, "%s '%s': %s %s%s", input ? "input" : "output", name,
                      sqz_dtype_name(v->dtype), shape,
                      v->channel_last ? " (shown channel-last; the file's is channel-first)" : "");
    }
    sqz_json_bool(r, NULL, "batch_free", g->batch_free);
    sqz_json_num(r, NULL, "opset", (double)g->opset);
    sqz_view_text(r, "made by %s, opset %lld, batch %s",
                  g->producer && *g->producer ? g->producer : "(unknown)", (long long)g->opset,
                  g->batch_free ? "any" : "fixed");
}

static void describe_meta(sqz_work *w)
{
    cJSON *o = sqz_json_object(w->rep, NULL, "metadata");
    for (const sqz_meta *m = w->graph->meta; m; m = m->next) {
        sqz_json_str(w->rep, o, m->key, m->value);
        sqz_view_text(w->rep, "%s = %s", m->key, m->value);
    }
}

/* Without a device: the x86-64 profile gives the operator list and memory, and no verdict. */
static sqz_status inspect(sqz_work *w)
{
    SQZ_TRY(sqz_work_model(w));
    bool asked = w->job.device != NULL;
    if (!asked)
        w->job.device = "x86-64";
    SQZ_TRY(sqz_work_device(w));
    sqz_view_heading(w->rep, "%s", w->job.model);
    sqz_describe_model(w, "model", w->graph, (double)w->source.bytes);
    describe_values(w);
    describe_meta(w);
    sqz_estimate *e;
    SQZ_TRY(sqz_estimate_graph(w->graph, w->device, &e));
    sqz_describe_estimate(w, "estimate", e);
    char arena[32];
    sqz_print_bytes(arena, (uint64_t)e->arena_bytes);
    sqz_view_text(w->rep, "peak of activation memory %s, at node '%s'", arena,
                  e->peak_node ? e->peak_node : "-");
    if (asked)
        (void)sqz_describe_limits(w, "limits", e, NAN, NAN);
    sqz_describe_nodes(w, w->graph, e);
    sqz_estimate_free(w->ctx, e);
    return SQZ_OK;
}

sqz_status sqz_inspect(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "inspect", inspect, out);
}
