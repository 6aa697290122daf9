/* ce: - mean over samples of sum over classes of label * log softmax(logits). Labels are one-hot or
 * soft (label smoothing: Szegedy et al. 2016; mixup: Zhang et al. 2018). */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
} opts;
static const sqz_attr schema[] = {SQZ_LOSS_COMMON_ROWS(opts, 1)};

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    (void)o;
    const sqz_vid z = sqz_loss_classes(s, s->logits);
    const sqz_vid label = sqz_loss_label(s, z);
    const sqz_vid p = sqz_b(&s->b, "log_softmax", "axis=1", 1, z);
    const sqz_vid sum = sqz_loss_sum(s, sqz_b(&s->b, "mul", NULL, 2, label, p));
    *out = sqz_loss_scale(s, sum, -1 / (double)sqz_b_val(&s->b, z)->shape.dim[0]);
    return s->b.status;
}

const sqz_loss sqz_loss_ce = {
    .info = {.name = "ce",
             .doc = "cross-entropy with the labels",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_LABEL,
    .build = build,
};
