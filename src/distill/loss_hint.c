/* hint: squared differences between values of the teacher and linear maps of the student's, one map
 * a pair, trained beside the student (Romero et al. 2015, "FitNets: hints for thin deep nets"); the
 * mean over elements and pairs. A map of equal widths starts as the identity. */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    const char *pairs;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 100),
    {.name = "pairs",
     .offset = offsetof(opts, pairs),
     .type = SQZ_A_STRING,
     .names = "auto",
     .doc = "values: auto, or student->teacher;..."},
};

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    sqz_loss_pair *pair;
    uint32_t n;
    SQZ_TRY(sqz_loss_pairs(s, ((const opts *)o)->pairs, SQZ_PAIR_STAGES, &pair, &n));
    for (uint32_t i = 0; i < n; i++) {
        sqz_vid a = pair[i].student, b = pair[i].teacher;
        SQZ_TRY(sqz_loss_same_size(s, &a, &b));
        a = sqz_loss_classes(s, a); /* rows of channels */
        b = sqz_loss_classes(s, b);
        SQZ_TRY(s->b.status);
        const sqz_vid x = sqz_loss_adapter(s, a, sqz_val(s->g, b)->shape.dim[1]);
        const sqz_vid one = sqz_loss_mean_square(s, x, b);
        *out = i == 0 ? one : sqz_b(&s->b, "add", NULL, 2, *out, one);
    }
    *out = sqz_loss_scale(s, *out, 1 / (double)n);
    return s->b.status;
}

const sqz_loss sqz_loss_hint = {
    .info = {.name = "hint",
             .doc = "values of the teacher through a learned map: Romero et al. 2015",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_TEACHER,
    .build = build,
};
