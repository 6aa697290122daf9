/* rms_norm: y = x / sqrt(mean of x^2 + epsilon) * scale over the last axes (Zhang & Sennrich 2019).
 */
#include "ops/grad.h"
#include "ops/norm.h"
#include "ops/ties.h"
#include "ops/walk.h"

static sqz_status run(const sqz_call *c) { return sqz_row_norm_run(c, false); }

/* With i = 1 / sqrt(mean of x^2 + epsilon) and u = g * scale: dx = i (u - x i^2 mean(u x)),
 * dscale = sum of g x i over what it is repeated for. */
typedef struct rows_job {
    const sqz_grad_call *c;
    size_t n;
    double epsilon;
    sqz_walk scale; /* along x */
} rows_job;

static size_t place(const rows_job *j, size_t at)
{
    size_t from[SQZ_WALK_IN];
    sqz_walk_at(&j->scale, at, from);
    return from[0];
}

static double inverse_of(const rows_job *j, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < j->n; i++)
        sum += (double)x[i] * (double)x[i];
    return 1 / sqrt(sum / (double)j->n + j->epsilon);
}

static sqz_status grad_rows(void *arg, size_t begin, size_t end)
{
    const rows_job *j = arg;
    const sqz_grad_call *c = j->c;
    const float *scale = SQZ_F32P(c->in[1]);
    const bool add = sqz_grad_adds(c, 0);
    for (size_t r = begin; r < end; r++) {
        const size_t at = r * j->n;
        const float *x = SQZ_F32P(c->in[0]) + at, *g = c->out_grad[0] + at;
        const double inverse = inverse_of(j, x);
        double ux = 0;
        for (size_t i = 0; i < j->n; i++)
            ux += (double)g[i] * (double)scale[place(j, at + i)] * (double)x[i];
        ux *= inverse * inverse / (double)j->n;
        for (size_t i = 0; i < j->n; i++) {
            const double u = (double)g[i] * (double)scale[place(j, at + i)];
            float *d = c->in_grad[0] + at + i;
            *d = (add ? *d : 0) + (float)(inverse * (u - (double)x[i] * ux));
        }
    }
    return SQZ_OK;
}

/* In order: scales are few. */
static void grad_scale(const rows_job *j)
{
    const sqz_grad_call *c = j->c;
    sqz_grad_begin(c, 1);
    for (size_t at = 0; at < c->in[0]->count; at += j->n) {
        const float *x = SQZ_F32P(c->in[0]) + at;
        const double inverse = inverse_of(j, x);
        for (size_t i = 0; i < j->n; i++)
            c->in_grad[1][place(j, at + i)] += (float)((double)c->out_grad[0][at + i] *
                                                       (double)x[i] * inverse);
    }
}

static sqz_status grad(const sqz_grad_call *c)
{
    const sqz_row_norm_attrs *at = c->attrs;
    const sqz_shape *x = &c->in[0]->shape;
    rows_job j = {.c = c, .n = 1, .epsilon = at->epsilon};
    int32_t axis;
    if (sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, x->rank, &axis));
    for (int32_t d = axis; d < x->rank; d++)
        j.n *= (size_t)x->dim[d];
    sqz_walk_plan(&j.scale, &c->in[1], 1, x);
    if (sqz_grad_wants(c, 1))
        grad_scale(&j);
    return sqz_grad_wants(c, 0)
               ? sqz_parallel(c->ctx, c->in[0]->count / j.n, 16384 / j.n + 1, grad_rows, &j)
               : SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 10}}, {1, {10}}}, .constant = 2},
    {.attrs = "axis=1 epsilon=0.01", .n_in = 2, .in = {{3, {2, 3, 4}}, {1, {4}}}, .constant = 2},
};

const sqz_op sqz_op_rms_norm = {
    .info = {.name = "rms_norm",
             .doc = "normalization by the mean square over the last axes",
             .opt_size = sizeof(sqz_row_norm_attrs),
             .opts = sqz_row_norm_schema,
             .n_opts = SQZ_COUNT(sqz_row_norm_schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_FILE,
    .infer = sqz_row_norm_infer,
    .run = run,
    .cost = sqz_row_norm_cost,
    .prepare = sqz_row_norm_prepare,
    .ties = sqz_row_norm_ties,
    .grad = grad,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "RMSNormalization", .since = 23},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
