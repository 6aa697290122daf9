/* dwconv_s8: pixels of 4 lines, 16 channels each, are transposed to 16 lanes of 4 bytes; one
 * vpdpbusd then multiplies a column of the window. Such a column serves two lines of output (the
 * weights of the lower one are moved down by a byte) and all columns of the window: sums wait until
 * the last column under them has come. x + 128 is the unsigned side; what that adds is taken off
 * the start. */
#include "kernels/finish_avx512.h"
#include <stdbool.h>

#define QUAD  (4 * SQZ_PANEL) /* bytes of 4 lines of a tap: one register */
#define STRIP ((size_t)32)    /* columns that go through all channels before the next */

/* Sums have the type that the instruction works on: with __m512i (of 64-bit lanes), gcc 12 copies
 * each of them around every vpdpbusd. */
typedef int32_t lanes __attribute__((vector_size(64)));
typedef const int8_t *const *const *s8_lines;

typedef struct dw_s8 { /* operands; a local copy, which stores to y cannot change */
    s8_lines x;
    size_t line_step, step, width, len;
    int8_t *y;
    size_t ld;
} dw_s8;

typedef struct dw_s8_panel { /* up to 16 channels */
    size_t c;
    __mmask16 in;
    const int8_t *w; /* behind the head */
    lanes start;
    finish f;
} dw_s8_panel;

INLINE lanes dot(lanes sum, __m512i x, __m512i w)
{
    return (lanes)_mm512_dpbusd_epi32((__m512i)sum, x, w);
}

/* Four times 16 bytes as 16 lanes of 4, plus 128. */
INLINE __m512i transpose(const bool full, __mmask16 in, const int8_t *a, const int8_t *b,
                         const int8_t *c, const int8_t *d)
{
    const __m512i quads = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
#define PIXEL(p) (full ? _mm_loadu_si128((const void *)(p)) : _mm_maskz_loadu_epi8(in, p))
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(PIXEL(a)), PIXEL(b), 1);
    __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(PIXEL(c)), PIXEL(d), 1);
#undef PIXEL
    __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    v = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quads, v), bytes);
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
}

INLINE void put(const finish_kind kind, const bool full, const dw_s8 *q, const dw_s8_panel *p,
                size_t row, lanes sum)
{
    int8_t *y = q->y + row * q->ld + p->c;
    __m512i v = kind == FINISH_ANY ? finish_any(&p->f, (__m512i)sum)
                                   : finish_usual(kind, &p->f, (__m512i)sum);
    __m128i codes = _mm512_cvtsepi32_epi8(v);
    if (full)
        _mm_storeu_si128((void *)y, codes);
    else
        _mm_mask_storeu_epi8(y, p->in, codes);
}

/* Weights of line `i` of a tile, tap t, lines 4g .. 4g + 3 of the tile. */
INLINE __m512i weights(const int8_t *w, const size_t groups, size_t i, size_t t, size_t g)
{
    const int8_t *at = w + t * groups * QUAD;
    __m512i v = g < groups ? _mm512_loadu_si512(at + g * QUAD) : _mm512_setzero_si512();
    if (i == 0)
        return v;
    v = _mm512_slli_epi32(v, 8);
    return g ? _mm512_or_si512(v, _mm512_srli_epi32(_mm512_loadu_si512(at + (g - 1) * QUAD), 24))
             : v;
}

typedef struct slider {        /* a k x k window that goes along `rows` lines of output */
    const int8_t *const *x[8]; /* lines of input */
    __m512i w[2][5][2];
    lanes sum[2][5]; /* of the columns under way, the oldest first */
} slider;

/* Input column u, which is column t of the window of the oldest output under way. */
INLINE void column(const bool full, const size_t rows, const size_t k, const size_t step, slider *z,
                   const dw_s8_panel *p, size_t u, const size_t t)
{
    const size_t high = (rows - 1 + k + 3) / 4, under = (k - 1) / step + 1;
#pragma GCC unroll 2
    for (size_t g = 0; g < high; g++) {
        __m512i v = transpose(full, p->in, z->x[4 * g][u] + p->c, z->x[4 * g + 1][u] + p->c,
                              z->x[4 * g + 2][u] + p->c, z->x[4 * g + 3][u] + p->c);
#pragma GCC unroll 2
        for (size_t a = 0; a < rows; a++)
#pragma GCC unroll 5
            for (size_t m = 0; m < under; m++)
                if (t - m * step < k) /* below 0 wraps to large */
                    z->sum[a][m] = dot(z->sum[a][m], v, z->w[a][t - m * step][g]);
    }
}

