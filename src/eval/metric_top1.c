/* metric_top1.c: share of samples whose largest score is the label's. */
#include "eval/confusion.h"

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    sqz_share *s = state;
    (void)opts;
    for (int64_t i = 0; i < b->n; i++) {
        size_t label = (size_t)b->label[i];
        if (label >= SQZ_MAX(b->row, 2))
            return sqz_fail(ctx, SQZ_E_FORMAT, "label %zu, but the model has %zu outputs", label,
                            b->row);
        s->hits += sqz_predicted_class(b->pred + (size_t)i * b->row, b->row) == label;
    }
    s->n += (uint64_t)b->n;
    return SQZ_OK;
}

const sqz_metric sqz_metric_top1 = {
    .info = {.name = "top1", .doc = "share of samples whose largest score is the label's"},
    .higher_is_better = true,
    .fraction = true,
    .needs = SQZ_M_CLASSES,
    .state_bytes = sizeof(sqz_share),
    .add = add,
    .value = sqz_share_value,
};
