/* trainer.h: training: inputs filled, a step forward and back, the optimizer, and what keeps it on
 * course: schedule, clipping, averages, checkpoints, the best state, early stopping. Same options
 * and seed give the same bytes, for any number of threads and however often it was interrupted. */
#ifndef SQZ_TRAINER_H
#define SQZ_TRAINER_H
#include "train/training.h"

typedef struct sqz_trained { /* a constant of the training graph that is trained */
    sqz_vid value;
    bool decays;  /* weight decay applies */
    double rate;  /* factor on the learning rate, 0 <= rate */
    double floor; /* numbers stay at or above it (scales of grids); -INFINITY: none */
} sqz_trained;

typedef struct sqz_train_step {
    uint64_t step;  /* from 0, of all */
    uint64_t epoch; /* from 0 */
    int64_t in_epoch;
    double epochs; /* done so far, with its fraction */
} sqz_train_step;

typedef struct sqz_epoch { /* a row of the curve */
    double rate;           /* learning rate of its last step */
    const double *report;  /* n_report means over its steps: the loss first */
    double score;          /* what evaluate said, NAN: nothing */
    double seconds;        /* that its steps took, all runs together; not the same twice */
    bool best;
} sqz_epoch;

typedef struct sqz_trainer sqz_trainer;
typedef struct sqz_train_hooks { /* all but fill may be NULL */
    void *user;
    sqz_status (*fill)(void *user, const sqz_tape *t, const sqz_train_step *s);  /* every input */
    sqz_status (*after)(void *user, const sqz_tape *t, const sqz_train_step *s); /* forward */
    /* At the end of an epoch: higher is better. The state that counts is that of
     * sqz_trainer_write. */
    sqz_status (*evaluate)(void *user, const sqz_trainer *t, double *score);
    void (*step_done)(void *user, const sqz_train_step *s, double loss);
    void (*epoch_done)(void *user, const sqz_train_step *s, const sqz_epoch *row);
} sqz_train_hooks;

typedef struct sqz_saved { /* numbers of others that a checkpoint keeps */
    const char *name;
    float *numbers;
    size_t n;
} sqz_saved;

typedef struct sqz_trainer_options {
    const char *optimizer; /* "sgd(momentum=0.9)"; NULL: "sgd" */
    const char *schedule;  /* "cosine(warmup=1)"; NULL: "cosine" */
    double rate;           /* peak learning rate; 0: the optimizer's usual one */
    double decay;          /* weight decay */
    double clip;           /* of the norm of all gradients together; 0: none */
    double ema; /* decay of the average of weights that is kept and evaluated, e.g. 0.999; 0:
                   none */
    int64_t epochs, steps; /* steps of an epoch */
    int64_t patience;      /* epochs without a better score; 0: no early stop */
    const sqz_trained *trained;
    uint32_t n_trained;
    uint32_t n_report;   /* outputs 0 .. n_report-1 of the graph are single numbers that are shown;
                            output 0 is the loss */
    const sqz_vid *read; /* further values to read after forward */
    uint32_t n_read;
    size_t memory;               /* bytes the tape may take; 0: no limit */
    const struct sqz_team *team; /* processes that share each batch: fill gives each its part
                                    (allreduce.h); NULL: none */
    const sqz_saved *saved;
    uint32_t n_saved;
    const char *checkpoint; /* file; NULL: none */
    double every;           /* seconds between checkpoints; 0: 30 */
    const char *identity;   /* what decides the outcome: a checkpoint of another is refused */
} sqz_trainer_options;

typedef enum sqz_train_end {
    SQZ_TRAIN_DONE,
    SQZ_TRAIN_EARLY,   /* patience */
    SQZ_TRAIN_DIVERGED /* the loss is no number, or far above what it was: see sqz_trainer_why */
} sqz_train_end;

sqz_status sqz_trainer_create(sqz_training *g, const sqz_trainer_options *o, sqz_trainer **out);
void sqz_trainer_free(sqz_trainer *t); /* NULL is fine */
/* Takes up what options.checkpoint holds; *found: there was one. One that is damaged or of another
 * identity is refused. */
sqz_status sqz_trainer_resume(sqz_trainer *t, bool *found);
/* To the end, or until the progress callback asks to stop: then a checkpoint is left, and E_ARG
 * "stopped" comes back. */
sqz_status sqz_trainer_run(sqz_trainer *t, const sqz_train_hooks *h, sqz_train_end *end);
/* The numbers that count (averages where they are kept; the best state once the run is over)
 * become those of the model that the training was made from, or a copy of it. */
sqz_status sqz_trainer_write(const sqz_trainer *t, sqz_graph *model);
/* Numbers that count of trained value i. */
const float *sqz_trainer_numbers(const sqz_trainer *t, uint32_t i);
const sqz_tape *sqz_trainer_tape(const sqz_trainer *t);
const sqz_epoch *sqz_trainer_epochs(const sqz_trainer *t, uint32_t *n);
const char *sqz_trainer_why(const sqz_trainer *t); /* of a divergence: "at step 12 ..."; "" */
size_t sqz_trainer_bytes(const sqz_trainer *t);    /* tape, optimizer and copies */
#endif
