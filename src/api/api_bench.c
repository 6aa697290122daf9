/* api_bench.c: squeeze bench: latency of a model on this machine. */
#include "api/work.h"
#include "exec/exec.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
    sqz_arena arena;
    sqz_exec *exec;
    const void **in;
    void **out;
    double *seconds;
    int64_t n, cap;
    uint64_t macs; /* of one sample */
} bench;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static sqz_status make_io(sqz_work *w, bench *b, int64_t batch)
{
    const sqz_graph *g = w->graph;
    b->in = sqz_arena_alloc(&b->arena, g->n_input + 1u, sizeof *b->in);
    b->out = sqz_arena_alloc(&b->arena, g->n_output + 1u, sizeof *b->out);
    if (!b->in || !b->out)
        return SQZ_E_NOMEM;
    sqz_rng rng = {.seed = w->job.seed};
    for (uint32_t i = 0; i < g->n_input + g->n_output; i++) {
        const sqz_value *v = sqz_val(g, i < g->n_input ? g->input[i] : g->output[i - g->n_input]);
        size_t count, bytes;
        SQZ_TRY(sqz_shape_count(w->ctx, &v->shape, v->dtype, &count, &bytes));
        void *p = sqz_arena_alloc(&b->arena, bytes + 1, (size_t)batch);
        if (!p)
            return SQZ_E_NOMEM;
        for (size_t k = 0; i < g->n_input && v->dtype == SQZ_F32 && k < count * (size_t)batch; k++)
            ((float *)p)[k] = (float)sqz_rng_uniform(&rng);
        if (i < g->n_input)
            b->in[i] = p;
        else
            b->out[i - g->n_input] = p;
    }
    return SQZ_OK;
}

/* Warm-up of a tenth, then `repeat` runs, or as many as two seconds hold. */
static sqz_status measure(sqz_work *w, bench *b)
{
    b->cap = w->job.repeat > 0 ? w->job.repeat : 1000000;
    size_t room = (size_t)SQZ_MIN(b->cap, 1000000);
    b->seconds = sqz_arena_alloc(&b->arena, room, sizeof *b->seconds);
    if (!b->seconds)
        return SQZ_E_NOMEM;
    double begin = sqz_now();
    for (int i = 0; i < 3 || (sqz_now() - begin < 0.2 && i < 1000); i++)
        SQZ_TRY(sqz_exec_run(b->exec, b->in, b->out));
    begin = sqz_now();
    while (b->n < (int64_t)room && (w->job.repeat > 0 || sqz_now() - begin < 2.0 || b->n < 5)) {
        double start = sqz_now();
        SQZ_TRY(sqz_exec_run(b->exec, b->in, b->out));
        b->seconds[b->n++] = sqz_now() - start;
    }
    qsort(b->seconds, (size_t)b->n, sizeof *b->seconds, by_value);
    return SQZ_OK;
}

static void describe(sqz_work *w, const bench *b, int64_t batch, double load_seconds)
{
    double median = b->seconds[b->n / 2], best = b->seconds[0], p90 = b->seconds[b->n * 9 / 10];
    double gops = 2.0 * (double)b->macs * (double)batch / median / 1e9;
    char text[4][32], memory[32];
    sqz_print_seconds(text[0], median);
    sqz_print_seconds(text[1], best);
    sqz_print_seconds(text[2], p90);
    sqz_print_seconds(text[3], load_seconds);
    sqz_print_bytes(memory, sqz_exec_bytes(b->exec));
    sqz_view_table(w->rep,
                   "batch|>runs|>median|>minimum|>90th percentile|>GOP/s|>activations|>load");
    sqz_view_row(w->rep, "%lld|%lld|%s|%s|%s|%.1f|%s|%s", (long long)batch, (long long)b->n,
                 text[0], text[1], text[2], gops, memory, text[3]);
    sqz_json_num(w->rep, NULL, "batch", (double)batch);
    sqz_json_num(w->rep, NULL, "runs", (double)b->n);
    sqz_json_num(w->rep, NULL, "median_seconds", median);
    sqz_json_num(w->rep, NULL, "minimum_seconds", best);
    sqz_json_num(w->rep, NULL, "p90_seconds", p90);
    sqz_json_num(w->rep, NULL, "gops", gops);
    sqz_json_num(w->rep, NULL, "memory_bytes", (double)sqz_exec_bytes(b->exec));
    sqz_json_num(w->rep, NULL, "load_seconds", load_seconds);
    sqz_json_num(w->rep, NULL, "threads", sqz_pool_threads(w->ctx->pool));
}

/* Again with a clock around every node, which the figures above do without. */
static sqz_status profile(sqz_work *w, bench *b, int64_t batch)
{
    const sqz_exec_options o = {.time_nodes = true};
    sqz_profile p;
    sqz_exec *e;
    SQZ_TRY(sqz_profile_new(w->graph, &b->arena, &p));
    SQZ_TRY(sqz_exec_create(w->graph, batch, &o, &e));
    sqz_status s = SQZ_OK;
    for (double begin = sqz_now(); s == SQZ_OK && (p.runs < 3 || sqz_now() - begin < 0.5); p.runs++)
        s = sqz_exec_run(e, b->in, b->out);
    p.samples = p.runs * batch;
    sqz_profile_add(&p, w->graph, e);
    sqz_exec_free(e);
    return s == SQZ_OK ? sqz_describe_profile(w, w->graph, &p) : s;
}

/* The graph is not needed any more, unless it is profiled: its weights go as they are packed. */
static sqz_status make_exec(sqz_work *w, bench *b, int64_t batch)
{
    SQZ_EACH_NODE(w->graph, id)
    {
        sqz_cost c;
        sqz_node_cost(w->graph, sqz_nod(w->graph, id), &c);
        b->macs += c.macs;
    }
    if (w->job.profile)
        return sqz_exec_create(w->graph, batch, NULL, &b->exec);
    sqz_graph *g = w->graph;
    w->graph = NULL;
    return sqz_exec_adopt(g, batch, NULL, &b->exec);
}

static sqz_status run_bench(sqz_work *w)
{
    double start = sqz_now();
    w->source.unhashed = true;
    SQZ_TRY(sqz_work_model(w));
    int64_t batch, wanted = w->job.batch > 0 ? w->job.batch : 1;
    SQZ_TRY(sqz_graph_max_batch(w->graph, wanted, &batch));
    if (batch != wanted)
        return sqz_fail(w->ctx, SQZ_E_UNSUPPORTED, "the model runs batch %lld only, not %lld",
                        (long long)batch, (long long)wanted);
    bench b = {.arena = {.ctx = w->ctx}};
    double loaded = sqz_now() - start;
    sqz_status s = make_io(w, &b, batch);
    start = sqz_now();
    if (s == SQZ_OK)
        s = make_exec(w, &b, batch);
    loaded += sqz_now() - start;
    if (s == SQZ_OK)
        s = measure(w, &b);
    if (s == SQZ_OK)
        describe(w, &b, batch, loaded);
    if (s == SQZ_OK && w->job.profile)
        s = profile(w, &b, batch);
    sqz_exec_free(b.exec);
    sqz_arena_free(&b.arena);
    return s;
}

sqz_status sqz_bench(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "bench", run_bench, out);
}
