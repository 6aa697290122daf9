/* onecycle: up from `from` of the peak over the first part, down to `end` of it over the rest, both
 * along half a cosine (Smith & Topin 2018; the cosines as in common use). */
#include "train/schedule.h"
#include <math.h>

typedef struct opts {
    sqz_warmup warm;
    double rise, end;
} opts;
static const sqz_attr schema[] = {
    SQZ_WARMUP_ROWS(opts, "epochs to the peak; 0: `rise` of all", 0.04),
    {.name = "rise",
     .offset = offsetof(opts, rise),
     .type = SQZ_A_FLOAT,
     .def = 0.3,
     .min = 0,
     .max = 1,
     .doc = "share of the epochs that lead to the peak"},
    {.name = "end",
     .offset = offsetof(opts, end),
     .type = SQZ_A_FLOAT,
     .def = 4e-6,
     .min = 0,
     .max = 1,
     .doc = "share of the peak at the end"},
};

/* From a at 0 to b at 1. */
static double swing(double a, double b, double at)
{
    return b + (a - b) * 0.5 * (1 + cos(acos(-1.0) * at));
}

static double rate(const void *options, double peak, double epoch, double epochs)
{
    const opts *o = options;
    const double up = o->warm.warmup > 0 ? o->warm.warmup : o->rise * epochs;
    if (epoch < up)
        return peak * swing(o->warm.from, 1, epoch / up);
    return peak * (epoch >= epochs ? o->end : swing(1, o->end, (epoch - up) / (epochs - up)));
}

const sqz_schedule sqz_lr_onecycle = {
    .info = {.name = "onecycle",
             .doc = "up and down once: Smith & Topin 2018",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .rate = rate,
};
