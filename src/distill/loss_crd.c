/* crd: embeddings of the same sample by student and teacher are near, of different samples far
 * (Tian, Krishnan, Isola 2020, "Contrastive representation distillation"). u, v: linear maps of
 * both embeddings, trained, of length 1; e = exp(u.v / tau); h = e / (e + c):
 *
 *     L = mean over samples of - ln h(own) - sum over others of ln (1 - h(other))
 *
 * once for u against a memory of v, once for v against a memory of u. The memory has an entry for
 * each training sample, which follows what is computed for it (momentum 0.5). c is the mean of e at
 * the first step times the number of others: noise-contrastive estimation. Unlike in the paper, the
 * others are drawn once for a batch and not for each of its samples, which makes of them a matrix
 * product; at the first step there is no loss, it measures c. */
#include "distill/objective.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct opts {
    sqz_loss_common common;
    const char *pairs;
    int64_t width, others;
    double temperature, momentum;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 0.8),
    {.name = "pairs",
     .offset = offsetof(opts, pairs),
     .type = SQZ_A_STRING,
     .names = "auto",
     .doc = "embeddings: auto, or student->teacher"},
    {.name = "width",
     .offset = offsetof(opts, width),
     .type = SQZ_A_INT,
     .def = 128,
     .min = 2,
     .max = 4096,
     .doc = "numbers that embeddings are mapped to"},
    {.name = "others",
     .offset = offsetof(opts, others),
     .type = SQZ_A_INT,
     .def = 4096,
     .min = 1,
     .max = 65536,
     .doc = "other samples of a step"},
    {.name = "temperature",
     .offset = offsetof(opts, temperature),
     .type = SQZ_A_FLOAT,
     .def = 0.07,
     .min = 0.01,
     .max = 10,
     .doc = "tau"},
    {.name = "momentum",
     .offset = offsetof(opts, momentum),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = 0,
     .max = 0.999,
     .doc = "of an entry of the memory"},
};

typedef struct side {    /* one network's embedding, and the memory of it */
    sqz_vid u;           /* (batch, width), watched */
    sqz_vid own, others; /* inputs: entries of the batch's samples, of others */
    float *memory;       /* (samples, width) */
} side;
typedef struct bank {
    side side[2];
    sqz_vid level, on; /* inputs, (2) each: ln c of either direction; 0 at the first step, then 1 */
    sqz_vid mean[2];   /* watched: mean of e over the others */
    float *state;      /* ln c of both, 1 once they are known */
    int64_t samples, batch, width, n;
    double momentum;
} bank;

/* ---- between steps ---- */

static void copy_entry(const bank *b, const side *s, int64_t sample, float *to)
{
    memcpy(to, s->memory + sample * b->width, (size_t)b->width * sizeof *to);
}

static sqz_status before(void *state, const sqz_tape *t, const sqz_loss_step *step)
{
    bank *b = state;
    sqz_rng r = {.seed = step->seed ^ 0x637264u, .counter = step->step * (uint64_t)b->n};
    for (int64_t i = 0; i < b->n; i++) {
        const int64_t sample = (int64_t)sqz_rng_below(&r, (uint64_t)b->samples);
        for (int k = 0; k < 2; k++)
            copy_entry(b, &b->side[k], sample, sqz_tape_data(t, b->side[k].others) + i * b->width);
    }
    for (int64_t i = 0; i < b->batch; i++)
        for (int k = 0; k < 2; k++)
            copy_entry(b, &b->side[k], step->sample ? step->sample[i] : i % b->samples,
                       sqz_tape_data(t, b->side[k].own) + i * b->width);
    memcpy(sqz_tape_data(t, b->level), b->state, 2 * sizeof *b->state);
    *sqz_tape_data(t, b->on) = b->state[2];
    return SQZ_OK;
}

/* The entry moves toward u, and has length 1 again. */
static void follow(const bank *b, float *entry, const float *u)
{
    double square = 0;
    for (int64_t i = 0; i < b->width; i++) {
        entry[i] = (float)(b->momentum * (double)entry[i] + (1 - b->momentum) * (double)u[i]);
        square += (double)entry[i] * (double)entry[i];
    }
    const float length = (float)sqrt(square > 0 ? square : 1);
    for (int64_t i = 0; i < b->width; i++)
        entry[i] /= length;
}

static sqz_status after(void *state, const sqz_tape *t, const sqz_loss_step *step)
{
    bank *b = state;
    for (int k = 0; k < 2 && b->state[2] == 0; k++)
        b->state[k] = (float)log((double)b->n * (double)*sqz_tape_data(t, b->mean[k]));
    b->state[2] = 1;
    for (int64_t i = 0; i < b->batch; i++) {
        const int64_t sample = step->sample ? step->sample[i] : i % b->samples;
        for (int k = 0; k < 2; k++)
            follow(b, b->side[k].memory + sample * b->width,
                   sqz_tape_data(t, b->side[k].u) + i * b->width);
    }
    return SQZ_OK;
}

/* ---- in the graph ---- */

