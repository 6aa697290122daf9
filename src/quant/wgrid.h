/* wgrid.h: symmetric grids of whole tensors of weights: one scale, one for each index of an axis,
 * or one for each block along an axis (graph.h, sqz_quant). */
#ifndef SQZ_WGRID_H
#define SQZ_WGRID_H
#include "ir/graph.h"
#include "quant/wscale.h"

typedef struct sqz_wspec {
    unsigned bits; /* 8, 4, 3, 2: the last three in tensors of type S4 */
    int32_t axis;  /* -1: one scale */
    int32_t group; /* 0: no blocks */
    sqz_wrule rule;
    bool pow2;
} sqz_wspec;

/* The grid of w (float32, finite numbers); lists in `a`. */
sqz_status sqz_weight_grid(sqz_ctx *ctx, sqz_arena *a, const sqz_tensor *w, const sqz_wspec *spec,
                           sqz_quant *q);
/* w rounded to the nearest codes of a symmetric grid: a new tensor of its type. */
sqz_status sqz_weight_codes(sqz_ctx *ctx, const sqz_tensor *w, const sqz_quant *q, sqz_tensor *out);
#endif
