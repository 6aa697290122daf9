/* arg.c: see arg.h. */
#include "ops/arg.h"
#include "ops/move.h"

const sqz_attr sqz_arg_schema[3] = {
    {.name = "axis",
     .offset = offsetof(sqz_arg_attrs, axis),
     .type = SQZ_A_INT,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS,
     .doc = "axis along which the best element is looked for"},
    {.name = "keepdims",
     .offset = offsetof(sqz_arg_attrs, keepdims),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "the axis stays, with one entry"},
    {.name = "select_last_index",
     .offset = offsetof(sqz_arg_attrs, select_last_index),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "of equal elements, the last"},
};

sqz_status sqz_arg_infer(sqz_infer *q)
{
    const sqz_arg_attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    int32_t axis = 0;
    if (sqz_dtype_bits(q->in[0]->dtype) < 8 || q->in[0]->dtype == SQZ_BOOL)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input 0 is %s, expected numbers of whole bytes",
                        sqz_dtype_name(q->in[0]->dtype));
    SQZ_TRY(sqz_axis(q->ctx, at->axis, x->rank, &axis));
    if (x->dim[axis] == 0)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "axis %d has no elements to choose from", (int)axis);
    for (int32_t i = 0; i < x->rank; i++)
        if (i != axis || at->keepdims)
            q->out[0].dim[q->out[0].rank++] = i == axis ? 1 : x->dim[i];
    q->out_dtype[0] = SQZ_S64;
    return SQZ_OK;
}

typedef struct job {
    sqz_split3 s;
    sqz_arg_fn find;
    const unsigned char *x;
    size_t size; /* bytes of an element */
    int64_t *y;
    bool last;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t i = begin; i < end; i++) {
        const size_t from = i / j->s.inner * j->s.n * j->s.inner + i % j->s.inner;
        j->y[i] = (int64_t)j->find(j->x + from * j->size, j->s.n, j->s.inner, j->last);
    }
    return SQZ_OK;
}

sqz_status sqz_arg_run(const sqz_call *c, const sqz_arg_table *table)
{
    const sqz_arg_attrs *at = c->attrs;
    const sqz_tensor *x = c->in[0];
    int32_t axis = 0;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, x->shape.rank, &axis));
    job j = {.s = sqz_split_at(&x->shape, axis),
             .find = table->of[x->dtype],
             .x = x->data,
             .size = sqz_elem(x),
             .y = SQZ_S64P(c->out[0]),
             .last = at->select_last_index != 0};
    return sqz_parallel(c->ctx, c->out[0]->count, 1 + 16384 / j.s.n, piece, &j);
}
