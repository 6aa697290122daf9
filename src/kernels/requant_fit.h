/* requant_fit.h: requantization onto a zero point of -128 by one fused multiply-add in float. For
 * right = -shift > 0 and sums s >= 0 the code of s is t - 128 or more from
 *   s_t = ceil(N_t / mult) on, N_t = (2^(right+1) t - 2^right - 1) 2^30, 0 < t < 256
 * (see sqz_factor). round(s * scale + offset) is a staircase too. Both are the same where all their
 * steps are: with scale fixed, each bounds the offset from both sides, half a unit of the float sum
 * included, and the middle of what is left is taken. Columns are independent: written for the
 * compiler to make vectors of. */
#include "kernels/kernels.h"
#include <math.h>

typedef struct stairs {                   /* of 16 columns */
    int32_t rest[16], step[16], mult[16]; /* -N_t modulo mult, and what N_t+1 has more */
    double s[16], whole[16], scale[16];   /* s_t, and what s_t+1 has more, rounded down */
    double least[16], most[16];           /* bounds of the offset */
} stairs;

static void begin(stairs *x, int i, int32_t mult, int right, double scale)
{
    const int64_t m = mult, n = ((INT64_C(1) << right) - 1) << 30,
                  more = INT64_C(1) << (31 + right), first = (n + m - 1) / m;
    x->mult[i] = mult;
    x->rest[i] = (int32_t)(first * m - n);
    x->step[i] = (int32_t)(more % m);
    x->s[i] = (double)first;
    x->whole[i] = (double)(more / m);
    x->scale[i] = scale;
    x->least[i] = -1e9;
    x->most[i] = 1e9;
}

/* Step t of all columns. Everything is exact in double. */
static inline void climb(stairs *x, int t)
{
    const double border = t - 128.5, half = border < -64 || border > 64 ? 0x1p-18 : 0x1p-19;
    for (int i = 0; i < 16; i++) {
        const double low = border + half - x->s[i] * x->scale[i];
        const double high = border - half - (x->s[i] - 1) * x->scale[i];
        const int32_t next = x->rest[i] - x->step[i], carry = next >> 31;
        x->least[i] = low > x->least[i] ? low : x->least[i];
        x->most[i] = high < x->most[i] ? high : x->most[i];
        x->rest[i] = next + (carry & x->mult[i]);
        x->s[i] += x->whole[i] - (double)carry;
    }
}

/* Offsets for these scales; scale 0 where there is none. Returns how many those are. */
static size_t fit16(const int32_t *mult, const int32_t *shift, float *scale, float *offset)
{
    stairs x;
    size_t none = 0;
    for (int i = 0; i < 16; i++)
        begin(&x, i, mult[i], -shift[i], (double)scale[i]);
    for (int t = 1; t < 256; t++)
        climb(&x, t);
    for (int i = 0; i < 16; i++) {
        offset[i] = (float)((x.least[i] + x.most[i]) / 2);
        if ((double)offset[i] > x.least[i] && (double)offset[i] < x.most[i])
            continue;
        scale[i] = 0;
        none++;
    }
    return none;
}

/* The nearest scale, and where it has no offset its neighbors. */
static void search16(const int32_t *mult, const int32_t *shift, float *scale, float *offset)
{
    static const float from[] = {0, INFINITY, -INFINITY};
    for (int i = 0; i < 16; i++)
        scale[i] = 0;
    for (size_t k = 0, none = 16; k < sizeof from / sizeof *from && none; k++) {
        float f[16], z[16];
        for (int i = 0; i < 16; i++) {
            f[i] = (float)((double)mult[i] / (double)(INT64_C(1) << (31 - shift[i])));
            f[i] = scale[i] > 0 ? scale[i] : k ? nextafterf(f[i], from[k]) : f[i];
        }
        none = fit16(mult, shift, f, z);
        for (int i = 0; i < 16; i++)
            if (!(scale[i] > 0)) {
                scale[i] = f[i];
                offset[i] = z[i];
            }
    }
}

static void fit(size_t n, const int32_t *mult, const int32_t *shift, float *scale, float *offset)
{
    for (size_t first = 0; first < n; first += 16) {
        const size_t count = n - first < 16 ? n - first : 16;
        int32_t m[16], s[16];
        float f[16] = {0}, z[16] = {0};
        int all = 1;
        for (size_t i = 0; i < 16; i++) { /* one that is not there: any */
            m[i] = i < count ? mult[first + i] : INT32_C(1) << 30;
            s[i] = i < count ? shift[first + i] : -1;
            all = all && s[i] < 0 && s[i] >= -SQZ_FIT_SHIFT && m[i] >= INT32_C(1) << 30;
        }
        if (all)
            search16(m, s, f, z);
        for (size_t i = 0; i < count; i++) {
            scale[first + i] = f[i];
            offset[first + i] = z[i];
        }
    }
}
