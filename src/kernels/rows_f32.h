/* rows_f32.h: sums and extremes of rows. A row is added up in 32 running sums, element i in number
 * i % 32, which are folded halves to halves; every SUM_BLOCK elements the result goes into a sum in
 * double. So the order does not depend on the instruction set, and long rows lose nothing. */
#ifndef SQZ_ROWS_F32_H
#define SQZ_ROWS_F32_H
#include "kernels/vec_math.h"

enum { LANES = 32, NV = LANES / VW, SUM_BLOCK = 1024 };
typedef struct lanes {
    vf v[NV];
} lanes;

V lanes lanes_set(float a)
{
    lanes s;
    for (int i = 0; i < NV; i++)
        s.v[i] = v_set(a);
    return s;
}
V float lanes_fold(lanes s)
{
    for (int n = NV / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            s.v[i] = v_add(s.v[i], s.v[i + n]);
    return v_fold(s.v[0]);
}
/* for each vector x of the row from p on, n elements: the statement with its lane number l and the
 * place i of its first element; the last ones are filled up with `fill`. */
#define EACH_LANE(p, n, fill, ...)                                                                 \
    do {                                                                                           \
        size_t i = 0;                                                                              \
        while (i + LANES <= (n))                                                                   \
            for (int l = 0; l < NV; l++, i += VW) {                                                \
                const vf x = v_load((p) + i);                                                      \
                __VA_ARGS__;                                                                       \
            }                                                                                      \
        for (int l = 0; l < NV && i < (n); l++, i += VW) {                                         \
            const vf x = (n)-i < VW ? v_load_n((p) + i, (n)-i, (fill)) : v_load((p) + i);          \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)
V void v_store_most(float *p, vf a, size_t n) /* n > 0, of which a vector has room */
{
    if (n < VW)
        v_store_n(p, a, n);
    else
        v_store(p, a);
}

/* NaN are skipped; -infinity where nothing is left. */
V float row_max(const float *p, size_t n)
{
    lanes m = lanes_set(-INFINITY);
    EACH_LANE(p, n, -INFINITY, m.v[l] = v_max(x, m.v[l]));
    for (int i = 1; i < NV; i++)
        m.v[0] = v_max(m.v[i], m.v[0]);
    return v_fold_max(m.v[0]);
}

V double row_sum(const float *p, size_t n)
{
    double sum = 0;
    for (; n; p += SUM_BLOCK) {
        const size_t m = n < SUM_BLOCK ? n : SUM_BLOCK;
        lanes s = lanes_set(0);
        EACH_LANE(p, m, 0, s.v[l] = v_add(s.v[l], x));
        sum += (double)lanes_fold(s);
        n -= m;
    }
    return sum;
}
#endif