/* Columns j .. end of lines i .. i + rows. */
INLINE void slide(const finish_kind kind, const bool full, const size_t rows, const size_t k,
                  const size_t step, const dw_s8 *q, const dw_s8_panel *p, size_t i, size_t j,
                  size_t end)
{
    const size_t tall = rows - 1 + k, high = (tall + 3) / 4, last = (k - 1) / step;
    slider z;
#pragma GCC unroll 8
    for (size_t r = 0; r < 4 * high; r++) /* lines that no weight reads: any */
        z.x[r] = q->x[i * step + (r < tall ? r : tall - 1)];
#pragma GCC unroll 2
    for (size_t a = 0; a < rows; a++)
#pragma GCC unroll 5
        for (size_t t = 0; t < k; t++) {
            z.sum[a][t] = p->start;
#pragma GCC unroll 2
            for (size_t g = 0; g < high; g++)
                z.w[a][t][g] = weights(p->w, (k + 3) / 4, a, t, g);
        }
#pragma GCC unroll 5
    for (size_t t = 0; t < k - step; t++)
        column(full, rows, k, step, &z, p, j * step + t, t);
    for (; j < end; j++) {
#pragma GCC unroll 2
        for (size_t s = 0; s < step; s++)
            column(full, rows, k, step, &z, p, (j - 1) * step + k + s, k - step + s);
#pragma GCC unroll 2
        for (size_t a = 0; a < rows; a++) {
            put(kind, full, q, p, (i + a) * q->width + j, z.sum[a][0]);
#pragma GCC unroll 5
            for (size_t m = 0; m < last; m++)
                z.sum[a][m] = z.sum[a][m + 1];
            z.sum[a][last] = p->start;
        }
    }
}

/* A list of taps: columns j .. end of one line. */
INLINE void list(const finish_kind kind, const bool full, const dw_s8 *q, const dw_s8_panel *p,
                 size_t i, size_t j, size_t end)
{
    s8_lines x = q->x + i * q->line_step;
    const size_t last = q->len - 1;
    for (; j < end; j++) {
        const int8_t *w = p->w;
        lanes sum = p->start;
        for (size_t t = 0; t < q->len; t += 4, w += QUAD) {
#define TAP(n) (x[t + (n) < last ? t + (n) : last][j * q->step] + p->c)
            __m512i v = transpose(full, p->in, TAP(0), TAP(1), TAP(2), TAP(3));
#undef TAP
            sum = dot(sum, v, _mm512_loadu_si512(w));
        }
        put(kind, full, q, p, i * q->width + j, sum);
    }
}

typedef enum shape { LIST, SLIDE_3, SLIDE_3_BY_2, SLIDE_5, SLIDE_5_BY_2 } shape;

INLINE void columns(const finish_kind kind, const bool full, const shape s, const size_t rows,
                    const dw_s8 *q, const dw_s8_panel *p, size_t i, size_t j, size_t end)
{
    if (s == LIST)
        list(kind, full, q, p, i, j, end);
    else
        slide(kind, full, rows, s == SLIDE_3 || s == SLIDE_3_BY_2 ? 3 : 5,
              s == SLIDE_3 || s == SLIDE_5 ? 1 : 2, q, p, i, j, end);
}

/* Every form is a function of its own: by value, see dw_s8. */
#define FORM(name, kind, full, s, rows)                                                            \
    static __attribute__((noinline)) void name(dw_s8 q, const dw_s8_panel *panel, size_t i,        \
                                               size_t j, size_t end)                               \
    {                                                                                              \
        const dw_s8_panel p = *panel;                                                              \
        columns(kind, full, s, rows, &q, &p, i, j, end);                                           \
    }
