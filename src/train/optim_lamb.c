/* lamb: u = m^ / (sqrt(v^) + eps) + decay w, w <- w - rate |w| / |u| u (You et al. 2020): every
 * tensor moves by the same share of its size, which lets batches be large. Two passes: moments and
 * norms, then w. A tensor or a step of zeros has the ratio 1. */
#include "train/adam.h"
#include <math.h>

enum { PIECES = 256, LANES = 8 };

static const sqz_attr schema[] = {SQZ_ADAM_ROWS(1e-6)};

typedef struct job {
    sqz_adam a;
    size_t grain;
    double w2[PIECES], u2[PIECES]; /* sums of squares of each piece */
    float step;                    /* rate |w| / |u| */
} job;

static inline float direction(const sqz_adam *a, float w, float m, float v)
{
    return a->unbias1 * m / (a->unbias2 * sqrtf(v) + a->eps) + a->decay * w;
}

/* The sums are in double, number i in lane i % LANES: one order for any width of vectors. */
static sqz_status moments(void *arg, size_t begin, size_t end)
{
    job *j = arg;
    const sqz_adam a = j->a;
    const float *restrict w = a.s->w, *restrict g = a.s->g;
    float *restrict m = a.s->state, *restrict v = m + a.s->n;
    double w2[LANES] = {0}, u2[LANES] = {0};
    for (size_t i = begin; i < end; i++) {
        const float d = a.scale * g[i];
        m[i] = a.beta1 * m[i] + a.rest1 * d;
        v[i] = a.beta2 * v[i] + a.rest2 * (d * d);
        const double u = (double)direction(&a, w[i], m[i], v[i]), x = (double)w[i];
        w2[i % LANES] += x * x;
        u2[i % LANES] += u * u;
    }
    double *sum_w = &j->w2[begin / j->grain], *sum_u = &j->u2[begin / j->grain];
    *sum_w = *sum_u = 0;
    for (size_t k = 0; k < LANES; k++) {
        *sum_w += w2[k];
        *sum_u += u2[k];
    }
    return SQZ_OK;
}

static sqz_status move(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_adam a = j->a;
    float *restrict w = a.s->w;
    const float *restrict m = a.s->state, *restrict v = m + a.s->n;
    const float floor = a.s->floor, step = j->step;
    for (size_t i = begin; i < end; i++)
        w[i] = sqz_floored(w[i] - step * direction(&a, w[i], m[i], v[i]), floor);
    return SQZ_OK;
}

static sqz_status update(sqz_ctx *ctx, const void *opts, const sqz_optim_step *s)
{
    job j = {.a = sqz_adam_at(opts, s), .grain = SQZ_MAX(SQZ_OPTIM_GRAIN, s->n / PIECES + 1)};
    SQZ_TRY(sqz_parallel(ctx, s->n, j.grain, moments, &j));
    double w2 = 0, u2 = 0;
    for (size_t i = 0; i < PIECES; i++) {
        w2 += j.w2[i];
        u2 += j.u2[i];
    }
    j.step = (float)(s->rate * (w2 > 0 && u2 > 0 ? sqrt(w2 / u2) : 1));
    return sqz_parallel(ctx, s->n, j.grain, move, &j);
}

const sqz_optim sqz_optim_lamb = {
    .info = {.name = "lamb",
             .doc = "adam whose steps are a share of the size of each tensor: You et al. 2020",
             .opt_size = sizeof(sqz_adam_opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = 5e-3,
    .n_state = 2,
    .update = update,
};
