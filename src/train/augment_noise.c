/* noise: normal numbers are added to every number of a sample (Sietsma, Dow 1991, "Creating
 * artificial neural networks that generalize"; Bishop 1995: Tikhonov regularization). */
#include "train/augment.h"
#include <math.h>
#include <string.h>

typedef struct opts {
    double sd;
} opts;
static const sqz_attr schema[] = {
    {.name = "sd",
     .offset = offsetof(opts, sd),
     .type = SQZ_A_FLOAT,
     .def = 0.05,
     .min = 0,
     .max = 1e6,
     .doc = "standard deviation, in the units of the samples"},
};

/* ln u for u = k 2^-24, 0 < k <= 2^24: u = m 2^e, m in [2/3, 4/3), ln m = 2 atanh((m-1)/(m+1)).
 * |s| <= 1/5: the first term left out is below 4e-9. */
static float log_of(uint32_t k)
{
    float u = (float)k * 0x1p-24f;
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    const int32_t e = (int32_t)(bits - 0x3f2aaaabu) >> 23; /* 0x3f2aaaab: 2/3 */
    bits -= (uint32_t)e << 23;
    memcpy(&u, &bits, sizeof u);
    const float s = (u - 1) / (u + 1), q = s * s;
    const float sum = 1 + q * (1 / 3.0f + q * (1 / 5.0f + q * (1 / 7.0f + q * (1 / 9.0f))));
    return (float)e * 0.693147181f + 2 * s * sum;
}

/* Box, Muller 1958: two normal numbers of 64 random bits. The angle is a quadrant and a part of one
 * in [-1/2, 1/2), for which sine and cosine are short polynomials. Only + - * / and square root:
 * the same on every machine. */
static void normal_pair(uint64_t bits, float *a, float *b)
{
    const float radius = sqrtf(-2 * log_of((uint32_t)(bits >> 40) + 1));
    const float t = ((float)((uint32_t)(bits >> 8) & 0x3fffffu) - 0x1p21f) * 0x1p-22f;
    const float x = t * 1.57079633f, q = x * x;
    const float sine = x *
                       (1 - q * (1 / 6.0f - q * (1 / 120.0f - q * (1 / 5040.0f - q / 362880.0f))));
    const float cosine = 1 - q * (0.5f - q * (1 / 24.0f - q * (1 / 720.0f - q * (1 / 40320.0f))));
    const bool turn = bits >> 31 & 1, back = bits >> 30 & 1; /* by 90 and by 180 degrees */
    const float sign = back ? -radius : radius;
    *a = sign * (turn ? -sine : cosine);
    *b = sign * (turn ? cosine : sine);
}

static void apply(const void *opt, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out)
{
    const float sd = (float)((const opts *)opt)->sd;
    if (sd == 0) {
        memcpy(out, in, f->count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < f->count; i += 2) {
        float a, b;
        normal_pair(sqz_rng_u64(r), &a, &b);
        out[i] = in[i] + sd * a;
        if (i + 1 < f->count)
            out[i + 1] = in[i + 1] + sd * b;
    }
}

const sqz_augment sqz_augment_noise = {
    .info = {.name = "noise",
             .doc = "normal noise: Sietsma, Dow 1991; Bishop 1995",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .any_sample = true,
    .apply = apply,
};
