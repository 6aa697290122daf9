/* product_s8.h: an int8 product of many rows, cut into chunks of rows and, where there are few, of
 * outputs; what conv2d, conv_transpose, gemm and matmul share. */
#ifndef SQZ_PRODUCT_S8_H
#define SQZ_PRODUCT_S8_H
#include "ops/linear.h"

typedef struct sqz_s8_product {
    const sqz_linear *lin;
    size_t rows, unit; /* in all; chunks end at whole units */
    const size_t *seg; /* where the terms of a row of the first group lie, as in sqz_left */
    size_t n_seg, len;
    size_t next;           /* bytes from one group's terms to the next one's */
    size_t grain, columns; /* rows and outputs of a chunk */
    size_t each;           /* scratch bytes of a worker */
} sqz_s8_product;

/* Sets grain (at most `most` rows, but whole units) and columns. lin, rows, unit, n_seg and len are
 * set. Depends on nothing but the sizes. */
void sqz_s8_split(sqz_s8_product *p, size_t most);

/* Computes rows [begin, end), outputs [from, to). */
typedef sqz_status (*sqz_s8_rows_fn)(const sqz_call *c, const sqz_s8_product *p, void *arg,
                                     size_t begin, size_t end, size_t from, size_t to);
sqz_status sqz_s8_run(const sqz_call *c, const sqz_s8_product *p, sqz_s8_rows_fn fn, void *arg);

/* For use inside: stores the rows of `l`, of which the first is `row` of the product, and runs what
 * is fused. a, m, width, step and line of l are set; a is that of the first group. */
sqz_status sqz_s8_store(const sqz_call *c, const sqz_s8_product *p, const sqz_left *l, size_t row,
                        size_t from, size_t to);
/* Scratch of the calling worker. */
char *sqz_s8_scratch(const sqz_call *c, const sqz_s8_product *p);

/* Rows that need no window, of len * groups codes: row r lies at (r / width) * line + (r % width) *
 * step of the input. They are copied, a block that stays in the first-level cache at a time, where
 * the kernel wants other bytes. lin, rows, len and unit (a divisor or multiple of width) are set.
 */
sqz_status sqz_s8_prepare_matrix(sqz_prep *p, sqz_s8_product *out);
sqz_status sqz_s8_run_matrix(const sqz_call *c, const sqz_s8_product *p, size_t width, size_t step,
                             size_t line);
#endif
