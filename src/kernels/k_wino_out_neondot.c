/* wino_out, 4 channels at a time. */
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
#define MUL            vmulq_f32
#define MIN(a, b)      vminq_f32(a, b)
#define MAX(a, b)      vmaxq_f32(a, b)
#define FMA(a, b, c)   vfmaq_f32(c, a, b)
#include "kernels/wino_out.h"

void sqz_wino_out_neondot(const sqz_wino_out *s)
{
    if (s->m == 4)
        strip(4, s);
    else
        strip(2, s);
}
