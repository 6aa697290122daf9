/* moments_f32.h: the body of moments_f32 for the instruction set of the vec_<isa>.h that is
 * included before it. */
#include "kernels/kernels.h"
#include "kernels/vec_math.h"

/* nv vectors of columns; left: columns of the last one. */
V void strip(const int nv, const int squares, size_t rows, size_t ld, const float *x,
             const float *from, float *first, float *second, size_t left)
{
    vf f[4], a[4], b[4];
    for (int k = 0; k < nv; k++) {
        const size_t n = k == nv - 1 ? left : VW;
        f[k] = !from ? v_set(0) : n < VW ? v_load_n(from + k * VW, n, 0) : v_load(from + k * VW);
        a[k] = b[k] = v_set(0);
    }
    for (size_t r = 0; r < rows; r++, x += ld)
        for (int k = 0; k < nv; k++) {
            const size_t n = k == nv - 1 ? left : VW;
            const vf v = n < VW ? v_load_n(x + k * VW, n, 0) : v_load(x + k * VW);
            const vf d = v_sub(v, f[k]);
            a[k] = v_add(a[k], d);
            if (squares)
                b[k] = v_fma(d, d, b[k]);
        }
    for (int k = 0; k < nv; k++) {
        const size_t n = k == nv - 1 ? left : VW;
        if (n < VW) {
            v_store_n(first + k * VW, a[k], n);
            if (squares)
                v_store_n(second + k * VW, b[k], n);
        } else {
            v_store(first + k * VW, a[k]);
            if (squares)
                v_store(second + k * VW, b[k]);
        }
    }
}

V void strips(const int squares, size_t rows, size_t n, size_t ld, const float *x,
              const float *from, float *first, float *second)
{
    size_t i = 0;
    for (; i + 4 * VW <= n; i += 4 * VW)
        strip(4, squares, rows, ld, x + i, from ? from + i : from, first + i,
              squares ? second + i : second, VW);
    for (; i < n; i += VW)
        strip(1, squares, rows, ld, x + i, from ? from + i : from, first + i,
              squares ? second + i : second, n - i < VW ? n - i : VW);
}

V void moments_f32(size_t rows, size_t n, size_t ld, const float *x, const float *from,
                   float *first, float *second)
{
    if (second)
        strips(1, rows, n, ld, x, from, first, second);
    else
        strips(0, rows, n, ld, x, from, first, second);
}
