/* sgd: m <- momentum m + g + decay w, w <- w - rate m (Polyak 1964), or
 * w <- w - rate (g + decay w + momentum m) with Nesterov's look ahead (Sutskever et al. 2013). */
#include "base/schema.h"
#include "train/optim.h"

typedef struct opts {
    double momentum;
    int64_t nesterov;
} opts;
static const sqz_attr schema[] = {
    {.name = "momentum",
     .offset = offsetof(opts, momentum),
     .type = SQZ_A_FLOAT,
     .def = 0.9,
     .min = 0,
     .max = 0.99999,
     .doc = "share of the last step that is kept"},
    {.name = "nesterov",
     .offset = offsetof(opts, nesterov),
     .type = SQZ_A_BOOL,
     .doc = "the gradient is that of where momentum leads"},
};

typedef struct job {
    const sqz_optim_step *s;
    float rate, decay, scale, momentum;
    bool nesterov;
} job;

/* Without momentum the state is not touched. */
static void plain(const job *j, size_t begin, size_t end)
{
    float *w = j->s->w;
    const float *g = j->s->g;
    const float rate = j->rate, decay = j->decay, scale = j->scale, floor = j->s->floor;
    for (size_t i = begin; i < end; i++)
        w[i] = sqz_floored(w[i] - rate * (scale * g[i] + decay * w[i]), floor);
}

static void heavy(const job *j, size_t begin, size_t end)
{
    float *restrict w = j->s->w, *restrict m = j->s->state;
    const float *restrict g = j->s->g;
    const float rate = j->rate, decay = j->decay, scale = j->scale, floor = j->s->floor;
    /* With Nesterov: g + momentum m; without: m. */
    const float momentum = j->momentum, of_g = j->nesterov ? 1.0f : 0.0f,
                of_m = j->nesterov ? momentum : 1.0f;
    for (size_t i = begin; i < end; i++) {
        const float d = scale * g[i] + decay * w[i];
        m[i] = momentum * m[i] + d;
        w[i] = sqz_floored(w[i] - rate * (of_g * d + of_m * m[i]), floor);
    }
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    (j->momentum > 0 ? heavy : plain)(j, begin, end);
    return SQZ_OK;
}

static sqz_status update(sqz_ctx *ctx, const void *options, const sqz_optim_step *s)
{
    const opts *o = options;
    job j = {.s = s,
             .rate = (float)s->rate,
             .decay = (float)s->decay,
             .scale = (float)s->scale,
             .momentum = (float)o->momentum,
             .nesterov = o->nesterov != 0};
    return sqz_parallel(ctx, s->n, SQZ_OPTIM_GRAIN, piece, &j);
}

const sqz_optim sqz_optim_sgd = {
    .info = {.name = "sgd",
             .doc = "gradient descent with momentum: Polyak 1964, Sutskever et al. 2013",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = 0.05,
    .n_state = 1,
    .update = update,
};
