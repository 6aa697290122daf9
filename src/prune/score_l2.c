/* score_l2: the length of the slices of weights, root of the sum of squares (Li et al. 2017 take
 * L1). */
#include "prune/score.h"
#include <math.h>

static double term(double w) { return w * w; }
static double finish(double sum) { return sqrt(sum); }
static sqz_status score(const sqz_classes *c, const void *opts, const sqz_score_env *env, double *s)
{
    static const sqz_slice_rule rule = {term, finish, NULL};
    (void)opts, (void)env;
    return sqz_score_slices(c, &rule, s);
}
const sqz_score sqz_score_l2 = {.info = {.name = "l2", .doc = "root of the sum of squared weights"},
                                .score = score};
