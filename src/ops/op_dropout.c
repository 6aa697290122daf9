/* dropout: y = x. What training drops is drawn by dropout_train, which takes its place there. */
#include "ops/dropout.h"
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

static const sqz_attr schema[] = {
    {.name = "ratio",
     .offset = offsetof(sqz_dropout_attrs, ratio),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = 0,
     .max = 1,
     .doc = "of elements that training drops; has no effect here"},
};

static sqz_status infer(sqz_infer *q)
{
    q->out[0] = q->in[0]->shape;
    return SQZ_OK;
}

/* An input from opset 12 on, an attribute before. */
static sqz_status write(sqz_export *e)
{
    float *ratio = sqz_arena_alloc(e->arena, 1, sizeof *ratio);
    if (!ratio)
        return SQZ_E_NOMEM;
    *ratio = (float)((const sqz_dropout_attrs *)e->attrs)->ratio;
    e->op_type = "Dropout";
    if (e->opset < 12) {
        e->attr[e->n_attr++] = (sqz_export_attr){.name = "ratio", .type = 1, .f = *ratio};
        return SQZ_OK;
    }
    e->in[1].value = SQZ_NONE;
    e->in[1].is_const = e->in[1].is_float = e->in[1].scalar = true;
    e->in[1].floats = (sqz_floats){1, ratio};
    e->n_in = 2;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "ratio=0.25", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_dropout = {
    .info = {.name = "dropout",
             .doc = "x; in training, zero for some elements",
             .opt_size = sizeof(sqz_dropout_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_VIEW | SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = sqz_view_run,
    .cost = sqz_view_cost,
    .grad = sqz_grad_copy,
    .ties = sqz_ties_elementwise,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.write = write}, /* read by lower_dropout.c */
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
