/* kernels.h: inner loops with several implementations; one is chosen per context, at its creation.
 * File k_<kernel>_<isa>.c defines sqz_<kernel>_<isa>. The scalar file is the specification: integer
 * kernels match it bit for bit, float ones within rounding. Kernel files include this header, the
 * runtime's and nothing else of ours: an inline function compiled with wider flags may otherwise be
 * the copy the linker keeps for everybody. Nothing is read past the end of an operand. */
#ifndef SQZ_KERNELS_H
#define SQZ_KERNELS_H
#include "runtime/sqz_rt.h"
#include <stddef.h>
#include <stdint.h>

typedef enum sqz_isa {
    SQZ_ISA_scalar,
    SQZ_ISA_avx2,
    SQZ_ISA_avxvnni, /* 256-bit dot products without AVX-512 */
    SQZ_ISA_avx512vnni,
    SQZ_ISA_neondot,
    SQZ_N_ISA
} sqz_isa;

/* `rounds` rounds of multiply-adds that wait for nothing, in float or int8; returns how many
 * operations they were, a multiply-add being two. sink: 4 floats, the first three the factor, the
 * term and the integer; the last takes the result. See peaks.h. */
typedef uint64_t (*sqz_peak_fn)(int integer, size_t rounds, float *sink);

/* ---- sums of products: y(m,n) = sum over k of left(m,k) * right(k,n) ----
 * Right side, n outputs of k = n_seg * len terms, packed once (pack.c) in an order that is the same
 * for every instruction set: panels of SQZ_PANEL outputs one after the other, outputs beyond n
 * being zeros. A float panel is SQZ_PANEL biases, then SQZ_PANEL floats for each term, segment by
 * segment. Aligned to 64 bytes. */
#define SQZ_PANEL ((size_t)16)
typedef struct sqz_packed {
    size_t n, n_seg, len;
    void *data;
} sqz_packed;
/* Bytes of data; 0: does not fit size_t. */
size_t sqz_pack_f32_bytes(size_t n, size_t n_seg, size_t len);
/* Term t of segment s of output i is w[i*ld_n + (s*len + t)*ld_k]; bias NULL: 0. */
void sqz_pack_f32(const sqz_packed *p, const float *w, size_t ld_n, size_t ld_k, const float *bias);

/* Left side: m rows read where they lie. Row r begins at
 * a + (r / width) * line + (r % width) * step, its segment s lies seg[s] behind that; all in bytes.
 * So a convolution needs no im2col: rows are output pixels, segments the lines of the kernel, whose
 * taps lie side by side in a channel-last image. A plain matrix has width m and one segment. */
typedef struct sqz_left {
    const void *a;
    size_t m, width, step, line;
    const size_t *seg;
    size_t n_seg, len;
} sqz_left;
typedef struct sqz_out_f32 { /* y(r,j) = min(max((sum + bias(j)) + add(r,j), lo), hi) */
    float *y;
    size_t ld;        /* elements from row to row, as ld_add */
    const float *add; /* NULL: not added, as bias */
    size_t ld_add;
    float lo, hi;      /* -inf, inf: no clamp; a NaN stays NaN */
    const float *bias; /* one more than that of the panels, where bytes ask for an addition behind
                          the sum */
} sqz_out_f32;
/* Outputs begin <= j < end, begin a multiple of SQZ_PANEL, end too or n; y and add point to row 0,
 * output 0. Each sum is one chain of fused multiply-adds that starts with the bias and goes through
 * k in order: it does not depend on which rows and outputs are asked for together. */
typedef void (*sqz_gemm_f32_fn)(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                                const sqz_out_f32 *o);

/* ---- products over rows, for gradients of weights: sum(i,j) += sum over r of a(r,i) * b(r,j) ----
 * Row r is pixel x of line y of plane z: a(r,i) = a[z*plane_a + y*line_a + x*step_a + i], b
 * likewise; i < m, j < n, sum(i,j) = sum[i*ld + j]. Each sum is one chain of fused multiply-adds
 * that starts with what stands there, or `fresh` with 0, and goes through the rows in order. */
