/* cosine: after the warm-up, half a cosine from the peak down to `end` of it (Loshchilov & Hutter
 * 2017, without restarts). */
#include "train/schedule.h"
#include <math.h>

typedef struct opts {
    sqz_warmup warm;
    double end;
} opts;
static const sqz_attr schema[] = {
    SQZ_WARMUP_ROWS(opts, "epochs over which the rate rises", 0.01),
    {.name = "end",
     .offset = offsetof(opts, end),
     .type = SQZ_A_FLOAT,
     .min = 0,
     .max = 1,
     .doc = "share of the peak at the end"},
};

static double rate(const void *options, double peak, double epoch, double epochs)
{
    const opts *o = options;
    if (epoch < o->warm.warmup)
        return peak * sqz_warmup_at(&o->warm, epoch);
    if (epoch >= epochs)
        return peak * o->end;
    const double done = (epoch - o->warm.warmup) / (epochs - o->warm.warmup);
    return peak * (o->end + (1 - o->end) * 0.5 * (1 + cos(acos(-1.0) * done)));
}

const sqz_schedule sqz_lr_cosine = {
    .info = {.name = "cosine",
             .doc = "half a cosine down: Loshchilov & Hutter 2017",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = rate,
};
