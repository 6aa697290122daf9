/* confusion.h: what classification metrics share: the predicted class, and counts per class. */
#ifndef SQZ_CONFUSION_H
#define SQZ_CONFUSION_H
#include "eval/eval.h"

/* Index of the largest score, the lowest on ties. One score only: class 1 from 0.5 on (a sigmoid).
 */
size_t sqz_predicted_class(const float *row, size_t n);

typedef struct sqz_confusion { /* per class; grown on demand */
    uint64_t *hit, *predicted, *actual;
    size_t n;
} sqz_confusion;
sqz_status sqz_confusion_add(sqz_ctx *ctx, void *state, const void *opts,
                             const sqz_metric_batch *b);
void sqz_confusion_end(sqz_ctx *ctx, void *state);

/* Two classes: counts of class 1. More: the mean over classes that occur in the labels (macro
 * average). */
typedef struct sqz_prf {
    double precision, recall, f1;
} sqz_prf;
sqz_prf sqz_confusion_prf(const sqz_confusion *c);

/* Share of `hits` in n and its standard error sqrt(p(1-p)/n). */
typedef struct sqz_share {
    uint64_t hits, n;
} sqz_share;
sqz_status sqz_share_value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se);
#endif
