/* huber: mean of d^2 / 2 where |d| < delta, delta (|d| - delta / 2) beyond; d = output - label, or
 * the difference to the teacher's output (Huber 1964). */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    int64_t to;
    double delta;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 1),
    SQZ_LOSS_TO_ROW(opts),
    {.name = "delta",
     .offset = offsetof(opts, delta),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .min = 1e-6,
     .max = 1e6,
     .doc = "where squares become straight lines"},
};

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    const opts *at = o;
    const sqz_vid d = sqz_loss_difference(s, at->to == 1);
    *out = sqz_loss_mean(s, sqz_loss_scale(s, sqz_loss_huber_of(s, d, at->delta), at->delta));
    return s->b.status;
}

const sqz_loss sqz_loss_huber = {
    .info = {.name = "huber",
             .doc = "squares near zero, straight lines beyond: Huber 1964",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = 0,
    .build = build,
};
