/* det: determinants of the matrices (.., M, M): elimination with the largest pivot of each column,
 * in double. */
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
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Det", .since = 11},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
