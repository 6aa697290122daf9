/* loader.h: batches of a data set for training: shuffled anew in each epoch, augmented, labels made
 * soft. Every number is a function of (seed, epoch, sample), so that a training that was
 * interrupted goes on as if it had not been, for any number of threads. One batch is made ahead in
 * a thread of its own. */
#ifndef SQZ_LOADER_H
#define SQZ_LOADER_H
#include "io/data.h"

typedef struct sqz_loader sqz_loader;
typedef struct sqz_loader_options {
    sqz_dataset *data;  /* outlives the loader, which alone reads it */
    const char *layout; /* of samples: "nchw", "nhwc"; NULL: what the set says */
    int64_t batch;
    uint64_t seed;
    bool in_order;       /* no shuffling */
    const char *augment; /* "crop(pad=4),flip"; NULL, "": samples as they are */
    double mixup;        /* alpha of the beta distribution (Zhang et al. 2018); 0: off */
    double smoothing;    /* of classes (Szegedy et al. 2016), 0 <= s < 1 */
    bool one_hot;        /* classes become rows of data->classes numbers */
    size_t memory;       /* sets up to this size are read once; 0: 1 GiB */
    /* Of several processes that share each batch, this is number `part` and gets batch / parts
     * samples: the same that one process would get there. parts 0: a batch is not shared. */
    uint32_t part, parts;
} sqz_loader_options;
/* A batch, or this process's part of one: valid until the next call. */
typedef struct sqz_batch {
    const float *x;        /* batch samples, in the order that the set has */
    const float *y;        /* batch labels: classes soft or one-hot, or numbers; NULL: no labels */
    const int64_t *sample; /* batch places in the set */
} sqz_batch;

/* Refuses a set of fewer samples than a batch. */
sqz_status sqz_loader_create(sqz_ctx *ctx, const sqz_loader_options *o, sqz_loader **out);
void sqz_loader_free(sqz_loader *l);           /* NULL is fine */
int64_t sqz_loader_steps(const sqz_loader *l); /* whole batches of an epoch */
size_t sqz_loader_label(const sqz_loader *l);  /* numbers of y per sample */
/* Batch `step` of epoch `epoch`, both from 0, in any order; the one after it is made meanwhile. */
sqz_status sqz_loader_batch(sqz_loader *l, uint64_t epoch, int64_t step, sqz_batch *out);
/* The same sample is the same in every epoch. */
bool sqz_loader_repeats(const sqz_loader *l);
#endif
