/* fake.h: the arithmetic of fake quantization, for the operator and for who writes the codes that
 * it stood for. All in float32, so that both find the same code for the same number. */
#ifndef SQZ_FAKE_H
#define SQZ_FAKE_H

typedef struct sqz_fake_grid { /* steps are codes without the zero point: y = scale * step */
    float scale, inverse, lo, hi;
} sqz_fake_grid;
static inline sqz_fake_grid sqz_fake_grid_of(float scale, float lo, float hi, float zero)
{
    return (sqz_fake_grid){scale, 1 / scale, lo - zero, hi - zero};
}
/* x / scale, at most one step beside the grid. */
static inline float sqz_fake_near(const sqz_fake_grid *g, float x)
{
    const float r = x * g->inverse;
    return r < g->lo - 1 ? g->lo - 1 : r > g->hi + 1 ? g->hi + 1 : r;
}
/* To the nearest integer, half to even, for |r| < 2^22: no call, so that loops become vectors. */
static inline float sqz_fake_even(float r) { return (r + 0x1.8p23f) - 0x1.8p23f; }
static inline float sqz_fake_step(const sqz_fake_grid *g, float x)
{
    const float q = sqz_fake_even(sqz_fake_near(g, x));
    return q < g->lo ? g->lo : q > g->hi ? g->hi : q;
}
#endif
