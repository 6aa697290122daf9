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

/* c[m*ldc + n] = sum_k (a[m*lda + k]) * b[n*ldb + k], int32, exact. a: M x K, b: N x K (weights,
 * row-major). */
typedef void (*sqz_gemm_s8_fn)(size_t m, size_t n, size_t k, const int8_t *a, size_t lda,
                               const int8_t *b, size_t ldb, int32_t *c, size_t ldc);
/* y[i*ldy + c] = clamp(requant(acc[i*n + c] + bias[c], mult[c], shift[c]) + zero, lo, hi) for i <
 * m, c < n. */
typedef void (*sqz_requant_s8_fn)(size_t m, size_t n, const int32_t *acc, const int32_t *bias,
                                  const int32_t *mult, const int32_t *shift, int32_t zero,
                                  int32_t lo, int32_t hi, int8_t *y, size_t ldy);
/* min and max of n > 0 floats; NaN are skipped (all NaN: +inf, -inf). */
typedef void (*sqz_minmax_f32_fn)(const float *x, size_t n, float *lo, float *hi);
/* Depthwise inner loop: acc[c] += x[c] * w[c] for n channels, int32. */
typedef void (*sqz_muladd_s8_fn)(size_t n, const int8_t *x, int32_t zero, const int8_t *w,
                                 int32_t *acc);
/* q[i] = clamp(round_half_even(x[i] * inv_scale...)): see docs/numerics.md, "rounding of values".
 */
typedef void (*sqz_quantize_s8_fn)(size_t n, const float *x, float scale, int32_t zero, int8_t *q);

typedef struct sqz_kernels {
    sqz_isa isa; /* cap that was applied */
    sqz_gemm_s8_fn gemm_s8;
    sqz_requant_s8_fn requant_s8;
    sqz_minmax_f32_fn minmax_f32;
    sqz_muladd_s8_fn muladd_s8;
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
