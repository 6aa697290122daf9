/* crop: the image with a border of `pad` pixels around it, cut back to its size at a random place
 * (Krizhevsky 2009 and He et al. 2016 on CIFAR-10). */
#include "train/augment.h"

typedef struct opts {
    int64_t pad;
    double fill;
} opts;
static const sqz_attr schema[] = {
    {.name = "pad",
     .offset = offsetof(opts, pad),
     .type = SQZ_A_INT,
     .def = 4,
     .min = 0,
     .max = SQZ_AUGMENT_MOST,
     .doc = "pixels added on each side"},
    SQZ_AUGMENT_FILL(opts),
};

static sqz_status check(sqz_ctx *ctx, const void *opt, const sqz_augment_form *f)
{
    const opts *o = opt;
    return (uint64_t)o->pad <= SQZ_MIN(f->h, f->w)
               ? SQZ_OK
               : sqz_fail(ctx, SQZ_E_ARG,
                          "a border of %lld pixels around %zu x %zu would leave nothing of some",
                          (long long)o->pad, f->h, f->w);
}

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const opts *o = opt;
    const int64_t dy = sqz_augment_offset(r, o->pad), dx = sqz_augment_offset(r, o->pad);
    sqz_augment_move(f, dy, dx, SQZ_OUTSIDE_FILL, (float)o->fill, in, out);
}

const sqz_augment sqz_augment_crop = {
    .info = {.name = "crop",
             .doc = "random crop of the padded image: Krizhevsky 2009, He et al. 2016",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .check = check,
    .apply = apply,
};
