/* held.h: numbers of a set in memory. Most sets come from integers, scaled: they have few different
 * numbers, and are held as the places of these in a list, of one byte or two. Nothing is rounded.
 */
#ifndef SQZ_HELD_H
#define SQZ_HELD_H
#include "base/base.h"

typedef struct sqz_held {
    sqz_ctx *ctx;
    size_t n, filled; /* numbers; those that are there, from the first on */
    size_t width;     /* bytes of one: 1, 2, or 4 where there are more than 65,536 different ones */
    void *data;
    float *list;    /* width < 4 */
    uint32_t *slot; /* while filling: hash of a number -> its place in the list + 1 */
    size_t different;
} sqz_held;

sqz_status sqz_held_create(sqz_ctx *ctx, size_t n, sqz_held *h);
/* The next ones, as many as were promised in all. */
sqz_status sqz_held_add(sqz_held *h, const float *x, size_t n);
/* Where numbers begin that are held as they are; NULL: they have to be taken out. */
const float *sqz_held_floats(const sqz_held *h);
void sqz_held_take(const sqz_held *h, size_t first, size_t n, float *out);
void sqz_held_free(sqz_held *h); /* twice is fine */
#endif
