/* blockw_s8 with 16-bit products: halves of bytes by vpmaddubsw, whose sums of 32 terms fit 16 bits
 * (8 * 2 * 15 * 127), bytes widened for vpmaddwd. A tile is MR rows x 1 panel. */
#include "kernels/vec_avx2.h"
#define BLOCKW_PANELS   1
#define BLOCKW_TILES(M) M(2, 1) M(1, 1)
#include "kernels/blockw.h"
#include <string.h>

INLINE __m256i row4(const int8_t *q) /* 4 codes of a row in every lane */
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm256_set1_epi32(v);
}

INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* `eights` groups of 8 terms, at most 4, with codes of 4 bits. */
INLINE void halves(const size_t mr, const uint8_t *codes, size_t eights, const int8_t *q,
                   size_t ldq, __m256i acc[2][2])
{
    const __m256i low = _mm256_set1_epi8(15), one = _mm256_set1_epi16(1);
    __m256i part[2][2] = {{_mm256_setzero_si256(), _mm256_setzero_si256()},
                          {_mm256_setzero_si256(), _mm256_setzero_si256()}};
    for (; eights; eights--, codes += 64, q += 8)
#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++) {
            const __m256i v = load(codes + 32 * h), a = _mm256_and_si256(v, low);
            const __m256i b = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
#pragma GCC unroll 2
            for (size_t r = 0; r < mr; r++) {
                const __m256i s = _mm256_maddubs_epi16(a, row4(q + r * ldq));
                const __m256i t = _mm256_maddubs_epi16(b, row4(q + r * ldq + 4));
                part[r][h] = _mm256_add_epi16(part[r][h], _mm256_add_epi16(s, t));
            }
        }
#pragma GCC unroll 2
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++)
            acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(part[r][h], one));
}

/* 4 terms with codes of 8 bits: bytes 0 and 2 of each lane, then 1 and 3. */
INLINE void bytes(const size_t mr, const uint8_t *codes, const int8_t *q, size_t ldq,
                  __m256i acc[2][2])
{
#pragma GCC unroll 2
    for (size_t h = 0; h < 2; h++) {
        const __m256i v = load(codes + 32 * h), a = _mm256_and_si256(v, _mm256_set1_epi16(255));
        const __m256i b = _mm256_srli_epi16(v, 8);
#pragma GCC unroll 2
        for (size_t r = 0; r < mr; r++) {
            const __m256i x = row4(q + r * ldq);
            const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
            const __m256i s = _mm256_madd_epi16(a, even);
            const __m256i t = _mm256_madd_epi16(b, _mm256_srai_epi16(x, 8));
            acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_add_epi32(s, t));
        }
    }
}

INLINE void block(const size_t mr, const unsigned bits, const uint8_t *codes, size_t len,
                  const int8_t *q, size_t ldq, __m256i acc[2][2])
{
    if (bits == 8)
        for (size_t i = 0; i < len; i += 4)
            bytes(mr, codes + i * SQZ_PANEL, q + i, ldq, acc);
    else
        for (size_t i = 0; i < len; i += 32)
            halves(mr, codes + i * (SQZ_PANEL / 2), (len - i < 32 ? len - i : 32) / 8, q + i, ldq,
                   acc);
}

INLINE void tile(const size_t mr, const size_t np, const unsigned bits, const int zeros,
                 const tile_args *t)
{
    (void)np; /* one */
    const sqz_blockw *w = t->w;
    const size_t n_block = w->n_block, ldq = n_block * w->block;
    const uint8_t *at = (const uint8_t *)w->data + t->panel * w->panel;
    const uint8_t *zero = sqz_blockw_zeros(w, at);
    __m256 sum[2][2] = {{_mm256_setzero_ps(), _mm256_setzero_ps()},
                        {_mm256_setzero_ps(), _mm256_setzero_ps()}};
    for (size_t b = 0; b < n_block; b++, zero += SQZ_PANEL) {
        const size_t len = sqz_blockw_len(w, b), i = t->row * n_block + b;
        const uint8_t *head = at;
        __m256i acc[2][2];
#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++) {
            const __m256i z = zeros ? _mm256_cvtepu8_epi32(_mm_loadl_epi64(
                                          (const __m128i *)(const void *)(zero + 8 * h)))
                                    : _mm256_set1_epi32(w->zero);
#pragma GCC unroll 2
            for (size_t r = 0; r < mr; r++)
                acc[r][h] = _mm256_mullo_epi32(z,
                                               _mm256_set1_epi32(t->rows->less[i + r * n_block]));
        }
        at += SQZ_PANEL * sizeof(float);
        block(mr, bits, at, len, t->rows->q + t->row * ldq + b * w->block, ldq, acc);
        at += SQZ_PANEL * bits / 8 * len;
#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++) {
            const __m256 s = _mm256_loadu_ps((const float *)(const void *)head + 8 * h);
#pragma GCC unroll 2
            for (size_t r = 0; r < mr; r++)
                sum[r][h] = _mm256_fmadd_ps(
                    _mm256_cvtepi32_ps(acc[r][h]),
                    _mm256_mul_ps(s, _mm256_set1_ps(t->rows->scale[i + r * n_block])), sum[r][h]);
        }
    }
#pragma GCC unroll 2
    for (size_t r = 0; r < mr; r++)
        store(t, r, 0, sum[r]);
}

void sqz_blockw_s8_avx2(const sqz_blockw *w, size_t begin, size_t end, const sqz_block_rows *x,
                        float *y, size_t ldy)
{
    blockw(&(tile_args){
        .w = w, .panel = begin / SQZ_PANEL, .rows = x, .y = y, .ldy = ldy, .end = end, .m = x->m});
}
