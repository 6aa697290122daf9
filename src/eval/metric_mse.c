/* metric_mse.c: mean squared error against the labels, averaged over elements, then over samples.
 */
#include "eval/eval.h"
#include "eval/moments.h"
#include <math.h>

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    (void)opts;
    if (b->label_row != b->row)
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "the model gives %zu numbers a sample, the labels have %zu", b->row,
                        b->label_row);
    for (int64_t i = 0; i < b->n; i++) {
        double sum = 0.0;
        for (size_t k = 0; k < b->row; k++) {
            double d = (double)b->pred[(size_t)i * b->row + k] -
                       (double)b->label[(size_t)i * b->row + k];
            sum += d * d;
        }
        sqz_moments_add(state, sum / (double)b->row);
    }
    return SQZ_OK;
}

const sqz_metric sqz_metric_mse = {
    .info = {.name = "mse", .doc = "mean squared error against the labels"},
    .needs = SQZ_M_VALUES,
    .state_bytes = sizeof(sqz_moments),
    .add = add,
    .value = sqz_moments_value,
};
