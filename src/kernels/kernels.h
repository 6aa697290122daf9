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

/* Weights of a matrix product or of a depthwise window, in the order in which the kernels read
 * them, the same for every instruction set (pack.c): panels of SQZ_PANEL outputs, each one
 * SQZ_PANEL int32 sums of its weights, then for every 4 successive k: SQZ_PANEL x 4 int8. Ends are
 * filled with zeros. Aligned to 64 bytes. */
#define SQZ_PANEL 16
size_t sqz_pack_s8_bytes(size_t n, size_t k); /* 0: does not fit size_t */
/* w of output i and input j is w[i*ld_n + j*ld_k]. */
void sqz_pack_s8(size_t n, size_t k, const int8_t *w, size_t ld_n, size_t ld_k, void *packed);

/* c[i*ldc + j] = sum_k a[i*lda + k] * w(j,k) for i < m, j < n: int32, exact while k * 255 * 128 <
 * 2^31. */
typedef void (*sqz_gemm_s8_fn)(size_t m, size_t n, size_t k, const int8_t *a, size_t lda,
                               const void *packed, int32_t *c, size_t ldc);
/* Depthwise pixel: c[j] = sum over t < taps of x[t][j] * w(j,t) for n channels. x[t] points at n
 * values; `packed` holds an n x taps matrix. */
typedef void (*sqz_dwconv_s8_fn)(size_t n, size_t taps, const int8_t *const *x, const void *packed,
                                 int32_t *c);
/* y[i*ldy + c] = sqz_rt_to_s8(acc[i*n + c] + bias[c], mult[c], shift[c], zero, lo, hi) for i < m,
 * c < n. acc + bias must fit int32. */
typedef void (*sqz_requant_s8_fn)(size_t m, size_t n, const int32_t *acc, const int32_t *bias,
                                  const int32_t *mult, const int32_t *shift, int32_t zero,
                                  int32_t lo, int32_t hi, int8_t *y, size_t ldy);
/* min and max of n > 0 floats; NaN are skipped (all NaN: +inf, -inf). */
typedef void (*sqz_minmax_f32_fn)(const float *x, size_t n, float *lo, float *hi);
/* q[i] = clamp(round_half_even(x[i] / scale) + zero, -128, 127), the division in float; NaN gives
 * the zero point, clamped. zero in -2^16 .. 2^16. See docs/numerics.md, "rounding of values". */
typedef void (*sqz_quantize_s8_fn)(size_t n, const float *x, float scale, int32_t zero, int8_t *q);

typedef struct sqz_kernels {
    sqz_isa isa; /* cap that was applied */
    sqz_gemm_s8_fn gemm_s8;
    sqz_dwconv_s8_fn dwconv_s8;
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