typedef struct sqz_outer {
    size_t m, n;
    size_t planes, height, width;
    const float *a, *b;
    size_t plane_a, line_a, step_a, plane_b, line_b, step_b; /* floats */
    float *sum;
    size_t ld;
    int fresh;
} sqz_outer;
typedef void (*sqz_outer_f32_fn)(const sqz_outer *o);

/* ---- Winograd's convolution F(m x m, 3x3), m 4 or 2 (ops/winograd.c) ----
 * Tiles of t = m + 2 pixels a side lie m apart; a strip is a row of them. Both transforms work on
 * each channel for itself, with the same operations in the same order in every implementation. */
#define SQZ_WINO_T 6 /* largest t */
#define SQZ_WINO_PA                                                                                \
    0.625f /* points of m = 4: 0, +-PA, +-PB, infinity; of m = 2: 0, +-1, infinity */
#define SQZ_WINO_PB 1.5f
/* v[(i*t + j)*plane + k*ld + ch] = (B^T d B)(i,j), d tile k of the strip: pixels first + k*m ... of
 * the t lines, those outside of 0 .. width-1 being zeros. */
typedef struct sqz_wino_in {
    size_t m, n_tile, c;
    const float *line[SQZ_WINO_T]; /* width x c */
    ptrdiff_t first, width;
    float *v;
    size_t plane, ld; /* floats */
} sqz_wino_in;
typedef void (*sqz_wino_in_fn)(const sqz_wino_in *s);
/* y = min(max(A^T m A + bias + more + add, lo), hi) for the strip's outputs that exist: rows <= m
 * lines, cols <= m * n_tile pixels of c channels. */
typedef struct sqz_wino_out {
    size_t m, n_tile, c, rows, cols;
    const float *prod; /* as v above */
    size_t plane, ld;
    const float *bias, *more; /* of the channels; more NULL: 0 */
    float *y;                 /* pixel (0,0) */
    const float *add;         /* the same; NULL: 0 */
    size_t line, pixel;       /* floats from line to line and pixel to pixel, of y and add */
    float lo, hi;
} sqz_wino_out;
typedef void (*sqz_wino_out_fn)(const sqz_wino_out *s);

/* ---- from sums to an int8 grid ---- */
typedef struct sqz_requant { /* each column (output) its own factor */
    size_t n;                /* columns */
    const int32_t *bias, *mult, *shift;
    int32_t zero, lo, hi;
    int small; /* 1: no sum reaches 2^29 in magnitude; kernels then have a shorter way */
    const float *scale, *offset; /* of requant_fit, where zero is -128 and `small`; else NULL */
} sqz_requant;
/* For zero point -128 the same in float: code = round_half_even(fma(sum, scale, offset)),
 * saturated, for every |sum| < 2^29. scale 0: there is no such pair, or none is looked for because
 * one of 16 successive columns has a shift that is not in -SQZ_FIT_SHIFT .. -1. Below that, float
 * is too coarse for most. */
#define SQZ_FIT_SHIFT 8
typedef void (*sqz_requant_fit_fn)(size_t n, const int32_t *mult, const int32_t *shift,
                                   float *scale, float *offset);
/* y[i*ldy + c] = sqz_rt_to_s8(acc[i*n + c] + bias[c], mult[c], shift[c], zero, lo, hi) for i < m.
 * acc + bias must fit int32. */
typedef void (*sqz_requant_s8_fn)(const sqz_requant *p, size_t m, const int32_t *acc, int8_t *y,
                                  size_t ldy);

/* ---- the same products on int8, down to the output's grid ----
 * An int8 panel is SQZ_PANEL int32 that the sums start with, then segment by segment for each 4
 * successive terms (the last ones filled with zeros) SQZ_PANEL x 4 int8. */
size_t sqz_pack_s8_bytes(size_t n, size_t n_seg, size_t len); /* 0: does not fit size_t */
void sqz_pack_s8(const sqz_packed *p, const int8_t *w, size_t ld_n, size_t ld_k,
                 const int32_t *start);
