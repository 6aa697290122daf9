/* softmax_s8: see softmax_s8.h. */
#include "kernels/softmax_s8.h"

void sqz_softmax_s8_avx2(const uint32_t table[256], const int8_t *x, int8_t *y, size_t rows,
                         size_t n)
{
    softmax_rows(sqz_lut_s8_avx2, table, x, y, rows, n);
}
