/* kd: T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over samples (Hinton, Vinyals,
 * Dean 2015, "Distilling the knowledge in a neural network"). */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    double temperature;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 1),
    {.name = "temperature",
     .offset = offsetof(opts, temperature),
     .type = SQZ_A_FLOAT,
     .def = 4,
     .min = 0.01,
     .max = 1000,
     .doc = "by which logits are divided"},
};

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    const double t = ((const opts *)o)->temperature;
    const sqz_vid z = sqz_loss_classes(s, s->logits);
    const sqz_vid want = sqz_loss_classes(s, sqz_loss_teacher_logits(s));
    SQZ_TRY(sqz_loss_same_classes(s, z, want));
    const sqz_vid have = sqz_b(&s->b, "log_softmax", "axis=1", 1, sqz_loss_scale(s, z, 1 / t));
    const sqz_vid log = sqz_b(&s->b, "log_softmax", "axis=1", 1, sqz_loss_scale(s, want, 1 / t));
    const sqz_vid sum = sqz_loss_sum(s, sqz_loss_kl(s, log, have));
    *out = sqz_loss_scale(s, sum, t * t / (double)sqz_b_val(&s->b, z)->shape.dim[0]);
    return s->b.status;
}

const sqz_loss sqz_loss_kd = {
    .info = {.name = "kd",
             .doc = "softened outputs of the teacher: Hinton et al. 2015",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_TEACHER,
    .build = build,
};
