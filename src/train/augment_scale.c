/* scale: the whole sample times 1 + u, u uniform in -most .. most: gain of a sensor, contrast about
 * 0 (Um et al. 2017, "Data augmentation of wearable sensor data"). */
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
     .max = 1,
     .doc = "share, either way"},
};

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const float u = (float)(((const opts *)opt)->most * (2 * sqz_rng_uniform(r) - 1));
    for (size_t i = 0; i < f->count; i++)
        out[i] = in[i] * (1 + u);
}

const sqz_augment sqz_augment_scale = {
    .info = {.name = "scale",
             .doc = "gain: Um et al. 2017",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .any_sample = true,
    .apply = apply,
};
