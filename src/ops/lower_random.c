/* lower_random.c: operators that draw random numbers are refused: what a compressed model computes
 * must be repeatable, or nothing about it could be measured. */
#include "ir/op.h"

static sqz_status refuse(sqz_import *im)
{
    return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                    "draws random numbers, so its results could not be reproduced: export the "
                    "model for inference, or give the numbers as an input");
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "RandomNormal", .since = 1, .import = refuse},
    {.domain = "", .op_type = "RandomNormalLike", .since = 1, .import = refuse},
    {.domain = "", .op_type = "RandomUniform", .since = 1, .import = refuse},
    {.domain = "", .op_type = "RandomUniformLike", .since = 1, .import = refuse},
    {.domain = "", .op_type = "Multinomial", .since = 1, .import = refuse},
    {.domain = "", .op_type = "Bernoulli", .since = 1, .import = refuse},
};
const sqz_lower_set sqz_lower_random = {rules, SQZ_COUNT(rules)};
