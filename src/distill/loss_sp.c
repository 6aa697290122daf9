/* sp: which samples of a batch resemble each other: G = F F^T of a batch's values (samples, rest),
 * rows of length 1; sum of squared differences / samples^2 (Tung & Mori 2019,
 * "Similarity-preserving knowledge distillation"). */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    const char *pairs;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 3000),
    {.name = "pairs",
     .offset = offsetof(opts, pairs),
     .type = SQZ_A_STRING,
     .names = "auto",
     .doc = "values: auto, or student->teacher;..."},
};

static sqz_vid likeness(sqz_loss_site *s, sqz_vid v)
{
    const sqz_vid x = sqz_loss_rows(s, v), t = sqz_b(&s->b, "transpose", "perm=1,0", 1, x);
    return sqz_loss_unit(s, sqz_b(&s->b, "matmul", NULL, 2, x, t));
}

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    sqz_loss_pair *pair;
    uint32_t n;
    SQZ_TRY(sqz_loss_pairs(s, ((const opts *)o)->pairs, SQZ_PAIR_LAST, &pair, &n));
    for (uint32_t i = 0; i < n; i++) {
        const sqz_vid one = sqz_loss_mean_square(s, likeness(s, pair[i].student),
                                                 likeness(s, pair[i].teacher));
        *out = i == 0 ? one : sqz_b(&s->b, "add", NULL, 2, *out, one);
    }
    return s->b.status;
}

const sqz_loss sqz_loss_sp = {
    .info = {.name = "sp",
             .doc = "which samples resemble each other: Tung & Mori 2019",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_TEACHER,
    .build = build,
};
