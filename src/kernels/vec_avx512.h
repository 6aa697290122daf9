/* vec_avx512.h: the vector operations of vec_math.h on 16 floats; meanings are in vec_scalar.h. */
#ifndef SQZ_VEC_H
#define SQZ_VEC_H
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define V static inline __attribute__((always_inline))
enum { VW = 16 };
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

V __mmask16 v_first(size_t n) { return (__mmask16)((1u << n) - 1); }
V vf v_load(const float *p) { return _mm512_loadu_ps(p); }
V void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
V vf v_load_n(const float *p, size_t n, float fill)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), v_first(n), p);
}
V void v_store_n(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, v_first(n), a); }
V vf v_set(float a) { return _mm512_set1_ps(a); }
V vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
V vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
V vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
V vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
V vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
V vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
V vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
V vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
V vf v_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
V vf v_floor(vf a) { return _mm512_floor_ps(a); }
V vf v_ceil(vf a) { return _mm512_ceil_ps(a); }
V vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
V vm v_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
V vm v_nan(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
V vf v_sel(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }

V vi v_bits(vf a) { return _mm512_castps_si512(a); }
V vf v_real(vi a) { return _mm512_castsi512_ps(a); }
V vi vi_set(int32_t a) { return _mm512_set1_epi32(a); }
V vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
V vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
V vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
V vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
V vi vi_shl23(vi a) { return _mm512_slli_epi32(a, 23); }
V vi vi_sar23(vi a) { return _mm512_srai_epi32(a, 23); }
V vi vi_sar1(vi a) { return _mm512_srai_epi32(a, 1); }
V vf v_of_int(vi a) { return _mm512_cvtepi32_ps(a); }
#define V_SCALE /* see vec_math.h */
V vf v_scale(vf a, vf n, vi k)
{
    (void)k;
    return _mm512_scalef_ps(a, n);
}

V float v_fold(vf a)
{
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
V float v_fold_max(vf a)
{
    const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
#endif
