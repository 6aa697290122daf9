/* training.h: a model as it is trained, and the way back. The training graph is a copy in which
 * batch norms take the statistics of the batch (batch_norm_train) and dropout draws; ids of nodes
 * and values stay those of the model, so that a loss finds them and numbers find back. */
#ifndef SQZ_TRAINING_H
#define SQZ_TRAINING_H
#include "train/tape.h"

/* What a model has been through before: the canonical recipe without fold_bn. Run "fold_bn,dce" on
 * a copy of the model to evaluate or quantize it. */
#define SQZ_TRAINABLE "fold_const,widen,fold_qdq,layout,fuse_gelu,fuse_hard_swish,dce"

typedef struct sqz_training_norm {
    sqz_vid mean, variance;       /* of the training graph: of the batch, the latter biased */
    sqz_vid to_mean, to_variance; /* of the model: constants */
    float *running_mean, *running_variance; /* n each; they begin as in the model. Part of what a
                                               checkpoint keeps; two norms may share them */
    size_t n;
    double momentum;   /* running = momentum * running + (1 - momentum) * of the batch */
    double correction; /* of the variance for its bias: rows / (rows - 1) */
} sqz_training_norm;

typedef struct sqz_training {
    sqz_arena arena;
    sqz_graph *g; /* to append losses to; owned */
    sqz_training_norm *norm;
    uint32_t n_norm;
    sqz_vid *read; /* means and variances: for sqz_tape_options.read */
    uint32_t n_read;
} sqz_training;

typedef struct sqz_training_options {
    int64_t batch;      /* 0: as the inputs stand */
    int32_t processes;  /* that share a batch, each with so many samples; 0: one */
    uint64_t seed;      /* of dropout */
    bool no_dropout;    /* nothing is dropped */
    bool freeze_norms;  /* every batch norm keeps its inference form */
    const bool *frozen; /* n_node: these do; NULL: none beside */
} sqz_training_options;
sqz_status sqz_training_make(const sqz_graph *model, const sqz_training_options *o,
                             sqz_training *out);
void sqz_training_free(sqz_training *t);

/* The running statistics take in the batch that the tape has just been forward through. */
void sqz_training_moved(sqz_training *t, const sqz_tape *tape);
/* The running statistics and n trained constants become those of the model (that the training was
 * made from, or a copy of it). */
sqz_status sqz_training_write(const sqz_training *t, const sqz_vid *v, const float *const *numbers,
                              uint32_t n, sqz_graph *model);

/* Constants that training moves: weights and biases of convolutions and products, scales and
 * biases of norms, slopes, embeddings, and what is added or multiplied channel by channel. */
typedef struct sqz_parameter {
    sqz_vid value;
    sqz_nid node; /* the first that reads it */
    bool decays;  /* a weight: no bias, no scale of a norm */
} sqz_parameter;
sqz_status sqz_training_parameters(const sqz_graph *model, sqz_arena *a, sqz_parameter **list,
                                   uint32_t *n);
#endif
