/* stats.c: runs a graph over a data set and keeps one histogram per float activation.
 *
 * Memory does not grow with the number of samples: a batch of activations, and 64 KiB per value.
 * What is counted is counted sample by sample in their order, so neither batch nor threads change
 * it. When fewer samples are asked for than there are, one is taken from each of as many equal
 * pieces of the set, which may be sorted by class. */
#include "calib/hist.h"
#include "exec/exec.h"
#include <math.h>
#include <string.h>

enum {
    SAMPLES = 512,               /* unless asked otherwise */
    BATCH_MAX = 32,              /* more does not run faster */
    BATCH_BYTES = 64 << 20,      /* of all activations of a batch */
    WORTH_THREADS = 4 * 16384,   /* numbers; fewer are counted at once by the caller */
    PIECE = SQZ_HIST_STRETCH / 4 /* numbers for a thread at a time, at least */
};

typedef struct collector {
    sqz_ctx *ctx;
    const sqz_graph *g;
    sqz_arena *arena; /* of the statistics */
    sqz_stats *s;
    sqz_uses uses;
    uint32_t *item_of;   /* by value; SQZ_NONE: not collected */
    int64_t batch, used; /* samples of a batch; how many of them count */
    bool first;          /* batch */
    sqz_hist_part *part;
    size_t n_part;
    sqz_hist_bins *bins; /* one for each thread */
    int n_bins;
} collector;

/* ---- one value of one batch ---- */

typedef struct job {
    const float *x;
    size_t n, per; /* numbers of a sample, stretches of a sample */
    sqz_scan_f32_fn scan;
    sqz_hist_part *part;
    sqz_hist_bins *bins;
    float reach;   /* to count with; 0: none yet */
    float counted; /* what fits this one is counted already */
} job;

static const float *stretch(const job *j, size_t unit, size_t *n)
{
    size_t from = unit % j->per * SQZ_HIST_STRETCH;
    *n = SQZ_MIN(j->n - from, SQZ_HIST_STRETCH);
    return j->x + unit / j->per * j->n + from;
}

static sqz_hist_pick pick_of(const job *j, size_t unit)
{
    return (sqz_hist_pick){.first = unit % j->per * (SQZ_HIST_STRETCH / SQZ_HIST_BLOCK),
                           .every = sqz_hist_every(j->n)};
}

static sqz_status look(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t u = begin; u < end; u++) {
        size_t n;
        const float *x = stretch(j, u, &n);
        sqz_hist_scan(j->scan, x, n, pick_of(j, u), &j->part[u]);
        if (j->reach > 0.0f && sqz_hist_fits(&j->part[u], j->reach))
            sqz_hist_fill(x, n, &j->part[u], j->reach, pick_of(j, u), &j->bins[sqz_worker_index()]);
    }
    return SQZ_OK;
}

static sqz_status look_again(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t u = begin; u < end; u++) {
        size_t n;
        const float *x = stretch(j, u, &n);
        if (!sqz_hist_fits(&j->part[u], j->counted))
            sqz_hist_fill(x, n, &j->part[u], j->reach, pick_of(j, u), &j->bins[sqz_worker_index()]);
    }
    return SQZ_OK;
}

static void drain(const collector *c, sqz_hist *h, const sqz_hist_part *all)
{
    for (int w = 0; w < c->n_bins; w++)
        sqz_hist_drain(h, all->min, all->max, &c->bins[w]);
}

/* The totals of each sample, in their order. */
static void take_samples(sqz_hist *h, const job *j, size_t samples)
{
    for (size_t k = 0; k < samples; k++) {
        sqz_hist_part sample = j->part[k * j->per];
        for (size_t u = 1; u < j->per; u++)
            sqz_hist_combine(&sample, &j->part[k * j->per + u]);
        sqz_hist_take(h, &sample);
    }
}

/* Nearly always all numbers fit the reach that there is, and are read once. Counting first and then
 * widening gives the same bins as widening first. */
static sqz_status see_in_parallel(collector *c, sqz_hist *h, const float *x, size_t samples,
                                  size_t n)
{
    job j = {.x = x, .n = n, .part = c->part, .bins = c->bins};
    j.scan = c->ctx->kernels->scan_f32;
    sqz_hist_part all = {.min = INFINITY, .max = -INFINITY};
    j.per = (n + SQZ_HIST_STRETCH - 1) / SQZ_HIST_STRETCH;
    j.reach = h->ends_only ? 0.0f : h->reach;
    size_t units = samples * j.per, grain = SQZ_MAX(PIECE / SQZ_MIN(n, PIECE), 1u);
    if (units > c->n_part)
        return sqz_fail(c->ctx, SQZ_E_INTERNAL, "statistics: %zu parts of %zu", units, c->n_part);
    SQZ_TRY(sqz_parallel(c->ctx, units, grain, look, &j));
    for (size_t u = 0; u < units; u++)
        sqz_hist_combine(&all, &j.part[u]);
    if (j.reach > 0.0f)
        drain(c, h, &all);
    take_samples(h, &j, samples);
    if (h->ends_only || sqz_hist_fits(&all, j.reach))
        return SQZ_OK;
    j.counted = j.reach;
    j.reach = h->reach;
    SQZ_TRY(sqz_parallel(c->ctx, units, grain, look_again, &j));
    drain(c, h, &all);
    return SQZ_OK;
}

