/* softmax.c: see softmax.h. */
#include "ops/softmax.h"
#include <float.h>
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

/* The axis itself stays: leaving would change the sum. */
void sqz_softmax_ties(sqz_ties *t)
{
    const sqz_softmax_attrs *at = t->attrs;
    int32_t axis = 0;
    if (sqz_axis(t->ctx, at->axis, t->in[0]->shape.rank, &axis) == SQZ_OK)
        sqz_ties_axes(t, 0, 1u << axis);
}

/* Largest, exponential, sum, division. */
void sqz_softmax_cost(const sqz_infer *q, sqz_cost *out)
{
    sqz_move_cost(q, out);
    out->kind = SQZ_COST_SOFTMAX;
    out->ops *= 4;
}

#define GRAIN 16384 /* elements of a chunk, about */

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
    return sqz_parallel(c->ctx, j.s.outer * j.s.inner, 1 + GRAIN / j.s.n, piece, &j);
}

/* ---- softmax and its logarithm ---- */

#define COLUMNS 128 /* that are computed side by side where rows lie apart */

typedef struct kernel_job {
    sqz_split3 s;
    const sqz_kernels *k;
    const float *x;
    float *y;
    bool log;
} kernel_job;

static sqz_status row_piece(void *arg, size_t begin, size_t end)
{
    const kernel_job *j = arg;
    j->k->softmax_f32(end - begin, j->s.n, j->x + begin * j->s.n, j->y + begin * j->s.n, j->log);
    return SQZ_OK;
}

/* z = a kind b for n numbers. */
static void combine(const kernel_job *j, sqz_bin_kind kind, const float *a, const float *b,
                    float *z, size_t n)
{
    const sqz_operand xa = {.x = a, .step = 1}, xb = {.x = b, .step = 1};
    j->k->bin_f32(kind, &xa, &xb, z, 1, n);
}

/* Columns of a block, line by line: `at` is the first number of line 0. */
static void columns(const kernel_job *j, size_t at, size_t n)
{
    const size_t lines = j->s.n, step = j->s.inner;
    const float *x = j->x + at, finite[2] = {-FLT_MAX, INFINITY};
    float *y = j->y + at, top[COLUMNS], sum[COLUMNS] = {0}, e[COLUMNS];
    memcpy(top, x, n * sizeof *top);
    for (size_t i = 1; i < lines; i++)
        combine(j, SQZ_BIN_max, top, x + i * step, top, n);
    j->k->map_f32(SQZ_MAP_clip, finite, top, top, n);
    for (size_t i = 0; i < lines; i++) {
        float *to = j->log ? e : y + i * step;
        combine(j, SQZ_BIN_sub, x + i * step, top, y + i * step, n);
        j->k->map_f32(SQZ_MAP_exp, finite, y + i * step, to, n);
        combine(j, SQZ_BIN_add, sum, to, sum, n);
    }
    for (size_t k = 0; k < n; k++) /* a column of -infinity only is uniform */
        for (size_t i = 0; i < lines && sum[k] == 0; i++)
            y[i * step + k] = j->log ? 0.0f : 1.0f;
    for (size_t k = 0; k < n; k++)
        sum[k] = sum[k] == 0 ? (float)lines : sum[k];
    if (j->log)
        j->k->map_f32(SQZ_MAP_log, finite, sum, sum, n);
    for (size_t i = 0; i < lines; i++)
        combine(j, j->log ? SQZ_BIN_sub : SQZ_BIN_div, y + i * step, sum, y + i * step, n);
}

static sqz_status column_piece(void *arg, size_t begin, size_t end)
{
    const kernel_job *j = arg;
    const size_t per = (j->s.inner + COLUMNS - 1) / COLUMNS;
    for (size_t i = begin; i < end; i++) {
        const size_t first = i % per * COLUMNS;
        columns(j, i / per * j->s.n * j->s.inner + first,
                SQZ_MIN(j->s.inner - first, (size_t)COLUMNS));
    }
    return SQZ_OK;
}

sqz_status sqz_softmax_kernel(const sqz_call *c, bool log)
{
    int32_t axis = 0;
    SQZ_TRY(
        sqz_axis(c->ctx, ((const sqz_softmax_attrs *)c->attrs)->axis, c->in[0]->shape.rank, &axis));
    kernel_job j = {.s = sqz_split_at(&c->in[0]->shape, axis),
                    .k = c->ctx->kernels,
                    .x = SQZ_F32P(c->in[0]),
                    .y = SQZ_F32P(c->out[0]),
                    .log = log};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    if (j.s.inner == 1)
        return sqz_parallel(c->ctx, j.s.outer, 1 + GRAIN / j.s.n, row_piece, &j);
    const size_t per = (j.s.inner + COLUMNS - 1) / COLUMNS,
                 work = j.s.n * SQZ_MIN(j.s.inner, (size_t)COLUMNS);
    return sqz_parallel(c->ctx, j.s.outer * per, 1 + GRAIN / work, column_piece, &j);
}

/* ---- import ---- */

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
