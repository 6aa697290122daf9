/* bin_f32, one at a time. */
#include "kernels/vec_scalar.h"

#include "kernels/bin_f32.h"

void sqz_bin_f32_scalar(sqz_bin_kind kind, const sqz_operand *a, const sqz_operand *b, float *y,
                        size_t rows, size_t n)
{
    bin_f32(kind, a, b, y, rows, n);
}
