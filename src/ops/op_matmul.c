/* matmul: y(...,M,N) = a(...,M,K) . b(...,K,N) + bias(N), batch dimensions broadcast as in NumPy;
 * the bias, for one right side only, is an Add of its own in files; an operand
 * of rank 1 is a row (a) or a column (b) whose dimension leaves the result. On integers b is a
 * constant matrix, one scale for each of its columns. */
#include "kernels/blas.h"
#include "ops/coded.h"
#include "ops/fc.h"
#include "ops/linear_grad.h"
#include "ops/product.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    int64_t trans_b, int8_rows;
} attrs;
static const sqz_attr schema[] = {
    {.name = "trans_b",
     .offset = offsetof(attrs, trans_b),
     .type = SQZ_A_BOOL,
     .max = 1,
     .flags = SQZ_AF_INTERNAL,
     .doc = "b is (...,N,K); set by the executor"},
    {.name = "int8_rows",
     .offset = offsetof(attrs, int8_rows),
     .type = SQZ_A_BOOL,
     .max = 1,
     .flags = SQZ_AF_INTERNAL,
     .doc = "rows of a may be rounded to int8 by blocks where b stays codes: accuracy_level 4 of "
            "MatMulNBits"},
};

typedef struct sides { /* both operands as stacks of matrices */
    sqz_shape a, b;    /* batch dimensions */
    int64_t m, k, n, b_k;
} sides;

static sides sides_of(const void *opts, const sqz_shape *a, const sqz_shape *b)
{
    const bool trans = ((const attrs *)opts)->trans_b != 0;
    sides s = {.a = *a, .b = *b};
    s.k = a->dim[a->rank - 1];
    s.m = a->rank > 1 ? a->dim[a->rank - 2] : 1;
    s.n = b->rank > 1 ? b->dim[b->rank - (trans ? 2 : 1)] : 1;
    s.b_k = b->dim[b->rank > 1 ? b->rank - (trans ? 1 : 2) : 0];
    s.a.rank = SQZ_MAX(a->rank - 2, 0);
    s.b.rank = SQZ_MAX(b->rank - 2, 0);
    return s;
}

static bool is_whole(sqz_dtype d)
{
    return d == SQZ_S32 || d == SQZ_U32 || d == SQZ_S64 || d == SQZ_U64;
}

/* Integers without a grid are plain numbers, of one type. */
static sqz_status check_types(const sqz_infer *q)
{
    const sqz_value *a = q->in[0], *b = q->in[1];
    if (a->dtype == b->dtype && is_whole(a->dtype) && !a->quant && !b->quant)
        return SQZ_OK;
    return sqz_check_types(q);
}

static sqz_status check_bias(const sqz_infer *q, int64_t n)
{
    const sqz_value *c = q->n_in > 2 ? q->in[2] : NULL;
    const sqz_shape want = {1, {n}};
    if (!c)
        return SQZ_OK;
    if (q->in[0]->dtype == SQZ_F64 || (is_whole(q->in[0]->dtype) && !q->in[0]->quant))
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "a bias of a product of %s",
                        sqz_dtype_name(q->in[0]->dtype));
    if (q->in[1]->shape.rank != 2 || !sqz_shape_eq(&c->shape, &want))
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "the bias must have one number for each of %lld outputs of one matrix",
                        (long long)n);
    return SQZ_OK;
}

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *a = &q->in[0]->shape, *b = &q->in[1]->shape;
    SQZ_TRY(check_types(q));
    if (a->rank < 1 || b->rank < 1)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "a scalar operand");
    sides s = sides_of(q->attrs, a, b);
    if (s.k != s.b_k || s.k > INT32_MAX || s.m > INT32_MAX || s.n > INT32_MAX)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld columns times %lld rows", (long long)s.k,
                        (long long)s.b_k);
    SQZ_TRY(sqz_shape_broadcast(q->ctx, &s.a, &s.b, &q->out[0]));
    if (a->rank > 1)
        q->out[0].dim[q->out[0].rank++] = s.m;
    if (b->rank > 1)
        q->out[0].dim[q->out[0].rank++] = s.n;
    return check_bias(q, s.n);
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
    const sqz_call *c;
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
        SQZ_TRY(sqz_fused_rows(t->c, g.n, i * g.m, (i + 1) * g.m));
    }
    return SQZ_OK;
}

