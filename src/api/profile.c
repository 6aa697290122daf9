/* profile.c: where the time of a model goes: a line for each node, or for several that run as one.
 */
#include "api/work.h"
#include "exec/exec.h"
#include "kernels/peaks.h"
#include <math.h>
#include <stdio.h>

typedef struct line {              /* of a node that leads: its own and what is fused into it */
    uint64_t macs;                 /* of one sample */
    double weights, read, written; /* bytes: constants once a run, the rest for one sample */
    sqz_nid last;                  /* whose output is that of all */
    sqz_str names, ops;
} line;

typedef struct book {
    sqz_work *w;
    const sqz_graph *g;
    const sqz_profile *p;
    sqz_uses uses;
    line *line;   /* of each node */
    double batch; /* of the graph */
    double total; /* seconds */
    sqz_peaks peak;
} book;

static double bytes_of(const sqz_graph *g, sqz_vid v)
{
    size_t bytes = 0;
    const sqz_value *val = sqz_val(g, v);
    return sqz_shape_count(g->ctx, &val->shape, val->dtype, NULL, &bytes) == SQZ_OK ? (double)bytes
                                                                                    : 0;
}

/* Somebody beside `leader` reads the value. */
static bool leaves(const book *b, sqz_vid v, sqz_nid leader)
{
    for (uint32_t i = b->uses.first[v]; i < b->uses.first[v + 1]; i++)
        if (b->uses.node[i] == SQZ_NONE || b->p->leader[b->uses.node[i]] != leader)
            return true;
    return false;
}

static void count_node(book *b, sqz_nid id)
{
    const sqz_node *n = sqz_nod(b->g, id);
    const sqz_nid leader = b->p->leader[id];
    line *l = &b->line[leader];
    sqz_cost cost;
    sqz_node_cost(b->g, n, &cost);
    l->macs += cost.macs;
    l->last = id;
    sqz_str_addf(&l->names, "%s%s", l->names.len ? " + " : "", n->name);
    sqz_str_addf(&l->ops, "%s%s", l->ops.len ? "+" : "", n->op->info.name);
    for (unsigned k = 0; k < n->n_in; k++) {
        const sqz_value *v = n->in[k] == SQZ_NONE ? NULL : sqz_val(b->g, n->in[k]);
        if (v && v->constant)
            l->weights += bytes_of(b->g, n->in[k]);
        else if (v && (v->producer == SQZ_NONE || b->p->leader[v->producer] != leader))
            l->read += bytes_of(b->g, n->in[k]) / b->batch;
    }
    for (unsigned k = 0; k < n->n_out; k++)
        if (n->out[k] != SQZ_NONE && leaves(b, n->out[k], leader))
            l->written += bytes_of(b->g, n->out[k]) / b->batch;
}

/* A line of the table: leads, and does something. */
static bool counts(const book *b, sqz_nid id)
{
    return b->p->leader[id] == id && b->p->seconds[id] > 0 && sqz_nod(b->g, id)->n_out &&
           !sqz_node_is_view(b->g, sqz_nod(b->g, id));
}

/* Its products are of int8 codes. */
static bool is_integer(const sqz_graph *g, const sqz_node *n)
{
    const sqz_value *x = n->n_in && n->in[0] != SQZ_NONE ? sqz_val(g, n->in[0]) : NULL;
    return x && x->quant && x->dtype == SQZ_S8 && sqz_val(g, n->out[0])->quant;
}

static void describe_line(book *b, cJSON *list, sqz_nid id)
{
    const line *l = &b->line[id];
    const sqz_node *n = sqz_nod(b->g, id);
    const sqz_value *y = sqz_val(b->g, sqz_nod(b->g, l->last)->out[0]);
    const double samples = (double)b->p->samples, runs = (double)b->p->runs;
    const double seconds = b->p->seconds[id], peak = is_integer(b->g, n) ? b->peak.s8 : b->peak.f32;
    const double ops = l->macs ? 2.0 * (double)l->macs * samples / seconds : NAN;
    const double read = l->weights + l->read * samples / runs,
                 written = l->written * samples / runs;
    const double rate = (read + written) * runs / seconds;
    char shape[160], time[32], moved[32], speed[32] = "", share[32] = "";
    sqz_report *r = b->w->rep;
    sqz_shape_print(shape, &y->shape);
    sqz_print_seconds(time, seconds / runs);
    sqz_print_bytes(moved, (uint64_t)(read + written));
    if (l->macs) {
        (void)snprintf(speed, sizeof speed, "%.1f", ops / 1e9);
        (void)snprintf(share, sizeof share, "%.1f %%", 100 * ops / peak);
    }
    cJSON *o = sqz_json_object(r, list, NULL);
    sqz_json_str(r, o, "name", l->names.data);
    sqz_json_str(r, o, "op", l->ops.data);
    sqz_json_str(r, o, "shape", shape);
    sqz_json_str(r, o, "type", is_integer(b->g, n) ? "int8" : sqz_dtype_name(y->dtype));
    sqz_json_num(r, o, "seconds", seconds / runs);
    sqz_json_num(r, o, "share", seconds / b->total);
    sqz_json_num(r, o, "gops", ops / 1e9);
    sqz_json_num(r, o, "of_peak", ops / peak);
    sqz_json_num(r, o, "read_bytes", read);
    sqz_json_num(r, o, "written_bytes", written);
    sqz_json_num(r, o, "gigabytes_per_second", rate / 1e9);
    sqz_view_row(r, "%s|%s|%s|%s|%s|%.1f %%|%s|%s|%s|%.1f", l->names.data, l->ops.data, shape,
                 is_integer(b->g, n) ? "int8" : sqz_dtype_name(y->dtype), time,
                 100 * seconds / b->total, speed, share, moved, rate / 1e9);
}

