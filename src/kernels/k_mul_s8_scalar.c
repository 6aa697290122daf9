/* mul_s8: y = a * b on three grids: the runtime's arithmetic. */
#include "kernels/kernels.h"

void sqz_mul_s8_scalar(const sqz_mul_s8 *p, size_t n, const int8_t *a, const int8_t *b, int8_t *y)
{
    for (size_t i = 0, m; i < n; i += m) {
        m = n - i < 65536 ? n - i : 65536; /* the runtime's sizes are int32_t */
        sqz_rt_mul_s8(&p->rt, a + i, b + i, y + i, (int32_t)m);
    }
}
