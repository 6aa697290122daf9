/* gemm_s8: c(M,N) = a(M,K) . w(N,K)^T in int32. The specification of the other gemm_s8 files. */
#include "kernels/kernels.h"

void sqz_gemm_s8_scalar(const sqz_packed_v1 *w, size_t m, const int8_t *a, size_t lda, int32_t *c,
                        size_t ldc)
{
    size_t panel = (1 + (w->k + 3) / 4) * 4 * SQZ_PANEL; /* bytes: the sums, then the weights */
    for (size_t i = 0; i < m; i++)
        for (size_t first = 0; first < w->n; first += SQZ_PANEL) {
            const int8_t *b = (const int8_t *)w->data + first / SQZ_PANEL * panel + 4 * SQZ_PANEL;
            int32_t acc[SQZ_PANEL] = {0};
            for (size_t t = 0; t < w->k; t++)
                for (size_t o = 0; o < SQZ_PANEL; o++)
                    acc[o] += a[i * lda + t] * b[t / 4 * 4 * SQZ_PANEL + o * 4 + t % 4];
            for (size_t o = 0; o < SQZ_PANEL && first + o < w->n; o++)
                c[i * ldc + first + o] = acc[o];
        }
}
