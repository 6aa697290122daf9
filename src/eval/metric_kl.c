/* metric_kl.c: mean KL(softmax(reference) || softmax(model)), in nats. Rows that already are
 * distributions (not negative, sum 1) are taken as they are. */
#include "eval/eval.h"
#include "eval/moments.h"
#include <math.h>

static bool is_distribution(const float *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (!(x[i] >= 0.0f))
            return false;
        sum += (double)x[i];
    }
    return fabs(sum - 1.0) < 1e-2;
}

/* Logarithm of the normalizer; 0 for rows that are distributions. */
static double log_norm(const float *x, size_t n)
{
    double top = (double)x[0], sum = 0.0;
    for (size_t i = 1; i < n; i++)
        top = SQZ_MAX(top, (double)x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - top);
    return top + log(sum);
}

static double kl(const float *p, const float *q, size_t n)
{
    bool ready = is_distribution(p, n) && is_distribution(q, n);
    double np = ready ? 0.0 : log_norm(p, n), nq = ready ? 0.0 : log_norm(q, n), sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        /* 1/512: half a step of an int8 softmax, so that a rounded-away class costs a finite amount
         */
        double lp = ready ? log(SQZ_MAX((double)p[i], 1.0 / 512)) : (double)p[i] - np;
        double lq = ready ? log(SQZ_MAX((double)q[i], 1.0 / 512)) : (double)q[i] - nq;
        sum += exp(lp) * (lp - lq);
    }
    return sum;
}

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    (void)ctx, (void)opts;
    for (int64_t i = 0; i < b->n; i++)
        sqz_moments_add(
            state, kl(b->reference + (size_t)i * b->row, b->pred + (size_t)i * b->row, b->row));
    return SQZ_OK;
}

const sqz_metric sqz_metric_kl = {
    .info = {.name = "kl",
             .doc = "mean KL divergence of the class distributions from the reference's, in nats"},
    .needs = SQZ_M_REFERENCE,
    .state_bytes = sizeof(sqz_moments),
    .add = add,
    .value = sqz_moments_value,
};