#define FORMS(name, s, rows)                                                                       \
    FORM(name##_float, FINISH_FLOAT, true, s, rows)                                                \
    FORM(name##_relu, FINISH_RELU, true, s, rows)                                                  \
    FORM(name##_plain, FINISH_PLAIN, true, s, rows)                                                \
    FORM(name##_part, FINISH_PLAIN, false, s, rows)                                                \
    FORM(name##_any, FINISH_ANY, false, s, rows)                                                   \
    static void name(const dw_s8 *q, const dw_s8_panel *p, size_t i, size_t j, size_t end)         \
    {                                                                                              \
        if (p->f.kind == FINISH_ANY)                                                               \
            name##_any(*q, p, i, j, end);                                                          \
        else if (p->in != 0xffff)                                                                  \
            name##_part(*q, p, i, j, end);                                                         \
        else if (p->f.kind == FINISH_FLOAT)                                                        \
            name##_float(*q, p, i, j, end);                                                        \
        else if (p->f.kind == FINISH_RELU)                                                         \
            name##_relu(*q, p, i, j, end);                                                         \
        else                                                                                       \
            name##_plain(*q, p, i, j, end);                                                        \
    }
FORMS(any_window, LIST, 1)
FORMS(three_twice, SLIDE_3, 2)
FORMS(three_once, SLIDE_3, 1)
FORMS(three_by_2, SLIDE_3_BY_2, 1)
FORMS(five_twice, SLIDE_5, 2)
FORMS(five_once, SLIDE_5, 1)
FORMS(five_by_2, SLIDE_5_BY_2, 1)

typedef void columns_fn(const dw_s8 *q, const dw_s8_panel *p, size_t i, size_t j, size_t end);

static dw_s8_panel panel_at(const sqz_packed *w, const sqz_out_s8 *o, size_t c)
{
    const size_t n_quad = w->n_seg * ((w->len + 3) / 4), left = w->n - c;
    const int8_t *at = (const int8_t *)w->data + c / SQZ_PANEL * (1 + n_quad) * QUAD;
    dw_s8_panel p = {
        .c = c, .in = (__mmask16)(left >= 16 ? 0xffffu : 0xffffu >> (16 - left)), .w = at + QUAD};
    lanes more = {0};
    for (size_t t = 0; t < n_quad; t++)
        more = dot(more, _mm512_set1_epi8((char)0x80), _mm512_loadu_si512(p.w + t * QUAD));
    p.start = (lanes)_mm512_sub_epi32(_mm512_loadu_si512(at), (__m512i)more);
    p.f = finish_of(o->rq, c, p.in);
    return p;
}

/* Tiles of two lines, then of one. twice NULL: all of one. */
static void lines(columns_fn *twice, columns_fn *once, const sqz_packed *w, const sqz_windows *x,
                  const sqz_out_s8 *o)
{
    const dw_s8 q = {.x = (s8_lines)x->x,
                     .line_step = x->line_step,
                     .step = x->step,
                     .width = x->width,
                     .len = w->len,
                     .y = o->y,
                     .ld = o->ld};
    for (size_t j = 0; j < x->width; j += STRIP) {
        const size_t end = x->width - j < STRIP ? x->width : j + STRIP;
        for (size_t c = 0; c < w->n; c += SQZ_PANEL) {
            const dw_s8_panel p = panel_at(w, o, c);
            size_t i = 0;
            for (; twice && i + 2 <= x->lines; i += 2)
                twice(&q, &p, i, j, end);
            for (; i < x->lines; i++)
                once(&q, &p, i, j, end);
        }
    }
}

void sqz_dwconv_s8_avx512vnni(const sqz_packed *w, const sqz_windows *x, const sqz_out_s8 *o)
{
    if (w->n_seg == 1)
        lines(NULL, any_window, w, x, o);
    else if (w->len == 3 && x->step == 1)
        lines(three_twice, three_once, w, x, o);
    else if (w->len == 3)
        lines(NULL, three_by_2, w, x, o);
    else if (w->len == 5 && x->step == 1)
        lines(five_twice, five_once, w, x, o);
    else
        lines(NULL, five_by_2, w, x, o);
}
