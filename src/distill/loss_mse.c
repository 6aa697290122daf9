/* mse: mean of (output - label)^2, or of the difference to the teacher's output. */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    int64_t to;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 1),
    SQZ_LOSS_TO_ROW(opts),
};

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    const opts *at = o;
    const sqz_vid d = sqz_loss_difference(s, at->to == 1);
    *out = sqz_loss_mean(s, sqz_b(&s->b, "mul", NULL, 2, d, d));
    return s->b.status;
}

const sqz_loss sqz_loss_mse = {
    .info = {.name = "mse",
             .doc = "mean squared error",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = 0,
    .build = build,
};
