/* add_s8: y = a + sign * b on three grids: the runtime's arithmetic. */
#include "kernels/kernels.h"

void sqz_add_s8_scalar(const sqz_add_s8 *p, size_t n, const int8_t *a, const int8_t *b, int8_t *y)
{
    for (size_t i = 0, m; i < n; i += m) {
        m = n - i < 65536 ? n - i : 65536; /* the runtime's sizes are int32_t */
        (p->sign > 0 ? sqz_rt_add_s8 : sqz_rt_sub_s8)(&p->rt, a + i, b + i, y + i, (int32_t)m);
    }
}