static sqz_status observe(collector *c, sqz_vid v, const sqz_tensor *t)
{
    uint32_t i = c->item_of[v];
    if (i == SQZ_NONE || t->count == 0)
        return SQZ_OK;
    sqz_hist *h = c->s->item[i].hist;
    const float *x = SQZ_F32P(t);
    bool batched = t->shape.rank > 0 && t->shape.dim[0] % c->batch == 0;
    size_t n = batched ? t->count / (size_t)c->batch : t->count;
    size_t samples = batched ? (size_t)c->used : 1;
    if (!batched && !c->first)
        return SQZ_OK; /* does not depend on the sample: once is enough */
    if (samples * n >= WORTH_THREADS)
        SQZ_TRY(see_in_parallel(c, h, x, samples, n));
    else
        for (size_t k = 0; k < samples; k++)
            sqz_hist_see_by(c->ctx->kernels->scan_f32, h, x + k * n, n);
    if (h->nonfinite)
        return sqz_fail(c->ctx, SQZ_E_FORMAT,
                        "value '%s': %llu of its numbers are not finite (NaN, infinite or above "
                        "1e30) by sample %llu: the data or the model is broken",
                        c->s->item[i].name, (unsigned long long)h->nonfinite,
                        (unsigned long long)(c->s->samples + (uint64_t)c->used));
    return SQZ_OK;
}

/* Inputs too, with node SQZ_NONE. */
static sqz_status hook(void *user, sqz_nid node, sqz_vid value, const sqz_tensor *t)
{
    (void)node;
    return observe(user, value, t);
}

/* ---- which values ---- */

static bool wanted(const sqz_graph *g, sqz_vid v)
{
    return v != SQZ_NONE && sqz_val(g, v)->dtype == SQZ_F32 && !sqz_val(g, v)->constant;
}

/* A clamp alone reads v. */
static bool only_clamped(const collector *c, sqz_vid v)
{
    if (sqz_n_uses(&c->uses, v) != 1 || c->uses.node[c->uses.first[v]] == SQZ_NONE)
        return false;
    const sqz_op *op = sqz_nod(c->g, c->uses.node[c->uses.first[v]])->op;
    return op->traits & SQZ_T_RELU_LIKE && op->quant.kind == SQZ_Q_LUT;
}

static sqz_status add_item(collector *c, sqz_vid v, sqz_vid same_as)
{
    uint32_t i = c->s->n++;
    c->s->item[i].name = sqz_arena_strdup(c->arena, sqz_val(c->g, v)->name);
    c->s->item[i].value = v;
    if (same_as != SQZ_NONE) { /* the same numbers under another shape */
        for (uint32_t k = 0; k < i; k++)
            if (c->s->item[k].value == same_as)
                c->s->item[i].hist = c->s->item[k].hist;
        return c->s->item[i].name ? SQZ_OK : SQZ_E_NOMEM;
    }
    c->s->item[i].hist = sqz_arena_alloc(c->arena, 1, sizeof(sqz_hist));
    if (!c->s->item[i].name || !c->s->item[i].hist)
        return SQZ_E_NOMEM;
    sqz_hist_begin(c->s->item[i].hist);
    c->s->item[i].hist->ends_only = only_clamped(c, v);
    c->item_of[v] = i;
    return SQZ_OK;
}

/* Inputs, then the outputs of the nodes in their order. */
static sqz_status add_items(collector *c, sqz_arena *temp)
{
    const sqz_graph *g = c->g;
    c->item_of = sqz_arena_alloc(temp, g->n_value + 1u, sizeof *c->item_of);
    c->s->item = sqz_arena_alloc(c->arena, g->n_value + 1u, sizeof *c->s->item);
    if (!c->item_of || !c->s->item)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_uses_build(g, temp, &c->uses));
    memset(c->item_of, 0xff, (g->n_value + 1u) * sizeof *c->item_of);
    for (uint32_t i = 0; i < g->n_input; i++)
        if (wanted(g, g->input[i]))
            SQZ_TRY(add_item(c, g->input[i], SQZ_NONE));
    SQZ_EACH_NODE(g, n)
    {
        const sqz_node *nd = sqz_nod(g, n);
        bool view = (nd->op->traits & SQZ_T_VIEW || nd->layout) && wanted(g, nd->in[0]);
        for (unsigned k = 0; k < nd->n_out; k++)
            if (wanted(g, nd->out[k]))
                SQZ_TRY(add_item(c, nd->out[k], view ? nd->in[0] : SQZ_NONE));
    }
    return SQZ_OK;
}

