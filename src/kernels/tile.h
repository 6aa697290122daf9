/* tile.h: for kernels that work in tiles: how their parts are inlined, and the rows of a product.
 */
#ifndef SQZ_TILE_H
#define SQZ_TILE_H
#include "kernels/kernels.h"

#ifdef __OPTIMIZE__ /* sizes of tiles become constants and sums registers */
#    define INLINE static inline __attribute__((always_inline))
#else /* a debug build would put every tile on one stack frame */
#    define INLINE static inline
#endif

typedef struct row_walk { /* where the next row of the left side begins */
    const char *line;
    size_t column;
} row_walk;

INLINE void next_rows(const sqz_left *l, row_walk *at, size_t rows, const char *row[])
{
    for (size_t r = 0; r < rows; r++) {
        row[r] = at->line + at->column * l->step;
        if (++at->column == l->width) {
            at->column = 0;
            at->line += l->line;
        }
    }
}
#endif
