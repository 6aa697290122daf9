/* transpose: axis i of the output is axis perm[i] of the input. */
#include "kernels/kernels.h"
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    sqz_ints perm;
    int64_t view;
} attrs;
static const sqz_attr schema[] = {
    {.name = "perm",
     .offset = offsetof(attrs, perm),
     .type = SQZ_A_INTS,
     .min = 0,
     .max = SQZ_MAX_RANK - 1,
     .doc = "axis of the input for each of the output; empty: reversed"},
    {.name = "view",
     .offset = offsetof(attrs, view),
     .type = SQZ_A_BOOL,
     .max = 1,
     .flags = SQZ_AF_INTERNAL,
     .doc = "the bytes are in the wanted order already; set by the layout pass"},
};

static int32_t source(const attrs *at, int32_t rank, int32_t i)
{
    return at->perm.n ? (int32_t)at->perm.v[i] : rank - 1 - i;
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    uint32_t mask;
    if (at->view) { /* input and output stand in different layouts: docs/ir.md */
        q->out[0] = *x;
        return SQZ_OK;
    }
    if (at->perm.n && at->perm.n != (uint32_t)x->rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "perm has %u entries for an input of rank %d",
                        (unsigned)at->perm.n, (int)x->rank);
    SQZ_TRY(sqz_axes_mask(q->ctx, &at->perm, x->rank, &mask));
    q->out[0].rank = x->rank;
    for (int32_t i = 0; i < x->rank; i++)
        q->out[0].dim[i] = x->dim[source(at, x->rank, i)];
    return SQZ_OK;
}

#define PIECE ((size_t)1 << 17) /* bytes of one piece of work: some 10 us */

/* Output dimensions with the step of each in the input, in elements; neighbors that stay neighbors
 * are one. */
typedef struct job {
    int32_t n;
    size_t dim[SQZ_MAX_RANK], step[SQZ_MAX_RANK], elem;
    const unsigned char *x;
    unsigned char *y;
    /* Matrices that are turned: the last dimension of the output, and `across`, which is the last
     * one of the input, in blocks of its indices. */
    sqz_transpose_b4_fn turn;
    int32_t across;
    size_t block, n_block;
} job;

static void plan(const sqz_call *c, job *j)
{
    const sqz_shape *x = &c->in[0]->shape, *y = &c->out[0]->shape;
    size_t step[SQZ_MAX_RANK], at = 1;
    for (int32_t i = x->rank - 1; i >= 0; i--) {
        step[i] = at;
        at *= (size_t)x->dim[i];
    }
    for (int32_t i = 0; i < y->rank; i++) {
        size_t d = (size_t)y->dim[i], s = step[source(c->attrs, x->rank, i)];
        if (d == 1)
            continue;
        if (j->n == 0 || j->step[j->n - 1] != s * d)
            j->dim[j->n++] = 1;
        j->dim[j->n - 1] *= d;
        j->step[j->n - 1] = s;
    }
}

static void gather_row(const unsigned char *x, size_t step, size_t elem, size_t n, unsigned char *y)
{
    if (step == 1)
        memcpy(y, x, n * elem);
    else
        for (size_t i = 0; i < n; i++)
            memcpy(y + i * elem, x + i * step * elem, elem);
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t n = j->dim[j->n - 1];
    for (size_t row = begin; row < end; row++) {
        size_t from = 0, rest = row;
        for (int32_t d = j->n - 2; d >= 0; d--) {
            from += rest % j->dim[d] * j->step[d];
            rest /= j->dim[d];
        }
        gather_row(j->x + from * j->elem, j->step[j->n - 1], j->elem, n, j->y + row * n * j->elem);
    }
    return SQZ_OK;
}

/* Elements from the begin of the output for each index of dimension d. */
static size_t distance(const job *j, int32_t d)
{
    size_t n = 1;
    for (int32_t i = d + 1; i < j->n; i++)
        n *= j->dim[i];
    return n;
}

static sqz_status turn_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const int32_t last = j->n - 1;
    const size_t rows = j->dim[last], cols = j->dim[j->across], ldy = distance(j, j->across);
    for (size_t i = begin; i < end; i++) {
        const size_t col = i % j->n_block * j->block;
        size_t from = col, to = col * ldy, rest = i / j->n_block;
        for (int32_t d = last - 1; d >= 0; d--)
            if (d != j->across) {
                from += rest % j->dim[d] * j->step[d];
                to += rest % j->dim[d] * distance(j, d);
                rest /= j->dim[d];
            }
        j->turn(rows, SQZ_MIN(j->block, cols - col), j->x + from * j->elem, j->step[last],
                j->y + to * j->elem, ldy);
    }
    return SQZ_OK;
}