typedef struct sqz_out_s8 { /* y(r,j) = sqz_rt_to_s8(sum, mult[j], shift[j], zero, lo, hi) */
    int8_t *y;
    size_t ld;
    const sqz_requant *rq; /* its bias is not read; arrays reach to the end of the last panel */
} sqz_out_s8;
/* Outputs as in gemm_f32. Up to 3 bytes behind a segment are read, and count nothing. Where
 * sqz_kernels.s8_flip is not 0, the bytes of the left side are codes XOR 0x80, that is the unsigned
 * x + 128; the start of output j is then lower by 128 * sum of its weights. Arithmetic is modulo
 * 2^32: only the whole sum must fit int32. */
typedef void (*sqz_gemm_s8_fn)(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                               const sqz_out_s8 *o);

/* ---- depthwise: each channel its own window ----
 * Output line i, pixel j reads, under tap t of line s of the window, the pixel
 * x[i * line_step + s][j * step + t]: the address of its n channels. So padding is the address of a
 * pixel of zeros (zero points), and nothing is copied; a window with holes is one of more lines
 * with one tap each. Result (i, j) is row i * width + j of the output. */
typedef struct sqz_windows {
    const void *const *const *x;
    size_t lines, width; /* of output */
    size_t line_step, step;
} sqz_windows;
/* Weights as packed by sqz_pack_f32: n_seg lines of len taps. Each result is one chain of fused
 * multiply-adds that starts with the bias and goes through the taps in order. */
typedef void (*sqz_dwconv_f32_fn)(const sqz_packed *w, const sqz_windows *x, const sqz_out_f32 *o);
/* Its gradient: sum[(s*len + t)*n + c] += g(i,j)[c] * x(i,j,s,t)[c] over the results in order, with
 * g[(i*width + j)*n + c], for n_seg lines of len taps each. Chains of fused multiply-adds. */
typedef void (*sqz_dwouter_f32_fn)(const sqz_windows *x, size_t n_seg, size_t len, size_t n,
                                   const float *g, float *sum);
/* int8, down to the output's grid. Weights are packed by sqz_pack_s8 as n_seg taps of a line
 * (segments) of len lines each (terms): the other way round than float. Either n_seg is 1, a list
 * of taps, or the window is 3x3 or 5x5 with steps of 1 or 2, the same along both axes. Codes are
 * signed on every processor. */
typedef void (*sqz_dwconv_s8_fn)(const sqz_packed *w, const sqz_windows *x, const sqz_out_s8 *o);

/* ---- products with weights that stay codes of 4 or 8 bits ----
 * Each block of `block` successive terms of an output has a scale and perhaps a zero point. Panels
 * of SQZ_PANEL outputs follow one another; a panel is, for each block, SQZ_PANEL float scales and
 * then the codes,
 *   8 bits: for every 4 successive terms SQZ_PANEL x 4 bytes,
 *   4 bits: for every 8 successive terms SQZ_PANEL x 4 bytes, terms 0..3 in the low halves and 4..7
 *           in the high ones,
 * and behind the last block, where there are `zeros`, SQZ_PANEL bytes of them for each block. The
 * last block ends with the 8 terms that hold term k - 1. What lies beyond k or n is 0. */
typedef struct sqz_blockw {
    size_t n, k, block, n_block; /* block: a multiple of 8 */
    unsigned bits;               /* 4 or 8 */
    int zeros;                   /* each block of each output has a zero point of its own */
    int32_t zero;                /* else all have this one; 0 .. 255 */
    size_t panel;                /* bytes from panel to panel: a multiple of 64 */
    void *data;                  /* aligned to 64 bytes */
} sqz_blockw;
/* Terms of block b that lie in the panel, and where its zero points begin. */
static inline size_t sqz_blockw_len(const sqz_blockw *w, size_t b)
{
    const size_t left = (w->k + 7) / 8 * 8 - b * w->block;
    return left < w->block ? left : w->block;
}
static inline const uint8_t *sqz_blockw_zeros(const sqz_blockw *w, const uint8_t *panel)
{
    return panel + SQZ_PANEL * (4 * w->n_block + (w->k + 7) / 8 * w->bits);
}
/* Sets n_block and panel from n, k, block, bits and zeros (pack_block.c); bytes of data, 0: does
 * not fit size_t. */
