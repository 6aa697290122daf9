/* batch_norm.h: attributes of batch_norm and its training form, for who folds and replaces them. */
#ifndef SQZ_BATCH_NORM_H
#define SQZ_BATCH_NORM_H

/* Inputs: x, scale, bias, mean, variance. */
typedef struct sqz_batch_norm_attrs {
    double epsilon, momentum; /* momentum is kept for export only */
} sqz_batch_norm_attrs;
/* Inputs: x, scale, bias; outputs: y, mean, variance. */
typedef struct sqz_batch_norm_train_attrs {
    double epsilon, lo, hi;
    const struct sqz_team *team; /* that shares the batch: statistics are of all of it. Set by the
                                    tape, no option; NULL: nobody */
} sqz_batch_norm_train_attrs;
#endif