static sqz_status run_f32(const sqz_call *c)
{
    batch t = {.c = c, .s = sides_of(c->attrs, &c->in[0]->shape, &c->in[1]->shape)};
    const bool trans = ((const attrs *)c->attrs)->trans_b != 0;
    size_t m = (size_t)t.s.m, n = (size_t)t.s.n, k = (size_t)t.s.k;
    if (c->out[0]->count == 0)
        return SQZ_OK;
    if (t.s.b.rank == 0) /* one right side: the stack is one tall matrix */
        return sqz_matrix_run(c, c->state);
    t.g = (sqz_sgemm){.m = m,
                      .n = n,
                      .k = k,
                      .a = SQZ_F32P(c->in[0]),
                      .lda = SQZ_MAX(k, 1),
                      .b = SQZ_F32P(c->in[1]),
                      .ldb = trans ? SQZ_MAX(k, 1) : n,
                      .b_rows = trans,
                      .c = SQZ_F32P(c->out[0]),
                      .ldc = n};
    SQZ_TRY(sqz_shape_broadcast(c->ctx, &t.s.a, &t.s.b, &t.y));
    size_t work = SQZ_MAX(m * n * k, 1); /* a chunk of matrices is about a million products */
    return sqz_parallel(c->ctx, c->out[0]->count / (m * n), 1048576 / work + 1, chunk, &t);
}

/* ---- other types: row by row; integers wrap around ---- */

/* y(N) = a(K) . b(K,N). */
typedef void (*row_fn)(const void *a, const void *b, void *y, size_t k, size_t n);
#define ROW(name, type)                                                                            \
    static void name(const void *pa, const void *pb, void *py, size_t k, size_t n)                 \
    {                                                                                              \
        const type *a = pa, *b = pb;                                                               \
        type *y = py;                                                                              \
        memset(y, 0, n * sizeof *y);                                                               \
        for (size_t i = 0; i < k; i++)                                                             \
            for (size_t j = 0; j < n; j++)                                                         \
                y[j] += a[i] * b[i * n + j];                                                       \
    }
ROW(row_f64, double)
ROW(row_32, uint32_t)
ROW(row_64, uint64_t)

typedef struct rows {
    const sqz_call *c;
    sides s;
    sqz_shape y;
    row_fn fn;
    size_t m, k, n, elem;
} rows;

static sqz_status row_chunk(void *arg, size_t begin, size_t end)
{
    const rows *r = arg;
    const char *a = r->c->in[0]->data, *b = r->c->in[1]->data;
    char *y = r->c->out[0]->data;
    for (size_t i = begin; i < end; i++) {
        const size_t at_a = source(&r->y, &r->s.a, i / r->m) * r->m + i % r->m;
        const size_t at_b = source(&r->y, &r->s.b, i / r->m);
        r->fn(a + at_a * r->k * r->elem, b + at_b * r->k * r->n * r->elem, y + i * r->n * r->elem,
              r->k, r->n);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_dtype d = c->out[0]->dtype;
    rows r = {.c = c, .s = sides_of(c->attrs, &c->in[0]->shape, &c->in[1]->shape)};
    if (sqz_call_is_coded(c))
        return sqz_coded_run(c);
    if (d == SQZ_F32)
        return run_f32(c);
    if (((const attrs *)c->attrs)->trans_b)
        return sqz_fail(c->ctx, SQZ_E_INTERNAL, "trans_b is for float32 only");
    if (c->out[0]->count == 0)
        return SQZ_OK;
    r.m = (size_t)r.s.m;
    r.k = (size_t)r.s.k;
    r.n = (size_t)r.s.n;
    r.elem = sqz_dtype_bits(d) / 8;
    r.fn = d == SQZ_F64 ? row_f64 : r.elem == 4 ? row_32 : row_64;
    SQZ_TRY(sqz_shape_broadcast(c->ctx, &r.s.a, &r.s.b, &r.y));
    const size_t work = SQZ_MIN(SQZ_MAX(r.k * r.n, (size_t)1), (size_t)65536);
    return sqz_parallel(c->ctx, c->out[0]->count / r.n, 65536 / work, row_chunk, &r);
}

/* ---- a right side that is packed, and integer codes of a grid ---- */

static sqz_status prepare(sqz_prep *p)
{
    const sqz_tensor *b = p->in[1];
    const attrs *at = p->attrs;
    const sides s = sides_of(at, &p->in[0]->shape, &b->shape);
    const size_t n = (size_t)s.n, k = (size_t)s.k;
    const sqz_weights w = {.n = n,
                           .k = k,
                           .ld_n = at->trans_b ? k : 1,
                           .ld_k = at->trans_b ? 1 : n,
                           .groups = 1,
                           .channel_axis = 1,
                           .slot = 1,
                           .bias = 2};
    if (sqz_is_coded(p))
        return sqz_coded_prepare(p, &(sqz_coded_options){.axis = at->trans_b ? 1 : 0,
                                                         .bias = 2,
                                                         .int8_rows = at->int8_rows != 0});
    if (sqz_is_integer(p)) {
        if (b->shape.rank != 2 || !b->data || at->trans_b)
            return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                            "the integer form needs a constant matrix on the right side");
        return sqz_fc_prepare(p, &w);
    }
    if (s.b.rank || p->out[0]->dtype != SQZ_F32 || n == 0)
        return SQZ_OK;
    sqz_matrix *m = sqz_arena_alloc(p->arena, 1, sizeof *m);
    if (!m)
        return SQZ_E_NOMEM;
    p->state = m;
    return sqz_matrix_prepare(p, &w, p->out[0]->count / n, k * sizeof(float), m);
}

