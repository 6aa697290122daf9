/* mixing.h: what is done to a batch as a whole: classes become rows, soft ones, and samples are
 * mixed in pairs. */
#ifndef SQZ_MIXING_H
#define SQZ_MIXING_H
#include "base/base.h"

/* Class number `label` of 0 .. classes-1 as a row: 1 - smoothing, and smoothing / classes
 * everywhere (Szegedy et al. 2016, "Rethinking the Inception architecture"). false: no such class.
 */
bool sqz_one_hot(float label, size_t classes, double smoothing, float *row);
/* A batch mixed with itself (Zhang et al. 2018, "mixup"). */
typedef struct sqz_mixing {
    float share;      /* of the sample itself; drawn once for a batch */
    int64_t *partner; /* of each sample, of the same batch; each is one once */
} sqz_mixing;
/* Share from the symmetric beta distribution of alpha > 0. */
void sqz_mixing_draw(uint64_t seed, uint64_t epoch, int64_t step, double alpha, size_t batch,
                     sqz_mixing *m);
/* share in[i] + (1 - share) in[partner[i]] for i in [begin, end), rows of n numbers, to the first
 * rows of `out`. */
void sqz_mixing_apply(const sqz_mixing *m, size_t begin, size_t end, size_t n, const float *in,
                      float *out);
#endif
