/* bce: mean of - (positive * y ln p + (1 - y) ln(1 - p)), p = sigmoid(logits), for outputs that are
 * yes or no each: with softplus, so that no logarithm of 0 is taken. */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    double positive;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 1),
    {.name = "positive",
     .offset = offsetof(opts, positive),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .min = 1e-6,
     .max = 1e6,
     .doc = "factor of the yes labels, where these are rare"},
};

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    const opts *at = o;
    const sqz_vid z = sqz_loss_plain(s, s->logits), y = sqz_loss_label(s, z);
    const sqz_vid no = sqz_b(&s->b, "softplus", NULL, 1, z);
    const sqz_vid yes = sqz_b(&s->b, "softplus", NULL, 1, sqz_b(&s->b, "neg", NULL, 1, z));
    const sqz_vid rest = sqz_b(&s->b, "sub", NULL, 2, sqz_b_num(&s->b, 1, z), y);
    const sqz_vid a = sqz_b(&s->b, "mul", NULL, 2, sqz_loss_scale(s, y, at->positive), yes);
    const sqz_vid b = sqz_b(&s->b, "mul", NULL, 2, rest, no);
    *out = sqz_loss_mean(s, sqz_b(&s->b, "add", NULL, 2, a, b));
    return s->b.status;
}

const sqz_loss sqz_loss_bce = {
    .info = {.name = "bce",
             .doc = "binary cross-entropy with the labels",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_LABEL,
    .build = build,
};
