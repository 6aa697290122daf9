/* det: determinants of the matrices (.., M, M): elimination with the largest pivot of each column,
 * in double. */
#include "ops/grad.h"
#include "ops/linear.h"
#include <math.h>

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *x = &q->in[0]->shape;
    SQZ_TRY(sqz_check_types(q));
    if (x->rank < 2 || x->dim[x->rank - 1] != x->dim[x->rank - 2] || x->dim[x->rank - 1] > 65535) {
        char text[160];
        sqz_shape_print(text, x);
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of shape %s, expected square matrices",
                        text);
    }
    q->out[0] = *x;
    q->out[0].rank -= 2;
    return SQZ_OK;
}

/* Brings the row with the largest entry of column `c` to row c; false: all are 0. */
static bool pivot(double *a, size_t n, size_t c, double *det)
{
    size_t best = c;
    for (size_t r = c + 1; r < n; r++)
        if (fabs(a[r * n + c]) > fabs(a[best * n + c]))
            best = r;
    for (size_t i = c; best != c && i < n; i++) {
        const double t = a[c * n + i];
        a[c * n + i] = a[best * n + i];
        a[best * n + i] = t;
    }
    *det *= best != c ? -a[c * n + c] : a[c * n + c];
    return a[c * n + c] != 0;
}

static double determinant(double *a, size_t n)
{
    double det = 1;
    for (size_t c = 0; c < n && pivot(a, n, c, &det); c++)
        for (size_t r = c + 1; r < n; r++) {
            const double f = a[r * n + c] / a[c * n + c];
            for (size_t i = c + 1; i < n; i++)
                a[r * n + i] -= f * a[c * n + i];
        }
    return det;
}

typedef struct job {
    const sqz_call *c;
    size_t n, each;
} job;

static size_t bytes_each(const sqz_shape *x)
{
    const size_t n = (size_t)x->dim[x->rank - 1]; /* at most 65535 */
    return sqz_scratch_round(n * n * sizeof(double));
}

static sqz_status prepare(sqz_prep *p) { return sqz_scratch_all(p, bytes_each(&p->in[0]->shape)); }

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t n2 = j->n * j->n;
    double *a = (double *)(void *)((char *)j->c->scratch + (size_t)sqz_worker_index() * j->each);
    for (size_t m = begin; m < end; m++) {
        for (size_t i = 0; i < n2; i++)
            a[i] = sqz_tensor_f64(j->c->in[0], m * n2 + i);
        sqz_tensor_set_f64(j->c->out[0], m, determinant(a, j->n));
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_shape *x = &c->in[0]->shape;
    job j = {c, (size_t)x->dim[x->rank - 1], bytes_each(x)};
    const size_t work = SQZ_MIN(SQZ_MAX(j.n * j.n * j.n, (size_t)1), (size_t)65536);
    return sqz_parallel(c->ctx, c->out[0]->count, 65536 / work, piece, &j);
}

/* n^3 / 3 products for each matrix. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_shape *x = &q->in[0]->shape;
    *out = (sqz_cost){.kind = SQZ_COST_ELEMENTWISE, .ops = 1};
    for (int32_t i = 0; i < x->rank; i++)
        out->ops *= (uint64_t)x->dim[i];
    out->ops *= (uint64_t)(x->dim[x->rank - 1] + 2) / 3;
}

/* ---- gradient: that of every element is its cofactor ---- */

/* The determinant without row r and column c; `a` has room for it behind the matrix x. */
static double cofactor(const float *x, size_t n, size_t r, size_t c, double *a)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n && i != r; j++)
            if (j != c)
                a[k++] = (double)x[i * n + j];
    return ((r + c) % 2 ? -1 : 1) * determinant(a, n - 1);
}

/* a becomes its inverse (Gauss and Jordan, with the largest pivot of each column), and det its
 * determinant; false: it has none. `from` notes the exchanged rows. */
static bool invert(double *a, size_t n, size_t *from, double *det)
{
    *det = 1;
    for (size_t c = 0; c < n; c++) {
        size_t best = c;
        for (size_t r = c + 1; r < n; r++)
            if (fabs(a[r * n + c]) > fabs(a[best * n + c]))
                best = r;
        from[c] = best;
        for (size_t i = 0; best != c && i < n; i++) {
            const double t = a[c * n + i];
            a[c * n + i] = a[best * n + i];
            a[best * n + i] = t;
        }
        const double p = a[c * n + c];
        *det *= best != c ? -p : p;
        if (p == 0)
            return false;
        a[c * n + c] = 1;
        for (size_t i = 0; i < n; i++)
            a[c * n + i] /= p;
        for (size_t r = 0; r < n; r++) {
            const double f = r == c ? 0 : a[r * n + c];
            if (r == c)
                continue;
            a[r * n + c] = 0;
            for (size_t i = 0; i < n; i++)
                a[r * n + i] -= f * a[c * n + i];
        }
    }
    for (size_t c = n; c-- > 0;)
        for (size_t r = 0; from[c] != c && r < n; r++) {
            const double t = a[r * n + c];
            a[r * n + c] = a[r * n + from[c]];
            a[r * n + from[c]] = t;
        }
    return true;
}

/* A matrix without an inverse has cofactors all the same: each is a determinant of its own. */
static sqz_status grad_piece(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const size_t n = (size_t)c->in[0]->shape.dim[c->in[0]->shape.rank - 1];
    for (size_t m = begin; m < end; m++) {
        const float *x = SQZ_F32P(c->in[0]) + m * n * n;
        double *a = (double *)c->scratch + m * (n * n + n), det;
        size_t *from = (size_t *)(void *)(a + n * n);
        for (size_t i = 0; i < n * n; i++)
            a[i] = (double)x[i];
        const bool regular = invert(a, n, from, &det);
        for (size_t i = 0; i < n * n; i++) {
            const double v = regular ? det * a[i % n * n + i / n] : cofactor(x, n, i / n, i % n, a);
            float *d = c->in_grad[0] + m * n * n + i;
            *d = (sqz_grad_adds(c, 0) ? *d : 0) + (float)((double)c->out_grad[0][m] * v);
        }
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, c->out[0]->count, 1, grad_piece, &call);
}
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    const sqz_shape *x = &p->in[0]->shape;
    const size_t n = (size_t)x->dim[x->rank - 1];
    if (!sqz_mul(p->out[0]->count, (n * n + n) * sizeof(double), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.n_in = 1, .in = {{2, {3, 3}}}},
    {.n_in = 1, .in = {{4, {2, 3, 4, 4}}}},
    {.n_in = 1, .in = {{3, {2, 1, 1}}}, .dtype = {SQZ_F64}},
};

const sqz_op sqz_op_det = {
    .info = {.name = "det", .doc = "determinants of square matrices"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_F64,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .prepare = prepare,
    .cost = cost,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Det", .since = 11},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
