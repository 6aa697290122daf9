/* moments.c: mean of one number a sample and its standard error. */
#include "eval/moments.h"
#include <math.h>

sqz_status sqz_moments_value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se)
{
    const sqz_moments *m = state;
    (void)ctx, (void)opts;
    double n = m->n ? (double)m->n : 1.0;
    *out = m->sum / n;
    double variance = m->sum2 / n - *out * *out;
    *se = m->n > 1 && variance > 0.0 ? sqrt(variance / (n - 1.0)) : 0.0;
    return SQZ_OK;
}
