/* adam.h: what adam, adamw and lamb share: the options, and moments of gradients in `state`,
 * first m, then v. */
#ifndef SQZ_ADAM_H
#define SQZ_ADAM_H
#include "base/schema.h"
#include "train/optim.h"

typedef struct sqz_adam_opts {
    double beta1, beta2, eps;
} sqz_adam_opts;
#define SQZ_ADAM_ROWS(standard_eps)                                                                \
    {.name = "beta1",                                                                              \
     .offset = offsetof(sqz_adam_opts, beta1),                                                     \
     .type = SQZ_A_FLOAT,                                                                          \
     .def = 0.9,                                                                                   \
     .min = 0,                                                                                     \
     .max = 0.99999,                                                                               \
     .doc = "share of the mean gradient that is kept"},                                            \
        {.name = "beta2",                                                                          \
         .offset = offsetof(sqz_adam_opts, beta2),                                                 \
         .type = SQZ_A_FLOAT,                                                                      \
         .def = 0.999,                                                                             \
         .min = 0,                                                                                 \
         .max = 0.99999,                                                                           \
         .doc = "share of the mean square that is kept"},                                          \
    {                                                                                              \
        .name = "eps", .offset = offsetof(sqz_adam_opts, eps), .type = SQZ_A_FLOAT,                \
        .def = standard_eps, .min = 1e-30, .max = 1, .doc = "added to the root of the mean square" \
    }

/* One step as floats. Means that start at zero are too small: m / (1 - beta1^t) is without bias. */
typedef struct sqz_adam {
    const sqz_optim_step *s;
    float beta1, rest1, beta2, rest2; /* rest: 1 - beta */
    float unbias1;                    /* 1 / (1 - beta1^t) */
    float unbias2;                    /* sqrt(1 / (1 - beta2^t)) */
    float eps, scale, rate, decay;
} sqz_adam;
sqz_adam sqz_adam_at(const sqz_adam_opts *o, const sqz_optim_step *s);
/* decoupled: w shrinks by rate * decay; else decay * w is part of the gradient. */
sqz_status sqz_adam_update(sqz_ctx *ctx, const sqz_adam_opts *o, const sqz_optim_step *s,
                           bool decoupled);
#endif
