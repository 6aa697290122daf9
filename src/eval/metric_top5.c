/* metric_top5.c: share of samples whose label is among the five largest scores. */
#include "eval/confusion.h"

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    sqz_share *s = state;
    (void)opts;
    for (int64_t i = 0; i < b->n; i++) {
        const float *row = b->pred + (size_t)i * b->row;
        size_t label = (size_t)b->label[i], above = 0;
        if (label >= b->row)
            return sqz_fail(ctx, SQZ_E_FORMAT, "label %zu, but the model has %zu outputs", label,
                            b->row);
        for (size_t k = 0; k < b->row; k++) /* ties count against the label, as for top1 */
            above += row[k] > row[label] || (k < label && !(row[k] < row[label]));
        s->hits += above < 5;
    }
    s->n += (uint64_t)b->n;
    return SQZ_OK;
}

const sqz_metric sqz_metric_top5 = {
    .info = {.name = "top5",
             .doc = "share of samples whose label is among the five largest scores"},
    .higher_is_better = true,
    .fraction = true,
    .needs = SQZ_M_CLASSES,
    .state_bytes = sizeof(sqz_share),
    .add = add,
    .value = sqz_share_value,
};
