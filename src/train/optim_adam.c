/* adam: steps divided by the root of the mean square of gradients (Kingma & Ba 2015); weight decay
 * is part of the gradient, as in their paper's regularized losses. */
#include "train/adam.h"

static const sqz_attr schema[] = {SQZ_ADAM_ROWS(1e-8)};

static sqz_status update(sqz_ctx *ctx, const void *opts, const sqz_optim_step *s)
{
    return sqz_adam_update(ctx, opts, s, false);
}

const sqz_optim sqz_optim_adam = {
    .info = {.name = "adam",
             .doc = "steps scaled by the mean square of gradients: Kingma & Ba 2015",
             .opt_size = sizeof(sqz_adam_opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = 1e-3,
    .n_state = 2,
    .update = update,
};
