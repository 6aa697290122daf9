/* score_l1: the sum of the magnitudes of weights (Li et al. 2017, "Pruning filters for efficient
 * ConvNets"). */
#include "prune/score.h"
#include <math.h>

static double term(double w) { return fabs(w); }
static double finish(double sum) { return sum; }
static sqz_status score(const sqz_classes *c, const void *opts, const sqz_score_env *env, double *s)
{
    static const sqz_slice_rule rule = {term, finish, NULL};
    (void)opts, (void)env;
    return sqz_score_slices(c, &rule, s);
}
const sqz_score sqz_score_l1 = {.info = {.name = "l1", .doc = "sum of the magnitudes of weights"},
                                .score = score};