size_t sqz_blockw_bytes(sqz_blockw *w);
/* What is packed for output i: code of term t, scale and zero point of block b. */
typedef struct sqz_blockw_source {
    const void *arg;
    int32_t (*code)(const void *arg, size_t i, size_t t); /* 0 .. 2^bits - 1 */
    float (*scale)(const void *arg, size_t i, size_t b);
    int32_t (*zero)(const void *arg, size_t i, size_t b); /* asked where there are zeros */
} sqz_blockw_source;
void sqz_blockw_pack(const sqz_blockw *w, const sqz_blockw_source *s, size_t begin, size_t end);
/* y(r,j) = sum over blocks b of scale(j,b) * sum over t in b of (w(j,t) - zero) * x(r,t) for r < m
 * and outputs begin <= j < end, begin a multiple of SQZ_PANEL: a chain of fused multiply-adds over
 * the terms of a block, one over the blocks, whatever m, begin and end are. */
typedef void (*sqz_blockw_f32_fn)(const sqz_blockw *w, size_t begin, size_t end, size_t m,
                                  const float *x, size_t ldx, float *y, size_t ldy);
/* Rows on grids of their own: int8 codes without zero point, one scale for each block of a row. */
typedef struct sqz_block_rows {
    size_t m;
    const int8_t *q;     /* m x n_block * block; 0 beyond k */
    const float *scale;  /* m x n_block */
    const int32_t *less; /* m x n_block: minus the sum of the block's codes */
} sqz_block_rows;
/* One row of k floats on such grids: for each block scale = max |x| / 127, NaN when there is one in
 * the block, and q = clamp(round_half_even(x / scale), -127, 127); 0 where the scale is not
 * positive and finite, and up to the end of the last block. block is a multiple of 8. */
typedef void (*sqz_block_rows_fn)(size_t k, size_t block, const float *x, int8_t *q, float *scale,
                                  int32_t *less);
/* y(r,j) = sum over b of (scale(j,b) * x.scale(r,b)) * sum over t in b of (w(j,t) - zero) *
 * x.q(r,t): the inner sum in int32, the outer a chain of fused multiply-adds. Bit for bit. */
typedef void (*sqz_blockw_s8_fn)(const sqz_blockw *w, size_t begin, size_t end,
                                 const sqz_block_rows *x, float *y, size_t ldy);

/* ---- element by element (vec_math.h): the same bits on every instruction set ---- */
/* y[i] = kind(x[i]) with up to two parameters a, b; y may be x. An element's result does not depend
 * on its place. affine a*x + b in one rounding; clip to a .. b; leaky_relu a*x below 0;
 * hard_sigmoid clip(a*x + b, 0, 1); hard_swish x clip(x/6 + 1/2, 0, 1); swish x sigmoid(a*x); elu
 * a (e^x - 1) below 0; selu b*x, b*a (e^x - 1) below 0. NaN gives NaN, infinities their limits.
 */
/* clang-format off */
#define SQZ_MAP_KINDS(M) \
    M(abs) M(neg) M(sqrt) M(reciprocal) M(round) M(floor) M(ceil) M(affine) M(clip) \
    M(leaky_relu) M(hard_sigmoid) M(hard_swish) M(exp) M(log) M(tanh) M(sigmoid) M(erf) \
    M(softplus) M(softsign) M(swish) M(mish) M(gelu) M(gelu_tanh) M(elu) M(selu)
/* clang-format on */
#define SQZ_MAP_KIND(kind) SQZ_MAP_##kind,
typedef enum sqz_map_kind { SQZ_MAP_none, SQZ_MAP_KINDS(SQZ_MAP_KIND) SQZ_N_MAP } sqz_map_kind;
typedef void (*sqz_map_f32_fn)(sqz_map_kind kind, const float *p, const float *x, float *y,
                               size_t n); /* p: 2 floats; kind not none */

