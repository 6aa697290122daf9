/* dkd: T^2 (alpha KL(b_t || b_s) + beta KL(q_t || q_s)), mean over samples, where b = (p, 1 - p) of
 * the labeled class and q is the softmax over the others, all at temperature T (Zhao et al. 2022,
 * "Decoupled knowledge distillation"). With beta = 1 - p of the teacher it would be kd. */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    double temperature, alpha, beta;
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
    {.name = "alpha",
     .offset = offsetof(opts, alpha),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .max = 1e6,
     .doc = "factor of the labeled class against the others"},
    {.name = "beta",
     .offset = offsetof(opts, beta),
     .type = SQZ_A_FLOAT,
     .def = 8,
     .max = 1e6,
     .doc = "factor of the others among themselves"},
};

#define FAR 1000.0 /* below the other logits: out of the softmax, e^-1000 being 0 */

typedef struct parts { /* per sample and class; of one network */
    sqz_vid others;    /* log softmax over the classes without the label */
    sqz_vid yes, no;   /* (N,1): log p, log(1 - p) */
} parts;

/* The logarithm of the sum over a softmax is z - log softmax of any class: that of all classes read
 * at the label, that of the others at each of them. log(1 - p) is their difference, exact where p
 * is near 1. */
static parts split(sqz_loss_site *s, sqz_vid z, sqz_vid mask, sqz_vid rest)
{
    const double others = (double)sqz_b_val(&s->b, z)->shape.dim[1] - 1;
    const sqz_vid far = sqz_b(&s->b, "sub", NULL, 2, z, sqz_loss_scale(s, mask, FAR));
    const sqz_vid all = sqz_b(&s->b, "log_softmax", "axis=1", 1, z);
    parts p = {.others = sqz_b(&s->b, "log_softmax", "axis=1", 1, far)};
    const char *const row = "axes=1 keepdims=1";
    p.yes = sqz_b(&s->b, "reduce_sum", row, 1, sqz_b(&s->b, "mul", NULL, 2, all, mask));
    const sqz_vid gap = sqz_b(&s->b, "sub", NULL, 2, all, p.others);
    const sqz_vid sum = sqz_b(&s->b, "reduce_sum", row, 1, sqz_b(&s->b, "mul", NULL, 2, gap, rest));
    p.no = sqz_loss_scale(s, sum, 1 / others);
    return p;
}

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    const opts *at = o;
    const double t = at->temperature;
    const sqz_vid z = sqz_loss_classes(s, s->logits);
    const sqz_vid want = sqz_loss_classes(s, sqz_loss_teacher_logits(s));
    SQZ_TRY(sqz_loss_same_classes(s, z, want));
    const sqz_vid label = sqz_loss_label(s, z);
    const sqz_vid mask = sqz_b(&s->b, "hardmax", "axis=1", 1, label); /* also of soft labels */
    const sqz_vid rest = sqz_b(&s->b, "sub", NULL, 2, sqz_b_num(&s->b, 1, z), mask);
    if (s->b.status == SQZ_OK && sqz_val(s->g, z)->shape.dim[1] < 2)
        return sqz_fail(s->g->ctx, SQZ_E_SHAPE, "it needs at least 2 classes");
    const parts have = split(s, sqz_loss_scale(s, z, 1 / t), mask, rest);
    const parts log = split(s, sqz_loss_scale(s, want, 1 / t), mask, rest);
    const sqz_vid target = sqz_b(&s->b, "add", NULL, 2, sqz_loss_kl(s, log.yes, have.yes),
                                 sqz_loss_kl(s, log.no, have.no));
    const double factor = t * t / (double)sqz_b_val(&s->b, z)->shape.dim[0];
    const sqz_vid a = sqz_loss_scale(s, sqz_loss_sum(s, target), at->alpha * factor);
    const sqz_vid b = sqz_loss_scale(s, sqz_loss_sum(s, sqz_loss_kl(s, log.others, have.others)),
                                     at->beta * factor);
    *out = sqz_b(&s->b, "add", NULL, 2, a, b);
    return s->b.status;
}

const sqz_loss sqz_loss_dkd = {
    .info = {.name = "dkd",
             .doc = "labeled class and the others apart: Zhao et al. 2022",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_LABEL | SQZ_LOSS_TEACHER,
    .build = build,
};
