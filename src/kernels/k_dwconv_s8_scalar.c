/* dwconv_s8, one result at a time. */
#include "kernels/kernels.h"
#include "runtime/sqz_rt.h"

static int32_t sum(const sqz_packed *w, const sqz_windows *x, size_t i, size_t j, size_t c)
{
    const size_t groups = (w->len + 3) / 4;
    const size_t panel = (1 + w->n_seg * groups) * 4 * SQZ_PANEL, lane = c % SQZ_PANEL;
    const int8_t *p = (const int8_t *)w->data + c / SQZ_PANEL * panel;
    int32_t acc = ((const int32_t *)(const void *)p)[lane];
    p += 4 * SQZ_PANEL + 4 * lane;
    for (size_t t = 0; t < w->n_seg; t++)
        for (size_t s = 0; s < w->len; s++) {
            const int8_t *pixel = x->x[i * x->line_step + s][j * x->step + t];
            acc += pixel[c] * p[(t * groups + s / 4) * 4 * SQZ_PANEL + s % 4];
        }
    return acc;
}

void sqz_dwconv_s8_scalar(const sqz_packed *w, const sqz_windows *x, const sqz_out_s8 *o)
{
    const sqz_requant *q = o->rq;
    for (size_t r = 0; r < x->lines * x->width; r++)
        for (size_t c = 0; c < w->n; c++)
            o->y[r * o->ld + c] = sqz_rt_to_s8(sum(w, x, r / x->width, r % x->width, c), q->mult[c],
                                               q->shift[c], q->zero, q->lo, q->hi);
}
