/* step: the rate drops by a factor at given epochs, by default at one half and three quarters of
 * all (He et al. 2016). Epochs are counted from the start, the warm-up included. */
#include "train/schedule.h"
#include <math.h>

typedef struct opts {
    sqz_warmup warm;
    sqz_floats at;
    double every, factor;
} opts;
static const sqz_attr schema[] = {
    SQZ_WARMUP_ROWS(opts, "epochs over which the rate rises", 0.01),
    {.name = "at",
     .offset = offsetof(opts, at),
     .type = SQZ_A_FLOATS,
     .min = 0,
     .max = 1e6,
     .doc = "epochs at which it drops"},
    {.name = "every",
     .offset = offsetof(opts, every),
     .type = SQZ_A_FLOAT,
     .min = 0,
     .max = 1e6,
     .doc = "epochs between drops; 0: none but `at`"},
    {.name = "factor",
     .offset = offsetof(opts, factor),
     .type = SQZ_A_FLOAT,
     .def = 0.1,
     .min = 0,
     .max = 1,
     .doc = "that it drops by"},
};

static double rate(const void *options, double peak, double epoch, double epochs)
{
    const opts *o = options;
    double drops = o->every > 0 ? floor(epoch / o->every) : 0;
    for (uint32_t i = 0; i < o->at.n; i++)
        drops += epoch >= (double)o->at.v[i];
    if (o->at.n == 0 && o->every <= 0)
        drops = (epoch >= 0.5 * epochs) + (epoch >= 0.75 * epochs);
    return peak * sqz_warmup_at(&o->warm, epoch) * pow(o->factor, drops);
}

const sqz_schedule sqz_lr_step = {
    .info = {.name = "step",
             .doc = "drops by a factor: He et al. 2016",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = rate,
};
