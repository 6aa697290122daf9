/* vec_avx2.h: the vector operations of vec_math.h on 8 floats; meanings are in vec_scalar.h. */
#ifndef SQZ_VEC_H
#define SQZ_VEC_H
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define V static inline __attribute__((always_inline))
enum { VW = 8 };
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;

V __m256i v_first(size_t n) /* all bits of the first n lanes */
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V vf v_load(const float *p) { return _mm256_loadu_ps(p); }
V void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
V vf v_load_n(const float *p, size_t n, float fill)
{
    const __m256i m = v_first(n);
    return _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
}
V void v_store_n(float *p, vf a, size_t n) { _mm256_maskstore_ps(p, v_first(n), a); }
V vf v_set(float a) { return _mm256_set1_ps(a); }
V vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
V vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
V vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
V vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
V vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
V vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
V vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
V vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
V vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
V vf v_floor(vf a) { return _mm256_floor_ps(a); }
V vf v_ceil(vf a) { return _mm256_ceil_ps(a); }
V vm v_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
V vm v_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
V vm v_nan(vf a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
V vf v_sel(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }

V vi v_bits(vf a) { return _mm256_castps_si256(a); }
V vf v_real(vi a) { return _mm256_castsi256_ps(a); }
V vi vi_set(int32_t a) { return _mm256_set1_epi32(a); }
V vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
V vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
V vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
V vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
V vi vi_shl23(vi a) { return _mm256_slli_epi32(a, 23); }
V vi vi_sar23(vi a) { return _mm256_srai_epi32(a, 23); }
V vi vi_sar1(vi a) { return _mm256_srai_epi32(a, 1); }
V vf v_of_int(vi a) { return _mm256_cvtepi32_ps(a); }

V float v_fold(vf a)
{
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
V float v_fold_max(vf a)
{
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
#endif
