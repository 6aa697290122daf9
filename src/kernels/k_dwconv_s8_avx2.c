/* dwconv_s8: 16 channels of two lines side by side in 16 bits, multiplied and added by pairs. */
#include "kernels/finish_avx2.h"

#define QUAD (4 * SQZ_PANEL) /* bytes of 4 lines of a tap in a panel */
enum { KEPT = 32 };          /* so many of them are widened once for each panel */

typedef struct wide { /* 4 lines: two pairs, each for channels 0..3, 8..11 and 4..7, 12..15 */
    int16_t w[2][2][16];
} wide;

typedef struct dw_s8_panel { /* up to 16 channels */
    size_t c, n;
    const int8_t *w;
    __m256i start[2];
    finish8 f[2];
    wide kept[KEPT];
} dw_s8_panel;

static void widen(const int8_t *w, wide *out)
{
    for (size_t half = 0; half < 2; half++)
        for (size_t i = 0; i < 8; i++) {
            const int8_t *at = w + 4 * (4 * half + (i < 4 ? i : i + 4));
            for (size_t b = 0; b < 4; b++)
                out->w[b / 2][half][2 * i + b % 2] = at[b];
        }
}

/* The first n of 16 codes as 16 bits, zeros behind them. */
static inline __m256i load16(const int8_t *p, size_t n)
{
    if (n >= SQZ_PANEL)
        return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)p));
    int8_t part[SQZ_PANEL] = {0};
    memcpy(part, p, n);
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)part));
}

/* Adds two lines. */
static inline void pair(__m256i sum[2], __m256i a, __m256i b, const int16_t w[2][16])
{
    const __m256i low = _mm256_unpacklo_epi16(a, b), high = _mm256_unpackhi_epi16(a, b);
    const __m256i wl = _mm256_loadu_si256((const void *)w[0]);
    const __m256i wh = _mm256_loadu_si256((const void *)w[1]);
    sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(low, wl));
    sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(high, wh));
}

static void pixel(const sqz_packed *w, const sqz_windows *x, const dw_s8_panel *p, size_t i,
                  size_t j, int8_t *y)
{
    const void *const *const *line = x->x + i * x->line_step;
    const size_t groups = (w->len + 3) / 4, n_quad = w->n_seg * groups;
    __m256i sum[2] = {p->start[0], p->start[1]};
    for (size_t t = 0; t < n_quad; t++) {
        const size_t u = j * x->step + t / groups, s = t % groups * 4;
        wide now;
        const wide *v = n_quad <= KEPT ? &p->kept[t] : &now;
        if (v == &now)
            widen(p->w + t * QUAD, &now);
        const __m256i none = _mm256_setzero_si256();
#define LINE(k) (s + (k) < w->len ? load16((const int8_t *)line[s + (k)][u] + p->c, p->n) : none)
        pair(sum, LINE(0), LINE(1), v->w[0]);
        if (s + 2 < w->len)
            pair(sum, LINE(2), LINE(3), v->w[1]);
#undef LINE
    }
    finish16_store(p->f, _mm256_permute2x128_si256(sum[0], sum[1], 0x20),
                   _mm256_permute2x128_si256(sum[0], sum[1], 0x31), y, p->n);
}

static void panel_at(const sqz_packed *w, const sqz_out_s8 *o, size_t c, dw_s8_panel *p)
{
    const size_t n_quad = w->n_seg * ((w->len + 3) / 4), left = w->n - c;
    const int8_t *at = (const int8_t *)w->data + c / SQZ_PANEL * (1 + n_quad) * QUAD;
    const __m256i a = _mm256_loadu_si256((const void *)at);
    const __m256i b = _mm256_loadu_si256((const void *)(at + 32));
    p->c = c;
    p->n = left < SQZ_PANEL ? left : SQZ_PANEL;
    p->w = at + QUAD;
    p->start[0] = _mm256_permute2x128_si256(a, b, 0x20);
    p->start[1] = _mm256_permute2x128_si256(a, b, 0x31);
    p->f[0] = finish8_of(o->rq, c);
    p->f[1] = finish8_of(o->rq, c + 8);
    for (size_t t = 0; t < n_quad && n_quad <= KEPT; t++)
        widen(p->w + t * QUAD, &p->kept[t]);
}

void sqz_dwconv_s8_avx2(const sqz_packed *w, const sqz_windows *x, const sqz_out_s8 *o)
{
    dw_s8_panel p;
    for (size_t c = 0; c < w->n; c += SQZ_PANEL) {
        panel_at(w, o, c, &p);
        for (size_t i = 0; i < x->lines; i++)
            for (size_t j = 0; j < x->width; j++)
                pixel(w, x, &p, i, j, o->y + (i * x->width + j) * o->ld + c);
    }
}