/* y[r*n + i] = kind(a, b) for r < rows, i < n, where operand number i of row r is
 * x[r*row + i*step], step 0 or 1, not both 0; y may be a. min and max give NaN where one is
 * NaN; prelu is a*b below 0, else a. */
typedef struct sqz_operand {
    const float *x;
    size_t row, step;
} sqz_operand;
#define SQZ_BIN_KINDS(M)   M(add) M(sub) M(mul) M(div) M(min) M(max) M(prelu)
#define SQZ_BIN_KIND(kind) SQZ_BIN_##kind,
typedef enum sqz_bin_kind { SQZ_BIN_none, SQZ_BIN_KINDS(SQZ_BIN_KIND) SQZ_N_BIN } sqz_bin_kind;
typedef void (*sqz_bin_f32_fn)(sqz_bin_kind kind, const sqz_operand *a, const sqz_operand *b,
                               float *y, size_t rows, size_t n);

/* ---- between floats and codes ---- */
/* min and max of n > 0 floats; NaN are skipped (all NaN: +inf, -inf). */
typedef void (*sqz_minmax_f32_fn)(const float *x, size_t n, float *lo, float *hi);
/* q[i] = clamp(round_half_even(x[i] / scale) + zero, -128, 127), the division in float; NaN
 * gives the zero point, clamped. zero in -2^16 .. 2^16. See docs/numerics.md, "rounding of
 * values". */
typedef void (*sqz_quantize_s8_fn)(size_t n, const float *x, float scale, int32_t zero, int8_t *q);
/* y[i] = scale * (float)(x[i] - zero); zero in -2^16 .. 2^16. */
typedef void (*sqz_dequantize_s8_fn)(size_t n, const int8_t *x, float scale, int32_t zero,
                                     float *y);

/* ---- int8, element by element; src/runtime is the definition ----
 * Both divisions of sqz_rt_requant are one when shift < 0: floors of floors merge. With t = 4
 * v, |v| < 2^29, and H the high 32 bits of the 64-bit product t * mult, requant(v) = (H + round
 * - (t < 0 ? 2 : 0)) >> shift where `shift` is one more than that to the right, and `round`
 * half a step and 1. The 2 turns halves below 0 away from it. */
typedef struct sqz_factor {
    int32_t mult, shift, round;
} sqz_factor;
int sqz_factor_make(sqz_factor *f, int32_t mult, int32_t shift); /* 0: shift >= 0, no such form */
/* The same for sqz_rt_small_to_s8, whose 7 bits of fraction come on top: t = 512 v, |v| < 2^22.
 */
int sqz_factor_small(sqz_factor *f, int32_t mult, int32_t shift);

/* y = a + sign * b. One operand, z, has the larger scale: its factor is 1/2, and u = (z - zero)
 * << 19 exactly. For the other, x, u = ((x - zero) * mult + half) >> bits, a 40-bit product,
 * taken in two parts: the upper part of mult in whole steps, and the rest, `low`, with the
 * rounding. All comes times 4 for sqz_factor. */
typedef struct sqz_add_s8 {
    sqz_rt_binary rt;
    int32_t sign;
    int fast;    /* 0: scales too far apart, the runtime does it */
    int swapped; /* x is b */
    int wide;    /* `low` has more than 16 bits */
    int32_t zero_x, high_x, low, below, half, bits, step, scale_z, sum;
    sqz_factor y;
    int real; /* y = round_half_even(fma(a, by_a, fma(b, by_b, more))), saturated */
    float by_a, by_b, more;
} sqz_add_s8;
void sqz_add_s8_make(sqz_add_s8 *p, const sqz_rt_binary *rt, int32_t sign);
typedef struct sqz_mul_s8 { /* y = a * b */
    sqz_rt_binary rt;
    int fast;
    sqz_factor y;
} sqz_mul_s8;
void sqz_mul_s8_make(sqz_mul_s8 *p, const sqz_rt_binary *rt);
/* y may be a or b. */
typedef void (*sqz_add_s8_fn)(const sqz_add_s8 *p, size_t n, const int8_t *a, const int8_t *b,
                              int8_t *y);
