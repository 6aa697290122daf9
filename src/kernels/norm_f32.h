/* norm_f32.h: the body of norm_f32 for the instruction set of the vec_<isa>.h that is included
 * before it. */
#include "kernels/kernels.h"
#include "kernels/rows_f32.h"

typedef struct moments {
    double first, second; /* sums of x - from and of its square */
} moments;

V moments row_moments(const float *p, size_t n, float from)
{
    const vf f = v_set(from);
    moments sum = {0, 0};
    for (; n; p += SUM_BLOCK) {
        const size_t m = n < SUM_BLOCK ? n : SUM_BLOCK;
        lanes a = lanes_set(0), b = a;
        EACH_LANE(p, m, from, {
            const vf d = v_sub(x, f);
            a.v[l] = v_add(a.v[l], d);
            b.v[l] = v_fma(d, d, b.v[l]);
        });
        sum.first += (double)lanes_fold(a);
        sum.second += (double)lanes_fold(b);
        n -= m;
    }
    return sum;
}

/* y = ((x - from) * inv + shift) * scale + bias */
V void row_put(const sqz_row_norm *p, const float *row, float *y, float from, float inv,
               float shift)
{
    const vf f = v_set(from), k = v_set(inv), s = v_set(shift);
    const size_t n = p->n;
    EACH_LANE(row, n, 0, {
        const size_t left = n - i;
        vf t = v_fma(v_sub(x, f), k, s);
        (void)l;
        if (left >= VW) {
            const vf b = p->bias ? v_load(p->bias + i) : v_set(0);
            t = p->scale ? v_fma(t, v_load(p->scale + i), b) : v_add(t, b);
            v_store(y + i, t);
        } else {
            const vf b = p->bias ? v_load_n(p->bias + i, left, 0) : v_set(0);
            t = p->scale ? v_fma(t, v_load_n(p->scale + i, left, 0), b) : v_add(t, b);
            v_store_n(y + i, t, left);
        }
    });
}

/* The mean is found to float first; what that leaves is in the sum of the differences. */
V void norm_f32(const sqz_row_norm *p, size_t rows, const float *x, float *y, float *mean,
                float *inverse)
{
    const double n = (double)p->n;
    for (size_t r = 0; r < rows; r++, x += p->n, y += p->n) {
        const float from = p->centered ? (float)(row_sum(x, p->n) / n) : 0;
        const moments m = row_moments(x, p->n, from);
        const double rest = p->centered ? m.first / n : 0;
        const double inv = 1 / sqrt(m.second / n - rest * rest + p->epsilon);
        row_put(p, x, y, from, (float)inv, (float)(-rest * inv));
        if (mean)
            mean[r] = (float)((double)from + rest);
        if (inverse)
            inverse[r] = (float)inv;
    }
}
