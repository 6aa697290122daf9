/* vec_scalar.h: the vector operations of vec_math.h on vectors of one float. Like its siblings for
 * other instruction sets it is included by kernel files only, and everything in it is inlined. */
#ifndef SQZ_VEC_H
#define SQZ_VEC_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define V static inline __attribute__((always_inline))
enum { VW = 1 }; /* floats of a vector; divides LANES of rows_f32.h */
typedef float vf;
typedef int32_t vi;
typedef int vm; /* of a comparison */

/* The first n (0 < n < VW) of a vector; the others read as `fill` and are not written. */
V vf v_load(const float *p) { return *p; }
V void v_store(float *p, vf a) { *p = a; }
V vf v_load_n(const float *p, size_t n, float fill) { return n ? *p : fill; }
V void v_store_n(float *p, vf a, size_t n)
{
    if (n)
        *p = a;
}
V vf v_set(float a) { return a; }
V vf v_add(vf a, vf b) { return a + b; }
V vf v_sub(vf a, vf b) { return a - b; }
V vf v_mul(vf a, vf b) { return a * b; }
V vf v_div(vf a, vf b) { return a / b; }
V vf v_fma(vf a, vf b, vf c) { return fmaf(a, b, c); } /* a*b + c, rounded once */
V vf v_min(vf a, vf b) { return a < b ? a : b; }       /* b where one is NaN */
V vf v_max(vf a, vf b) { return a > b ? a : b; }
V vf v_sqrt(vf a) { return sqrtf(a); }
V vf v_round(vf a) { return nearbyintf(a); } /* halves to even */
V vf v_floor(vf a) { return floorf(a); }
V vf v_ceil(vf a) { return ceilf(a); }
V vm v_lt(vf a, vf b) { return a < b; }
V vm v_eq(vf a, vf b) { return a == b; }
V vm v_nan(vf a) { return a != a; }
V vf v_sel(vm m, vf a, vf b) { return m ? a : b; } /* a where m, else b */

V vi v_bits(vf a)
{
    vi i;
    memcpy(&i, &a, sizeof i);
    return i;
}
V vf v_real(vi a) /* of bits */
{
    vf f;
    memcpy(&f, &a, sizeof f);
    return f;
}
V vi vi_set(int32_t a) { return a; }
V vi vi_add(vi a, vi b) { return (vi)((uint32_t)a + (uint32_t)b); }
V vi vi_sub(vi a, vi b) { return (vi)((uint32_t)a - (uint32_t)b); }
V vi vi_and(vi a, vi b) { return a & b; }
V vi vi_or(vi a, vi b) { return a | b; }
V vi vi_shl23(vi a) { return (vi)((uint32_t)a << 23); }
V vi vi_sar23(vi a) { return a >> 23; }
V vi vi_sar1(vi a) { return a >> 1; }
V vf v_of_int(vi a) { return (vf)a; }

/* All lanes as one: halves are added to halves, the same tree for every width. */
V float v_fold(vf a) { return a; }
V float v_fold_max(vf a) { return a; } /* of lanes that are not NaN */
#endif
