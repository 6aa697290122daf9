/* vec_neon.h: the vector operations of vec_math.h on 4 floats; meanings are in vec_scalar.h. */
#ifndef SQZ_VEC_H
#define SQZ_VEC_H
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define V static inline __attribute__((always_inline))
enum { VW = 4 };
typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm;

V vf v_load(const float *p) { return vld1q_f32(p); }
V void v_store(float *p, vf a) { vst1q_f32(p, a); }
V vf v_load_n(const float *p, size_t n, float fill)
{
    float a[VW] = {fill, fill, fill, fill};
    memcpy(a, p, n * sizeof *a);
    return vld1q_f32(a);
}
V void v_store_n(float *p, vf a, size_t n)
{
    float b[VW];
    vst1q_f32(b, a);
    memcpy(p, b, n * sizeof *b);
}
V vf v_set(float a) { return vdupq_n_f32(a); }
V vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
V vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
V vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
V vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
V vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
V vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
V vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
V vf v_sqrt(vf a) { return vsqrtq_f32(a); }
V vf v_round(vf a) { return vrndnq_f32(a); }
V vf v_floor(vf a) { return vrndmq_f32(a); }
V vf v_ceil(vf a) { return vrndpq_f32(a); }
V vm v_lt(vf a, vf b) { return vcltq_f32(a, b); }
V vm v_eq(vf a, vf b) { return vceqq_f32(a, b); }
V vm v_nan(vf a) { return vmvnq_u32(vceqq_f32(a, a)); }
V vf v_sel(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }

V vi v_bits(vf a) { return vreinterpretq_s32_f32(a); }
V vf v_real(vi a) { return vreinterpretq_f32_s32(a); }
V vi vi_set(int32_t a) { return vdupq_n_s32(a); }
V vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
V vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
V vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
V vi vi_or(vi a, vi b) { return vorrq_s32(a, b); }
V vi vi_shl23(vi a) { return vshlq_n_s32(a, 23); }
V vi vi_sar23(vi a) { return vshrq_n_s32(a, 23); }
V vi vi_sar1(vi a) { return vshrq_n_s32(a, 1); }
V vf v_of_int(vi a) { return vcvtq_f32_s32(a); }

V float v_fold(vf a)
{
    const float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
V float v_fold_max(vf a) { return vmaxvq_f32(a); }
#endif
