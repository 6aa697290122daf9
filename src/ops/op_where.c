/* where: y = a where the condition is true, b elsewhere; all three are broadcast. Moves elements of
 * any type of whole bytes. */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

static sqz_status infer(sqz_infer *q)
{
    const sqz_value *c = q->in[0], *a = q->in[1], *b = q->in[2];
    sqz_shape both;
    if (c->dtype != SQZ_BOOL)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "the condition is %s, expected bool",
                        sqz_dtype_name(c->dtype));
    if (a->dtype != b->dtype)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "choices are %s and %s, expected one type",
                        sqz_dtype_name(a->dtype), sqz_dtype_name(b->dtype));
    SQZ_TRY(sqz_need_bytes(q, 1));
    SQZ_TRY(sqz_shape_broadcast(q->ctx, &a->shape, &b->shape, &both));
    q->out_dtype[0] = a->dtype;
    return sqz_shape_broadcast(q->ctx, &c->shape, &both, &q->out[0]);
}

#define ROW(type)                                                                                  \
    static void row_##type(const void *pc, const void *pa, const void *pb, void *py, size_t n)     \
    {                                                                                              \
        const uint8_t *c = pc;                                                                     \
        const type *a = pa, *b = pb;                                                               \
        type *y = py;                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            y[i] = c[i] ? a[i] : b[i];                                                             \
    }
ROW(uint8_t)
ROW(uint16_t)
ROW(uint32_t)
ROW(uint64_t)

static sqz_status run(const sqz_call *c)
{
    const size_t size = sqz_elem(c->out[0]);
    return sqz_ew_broadcast3(c, size == 1   ? row_uint8_t
                                : size == 2 ? row_uint16_t
                                : size == 4 ? row_uint32_t
                                            : row_uint64_t);
}

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_moves_grad_prepare(p, run, NULL, 6); }

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 3,
     .in = {{3, {2, 3, 4}}, {3, {2, 3, 4}}, {3, {2, 3, 4}}},
     .dtype = {SQZ_BOOL},
     .lo = 0,
     .hi = 1},
    {.attrs = "",
     .n_in = 3,
     .in = {{1, {4}}, {2, {3, 1}}, {0}},
     .dtype = {SQZ_BOOL, SQZ_S64, SQZ_S64},
     .lo = 0,
     .hi = 1},
};

const sqz_op sqz_op_where = {
    .info = {.name = "where", .doc = "a where the condition is true, else b"},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .ties = sqz_ties_elementwise,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 6},
    .onnx = {.op_type = "Where", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
