/* reduce_grad.c: the gradient of sums and means: spread over what was added up. */
#include "ops/grad.h"
#include "ops/reduce.h"
#include "ops/walk.h"

typedef struct job {
    const sqz_grad_call *c;
    sqz_walk w;
    float factor;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t n = j->w.dim[j->w.n_dim - 1], step = j->w.step[j->w.n_dim - 1][0];
    const bool add = sqz_grad_adds(j->c, 0);
    for (size_t r = begin; r < end; r++) {
        size_t from[SQZ_WALK_IN];
        float *d = j->c->in_grad[0] + r * n;
        sqz_walk_at(&j->w, r * n, from);
        const float *g = j->c->out_grad[0] + from[0];
        for (size_t i = 0; i < n; i++)
            d[i] = (add ? d[i] : 0) + g[i * step] * j->factor;
    }
    return SQZ_OK;
}

static sqz_status spread(const sqz_grad_call *c, bool mean)
{
    const sqz_reduce_attrs *at = c->attrs;
    const sqz_shape *x = &c->in[0]->shape;
    sqz_tensor kept = *c->out[0];
    const sqz_tensor *in[1] = {&kept};
    uint32_t mask;
    job j = {.c = c, .factor = 1};
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_axes_mask(c->ctx, &at->axes, x->rank, &mask));
    if (at->axes.n == 0)
        mask = at->noop_with_empty_axes ? 0 : UINT32_MAX;
    kept.shape = *x;
    for (int32_t i = 0; i < x->rank; i++)
        if (mask >> i & 1)
            kept.shape.dim[i] = 1;
    if (mean)
        j.factor = (float)((double)c->out[0]->count / (double)c->in[0]->count);
    sqz_walk_plan(&j.w, in, 1, x);
    const size_t n = j.w.dim[j.w.n_dim - 1];
    return sqz_parallel(c->ctx, c->in[0]->count / n, 16384 / n + 1, piece, &j);
}
sqz_status sqz_reduce_grad_sum(const sqz_grad_call *c) { return spread(c, false); }
sqz_status sqz_reduce_grad_mean(const sqz_grad_call *c) { return spread(c, true); }
