/* brecq: weights of a block are rounded together, so that the block's output stays (Li et al. 2021,
 * "BRECQ"); activations stand on their grids meanwhile, each element with probability 1/2 (Wei et
 * al. 2022, "QDrop"). Rounding is made continuous as in AdaRound (Nagel et al. 2020):
 *
 *     w~ = scale * (clamp(floor(w/scale) + zero + h(V), lo, hi) - zero),
 *     h(V) = clamp(1.2 sigmoid(V) - 0.1, 0, 1)
 *
 * and V descends by Adam (Kingma & Ba 2015) on
 *
 *     E(V) / E(nearest) + lambda / n * sum of (1 - |2h - 1|^beta),
 *
 * E the mean squared error of the outputs, n the number of weights: relative to what rounding to
 * nearest costs, so that lambda means the same in every layer and network. Scales of activations
 * that only float operators read are learned along, by their logarithm. */
#include "exec/exec.h"
#include "quant/blocks.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct options {
    int64_t iterations, samples, batch, chain, qdrop, activations, learn;
    double rate, lambda, drop;
} options;

#define STRETCH   1.2f /* zeta - gamma */
#define GAMMA     (-0.1f)
#define WARM      0.2 /* part of the iterations without the second term */
#define BETA_HIGH 20.0
#define BETA_LOW  2.0
#define CACHE     ((size_t)256 << 20) /* bytes of targets that are kept */
#define STEP_RATE 1e-3f               /* of the logarithm of a scale */
#define GRAIN     8192

/* ---- Adam ---- */

typedef struct adam {
    float *m, *v;
} adam;
typedef struct adam_step { /* of all numbers at once: bias corrections are in them */
    float rate, root;
} adam_step;
static adam_step adam_at(double rate, int64_t t)
{
    return (adam_step){(float)(rate / (1 - pow(0.9, (double)t))),
                       (float)sqrt(1 - pow(0.999, (double)t))};
}
static inline float adam_move(const adam *a, size_t i, adam_step s, float g)
{
    a->m[i] = 0.9f * a->m[i] + 0.1f * g;
    a->v[i] = 0.999f * a->v[i] + 0.001f * g * g;
    return -s.rate * a->m[i] / (sqrtf(a->v[i]) / s.root + 1e-8f);
}

/* ---- weights of one site ---- */

typedef struct layer {
    sqz_site *site;
    size_t n;
    float *w, *scale, *base, *var; /* float weights; floor(w/scale) + zero; V */
    int32_t *zero;
    int8_t *codes;
    size_t *at; /* in the tensor */
    adam a;
    float *data, *grad; /* of the tape */
} layer;

static float soft(float v)
{
    const float h = STRETCH / (1 + expf(-v)) + GAMMA;
    return h < 0 ? 0 : h > 1 ? 1 : h;
}

static float clamp_code(const layer *l, float c)
{
    return c < (float)l->site->lo   ? (float)l->site->lo
           : c > (float)l->site->hi ? (float)l->site->hi
                                    : c;
}

static sqz_status layer_room(layer *l, sqz_arena *a)
{
    const size_t n = l->n;
    l->w = sqz_arena_alloc(a, n, sizeof *l->w);
    l->scale = sqz_arena_alloc(a, n, sizeof *l->scale);
    l->zero = sqz_arena_alloc(a, n, sizeof *l->zero);
    l->base = sqz_arena_alloc(a, n, sizeof *l->base);
    l->var = sqz_arena_alloc(a, n, sizeof *l->var);
    l->codes = sqz_arena_alloc(a, n, 1);
    l->at = sqz_arena_alloc(a, n, sizeof *l->at);
    l->a.m = sqz_arena_alloc(a, n, sizeof *l->a.m);
    l->a.v = sqz_arena_alloc(a, n, sizeof *l->a.v);
    return l->w && l->scale && l->zero && l->base && l->var && l->codes && l->at && l->a.m && l->a.v
               ? SQZ_OK
               : SQZ_E_NOMEM;
}

