/* runner.c: streams a data set through one or two graphs. Memory: one batch. */
#include "eval/runner.h"
#include <string.h>

typedef struct side { /* one graph at one batch size */
    const sqz_graph *g;
    sqz_exec *exec;
    sqz_arena arena;
    sqz_feeds feeds;
    void **in; /* one for each input */
    float *out;
    sqz_tensor whole; /* output 0 in its own type, where that is not float32 */
    size_t row;
} side;

typedef struct work {
    sqz_runner *r;
    side a, b;
    float *data, *label;
    int64_t batch;
    bool fixed; /* the graph runs only this batch: a shorter last one is padded */
} work;

static void close_side(sqz_ctx *ctx, side *s, sqz_profile *profile)
{
    if (profile && s->exec)
        sqz_profile_add(profile, s->g, s->exec);
    sqz_exec_free(s->exec);
    if (s->in)
        sqz_feeds_free(&s->feeds, s->in);
    sqz_free_aligned(ctx, s->out);
    sqz_tensor_free(ctx, &s->whole);
    sqz_arena_free(&s->arena);
    s->exec = NULL;
    s->in = NULL;
    s->out = NULL;
}

static sqz_status check_graph(sqz_ctx *ctx, const sqz_graph *g)
{
    if (g->n_output < 1)
        return sqz_fail(ctx, SQZ_E_FORMAT, "the model has no output");
    return SQZ_OK;
}

static sqz_status open_side(work *w, side *s, const sqz_graph *g, int64_t batch)
{
    sqz_ctx *ctx = g->ctx;
    const sqz_exec_options eo = {.keep_all = w->r->keep_all,
                                 .time_nodes = w->r->profile && s == &w->a};
    size_t count, out_bytes;
    s->g = g;
    s->arena.ctx = ctx;
    SQZ_TRY(check_graph(ctx, g));
    SQZ_TRY(sqz_feeds_plan(&s->arena, w->r->ds, g, w->r->layout, &s->feeds));
    SQZ_TRY(sqz_exec_create(g, batch, &eo, &s->exec));
    sqz_shape in = sqz_val(g, g->input[0])->shape, out = sqz_val(g, g->output[0])->shape;
    int64_t own = in.rank ? in.dim[0] : 1;
    SQZ_TRY(sqz_shape_count(ctx, &out, SQZ_F32, &count, &out_bytes));
    s->row = count / (size_t)SQZ_MAX(own, 1);
    size_t scale = (size_t)(batch / SQZ_MAX(own, 1)), n_out;
    if (!sqz_mul(out_bytes, scale, &n_out))
        return sqz_fail(ctx, SQZ_E_LIMIT, "batch %lld is too large", (long long)batch);
    s->out = sqz_malloc_aligned(ctx, n_out);
    const sqz_shape all = {1, {(int64_t)(n_out / sizeof(float))}};
    if (sqz_val(g, g->output[0])->dtype != SQZ_F32)
        SQZ_TRY(sqz_tensor_alloc(ctx, sqz_val(g, g->output[0])->dtype, &all, &s->whole));
    s->in = sqz_arena_alloc(&s->arena, s->feeds.n, sizeof *s->in);
    return s->in && s->out ? sqz_feeds_memory(&s->feeds, batch, s->in) : SQZ_E_NOMEM;
}

/* Output 0 as real numbers: codes by their grid. */
static void widen_output(side *s)
{
    const sqz_quant *q = sqz_val(s->g, s->g->output[0])->quant;
    for (size_t i = 0; i < s->whole.count; i++) {
        double v = sqz_tensor_f64(&s->whole, i);
        s->out[i] = (float)(q && q->n == 1 ? (double)q->scale[0] * (v - q->zero[0]) : v);
    }
}

/* Every other output needs memory as well, though nobody looks at it. */
static sqz_status run_side(side *s, const float *data, int64_t n)
{
    sqz_ctx *ctx = s->g->ctx;
    SQZ_TRY(sqz_feeds_apply(&s->feeds, n, data, s->in));
    sqz_arena a = {.ctx = ctx};
    void **out = sqz_arena_alloc(&a, s->g->n_output, sizeof *out);
    sqz_status st = out ? SQZ_OK : SQZ_E_NOMEM;
    if (out)
        out[0] = s->whole.own ? s->whole.data : (void *)s->out;
    for (uint32_t i = 1; st == SQZ_OK && i < s->g->n_output; i++) {
        const sqz_value *v = sqz_val(s->g, s->g->output[i]);
        size_t count, bytes;
        st = sqz_shape_count(ctx, &v->shape, v->dtype, &count, &bytes);
        if (st == SQZ_OK && !(out[i] = sqz_arena_alloc(&a, bytes + 1, (size_t)n)))
            st = SQZ_E_NOMEM;
    }
    if (st == SQZ_OK)
        st = sqz_exec_run(s->exec, (const void *const *)s->in, out);
    if (st == SQZ_OK && s->whole.own)
        widen_output(s);
    sqz_arena_free(&a);
    return st;
}

/* Largest power of two whose activations stay around 32 MiB: large enough to amortise a call, small
 * enough for caches. Depends on shapes only, so results do not depend on the machine. */
