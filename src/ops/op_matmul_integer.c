/* matmul_integer: y(...,M,N) = (a - za)(...,M,K) . (b - zb)(...,K,N) on int8 or uint8 codes, summed
 * in 32 bits. Zero points are one number, one for each row of a and column of b, or both with the
 * batch dimensions of their operand: (...,M,1), (...,1,N). Computed as (a - za) . b - zb * sum(a -
 * za). */
#include "ops/ew.h"

typedef struct sides { /* both operands as stacks of matrices; vectors are one row, one column */
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

static bool is_byte(sqz_dtype d) { return d == SQZ_S8 || d == SQZ_U8; }

/* One number, a list of `n`, or the shape of `x` with 1 in place of the axis that is summed over.
 */
static sqz_status check_zero(sqz_infer *q, unsigned slot, const sqz_value *x, int64_t n, bool row)
{
    const sqz_value *z = slot < q->n_in ? q->in[slot] : NULL;
    if (!z)
        return SQZ_OK;
    sqz_shape one = x->shape;
    size_t count = 1;
    one.dim[x->shape.rank - (row || x->shape.rank < 2 ? 1 : 2)] = 1;
    for (int32_t i = 0; i < z->shape.rank; i++)
        count *= (size_t)z->shape.dim[i];
    bool list = z->shape.rank == 1 && z->shape.dim[0] == n;
    if (z->dtype != x->dtype || !(count == 1 || list || sqz_shape_eq(&z->shape, &one)))
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "zero point %u fits its operand neither in type nor shape", slot);
    return SQZ_OK;
}

static sqz_status infer(sqz_infer *q)
{
    const sqz_value *a = q->in[0], *b = q->in[1];
    if (!is_byte(a->dtype) || !is_byte(b->dtype))
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                        "operands are %s and %s, expected 8-bit integers", sqz_dtype_name(a->dtype),
                        sqz_dtype_name(b->dtype));
    if (a->shape.rank < 1 || b->shape.rank < 1)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "a scalar operand");
    sides s = sides_of(&a->shape, &b->shape);
    if (s.k != s.b_k || s.k > INT32_MAX || s.m > INT32_MAX || s.n > INT32_MAX)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld columns times %lld rows", (long long)s.k,
                        (long long)s.b_k);
    SQZ_TRY(check_zero(q, 2, a, s.m, true));
    SQZ_TRY(check_zero(q, 3, b, s.n, false));
    SQZ_TRY(sqz_shape_broadcast(q->ctx, &s.a, &s.b, &q->out[0]));
    if (a->shape.rank > 1)
        q->out[0].dim[q->out[0].rank++] = s.m;
    if (b->shape.rank > 1)
        q->out[0].dim[q->out[0].rank++] = s.n;
    q->out_dtype[0] = SQZ_S32;
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

typedef struct job {
    sides s;
    sqz_shape y; /* batch dimensions of the result */
    const sqz_tensor *a, *b, *za, *zb;
    uint32_t *out;
} job;

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

static int32_t code(const sqz_tensor *t, size_t i)
{
    return t->dtype == SQZ_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

/* Zero point of row or column i of n, of matrix `at` of the operand. */
static int32_t zero_of(const sqz_tensor *z, size_t at, size_t n, size_t i)
{
    if (!z || z->count == 1)
        return z ? code(z, 0) : 0;
    return code(z, z->shape.rank == 1 ? i : at * n + i);
}

/* y += x * row, modulo 2^32 */
static void add_row(uint32_t *y, int32_t x, const sqz_tensor *b, size_t at, size_t n)
{
    const uint8_t *u = (const uint8_t *)b->data + at;
    const int8_t *s = (const int8_t *)b->data + at;
    if (b->dtype == SQZ_U8)
        for (size_t i = 0; i < n; i++)
            y[i] += (uint32_t)(x * u[i]);
    else
        for (size_t i = 0; i < n; i++)
            y[i] += (uint32_t)(x * s[i]);
}

static sqz_status rows(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t m = (size_t)j->s.m, k = (size_t)j->s.k, n = (size_t)j->s.n;
    for (size_t r = begin; r < end; r++) {
        const size_t row = r % m;
        const size_t a = source(&j->y, &j->s.a, r / m), b = source(&j->y, &j->s.b, r / m);
        const int32_t za = zero_of(j->za, a, m, row);
        uint32_t *y = j->out + r * n, sum = 0;
        for (size_t i = 0; i < n; i++)
            y[i] = 0;
        for (size_t i = 0; i < k; i++) {
            int32_t x = code(j->a, (a * m + row) * k + i) - za;
            sum += (uint32_t)x;
            if (x)
                add_row(y, x, j->b, (b * k + i) * n, n);
        }
        for (size_t i = 0; j->zb && i < n; i++)
            y[i] -= sum * (uint32_t)zero_of(j->zb, b, n, i);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    job j = {.s = sides_of(&c->in[0]->shape, &c->in[1]->shape),
             .a = c->in[0],
             .b = c->in[1],
             .za = c->n_in > 2 ? c->in[2] : NULL,
             .zb = c->n_in > 3 ? c->in[3] : NULL,
             .out = c->out[0]->data};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_shape_broadcast(c->ctx, &j.s.a, &j.s.b, &j.y));
    size_t work = SQZ_MAX((size_t)j.s.k * (size_t)j.s.n, (size_t)1); /* of a row */
    return sqz_parallel(c->ctx, c->out[0]->count / (size_t)j.s.n, 262144 / work + 1, rows, &j);
}

static const sqz_case cases[] = {
    {.n_in = 2, .in = {{2, {3, 6}}, {2, {6, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S8, SQZ_S8}},
    {.n_in = 4,
     .in = {{3, {2, 3, 4}}, {2, {4, 9}}, {0}, {1, {9}}},
     .lo = 0,
     .hi = 200,
     .constant = 10,
     .dtype = {SQZ_U8, SQZ_U8, SQZ_U8, SQZ_U8}},
    {.n_in = 4,
     .in = {{3, {2, 3, 4}}, {1, {4}}, {3, {2, 3, 1}}, {1, {1}}},
     .lo = 0,
     .hi = 100,
     .dtype = {SQZ_U8, SQZ_S8, SQZ_U8, SQZ_S8}},
};

const sqz_op sqz_op_matmul_integer = {
    .info = {.name = "matmul_integer",
             .doc = "matrix product of 8-bit codes minus their zero points"},
    .n_in_min = 2,
    .n_in_max = 4,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_TYPES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = cost,
    .no_grad = "it works on integers",
    .onnx = {.op_type = "MatMulInteger", .since = 10},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
