/* norm_grad.c: the gradient of layer_norm. With z = (x - mean) * inverse and u = g * scale, each
 * row of n: dx = inverse * (u - mean(u) - z * mean(u * z)); dscale = sum of g * z, dbias = sum of g
 * over what they are repeated for. */
#include "ops/grad.h"
#include "ops/norm.h"
#include "ops/walk.h"
#include <string.h>

typedef struct state {
    size_t rows, n;
    double epsilon;
} state;

sqz_status sqz_layer_norm_grad_prepare(sqz_grad_prep *p)
{
    const sqz_row_norm_attrs *at = p->attrs;
    const sqz_shape *x = &p->in[0]->shape;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    int32_t axis;
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_axis(p->ctx, at->axis, x->rank, &axis));
    s->n = 1;
    for (int32_t d = axis; d < x->rank; d++)
        s->n *= (size_t)x->dim[d];
    s->rows = s->n ? p->in[0]->count / s->n : 0;
    s->epsilon = at->epsilon;
    p->state = s;
    if (!sqz_mul(s->rows, 2 * sizeof(double), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

typedef struct job {
    const sqz_grad_call *c;
    const state *s;
    sqz_walk scale, bias; /* of the parameters along x */
    double *mean, *inverse;
} job;

static size_t place(const sqz_walk *w, size_t at)
{
    size_t from[SQZ_WALK_IN];
    sqz_walk_at(w, at, from);
    return from[0];
}

static double scaled(const job *j, size_t at)
{
    const sqz_tensor *scale = j->c->n_in > 1 ? j->c->in[1] : NULL;
    const double g = (double)j->c->out_grad[0][at];
    return scale ? g * (double)SQZ_F32P(scale)[place(&j->scale, at)] : g;
}

static sqz_status row_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t n = j->s->n;
    const bool want = sqz_grad_wants(j->c, 0), add = sqz_grad_adds(j->c, 0);
    for (size_t r = begin; r < end; r++) {
        const float *x = SQZ_F32P(j->c->in[0]) + r * n;
        double sum = 0, square = 0, u = 0, uz = 0;
        for (size_t i = 0; i < n; i++)
            sum += (double)x[i];
        const double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++)
            square += ((double)x[i] - mean) * ((double)x[i] - mean);
        const double inverse = 1 / sqrt(square / (double)n + j->s->epsilon);
        j->mean[r] = mean;
        j->inverse[r] = inverse;
        for (size_t i = 0; want && i < n; i++) {
            u += scaled(j, r * n + i);
            uz += scaled(j, r * n + i) * ((double)x[i] - mean) * inverse;
        }
        for (size_t i = 0; want && i < n; i++) {
            const double z = ((double)x[i] - mean) * inverse;
            const double d = inverse * (scaled(j, r * n + i) - u / (double)n - z * uz / (double)n);
            float *to = j->c->in_grad[0] + r * n + i;
            *to = (add ? *to : 0) + (float)d;
        }
    }
    return SQZ_OK;
}

/* Element by element, in order: parameters are few. */
static void parameters(const job *j)
{
    const sqz_grad_call *c = j->c;
    sqz_grad_begin(c, 1);
    sqz_grad_begin(c, 2);
    for (size_t r = 0; r < j->s->rows; r++)
        for (size_t i = 0; i < j->s->n; i++) {
            const size_t at = r * j->s->n + i;
            const double g = (double)c->out_grad[0][at];
            const double z = ((double)SQZ_F32P(c->in[0])[at] - j->mean[r]) * j->inverse[r];
            if (sqz_grad_wants(c, 1))
                c->in_grad[1][place(&j->scale, at)] += (float)(g * z);
            if (sqz_grad_wants(c, 2))
                c->in_grad[2][place(&j->bias, at)] += (float)g;
        }
}

sqz_status sqz_layer_norm_grad(const sqz_grad_call *c)
{
    const state *s = c->state;
    double *rows = c->scratch;
    job j = {.c = c, .s = s, .mean = rows, .inverse = rows + s->rows};
    if (sqz_grad_none(c) || s->n == 0)
        return SQZ_OK;
    if (c->n_out > 1 && ((c->out_grad[1] != NULL) || (c->n_out > 2 && c->out_grad[2])))
        return sqz_fail(c->ctx, SQZ_E_UNSUPPORTED,
                        "the gradient through the statistics that layer_norm hands out");
    if (c->n_in > 1 && c->in[1])
        sqz_walk_plan(&j.scale, &c->in[1], 1, &c->in[0]->shape);
    if (c->n_in > 2 && c->in[2])
        sqz_walk_plan(&j.bias, &c->in[2], 1, &c->in[0]->shape);
    SQZ_TRY(sqz_parallel(c->ctx, s->rows, 16384 / s->n + 1, row_piece, &j));
    if (sqz_grad_wants(c, 1) || sqz_grad_wants(c, 2))
        parameters(&j);
    return SQZ_OK;
}
