/* qgrid.h: which scale belongs to which element: one for all, one per index of an axis, or one per
 * block along an axis (graph.h, sqz_quant). */
#ifndef SQZ_QGRID_H
#define SQZ_QGRID_H
#include "ir/graph.h"

/* Scales that blocks of `group` entries along `axis` of a tensor need; false: more than 32 bits. */
bool sqz_quant_blocks(const sqz_quant *q, const sqz_shape *s, uint64_t *n);
/* The shape of the list of scales: none for one, (n) for an axis, that of the tensor with its axis
 * divided for blocks. */
sqz_shape sqz_quant_shape(const sqz_quant *q, const sqz_shape *s);

/* Elements i .. i+n-1 have the scales first, first+step, ... */
typedef struct sqz_qrun {
    size_t first, n, step;
} sqz_qrun;
sqz_qrun sqz_quant_run(const sqz_quant *q, const sqz_shape *s, size_t i);

/* The grid of a tensor of shape s after sqz_tensor_permute: axis i of the result is axis perm[i].
 * Lists in `a`. */
sqz_status sqz_quant_permute(sqz_arena *a, const sqz_quant *q, const sqz_shape *s, const int *perm,
                             sqz_quant *out);
#endif
