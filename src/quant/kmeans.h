/* kmeans.h: the best k centers of numbers on a line. */
#ifndef SQZ_KMEANS_H
#define SQZ_KMEANS_H
#include "base/base.h"

#define SQZ_KMEANS_BINS 4096

/* Centers, in rising order, that make sum of weight[i] * (x[i] - nearest center)^2 small; weight
 * NULL: all 1, else finite and >= 0. The exact optimum where x has at most SQZ_KMEANS_BINS
 * different values, else that of the means of so many equal bins. *n_center <= k: fewer where x has
 * fewer different values. Numbers are finite. */
sqz_status sqz_kmeans(sqz_ctx *ctx, const float *x, const float *weight, size_t n, uint32_t k,
                      float *center, uint32_t *n_center);
/* Index of the nearest of n centers in rising order; of two the lower. */
uint32_t sqz_center_of(const float *center, uint32_t n, float x);
#endif
