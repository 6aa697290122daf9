/* gemm_f32, one output at a time. */
#include "kernels/kernels.h"
#include <math.h>

static float sum(const sqz_left *l, const char *row, const float *panel, size_t lane)
{
    const float *w = panel + SQZ_PANEL + lane;
    float acc = panel[lane];
    for (size_t s = 0; s < l->n_seg; s++) {
        const float *a = (const float *)(const void *)(row + l->seg[s]);
        for (size_t t = 0; t < l->len; t++, w += SQZ_PANEL)
            acc = fmaf(a[t], *w, acc);
    }
    return acc;
}

void sqz_gemm_f32_scalar(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                         const sqz_out_f32 *o)
{
    const size_t panel = SQZ_PANEL * (1 + w->n_seg * w->len);
    for (size_t r = 0; r < l->m; r++) {
        const char *row = (const char *)l->a + r / l->width * l->line + r % l->width * l->step;
        for (size_t j = begin; j < end; j++) {
            float v = sum(l, row, (const float *)w->data + j / SQZ_PANEL * panel, j % SQZ_PANEL);
            if (o->bias)
                v += o->bias[j];
            if (o->add)
                v += o->add[r * o->ld_add + j];
            v = v < o->lo ? o->lo : v;
            o->y[r * o->ld + j] = v > o->hi ? o->hi : v;
        }
    }
}
