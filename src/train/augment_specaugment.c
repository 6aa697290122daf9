/* specaugment: bands of frequencies and spans of time of a spectrogram are painted over (Park et
 * al. 2019, "SpecAugment", without its warping of time). Width of each uniform in 0 .. most, then
 * its place uniform among those where it fits. */
#include "train/augment.h"
#include <string.h>

typedef struct opts {
    int64_t frequency, time, masks, axis;
    double fill;
} opts;
enum { TIME_HEIGHT, TIME_WIDTH };
static const sqz_attr schema[] = {
    {.name = "frequency",
     .offset = offsetof(opts, frequency),
     .type = SQZ_A_INT,
     .def = 2,
     .min = 0,
     .max = SQZ_AUGMENT_MOST,
     .doc = "bins of a band at most"},
    {.name = "time",
     .offset = offsetof(opts, time),
     .type = SQZ_A_INT,
     .def = 8,
     .min = 0,
     .max = SQZ_AUGMENT_MOST,
     .doc = "frames of a span at most"},
    {.name = "masks",
     .offset = offsetof(opts, masks),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 0,
     .max = 64,
     .doc = "bands, and as many spans"},
    {.name = "axis",
     .offset = offsetof(opts, axis),
     .type = SQZ_A_ENUM,
     .def = TIME_HEIGHT,
     .names = "height|width",
     .doc = "along which time goes"},
    SQZ_AUGMENT_FILL(opts),
};

static sqz_status check(sqz_ctx *ctx, const void *opt, const sqz_augment_form *f)
{
    const opts *o = opt;
    const size_t frames = o->axis == TIME_HEIGHT ? f->h : f->w;
    const size_t bins = o->axis == TIME_HEIGHT ? f->w : f->h;
    return (uint64_t)o->time <= frames && (uint64_t)o->frequency <= bins
               ? SQZ_OK
               : sqz_fail(ctx, SQZ_E_ARG,
                          "time=%lld frequency=%lld, but there are %zu frames of %zu bins",
                          (long long)o->time, (long long)o->frequency, frames, bins);
}

static void mask(const sqz_augment_form *f, sqz_rng *r, bool rows, int64_t most, float fill,
                 float *out)
{
    const size_t n = rows ? f->h : f->w;
    const size_t width = sqz_rng_below(r, (uint64_t)most + 1);
    const size_t first = sqz_rng_below(r, n - width + 1);
    if (rows)
        sqz_augment_paint(f, first, first + width, 0, f->w, fill, out);
    else
        sqz_augment_paint(f, 0, f->h, first, first + width, fill, out);
}

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const opts *o = opt;
    const bool time_rows = o->axis == TIME_HEIGHT;
    memcpy(out, in, f->count * sizeof *out);
    for (int64_t i = 0; i < o->masks; i++) {
        mask(f, r, !time_rows, o->frequency, (float)o->fill, out);
        mask(f, r, time_rows, o->time, (float)o->fill, out);
    }
}

const sqz_augment sqz_augment_specaugment = {
    .info = {.name = "specaugment",
             .doc = "bands and spans of a spectrogram painted over: Park et al. 2019",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .check = check,
    .apply = apply,
};
