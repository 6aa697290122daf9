/* held.c: see held.h. The block has room for two bytes a number from the start: pages that are not
 * written take no memory. */
#include "train/held.h"
#include <string.h>

#define MOST   65536u  /* different numbers of a list */
#define SLOTS  262144u /* of the hash table: a quarter full at most */
#define PROBES 128u

sqz_status sqz_held_create(sqz_ctx *ctx, size_t n, sqz_held *h)
{
    *h = (sqz_held){.ctx = ctx, .n = n, .width = 1};
    size_t bytes;
    if (!sqz_mul(n, 2, &bytes))
        return sqz_fail(ctx, SQZ_E_LIMIT, "too many numbers to hold: %zu", n);
    h->data = sqz_malloc(ctx, SQZ_MAX(bytes, (size_t)1));
    h->list = sqz_calloc(ctx, MOST, sizeof *h->list);
    h->slot = sqz_calloc(ctx, SLOTS, sizeof *h->slot);
    if (h->data && h->list && h->slot)
        return SQZ_OK;
    sqz_held_free(h);
    return SQZ_E_NOMEM;
}

void sqz_held_free(sqz_held *h)
{
    sqz_free(h->ctx, h->data);
    sqz_free(h->ctx, h->list);
    sqz_free(h->ctx, h->slot);
    h->data = NULL;
    h->list = NULL;
    h->slot = NULL;
}

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

/* Place of a number in the list, told apart by its bits; MOST: the list is full, or the table so
 * crowded there that searching would take longer than memory is worth. */
static uint32_t place_of(sqz_held *h, float v)
{
    const uint32_t bits = bits_of(v), home = bits * 2654435769u >> 14;
    for (uint32_t i = 0; i < PROBES; i++) {
        uint32_t *slot = &h->slot[(home + i) % SLOTS];
        if (*slot == 0) {
            if (h->different == MOST)
                return MOST;
            h->list[h->different++] = v;
            *slot = (uint32_t)h->different;
        }
        if (bits_of(h->list[*slot - 1]) == bits)
            return *slot - 1;
    }
    return MOST;
}

/* One byte becomes two, from the end: none is overwritten before it is read. */
static void widen(sqz_held *h)
{
    const uint8_t *from = h->data;
    uint16_t *to = h->data;
    for (size_t i = h->filled; i-- > 0;) {
        const uint8_t code = from[i];
        to[i] = code;
    }
    h->width = 2;
}

static sqz_status to_floats(sqz_held *h)
{
    size_t bytes;
    float *all = sqz_mul(h->n, sizeof *all, &bytes) ? sqz_malloc(h->ctx, bytes) : NULL;
    if (!all)
        return SQZ_E_NOMEM;
    sqz_held_take(h, 0, h->filled, all);
    sqz_held_free(h);
    h->data = all;
    h->width = 4;
    return SQZ_OK;
}

sqz_status sqz_held_add(sqz_held *h, const float *x, size_t n)
{
    for (; n && h->width < 4; x++, n--, h->filled++) {
        const uint32_t code = place_of(h, *x);
        if (code == MOST) {
            SQZ_TRY(to_floats(h));
            break;
        }
        if (code > UINT8_MAX && h->width == 1)
            widen(h);
        if (h->width == 1)
            ((uint8_t *)h->data)[h->filled] = (uint8_t)code;
        else
            ((uint16_t *)h->data)[h->filled] = (uint16_t)code;
    }
    if (n) {
        memcpy((float *)h->data + h->filled, x, n * sizeof *x);
        h->filled += n;
    }
    if (h->filled == h->n) {
        sqz_free(h->ctx, h->slot);
        h->slot = NULL;
    }
    return SQZ_OK;
}

const float *sqz_held_floats(const sqz_held *h) { return h->width == 4 ? h->data : NULL; }

void sqz_held_take(const sqz_held *h, size_t first, size_t n, float *out)
{
    const float *list = h->list;
    if (h->width == 1) {
        const uint8_t *from = (const uint8_t *)h->data + first;
        for (size_t i = 0; i < n; i++)
            out[i] = list[from[i]];
    } else if (h->width == 2) {
        const uint16_t *from = (const uint16_t *)h->data + first;
        for (size_t i = 0; i < n; i++)
            out[i] = list[from[i]];
    } else {
        memcpy(out, (const float *)h->data + first, n * sizeof *out);
    }
}
