/* trial.c: which of two candidates is better. */
#include "search/trial.h"
#include <math.h>

/* Two models that both agree with the float one on all but a share d of the samples differ on at
 * most the sum of both shares; the variance of the paired difference of accuracies is at most that
 * share over n. */
static double tie(const sqz_trial *a, const sqz_trial *b, int64_t n)
{
    if (isnan(a->agreement) || isnan(b->agreement))
        return 1e-3 * SQZ_MAX(fabs(a->accuracy), fabs(b->accuracy));
    return sqrt(((1.0 - a->agreement) + (1.0 - b->agreement)) / (double)SQZ_MAX(n, 1));
}

const sqz_trial *sqz_trial_better(const sqz_trial *a, const sqz_trial *b, bool higher, int64_t n)
{
    if (!a || !b)
        return a ? a : b;
    if (a->fits != b->fits)
        return a->fits ? a : b;
    if (a->excess != b->excess)
        return a->excess < b->excess ? a : b;
    if (isnan(a->accuracy) != isnan(b->accuracy))
        return isnan(b->accuracy) ? a : b;
    double gain = higher ? a->accuracy - b->accuracy : b->accuracy - a->accuracy;
    if (!isnan(gain) && fabs(gain) > tie(a, b, n))
        return gain > 0.0 ? a : b;
    if (a->distance != b->distance && !isnan(a->distance) && !isnan(b->distance))
        return a->distance < b->distance ? a : b;
    return a->estimate && b->estimate && b->estimate->flash < a->estimate->flash ? b : a;
}