/* h begins as the fraction that rounding down leaves: the float weight, where the grid reaches. */
static sqz_status layer_make(const sqz_graph *reference, const sqz_graph *g, const sqz_tape *tape,
                             sqz_site *site, sqz_arena *a, layer *l)
{
    *l = (layer){.site = site, .n = site->rows * site->cols};
    SQZ_TRY(layer_room(l, a));
    SQZ_TRY(sqz_site_weights(reference, site, l->w));
    SQZ_TRY(sqz_site_grid(g, site, l->scale, l->zero));
    SQZ_TRY(sqz_site_codes(g, site, l->codes));
    for (size_t r = 0; r < site->rows; r++)
        for (size_t c = 0; c < site->cols; c++) {
            const size_t i = r * site->cols + c;
            const float x = clamp_code(l, l->w[i] / l->scale[i] + (float)l->zero[i]);
            l->at[i] = sqz_site_at(site, r, c);
            l->base[i] = floorf(x);
            const float f = SQZ_MIN(SQZ_MAX(x - l->base[i], 0.01f), 0.99f);
            l->var[i] = -logf(STRETCH / (f - GAMMA) - 1);
        }
    l->data = sqz_tape_data(tape, site->w);
    l->grad = sqz_tape_grad(tape, site->w);
    return SQZ_OK;
}

static sqz_status put_soft(void *arg, size_t begin, size_t end)
{
    const layer *l = arg;
    for (size_t i = begin; i < end; i++)
        l->data[l->at[i]] = l->scale[i] *
                            (clamp_code(l, l->base[i] + soft(l->var[i])) - (float)l->zero[i]);
    return SQZ_OK;
}

static sqz_status put_codes(void *arg, size_t begin, size_t end)
{
    const layer *l = arg;
    for (size_t i = begin; i < end; i++)
        l->data[l->at[i]] = l->scale[i] * ((float)l->codes[i] - (float)l->zero[i]);
    return SQZ_OK;
}

static void round_hard(const layer *l)
{
    for (size_t i = 0; i < l->n; i++)
        l->codes[i] = (int8_t)clamp_code(l, l->base[i] + (l->var[i] >= 0 ? 1.0f : 0.0f));
}

typedef struct update {
    const layer *l;
    adam_step step;
    float beta, push; /* push 0: no second term */
} update;

static sqz_status move(void *arg, size_t begin, size_t end)
{
    const update *u = arg;
    const layer *l = u->l;
    for (size_t i = begin; i < end; i++) {
        const float sig = 1 / (1 + expf(-l->var[i])), h = soft(l->var[i]);
        const float slope = h > 0 && h < 1 ? STRETCH * sig * (1 - sig) : 0;
        const float away = 2 * h - 1, size = fabsf(away);
        float g = l->grad[l->at[i]] * l->scale[i];
        if (l->base[i] + 1 > (float)l->site->hi)
            g = 0; /* at the end of the grid */
        if (u->push > 0 && size > 0)
            g -= u->push * 2 * u->beta * powf(size, u->beta - 1) * (away > 0 ? 1.0f : -1.0f);
        l->var[i] += adam_move(&l->a, i, u->step, g * slope);
    }
    return SQZ_OK;
}

/* ---- one block ---- */

typedef struct work {
    sqz_graph *g; /* quantized */
    const sqz_graph *reference, *batch;
    const options *o;
    sqz_env *env;
    sqz_flow *f;
    sqz_arena a; /* of the block */
    sqz_block_net net;
    layer *layer;
    uint32_t n_layer;
    sqz_exec *plain; /* the block as it is in the float network */
    float **target;  /* of each batch and output; NULL: computed anew each time */
    float **wanted;  /* where the target of the batch at hand is, by output */
    float *theta;    /* logarithms of the free scales, relative to what they were */
    adam steps;
    const void **in;
    void **out;
    double unit; /* E of the codes that were there */
    sqz_rng rng;
} work;