/* ---- gradients: da = g . b^T, db = a^T . g, summed over repeated matrices ---- */

typedef struct grads {
    sides s;
    sqz_shape y;           /* batch dimensions of the result */
    size_t m, k, n, stack; /* results */
    bool trans;
    sqz_weight_grad w; /* one right side */
    size_t room;       /* in the scratch, for its gradient of a */
} grads;

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    grads *t = sqz_arena_alloc(p->arena, 1, sizeof *t);
    if (!t)
        return SQZ_E_NOMEM;
    p->state = t;
    sqz_grad_product_reads(p);
    t->s = sides_of(p->attrs, &p->in[0]->shape, &p->in[1]->shape);
    t->trans = ((const attrs *)p->attrs)->trans_b != 0;
    t->m = (size_t)t->s.m;
    t->k = (size_t)t->s.k;
    t->n = (size_t)t->s.n;
    t->stack = p->out[0]->count / SQZ_MAX(t->m * t->n, (size_t)1);
    SQZ_TRY(sqz_shape_broadcast(p->ctx, &t->s.a, &t->s.b, &t->y));
    if (t->s.b.rank)
        return SQZ_OK;
    t->w = (sqz_weight_grad){.rows = t->stack * t->m,
                             .n = t->n,
                             .k = t->k,
                             .groups = 1,
                             .step = t->k,
                             .turned = !t->trans,
                             .slot = 1,
                             .bias = 2};
    SQZ_TRY(sqz_weight_grad_prepare(p, &t->w));
    return p->want & 1 ? sqz_data_grad_prepare(p, t->n, t->k, &t->room) : SQZ_OK;
}

/* Result i of the stack; both gradients are added to. */
static void grad_one(const sqz_grad_call *c, const grads *t, size_t i)
{
    const size_t at_a = source(&t->y, &t->s.a, i) * t->m * t->k;
    const size_t at_b = source(&t->y, &t->s.b, i) * t->k * t->n;
    const float *g = c->out_grad[0] + i * t->m * t->n;
    if (sqz_grad_wants(c, 0))
        sqz_sgemm_add(&(sqz_sgemm){.m = t->m,
                                   .n = t->k,
                                   .k = t->n,
                                   .a = g,
                                   .lda = SQZ_MAX(t->n, 1),
                                   .b = SQZ_F32P(c->in[1]) + at_b,
                                   .ldb = t->trans ? t->k : t->n,
                                   .b_rows = !t->trans,
                                   .c = c->in_grad[0] + at_a,
                                   .ldc = t->k});
    if (!sqz_grad_wants(c, 1))
        return;
    const float *a = SQZ_F32P(c->in[0]) + at_a;
    const sqz_sgemm_t w = {.m = t->trans ? t->n : t->k,
                           .n = t->trans ? t->k : t->n,
                           .k = t->m,
                           .left = t->trans ? g : a,
                           .ld_left = t->trans ? t->n : t->k,
                           .right = t->trans ? a : g,
                           .ld_right = t->trans ? t->k : t->n,
                           .c = c->in_grad[1] + at_b,
                           .ld_c = t->trans ? t->k : t->n};
    sqz_sgemm_turned(&w);
}

