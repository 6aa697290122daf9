/* softmax.h: what softmax and log_softmax share: rows along an axis, and the import of the old
 * meaning (before opset 13: over all dimensions from the axis on, as one). */
#ifndef SQZ_SOFTMAX_H
#define SQZ_SOFTMAX_H
#include "ops/ew.h"
#include "ops/move.h"

typedef struct sqz_softmax_attrs {
    int64_t axis;
} sqz_softmax_attrs;
extern const sqz_attr sqz_softmax_schema[1];

/* In place over n elements at distance `step`. */
typedef void (*sqz_softmax_row_fn)(float *y, size_t n, size_t step);
sqz_status sqz_softmax_infer(sqz_infer *q);
sqz_status sqz_softmax_run(const sqz_call *c, sqz_softmax_row_fn row);
/* softmax, or its logarithm. */
sqz_status sqz_softmax_kernel(const sqz_call *c, bool log);
/* dx = y * (g - sum(g * y)); of the logarithm g - e^y * sum(g). */
sqz_status sqz_softmax_grad(const sqz_grad_call *c);
sqz_status sqz_softmax_grad_log(const sqz_grad_call *c);
void sqz_softmax_ties(sqz_ties *t);
void sqz_softmax_cost(const sqz_infer *q, sqz_cost *out);
sqz_status sqz_softmax_import(sqz_import *im, const sqz_op *op);
#endif
