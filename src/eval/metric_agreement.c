/* metric_agreement.c: share of samples on which model and reference choose the same class. */
#include "eval/confusion.h"

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    sqz_share *s = state;
    (void)ctx, (void)opts;
    for (int64_t i = 0; i < b->n; i++) {
        size_t at = (size_t)i * b->row;
        s->hits += sqz_predicted_class(b->pred + at, b->row) ==
                   sqz_predicted_class(b->reference + at, b->row);
    }
    s->n += (uint64_t)b->n;
    return SQZ_OK;
}

const sqz_metric sqz_metric_agreement = {
    .info = {.name = "agreement",
             .doc = "share of samples on which model and reference choose the same class"},
    .higher_is_better = true,
    .fraction = true,
    .needs = SQZ_M_REFERENCE,
    .state_bytes = sizeof(sqz_share),
    .add = add,
    .value = sqz_share_value,
};
