/* matmul: y(...,M,N) = a(...,M,K) . b(...,K,N), batch dimensions broadcast as in NumPy; an operand
 * of rank 1 is a row (a) or a column (b) whose dimension leaves the result. On integers b is a
 * constant matrix, one scale for each of its columns. */
#include "kernels/blas.h"
#include "ops/fc.h"

typedef struct sides { /* both operands as stacks of matrices */
    sqz_shape a, b;    /* batch dimensions */
    int64_t m, k, n, b_k;
} sides;

static sides sides_of(const sqz_shape *a, const sqz_shape *b)
{
    sides s = {.a = *a, .b = *b};
    s.k = a->dim[a->rank - 1];
    s.m = a->rank > 1 ? a->dim[a->rank - 2] : 1;
    s.n = b->rank > 1 ? b->dim[b->rank - 1] : 1;
    s.b_k = b->dim[b->rank > 1 ? b->rank - 2 : 0];
    s.a.rank = SQZ_MAX(a->rank - 2, 0);
    s.b.rank = SQZ_MAX(b->rank - 2, 0);
    return s;
}

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *a = &q->in[0]->shape, *b = &q->in[1]->shape;
    SQZ_TRY(sqz_check_types(q));
    if (a->rank < 1 || b->rank < 1)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "a scalar operand");
    sides s = sides_of(a, b);
    if (s.k != s.b_k || s.k > INT32_MAX || s.m > INT32_MAX || s.n > INT32_MAX)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld columns times %lld rows", (long long)s.k,
                        (long long)s.b_k);
    SQZ_TRY(sqz_shape_broadcast(q->ctx, &s.a, &s.b, &q->out[0]));
    if (a->rank > 1)
        q->out[0].dim[q->out[0].rank++] = s.m;
    if (b->rank > 1)
        q->out[0].dim[q->out[0].rank++] = s.n;
    return SQZ_OK;
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_shape *a = &q->in[0]->shape;
    out->kind = SQZ_COST_FC;
    out->macs = (uint64_t)a->dim[a->rank - 1];
    for (int32_t i = 0; i < q->out[0].rank; i++)
        out->macs *= (uint64_t)q->out[0].dim[i];
}

/* ---- float ---- */

typedef struct batch {
    sides s;
    sqz_shape y; /* batch dimensions of the result */
    sqz_sgemm g; /* of matrix 0 */
} batch;

/* Matrix of `from` that entry i of the batch `y` uses. */
static size_t source(const sqz_shape *y, const sqz_shape *from, size_t i)
{
    size_t at = 0, step = 1;
    for (int32_t d = y->rank - 1, f = from->rank - 1; f >= 0; d--, f--) {
        size_t index = i % (size_t)y->dim[d];
        i /= (size_t)y->dim[d];
        at += from->dim[f] == 1 ? 0 : index * step;
        step *= (size_t)from->dim[f];
    }
    return at;
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const batch *t = arg;
    for (size_t i = begin; i < end; i++) {
        sqz_sgemm g = t->g;
        g.a += source(&t->y, &t->s.a, i) * g.m * g.k;
        g.b += source(&t->y, &t->s.b, i) * g.k * g.n;
        g.c += i * g.m * g.n;
        sqz_sgemm_rows(&g, 0, g.m);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_shape *a = &c->in[0]->shape, *b = &c->in[1]->shape;
    batch t = {.s = sides_of(a, b)};
    size_t m = (size_t)t.s.m, n = (size_t)t.s.n, k = (size_t)t.s.k;
    if (c->out[0]->count == 0)
        return SQZ_OK;
    t.g = (sqz_sgemm){.m = m,
                      .n = n,
                      .k = k,
                      .a = SQZ_F32P(c->in[0]),
                      .lda = SQZ_MAX(k, 1),
                      .b = SQZ_F32P(c->in[1]),
                      .ldb = n,
                      .c = SQZ_F32P(c->out[0]),
                      .ldc = n};
    if (t.s.b.rank == 0) { /* one right side: the stack is one tall matrix */
        t.g.m = c->out[0]->count / n;
        return sqz_sgemm_all(c->ctx, &t.g);
    }
    SQZ_TRY(sqz_shape_broadcast(c->ctx, &t.s.a, &t.s.b, &t.y));
    size_t work = SQZ_MAX(m * n * k, 1); /* a chunk of matrices is about a million products */
    return sqz_parallel(c->ctx, c->out[0]->count / (m * n), 1048576 / work + 1, chunk, &t);
}

/* ---- integer ---- */

static sqz_status prepare(sqz_prep *p)
{
    const sqz_tensor *b = p->in[1];
    if (!sqz_is_integer(p))
        return SQZ_OK;
    if (b->shape.rank != 2 || !b->data)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "the integer form needs a constant matrix on the right side");
    size_t n = sqz_dim(b, 1);
    return sqz_fc_prepare(p, &(sqz_weights){.n = n,
                                            .k = sqz_dim(b, 0),
                                            .ld_n = 1,
                                            .ld_k = n,
                                            .groups = 1,
                                            .channel_axis = 1,
                                            .slot = 1});
}

static const sqz_case cases[] = {
    {.n_in = 2, .in = {{2, {3, 6}}, {2, {6, 5}}}, .constant = 2},
    {.n_in = 2, .in = {{3, {2, 3, 4}}, {2, {4, 9}}}, .constant = 2},
    {.n_in = 2, .in = {{4, {2, 1, 3, 4}}, {3, {5, 4, 2}}}},
    {.n_in = 2, .in = {{1, {4}}, {2, {4, 3}}}, .constant = 2},
    {.n_in = 2, .in = {{2, {3, 4}}, {1, {4}}}},
};

const sqz_op sqz_op_matmul = {
    .info = {.name = "matmul", .doc = "matrix product, batch dimensions broadcast"},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .run_int = sqz_fc_run_s8,
    .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .channel_axis = -1},
    .onnx = {.op_type = "MatMul", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
