/* batch_norm.h: attributes of batch_norm, for the pass that folds it into a convolution. */
#ifndef SQZ_BATCH_NORM_H
#define SQZ_BATCH_NORM_H

/* Inputs: x, scale, bias, mean, variance. */
typedef struct sqz_batch_norm_attrs {
    double epsilon, momentum; /* momentum is kept for export only */
} sqz_batch_norm_attrs;
#endif
