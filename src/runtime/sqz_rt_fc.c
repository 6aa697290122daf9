/* sqz_rt_fc.c: fully connected, int8: y(N,O) = s8((x(N,I) - in_zero) . w(O,I)^T + bias(O)). */
#include "runtime/sqz_rt.h"
#include <stddef.h>

void sqz_rt_fc_s8(const sqz_rt_fc *p, const int8_t *x, const int8_t *w, const int32_t *bias,
                  int8_t *y)
{
    for (int32_t n = 0; n < p->n; n++, x += p->in)
        for (int32_t o = 0; o < p->out; o++) {
            const int8_t *row = w + (ptrdiff_t)o * p->in;
            int32_t acc = bias ? bias[o] : 0;
            for (int32_t i = 0; i < p->in; i++)
                acc += (x[i] - p->in_zero) * row[i];
            *y++ = sqz_rt_to_s8(acc, p->mult[o], p->shift[o], p->out_zero, p->act_min, p->act_max);
        }
}
