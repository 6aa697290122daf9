/* bin_f32.h: the body of bin_f32 for the instruction set of the vec_<isa>.h that is included before
 * it. */
#include "kernels/kernels.h"
#include "kernels/vec_math.h"

V vf max_or_nan(vf a, vf b) { return v_sel(v_nan(a), a, v_max(a, b)); }
V vf min_or_nan(vf a, vf b) { return v_sel(v_nan(a), a, v_min(a, b)); }

/* One row; `a` or `b` may be one number for all of it. */
#define ROW(name, sa, sb, ...)                                                                     \
    V void name(const float *xa, const float *xb, float *y, size_t n)                              \
    {                                                                                              \
        const vf ca = v_set(*xa), cb = v_set(*xb);                                                 \
        size_t i = 0;                                                                              \
        (void)ca;                                                                                  \
        (void)cb;                                                                                  \
        for (; i + VW <= n; i += VW) {                                                             \
            const vf a = (sa) ? v_load(xa + i) : ca, b = (sb) ? v_load(xb + i) : cb;               \
            v_store(y + i, __VA_ARGS__);                                                           \
        }                                                                                          \
        if (i < n) {                                                                               \
            const vf a = (sa) ? v_load_n(xa + i, n - i, 1) : ca;                                   \
            const vf b = (sb) ? v_load_n(xb + i, n - i, 1) : cb;                                   \
            v_store_n(y + i, __VA_ARGS__, n - i);                                                  \
        }                                                                                          \
    }
#define BIN(name, ...)                                                                             \
    ROW(name##_11, 1, 1, __VA_ARGS__)                                                              \
    ROW(name##_10, 1, 0, __VA_ARGS__)                                                              \
    ROW(name##_01, 0, 1, __VA_ARGS__)                                                              \
    static void name(const sqz_operand *a, const sqz_operand *b, float *y, size_t rows, size_t n)  \
    {                                                                                              \
        for (size_t r = 0; r < rows; r++, y += n) {                                                \
            const float *xa = a->x + r * a->row, *xb = b->x + r * b->row;                          \
            if (a->step && b->step)                                                                \
                name##_11(xa, xb, y, n);                                                           \
            else if (a->step)                                                                      \
                name##_10(xa, xb, y, n);                                                           \
            else                                                                                   \
                name##_01(xa, xb, y, n);                                                           \
        }                                                                                          \
    }
BIN(bin_add, v_add(a, b))
BIN(bin_sub, v_sub(a, b))
BIN(bin_mul, v_mul(a, b))
BIN(bin_div, v_div(a, b))
BIN(bin_min, min_or_nan(a, b))
BIN(bin_max, max_or_nan(a, b))
BIN(bin_prelu, v_sel(v_lt(a, v_set(0)), v_mul(a, b), a))

#define KIND(kind) [SQZ_BIN_##kind] = bin_##kind,
static void (*const bins[])(const sqz_operand *a, const sqz_operand *b, float *y, size_t rows,
                            size_t n) = {SQZ_BIN_KINDS(KIND)};

V void bin_f32(sqz_bin_kind kind, const sqz_operand *a, const sqz_operand *b, float *y, size_t rows,
               size_t n)
{
    bins[kind](a, b, y, rows, n);
}
