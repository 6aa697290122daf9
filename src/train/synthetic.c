/* synthetic.c: Adam (Kingma & Ba 2015) on the samples x of a batch, from normal noise, minimizing
 *
 *     sum over values, mean over channels of ((mean - mu) / sigma)^2 + (sd / sigma - 1)^2
 *     + one_hot * (- ln softmax(logits)[class of the sample])
 *     + variation * mean of squared differences of neighbors in x
 *
 * where mean and sd are those of the channel over the batch and all positions, mu and sigma what
 * the batch norm says. */
#include "train/synthetic.h"
#include "exec/exec.h"
#include "train/tape.h"
#include <math.h>
#include <string.h>

enum { BATCH = 32, SAMPLES = 128, STEPS = 300 };
#define RATE  0.1  /* of the first step; falls to 0 as a cosine */
#define SIGMA 1e-3 /* least; of channels that never change */

typedef struct work {
    sqz_ctx *ctx;
    const sqz_graph *g; /* for the batch */
    sqz_arena *a;
    sqz_tape *tape;
    sqz_vid x, *value; /* the input; values that a batch norm describes */
    uint32_t n_value;
    sqz_vid logits; /* SQZ_NONE: no classes are asked for */
    double one_hot, variation;
    int64_t first; /* sample of this batch */
    float *m, *v;  /* of Adam */
    sqz_rng rng;
} work;

/* ---- the loss of one value, and its gradient ---- */

typedef struct channel_job {
    const float *x;
    float *g;
    size_t rows, n;
    const sqz_normal *want;
    double *loss; /* of each channel */
} channel_job;

static sqz_status channels(void *arg, size_t begin, size_t end)
{
    const channel_job *j = arg;
    for (size_t c = begin; c < end; c++) {
        const double mu = (double)j->want->mean[c], count = (double)j->rows;
        const double sigma = fmax((double)j->want->sd[c], SIGMA);
        double sum = 0, square = 0;
        for (size_t r = 0; r < j->rows; r++)
            sum += (double)j->x[r * j->n + c];
        const double mean = sum / count;
        for (size_t r = 0; r < j->rows; r++)
            square += pow((double)j->x[r * j->n + c] - mean, 2);
        const double sd = sqrt(square / count) + 1e-9, off = (mean - mu) / sigma,
                     wide = sd / sigma - 1;
        const double of_mean = 2 * off / (sigma * count * (double)j->n);
        const double of_sd = 2 * wide / (sigma * sd * count * (double)j->n);
        for (size_t r = 0; r < j->rows; r++)
            j->g[r * j->n + c] = (float)(of_mean + of_sd * ((double)j->x[r * j->n + c] - mean));
        j->loss[c] = (off * off + wide * wide) / (double)j->n;
    }
    return SQZ_OK;
}

static sqz_status loss_of(const work *w, sqz_vid v, double *scratch, double *loss)
{
    const sqz_normal *want = sqz_val(w->g, v)->normal;
    channel_job j = {.x = sqz_tape_data(w->tape, v),
                     .g = sqz_tape_grad(w->tape, v),
                     .rows = sqz_tape_count(w->tape, v) / want->n,
                     .n = want->n,
                     .want = want,
                     .loss = scratch};
    SQZ_TRY(sqz_parallel(w->ctx, j.n, 16, channels, &j));
    for (size_t c = 0; c < j.n; c++)
        *loss += scratch[c];
    return SQZ_OK;
}

/* Cross-entropy of the classes, each in turn; rows are samples. */
static double classes(const work *w)
{
    const sqz_shape *shape = &sqz_val(w->g, w->logits)->shape;
    const size_t n = (size_t)shape->dim[shape->rank - 1];
    const size_t rows = sqz_tape_count(w->tape, w->logits) / n;
    const float *z = sqz_tape_data(w->tape, w->logits);
    float *g = sqz_tape_grad(w->tape, w->logits);
    double loss = 0;
    for (size_t r = 0; r < rows; r++, z += n, g += n) {
        const size_t want = ((size_t)w->first + r) % n;
        double most = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++)
            most = fmax(most, (double)z[i]);
        for (size_t i = 0; i < n; i++)
            sum += exp((double)z[i] - most);
        for (size_t i = 0; i < n; i++)
            g[i] = (float)(w->one_hot / (double)rows *
                           (exp((double)z[i] - most) / sum - (i == want ? 1 : 0)));
        loss += (most + log(sum) - (double)z[want]) / (double)rows;
    }
    return loss;
}

