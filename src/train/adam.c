/* adam.c: see adam.h.
 *   m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
 *   w <- w - rate m^ / (sqrt(v^) + eps), m^ and v^ without bias (Kingma & Ba 2015). */
#include "train/adam.h"
#include <math.h>

sqz_adam sqz_adam_at(const sqz_adam_opts *o, const sqz_optim_step *s)
{
    const double t = (double)s->t;
    return (sqz_adam){.s = s,
                      .beta1 = (float)o->beta1,
                      .rest1 = (float)(1 - o->beta1),
                      .beta2 = (float)o->beta2,
                      .rest2 = (float)(1 - o->beta2),
                      .unbias1 = (float)(1 / (1 - pow(o->beta1, t))),
                      .unbias2 = (float)sqrt(1 / (1 - pow(o->beta2, t))),
                      .eps = (float)o->eps,
                      .scale = (float)s->scale,
                      .rate = (float)s->rate,
                      .decay = (float)s->decay};
}

typedef struct job {
    sqz_adam a;
    float kept; /* share of w that stays; 1: decay is part of the gradient */
    float l2;   /* decay as part of the gradient */
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job j = *(const job *)arg;
    const sqz_adam *a = &j.a;
    float *restrict w = a->s->w, *restrict m = a->s->state, *restrict v = m + a->s->n;
    const float *restrict g = a->s->g;
    const float floor = a->s->floor;
    for (size_t i = begin; i < end; i++) {
        const float d = a->scale * g[i] + j.l2 * w[i];
        m[i] = a->beta1 * m[i] + a->rest1 * d;
        v[i] = a->beta2 * v[i] + a->rest2 * (d * d);
        const float u = a->unbias1 * m[i] / (a->unbias2 * sqrtf(v[i]) + a->eps);
        w[i] = sqz_floored(j.kept * w[i] - a->rate * u, floor);
    }
    return SQZ_OK;
}

sqz_status sqz_adam_update(sqz_ctx *ctx, const sqz_adam_opts *o, const sqz_optim_step *s,
                           bool decoupled)
{
    job j = {.a = sqz_adam_at(o, s),
             .kept = decoupled ? (float)(1 - s->rate * s->decay) : 1.0f,
             .l2 = decoupled ? 0.0f : (float)s->decay};
    return sqz_parallel(ctx, s->n, SQZ_OPTIM_GRAIN, piece, &j);
}
