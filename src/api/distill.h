/* distill.h: a training as squeeze distill does it: what it opened and made, and its steps, a file
 * each. docs/training.md tells what each option does. */
#ifndef SQZ_API_DISTILL_H
#define SQZ_API_DISTILL_H
#include "api/work.h"
#include "distill/teacher.h"
#include "prune/student.h"
#include "quant/qat.h"
#include "train/allreduce.h"
#include "train/loader.h"
#include "train/trainer.h"

enum { SQZ_TEACHERS = 8 }; /* at most */

typedef struct sqz_course {
    sqz_work *w; /* w->graph: the model that is trained, in the form SQZ_TRAINABLE */
    /* ---- models (distill_model.c) ---- */
    sqz_graph *teacher[SQZ_TEACHERS]; /* canonical */
    uint32_t n_teacher;
    const char *teachers; /* their sha256, by commas; "": none */
    const char *base;     /* file that the model came from */
    bool *frozen, *still; /* of the model's values and nodes; NULL: nothing is */
    /* ---- data (distill_data.c): views of, or the same as w->calib, w->judge, w->test ---- */
    sqz_dataset *train, *valid;
    sqz_team *team;      /* processes that train together */
    int64_t batch, part; /* samples of a step: of all processes, of this one */
    bool one_hot;        /* labels become rows of classes */
    /* ---- --qat (distill_qat.c) ---- */
    sqz_graph *reference, *quantized; /* the model, folded, and what ptq makes of it; NULL */
    sqz_qat *qat;
    /* ---- what is minimized (distill_make.c) ---- */
    const char *loss, *metric; /* text; the metric that chooses */
    sqz_training training;
    sqz_objective *objective;
    sqz_teacher *answers;
    sqz_loader *loader;
    sqz_feeds feeds;
    void **in; /* of the model's inputs: the tape's memory */
    sqz_trained *trained;
    uint32_t n_trained;
    uint64_t n_number; /* that are trained */
    const char *recipe, *identity, *checkpoint;
    sqz_trainer *trainer;
    bool resumed;
    const int64_t *sample; /* of the batch of this step */
    /* ---- what came of it (distill_run.c) ---- */
    const sqz_metric *judged; /* by */
    double unquantized;       /* of the float model, with --qat */
    double first, taught;     /* of the model before, of the teacher; NAN: not known */
    sqz_train_end end;
} sqz_course;

/* In this order; sqz_course_close after any of them. */
sqz_status sqz_course_open(sqz_course *c);  /* teachers, and what the model is made of */
sqz_status sqz_course_data(sqz_course *c);  /* what is trained on, chosen on, reported on */
sqz_status sqz_course_synthetic(sqz_course *c); /* --data synthetic (distill_free.c) */
sqz_status sqz_course_model(sqz_course *c); /* the model: made, cut, begun anew, frozen */
sqz_status sqz_course_make(sqz_course *c);  /* training graph, losses, loader, trainer */
sqz_status sqz_course_warn(sqz_course *c);  /* before the time is spent (distill_warn.c) */
sqz_status sqz_course_run(sqz_course *c);
sqz_status sqz_course_dry_run(sqz_course *c);
void sqz_course_close(sqz_course *c);

/* ---- between the steps ---- */
/* With --qat: the quantized model, and its training graph. Before what reads the data for good. */
sqz_status sqz_course_quantize(sqz_course *c);
/* The quantized model with the numbers that count. */
sqz_status sqz_course_quantized(const sqz_course *c, const sqz_trainer *t, sqz_graph **out);
/* A new sqz_course.trainer for so many epochs of so many steps; checkpoint NULL: none is kept. */
sqz_status sqz_course_trainer(sqz_course *c, int64_t epochs, int64_t steps, const char *checkpoint);
int64_t sqz_course_epochs(const sqz_course *c);
/* Its inputs for a step of training, and what losses read after it: hooks of the trainer. */
sqz_status sqz_course_fill(void *course, const sqz_tape *t, const sqz_train_step *s);
sqz_status sqz_course_after(void *course, const sqz_tape *t, const sqz_train_step *s);
/* A graph in training form, on data: the metric that chooses, higher is better. */
sqz_status sqz_course_score(sqz_course *c, const sqz_graph *g, double *score);
/* Canonical copy of a model in training form. */
sqz_status sqz_course_folded(const sqz_graph *g, sqz_graph **out);
/* Metadata, the file, and the end of the checkpoint. */
sqz_status sqz_course_write(sqz_course *c);
/* Epochs as a table, curves, notes about how it went (distill_report.c, distill_warn.c). */
void sqz_course_describe(sqz_course *c);
void sqz_course_note_outcome(sqz_course *c, double score);
/* Value of the metric from a score, as people read it. */
double sqz_course_value(const sqz_course *c, double score);
#endif
