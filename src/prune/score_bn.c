/* score_bn: the magnitude of the scales of batch norms (Liu et al. 2017, "Learning efficient
 * convolutional networks through network slimming"). Classes without a batch norm score 0. */
#include "prune/score.h"
#include <math.h>
#include <string.h>

static double term(double w) { return fabs(w); }
static double finish(double sum) { return sum; }

static bool is_scale(const sqz_classes *c, sqz_vid v, int32_t axis)
{
    (void)axis;
    SQZ_EACH_NODE(c->g, id)
    {
        const sqz_node *n = sqz_nod(c->g, id);
        if (n->n_in > 1 && n->in[1] == v && strcmp(n->op->info.name, "batch_norm") == 0)
            return true;
    }
    return false;
}
static sqz_status score(const sqz_classes *c, const void *opts, const sqz_score_env *env, double *s)
{
    static const sqz_slice_rule rule = {term, finish, is_scale};
    (void)opts, (void)env;
    return sqz_score_slices(c, &rule, s);
}
const sqz_score sqz_score_bn = {.info = {.name = "bn", .doc = "magnitude of batch-norm scales"},
                                .score = score};
