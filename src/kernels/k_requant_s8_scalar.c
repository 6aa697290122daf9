/* requant_s8: int32 accumulators (M,N) to int8, multiplier and shift of each column: the runtime's
 * arithmetic. */
#include "kernels/kernels.h"
#include "runtime/sqz_rt.h"

void sqz_requant_s8_scalar(const sqz_requant *p, size_t m, const int32_t *acc, int8_t *y,
                           size_t ldy)
{
    for (size_t i = 0; i < m; i++)
        for (size_t c = 0; c < p->n; c++)
            y[i * ldy + c] = sqz_rt_to_s8(acc[i * p->n + c] + p->bias[c], p->mult[c], p->shift[c],
                                          p->zero, p->lo, p->hi);
}
