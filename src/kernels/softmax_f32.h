/* softmax_f32.h: the body of softmax_f32 for the instruction set of the vec_<isa>.h that is
 * included before it. */
#include "kernels/kernels.h"
#include "kernels/rows_f32.h"

/* y = e^(x - top) or, if it is to be the logarithm, x - top; gives the sum of the exponentials. */
V double row_exp(const float *p, float *y, size_t n, float top, const int log)
{
    const vf t = v_set(top);
    double sum = 0;
    for (; n; p += SUM_BLOCK, y += SUM_BLOCK) {
        const size_t m = n < SUM_BLOCK ? n : SUM_BLOCK;
        lanes s = lanes_set(0);
        EACH_LANE(p, m, -INFINITY, {
            const vf d = v_sub(x, t), e = v_exp_neg(d);
            s.v[l] = v_add(s.v[l], e);
            v_store_most(y + i, log ? d : e, m - i);
        });
        sum += (double)lanes_fold(s);
        n -= m;
    }
    return sum;
}

/* y = y * factor + shift */
V void row_scale(float *y, size_t n, float factor, float shift)
{
    const vf f = v_set(factor), s = v_set(shift);
    EACH_LANE(y, n, 0, {
        (void)l;
        v_store_most(y + i, v_fma(x, f, s), n - i);
    });
}

/* Nothing but -infinity, or NaN: all alike. */
static void row_masked(const float *x, float *y, size_t n, int log)
{
    const float all = 1.0f / (float)n;
    float v = log ? -logf((float)n) : all;
    for (size_t i = 0; i < n; i++)
        v = x[i] != x[i] ? x[i] : v;
    for (size_t i = 0; i < n; i++)
        y[i] = v;
}

V void softmax_f32(size_t rows, size_t n, const float *x, float *y, int log_of)
{
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        const float top = row_max(x, n);
        if (top == -INFINITY)
            row_masked(x, y, n, log_of);
        else if (log_of)
            row_scale(y, n, 1, -(float)log(row_exp(x, y, n, top, 1)));
        else
            row_scale(y, n, (float)(1 / row_exp(x, y, n, top, 0)), 0);
    }
}
