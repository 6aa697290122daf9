/* lower_random.c: operators that draw random numbers are refused: what a compressed model computes
 * must be repeatable, or nothing about it could be measured. */
#include "ir/op.h"

#define RANDOM(type)                                                                               \
    {                                                                                              \
        .domain = "", .op_type = (type), .since = 1,                                               \
        .refused = "draws random numbers, so its results could not be reproduced: export the "     \
                   "model for inference, or give the numbers as an input"                          \
    }
static const sqz_lower rules[] = {
    RANDOM("RandomNormal"),      RANDOM("RandomNormalLike"), RANDOM("RandomUniform"),
    RANDOM("RandomUniformLike"), RANDOM("Multinomial"),      RANDOM("Bernoulli"),
};
const sqz_lower_set sqz_lower_random = {rules, SQZ_COUNT(rules)};
