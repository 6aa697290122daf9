/* pack_block.c: the layout of weights that stay codes; see kernels.h. */
#include "base/base.h"
#include "kernels/kernels.h"
#include <string.h>

size_t sqz_blockw_bytes(sqz_blockw *w)
{
    const size_t panels = w->n / SQZ_PANEL + (w->n % SQZ_PANEL != 0), eights = w->k / 8 + 1;
    size_t codes, head, bytes;
    w->n_block = w->k / w->block + (w->k % w->block != 0);
    if (!sqz_mul(eights, SQZ_PANEL * w->bits, &codes) ||
        !sqz_mul(w->n_block, SQZ_PANEL * (w->zeros ? 5 : 4), &head) || !sqz_add(head, 63, &head) ||
        !sqz_add(codes, head, &bytes) || !sqz_mul(bytes, panels, &bytes))
        return 0;
    codes = (w->k + 7) / 8 * SQZ_PANEL * w->bits;
    w->panel = (codes + head) / 64 * 64;
    return panels * w->panel;
}

static void put(const sqz_blockw *w, uint8_t *codes, size_t lane, size_t t, int32_t code)
{
    if (w->bits == 8)
        codes[(t / 4 * SQZ_PANEL + lane) * 4 + t % 4] = (uint8_t)code;
    else
        codes[(t / 8 * SQZ_PANEL + lane) * 4 + t % 4] |= (uint8_t)(code << (t % 8 / 4 * 4));
}

static void pack_panel(const sqz_blockw *w, const sqz_blockw_source *s, size_t first)
{
    uint8_t *panel = (uint8_t *)w->data + first / SQZ_PANEL * w->panel, *at = panel;
    uint8_t *zeros = panel + (sqz_blockw_zeros(w, panel) - panel);
    const size_t lanes = SQZ_MIN(w->n - first, SQZ_PANEL);
    memset(panel, 0, w->panel);
    for (size_t b = 0; b < w->n_block; b++) {
        const size_t from = b * w->block, len = sqz_blockw_len(w, b);
        float *scale = (float *)(void *)at;
        at += SQZ_PANEL * sizeof *scale;
        for (size_t lane = 0; lane < lanes; lane++) {
            scale[lane] = s->scale(s->arg, first + lane, b);
            if (w->zeros)
                zeros[b * SQZ_PANEL + lane] = (uint8_t)s->zero(s->arg, first + lane, b);
            for (size_t t = 0; t < len && from + t < w->k; t++)
                put(w, at, lane, t, s->code(s->arg, first + lane, from + t));
        }
        at += SQZ_PANEL * w->bits / 8 * len;
    }
}

void sqz_blockw_pack(const sqz_blockw *w, const sqz_blockw_source *s, size_t begin, size_t end)
{
    for (size_t j = begin; j < end; j += SQZ_PANEL)
        pack_panel(w, s, j);
}
