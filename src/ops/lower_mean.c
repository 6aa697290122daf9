/* lower_mean.c: Mean of any number of inputs: the sum of all, times 1/n. */
#include "ops/build.h"

static sqz_status mean(sqz_import *im)
{
    sqz_build b = {.im = im};
    if (im->n_in == 0)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "no inputs, expected at least one");
    sqz_vid sum = im->in[0];
    for (unsigned i = 1; i < im->n_in; i++)
        sum = sqz_b(&b, "add", NULL, 2, sum, im->in[i]);
    sqz_vid share = sqz_b_num(&b, 1.0 / im->n_in, im->in[0]);
    return sqz_b_end(&b, 1, sqz_b(&b, "mul", NULL, 2, sum, share));
}

static const sqz_lower rules[] = {{.domain = "", .op_type = "Mean", .since = 1, .import = mean}};
const sqz_lower_set sqz_lower_mean = {rules, SQZ_COUNT(rules)};