static sqz_status grad_chunk(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    for (size_t i = begin; i < end; i++)
        grad_one(c, c->state, i);
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const grads *t = c->state;
    sqz_grad_call call = *c;
    if (sqz_grad_none(c))
        return SQZ_OK;
    if (t->s.b.rank == 0) {
        SQZ_TRY(sqz_weight_grad_run(c, &t->w, c->in[0]->data, c->out_grad[0], c->scratch));
        if (!sqz_grad_wants(c, 0))
            return SQZ_OK;
        const sqz_data_grad d = {.rows = t->stack * t->m,
                                 .n = t->n,
                                 .k = t->k,
                                 .turned = !t->trans,
                                 .add = sqz_grad_adds(c, 0),
                                 .g = c->out_grad[0],
                                 .w = c->in[1]->data,
                                 .dx = c->in_grad[0],
                                 .room = (char *)c->scratch + t->room};
        return sqz_data_grad_run(c->ctx, &d);
    }
    sqz_grad_begin(c, 0);
    sqz_grad_begin(c, 1);
    const size_t each = t->m * t->k + t->k * t->n;
    const bool apart = (!sqz_grad_wants(c, 0) || c->in[0]->count == t->stack * t->m * t->k) &&
                       (!sqz_grad_wants(c, 1) || c->in[1]->count == t->stack * t->k * t->n);
    if (!apart) /* matrices that several results share */
        return grad_chunk(&call, 0, t->stack);
    return sqz_parallel(c->ctx, t->stack, 65536 / SQZ_MAX(each, (size_t)1) + 1, grad_chunk, &call);
}

/* ---- ONNX has no bias here ---- */

static sqz_status write(sqz_export *e)
{
    e->adds = e->n_in > 2 && e->in[2].value != SQZ_NONE;
    e->add = e->adds ? e->in[2].value : SQZ_NONE;
    e->n_in = 2;
    return SQZ_OK;
}

/* Batch dimensions broadcast; a vector has no rows (left side) or no columns (right side). */
static void ties(sqz_ties *t)
{
    const sqz_shape *a = &t->in[0]->shape, *b = &t->in[1]->shape, *y = &t->out[0]->shape;
    const bool trans = ((const attrs *)t->attrs)->trans_b != 0 && b->rank > 1;
    const int32_t has_m = a->rank > 1, has_n = b->rank > 1, n_batch = y->rank - has_m - has_n;
    const int32_t n = b->rank - (trans ? 2 : 1), k = b->rank > 1 ? b->rank - (trans ? 1 : 2) : 0;
    sqz_tie_same(t, SQZ_TIE_IN(0, a->rank - 1), SQZ_TIE_IN(1, k));
    if (has_m)
        sqz_tie_same(t, SQZ_TIE_IN(0, a->rank - 2), SQZ_TIE_OUT(0, n_batch));
    if (has_n)
        sqz_tie_same(t, SQZ_TIE_IN(1, n), SQZ_TIE_OUT(0, y->rank - 1));
    if (t->n_in > 2 && t->in[2])
        sqz_tie_same(t, SQZ_TIE_IN(2, 0), SQZ_TIE_OUT(0, y->rank - 1));
    for (unsigned s = 0; s < 2; s++) {
        const sqz_shape *x = &t->in[s]->shape;
        for (int32_t i = 0; i < x->rank - 2; i++) {
            const int32_t to = n_batch - (x->rank - 2) + i;
            if (x->dim[i] == y->dim[to])
                sqz_tie_same(t, SQZ_TIE_IN(s, i), SQZ_TIE_OUT(0, to));
        }
    }
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{2, {3, 6}}, {2, {6, 5}}}, .constant = 2},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {2, {4, 9}}}, .constant = 2},
    {.attrs = "", .n_in = 2, .in = {{4, {2, 1, 3, 4}}, {3, {5, 4, 2}}}},
    {.attrs = "", .n_in = 2, .in = {{1, {4}}, {2, {4, 3}}}, .constant = 2},
    {.attrs = "", .n_in = 3, .in = {{3, {2, 3, 4}}, {2, {4, 9}}, {1, {9}}}, .constant = 6},
    {.attrs = "trans_b=1", .n_in = 2, .in = {{4, {2, 3, 5, 4}}, {4, {2, 3, 6, 4}}}},
    {.attrs = "", .n_in = 2, .in = {{2, {3, 4}}, {1, {4}}}},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {3, {1, 4, 2}}}, .dtype = {SQZ_F64, SQZ_F64}},
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {2, {4, 2}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S32, SQZ_S32}},
    {.attrs = "",
     .n_in = 2,
     .in = {{1, {4}}, {2, {4, 2}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S64, SQZ_S64}},
};

const sqz_op sqz_op_matmul = {
    .info = {.name = "matmul",
             .doc = "matrix product, batch dimensions broadcast",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_F64 | SQZ_T_FUSES | SQZ_T_CODED,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .run_int = sqz_fc_run_s8,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .ties = ties,
    .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .bias = 2, .channel_axis = -1},
    .onnx = {.op_type = "MatMul", .since = 1, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