/* Looks for a form in float that gives, by this kernel, the same code for all pairs of codes, and
 * sets p->real if there is one. */
void sqz_add_s8_fit(sqz_add_s8 *p, sqz_add_s8_fn add);
typedef void (*sqz_mul_s8_fn)(const sqz_mul_s8 *p, size_t n, const int8_t *a, const int8_t *b,
                              int8_t *y);
/* y[i] = table[x[i] + 128]; y may be x. */
typedef void (*sqz_lut_s8_fn)(const int8_t table[256], size_t n, const int8_t *x, int8_t *y);

/* ---- pools: m output pixels of n channels, side by side ----
 * Pixel p takes ny x nx taps: x[p*step + ky*line + kx*next + j] for channel j, all inside the
 * image and at least one; y[p*ldy + j]. Counted in elements. */
typedef struct sqz_taps {
    size_t m, n, step, ldy, ny, line, nx, next;
} sqz_taps;
typedef void (*sqz_maxpool_f32_fn)(const sqz_taps *w, const float *x, float *y); /* a NaN stays */
typedef void (*sqz_maxpool_s8_fn)(const sqz_taps *w, const int8_t *x, int8_t *y);
/* The sum of the taps over `count`. Taps are added in order, in runs of SQZ_AVGPOOL_RUN and then
 * run to run. */
#define SQZ_AVGPOOL_RUN ((size_t)64)
typedef void (*sqz_avgpool_f32_fn)(const sqz_taps *w, float count, const float *x, float *y);
/* y = sqz_rt_small_to_s8(start + sum, mult, shift, zero, -128, 127); |start + sum| < 2^22. */
typedef struct sqz_average_s8 {
    int32_t start, mult, shift, zero;
    sqz_factor f; /* of mult and shift: sqz_factor_small */
} sqz_average_s8;
typedef void (*sqz_avgpool_s8_fn)(const sqz_taps *w, const sqz_average_s8 *a, const int8_t *x,
                                  int8_t *y);
/* ---- rows (rows_f32.h): sums in an order that is the same on every instruction set ---- */
/* Each of `rows` rows of n > 0: y = e^(x - max) / sum, or its logarithm; y may be x. A row of
 * -infinity only is uniform. */
typedef void (*sqz_softmax_f32_fn)(size_t rows, size_t n, const float *x, float *y, int log_of);
/* Each row: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, scale and bias of n
 * numbers or NULL; not centered: y = x / sqrt(mean of x^2 + epsilon) * scale + bias. y may be
 * x; mean and inverse (of the root), one for each row, may be NULL. */
typedef struct sqz_row_norm {
    size_t n; /* > 0 */
    const float *scale, *bias;
    double epsilon;
    int centered;
} sqz_row_norm;
typedef void (*sqz_norm_f32_fn)(const sqz_row_norm *p, size_t rows, const float *x, float *y,
                                float *mean, float *inverse);

/* y[r] = what row r of n > 0 folds to, for r < rows; max and min are NaN where there is one. */
#define SQZ_FOLD_KINDS(M)   M(sum) M(abs) M(square) M(max) M(min)
#define SQZ_FOLD_KIND(kind) SQZ_FOLD_##kind,
typedef enum sqz_fold_kind {
    SQZ_FOLD_none,
    SQZ_FOLD_KINDS(SQZ_FOLD_KIND) SQZ_N_FOLD
} sqz_fold_kind;
typedef void (*sqz_fold_f32_fn)(sqz_fold_kind kind, size_t rows, size_t n, const float *x,
                                double *y);
/* Columns, line by line: first[j] = sum over rows r of d, second[j] = of d^2, d = x[r*ld + j] -
 * from[j], for j < n; from NULL: 0; second NULL: not wanted. In float: up to some 64 rows at a
 * time. */