static size_t output_count(const work *w, uint32_t k)
{
    return sqz_tape_count(w->net.tape, w->net.output[k]);
}

/* Targets of batch i, into w->wanted. */
static sqz_status compute_target(work *w, size_t i)
{
    const sqz_block_net *n = &w->net;
    for (uint32_t k = 0; k < n->n_input; k++)
        SQZ_TRY(sqz_flow_read(w->f, SQZ_FLOAT_SIDE, n->input[k], i, (float *)(uintptr_t)w->in[k]));
    for (uint32_t k = 0; k < n->n_output; k++)
        w->out[k] = w->wanted[k];
    return sqz_exec_run(w->plain, w->in, w->out);
}

static sqz_status find_target(work *w, size_t i)
{
    if (!w->target)
        return compute_target(w, i);
    for (uint32_t k = 0; k < w->net.n_output; k++)
        w->wanted[k] = w->target[i * w->net.n_output + k];
    return SQZ_OK;
}

static sqz_status make_targets(work *w, const sqz_block *b)
{
    const uint32_t n = w->net.n_output;
    const size_t batches = sqz_flow_batches(w->f);
    sqz_graph *piece;
    size_t all = 0;
    SQZ_TRY(sqz_graph_piece(w->batch, b->begin, b->end, NULL, 0, &piece));
    SQZ_TRY(sqz_exec_adopt(piece, 0, NULL, &w->plain));
    w->in = sqz_arena_alloc(&w->a, w->net.n_input + 1u, sizeof *w->in);
    w->out = sqz_arena_alloc(&w->a, n + 1u, sizeof *w->out);
    w->wanted = sqz_arena_alloc(&w->a, n + 1u, sizeof *w->wanted);
    if (!w->in || !w->out || !w->wanted)
        return SQZ_E_NOMEM;
    for (uint32_t k = 0; k < w->net.n_input; k++) {
        w->in[k] = sqz_arena_room(&w->a, sqz_tape_count(w->net.tape, w->net.input[k]), 4);
        if (!w->in[k])
            return SQZ_E_NOMEM;
    }
    for (uint32_t k = 0; k < n; k++)
        all += output_count(w, k) * sizeof(float);
    const bool keep = all <= CACHE / SQZ_MAX(batches, (size_t)1);
    w->target = keep ? sqz_arena_alloc(&w->a, batches * n + 1u, sizeof *w->target) : NULL;
    if (keep && !w->target)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < (keep ? batches : 1); i++) {
        for (uint32_t k = 0; k < n; k++) {
            w->wanted[k] = sqz_arena_room(&w->a, output_count(w, k), sizeof(float));
            if (!w->wanted[k])
                return SQZ_E_NOMEM;
            if (keep)
                w->target[i * n + k] = w->wanted[k];
        }
        if (keep)
            SQZ_TRY(compute_target(w, i));
    }
    return SQZ_OK;
}

/* ---- one batch through the block ---- */

/* Which elements stay float this time: of inputs those of the float network. */
static void draw(work *w, float *keep, size_t n, double drop)
{
    const uint64_t limit = drop >= 1 ? UINT64_MAX : (uint64_t)(drop * 0x1p64);
    if (drop == 0.5) { /* 64 at a time */
        for (size_t i = 0; i < n; i += 64) {
            uint64_t bits = sqz_rng_u64(&w->rng);
            for (size_t k = i; k < SQZ_MIN(n, i + 64); k++)
                keep[k] = (float)(bits >> (k - i) & 1);
        }
        return;
    }
    for (size_t i = 0; i < n; i++)
        keep[i] = sqz_rng_u64(&w->rng) < limit ? 1.0f : 0.0f;
}

