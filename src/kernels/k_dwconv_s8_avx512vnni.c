/* dwconv_s8: 16 channels x 4 taps are one vpdpbusd, once the 4 rows of 16 bytes are transposed to
 * 16 lanes of 4. As in gemm_s8, x + 128 is the unsigned side. */
#include "kernels/kernels.h"
#include <immintrin.h>

#define GROUP (4 * SQZ_PANEL)

/* Rows t .. t+3 of 16 channels as lanes of 4 taps; rows from `taps` on are zero. */
static inline __m512i lanes(const int8_t *const *x, size_t t, size_t taps, size_t j, __mmask16 m)
{
    const __m512i quads = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m128i r[4];
    for (size_t i = 0; i < 4; i++)
        r[i] = t + i < taps ? _mm_maskz_loadu_epi8(m, x[t + i] + j) : _mm_setzero_si128();
    __m512i v = _mm512_castsi128_si512(r[0]);
    v = _mm512_inserti32x4(v, r[1], 1);
    v = _mm512_inserti32x4(v, r[2], 2);
    v = _mm512_inserti32x4(v, r[3], 3);
    /* channels 4q .. 4q+3 of all taps to lane q, then bytes within the lane */
    v = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quads, v), bytes);
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
}

void sqz_dwconv_s8_avx512vnni(const sqz_packed_v1 *p, const int8_t *const *x, int32_t *c)
{
    const size_t n = p->n, taps = p->k;
    const int8_t *w = p->data;
    for (size_t j = 0; j < n; j += SQZ_PANEL) {
        __mmask16 m = (__mmask16)(n - j >= 16 ? 0xffffu : 0xffffu >> (16 - (n - j)));
        __m512i acc = _mm512_sub_epi32(_mm512_setzero_si512(),
                                       _mm512_slli_epi32(_mm512_loadu_si512(w), 7));
        w += GROUP;
        for (size_t t = 0; t < taps; t += 4, w += GROUP)
            acc = _mm512_dpbusd_epi32(acc, lanes(x, t, taps, j, m), _mm512_loadu_si512(w));
        _mm512_mask_storeu_epi32(c + j, m, acc);
    }
}
