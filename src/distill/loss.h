/* loss.h: the table of losses. A loss is nodes appended to the training graph that end in one
 * number, so that the tape differentiates it, and an adapter is a constant that is trained. One
 * file src/distill/loss_<name>.c per loss defines one `const sqz_loss sqz_loss_<name>`; the build
 * lists it. objective.h puts several together. */
#ifndef SQZ_LOSS_H
#define SQZ_LOSS_H
#include "ops/build.h"
#include "train/tape.h"

enum { /* what a loss cannot do without */
       SQZ_LOSS_LABEL = 1,
       SQZ_LOSS_TEACHER = 2
};

/* First member of the options of every loss. */
typedef struct sqz_loss_common {
    double weight; /* in the sum of losses */
    double warmup; /* epochs over which the weight rises from 0 */
} sqz_loss_common;
/* Its rows of the schema; `opts` is the option struct, `standard` the weight. */
#define SQZ_LOSS_COMMON_ROWS(opts, standard)                                                       \
    {.name = "weight",                                                                             \
     .offset = offsetof(opts, common.weight),                                                      \
     .type = SQZ_A_FLOAT,                                                                          \
     .def = standard,                                                                              \
     .min = 0,                                                                                     \
     .max = 1e9,                                                                                   \
     .doc = "factor in the sum of losses"},                                                        \
    {                                                                                              \
        .name = "warmup", .offset = offsetof(opts, common.warmup), .type = SQZ_A_FLOAT, .min = 0,  \
        .max = 1e6, .doc = "epochs over which the factor rises from 0"                             \
    }

/* Row of an int64_t `to`: 1 where sqz_loss_difference is to take the teacher's output. */
#define SQZ_LOSS_TO_ROW(opts)                                                                      \
    {                                                                                              \
        .name = "to", .offset = offsetof(opts, to), .type = SQZ_A_ENUM, .names = "label|teacher",  \
        .doc = "what the output is compared with"                                                  \
    }

/* Where a loss is appended. `b` is the builder of nodes: see ops/build.h; its errors stick. */
typedef struct sqz_loss_site {
    sqz_build b;
    sqz_graph *g; /* the training graph */
    const char *name;
    int64_t batch;
    sqz_vid output; /* of the student, as it is */
    sqz_vid logits; /* what its last softmax or sigmoid reads; the output where it has none */
    struct sqz_objective *o;
} sqz_loss_site;

/* ---- values a loss reads (site.c). All of the training graph; SQZ_NONE after an error. ---- */
/* Input `label`, of the shape of `like`: one-hot or soft classes, or numbers. */
sqz_vid sqz_loss_label(sqz_loss_site *s, sqz_vid like);
/* Input `teacher.<name>` for value `v` of the first teacher. The outputs and logits are the means
 * over all teachers. */
sqz_vid sqz_loss_teacher(sqz_loss_site *s, sqz_vid v);
sqz_vid sqz_loss_teacher_output(sqz_loss_site *s);
sqz_vid sqz_loss_teacher_logits(sqz_loss_site *s);
/* The same numbers without the layout mark: what reshape and matmul take. */
sqz_vid sqz_loss_plain(sqz_loss_site *s, sqz_vid v);
/* (batch, rest), from any layout. */
sqz_vid sqz_loss_rows(sqz_loss_site *s, sqz_vid v);
/* Rank 2, classes last: softmax outputs and logits of more dimensions become rows of classes. */
sqz_vid sqz_loss_classes(sqz_loss_site *s, sqz_vid v);

/* ---- small compositions (site.c) ---- */
sqz_vid sqz_loss_scale(sqz_loss_site *s, sqz_vid v, double factor);
sqz_vid sqz_loss_sum(sqz_loss_site *s, sqz_vid v);  /* one number */
sqz_vid sqz_loss_mean(sqz_loss_site *s, sqz_vid v); /* one number */
sqz_vid sqz_loss_mean_square(sqz_loss_site *s, sqz_vid a,
                             sqz_vid b); /* mean of squared differences */
/* output - label, or output - output of the teacher; one number per output. */
sqz_vid sqz_loss_difference(sqz_loss_site *s, bool teacher);
/* p (ln p - ln q) elementwise, from both logarithms; no gradient with respect to p where p comes
 * from inputs. */
