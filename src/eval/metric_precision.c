/* metric_precision.c: share of the predictions of a class that are right (macro average); class 1
 * alone where there are two. */
#include "eval/confusion.h"

static sqz_status value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se)
{
    (void)ctx, (void)opts, (void)se;
    *out = sqz_confusion_prf(state).precision;
    return SQZ_OK;
}

const sqz_metric sqz_metric_precision = {
    .info = {.name = "precision",
             .doc = "share of the predictions of a class that are right (macro average)"},
    .higher_is_better = true,
    .fraction = true,
    .needs = SQZ_M_CLASSES,
    .state_bytes = sizeof(sqz_confusion),
    .add = sqz_confusion_add,
    .value = value,
    .end = sqz_confusion_end,
};
