/* dwconv_f32, one result at a time. */
#include "kernels/kernels.h"
#include <math.h>

static float sum(const sqz_packed *w, const sqz_windows *x, size_t i, size_t j, size_t c)
{
    const size_t panel = SQZ_PANEL * (1 + w->n_seg * w->len);
    const float *p = (const float *)w->data + c / SQZ_PANEL * panel + c % SQZ_PANEL;
    float acc = *p;
    for (size_t s = 0; s < w->n_seg; s++)
        for (size_t t = 0; t < w->len; t++) {
            const float *pixel = x->x[i * x->line_step + s][j * x->step + t];
            acc = fmaf(pixel[c], *(p += SQZ_PANEL), acc);
        }
    return acc;
}

void sqz_dwconv_f32_scalar(const sqz_packed *w, const sqz_windows *x, const sqz_out_f32 *o)
{
    for (size_t r = 0; r < x->lines * x->width; r++)
        for (size_t c = 0; c < w->n; c++) {
            float v = sum(w, x, r / x->width, r % x->width, c);
            if (o->bias)
                v += o->bias[c];
            if (o->add)
                v += o->add[r * o->ld_add + c];
            v = v < o->lo ? o->lo : v;
            o->y[r * o->ld + c] = v > o->hi ? o->hi : v;
        }
}
