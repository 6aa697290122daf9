/* wscale.c: see wscale.h. The search looks at every step of a fine list: the loss has many small
 * valleys, in which a descent would get stuck. */
#include "quant/wscale.h"
#include "quant/qparams.h"
#include <math.h>
#include <string.h>

#define LANES 16
#define PIECE 1024 /* weights between two looks at the bound */
#define STEPS 100  /* of the shrinking factor, from 1 */

/* x^(1/5), x in 1e-6 .. 1e3: a guess from the exponent, then Newton; relative error below 2e-6. */
static inline float fifth_root(float x)
{
    int32_t bits;
    float y;
    memcpy(&bits, &x, sizeof bits);
    bits = (int32_t)((float)bits * 0.2f) + 0x32cbd000; /* about 4/5 of the bits of 1.0 */
    memcpy(&y, &bits, sizeof y);
    for (int i = 0; i < 2; i++) {
        const float y2 = y * y;
        y = 0.8f * y + 0.2f * x / (y2 * y2);
    }
    return y;
}

/* e^2.4 */
static inline float power(float e)
{
    const float r = fifth_root(e + 1e-6f);
    return e * e * r * r;
}

/* What rounding m (>= 0, in steps) to 0 .. limit costs. */
static inline float cost(float m, float limit)
{
    const float big = 12582912.0f; /* 1.5 * 2^23: adding it rounds to even */
    float q = (m + big) - big;
    q = q < limit ? q : limit;
    return power(fabsf(m - q));
}

static double piece_loss(const float *m, size_t n, float inv, float limit)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += cost(m[i + k] * inv, limit);
    for (size_t k = 0; i < n; i++, k++)
        lane[k] += cost(m[i] * inv, limit);
    double sum = 0;
    for (size_t k = 0; k < LANES; k++)
        sum += (double)lane[k];
    return sum;
}

double sqz_weight_loss(const float *magnitude, size_t n, float scale, int32_t limit, double most)
{
    const float inv = 1.0f / scale;
    double sum = 0;
    for (size_t i = 0; i < n && sum <= most; i += PIECE)
        sum += piece_loss(magnitude + i, SQZ_MIN(n - i, (size_t)PIECE), inv, (float)limit);
    return sum;
}

typedef struct best {
    double loss;
    float scale;
} best;

static void try_scale(best *b, const float *magnitude, size_t n, float scale, int32_t limit)
{
    const double unit = pow((double)scale, 2.4);
    const double loss = unit * sqz_weight_loss(magnitude, n, scale, limit, b->loss / unit);
    if (loss < b->loss)
        *b = (best){loss, scale};
}

float sqz_scale_pow2(float s)
{
    int e;
    return frexpf(s, &e) == 0.5f ? s : ldexpf(1.0f, e);
}

/* Few codes pay for cutting off more. */
static float search(const float *magnitude, size_t n, float top, int32_t limit, bool pow2)
{
    const int least = limit > 3 ? 20 : 5; /* percent */
    best b = {INFINITY, top};
    if (pow2)
        for (float s = top; s >= top * 0.0624f && s >= SQZ_SCALE_MIN; s *= 0.5f)
            try_scale(&b, magnitude, n, s, limit);
    else
        for (int k = STEPS; k >= least; k--)
            try_scale(&b, magnitude, n, fmaxf(top * (float)k / STEPS, SQZ_SCALE_MIN), limit);
    return b.scale;
}

float sqz_weight_scale(const float *magnitude, size_t n, int32_t limit, sqz_wrule rule, bool pow2)
{
    float most = 0.0f;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmaxf(most, magnitude[i]);
        sum += (double)magnitude[i];
    }
    if (!(most > 0.0f))
        return 1.0f;
    float top = sqz_qparams_sym(most, limit), s = top;
    if (rule == SQZ_W_LSQ)
        s = fmaxf((float)(2 * sum / (double)n / sqrt((double)limit)), SQZ_SCALE_MIN);
    if (pow2) {
        top = sqz_scale_pow2(top);
        s = sqz_scale_pow2(s);
    }
    return rule == SQZ_W_MSE ? search(magnitude, n, top, limit, pow2) : fminf(s, top);
}