/* Adds the gradient of the differences along one axis: `inner` numbers apart, `n` of them. */
static void smooth(const work *w, size_t n, size_t inner)
{
    const float *x = sqz_tape_data(w->tape, w->x);
    float *g = sqz_tape_grad(w->tape, w->x);
    const size_t count = sqz_tape_count(w->tape, w->x);
    const float factor = (float)(2 * w->variation / (double)count);
    for (size_t i = 0; i < count; i++) {
        if (i / inner % n + 1 == n)
            continue;
        const float d = factor * (x[i + inner] - x[i]);
        g[i + inner] += d;
        g[i] -= d;
    }
}

static void smooth_all(const work *w)
{
    const sqz_value *x = sqz_val(w->g, w->x);
    const int32_t first = sqz_axis_s(x), n = x->shape.rank - 2;
    size_t inner = 1;
    for (int32_t i = x->shape.rank - 1; i > 0; i--) {
        if (i >= first && i < first + n && w->variation > 0)
            smooth(w, (size_t)x->shape.dim[i], inner);
        inner *= (size_t)x->shape.dim[i];
    }
}

static sqz_status step(work *w, double *scratch, double *loss)
{
    *loss = 0;
    SQZ_TRY(sqz_tape_forward(w->tape));
    for (uint32_t i = 0; i < w->n_value; i++)
        SQZ_TRY(loss_of(w, w->value[i], scratch, loss));
    *loss /= w->n_value;
    if (w->logits != SQZ_NONE)
        *loss += w->one_hot * classes(w);
    SQZ_TRY(sqz_tape_backward(w->tape));
    smooth_all(w);
    return SQZ_OK;
}

/* ---- one batch ---- */

static void descend(work *w, int64_t t, int64_t steps)
{
    float *x = sqz_tape_data(w->tape, w->x), *g = sqz_tape_grad(w->tape, w->x);
    const double at = (double)t / (double)steps;
    const double rate = RATE * (1 + cos(3.14159265358979323846 * at)) / 2;
    const float first = (float)(rate / (1 - pow(0.9, (double)t)));
    const float root = (float)sqrt(1 - pow(0.999, (double)t));
    for (size_t i = 0; i < sqz_tape_count(w->tape, w->x); i++) {
        w->m[i] = 0.9f * w->m[i] + 0.1f * g[i];
        w->v[i] = 0.999f * w->v[i] + 0.001f * g[i] * g[i];
        x[i] -= first * w->m[i] / (sqrtf(w->v[i]) / root + 1e-12f);
    }
}

static sqz_status make_batch(work *w, int64_t steps, double *scratch, double loss[2])
{
    float *x = sqz_tape_data(w->tape, w->x);
    const size_t n = sqz_tape_count(w->tape, w->x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)sqz_rng_normal(&w->rng);
    memset(w->m, 0, n * sizeof *w->m);
    memset(w->v, 0, n * sizeof *w->v);
    for (int64_t t = 1; t <= steps; t++) {
        SQZ_TRY(step(w, scratch, &loss[t > 1]));
        descend(w, t, steps);
    }
    return SQZ_OK;
}

/* ---- all of them ---- */

