/* site_means.h: sums of the terms of a site over all its patches. */
#ifndef SQZ_SITE_MEANS_H
#define SQZ_SITE_MEANS_H
#include "quant/site.h"

bool sqz_site_sums_fit(const sqz_site *s); /* transposed convolutions do not */
/* sum[group * cols + term] += over all patches of x, which has `count` numbers. In parts that do
 * not depend on the number of threads. */
sqz_status sqz_site_sums(sqz_ctx *ctx, const sqz_site *s, const float *x, size_t count,
                         double *sum);
#endif
