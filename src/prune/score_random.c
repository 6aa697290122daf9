/* score_random: no knowledge: what any other score must beat. */
#include "prune/score.h"

static sqz_status score(const sqz_classes *c, const void *opts, const sqz_score_env *env, double *s)
{
    sqz_rng r = {.seed = env ? env->seed : 0};
    (void)opts;
    for (uint32_t i = 0; i < c->n_class; i++)
        s[i] = c->cls[i].pin.text ? 0 : sqz_rng_uniform(&r);
    return SQZ_OK;
}
const sqz_score sqz_score_random = {.info = {.name = "random", .doc = "drawn by the seed"},
                                    .score = score};
