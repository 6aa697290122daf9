/* reduce_slope.c: gradients of reductions in which each element has a slope of its own: dx = g of
 * the result that x went into, times slope(x, y). */
#include "ops/grad.h"
#include "ops/reduce.h"
#include "ops/walk.h"
#include <string.h>

typedef struct job {
    const sqz_grad_call *c;
    sqz_reduce_slope_fn slope;
    sqz_walk w; /* the results along x */
    const double (*s)[2];
} job;

sqz_status sqz_reduce_slope_prepare(sqz_grad_prep *p)
{
    if (!sqz_mul(p->out[0]->count, sizeof(double[2]), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    static const double nothing[2];
    const size_t n = j->w.dim[j->w.n_dim - 1], step = j->w.step[j->w.n_dim - 1][0];
    const bool add = sqz_grad_adds(j->c, 0);
    for (size_t r = begin; r < end; r++) {
        size_t from[SQZ_WALK_IN];
        sqz_walk_at(&j->w, r * n, from);
        const float *x = SQZ_F32P(j->c->in[0]) + r * n;
        const float *y = SQZ_F32P(j->c->out[0]) + from[0], *g = j->c->out_grad[0] + from[0];
        float *d = j->c->in_grad[0] + r * n;
        for (size_t i = 0; i < n; i++) {
            const double *s = j->s ? j->s[from[0] + i * step] : nothing;
            const double one = (double)g[i * step] * j->slope((double)x[i], (double)y[i * step], s);
            d[i] = (add ? d[i] : 0) + (float)one;
        }
    }
    return SQZ_OK;
}

/* In order, so that threads do not matter. */
static void collect_all(const job *j, sqz_reduce_collect_fn collect, double (*s)[2])
{
    const size_t n = j->w.dim[j->w.n_dim - 1], step = j->w.step[j->w.n_dim - 1][0];
    memset(s, 0, j->c->out[0]->count * sizeof *s);
    for (size_t r = 0; r < j->c->in[0]->count / n; r++) {
        size_t from[SQZ_WALK_IN];
        sqz_walk_at(&j->w, r * n, from);
        for (size_t i = 0; i < n; i++) {
            const size_t to = from[0] + i * step;
            collect(s[to], (double)SQZ_F32P(j->c->in[0])[r * n + i],
                    (double)SQZ_F32P(j->c->out[0])[to]);
        }
    }
}

sqz_status sqz_reduce_slope(const sqz_grad_call *c, sqz_reduce_collect_fn collect,
                            sqz_reduce_slope_fn slope)
{
    const sqz_reduce_attrs *at = c->attrs;
    const sqz_shape *x = &c->in[0]->shape;
    sqz_tensor kept = *c->out[0];
    const sqz_tensor *in[1] = {&kept};
    uint32_t mask;
    job j = {.c = c, .slope = slope, .s = collect ? c->scratch : NULL};
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_axes_mask(c->ctx, &at->axes, x->rank, &mask));
    if (at->axes.n == 0)
        mask = at->noop_with_empty_axes ? 0 : UINT32_MAX;
    kept.shape = *x;
    for (int32_t i = 0; i < x->rank; i++)
        if (mask >> i & 1)
            kept.shape.dim[i] = 1;
    sqz_walk_plan(&j.w, in, 1, x);
    if (collect)
        collect_all(&j, collect, c->scratch);
    const size_t n = j.w.dim[j.w.n_dim - 1];
    return sqz_parallel(c->ctx, c->in[0]->count / n, 16384 / n + 1, piece, &j);
}
