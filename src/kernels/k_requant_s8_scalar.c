/* requant_s8: int32 accumulators (M,N) to int8, multiplier and shift of each column: the runtime's
 * arithmetic. */
#include "kernels/kernels.h"
#include "runtime/sqz_rt.h"

void sqz_requant_s8_scalar(size_t m, size_t n, const int32_t *acc, const int32_t *bias,
                           const int32_t *mult, const int32_t *shift, int32_t zero, int32_t lo,
                           int32_t hi, int8_t *y, size_t ldy)
{
    for (size_t i = 0; i < m; i++)
        for (size_t c = 0; c < n; c++)
            y[i * ldy + c] = sqz_rt_to_s8(acc[i * n + c] + bias[c], mult[c], shift[c], zero, lo,
                                          hi);
}
