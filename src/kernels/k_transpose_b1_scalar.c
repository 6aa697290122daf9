/* transpose_b1: bytes, in blocks whose lines stay in the first-level cache. */
#include "kernels/kernels.h"

enum { BLOCK = 32 };

void sqz_transpose_b1_scalar(size_t rows, size_t cols, const void *x, size_t ldx, void *y,
                             size_t ldy)
{
    const uint8_t *from = x;
    uint8_t *to = y;
    for (size_t j0 = 0; j0 < cols; j0 += BLOCK)
        for (size_t i0 = 0; i0 < rows; i0 += BLOCK)
            for (size_t j = j0; j < cols && j < j0 + BLOCK; j++)
                for (size_t i = i0; i < rows && i < i0 + BLOCK; i++)
                    to[j * ldy + i] = from[i * ldx + j];
}
