/* rng.c: counter-based random numbers, SplitMix64 (Steele, Lea & Flood 2014) of seed and counter.
 * Only +, *, / and sqrt are used, which IEEE 754 fixes to the bit: same numbers on every machine.
 */
#include "base/base.h"
#include <math.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sqz_rng_u64(sqz_rng *r)
{
    /* The seed is mixed first: neighbouring seeds must not be shifted copies of one stream. */
    return mix(mix(r->seed + 0x2545f4914f6cdd1du) + ++r->counter * 0x9e3779b97f4a7c15u);
}

double sqz_rng_uniform(sqz_rng *r) { return (double)(sqz_rng_u64(r) >> 11) * 0x1p-53; }

/* Natural logarithm of x > 0. libm's may differ in the last bit between machines; this does not:
 * log(m 2^e) = e log 2 + 2 atanh((m-1)/(m+1)) with m in [sqrt(1/2), sqrt(2)). */
static double portable_log(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752440) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 21; k >= 1; k -= 2) /* |s| < 0.172: the first term left out is below 1e-18 */
        sum = sum * s2 + 1.0 / k;
    return e * 0.69314718055994530942 + 2 * s * sum;
}

double sqz_rng_normal(sqz_rng *r) /* Marsaglia's polar method; the second number is not kept */
{
    double x, q;
    do {
        x = 2 * sqz_rng_uniform(r) - 1;
        double y = 2 * sqz_rng_uniform(r) - 1;
        q = x * x + y * y;
    } while (q >= 1 || q == 0);
    return x * sqrt(-2 * portable_log(q) / q);
}

uint64_t sqz_rng_below(sqz_rng *r, uint64_t n)
{
    uint64_t reject = (0 - n) % n; /* 2^64 mod n: that many values would come up once too often */
    uint64_t x;
    do {
        x = sqz_rng_u64(r);
    } while (x < reject);
    return x % n;
}
