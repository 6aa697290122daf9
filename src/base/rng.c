/* rng.c: counter-based random numbers, SplitMix64 (Steele, Lea & Flood 2014) of seed and counter.
 * Only +, *, / and sqrt are used, which IEEE 754 fixes to the bit: same numbers on every machine.
 */
#include "base/draw.h"
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

uint64_t sqz_rng_key(uint64_t seed, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t part[] = {a, b, c};
    for (size_t i = 0; i < SQZ_COUNT(part); i++)
        seed = sqz_rng_u64(&(sqz_rng){.seed = seed, .counter = part[i]});
    return seed;
}

/* e^x for x <= 0, to some units of the last place, with nothing but + and *; 0 below -700. */
static double portable_exp(double x)
{
    if (x < -700)
        return 0;
    const double k = floor(x * 1.44269504088896340736 + 0.5), r = x - k * 0.69314718055994530942;
    double sum = 1;
    for (int i = 14; i >= 1; i--) /* |r| < 0.35: the first term left out is below 1e-19 */
        sum = 1 + sum * r / i;
    return ldexp(sum, (int)k);
}

/* Logarithm of a gamma variate of shape a: Marsaglia, Tsang 2000, with their step from a + 1 down
 * to a, of which small shapes need the logarithm: u^(1/a) underflows. */
static double log_gamma_variate(sqz_rng *r, double a)
{
    const double d = a + 1 - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = sqz_rng_normal(r), v = (1 + c * x) * (1 + c * x) * (1 + c * x);
        const double u = 1 - sqz_rng_uniform(r);
        if (v > 0 && portable_log(u) < x * x / 2 + d * (1 - v + portable_log(v)))
            return portable_log(d * v) + portable_log(1 - sqz_rng_uniform(r)) / a;
    }
}

double sqz_rng_beta(sqz_rng *r, double a)
{
    const double x = log_gamma_variate(r, a), y = log_gamma_variate(r, a);
    const double less = portable_exp(-fabs(x - y));
    return x < y ? less / (1 + less) : 1 / (1 + less);
}
