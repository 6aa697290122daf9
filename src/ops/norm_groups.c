/* norm_groups.c: see norm.h, groups. A part is some groups of one sample: its channels lie side by
 * side in every pixel. */
#include "ops/norm.h"
#include <string.h>

#define CHANNELS 64 /* of a part, but at least one group */
#define LINES    64 /* pixels that are added up in float */

sqz_status sqz_group_norm_infer(sqz_infer *q)
{
    const sqz_value *x = q->in[0];
    for (unsigned i = 0; i < 3; i++)
        SQZ_TRY(sqz_need_real(q, i));
    if (x->shape.rank < 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of rank %d has no channels",
                        (int)x->shape.rank);
    int64_t c = x->shape.dim[sqz_axis_c(x)];
    for (unsigned i = 1; i < 3; i++)
        if (q->in[i]->shape.rank != 1 || q->in[i]->shape.dim[0] != c)
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "input %u must have one number for each of %lld channels", i,
                            (long long)c);
    q->out[0] = x->shape;
    return SQZ_OK;
}

void sqz_group_norm_ties(sqz_ties *t, int64_t groups)
{
    const int32_t c = sqz_axis_c(t->in[0]);
    const sqz_tie_end x = SQZ_TIE_IN(0, c);
    sqz_ties_channels(t);
    sqz_tie_same(t, SQZ_TIE_IN(1, 0), x);
    sqz_tie_same(t, SQZ_TIE_IN(2, 0), x);
    if (groups > 1) /* every group loses the same place */
        t->row(t, &x, NULL, t->in[0]->shape.dim[c] / groups);
    if (groups > 0)
        t->shift(t, &x, "is normalized in groups");
}

void sqz_group_norm_cost(const sqz_infer *q, sqz_cost *out) { sqz_row_norm_cost(q, out); }

/* For every channel of every sample: two sums, and four floats. */
#define ROOM (2 * sizeof(double) + 4 * sizeof(float))

sqz_status sqz_group_norm_prepare(sqz_prep *p)
{
    size_t channels = p->in[1]->count, n;
    if (!sqz_mul(ROOM * (size_t)p->in[0]->shape.dim[0], channels, &n))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "%zu channels: too large", channels);
    p->scratch_bytes = n;
    return SQZ_OK;
}

typedef struct job {
    const sqz_call *c;
    double epsilon;
    size_t channels, groups, depth; /* depth: channels of a group */
    size_t pixels, together;        /* together: groups of a part */
} job;

typedef struct room {       /* of a part: n channels */
    double *first, *second; /* means over the group of d and d^2, d = x - from */
    float *from, *a, *b, *factor;
} room;

/* Sums over all pixels, then means over each group. */
static void add_up(const job *j, const float *x, size_t n, const room *m, bool squares)
{
    for (size_t k = 0; k < n; k++)
        m->first[k] = m->second[k] = 0;
    for (size_t p = 0; p < j->pixels; p += LINES) {
        j->c->ctx->kernels->moments_f32(SQZ_MIN(j->pixels - p, (size_t)LINES), n, j->channels,
                                        x + p * j->channels, m->from, m->a, squares ? m->b : NULL);
        for (size_t k = 0; k < n; k++) {
            m->first[k] += (double)m->a[k];
            m->second[k] += squares ? (double)m->b[k] : 0;
        }
    }
}

/* Every channel gets the mean over its group. */
static void spread(const job *j, size_t n, double *v)
{
    for (size_t g = 0; g < n; g += j->depth) {
        double sum = 0;
        for (size_t k = 0; k < j->depth; k++)
            sum += v[g + k];
        for (size_t k = 0; k < j->depth; k++)
            v[g + k] = sum / (double)j->depth / (double)j->pixels;
    }
}

/* n channels of one sample, from channel `first` on. The mean is found to float; what that leaves
 * is in the mean of the differences. */
static void part(const job *j, size_t sample, size_t first, size_t n)
{
    const size_t at = sample * j->pixels * j->channels + first;
    const float *x = SQZ_F32P(j->c->in[0]) + at;
    const float *scale = SQZ_F32P(j->c->in[1]) + first, *bias = SQZ_F32P(j->c->in[2]) + first;
    float *y = SQZ_F32P(j->c->out[0]) + at;
    char *own = (char *)j->c->scratch + ROOM * (sample * j->channels + first);
    room m = {.first = (double *)(void *)own};
    m.second = m.first + n;
    m.from = (float *)(m.second + n);
    m.a = m.from + n;
    m.b = m.a + n;
    m.factor = m.b + n;
    memset(m.from, 0, n * sizeof *m.from);
    add_up(j, x, n, &m, false);
    spread(j, n, m.first);
    for (size_t k = 0; k < n; k++)
        m.from[k] = (float)m.first[k];
    add_up(j, x, n, &m, true);
    spread(j, n, m.first);
    spread(j, n, m.second);
    for (size_t k = 0; k < n; k++) {
        const double rest = m.first[k],
                     f = (double)scale[k] / sqrt(m.second[k] - rest * rest + j->epsilon);
        m.factor[k] = (float)f;
        m.a[k] = (float)((double)bias[k] - rest * f);
    }
    j->c->ctx->kernels->affine_f32(j->pixels, n, j->channels, x, m.from, m.factor, m.a, y);
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t parts = (j->groups + j->together - 1) / j->together;
    for (size_t i = begin; i < end; i++) {
        size_t g = i % parts * j->together, n = SQZ_MIN(j->together, j->groups - g);
        part(j, i / parts, g * j->depth, n * j->depth);
    }
    return SQZ_OK;
}

sqz_status sqz_group_norm_run(const sqz_call *c, size_t groups, double epsilon)
{
    size_t channels = c->in[1]->count;
    if (c->in[0]->count == 0)
        return SQZ_OK;
    size_t batch = sqz_dim(c->in[0], 0), depth = channels / groups;
    job j = {.c = c,
             .epsilon = epsilon,
             .channels = channels,
             .groups = groups,
             .depth = depth,
             .pixels = c->in[0]->count / channels / batch,
             .together = CHANNELS / depth + 1};
    return sqz_parallel(c->ctx, batch * ((groups + j.together - 1) / j.together), 1, chunk, &j);
}
