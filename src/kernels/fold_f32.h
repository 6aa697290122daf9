/* fold_f32.h: the body of fold_f32 for the instruction set of the vec_<isa>.h that is included
 * before it. */
#include "kernels/kernels.h"
#include "kernels/rows_f32.h"

/* NaN where there is one. */
V float row_top(const float *p, size_t n, const int least)
{
    lanes m = lanes_set(-INFINITY), bad = lanes_set(0);
    EACH_LANE(p, n, (least ? INFINITY : -INFINITY), {
        m.v[l] = v_max(least ? v_neg(x) : x, m.v[l]);
        bad.v[l] = v_sel(v_nan(x), x, bad.v[l]);
    });
    for (int i = 1; i < NV; i++)
        m.v[0] = v_max(m.v[i], m.v[0]);
    const float top = v_fold_max(m.v[0]), any = lanes_fold(bad);
    return any != any ? any : least ? -top : top;
}

#define SUM(name, ...)                                                                             \
    V double name(const float *p, size_t n)                                                        \
    {                                                                                              \
        double sum = 0;                                                                            \
        for (; n; p += SUM_BLOCK) {                                                                \
            const size_t m = n < SUM_BLOCK ? n : SUM_BLOCK;                                        \
            lanes s = lanes_set(0);                                                                \
            EACH_LANE(p, m, 0, s.v[l] = __VA_ARGS__);                                              \
            sum += (double)lanes_fold(s);                                                          \
            n -= m;                                                                                \
        }                                                                                          \
        return sum;                                                                                \
    }
SUM(row_abs, v_add(s.v[l], v_abs(x)))
SUM(row_square, v_fma(x, x, s.v[l]))

V void fold_f32(sqz_fold_kind kind, size_t rows, size_t n, const float *x, double *y)
{
    for (size_t r = 0; r < rows; r++, x += n)
        switch (kind) {
        case SQZ_FOLD_max: y[r] = (double)row_top(x, n, 0); break;
        case SQZ_FOLD_min: y[r] = (double)row_top(x, n, 1); break;
        case SQZ_FOLD_abs: y[r] = row_abs(x, n); break;
        case SQZ_FOLD_square: y[r] = row_square(x, n); break;
        default: y[r] = row_sum(x, n);
        }
}