static sqz_status prepare(work *w, double **scratch)
{
    const sqz_graph *g = w->g;
    size_t most = 1;
    w->value = sqz_arena_alloc(w->a, g->n_value + 1u, sizeof *w->value);
    if (!w->value)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        const sqz_value *x = sqz_val(g, v);
        if (sqz_value_dead(x) || x->constant || !x->normal || x->dtype != SQZ_F32 ||
            v == w->logits || x->shape.rank < 1 ||
            x->shape.dim[x->shape.rank - 1] != (int64_t)x->normal->n)
            continue;
        w->value[w->n_value++] = v;
        most = SQZ_MAX(most, (size_t)x->normal->n);
    }
    if (!w->n_value)
        return sqz_fail(w->ctx, SQZ_E_UNSUPPORTED,
                        "the model has no batch norm that says how its activations are "
                        "distributed: calibration data are needed (--data)");
    w->value[w->n_value] = w->logits;
    const sqz_tape_options o = {.want = &w->x,
                                .n_want = 1,
                                .seed = w->value,
                                .n_seed = w->n_value + (w->logits != SQZ_NONE)};
    SQZ_TRY(sqz_note(w->ctx, sqz_tape_create(g, &o, &w->tape), "synthetic data"));
    const size_t n = sqz_tape_count(w->tape, w->x);
    *scratch = sqz_arena_alloc(w->a, most, sizeof **scratch);
    w->m = sqz_arena_alloc(w->a, n, sizeof *w->m);
    w->v = sqz_arena_alloc(w->a, n, sizeof *w->v);
    return *scratch && w->m && w->v ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status fill(work *w, const sqz_synthetic_options *o, int64_t samples, float *out)
{
    const int64_t batch = sqz_val(w->g, w->x)->shape.dim[0];
    const int64_t steps = o->steps ? o->steps : STEPS;
    double *scratch = NULL, first = 0, last = 0;
    int64_t batches = 0;
    SQZ_TRY(prepare(w, &scratch));
    const size_t one = sqz_tape_count(w->tape, w->x) / (size_t)batch;
    for (int64_t i = 0; i < samples; i += batch, batches++) {
        double loss[2] = {0, 0};
        w->first = i;
        SQZ_TRY(make_batch(w, steps, scratch, loss));
        memcpy(out + (size_t)i * one, sqz_tape_data(w->tape, w->x),
               (size_t)SQZ_MIN(batch, samples - i) * one * sizeof *out);
        first += loss[0];
        last += loss[1];
        if (!sqz_progress(w->ctx, "make samples", (uint64_t)SQZ_MIN(i + batch, samples),
                          (uint64_t)samples))
            return sqz_fail(w->ctx, SQZ_E_ARG, "stopped");
    }
    if (o->notes)
        sqz_str_addf(o->notes,
                     "%lld samples were made from the statistics of %u batch norms; distance from "
                     "these: %.3g, of noise %.3g\n",
                     (long long)samples, w->n_value, last / (double)batches,
                     first / (double)batches);
    return SQZ_OK;
}

static sqz_status make(const sqz_graph *g, sqz_graph *own, const sqz_synthetic_options *o,
                       int64_t samples, sqz_dataset **out)
{
    sqz_arena a = {.ctx = g->ctx};
    work w = {.ctx = g->ctx,
              .g = own,
              .a = &a,
              .x = own->input[0],
              .logits = o->one_hot > 0 ? sqz_graph_logits(own) : SQZ_NONE,
              .one_hot = o->one_hot,
              .variation = o->variation,
              .rng = {.seed = o->seed ^ 0x5eed5eed5eed5eedu}};
    const sqz_value *x = sqz_val(g, g->input[0]);
    sqz_shape sample = {.rank = x->shape.rank - 1};
    size_t one, bytes;
    for (int32_t i = 0; i < sample.rank; i++)
        sample.dim[i] = x->shape.dim[i + 1];
    SQZ_TRY(sqz_shape_count(g->ctx, &sample, SQZ_F32, &one, NULL));
    if (!sqz_mul(one * sizeof(float), (size_t)samples, &bytes))
        return sqz_fail(g->ctx, SQZ_E_LIMIT, "%lld samples are too many", (long long)samples);
    float *numbers = sqz_malloc(g->ctx, SQZ_MAX(bytes, (size_t)1));
    sqz_status s = numbers ? fill(&w, o, samples, numbers) : SQZ_E_NOMEM;
    sqz_tape_free(w.tape);
    sqz_arena_free(&a);
    if (s == SQZ_OK)
        return sqz_data_in_memory(g->ctx, "synthetic", &sample,
                                  x->channel_last      ? SQZ_LAYOUT_NHWC
                                  : x->shape.rank == 4 ? SQZ_LAYOUT_NCHW
                                                       : SQZ_LAYOUT_UNKNOWN,
                                  samples, numbers, out);
    sqz_free(g->ctx, numbers);
    return s;
}

sqz_status sqz_synthetic_data(const sqz_graph *g, const sqz_synthetic_options *o, sqz_dataset **out)
{
    const int64_t samples = o->samples ? o->samples : SAMPLES;
    sqz_graph *own;
    int64_t batch;
    *out = NULL;
    if (g->n_input != 1 || sqz_val(g, g->input[0])->dtype != SQZ_F32 ||
        sqz_val(g, g->input[0])->shape.rank < 1)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "samples can be made for models with one float input only");
    SQZ_TRY(sqz_graph_max_batch(g, SQZ_MIN(samples, (int64_t)BATCH), &batch));
    SQZ_TRY(sqz_graph_clone(g, &own));
    sqz_status s = sqz_graph_set_batch(own, batch);
    if (s == SQZ_OK)
        s = make(g, own, o, samples, out);
    sqz_graph_free(own);
    return s;
}
