/* cutout: a square around a random pixel is painted over, and may reach beyond the image (DeVries,
 * Taylor 2017, "Improved regularization of convolutional neural networks with cutout"). */
#include "train/augment.h"
#include <string.h>

typedef struct opts {
    int64_t size;
    double fill;
} opts;
static const sqz_attr schema[] = {
    {.name = "size",
     .offset = offsetof(opts, size),
     .type = SQZ_A_INT,
     .def = 8,
     .min = 0,
     .max = SQZ_AUGMENT_MOST,
     .doc = "side of the square in pixels"},
    SQZ_AUGMENT_FILL(opts),
};

static sqz_status check(sqz_ctx *ctx, const void *opt, const sqz_augment_form *f)
{
    const opts *o = opt;
    return (uint64_t)o->size <= SQZ_MAX(f->h, f->w)
               ? SQZ_OK
               : sqz_fail(ctx, SQZ_E_ARG, "a square of %lld pixels is larger than %zu x %zu",
                          (long long)o->size, f->h, f->w);
}

/* [*first, *last): `size` places of an axis of n around `center`, without what lies beyond. */
static void span(size_t center, size_t size, size_t n, size_t *first, size_t *last)
{
    *first = center - SQZ_MIN(center, size / 2);
    *last = SQZ_MIN(n, center + (size - size / 2));
}

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const opts *o = opt;
    size_t y0, y1, x0, x1;
    memcpy(out, in, f->count * sizeof *out);
    span(sqz_rng_below(r, f->h), (size_t)o->size, f->h, &y0, &y1);
    span(sqz_rng_below(r, f->w), (size_t)o->size, f->w, &x0, &x1);
    sqz_augment_paint(f, y0, y1, x0, x1, (float)o->fill, out);
}

const sqz_augment sqz_augment_cutout = {
    .info = {.name = "cutout",
             .doc = "a square painted over: DeVries, Taylor 2017",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .check = check,
    .apply = apply,
};
