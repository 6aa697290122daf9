/* softmax.c: see softmax.h. */
#include "ops/softmax.h"
#include <stdio.h>
#include <string.h>

const sqz_attr sqz_softmax_schema[1] = {
    {.name = "axis",
     .offset = offsetof(sqz_softmax_attrs, axis),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS | SQZ_AF_REQUIRED, /* defaults differ by opset */
     .doc = "axis along which the results sum to 1"}};

sqz_status sqz_softmax_infer(sqz_infer *q)
{
    const sqz_softmax_attrs *at = q->attrs;
    int32_t axis = 0;
    SQZ_TRY(sqz_need_real(q, 0));
    q->out[0] = q->in[0]->shape;
    return sqz_axis(q->ctx, at->axis, q->in[0]->shape.rank, &axis);
}

/* Largest, exponential, sum, division. */
void sqz_softmax_cost(const sqz_infer *q, sqz_cost *out)
{
    sqz_move_cost(q, out);
    out->kind = SQZ_COST_SOFTMAX;
    out->ops *= 4;
}

typedef struct job {
    sqz_split3 s;
    sqz_softmax_row_fn row;
    float *y;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t r = begin; r < end; r++)
        j->row(j->y + r / j->s.inner * j->s.n * j->s.inner + r % j->s.inner, j->s.n, j->s.inner);
    return SQZ_OK;
}

sqz_status sqz_softmax_run(const sqz_call *c, sqz_softmax_row_fn row)
{
    int32_t axis = 0;
    SQZ_TRY(
        sqz_axis(c->ctx, ((const sqz_softmax_attrs *)c->attrs)->axis, c->in[0]->shape.rank, &axis));
    job j = {sqz_split_at(&c->in[0]->shape, axis), row, SQZ_F32P(c->out[0])};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    if (c->out[0]->data != c->in[0]->data)
        memcpy(c->out[0]->data, c->in[0]->data, c->out[0]->bytes);
    return sqz_parallel(c->ctx, j.s.outer * j.s.inner, 1 + 4096 / j.s.n, piece, &j);
}

/* Over several dimensions at once: to a matrix and back. The batch stays free where it can. */
static sqz_status import_flat(sqz_import *im, const sqz_op *op, int32_t axis)
{
    sqz_graph *g = im->g;
    const sqz_shape x = sqz_val(g, im->in[0])->shape;
    sqz_arena temp = {.ctx = g->ctx};
    const sqz_softmax_attrs last = {-1};
    char text[64], target[256] = "shape=";
    size_t used = strlen(target);
    sqz_vid v = SQZ_NONE;
    (void)snprintf(text, sizeof text, "axis=%d", (int)axis);
    for (int32_t i = 0; i < x.rank; i++) {
        long long d = i == 0 && axis == 1 ? 0 : i == 0 && axis > 1 ? -1 : (long long)x.dim[i];
        used += (size_t)snprintf(target + used, sizeof target - used, i ? ",%lld" : "%lld", d);
    }
    SQZ_TRY(sqz_graph_node_text(g, "flatten", NULL, text, im->in, 1, SQZ_NONE, &v));
    SQZ_TRY(sqz_graph_node(g, op, im->name, &last, &v, 1, NULL, 1, SQZ_NONE, &v));
    const sqz_op *reshape = sqz_op_find("reshape");
    void *opts = sqz_arena_alloc(&temp, 1, reshape->info.opt_size);
    if (!opts)
        return SQZ_E_NOMEM;
    sqz_opts_default(&reshape->info, opts);
    sqz_status s = sqz_opts_parse(&temp, &reshape->info, target, opts);
    if (s == SQZ_OK)
        s = sqz_graph_node(g, reshape, NULL, opts, &v, 1, im->out_name, 1, SQZ_NONE, &im->out[0]);
    sqz_arena_free(&temp);
    return s;
}

sqz_status sqz_softmax_import(sqz_import *im, const sqz_op *op)
{
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    int32_t axis = 0;
    SQZ_TRY(
        sqz_axis(im->g->ctx, sqz_import_int(im, "axis", im->opset < 13 ? 1 : -1), x->rank, &axis));
    const sqz_softmax_attrs at = {axis};
    if (im->opset < 13 && sqz_split_at(x, axis).inner != 1)
        return import_flat(im, op, axis);
    return sqz_import_node(im, op, &at, im->in, 1);
}
