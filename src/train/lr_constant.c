/* constant: the peak, after the warm-up. */
#include "train/schedule.h"

typedef struct opts {
    sqz_warmup warm;
} opts;
static const sqz_attr schema[] = {SQZ_WARMUP_ROWS(opts, "epochs over which the rate rises", 0.01)};

static double rate(const void *o, double peak, double epoch, double epochs)
{
    (void)epochs;
    return peak * sqz_warmup_at(&((const opts *)o)->warm, epoch);
}

const sqz_schedule sqz_lr_constant = {
    .info = {.name = "constant",
             .doc = "one rate throughout",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = rate,
};
