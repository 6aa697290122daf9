/* adamw: adam with weight decay beside the gradient, w <- (1 - rate decay) w - rate m^ / ...
 * (Loshchilov & Hutter 2019), so that it is not divided by the size of gradients. */
#include "train/adam.h"

static const sqz_attr schema[] = {SQZ_ADAM_ROWS(1e-8)};

static sqz_status update(sqz_ctx *ctx, const void *opts, const sqz_optim_step *s)
{
    return sqz_adam_update(ctx, opts, s, true);
}

const sqz_optim sqz_optim_adamw = {
    .info = {.name = "adamw",
             .doc = "adam with weight decay beside the gradient: Loshchilov & Hutter 2019",
             .opt_size = sizeof(sqz_adam_opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = 1e-3,
    .n_state = 2,
    .update = update,
};