static sqz_status choose_batch(work *w)
{
    sqz_runner *r = w->r;
    size_t per_sample = 1;
    for (sqz_vid v = 0; v < r->graph->n_value; v++) {
        const sqz_value *val = sqz_val(r->graph, v);
        size_t count, bytes;
        if (val->constant ||
            sqz_shape_count(r->graph->ctx, &val->shape, val->dtype, &count, &bytes) != SQZ_OK)
            continue;
        per_sample = r->keep_all ? per_sample + bytes : SQZ_MAX(per_sample, 3 * bytes);
    }
    int64_t wanted = 1;
    while (wanted < 128 && (size_t)wanted * 2 * per_sample <= ((size_t)32 << 20))
        wanted *= 2;
    if (r->batch > 0)
        wanted = r->batch;
    SQZ_TRY(sqz_graph_max_batch(r->graph, wanted, &w->batch));
    if (r->reference) {
        int64_t other;
        SQZ_TRY(sqz_graph_max_batch(r->reference, w->batch, &other));
        if (other < w->batch)
            SQZ_TRY(sqz_graph_max_batch(r->graph, other, &w->batch));
        if (other != w->batch)
            return sqz_fail(r->graph->ctx, SQZ_E_UNSUPPORTED,
                            "model and reference run batches of %lld and %lld only",
                            (long long)w->batch, (long long)other);
    }
    w->fixed = w->batch > 1 && w->batch != wanted;
    return SQZ_OK;
}

static sqz_status open_sides(work *w, int64_t batch)
{
    sqz_runner *r = w->r;
    SQZ_TRY(open_side(w, &w->a, r->graph, batch));
    r->row = w->a.row;
    if (!r->reference)
        return SQZ_OK;
    SQZ_TRY(open_side(w, &w->b, r->reference, batch));
    if (w->b.row != w->a.row)
        return sqz_fail(r->graph->ctx, SQZ_E_SHAPE,
                        "the model gives %zu numbers a sample, the reference %zu", w->a.row,
                        w->b.row);
    return SQZ_OK;
}

static sqz_status step(work *w, int64_t first, int64_t n)
{
    sqz_runner *r = w->r;
    size_t elements = w->a.feeds.elements;
    SQZ_TRY(sqz_data_read(r->ds, first, n, w->data, w->label));
    for (int64_t i = n; w->fixed && i < w->batch; i++) /* pad with the last sample */
        memcpy(w->data + (size_t)i * elements, w->data + (size_t)(n - 1) * elements,
               elements * sizeof(float));
    int64_t fed = w->fixed ? w->batch : n;
    double start = sqz_now();
    SQZ_TRY(run_side(&w->a, w->data, fed));
    r->seconds += sqz_now() - start;
    if (r->profile) {
        r->profile->samples += fed;
        r->profile->runs++;
    }
    if (r->reference)
        SQZ_TRY(run_side(&w->b, w->data, fed));
    const sqz_runner_batch b = {.first = first,
                                .n = n,
                                .data = w->data,
                                .label = w->label,
                                .output = w->a.out,
                                .reference = r->reference ? w->b.out
                                             : r->reference_output
                                                 ? r->reference_output + (size_t)first * r->row
                                                 : NULL,
                                .exec = w->a.exec,
                                .reference_exec = w->b.exec};
    return r->see(r->user, &b);
}

static sqz_status run(work *w)
{
    sqz_runner *r = w->r;
    sqz_ctx *ctx = r->graph->ctx;
    int64_t total = r->limit > 0 ? SQZ_MIN(r->limit, r->ds->n) : r->ds->n;
    if (total < 1)
        return sqz_fail(ctx, SQZ_E_FORMAT, "'%s' has no samples", r->ds->path);
    SQZ_TRY(check_graph(ctx, r->graph));
    SQZ_TRY(choose_batch(w));
    if (!w->fixed && w->batch > total)
        w->batch = total;
    SQZ_TRY(open_sides(w, w->batch));
    size_t bytes, label_count = 1, unused;
    if (r->ds->has_labels)
        SQZ_TRY(sqz_shape_count(ctx, &r->ds->label_shape, SQZ_F32, &label_count, &unused));
    if (!sqz_mul(w->a.feeds.elements * sizeof(float), (size_t)w->batch, &bytes))
        return sqz_fail(ctx, SQZ_E_LIMIT, "batch %lld is too large", (long long)w->batch);
    w->data = sqz_malloc(ctx, bytes);
    w->label = r->ds->has_labels
                   ? sqz_calloc(ctx, (size_t)w->batch * SQZ_MAX(label_count, 1), sizeof(float))
                   : NULL;
    if (!w->data || (r->ds->has_labels && !w->label))
        return SQZ_E_NOMEM;
    for (int64_t first = 0; first < total; first += w->batch) {
        int64_t n = SQZ_MIN(w->batch, total - first);
        if (n < w->batch && !w->fixed) { /* the rest gets an executor of its size */
            close_side(ctx, &w->a, r->profile);
            close_side(ctx, &w->b, NULL);
            SQZ_TRY(open_sides(w, n));
        }
        SQZ_TRY(step(w, first, n));
        r->samples = first + n;
        if (!sqz_progress(ctx, r->what, (uint64_t)r->samples, (uint64_t)total))
            return sqz_fail(ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

sqz_status sqz_runner_run(sqz_runner *r)
{
    work w = {.r = r};
    sqz_ctx *ctx = r->graph->ctx;
    sqz_status s = run(&w);
    close_side(ctx, &w.a, r->profile);
    close_side(ctx, &w.b, NULL);
    sqz_free(ctx, w.data);
    sqz_free(ctx, w.label);
    return s;
}
