/* wino_in, 4 channels at a time. */
#include "kernels/kernels.h"
#include <arm_neon.h>

typedef float32x4_t vec;
enum { WIDTH = 4 };
static inline vec load_some(const float *p, size_t n)
{
    float v[4] = {0};
    for (size_t i = 0; i < n; i++)
        v[i] = p[i];
    return vld1q_f32(v);
}
static inline void store_some(float *p, vec x, size_t n)
{
    float v[4];
    vst1q_f32(v, x);
    for (size_t i = 0; i < n; i++)
        p[i] = v[i];
}
#define LOAD(p, n)     ((n) == WIDTH ? vld1q_f32(p) : load_some(p, n))
#define STORE(p, v, n) ((n) == WIDTH ? vst1q_f32(p, v) : store_some(p, v, n))
#define SET            vdupq_n_f32
#define ADD            vaddq_f32
#define SUB            vsubq_f32
#define FMA(a, b, c)   vfmaq_f32(c, a, b)
#define FNMA(a, b, c)  vfmsq_f32(c, a, b)
#include "kernels/wino_in.h"

void sqz_wino_in_neondot(const sqz_wino_in *s)
{
    if (s->m == 4)
        strip(4, s);
    else
        strip(2, s);
}
