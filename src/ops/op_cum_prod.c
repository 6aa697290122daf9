/* cum_prod: the products of the elements so far along an axis. */
#include "ops/cum.h"
#include "ops/grad.h"
#include "ops/move.h"

SQZ_FLOATS(SQZ_CUM_SCAN, scan, double, 1, (s * v))
SQZ_WHOLES(SQZ_CUM_SCAN, scan, uint64_t, 1, (s * v))
static const sqz_cum_table table = {{SQZ_NUMBERS(SQZ_EW_OF, scan)}};
static sqz_status run(const sqz_call *c) { return sqz_cum_run(c, &table); }

/* dx_j = (product of the elements in front of j) * s_j, s_j the sum over the results behind of g
 * times the elements between: s_j = g_j + x_(j+1) s_(j+1). Exclusive: that of the next one. Nothing
 * is divided, so that zeros do no harm. */
typedef struct lines {
    const sqz_grad_call *c;
    sqz_split3 s;
} lines;

static void grad_line(const lines *l, size_t at, double *behind)
{
    const sqz_cum_attrs *a = l->c->attrs;
    const size_t n = l->s.n, step = l->s.inner;
    const float *x = SQZ_F32P(l->c->in[0]), *g = l->c->out_grad[0];
    float *d = l->c->in_grad[0];
    double s = 0, front = 1;
    for (size_t i = n; i-- > 0;) {
        const size_t k = at + (a->reverse ? n - 1 - i : i) * step;
        const double with = (double)g[k];
        behind[i] = a->exclusive ? s : with + s;
        s = (a->exclusive ? with + (double)x[k] * s : (double)x[k] * (with + s));
    }
    for (size_t i = 0; i < n; i++) {
        const size_t k = at + (a->reverse ? n - 1 - i : i) * step;
        d[k] = (sqz_grad_adds(l->c, 0) ? d[k] : 0) + (float)(front * behind[i]);
        front *= (double)x[k];
    }
}

static sqz_status grad_lines(void *arg, size_t begin, size_t end)
{
    const lines *l = arg;
    for (size_t i = begin; i < end; i++)
        grad_line(l, i / l->s.inner * l->s.n * l->s.inner + i % l->s.inner,
                  (double *)l->c->scratch + i * l->s.n);
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    lines l = {.c = c};
    int32_t axis;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_axis(c->ctx, ((const sqz_cum_attrs *)c->attrs)->axis, c->in[0]->shape.rank, &axis));
    l.s = sqz_split_at(&c->in[0]->shape, axis);
    return sqz_parallel(c->ctx, l.s.outer * l.s.inner, 4096 / l.s.n + 1, grad_lines, &l);
}
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    if (!sqz_mul(p->in[0]->count, sizeof(double), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "axis=1", .n_in = 1, .in = {{3, {2, 5, 3}}}},
    {.attrs = "axis=-1 reverse=1", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axis=0 exclusive=1",
     .n_in = 1,
     .in = {{2, {4, 3}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_cum_prod = {
    SQZ_CUM_COLUMNS("cum_prod", "products of the elements so far along an axis"),
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0,
    .onnx = {.op_type = "CumProd", .since = 26},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
