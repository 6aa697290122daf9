/* affine.h: folding y = x * scale + shift, per channel, into the linear node that makes x. */
#ifndef SQZ_AFFINE_H
#define SQZ_AFFINE_H
#include "ir/op.h"

typedef struct sqz_folder {
    sqz_graph *g;
    sqz_arena *a;   /* of the pass */
    uint32_t *uses; /* of every value there was at the beginning */
    uint32_t n_value;
} sqz_folder;
sqz_status sqz_folder_begin(sqz_graph *g, sqz_arena *a, sqz_folder *out);
/* y = x * scale + shift with n channels along the last axis; scale NULL: 1. */
typedef struct sqz_affine {
    const double *scale, *shift;
    size_t n;
} sqz_affine;
/* `x`, the only operand of node `id` that is no constant, is made by a convolution, gemm or matmul
 * and used by nobody else: its weights and bias take over scale and shift, and the linear node
 * takes over the output of `id`, which is removed. *done false: it cannot be folded, nothing
 * changed. */
sqz_status sqz_fold_affine(sqz_folder *f, sqz_nid id, sqz_vid x, const sqz_affine *k, bool *done);
#endif
