/* dwouter_f32.h: the body of dwouter_f32 for the instruction set of the vec_<isa>.h that is
 * included before it. The sums of some taps of one vector of channels stay in registers over all
 * pixels. */
#include "kernels/tile.h"

typedef struct dwouter_at { /* what a tile works on */
    const sqz_windows *x;
    size_t line, tap;  /* of the window: the first ones */
    size_t c, n, part; /* channel, all of them, of this vector */
    size_t len;
    const float *g;
    float *sum;
} dwouter_at;

/* `lines` x `taps` taps of one vector of channels. */
INLINE void taps_of(const size_t lines, const size_t taps, const dwouter_at *q)
{
    const sqz_windows x = *q->x;
    const size_t part = q->part, n = q->n, c = q->c;
    const float *g = q->g + c;
    vf s[3][8];
#pragma GCC unroll 3
    for (size_t k = 0; k < lines; k++)
#pragma GCC unroll 8
        for (size_t t = 0; t < taps; t++)
            s[k][t] = v_load_n(q->sum + ((q->line + k) * q->len + q->tap + t) * n + c, part, 0);
    for (size_t i = 0; i < x.lines; i++) {
        const void *const *at[3];
#pragma GCC unroll 3
        for (size_t k = 0; k < lines; k++)
            at[k] = x.x[i * x.line_step + q->line + k] + q->tap;
        for (size_t j = 0; j < x.width; j++, g += n) {
            const vf v = v_load_n(g, part, 0);
#pragma GCC unroll 3
            for (size_t k = 0; k < lines; k++)
#pragma GCC unroll 8
                for (size_t t = 0; t < taps; t++) {
                    const float *p = (const float *)at[k][j * x.step + t] + c;
                    s[k][t] = v_fma(v, v_load_n(p, part, 0), s[k][t]);
                }
        }
    }
#pragma GCC unroll 3
    for (size_t k = 0; k < lines; k++)
#pragma GCC unroll 8
        for (size_t t = 0; t < taps; t++)
            v_store_n(q->sum + ((q->line + k) * q->len + q->tap + t) * n + c, s[k][t], part);
}

static void three_lines(const dwouter_at *q) { taps_of(3, 3, q); }
static void one_tap(const dwouter_at *q) { taps_of(1, 1, q); }
static void two_taps(const dwouter_at *q) { taps_of(1, 2, q); }
static void five_taps(const dwouter_at *q) { taps_of(1, 5, q); }

V void dwouter_f32(const sqz_windows *x, size_t n_seg, size_t len, size_t n, const float *g,
                   float *sum)
{
    dwouter_at q = {.x = x, .n = n, .len = len, .g = g, .sum = sum};
    for (q.c = 0; q.c < n; q.c += VW) {
        q.part = n - q.c < VW ? n - q.c : VW;
        if (n_seg == 3 && len == 3) {
            three_lines(&q);
            continue;
        }
        for (q.line = 0; q.line < n_seg; q.line++)
            for (q.tap = 0; q.tap < len;) {
                const size_t left = len - q.tap;
                if (left >= 5)
                    five_taps(&q);
                else if (left >= 2)
                    two_taps(&q);
                else
                    one_tap(&q);
                q.tap += left >= 5 ? 5 : left >= 2 ? 2 : 1;
            }
        q.line = q.tap = 0;
    }
}
