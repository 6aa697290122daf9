/* add: y = a + b, with broadcasting. */
#include "ops/ew.h"
#include "ops/grad.h"

/* integers wrap around */
SQZ_FLOATS(SQZ_EW_ROW, row, a + b)
SQZ_WHOLES(SQZ_EW_ROW, row, (uint64_t)a + (uint64_t)b)
static const sqz_rows rows = {.of = {SQZ_NUMBERS(SQZ_EW_OF, row)}, .fast = SQZ_BIN_add};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }

static sqz_status prepare(sqz_prep *p) { return sqz_ew_add_prepare(p, 1); }
static sqz_status run_int(const sqz_call *c)
{
    return sqz_ew_broadcast(c, sqz_ew_add_row, c->state);
}
static sqz_status part(const sqz_call *c, size_t begin, size_t end)
{
    return c->state ? sqz_ew_broadcast_part(c, sqz_ew_add_row, c->state, begin, end)
                    : sqz_ew_part2(c, &rows, begin, end);
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    return im->op_type[0] == 'S' ? sqz_ew_chain(im, op) : sqz_ew_import2(im, op);
}

static void slopes(unsigned k, const float *g, const float *a, size_t step_a, const float *b,
                   size_t step_b, float *d, size_t n)
{
    (void)a, (void)step_a, (void)b, (void)step_b, (void)k;
    for (size_t i = 0; i < n; i++)
        d[i] = g[i];
}
static sqz_status grad(const sqz_grad_call *c) { return sqz_ew_grad2(c, slopes); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 4}}}},
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {1, {4}}}},
    {.attrs = "", .n_in = 2, .in = {{2, {3, 1}}, {3, {2, 1, 5}}}},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {0}}, .constant = 2},
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {4}}},
     .lo = 1,
     .hi = 9,
     .dtype = {SQZ_S64, SQZ_S64}},
};

const sqz_op sqz_op_add = {
    .info = {.name = "add", .doc = "a + b"},
    SQZ_EW_BINARY,
    .prepare = prepare,
    .run_int = run_int,
    .part = part,
    .grad = grad,
    .quant = {.kind = SQZ_Q_REALIGN},
    .onnx = {.op_type = "Add", .since = 1, .also = "Sum", .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
