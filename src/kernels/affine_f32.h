/* affine_f32.h: the body of affine_f32 for the instruction set of the vec_<isa>.h that is included
 * before it. */
#include "kernels/kernels.h"
#include "kernels/vec_math.h"

V void affine_f32(size_t rows, size_t n, size_t ld, const float *x, const float *from,
                  const float *factor, const float *shift, float *y)
{
    for (size_t r = 0; r < rows; r++, x += ld, y += ld) {
        size_t i = 0;
        for (; i + VW <= n; i += VW)
            v_store(y + i, v_fma(v_sub(v_load(x + i), v_load(from + i)), v_load(factor + i),
                                 v_load(shift + i)));
        if (i < n) {
            const size_t m = n - i;
            const vf d = v_sub(v_load_n(x + i, m, 0), v_load_n(from + i, m, 0));
            v_store_n(y + i, v_fma(d, v_load_n(factor + i, m, 0), v_load_n(shift + i, m, 0)), m);
        }
    }
}
