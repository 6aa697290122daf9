/* brightness: u, uniform in -most .. most, is added to the whole sample: light, offset of a sensor
 * (Howard 2013, "Some improvements on deep convolutional neural network based image
 * classification"). */
#include "train/augment.h"

typedef struct opts {
    double most;
} opts;
static const sqz_attr schema[] = {
    {.name = "most",
     .offset = offsetof(opts, most),
     .type = SQZ_A_FLOAT,
     .def = 0.1,
     .min = 0,
     .max = 1e6,
     .doc = "in the units of the samples, either way"},
};

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const float u = (float)(((const opts *)opt)->most * (2 * sqz_rng_uniform(r) - 1));
    for (size_t i = 0; i < f->count; i++)
        out[i] = in[i] + u;
}

const sqz_augment sqz_augment_brightness = {
    .info = {.name = "brightness",
             .doc = "offset: Howard 2013",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .any_sample = true,
    .apply = apply,
};
