/* moments.h: mean of one number a sample and its standard error. */
#ifndef SQZ_MOMENTS_H
#define SQZ_MOMENTS_H
#include "base/base.h"

typedef struct sqz_moments {
    double sum, sum2;
    uint64_t n;
} sqz_moments;
static inline void sqz_moments_add(sqz_moments *m, double v)
{
    m->sum += v;
    m->sum2 += v * v;
    m->n++;
}
sqz_status sqz_moments_value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se);
#endif