static sqz_status make_side(sqz_loss_site *s, bank *b, sqz_vid v, const char *what, side *out)
{
    const sqz_shape own = {2, {b->batch, b->width}}, others = {2, {b->n, b->width}};
    const size_t n = (size_t)(b->samples * b->width);
    char name[64];
    const sqz_vid x = sqz_loss_rows(s, v);
    SQZ_TRY(s->b.status);
    const sqz_shape w = {2, {sqz_val(s->g, x)->shape.dim[1], b->width}};
    const sqz_vid map = sqz_loss_weight(s, what, &w, 1 / sqrt((double)w.dim[0]));
    out->u = sqz_loss_unit(s, sqz_b(&s->b, "matmul", NULL, 2, x, map));
    (void)snprintf(name, sizeof name, "%s.own", what);
    out->own = sqz_loss_input(s, name, &own);
    (void)snprintf(name, sizeof name, "%s.others", what);
    out->others = sqz_loss_input(s, name, &others);
    out->memory = sqz_loss_alloc(s, n, sizeof *out->memory);
    SQZ_TRY(s->b.status);
    sqz_rng r = {.seed = s->o->options.seed ^ (uint64_t)(unsigned char)what[0]};
    for (int64_t i = 0; i < b->samples; i++) {
        float *entry = out->memory + i * b->width;
        for (int64_t k = 0; k < b->width; k++)
            entry[k] = (float)sqz_rng_normal(&r);
        follow(&(bank){.width = b->width, .momentum = 1}, entry, entry);
    }
    SQZ_TRY(sqz_loss_saves(s, what, out->memory, n));
    return sqz_loss_watch(s, out->u);
}

/* ln of c for direction k, as one number. */
static sqz_vid level_of(sqz_loss_site *s, const bank *b, int k)
{
    return sqz_bf(&s->b, "slice", &b->level, 1, "starts=%d ends=%d axes=0", k, k + 1);
}

/* u of one side against the memory of the other. With z = u.v / tau - ln c: - ln h = softplus(-z),
 * - ln (1 - h) = softplus(z). */
static sqz_status direction(sqz_loss_site *s, bank *b, int k, double tau, sqz_vid *out)
{
    const side *a = &b->side[k], *m = &b->side[1 - k];
    const sqz_vid product = sqz_b(&s->b, "mul", NULL, 2, a->u, m->own);
    const sqz_vid dot = sqz_b(&s->b, "reduce_sum", "axes=1 keepdims=0", 1, product);
    const sqz_vid level = level_of(s, b, k);
    const sqz_vid own = sqz_b(&s->b, "sub", NULL, 2, level, sqz_loss_scale(s, dot, 1 / tau));
    const sqz_vid across = sqz_b(&s->b, "transpose", "perm=1,0", 1, m->others);
    const sqz_vid far = sqz_loss_scale(s, sqz_b(&s->b, "matmul", NULL, 2, a->u, across), 1 / tau);
    const sqz_vid z = sqz_b(&s->b, "sub", NULL, 2, far, level);
    b->mean[k] = sqz_loss_mean(s, sqz_b(&s->b, "exp", NULL, 1, far));
    const sqz_vid yes = sqz_loss_sum(s, sqz_b(&s->b, "softplus", NULL, 1, own));
    const sqz_vid no = sqz_loss_sum(s, sqz_b(&s->b, "softplus", NULL, 1, z));
    *out = sqz_loss_scale(s, sqz_b(&s->b, "add", NULL, 2, yes, no), 1 / (double)b->batch);
    return sqz_loss_watch(s, b->mean[k]);
}

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    const opts *at = o;
    const sqz_shape two = {1, {2}}, one = {0};
    sqz_loss_pair *pair;
    uint32_t n;
    sqz_vid half[2];
    SQZ_TRY(sqz_loss_pairs(s, at->pairs, SQZ_PAIR_EMBEDDING, &pair, &n));
    if (n != 1)
        return sqz_fail(s->g->ctx, SQZ_E_ARG, "%u pairs of embeddings, expected 1", (unsigned)n);
    if (s->o->options.samples < 2)
        return sqz_fail(s->g->ctx, SQZ_E_ARG, "it needs to know the number of training samples");
    bank *b = sqz_loss_alloc(s, 1, sizeof *b);
    SQZ_TRY(s->b.status);
    *b = (bank){.samples = s->o->options.samples,
                .batch = s->batch,
                .width = at->width,
                .n = SQZ_MIN(at->others, s->o->options.samples),
                .momentum = at->momentum};
    b->state = sqz_loss_alloc(s, 3, sizeof *b->state);
    b->level = sqz_loss_input(s, "level", &two);
    b->on = sqz_loss_input(s, "on", &one);
    SQZ_TRY(s->b.status);
    SQZ_TRY(sqz_loss_saves(s, "state", b->state, 3));
    SQZ_TRY(make_side(s, b, pair[0].student, "student", &b->side[0]));
    SQZ_TRY(make_side(s, b, pair[0].teacher, "teacher", &b->side[1]));
    for (int k = 0; k < 2; k++)
        SQZ_TRY(direction(s, b, k, at->temperature, &half[k]));
    const sqz_vid sum = sqz_b(&s->b, "add", NULL, 2, half[0], half[1]);
    *out = sqz_b(&s->b, "mul", NULL, 2, sum, b->on);
    return sqz_loss_remember(s, &(sqz_loss_memory){b, before, after});
}

const sqz_loss sqz_loss_crd = {
    .info = {.name = "crd",
             .doc = "embeddings of a sample near, of others far: Tian et al. 2020",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_TEACHER,
    .build = build,
};
