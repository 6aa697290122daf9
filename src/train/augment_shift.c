/* shift: the image moved by up to `most` pixels along its rows, its columns, or both (Simard,
 * Steinkraus, Platt 2003, "Best practices for convolutional neural networks"); along time for
 * signals. */
#include "train/augment.h"

typedef struct opts {
    int64_t most, axis, outside;
    double fill;
} opts;
enum { AXIS_BOTH, AXIS_HEIGHT, AXIS_WIDTH };
static const sqz_attr schema[] = {
    {.name = "most",
     .offset = offsetof(opts, most),
     .type = SQZ_A_INT,
     .def = 2,
     .min = 0,
     .max = SQZ_AUGMENT_MOST,
     .doc = "pixels, either way"},
    {.name = "axis",
     .offset = offsetof(opts, axis),
     .type = SQZ_A_ENUM,
     .def = AXIS_BOTH,
     .names = "both|height|width",
     .doc = "of the sample as rows and columns"},
    {.name = "outside",
     .offset = offsetof(opts, outside),
     .type = SQZ_A_ENUM,
     .def = SQZ_OUTSIDE_FILL,
     .names = "fill|edge|wrap",
     .doc = "what comes in: the number of fill, the nearest pixel, or the other side"},
    SQZ_AUGMENT_FILL(opts),
};

static sqz_status check(sqz_ctx *ctx, const void *opt, const sqz_augment_form *f)
{
    const opts *o = opt;
    const size_t h = o->axis == AXIS_WIDTH ? SIZE_MAX : f->h;
    const size_t room = SQZ_MIN(h, o->axis == AXIS_HEIGHT ? SIZE_MAX : f->w);
    return (uint64_t)o->most <= room
               ? SQZ_OK
               : sqz_fail(ctx, SQZ_E_ARG, "most=%lld pixels, but that axis has %zu",
                          (long long)o->most, room);
}

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const opts *o = opt;
    const int64_t dy = o->axis == AXIS_WIDTH ? 0 : sqz_augment_offset(r, o->most);
    const int64_t dx = o->axis == AXIS_HEIGHT ? 0 : sqz_augment_offset(r, o->most);
    sqz_augment_move(f, dy, dx, (sqz_outside)o->outside, (float)o->fill, in, out);
}

const sqz_augment sqz_augment_shift = {
    .info = {.name = "shift",
             .doc = "moved by some pixels, or in time: Simard et al. 2003",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .check = check,
    .apply = apply,
};
