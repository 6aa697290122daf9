/* softmax_f32, one at a time. */
#include "kernels/vec_scalar.h"

#include "kernels/softmax_f32.h"

void sqz_softmax_f32_scalar(size_t rows, size_t n, const float *x, float *y, int log_of)
{
    softmax_f32(rows, n, x, y, log_of);
}
