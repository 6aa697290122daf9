/* score.h: how important a class of indices is: score_<name>.c. Only those of one family are
 * compared as they are; scores of slices are divided by the mean of their layer, so that families
 * can be compared too. */
#ifndef SQZ_SCORE_H
#define SQZ_SCORE_H
#include "prune/classes.h"

typedef struct sqz_score_env {
    uint64_t seed;
} sqz_score_env;
typedef struct sqz_score {
    sqz_info info;
    /* score[i] of each class that may leave, larger: more important; those of others stay 0. */
    sqz_status (*score)(const sqz_classes *c, const void *opts, const sqz_score_env *env,
                        double *score);
} sqz_score;
extern const sqz_score *const sqz_scores[];
extern const size_t sqz_n_scores;
const sqz_score *sqz_score_find(const char *name);
/* "l2", "name(option=1)"; options in `a`. */
sqz_status sqz_score_spec(sqz_arena *a, const char *spec, const sqz_score **s, const void **opts);

/* What a slice of a weight counts: term(w) is summed over it, then taken through `finish`. Weights
 * are the float constants of two axes or more (of one: `ranks` has bit 1), each axis of which is a
 * layer of its own: a class's score is the mean over its layers of slice / mean slice. */
typedef struct sqz_slice_rule {
    double (*term)(double w);
    double (*finish)(double sum);
    bool (*takes)(const sqz_classes *c, sqz_vid v, int32_t axis); /* NULL: rank >= 2 */
} sqz_slice_rule;
sqz_status sqz_score_slices(const sqz_classes *c, const sqz_slice_rule *r, double *score);
#endif