/* ---- batches ---- */

/* Every value has its samples along dimension 0, or does not depend on them: as large as with one
 * sample, or `batch` times along dimension 0. Recurrent networks put time first. */
static sqz_status samples_lead(const collector *c, bool *yes)
{
    sqz_graph *many;
    *yes = true;
    SQZ_TRY(sqz_graph_clone(c->g, &many));
    sqz_status s = sqz_graph_set_batch(many, c->batch);
    for (uint32_t i = 0; s == SQZ_OK && i < c->s->n; i++) {
        const sqz_shape *one = &sqz_val(c->g, c->s->item[i].value)->shape;
        sqz_shape lead = *one;
        lead.dim[0] *= c->batch;
        const sqz_shape *got = &sqz_val(many, c->s->item[i].value)->shape;
        *yes = *yes && (sqz_shape_eq(got, one) || sqz_shape_eq(got, &lead));
    }
    sqz_graph_free(many);
    return s;
}

static sqz_status pick_batch(collector *c, int64_t asked)
{
    bool lead;
    size_t total = 0, largest = 1, count, bytes;
    const sqz_value *x = sqz_val(c->g, c->g->input[0]);
    size_t now = x->shape.rank > 0 && x->shape.dim[0] > 0 ? (size_t)x->shape.dim[0] : 1;
    for (uint32_t i = 0; i < c->s->n; i++) {
        const sqz_value *v = sqz_val(c->g, c->s->item[i].value);
        SQZ_TRY(sqz_shape_count(c->ctx, &v->shape, v->dtype, &count, &bytes));
        if (!sqz_add(total, bytes, &total))
            return sqz_fail(c->ctx, SQZ_E_LIMIT, "activations of the model exceed memory");
        largest = SQZ_MAX(largest, count);
    }
    size_t fit = BATCH_BYTES / SQZ_MAX(total / now, 1u);
    int64_t batch = asked > 0 ? asked : (int64_t)SQZ_MIN(SQZ_MAX(fit, 1u), (size_t)BATCH_MAX);
    SQZ_TRY(sqz_graph_max_batch(c->g, batch, &c->batch));
    if (now == 1 && c->batch > 1) {
        SQZ_TRY(samples_lead(c, &lead));
        c->batch = lead ? c->batch : 1;
    }
    size_t per = largest / SQZ_HIST_STRETCH + 2;
    if (!sqz_mul(per, (size_t)c->batch, &c->n_part))
        return sqz_fail(c->ctx, SQZ_E_LIMIT, "a batch of %lld samples is too large",
                        (long long)c->batch);
    return SQZ_OK;
}

typedef struct buffers {
    sqz_feeds feeds;
    float *raw; /* as the set has it */
    void **in;  /* as the model wants it */
    void **out;
} buffers;

static sqz_status make_buffers(collector *c, const sqz_dataset *ds, const char *layout,
                               sqz_arena *temp, buffers *b)
{
    size_t count, bytes, batch = (size_t)c->batch;
    SQZ_TRY(sqz_feeds_plan(temp, ds, c->g, layout, &b->feeds));
    for (uint32_t i = 0; i < b->feeds.n; i++)
        if (b->feeds.feed[i].note)
            SQZ_INFO(c->ctx, "%s", b->feeds.feed[i].note);
    if (!sqz_mul(batch, b->feeds.elements, &count))
        return sqz_fail(c->ctx, SQZ_E_LIMIT, "a batch of %zu samples is too large", batch);
    b->raw = sqz_arena_alloc(temp, count, sizeof *b->raw);
    b->in = sqz_arena_alloc(temp, b->feeds.n, sizeof *b->in);
    b->out = sqz_arena_alloc(temp, c->g->n_output + 1u, sizeof *b->out);
    c->n_bins = sqz_pool_threads(c->ctx->pool);
    c->bins = sqz_arena_alloc(temp, (size_t)c->n_bins, sizeof *c->bins);
    c->part = sqz_arena_alloc(temp, c->n_part, sizeof *c->part);
    if (!b->raw || !b->in || !b->out || !c->bins || !c->part)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < c->g->n_output; i++) {
        const sqz_value *v = sqz_val(c->g, c->g->output[i]);
        SQZ_TRY(sqz_shape_count(c->ctx, &v->shape, v->dtype, &count, &bytes));
        /* the shape's batch is at least 1, so this is at least one batch */
        b->out[i] = sqz_arena_alloc(temp, batch, SQZ_MAX(bytes, 1u));
        if (!b->out[i])
            return SQZ_E_NOMEM;
    }
    return sqz_feeds_memory(&b->feeds, c->batch, b->in);
}

