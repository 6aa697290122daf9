/* pool_rows.h: pools over one or two axes, float and int8, by the kernels: the pixels of an output
 * line whose windows lie inside the image go at once, those at its ends one by one. */
#ifndef SQZ_POOL_ROWS_H
#define SQZ_POOL_ROWS_H
#include "ops/window.h"
#include "runtime/sqz_rt.h"

typedef struct sqz_pool_rows {
    sqz_window w;
    size_t n, c; /* samples, channels */
    bool average, s8, count_pad;
    const sqz_rt_pool *rt; /* averages of int8: grids and factors */
} sqz_pool_rows;
/* The kernels can do it; else the caller goes pixel by pixel. */
bool sqz_pool_rows_fit(const sqz_pool_rows *r);
sqz_status sqz_pool_rows_run(sqz_ctx *ctx, const sqz_pool_rows *r, const void *x, void *y);
#endif
