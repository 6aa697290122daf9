/* sqz_rt_softmax.c: softmax along rows of c, int8 in, grid 1/256 with zero point -128 out. The
 * exponentials come from a table, one entry for each distance from the row's maximum. */
#include "runtime/sqz_rt.h"

void sqz_rt_softmax_s8(const uint32_t table[256], const int8_t *x, int8_t *y, int32_t rows,
                       int32_t c)
{
    for (int32_t r = 0; r < rows; r++, x += c, y += c) {
        int32_t top = INT8_MIN;
        uint64_t sum = 0;
        for (int32_t i = 0; i < c; i++)
            top = x[i] > top ? x[i] : top;
        for (int32_t i = 0; i < c; i++)
            sum += table[top - x[i]];
        for (int32_t i = 0; i < c; i++) {
            /* 256 * e / sum, halves up; 256 of 256 is one step more than int8 has */
            uint64_t q = (((uint64_t)table[top - x[i]] << 8) + sum / 2) / sum;
            y[i] = (int8_t)((int32_t)(q > 255 ? 255 : q) - 128);
        }
    }
}
