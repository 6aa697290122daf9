/* fake.h: the arithmetic of fake quantization, for the operator and for who writes the codes that
 * it stood for. All in float32, so that both find the same code for the same number. */
#ifndef SQZ_FAKE_H
#define SQZ_FAKE_H
#include <math.h>

typedef struct sqz_fake_grid { /* steps are codes without the zero point: y = scale * step */
    float scale, lo, hi;
} sqz_fake_grid;
static inline sqz_fake_grid sqz_fake_grid_of(float scale, float lo, float hi, float zero)
{
    return (sqz_fake_grid){scale, lo - zero, hi - zero};
}
/* x / scale, at most one step beside the grid. */
static inline float sqz_fake_near(const sqz_fake_grid *g, float x)
{
    const float r = x / g->scale;
    return r < g->lo - 1 ? g->lo - 1 : r > g->hi + 1 ? g->hi + 1 : r;
}
static inline float sqz_fake_inside(const sqz_fake_grid *g, float q)
{
    return q < g->lo ? g->lo : q > g->hi ? g->hi : q;
}
/* To the nearest integer, half to even, for |r| < 2^22, beyond that to what float32 tells apart: no
 * call, so that loops become vectors. */
static inline float sqz_fake_even(float r) { return (r + 0x1.8p23f) - 0x1.8p23f; }
static inline float sqz_fake_step(const sqz_fake_grid *g, float x)
{
    return sqz_fake_inside(g, sqz_fake_even(sqz_fake_near(g, x)));
}

/* As the integer kernels round an accumulator (docs/numerics.md, requantization): to parts of a
 * step, halves up, then to steps, halves away from zero. */
static inline float sqz_fake_up(float v)
{
    const float e = sqz_fake_even(v);
    return v - e == 0.5f ? e + 1 : e;
}
static inline float sqz_fake_requant(const sqz_fake_grid *g, float x, float parts)
{
    const float r = sqz_fake_up(sqz_fake_near(g, x) * parts) / parts, a = sqz_fake_up(fabsf(r));
    return sqz_fake_inside(g, r < 0 ? -a : a);
}
/* Parts of a step that the first rounding leaves: 2^-shift of the factor from accumulators in steps
 * of `unit`; so many at most that float32 tells them apart, which no longer matters then. */
static inline float sqz_fake_parts(const sqz_fake_grid *g, float unit)
{
    int shift;
    (void)frexp((double)unit / (double)g->scale, &shift);
    return fminf(shift < 0 ? ldexpf(1, shift > -24 ? -shift : 24) : 1,
                 0x1p21f / fmaxf(fmaxf(-g->lo, g->hi) + 2, 1));
}
#endif
