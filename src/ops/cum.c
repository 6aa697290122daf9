/* cum.c: see cum.h. */
#include "ops/cum.h"
#include "ops/move.h"

const sqz_attr sqz_cum_schema[3] = {
    {.name = "axis",
     .offset = offsetof(sqz_cum_attrs, axis),
     .type = SQZ_A_INT,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS | SQZ_AF_REQUIRED,
     .slot = 1,
     .since = 1,
     .doc = "axis along which elements are gathered"},
    {.name = "exclusive",
     .offset = offsetof(sqz_cum_attrs, exclusive),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "without the element itself"},
    {.name = "reverse",
     .offset = offsetof(sqz_cum_attrs, reverse),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "from the end"},
};

sqz_status sqz_cum_infer(sqz_infer *q)
{
    int32_t axis = 0;
    if (sqz_dtype_bits(q->in[0]->dtype) < 8 || q->in[0]->dtype == SQZ_BOOL)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input 0 is %s, expected numbers of whole bytes",
                        sqz_dtype_name(q->in[0]->dtype));
    q->out[0] = q->in[0]->shape;
    return sqz_axis(q->ctx, ((const sqz_cum_attrs *)q->attrs)->axis, q->in[0]->shape.rank, &axis);
}

typedef struct job {
    sqz_split3 s;
    sqz_cum_fn scan;
    const sqz_cum_attrs *at;
    const unsigned char *x;
    unsigned char *y;
    size_t size; /* bytes of an element */
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const ptrdiff_t step = (ptrdiff_t)j->s.inner;
    for (size_t i = begin; i < end; i++) {
        size_t from = i / j->s.inner * j->s.n * j->s.inner + i % j->s.inner;
        if (j->at->reverse)
            from += (j->s.n - 1) * j->s.inner;
        j->scan(j->x + from * j->size, j->y + from * j->size, j->s.n, j->at->reverse ? -step : step,
                j->at->exclusive != 0);
    }
    return SQZ_OK;
}

sqz_status sqz_cum_run(const sqz_call *c, const sqz_cum_table *table)
{
    const sqz_tensor *x = c->in[0];
    int32_t axis = 0;
    job j = {.scan = table->of[x->dtype],
             .at = c->attrs,
             .x = x->data,
             .y = c->out[0]->data,
             .size = sqz_elem(x)};
    SQZ_TRY(sqz_axis(c->ctx, j.at->axis, x->shape.rank, &axis));
    j.s = sqz_split_at(&x->shape, axis);
    if (x->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, j.s.outer * j.s.inner, 1 + 16384 / j.s.n, piece, &j);
}
