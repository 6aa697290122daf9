/* flip: some samples are mirrored (left and right: Krizhevsky, Sutskever, Hinton 2012). */
#include "train/augment.h"
#include <string.h>

typedef struct opts {
    int64_t axis;
    double probability;
} opts;
enum { AXIS_WIDTH, AXIS_HEIGHT };
static const sqz_attr schema[] = {
    {.name = "axis",
     .offset = offsetof(opts, axis),
     .type = SQZ_A_ENUM,
     .def = AXIS_WIDTH,
     .names = "width|height",
     .doc = "width: left becomes right; height: top becomes bottom"},
    {.name = "probability",
     .offset = offsetof(opts, probability),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = 0,
     .max = 1,
     .doc = "share of samples that are mirrored"},
};

/* `n` pixels of `group` numbers, last first. */
static void mirror(size_t n, size_t group, const float *in, float *out)
{
    if (group == 1) {
        for (size_t i = 0; i < n; i++)
            out[i] = in[n - 1 - i];
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < group; c++)
            out[i * group + c] = in[(n - 1 - i) * group + c];
}

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const opts *o = opt;
    const size_t row = f->w * f->group;
    if (sqz_rng_uniform(r) >= o->probability) {
        memcpy(out, in, f->count * sizeof *out);
        return;
    }
    for (size_t p = 0; p < f->planes; p++)
        if (o->axis == AXIS_HEIGHT)
            mirror(f->h, row, in + p * f->h * row, out + p * f->h * row);
        else
            for (size_t y = p * f->h; y < (p + 1) * f->h; y++)
                mirror(f->w, f->group, in + y * row, out + y * row);
}

const sqz_augment sqz_augment_flip = {
    .info = {.name = "flip",
             .doc = "mirrored: Krizhevsky et al. 2012",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .apply = apply,
};
