/* cum_sum: the sums of the elements so far along an axis. */
#include "ops/cum.h"
#include "ops/grad.h"

SQZ_FLOATS(SQZ_CUM_SCAN, scan, double, 0, (s + v))
SQZ_WHOLES(SQZ_CUM_SCAN, scan, uint64_t, 0, (s + v))
static const sqz_cum_table table = {{SQZ_NUMBERS(SQZ_EW_OF, scan)}};
static sqz_status run(const sqz_call *c) { return sqz_cum_run(c, &table); }

/* Element i went into the sums behind it: those in front, of the gradients, the other way around.
 */
static sqz_status grad(const sqz_grad_call *c)
{
    sqz_cum_attrs at = *(const sqz_cum_attrs *)c->attrs;
    sqz_tensor g = *c->in[0], d = *c->in[0];
    const sqz_tensor *in[1] = {&g};
    sqz_tensor *out[1] = {&d};
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    at.reverse = !at.reverse;
    g.data = (void *)(uintptr_t)c->out_grad[0];
    d.data = sqz_grad_adds(c, 0) ? c->scratch : c->in_grad[0];
    const sqz_call call = {
        .ctx = c->ctx, .attrs = &at, .n_in = 1, .n_out = 1, .in = in, .out = out};
    SQZ_TRY(sqz_cum_run(&call, &table));
    for (size_t i = 0; sqz_grad_adds(c, 0) && i < d.count; i++)
        c->in_grad[0][i] += SQZ_F32P(&d)[i];
    return SQZ_OK;
}
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    p->scratch_bytes = p->in[0]->count * sizeof(float);
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

const sqz_op sqz_op_cum_sum = {
    SQZ_CUM_COLUMNS("cum_sum", "sums of the elements so far along an axis"),
    .grad = grad,
    .grad_prepare = grad_prepare,
    .onnx = {.op_type = "CumSum", .since = 11},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
