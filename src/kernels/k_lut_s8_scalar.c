/* lut_s8: a table of 256 codes, every unary function. */
#include "kernels/kernels.h"

void sqz_lut_s8_scalar(const int8_t table[256], size_t n, const int8_t *x, int8_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = table[x[i] + 128];
}
