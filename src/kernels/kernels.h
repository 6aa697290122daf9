/* kernels.h: inner loops with several implementations; one is chosen per context, at its creation.
 * File k_<kernel>_<isa>.c defines sqz_<kernel>_<isa>. The scalar file is the specification: integer
 * kernels match it bit for bit, float ones within rounding. Kernel files include this header, the
 * runtime's and nothing else of ours: an inline function compiled with wider flags may otherwise be
 * the copy the linker keeps for everybody. Nothing is read past the end of an operand. */
#ifndef SQZ_KERNELS_H
#define SQZ_KERNELS_H
#include <stddef.h>
#include <stdint.h>

typedef enum sqz_isa {
    SQZ_ISA_scalar,
    SQZ_ISA_avx2,
    SQZ_ISA_avx512vnni,
    SQZ_ISA_neondot,
    SQZ_N_ISA
} sqz_isa;

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
typedef struct sqz_out_f32 { /* y(r,j) = min(max(sum + add(r,j), lo), hi); add NULL: 0 */
    float *y;
    size_t ld; /* elements from row to row, as ld_add */
    const float *add;
    size_t ld_add;
    float lo, hi; /* -inf, inf: no clamp; a NaN stays NaN */
} sqz_out_f32;
/* Outputs begin <= j < end, begin a multiple of SQZ_PANEL, end too or n; y and add point to row 0,
 * output 0. Each sum is one chain of fused multiply-adds that starts with the bias and goes through
 * k in order: it does not depend on which rows and outputs are asked for together. */
typedef void (*sqz_gemm_f32_fn)(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                                const sqz_out_f32 *o);

/* ---- to be replaced: the packing of the products above for int8 without segments ---- */
/* Weights of a matrix product (n outputs, sums of k terms) or of a depthwise window (n channels, k
 * taps) in the order in which the kernels read them, the same for every instruction set (pack.c):
 * panels of SQZ_PANEL outputs, each one SQZ_PANEL int32 sums of its weights, then for every 4
 * successive k: SQZ_PANEL x 4 int8. Ends are filled with zeros. Aligned to 64 bytes. */
typedef struct sqz_packed_v1 {
    size_t n, k;
    void *data;
} sqz_packed_v1;
size_t sqz_pack_v1_bytes(size_t n, size_t k); /* 0: does not fit size_t */
/* w of output i and term j is w[i*ld_n + j*ld_k]; p->n, k and data are set. */
void sqz_pack_v1(const sqz_packed_v1 *p, const int8_t *w, size_t ld_n, size_t ld_k);

/* c[i*ldc + j] = sum_t a[i*lda + t] * w(j,t) for i < m, j < w->n: int32, exact while k * 255 * 128
 * < 2^31. */
typedef void (*sqz_gemm_s8_fn)(const sqz_packed_v1 *w, size_t m, const int8_t *a, size_t lda,
                               int32_t *c, size_t ldc);
/* Depthwise pixel: c[j] = sum over t < w->k of x[t][j] * w(j,t), for j < w->n. */
typedef void (*sqz_dwconv_s8_fn)(const sqz_packed_v1 *w, const int8_t *const *x, int32_t *c);

/* The same in float: y[j] = bias[j] + sum over t < taps of x[t][j] * w[t][j] for j < n; bias NULL:
 * 0. Each tap has its own rows: those in the padding are left out. */
typedef void (*sqz_dwconv_f32_fn)(size_t n, size_t taps, const float *const *x,
                                  const float *const *w, const float *bias, float *y);

typedef struct sqz_requant { /* from accumulators to a grid, each column its own factor */
    size_t n;                /* columns */
    const int32_t *bias, *mult, *shift;
    int32_t zero, lo, hi;
} sqz_requant;
/* y[i*ldy + c] = sqz_rt_to_s8(acc[i*n + c] + bias[c], mult[c], shift[c], zero, lo, hi) for i < m.
 * acc + bias must fit int32. */
typedef void (*sqz_requant_s8_fn)(const sqz_requant *p, size_t m, const int32_t *acc, int8_t *y,
                                  size_t ldy);
/* min and max of n > 0 floats; NaN are skipped (all NaN: +inf, -inf). */
typedef void (*sqz_minmax_f32_fn)(const float *x, size_t n, float *lo, float *hi);
/* q[i] = clamp(round_half_even(x[i] / scale) + zero, -128, 127), the division in float; NaN gives
 * the zero point, clamped. zero in -2^16 .. 2^16. See docs/numerics.md, "rounding of values". */
typedef void (*sqz_quantize_s8_fn)(size_t n, const float *x, float scale, int32_t zero, int8_t *q);

typedef struct sqz_kernels {
    sqz_isa isa; /* cap that was applied */
    sqz_gemm_f32_fn gemm_f32;
    sqz_gemm_s8_fn gemm_s8;
    sqz_dwconv_s8_fn dwconv_s8;
    sqz_dwconv_f32_fn dwconv_f32;
    sqz_requant_s8_fn requant_s8;
    sqz_minmax_f32_fn minmax_f32;
    sqz_quantize_s8_fn quantize_s8;
} sqz_kernels;

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