static sqz_status load(work *w, size_t i, bool drop)
{
    const sqz_block_net *n = &w->net;
    for (uint32_t k = 0; k < n->n_grid; k++) {
        if (n->grid[k].keep == SQZ_NONE)
            continue;
        float *keep = sqz_tape_data(n->tape, n->grid[k].keep);
        const size_t count = sqz_tape_count(n->tape, n->grid[k].keep);
        if (drop)
            draw(w, keep, count, w->o->drop);
        else
            memset(keep, 0, count * sizeof *keep);
    }
    for (uint32_t k = 0; k < n->n_input; k++) {
        float *x = sqz_tape_data(n->tape, n->input[k]);
        const size_t count = sqz_tape_count(n->tape, n->input[k]);
        SQZ_TRY(sqz_flow_read(w->f, SQZ_QUANT_SIDE, n->from[k], i, x));
        const float *keep = NULL;
        for (uint32_t t = 0; drop && t < n->n_grid; t++)
            if (n->grid[t].input == n->input[k] && n->grid[t].keep != SQZ_NONE)
                keep = sqz_tape_data(n->tape, n->grid[t].keep);
        if (!keep)
            continue;
        float *real = (float *)(uintptr_t)w->in[k];
        SQZ_TRY(sqz_flow_read(w->f, SQZ_FLOAT_SIDE, n->input[k], i, real));
        for (size_t e = 0; e < count; e++)
            x[e] = keep[e] != 0 ? real[e] : x[e];
    }
    return find_target(w, i);
}

/* Mean squared error of all outputs, and its gradient over `unit`. */
static double compare(work *w, double unit)
{
    double sum = 0, count = 0;
    for (uint32_t k = 0; k < w->net.n_output; k++)
        count += (double)output_count(w, k);
    for (uint32_t k = 0; k < w->net.n_output; k++) {
        const float *y = sqz_tape_data(w->net.tape, w->net.output[k]), *t = w->wanted[k];
        float *g = sqz_tape_grad(w->net.tape, w->net.output[k]);
        const float factor = (float)(2 / (count * unit));
        for (size_t i = 0; i < output_count(w, k); i++) {
            const float d = y[i] - t[i];
            sum += (double)d * (double)d;
            g[i] = d * factor;
        }
    }
    return sum / count;
}

/* E of the codes, everything on its grid, over all batches. */
static sqz_status judge(work *w, double *error)
{
    const size_t batches = sqz_flow_batches(w->f);
    *error = 0;
    for (uint32_t k = 0; k < w->n_layer; k++)
        SQZ_TRY(sqz_parallel(w->g->ctx, w->layer[k].n, GRAIN, put_codes, &w->layer[k]));
    for (size_t i = 0; i < batches; i++) {
        SQZ_TRY(load(w, i, false));
        SQZ_TRY(sqz_tape_forward(w->net.tape));
        *error += compare(w, 1) / (double)batches;
    }
    return SQZ_OK;
}

/* ---- tuning ---- */

static void put_steps(work *w)
{
    for (uint32_t k = 0; k < w->net.n_grid; k++)
        if (w->o->learn && w->net.grid[k].free)
            *sqz_tape_data(w->net.tape, w->net.grid[k].scale) = w->net.grid[k].start *
                                                                expf(w->theta[k]);
}

static void move_steps(work *w, int64_t t)
{
    const double rest = 1 - (double)t / (double)w->o->iterations;
    const adam_step s = adam_at((double)STEP_RATE * rest, t);
    for (uint32_t k = 0; k < w->net.n_grid; k++) {
        const sqz_block_grid *grid = &w->net.grid[k];
        if (!w->o->learn || !grid->free)
            continue;
        const float scale = *sqz_tape_data(w->net.tape, grid->scale);
        w->theta[k] += adam_move(&w->steps, k, s, *sqz_tape_grad(w->net.tape, grid->scale) * scale);
    }
}

