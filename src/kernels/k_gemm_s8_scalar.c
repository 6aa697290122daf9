/* gemm_s8: int8 products, requantized. The specification of the other gemm_s8 files. */
#include "kernels/kernels.h"
#include "runtime/sqz_rt.h"

/* The sum of output `o` of a panel over one row. */
static int32_t sum_of(const int8_t *panel, size_t o, const sqz_left *l, const int8_t *row)
{
    const size_t span = (l->len + 3) / 4 * 4 * SQZ_PANEL; /* bytes of a segment's weights */
    const int8_t *w = panel + 4 * SQZ_PANEL + 4 * o;
    uint32_t sum = (uint32_t)((const int32_t *)(const void *)panel)[o];
    for (size_t s = 0; s < l->n_seg; s++, w += span)
        for (size_t t = 0; t < l->len; t++)
            sum += (uint32_t)(row[l->seg[s] + t] * w[t / 4 * 4 * SQZ_PANEL + t % 4]);
    return (int32_t)sum;
}

void sqz_gemm_s8_scalar(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                        const sqz_out_s8 *o)
{
    const size_t panel = (1 + l->n_seg * ((l->len + 3) / 4)) * 4 * SQZ_PANEL;
    const sqz_requant *q = o->rq;
    for (size_t r = 0; r < l->m; r++) {
        const int8_t *row = (const int8_t *)l->a + r / l->width * l->line + r % l->width * l->step;
        for (size_t j = begin; j < end; j++) {
            const int8_t *b = (const int8_t *)w->data + j / SQZ_PANEL * panel;
            o->y[r * o->ld + j] = sqz_rt_to_s8(sum_of(b, j % SQZ_PANEL, l, row), q->mult[j],
                                               q->shift[j], q->zero, q->lo, q->hi);
        }
    }
}
