/* softmax_grad.c: gradients of softmax and its logarithm, from their results. */
#include "ops/grad.h"
#include "ops/softmax.h"

typedef struct job {
    const sqz_grad_call *c;
    sqz_split3 s;
    bool log;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t n = j->s.n, step = j->s.inner;
    const bool add = sqz_grad_adds(j->c, 0);
    for (size_t r = begin; r < end; r++) {
        const size_t at = r / step * n * step + r % step;
        const float *y = SQZ_F32P(j->c->out[0]) + at, *g = j->c->out_grad[0] + at;
        float *d = j->c->in_grad[0] + at;
        double sum = 0;
        for (size_t i = 0; i < n * step; i += step)
            sum += j->log ? (double)g[i] : (double)g[i] * (double)y[i];
        for (size_t i = 0; i < n * step; i += step) {
            const double one = j->log ? (double)g[i] - exp((double)y[i]) * sum
                                      : (double)y[i] * ((double)g[i] - sum);
            d[i] = add ? d[i] + (float)one : (float)one;
        }
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_grad_call *c, bool log)
{
    int32_t axis;
    const sqz_shape *x = &c->in[0]->shape;
    SQZ_TRY(sqz_axis(c->ctx, ((const sqz_softmax_attrs *)c->attrs)->axis, x->rank, &axis));
    job j = {c, sqz_split_at(x, axis), log};
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, j.s.outer * j.s.inner, 1 + 16384 / j.s.n, piece, &j);
}
sqz_status sqz_softmax_grad(const sqz_grad_call *c) { return run(c, false); }
sqz_status sqz_softmax_grad_log(const sqz_grad_call *c) { return run(c, true); }