sqz_vid sqz_loss_kl(sqz_loss_site *s, sqz_vid log_p, sqz_vid log_q);
/* Refuses teachers with other classes than the student. */
sqz_status sqz_loss_same_classes(const sqz_loss_site *s, sqz_vid student, sqz_vid teacher);
/* |d| - delta / 2 outside of delta, d^2 / (2 delta) times delta inside: Huber 1964; elementwise. */
sqz_vid sqz_loss_huber_of(sqz_loss_site *s, sqz_vid d, double delta);
/* x / |x| along the last axis; |x| is at least 1e-6. */
sqz_vid sqz_loss_unit(sqz_loss_site *s, sqz_vid x);
/* A constant whose numbers are given (the caller's, copied). */
sqz_vid sqz_loss_constant(sqz_loss_site *s, const sqz_shape *shape, const float *numbers);

/* ---- what a loss trains and remembers ---- */
/* A trained constant "loss.<name>.<what>", normal numbers of that deviation (0: zeros). */
sqz_vid sqz_loss_weight(sqz_loss_site *s, const char *what, const sqz_shape *shape, double sd);
/* A constant that is trained from its numbers on, with a factor of the learning rate. */
sqz_status sqz_loss_train(sqz_loss_site *s, sqz_vid constant, double rate, bool decays);
/* y (rows, to) = x (rows, from) . w + bias, trained. Starts as the identity where from == to. */
sqz_vid sqz_loss_adapter(sqz_loss_site *s, sqz_vid x, int64_t to);

/* A step of training, as losses that remember see it. */
typedef struct sqz_loss_step {
    double epoch;          /* done so far, with its fraction */
    uint64_t step, seed;   /* counted from 0; of the training */
    const int64_t *sample; /* of the batch: places in the training set; NULL: not known */
} sqz_loss_step;
typedef struct sqz_loss_memory {
    void *state; /* in the objective's arena: sqz_loss_alloc */
    /* Before forward: writes inputs of the graph; after it: reads what sqz_loss_watch asked for. */
    sqz_status (*before)(void *state, const sqz_tape *t, const sqz_loss_step *s);
    sqz_status (*after)(void *state, const sqz_tape *t, const sqz_loss_step *s);
} sqz_loss_memory;
void *sqz_loss_alloc(sqz_loss_site *s, size_t count, size_t elem);
sqz_status sqz_loss_remember(sqz_loss_site *s, const sqz_loss_memory *m);
/* Numbers that a checkpoint must hold for the training to go on to the bit. */
sqz_status sqz_loss_saves(sqz_loss_site *s, const char *what, float *numbers, size_t n);
/* An input of the graph that a memory fills; a value that it reads. */
sqz_vid sqz_loss_input(sqz_loss_site *s, const char *what, const sqz_shape *shape);
sqz_status sqz_loss_watch(sqz_loss_site *s, sqz_vid v);
/* Further numbers that are shown each epoch. */
sqz_status sqz_loss_report(sqz_loss_site *s, const char *what, sqz_vid v);

/* ---- values in pairs (pairs.c) ---- */
typedef struct sqz_loss_pair {
    sqz_vid student, teacher; /* of the training graph; the teacher's is an input */
} sqz_loss_pair;
typedef enum sqz_pair_kind {
    SQZ_PAIR_STAGES,   /* auto: the last value of each resolution, from the end backwards */
    SQZ_PAIR_LAST,     /* auto: the last of these */
    SQZ_PAIR_EMBEDDING /* auto: what the last linear layer reads */
} sqz_pair_kind;
/* `text`: "auto", or "student->teacher;..." by the names of values; a name alone is of both. */
sqz_status sqz_loss_pairs(sqz_loss_site *s, const char *text, sqz_pair_kind kind,
                          sqz_loss_pair **list, uint32_t *n);
/* Brings the finer of two maps (N,H,W,C) to the size of the other by average pooling. */
sqz_status sqz_loss_same_size(sqz_loss_site *s, sqz_vid *a, sqz_vid *b);

/* ---- the table ---- */
typedef struct sqz_loss {
    sqz_info info; /* doc names the paper */
    unsigned needs;
    /* Appends; *out: one number, before the weight. */
    sqz_status (*build)(sqz_loss_site *s, const void *opts, sqz_vid *out);
} sqz_loss;
extern const sqz_loss *const sqz_losses[];
extern const size_t sqz_n_losses;
const sqz_loss *sqz_loss_find(const char *name); /* NULL: none */
#endif