static sqz_status turn(sqz_ctx *ctx, job *j, size_t count)
{
    const size_t rows = j->dim[j->n - 1], bytes = rows * j->elem;
    j->turn = j->elem == 4 ? ctx->kernels->transpose_b4 : ctx->kernels->transpose_b1;
    while (j->step[j->across] != 1)
        j->across++;
    const size_t cols = j->dim[j->across];
    j->block = SQZ_MAX(PIECE / bytes / 64, (size_t)1) * 64;
    j->n_block = (cols + j->block - 1) / j->block;
    const size_t each = SQZ_MIN(j->block, cols) * bytes;
    return sqz_parallel(ctx, count / rows / cols * j->n_block, SQZ_MAX(PIECE / each, (size_t)1),
                        turn_piece, j);
}

static sqz_status permute(const sqz_call *c, const void *arg)
{
    (void)arg;
    job j = {.elem = sqz_elem(c->in[0]), .x = c->in[0]->data, .y = c->out[0]->data};
    if (c->out[0]->count == 0 || ((const attrs *)c->attrs)->view)
        return sqz_view_run(c);
    plan(c, &j);
    if (j.n == 0 || (j.n == 1 && j.step[0] == 1))
        return sqz_view_run(c);
    const size_t n = j.dim[j.n - 1];
    if (j.step[j.n - 1] != 1 && (j.elem == 4 || j.elem == 1))
        return turn(c->ctx, &j, c->out[0]->count);
    return sqz_parallel(c->ctx, c->out[0]->count / n, PIECE / SQZ_MIN(n * j.elem, PIECE), piece,
                        &j);
}
static sqz_status run(const sqz_call *c) { return sqz_move_run(c, permute, NULL); }

/* Output rows go back to where they came from. */
static sqz_status grad_piece(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const sqz_call run = {.attrs = c->attrs, .in = c->in};
    const bool add = sqz_grad_adds(c, 0);
    sqz_tensor y = *c->out[0];
    sqz_tensor *out[1] = {&y};
    sqz_call call = run;
    job j = {0};
    call.out = out;
    plan(&call, &j);
    const size_t n = j.n ? j.dim[j.n - 1] : 1, step = j.n ? j.step[j.n - 1] : 1;
    for (size_t row = begin; row < end; row++) {
        const float *g = c->out_grad[0] + row * n;
        size_t from = 0, rest = row;
        for (int32_t d = j.n - 2; d >= 0; d--) {
            from += rest % j.dim[d] * j.step[d];
            rest /= j.dim[d];
        }
        float *to = c->in_grad[0] + from;
        for (size_t i = 0; i < n; i++)
            to[i * step] = add ? to[i * step] + g[i] : g[i];
    }
    return SQZ_OK;
}
static sqz_status grad(const sqz_grad_call *c)
{
    sqz_grad_call g = *c;
    sqz_tensor y = *c->out[0];
    sqz_tensor *out[1] = {&y};
    const sqz_call run = {.attrs = c->attrs, .in = c->in, .out = out};
    job j = {0};
    if (((const attrs *)c->attrs)->view)
        return sqz_grad_copy(c);
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || y.count == 0)
        return SQZ_OK;
    plan(&run, &j);
    const size_t n = j.n ? j.dim[j.n - 1] : 1;
    return sqz_parallel(c->ctx, y.count / n, SQZ_MAX(16384 / n, (size_t)1), grad_piece, &g);
}

static void ties(sqz_ties *t)
{
    const attrs *at = t->attrs;
    const int32_t rank = t->in[0]->shape.rank;
    for (int32_t i = 0; i < rank; i++)
        sqz_tie_same(t, SQZ_TIE_IN(0, at->view ? i : source(at, rank, i)), SQZ_TIE_OUT(0, i));
}

static const sqz_case cases[] = {
    {.attrs = "perm=0,3,1,2", .n_in = 1, .in = {{4, {2, 3, 5, 4}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "perm=1,0", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -8, .hi = 7, .dtype = {SQZ_S4}},
    {.attrs = "perm=1,0,2", .n_in = 1, .in = {{3, {2, 3, 4}}}},
};

const sqz_op sqz_op_transpose = {
    .info = {.name = "transpose",
             .doc = "permutes the axes",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = grad,
    .ties = ties,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Transpose", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
