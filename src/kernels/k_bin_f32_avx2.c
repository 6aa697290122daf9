/* bin_f32, 8 at a time. */
#include "kernels/vec_avx2.h"

#include "kernels/bin_f32.h"

void sqz_bin_f32_avx2(sqz_bin_kind kind, const sqz_operand *a, const sqz_operand *b, float *y,
                      size_t rows, size_t n)
{
    bin_f32(kind, a, b, y, rows, n);
}
