/* map_f32.h: the body of map_f32 for the instruction set of the vec_<isa>.h that is included before
 * it. Elements that do not fill a vector go through the same operations in a masked one. */
#include "kernels/kernels.h"
#include "kernels/vec_math.h"
#include <math.h>

/* v: the element; a, b: the parameters */
#define MAP(name, ...)                                                                             \
    static void name(const float *p, const float *x, float *y, size_t n)                           \
    {                                                                                              \
        const vf a = v_set(p[0]), b = v_set(p[1]);                                                 \
        size_t i = 0;                                                                              \
        (void)a;                                                                                   \
        (void)b;                                                                                   \
        for (; i + VW <= n; i += VW) {                                                             \
            const vf v = v_load(x + i);                                                            \
            v_store(y + i, __VA_ARGS__);                                                           \
        }                                                                                          \
        if (i < n) {                                                                               \
            const vf v = v_load_n(x + i, n - i, 0);                                                \
            v_store_n(y + i, __VA_ARGS__, n - i);                                                  \
        }                                                                                          \
    }
#define ZERO   v_set(0)
#define ONE    v_set(1)
#define BELOW0 v_lt(v, ZERO)
MAP(map_abs, v_abs(v))
MAP(map_neg, v_real(vi_sub(v_bits(v), vi_set(INT32_MIN))))
MAP(map_sqrt, v_sqrt(v))
MAP(map_reciprocal, v_div(ONE, v))
MAP(map_round, v_round(v))
MAP(map_floor, v_floor(v))
MAP(map_ceil, v_ceil(v))
MAP(map_affine, v_fma(v, a, b))
MAP(map_clip, v_min(b, v_max(a, v)))
MAP(map_leaky_relu, v_sel(BELOW0, v_mul(a, v), v))
MAP(map_hard_sigmoid, v_min(ONE, v_max(ZERO, v_fma(a, v, b))))
MAP(map_hard_swish, v_mul(v_min(ONE, v_max(ZERO, v_fma(v_set(1.0f / 6), v, v_set(0.5f)))), v))
MAP(map_exp, v_exp(v))
MAP(map_log, v_log(v))
MAP(map_tanh, v_tanh(v))
MAP(map_sigmoid, v_sigmoid(v))
MAP(map_erf, v_erf(v))
MAP(map_softplus, v_softplus(v))
MAP(map_softsign, v_div(v, v_add(ONE, v_abs(v))))
MAP(map_swish, v_swish(v, a))
MAP(map_mish, v_mish(v))
MAP(map_gelu, v_gelu(v))
MAP(map_gelu_tanh, v_gelu_tanh(v))
MAP(map_elu, v_sel(BELOW0, v_mul(a, v_expm1_neg(v)), v))
MAP(map_selu, v_mul(b, v_sel(v_lt(ZERO, v), v, v_mul(a, v_expm1_neg(v)))))

#define KIND(kind) [SQZ_MAP_##kind] = map_##kind,
static void (*const maps[])(const float *p, const float *x, float *y,
                            size_t n) = {SQZ_MAP_KINDS(KIND)};

V void map_f32(sqz_map_kind kind, const float *p, const float *x, float *y, size_t n)
{
    maps[kind](p, x, y, n);
}