int64_t sqz_sample_at(int64_t k, int64_t n, int64_t total)
{
    const int64_t begin = (int64_t)((__int128)k * n / total),
                  end = (int64_t)((__int128)(k + 1) * n / total);
    sqz_rng r = {.seed = 0xca11b, .counter = (uint64_t)k};
    return begin + (int64_t)sqz_rng_below(&r, (uint64_t)(end - begin));
}

/* Samples k .. k+n-1 of those that are used. */
static sqz_status read(sqz_dataset *ds, int64_t k, int64_t n, int64_t total, size_t elements,
                       float *x)
{
    if (total == ds->n)
        return sqz_data_read(ds, k, n, x, NULL);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = sqz_sample_at(k + i, ds->n, total);
        SQZ_TRY(sqz_data_read(ds, at, 1, x + (size_t)i * elements, NULL));
    }
    return SQZ_OK;
}

static sqz_status run_all(collector *c, sqz_exec *e, sqz_dataset *ds, int64_t samples, buffers *b)
{
    for (int64_t k = 0; k < samples; k += c->batch) {
        c->used = SQZ_MIN(c->batch, samples - k);
        c->first = k == 0;
        SQZ_TRY(read(ds, k, c->used, samples, b->feeds.elements, b->raw));
        for (int64_t i = c->used; i < c->batch; i++) /* room in the last one; not looked at */
            memcpy(b->raw + (size_t)i * b->feeds.elements, b->raw,
                   b->feeds.elements * sizeof *b->raw);
        SQZ_TRY(sqz_feeds_apply(&b->feeds, c->batch, b->raw, b->in));
        SQZ_TRY(sqz_exec_run(e, (const void *const *)b->in, b->out));
        c->s->samples += (uint64_t)c->used;
        if (!sqz_progress(c->ctx, "calibrate", c->s->samples, (uint64_t)samples))
            return sqz_fail(c->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

static void warn_of_masks(const collector *c)
{
    for (uint32_t i = 0; i < c->s->n; i++)
        if (c->s->item[i].hist->masked)
            SQZ_WARN(c->ctx,
                     "value '%s': %llu numbers below -1e30 (a mask?) are left out of its range",
                     c->s->item[i].name, (unsigned long long)c->s->item[i].hist->masked);
}

static sqz_status collect(collector *c, sqz_dataset *ds, const char *layout, int64_t samples,
                          int64_t batch, sqz_arena *temp)
{
    buffers b = {0};
    sqz_exec *e;
    sqz_exec_options opt = {.hook = hook, .hook_user = c};
    if (c->g->n_input < 1)
        return sqz_fail(c->ctx, SQZ_E_UNSUPPORTED, "the model has no inputs to calibrate on");
    if (ds->n < 1)
        return sqz_fail(c->ctx, SQZ_E_FORMAT, "%s: no samples to calibrate on", ds->path);
    samples = SQZ_MIN(samples > 0 ? samples : SAMPLES, ds->n);
    SQZ_TRY(add_items(c, temp));
    SQZ_TRY(pick_batch(c, batch));
    sqz_status s = make_buffers(c, ds, layout, temp, &b);
    if (s == SQZ_OK)
        s = sqz_exec_create(c->g, c->batch, &opt, &e);
    if (s == SQZ_OK) {
        s = run_all(c, e, ds, samples, &b);
        sqz_exec_free(e);
    }
    if (b.in)
        sqz_feeds_free(&b.feeds, b.in);
    if (s == SQZ_OK)
        warn_of_masks(c);
    return s;
}

sqz_status sqz_stats_collect(const sqz_graph *g, sqz_dataset *ds, const char *layout,
                             int64_t samples, int64_t batch, sqz_stats **out)
{
    sqz_ctx *ctx = g->ctx;
    sqz_arena temp = {.ctx = ctx};
    *out = sqz_calloc(ctx, 1, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    (*out)->arena.ctx = ctx;
    memcpy((*out)->data_checksum, ds->checksum, sizeof ds->checksum);
    collector c = {.ctx = ctx, .g = g, .s = *out, .arena = &(*out)->arena};
    sqz_status s = collect(&c, ds, layout, samples, batch, &temp);
    sqz_arena_free(&temp);
    if (s != SQZ_OK) {
        sqz_stats_free(ctx, *out);
        *out = NULL;
    }
    return s;
}

void sqz_stats_free(sqz_ctx *ctx, sqz_stats *s)
{
    if (!s)
        return;
    sqz_arena_free(&s->arena);
    sqz_free(ctx, s);
}
