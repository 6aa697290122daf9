/* einsum.h: equations such as "bij,bjk->bik": which index runs along which axis of which operand.
 * The indices of an ellipsis are counted from its right end, as broadcasting does. */
#ifndef SQZ_EINSUM_H
#define SQZ_EINSUM_H
#include "ir/op.h"

#define SQZ_EINSUM_IN     16                  /* operands */
#define SQZ_EINSUM_LABELS (52 + SQZ_MAX_RANK) /* A-Z, a-z, ellipsis from its end */
typedef struct sqz_einsum {
    unsigned n_in;
    int32_t rank[SQZ_EINSUM_IN], out_rank;
    uint8_t label[SQZ_EINSUM_IN][SQZ_MAX_RANK], out[SQZ_MAX_RANK];
    int64_t dim[SQZ_EINSUM_LABELS]; /* 0 .. : how far each index runs; -1: not used */
} sqz_einsum;
/* Reads an equation for operands of these shapes. A dimension of 1 goes with any other length. */
sqz_status sqz_einsum_parse(sqz_ctx *ctx, const char *equation, const sqz_shape *const *shape,
                            unsigned n_in, sqz_einsum *out);
/* Writes the node of an import as transposes, sums, products and matrix products; *done false:
 * nothing was written, since that is not possible (diagonals, ranks beyond the limit, types). */
sqz_status sqz_einsum_lower(sqz_import *im, const char *equation, bool *done);
#endif
