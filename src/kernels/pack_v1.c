/* pack.c: the layout of packed int8 weights; see kernels.h. */
#include "base/base.h"
#include "kernels/kernels.h"
#include <string.h>

size_t sqz_pack_v1_bytes(size_t n, size_t k)
{
    size_t panels = n / SQZ_PANEL + (n % SQZ_PANEL != 0), groups = k / 4 + (k % 4 != 0), bytes;
    bool fits = sqz_add(groups, 1, &bytes) && sqz_mul(bytes, 4 * SQZ_PANEL, &bytes) &&
                sqz_mul(bytes, panels, &bytes);
    return fits ? bytes : 0;
}

void sqz_pack_v1(const sqz_packed_v1 *p, const int8_t *w, size_t ld_n, size_t ld_k)
{
    int8_t *at = p->data;
    size_t n = p->n, k = p->k;
    memset(at, 0, sqz_pack_v1_bytes(n, k));
    for (size_t first = 0; first < n; first += SQZ_PANEL) {
        int32_t sum[SQZ_PANEL] = {0};
        int8_t *head = at;
        at += sizeof sum;
        for (size_t j = 0; j < k; j++)
            for (size_t i = 0; i < SQZ_PANEL && first + i < n; i++) {
                int8_t v = w[(first + i) * ld_n + j * ld_k];
                at[j / 4 * 4 * SQZ_PANEL + i * 4 + j % 4] = v;
                sum[i] += v;
            }
        memcpy(head, sum, sizeof sum);
        at += (k + 3) / 4 * 4 * SQZ_PANEL;
    }
}