typedef void (*sqz_moments_f32_fn)(size_t rows, size_t n, size_t ld, const float *x,
                                   const float *from, float *first, float *second);
/* y[r*ld + j] = (x[r*ld + j] - from[j]) * factor[j] + shift[j]; y may be x. */
typedef void (*sqz_affine_f32_fn)(size_t rows, size_t n, size_t ld, const float *x,
                                  const float *from, const float *factor, const float *shift,
                                  float *y);

/* ---- batch norm in training: `rows` rows of n channels, side by side ----
 * d = x - from, u = g where lo < d * factor + shift < hi, else 0 (g when not clamped). */
typedef struct sqz_bn {
    size_t rows, n;
    const float *from, *factor, *shift; /* n each */
    float lo, hi;
    int clamped, add;
} sqz_bn;
/* y = min(max(d * factor + shift, lo), hi); NaN goes through; y may be x. */
typedef void (*sqz_bn_f32_fn)(const sqz_bn *p, const float *x, float *y);
/* first[j] = sum over rows of u, second[j] = of u * d. In float: up to some 64 rows at a time. */
typedef void (*sqz_bn_sum_f32_fn)(const sqz_bn *p, const float *x, const float *g, float *first,
                                  float *second);
/* dx = factor * u + slope * d + rest, added to what stands there with `add`; dx may be g. */
typedef void (*sqz_bn_back_f32_fn)(const sqz_bn *p, const float *x, const float *g,
                                   const float *slope, const float *rest, float *dx);

/* Rows of softmax: sqz_rt_softmax_s8; n fits int32_t. */
typedef void (*sqz_softmax_s8_fn)(const uint32_t table[256], const int8_t *x, int8_t *y,
                                  size_t rows, size_t n);

/* ---- moves ----
 * y[j*ldy + i] = x[i*ldx + j] for i < rows, j < cols; elements of 4 bytes and of 1. */
typedef void (*sqz_transpose_b4_fn)(size_t rows, size_t cols, const void *x, size_t ldx, void *y,
                                    size_t ldy);
typedef void (*sqz_transpose_b1_fn)(size_t rows, size_t cols, const void *x, size_t ldx, void *y,
                                    size_t ldy);

/* ---- statistics ----
 * Least and greatest of n numbers (+inf, -inf of none; 0 is +0) and how many are 0. Returns 0 when
 * one is NaN or above `limit` in magnitude; the totals mean nothing then. */
typedef int (*sqz_scan_f32_fn)(const float *x, size_t n, float limit, float *lo, float *hi,
                               uint64_t *zeros);

#define SQZ_FIELD_scalar(kernel) sqz_##kernel##_fn kernel;
#define SQZ_FIELD_avx2(kernel)
#define SQZ_FIELD_avxvnni(kernel)
#define SQZ_FIELD_avx512vnni(kernel)
#define SQZ_FIELD_neondot(kernel)
#define SQZ_KERNEL(kernel, isa) SQZ_FIELD_##isa(kernel)
typedef struct sqz_kernels { /* every kernel has a scalar form */
    sqz_isa isa;             /* cap that was applied */
    uint8_t s8_flip;         /* what gemm_s8 wants its left side XORed with: 0x80 or 0 */
#include "sqz_kernel_list.inc"
} sqz_kernels;
#undef SQZ_KERNEL

#define SQZ_KERNEL(kernel, isa) extern __typeof__(*(sqz_##kernel##_fn)0) sqz_##kernel##_##isa;
#include "sqz_kernel_list.inc"
#undef SQZ_KERNEL

const char *sqz_isa_name(sqz_isa isa);
int sqz_isa_find(const char *name); /* -1: none */
int sqz_isa_supported(sqz_isa isa);
void sqz_kernels_select(sqz_kernels *k, sqz_isa cap); /* best implementation not above `cap` */

/* For ctx.c: allocates and selects. cpu NULL: $SQZ_CPU, else the best. */
#include "squeeze/squeeze.h"
sqz_status sqz_kernels_create(sqz_ctx *ctx, const char *cpu);
#endif