static sqz_status iterate(work *w, int64_t t, size_t batch)
{
    const double at = (double)t / (double)w->o->iterations;
    const double late = (at - WARM) / (1 - WARM);
    size_t n = 0;
    for (uint32_t k = 0; k < w->n_layer; k++) {
        SQZ_TRY(sqz_parallel(w->g->ctx, w->layer[k].n, GRAIN, put_soft, &w->layer[k]));
        n += w->layer[k].n;
    }
    put_steps(w);
    SQZ_TRY(load(w, batch, w->o->qdrop != 0 && w->o->activations != 0));
    SQZ_TRY(sqz_tape_forward(w->net.tape));
    (void)compare(w, w->unit);
    SQZ_TRY(sqz_tape_backward(w->net.tape));
    for (uint32_t k = 0; k < w->n_layer; k++) {
        update u = {.l = &w->layer[k],
                    .step = adam_at(w->o->rate, t),
                    .beta = (float)(BETA_LOW + (BETA_HIGH - BETA_LOW) *
                                                   (1 + cos(3.14159265358979 * SQZ_MAX(late, 0))) /
                                                   2),
                    .push = late > 0 ? (float)(w->o->lambda / (double)n) : 0};
        SQZ_TRY(sqz_parallel(w->g->ctx, w->layer[k].n, GRAIN, move, &u));
    }
    move_steps(w, t);
    return SQZ_OK;
}

/* A new order of the batches. */
static void shuffle(work *w, size_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        const size_t k = (size_t)sqz_rng_below(&w->rng, i), t = order[i - 1];
        order[i - 1] = order[k];
        order[k] = t;
    }
}

