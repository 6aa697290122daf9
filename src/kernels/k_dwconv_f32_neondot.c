/* dwconv_f32, 4 channels at a time; the last few through a small copy. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <string.h>

static inline float32x4_t load_part(const float *p, size_t n)
{
    float v[4] = {0};
    memcpy(v, p, n * sizeof *v);
    return vld1q_f32(v);
}

static inline void store_part(float *p, float32x4_t v, size_t n)
{
    float out[4];
    vst1q_f32(out, v);
    memcpy(p, out, n * sizeof *out);
}

/* Comparisons keep a NaN, as the scalar form does. */
static inline float32x4_t clamp(float32x4_t v, float lo, float hi)
{
    float32x4_t least = vdupq_n_f32(lo), most = vdupq_n_f32(hi);
    v = vbslq_f32(vcltq_f32(v, least), least, v);
    return vbslq_f32(vcgtq_f32(v, most), most, v);
}

#define NAME(f)             f##_4
#define VEC                 float32x4_t
#define LOAD(p)             vld1q_f32(p)
#define LOAD_PART(p, n)     load_part(p, n)
#define STORE(p, v)         vst1q_f32(p, v)
#define STORE_PART(p, v, n) store_part(p, v, n)
#define ADD(a, b)           vaddq_f32(a, b)
#define FMA(a, b, c)        vfmaq_f32(c, a, b)
#define CLAMP(v, lo, hi)    clamp(v, lo, hi)
#include "kernels/dwconv_f32.h"

/* Lines i .. i + rows of the output, columns j .. end, all channels. */
INLINE void strip(const size_t rows, const size_t k, const size_t step, const dw_f32 *q, size_t i,
                  size_t j, size_t end)
{
    const size_t n = q->n, panel = q->panel;
    const float *w = q->w;
    size_t c = 0;
    for (; c + 4 <= n; c += 4)
        columns_4(true, rows, k, step, q,
                  (dw_f32_at){i, j, c, 0, w + c / SQZ_PANEL * panel + c % SQZ_PANEL}, end);
    if (c < n)
        columns_4(false, rows, k, step, q,
                  (dw_f32_at){i, j, c, n - c, w + c / SQZ_PANEL * panel + c % SQZ_PANEL}, end);
}
#define LINES_5X5 2
#include "kernels/dwconv_f32_lines.h"

void sqz_dwconv_f32_neondot(const sqz_packed *w, const sqz_windows *x, const sqz_out_f32 *o)
{
    lines(w, x, o);
}
