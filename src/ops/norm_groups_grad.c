/* norm_groups_grad.c: the gradient of norm.h, groups. With z = (x - mean) * inverse of a group of a
 * sample and u = g * scale: dx = inverse * (u - mean(u) - z * mean(u z)); dscale = sum of g z and
 * dbias = sum of g over samples and pixels. */
#include "ops/grad.h"
#include "ops/norm.h"

typedef struct job {
    const sqz_grad_call *c;
    double epsilon, *mean, *inverse; /* of each sample and group */
    size_t channels, groups, depth, pixels;
} job;

sqz_status sqz_group_norm_grad_prepare(sqz_grad_prep *p)
{
    size_t n; /* groups are at most channels */
    if (!sqz_mul(p->in[1]->count, (size_t)p->in[0]->shape.dim[0], &n) ||
        !sqz_mul(n, 2 * sizeof(double), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

/* fn of each element of a group of a sample: its place, and its channel. */
#define EACH(j, sample, group, at, ch)                                                             \
    for (size_t p_ = 0; p_ < (j)->pixels; p_++)                                                    \
        for (size_t ch = (group) * (j)->depth,                                                     \
                    at = ((sample) * (j)->pixels + p_) * (j)->channels + ch;                       \
             ch < ((group) + 1) * (j)->depth; ch++, at++)

static void group_statistics(const job *j, size_t n, size_t g, double *mean, double *inverse)
{
    const float *x = SQZ_F32P(j->c->in[0]);
    const double count = (double)j->pixels * (double)j->depth;
    double sum = 0, square = 0;
    EACH(j, n, g, at, ch)
    sum += (double)x[at];
    *mean = sum / count;
    EACH(j, n, g, at, ch)
    square += ((double)x[at] - *mean) * ((double)x[at] - *mean);
    *inverse = 1 / sqrt(square / count + j->epsilon);
}

static void group_data(const job *j, size_t n, size_t g, double mean, double inverse)
{
    const float *x = SQZ_F32P(j->c->in[0]), *scale = SQZ_F32P(j->c->in[1]);
    const float *grad = j->c->out_grad[0];
    const double count = (double)j->pixels * (double)j->depth;
    const bool add = sqz_grad_adds(j->c, 0);
    double u = 0, uz = 0;
    EACH(j, n, g, at, ch)
    {
        const double v = (double)grad[at] * (double)scale[ch];
        u += v;
        uz += v * ((double)x[at] - mean) * inverse;
    }
    EACH(j, n, g, at, ch)
    {
        const double z = ((double)x[at] - mean) * inverse;
        const double v = (double)grad[at] * (double)scale[ch];
        float *d = j->c->in_grad[0] + at;
        *d = (add ? *d : 0) + (float)(inverse * (v - u / count - z * uz / count));
    }
}

static sqz_status group_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t i = begin; i < end; i++) {
        group_statistics(j, i / j->groups, i % j->groups, &j->mean[i], &j->inverse[i]);
        if (sqz_grad_wants(j->c, 0))
            group_data(j, i / j->groups, i % j->groups, j->mean[i], j->inverse[i]);
    }
    return SQZ_OK;
}

static sqz_status channel_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t samples = sqz_dim(j->c->in[0], 0);
    for (size_t k = begin; k < end; k++) {
        double scale = 0, bias = 0;
        for (size_t n = 0; n < samples; n++) {
            const size_t i = n * j->groups + k / j->depth;
            for (size_t p = 0; p < j->pixels; p++) {
                const size_t at = (n * j->pixels + p) * j->channels + k;
                const double g = (double)j->c->out_grad[0][at];
                bias += g;
                scale += g * ((double)SQZ_F32P(j->c->in[0])[at] - j->mean[i]) * j->inverse[i];
            }
        }
        if (sqz_grad_wants(j->c, 1))
            j->c->in_grad[1][k] += (float)scale;
        if (sqz_grad_wants(j->c, 2))
            j->c->in_grad[2][k] += (float)bias;
    }
    return SQZ_OK;
}

sqz_status sqz_group_norm_grad(const sqz_grad_call *c, size_t groups, double epsilon)
{
    const size_t samples = sqz_dim(c->in[0], 0), channels = c->in[1]->count;
    if (sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    job j = {.c = c,
             .epsilon = epsilon,
             .mean = c->scratch,
             .inverse = (double *)c->scratch + samples * groups,
             .channels = channels,
             .groups = groups,
             .depth = channels / groups,
             .pixels = c->in[0]->count / channels / samples};
    SQZ_TRY(sqz_parallel(c->ctx, samples * groups, 1, group_piece, &j));
    sqz_grad_begin(c, 1);
    sqz_grad_begin(c, 2);
    if (sqz_grad_wants(c, 1) || sqz_grad_wants(c, 2))
        SQZ_TRY(sqz_parallel(c->ctx, channels, 4, channel_piece, &j));
    return SQZ_OK;
}
