/* rotate: the image turned about its center by up to `most` degrees, between pixels bilinear
 * (Simard, Steinkraus, Platt 2003). */
#include "train/augment.h"
#include <math.h>
#include <string.h>

typedef struct opts {
    double most, fill;
} opts;
static const sqz_attr schema[] = {
    {.name = "most",
     .offset = offsetof(opts, most),
     .type = SQZ_A_FLOAT,
     .def = 10,
     .min = 0,
     .max = 180,
     .doc = "degrees, either way"},
    SQZ_AUGMENT_FILL(opts),
};

typedef struct turn {
    const sqz_augment_form *f;
    float sine, cosine, fill;
} turn;

/* Number c of pixel (y, x) of a plane, or the fill. */
static float at(const turn *t, const float *plane, int64_t y, int64_t x, size_t c)
{
    const sqz_augment_form *f = t->f;
    const bool inside = y >= 0 && x >= 0 && y < (int64_t)f->h && x < (int64_t)f->w;
    return inside ? plane[((size_t)y * f->w + (size_t)x) * f->group + c] : t->fill;
}

static void pixel(const turn *t, const float *plane, size_t y, size_t x, float *out)
{
    const float cy = (float)(t->f->h - 1) / 2, cx = (float)(t->f->w - 1) / 2;
    const float v = (float)y - cy, u = (float)x - cx;
    const float sy = t->cosine * v - t->sine * u + cy, sx = t->sine * v + t->cosine * u + cx;
    const float fy = floorf(sy), fx = floorf(sx), wy = sy - fy, wx = sx - fx;
    const int64_t iy = (int64_t)fy, ix = (int64_t)fx;
    for (size_t c = 0; c < t->f->group; c++) {
        const float top = (1 - wx) * at(t, plane, iy, ix, c) + wx * at(t, plane, iy, ix + 1, c);
        const float low = (1 - wx) * at(t, plane, iy + 1, ix, c) +
                          wx * at(t, plane, iy + 1, ix + 1, c);
        out[c] = (1 - wy) * top + wy * low;
    }
}

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const opts *o = opt;
    const double angle = o->most * (2 * sqz_rng_uniform(r) - 1) * (3.14159265358979323846 / 180);
    const turn t = {f, (float)sin(angle), (float)cos(angle), (float)o->fill};
    const size_t plane = f->h * f->w * f->group;
    if (o->most == 0) {
        memcpy(out, in, f->count * sizeof *out);
        return;
    }
    for (size_t p = 0; p < f->planes; p++)
        for (size_t y = 0; y < f->h; y++)
            for (size_t x = 0; x < f->w; x++)
                pixel(&t, in + p * plane, y, x, out + p * plane + (y * f->w + x) * f->group);
}

const sqz_augment sqz_augment_rotate = {
    .info = {.name = "rotate",
             .doc = "turned about the center: Simard et al. 2003",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .apply = apply,
};
