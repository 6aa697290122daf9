/* walk.h: operands that are broadcast to one output, as NumPy does. */
#ifndef SQZ_WALK_H
#define SQZ_WALK_H
#include "ir/graph.h"

#define SQZ_WALK_IN 3 /* most operands */

/* Output dimensions with the steps of the operands in elements (0: repeated); neighbors that step
 * alike in all of them are one dimension, so that equal shapes are a single row. */
typedef struct sqz_walk {
    int n_dim;
    size_t dim[SQZ_MAX_RANK], step[SQZ_MAX_RANK][SQZ_WALK_IN];
} sqz_walk;
void sqz_walk_plan(sqz_walk *w, const sqz_tensor *const *in, unsigned n_in, const sqz_shape *out);
/* The elements of the operands that output element `at` is made of. */
void sqz_walk_at(const sqz_walk *w, size_t at, size_t from[SQZ_WALK_IN]);
#endif
