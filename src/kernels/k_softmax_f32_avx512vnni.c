/* softmax_f32, 16 at a time. */
#include "kernels/vec_avx512.h"

#include "kernels/softmax_f32.h"

void sqz_softmax_f32_avx512vnni(size_t rows, size_t n, const float *x, float *y, int log_of)
{
    softmax_f32(rows, n, x, y, log_of);
}
