/* softmax_s8: rows of n codes, the runtime's arithmetic. */
#include "kernels/kernels.h"

void sqz_softmax_s8_scalar(const uint32_t table[256], const int8_t *x, int8_t *y, size_t rows,
                           size_t n)
{
    for (size_t r = 0; r < rows; r++) /* n fits int32_t: the operator has checked it */
        sqz_rt_softmax_s8(table, x + r * n, y + r * n, 1, (int32_t)n);
}