static sqz_status tune(work *w)
{
    const size_t batches = sqz_flow_batches(w->f);
    size_t *order = sqz_arena_alloc(&w->a, batches, sizeof *order);
    if (!order)
        return SQZ_E_NOMEM;
    for (int64_t t = 1; t <= w->o->iterations; t++) {
        const size_t at = (size_t)(t - 1) % batches;
        if (at == 0)
            shuffle(w, order, batches);
        SQZ_TRY(iterate(w, t, order[at]));
        if (t % 64 == 0 &&
            !sqz_progress(w->g->ctx, "reconstruct block", (uint64_t)t, (uint64_t)w->o->iterations))
            return sqz_fail(w->g->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

static sqz_status keep_codes(work *w, int8_t **old)
{
    for (uint32_t k = 0; k < w->n_layer; k++) {
        old[k] = sqz_arena_alloc(&w->a, w->layer[k].n, 1);
        if (!old[k])
            return SQZ_E_NOMEM;
        memcpy(old[k], w->layer[k].codes, w->layer[k].n);
    }
    return SQZ_OK;
}

/* Codes and scales into the quantized graph. */
static sqz_status write_back(work *w)
{
    for (uint32_t k = 0; k < w->n_layer; k++)
        SQZ_TRY(sqz_site_set_codes(w->g, w->layer[k].site, w->layer[k].codes));
    for (uint32_t k = 0; k < w->net.n_grid; k++) {
        const sqz_block_grid *grid = &w->net.grid[k];
        if (!w->o->learn || !grid->free)
            continue;
        sqz_quant q = *sqz_val(w->g, grid->owner)->quant;
        const float scale = grid->start * expf(w->theta[k]);
        q.scale = &scale;
        SQZ_TRY(sqz_value_set_grid(w->g, grid->owner, &q));
    }
    return SQZ_OK;
}

typedef struct total {
    double before, after; /* sums over blocks of E / E of the codes that were there */
    uint32_t blocks, kept, layers;
} total;

static sqz_status solve(work *w, total *sum)
{
    int8_t **old = sqz_arena_alloc(&w->a, w->n_layer + 1u, sizeof(int8_t *));
    double before, after;
    if (!old)
        return SQZ_E_NOMEM;
    SQZ_TRY(keep_codes(w, old));
    SQZ_TRY(judge(w, &before));
    w->unit = before > 0 ? before : 1;
    SQZ_TRY(tune(w));
    for (uint32_t k = 0; k < w->n_layer; k++)
        round_hard(&w->layer[k]);
    put_steps(w);
    SQZ_TRY(judge(w, &after));
    sum->blocks++;
    sum->layers += w->n_layer;
    sum->before += 1;
    sum->after += before > 0 ? SQZ_MIN(after, before) / before : 1;
    sqz_log(w->g->ctx, SQZ_LOG_INFO, "brecq: block of %u layers from '%s' on: error %g to %g",
            w->n_layer, w->layer[0].site ? sqz_nod(w->g, w->layer[0].site->node)->name : "?",
            before, after);
    if (after < before)
        return write_back(w);
    sum->kept++;
    return SQZ_OK;
}

static uint64_t seed_of(const char *name, uint64_t seed)
{
    uint64_t h = 14695981039346656037u ^ seed; /* FNV-1a */
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    return h;
}

static sqz_status say_left_out(const work *w, const sqz_block *b, const sqz_site *site)
{
    const char *first = sqz_nod(w->g, site[b->site].node)->name;
    SQZ_WARN(w->g->ctx, "brecq: the block from '%s' on keeps its codes: %s", first,
             sqz_last_error(w->g->ctx));
    if (w->env->notes)
        sqz_str_addf(w->env->notes, "brecq: the block from '%s' on keeps its codes: %s\n", first,
                     sqz_last_error(w->g->ctx));
    return SQZ_OK;
}

static sqz_status block_inner(work *w, const sqz_block *b, sqz_site *site, total *sum)
{
    const sqz_block_options o = {.activations = w->o->activations != 0,
                                 .keep = w->o->activations && w->o->qdrop,
                                 .learn = w->o->activations && w->o->learn};
    const sqz_status made = sqz_block_net_make(w->batch, w->g, w->f, b, site, &o, &w->net);
    if (made == SQZ_E_UNSUPPORTED) /* an operator without a gradient: its layers stay as they are */
        return say_left_out(w, b, site);
    SQZ_TRY(made);
    w->layer = sqz_arena_alloc(&w->a, b->n_site + 1u, sizeof *w->layer);
    w->theta = sqz_arena_alloc(&w->a, w->net.n_grid + 1u, sizeof *w->theta);
    w->steps.m = sqz_arena_alloc(&w->a, w->net.n_grid + 1u, sizeof *w->steps.m);
    w->steps.v = sqz_arena_alloc(&w->a, w->net.n_grid + 1u, sizeof *w->steps.v);
    if (!w->layer || !w->theta || !w->steps.m || !w->steps.v)
        return SQZ_E_NOMEM;
    for (uint32_t k = 0; k < b->n_site; k++)
        if (!site[b->site + k].shared)
            SQZ_TRY(layer_make(w->reference, w->g, w->net.tape, &site[b->site + k], &w->a,
                               &w->layer[w->n_layer++]));
    if (!w->n_layer)
        return SQZ_OK;
    w->rng = (sqz_rng){.seed = seed_of(sqz_nod(w->g, w->layer[0].site->node)->name, w->env->seed)};
    SQZ_TRY(make_targets(w, b));
    return solve(w, sum);
}

static sqz_status one_block(const work *from, const sqz_block *b, sqz_site *site, total *sum)
{
    work w = *from;
    w.a = (sqz_arena){.ctx = w.g->ctx};
    SQZ_TRY(sqz_flow_advance(w.f, b->begin));
    const sqz_status s = block_inner(&w, b, site, sum);
    sqz_exec_free(w.plain);
    sqz_block_net_free(&w.net);
    sqz_arena_free(&w.a);
    return s;
}

static sqz_status walk(work *w, sqz_arena *a)
{
    sqz_site *site;
    sqz_block *block;
    uint32_t n_site, n_block;
    total sum = {0};
    SQZ_TRY(sqz_sites(w->reference, w->g, a, &site, &n_site));
    SQZ_TRY(
        sqz_blocks_find(w->reference, site, n_site, (uint32_t)w->o->chain, a, &block, &n_block));
    for (uint32_t i = 0; i < n_block; i++) {
        if (!block[i].n_site)
            continue;
        SQZ_TRY(sqz_note(w->g->ctx, one_block(w, &block[i], site, &sum), "block %u", i + 1));
        if (!sqz_progress(w->g->ctx, "reconstruct", i + 1, n_block))
            return sqz_fail(w->g->ctx, SQZ_E_ARG, "stopped");
    }
    if (w->env->notes && sum.blocks)
        sqz_str_addf(
            w->env->notes,
            "brecq: %u layers in %u blocks, output error %.0f %% of what it was; %u blocks "
            "kept their codes\n",
            sum.layers, sum.blocks, 100 * sum.after / sum.before, sum.kept);
    return SQZ_OK;
}

static sqz_status with_flow(work *w)
{
    sqz_graph *batch;
    sqz_arena a = {.ctx = w->g->ctx};
    SQZ_TRY(sqz_graph_clone(w->reference, &batch));
    sqz_status s = sqz_graph_set_batch(batch, sqz_flow_batch(w->f));
    w->batch = batch;
    if (s == SQZ_OK)
        s = walk(w, &a);
    sqz_arena_free(&a);
    sqz_graph_free(batch);
    return s;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const options *o = opts;
    work w = {.g = g, .o = o, .env = env};
    SQZ_TRY(sqz_sites_ready(g, env, "brecq", &w.reference));
    const sqz_flow_options flow = {.ds = env->calib,
                                   .layout = env->layout,
                                   .samples = o->samples ? o->samples : env->samples,
                                   .batch = o->batch};
    SQZ_TRY(sqz_flow_open(w.reference, g, &flow, &w.f));
    const sqz_status s = with_flow(&w);
    sqz_flow_close(w.f);
    return s;
}

static const sqz_attr schema[] = {
    {.name = "iterations",
     .offset = offsetof(options, iterations),
     .type = SQZ_A_INT,
     .def = 2000,
     .min = 1,
     .max = 1000000,
     .doc = "steps of each block"},
    {.name = "qdrop",
     .offset = offsetof(options, qdrop),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "while tuning, each activation is on its grid by chance only"},
    {.name = "drop",
     .offset = offsetof(options, drop),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = 0,
     .max = 1,
     .doc = "how likely an activation stays float then"},
    {.name = "activations",
     .offset = offsetof(options, activations),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "activations inside of a block stand on their grids while tuning"},
    {.name = "learn",
     .offset = offsetof(options, learn),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "learn the scales of activations between float operators"},
    {.name = "chain",
     .offset = offsetof(options, chain),
     .type = SQZ_A_INT,
     .def = 3,
     .min = 1,
     .max = 12,
     .doc = "layers in a row that are tuned together"},
    {.name = "batch",
     .offset = offsetof(options, batch),
     .type = SQZ_A_INT,
     .def = 32,
     .min = 1,
     .max = 4096,
     .doc = "samples of a step"},
    {.name = "rate",
     .offset = offsetof(options, rate),
     .type = SQZ_A_FLOAT,
     .def = 0.01,
     .min = 1e-6,
     .max = 1,
     .doc = "length of a step"},
    {.name = "lambda",
     .offset = offsetof(options, lambda),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .min = 0,
     .max = 1e6,
     .doc = "weight of being at a code, beside the error relative to that of nearest codes"},
    {.name = "samples",
     .offset = offsetof(options, samples),
     .type = SQZ_A_INT,
     .max = 9007199254740992.0,
     .doc = "calibration samples to look at; 0: as the job says, else 512"},
};

const sqz_pass sqz_pass_brecq = {
    .info = {.name = "brecq",
             .doc = "weights of a block rounded together, by its output",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_QUANT,
    .run = run,
};
