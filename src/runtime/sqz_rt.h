/* sqz_rt.h: the firmware runtime. C99, freestanding: no allocation, no library call but memcpy and
 * memset, no floating point in a kernel. The library uses the same files as the scalar
 * specification of its integer kernels, so what the host computes is what the device computes.
 * docs/numerics.md has the arithmetic.
 *
 * Tensors are channel-last (N,H,W,C), int8; N is 1 on devices, any here. Sizes are int32_t. */
#ifndef SQZ_RT_H
#define SQZ_RT_H
#include <stdint.h>

/* Requantization of a 32-bit accumulator: saturating rounding doubling high multiply by `mult`
 * (Q31, in [2^30, 2^31) or 0), then rounding shift: left before the multiply when shift > 0 (at
 * most 30, saturating), right after it when shift < 0 (at least -31; halves away from zero). As
 * gemmlowp, TensorFlow Lite's reference kernels and CMSIS-NN do by default. */
int32_t sqz_rt_requant(int32_t acc, int32_t mult, int32_t shift);
/* The whole way to the output: min(max(requant(acc) + zero, lo), hi), without overflow for any acc.
 * -128 <= lo <= hi <= 127. */
int8_t sqz_rt_to_s8(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi);
/* The same for a small number, |v| < 2^24: it gets 7 bits of fraction first, or the first of the
 * two roundings would be as coarse as the grid (1/4 would become 1/2 and then 1). */
int8_t sqz_rt_small_to_s8(int32_t v, int32_t mult, int32_t shift, int32_t zero, int32_t lo,
                          int32_t hi);

typedef struct sqz_rt_conv {
    int32_t n, in_h, in_w, in_c, out_h, out_w, out_c;
    int32_t k_h, k_w, stride_h, stride_w, dil_h, dil_w, pad_top, pad_left, groups;
    int32_t in_zero, out_zero, act_min, act_max; /* zero points; clamp of the output, in its grid */
    const int32_t *mult, *shift;                 /* one each per output channel */
} sqz_rt_conv;
/* w (O, Kh, Kw, I/groups) int8, zero point 0; bias (O) int32 or NULL; out-of-image input counts as
 * in_zero. The accumulator must fit: Kh * Kw * I/groups * 255 * 127 + |bias| < 2^31. */
void sqz_rt_conv_s8(const sqz_rt_conv *p, const int8_t *x, const int8_t *w, const int32_t *bias,
                    int8_t *y);
/* Depthwise: w (Kh, Kw, O), output channel o reads input channel o / (out_c / in_c). */
void sqz_rt_dwconv_s8(const sqz_rt_conv *p, const int8_t *x, const int8_t *w, const int32_t *bias,
                      int8_t *y);

/* Transposed: w (O, Kh, Kw, I/groups); output (iy * stride_h - pad_top + ky * dil_h) gets x[iy]. */
void sqz_rt_deconv_s8(const sqz_rt_conv *p, const int8_t *x, const int8_t *w, const int32_t *bias,
                      int8_t *y);

typedef struct sqz_rt_fc {
    int32_t n, in, out;
    int32_t in_zero, out_zero, act_min, act_max;
    const int32_t *mult, *shift; /* per output */
} sqz_rt_fc;
void sqz_rt_fc_s8(const sqz_rt_fc *p, const int8_t *x, const int8_t *w, const int32_t *bias,
                  int8_t *y); /* w (O,I) */

typedef struct sqz_rt_pool {
    int32_t n, in_h, in_w, c, out_h, out_w;
    int32_t k_h, k_w, stride_h, stride_w, dil_h, dil_w, pad_top, pad_left;
    int32_t in_zero, out_zero; /* average only: the maximum keeps the input's grid */
    int32_t count_pad;         /* average: 1 counts taps in the padding, whose value is in_zero */
    int32_t pad_bottom, pad_right; /* average with count_pad: taps beyond these are not counted */
    const int32_t *mult, *shift;   /* average: entry k-1 is s_in / (s_out * k) for k counted taps */
} sqz_rt_pool;
void sqz_rt_maxpool_s8(const sqz_rt_pool *p, const int8_t *x, int8_t *y);
void sqz_rt_avgpool_s8(const sqz_rt_pool *p, const int8_t *x, int8_t *y);

#define SQZ_RT_RESIZE_ONE 2048
typedef struct sqz_rt_resize_axis { /* for every output index */
    const int32_t *lo, *hi;         /* its two neighbors in the input */
    const int32_t *weight;          /* of the second one, 0 .. SQZ_RT_RESIZE_ONE */
} sqz_rt_resize_axis;
typedef struct sqz_rt_resize {
    int32_t n, in_h, in_w, c, out_h, out_w;
    int32_t in_zero, out_zero, mult, shift; /* of s_in / (s_out * 2^22) */
    sqz_rt_resize_axis row, col;
} sqz_rt_resize;
void sqz_rt_resize_linear_s8(const sqz_rt_resize *p, const int8_t *x, int8_t *y);

typedef struct sqz_rt_binary {
    /* add: both inputs are shifted left by 20 and scaled to twice the larger scale (mult_a/b <= 1),
     * added, then scaled to the output grid. mul: product of the centred inputs, scaled by mult_y.
     */
    int32_t zero_a, zero_b, zero_y;
    int32_t mult_a, shift_a, mult_b, shift_b, mult_y, shift_y;
    int32_t act_min, act_max;
} sqz_rt_binary;
void sqz_rt_add_s8(const sqz_rt_binary *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t n);
void sqz_rt_sub_s8(const sqz_rt_binary *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t n);
void sqz_rt_mul_s8(const sqz_rt_binary *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t n);

/* y[i] = table[x[i] + 128]: every unary function. */
void sqz_rt_lut_s8(const int8_t table[256], const int8_t *x, int8_t *y, int32_t n);
/* From one grid to another. */
void sqz_rt_rescale_s8(int32_t zero_in, int32_t mult, int32_t shift, int32_t zero_out,
                       const int8_t *x, int8_t *y, int32_t n);
typedef struct sqz_rt_prelu {
    int32_t n, c; /* n pixels of c channels */
    int32_t in_zero, out_zero;
    int32_t mult_pos, shift_pos; /* s_in / s_out, where x >= 0 */
    /* s_in * |slope| / s_out, one each per channel; a negative mult stands for a negative slope. */
    const int32_t *mult_neg, *shift_neg;
} sqz_rt_prelu;
void sqz_rt_prelu_s8(const sqz_rt_prelu *p, const int8_t *x, int8_t *y);
/* rows x c: table[d] = round(2^23 * exp(-d * scale)), d = row maximum - x, 0..255. Output grid
 * 1/256, -128: y = min((256 * e + sum/2) / sum, 255) - 128, in 64 bits: exact for every c. */
void sqz_rt_softmax_s8(const uint32_t table[256], const int8_t *x, int8_t *y, int32_t rows,
                       int32_t c);
#endif
