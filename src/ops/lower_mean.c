/* lower_mean.c: Mean of any number of inputs: the sum of all, times 1/n.
 * MeanVarianceNormalization: (x - mean(x)) / (sqrt(mean((x - mean(x))^2)) + 1e-9). */
#include "ops/build.h"
#include <stdio.h>

static sqz_status mean(sqz_import *im)
{
    sqz_build b = {.im = im};
    if (im->n_in == 0)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "no inputs, expected at least one");
    for (unsigned i = 0; i < im->n_in; i++)
        if (im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    if (im->n_in == 1)
        return sqz_import_node(im, sqz_op_find("identity"), NULL, im->in, 1);
    sqz_vid sum = im->in[0];
    for (unsigned i = 1; i < im->n_in; i++)
        sum = sqz_b(&b, "add", NULL, 2, sum, im->in[i]);
    sqz_vid share = sqz_b_num(&b, 1.0 / im->n_in, im->in[0]);
    return sqz_b_end(&b, 1, sqz_b(&b, "mul", NULL, 2, sum, share));
}

static sqz_status normalize(sqz_import *im)
{
    sqz_build b = {.im = im};
    const sqz_raw_attr *a = sqz_import_attr(im, "axes");
    char axes[160] = "axes=0,2,3";
    int used = 5;
    for (uint32_t i = 0; a && i < a->ints.n && i < SQZ_MAX_RANK; i++)
        used += snprintf(axes + used, sizeof axes - (size_t)used, i ? ",%d" : "%d",
                         (int)a->ints.v[i]);
    if (im->n_in != 1 || (a && (a->ints.n == 0 || a->ints.n > SQZ_MAX_RANK)))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "expected one input and 1 .. %d axes",
                        SQZ_MAX_RANK);
    sqz_vid x = im->in[0], center = sqz_b(&b, "reduce_mean", axes, 1, x);
    sqz_vid d = sqz_b(&b, "sub", NULL, 2, x, center);
    sqz_vid square = sqz_b(&b, "mul", NULL, 2, d, d);
    sqz_vid deviation = sqz_b(&b, "sqrt", NULL, 1, sqz_b(&b, "reduce_mean", axes, 1, square));
    sqz_vid safe = sqz_b(&b, "add", NULL, 2, deviation, sqz_b_num(&b, 1e-9, x));
    return sqz_b_end(&b, 1, sqz_b(&b, "div", NULL, 2, d, safe));
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "Mean", .since = 1, .import = mean},
    {.domain = "", .op_type = "MeanVarianceNormalization", .since = 9, .import = normalize},
};
const sqz_lower_set sqz_lower_mean = {rules, SQZ_COUNT(rules)};
