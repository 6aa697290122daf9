/* pack.c: the order of packed weights; see kernels.h. */
#include "base/base.h"
#include "kernels/kernels.h"
#include <string.h>

size_t sqz_pack_f32_bytes(size_t n, size_t n_seg, size_t len)
{
    size_t panels = n / SQZ_PANEL + (n % SQZ_PANEL != 0), bytes;
    bool fits = sqz_mul(n_seg, len, &bytes) && sqz_add(bytes, 1, &bytes) &&
                sqz_mul(bytes, SQZ_PANEL * sizeof(float), &bytes) && sqz_mul(bytes, panels, &bytes);
    return fits ? bytes : 0;
}

typedef float v4 __attribute__((vector_size(16)));

static v4 load(const float *p)
{
    v4 v;
    memcpy(&v, p, sizeof v);
    return v;
}
static void store(float *p, v4 v) { memcpy(p, &v, sizeof v); }

/* 4 terms of 4 outputs: a square transposed in registers. */
static void turn4(float *at, const float *w, size_t ld_n)
{
    const v4 a = load(w), b = load(w + ld_n), c = load(w + 2 * ld_n), d = load(w + 3 * ld_n);
    const v4 p = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const v4 q = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const v4 r = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const v4 s = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store(at, __builtin_shufflevector(p, r, 0, 1, 4, 5));
    store(at + SQZ_PANEL, __builtin_shufflevector(p, r, 2, 3, 6, 7));
    store(at + 2 * SQZ_PANEL, __builtin_shufflevector(q, s, 0, 1, 4, 5));
    store(at + 3 * SQZ_PANEL, __builtin_shufflevector(q, s, 2, 3, 6, 7));
}

/* Terms of n outputs into a panel: output by output, a few terms at a time, so that the lines they
 * are written to stay in the first-level cache. */
static void turn(float *at, const float *w, size_t n, size_t k, size_t ld_n, size_t ld_k)
{
    enum { TERMS = 64 };
    for (size_t first = 0; first < k; first += TERMS) {
        const size_t end = SQZ_MIN(k, first + TERMS);
        size_t i = 0;
        for (; ld_k == 1 && i + 4 <= n; i += 4) {
            size_t t = first;
            for (; t + 4 <= end; t += 4)
                turn4(at + t * SQZ_PANEL + i, w + i * ld_n + t, ld_n);
            for (; t < end; t++)
                for (size_t j = i; j < i + 4; j++)
                    at[t * SQZ_PANEL + j] = w[j * ld_n + t];
        }
        for (; i < n; i++)
            for (size_t t = first; t < end; t++)
                at[t * SQZ_PANEL + i] = w[i * ld_n + t * ld_k];
    }
}

void sqz_pack_f32(const sqz_packed *p, const float *w, size_t ld_n, size_t ld_k, const float *bias)
{
    float *at = p->data;
    const size_t k = p->n_seg * p->len;
    for (size_t first = 0; first < p->n; first += SQZ_PANEL) {
        const size_t n = SQZ_MIN(p->n - first, SQZ_PANEL);
        if (n < SQZ_PANEL)
            memset(at, 0, (k + 1) * SQZ_PANEL * sizeof *at);
        if (bias)
            memcpy(at, bias + first, n * sizeof *at);
        else
            memset(at, 0, n * sizeof *at);
        at += SQZ_PANEL;
        if (ld_n == 1)
            for (size_t t = 0; t < k; t++)
                memcpy(at + t * SQZ_PANEL, w + first + t * ld_k, n * sizeof *at);
        else
            turn(at, w + first * ld_n, n, k, ld_n, ld_k);
        at += k * SQZ_PANEL;
    }
}

/* Groups of 4 terms of a segment. */
static size_t quads(size_t len) { return len / 4 + (len % 4 != 0); }

size_t sqz_pack_s8_bytes(size_t n, size_t n_seg, size_t len)
{
    size_t panels = n / SQZ_PANEL + (n % SQZ_PANEL != 0), bytes;
    bool fits = sqz_mul(n_seg, quads(len), &bytes) && sqz_add(bytes, 1, &bytes) &&
                sqz_mul(bytes, 4 * SQZ_PANEL, &bytes) && sqz_mul(bytes, panels, &bytes);
    return fits ? bytes : 0;
}

/* Terms of one output of a panel. */
static void pack_output(const sqz_packed *p, const int8_t *w, size_t ld_k, int8_t *at)
{
    for (size_t s = 0; s < p->n_seg; s++, at += quads(p->len) * 4 * SQZ_PANEL)
        for (size_t t = 0; t < p->len; t++, w += ld_k)
            at[t / 4 * 4 * SQZ_PANEL + t % 4] = *w;
}

void sqz_pack_s8(const sqz_packed *p, const int8_t *w, size_t ld_n, size_t ld_k,
                 const int32_t *start)
{
    int8_t *at = p->data;
    const size_t panel = (1 + p->n_seg * quads(p->len)) * 4 * SQZ_PANEL;
    for (size_t first = 0; first < p->n; first += SQZ_PANEL, at += panel) {
        const size_t n = SQZ_MIN(p->n - first, SQZ_PANEL);
        memset(at, 0, panel);
        memcpy(at, start + first, n * sizeof *start);
        for (size_t i = 0; i < n; i++)
            pack_output(p, w + (first + i) * ld_n, ld_k, at + 4 * SQZ_PANEL + 4 * i);
    }
}