static void describe_peaks(book *b, cJSON *o)
{
    sqz_report *r = b->w->rep;
    cJSON *peak = sqz_json_object(r, o, "peaks");
    char run[32];
    sqz_json_num(r, o, "samples", (double)b->p->samples);
    sqz_json_num(r, o, "runs", (double)b->p->runs);
    sqz_json_num(r, o, "seconds", b->total / (double)b->p->runs);
    sqz_json_num(r, peak, "float_gops", b->peak.f32 / 1e9);
    sqz_json_num(r, peak, "int8_gops", b->peak.s8 / 1e9);
    sqz_json_num(r, peak, "read_gigabytes_per_second", b->peak.read / 1e9);
    sqz_print_seconds(run, b->total / (double)b->p->runs);
    sqz_view_text(
        r,
        "%s in nodes for a run of %.4g sample%s; this machine, with %d thread%s, measured: "
        "float %.0f GOP/s, int8 %.0f GOP/s, memory %.1f GB/s",
        run, (double)b->p->samples / (double)b->p->runs, b->p->samples == b->p->runs ? "" : "s",
        sqz_pool_threads(b->w->ctx->pool), sqz_pool_threads(b->w->ctx->pool) == 1 ? "" : "s",
        b->peak.f32 / 1e9, b->peak.s8 / 1e9, b->peak.read / 1e9);
}

static void describe_all(book *b)
{
    sqz_report *r = b->w->rep;
    cJSON *o = sqz_json_object(r, NULL, "profile");
    sqz_view_heading(r, "Profile");
    describe_peaks(b, o);
    cJSON *list = sqz_json_array(r, o, "nodes");
    cJSON *time = sqz_chart_new("bar"), *times = sqz_chart_series(time, "us", SQZ_COLOR_GOOD);
    cJSON *peak = sqz_chart_new("bar"), *peaks = sqz_chart_series(peak, "%", SQZ_COLOR_GOOD);
    sqz_view_table(r, "node|operator|output|type|>time|>share|>GOP/s|>of peak|>moved|>GB/s");
    SQZ_EACH_NODE(b->g, id)
    {
        if (!counts(b, id))
            continue;
        const line *l = &b->line[id];
        describe_line(b, list, id);
        sqz_chart_place(time, times, l->names.data, 1e6 * b->p->seconds[id] / (double)b->p->runs);
        if (l->macs)
            sqz_chart_place(peak, peaks, l->names.data,
                            200.0 * (double)l->macs * (double)b->p->samples / b->p->seconds[id] /
                                (is_integer(b->g, sqz_nod(b->g, id)) ? b->peak.s8 : b->peak.f32));
    }
    sqz_view_chart(r, "Time of each node, us", time);
    sqz_view_chart(r, "Share of the machine's peak, %", peak);
}

static sqz_status describe(book *b, sqz_arena *a)
{
    const sqz_graph *g = b->g;
    SQZ_TRY(sqz_uses_build(g, a, &b->uses));
    b->line = sqz_arena_alloc(a, g->n_node + 1u, sizeof *b->line);
    if (!b->line)
        return SQZ_E_NOMEM;
    for (sqz_nid n = 0; n < g->n_node; n++)
        b->line[n].names.ctx = b->line[n].ops.ctx = g->ctx;
    const sqz_value *x = g->n_input ? sqz_val(g, g->input[0]) : NULL;
    b->batch = x && x->shape.rank && x->shape.dim[0] > 0 ? (double)x->shape.dim[0] : 1;
    SQZ_EACH_NODE(g, n)
    {
        count_node(b, n);
        b->total += counts(b, n) ? b->p->seconds[n] : 0;
    }
    SQZ_TRY(sqz_peaks_measure(g->ctx, 0, &b->peak));
    describe_all(b);
    return SQZ_OK;
}

sqz_status sqz_describe_profile(sqz_work *w, const sqz_graph *g, const sqz_profile *p)
{
    sqz_arena a = {.ctx = w->ctx};
    book b = {.w = w, .g = g, .p = p};
    sqz_status s = p->runs ? describe(&b, &a) : SQZ_OK;
    for (sqz_nid n = 0; b.line && n < g->n_node; n++) {
        s = s == SQZ_OK ? b.line[n].names.status : s;
        sqz_str_free(&b.line[n].names);
        sqz_str_free(&b.line[n].ops);
    }
    sqz_arena_free(&a);
    return s;
}
