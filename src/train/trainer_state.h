/* trainer_state.h: what a training is made of, between the files of the trainer. */
#ifndef SQZ_TRAINER_STATE_H
#define SQZ_TRAINER_STATE_H
#include "train/optim.h"
#include "train/schedule.h"
#include "train/trainer.h"

enum { SQZ_TRAIN_WINDOW = 50 }; /* steps over which the loss is averaged to judge its course */

typedef struct sqz_train_span { /* bytes that a checkpoint keeps */
    void *data;
    size_t bytes;
} sqz_train_span;

typedef struct sqz_train_progress { /* fixed layout: part of the checkpoint */
    uint64_t step;                  /* done so far */
    uint64_t epochs;                /* rows of the curve */
    int64_t since_best;             /* epochs */
    double best;                    /* score; -INFINITY: none yet */
    double seconds;                 /* of the epoch that has begun */
    double window;                  /* sum of losses since its multiple of SQZ_TRAIN_WINDOW */
    double first, least;            /* windows: the first one, the least; 0: none yet */
    int64_t ended, end;             /* bool, sqz_train_end */
    char why[128];
} sqz_train_progress;

struct sqz_trainer {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_training *g;
    sqz_trainer_options o;
    sqz_tape *tape;
    const sqz_optim *optim;
    const sqz_schedule *schedule;
    const void *optim_opts, *schedule_opts;
    size_t *n;                     /* numbers of each trained value */
    float **w, **grad;             /* the tape's */
    float **state, **ema, **best;  /* ema: NULL where none is kept */
    float **best_mean, **best_var; /* of each norm */
    double *sum;                   /* of each reported number, over the epoch */
    sqz_epoch *epoch;              /* o.epochs rows; */
    double *reports;               /* and their numbers */
    sqz_train_progress now;
    sqz_train_span *span;
    uint32_t n_span;
    size_t bytes;
};

/* trainer_state.c */
sqz_status sqz_train_state_make(sqz_trainer *t);
const float *sqz_train_counts(const sqz_trainer *t, uint32_t i); /* the average, or the value */
void sqz_train_keep_best(sqz_trainer *t);
void sqz_train_take_best(sqz_trainer *t);
/* checkpoint.c */
sqz_status sqz_train_checkpoint_write(const sqz_trainer *t);
#endif
