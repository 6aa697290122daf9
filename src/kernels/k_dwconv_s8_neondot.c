/* dwconv_s8: pixels of 4 lines, 16 channels each, are transposed to lanes of 4 bytes for sdot. */
#include "kernels/requant_neon.h"
#include <string.h>

#define QUAD (4 * SQZ_PANEL) /* bytes of 4 lines of a tap in a panel */

typedef struct dw_s8_panel { /* up to 16 channels */
    size_t c, n;
    const int8_t *w; /* behind the head */
    int32x4_t start[4], mult[4], left[4], right[4];
} dw_s8_panel;

/* The first n of 16 codes, zeros behind them. */
static inline int8x16_t load16(const int8_t *p, size_t n)
{
    if (n >= SQZ_PANEL)
        return vld1q_s8(p);
    int8_t part[SQZ_PANEL] = {0};
    memcpy(part, p, n);
    return vld1q_s8(part);
}

static inline int8x16_t zip16(int8x16_t a, int8x16_t b, int high)
{
    const int16x8_t x = vreinterpretq_s16_s8(a), y = vreinterpretq_s16_s8(b);
    return vreinterpretq_s8_s16(high ? vzip2q_s16(x, y) : vzip1q_s16(x, y));
}

/* Adds one tap of 4 lines. */
static inline void quad(int32x4_t sum[4], const int8x16_t r[4], const int8_t *w)
{
    const int8x16_t a = vzip1q_s8(r[0], r[1]), b = vzip1q_s8(r[2], r[3]);
    const int8x16_t c = vzip2q_s8(r[0], r[1]), d = vzip2q_s8(r[2], r[3]);
    sum[0] = vdotq_s32(sum[0], zip16(a, b, 0), vld1q_s8(w));
    sum[1] = vdotq_s32(sum[1], zip16(a, b, 1), vld1q_s8(w + 16));
    sum[2] = vdotq_s32(sum[2], zip16(c, d, 0), vld1q_s8(w + 32));
    sum[3] = vdotq_s32(sum[3], zip16(c, d, 1), vld1q_s8(w + 48));
}

static void put(const dw_s8_panel *p, const sqz_requant *q, const int32x4_t sum[4], int8_t *y)
{
    int32x4_t r[4];
    for (size_t i = 0; i < 4; i++)
        r[i] = requant(vqshlq_s32(sum[i], p->left[i]), p->mult[i], p->right[i]);
    int8x16_t v = pack(r, q->zero);
    v = vminq_s8(vmaxq_s8(v, vdupq_n_s8((int8_t)q->lo)), vdupq_n_s8((int8_t)q->hi));
    if (p->n >= SQZ_PANEL) {
        vst1q_s8(y, v);
    } else {
        int8_t out[SQZ_PANEL];
        vst1q_s8(out, v);
        memcpy(y, out, p->n);
    }
}

static void pixel(const sqz_packed *w, const sqz_windows *x, const dw_s8_panel *p,
                  const sqz_requant *q, size_t i, size_t j, int8_t *y)
{
    const void *const *const *line = x->x + i * x->line_step;
    const size_t groups = (w->len + 3) / 4;
    const int8_t *at = p->w;
    int32x4_t sum[4] = {p->start[0], p->start[1], p->start[2], p->start[3]};
    for (size_t t = 0; t < w->n_seg; t++)
        for (size_t g = 0; g < groups; g++, at += QUAD) {
            int8x16_t r[4];
            for (size_t s = 0; s < 4; s++)
                r[s] = 4 * g + s < w->len
                           ? load16((const int8_t *)line[4 * g + s][j * x->step + t] + p->c, p->n)
                           : vdupq_n_s8(0);
            quad(sum, r, at);
        }
    put(p, q, sum, y);
}

static dw_s8_panel panel_at(const sqz_packed *w, const sqz_out_s8 *o, size_t c)
{
    const size_t n_quad = w->n_seg * ((w->len + 3) / 4), left = w->n - c;
    const int8_t *at = (const int8_t *)w->data + c / SQZ_PANEL * (1 + n_quad) * QUAD;
    dw_s8_panel p = {.c = c, .n = left < SQZ_PANEL ? left : SQZ_PANEL, .w = at + QUAD};
    for (size_t i = 0; i < 4; i++) {
        const int32x4_t shift = vld1q_s32(o->rq->shift + c + 4 * i);
        p.start[i] = vld1q_s32((const int32_t *)(const void *)at + 4 * i);
        p.mult[i] = vld1q_s32(o->rq->mult + c + 4 * i);
        p.left[i] = vmaxq_s32(shift, vdupq_n_s32(0));
        p.right[i] = vminq_s32(shift, vdupq_n_s32(0));
    }
    return p;
}

void sqz_dwconv_s8_neondot(const sqz_packed *w, const sqz_windows *x, const sqz_out_s8 *o)
{
    for (size_t c = 0; c < w->n; c += SQZ_PANEL) {
        const dw_s8_panel p = panel_at(w, o, c);
        for (size_t i = 0; i < x->lines; i++)
            for (size_t j = 0; j < x->width; j++)
                pixel(w, x, &p, o->rq, i, j, o->y + (i * x->width + j) * o->ld + c);
    }
}
