/* layers.h: how far every value of a graph is from the same value of a reference, in one pass over
 * data. */
#ifndef SQZ_LAYERS_H
#define SQZ_LAYERS_H
#include "calib/calib.h"
#include "eval/eval.h"
#include "eval/runner.h"

typedef struct sqz_layer_error {
    sqz_vid value, reference;
    sqz_nid node; /* that computes it: clamps and borders behind it looked through */
    double signal, noise, dot, square;     /* sums of r^2, (r-y)^2, r*y, y^2 */
    double own_noise, own_dot, own_square; /* the same when the layer alone errs: own.h */
    uint64_t saturated, count;
    float lo, hi;        /* of y */
    float r_lo, r_hi;    /* of r */
    sqz_hist *histogram; /* of r */
} sqz_layer_error;
/* Pairs of values by name, in execution order; the list lives in `a`. */
sqz_status sqz_layers_pair(sqz_arena *a, const sqz_graph *g, const sqz_graph *reference,
                           sqz_layer_error **list, uint32_t *n);
/* Adds one batch; both executors keep all values. */
void sqz_layers_add(const sqz_graph *g, const sqz_runner_batch *b, sqz_layer_error *list,
                    uint32_t n);
#endif
