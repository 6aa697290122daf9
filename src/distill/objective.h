/* objective.h: what a training minimizes: losses as text, "ce(weight=0.1),kd(temperature=4
 * weight=0.9)", appended to the training graph. */
#ifndef SQZ_OBJECTIVE_H
#define SQZ_OBJECTIVE_H
#include "distill/loss.h"
#include "train/trainer.h"

typedef struct sqz_objective_options {
    const char *text; /* losses */
    /* Float graphs after the canonical recipe, any batch; alive as long as the objective. */
    const sqz_graph *const *teacher;
    uint32_t n_teacher;
    bool labels;     /* the data have them */
    sqz_shape label; /* of one sample: (classes) for classes; rank 0: one number */
    int64_t samples; /* of the training set; 0: not known */
    uint64_t seed;   /* of adapters */
    sqz_str *notes;  /* what was chosen, one line each; NULL: only logged */
} sqz_objective_options;

typedef struct sqz_teacher_value { /* that is wanted of the teachers in every step */
    const char *name;              /* of the teacher's value */
    sqz_vid from;                  /* value of the first teacher */
    sqz_vid to;                    /* input of the training graph, shape and layout of `from` at
                                      the training batch */
    bool mean;                     /* of all teachers: of output 0, or of what its softmax reads */
    bool logits;                   /* the latter */
} sqz_teacher_value;

typedef struct sqz_objective {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_graph *g;
    sqz_objective_options options;
    sqz_vid label;            /* input; SQZ_NONE: no loss reads labels */
    const sqz_vid *param;     /* constants that are trained beside the student */
    const double *param_rate; /* factor of the learning rate of each */
    const bool *param_decays; /* weight decay is for it: no biases, no physical constants */
    uint32_t n_param;
    const sqz_teacher_value *teacher;
    uint32_t n_teacher;
    /* Outputs of the graph: the total, each loss (with its weight: they add up to the total), and
     * what losses report beside; then values that losses read; then the student's outputs. All but
     * the last are single numbers where they are reported. */
    const char *const *report; /* "loss", "loss.ce", "g", ... */
    uint32_t n_report;
    uint32_t first_output; /* place of the student's output 0 */
    const sqz_saved *saved; /* see sqz_loss_saves */
    uint32_t n_saved;
    struct sqz_objective_work *work;
} sqz_objective;

/* Appends to the training graph `g`, whose shapes stand at the batch of a step, and sets its
 * outputs. */
sqz_status sqz_objective_build(sqz_graph *g, const sqz_objective_options *o, sqz_objective **out);
void sqz_objective_free(sqz_objective *o); /* NULL is fine; the graph stays as it is */
/* Around the tape's forward in every step: the tape of the training graph. */
sqz_status sqz_objective_before(const sqz_objective *o, const sqz_tape *t, const sqz_loss_step *s);
sqz_status sqz_objective_after(const sqz_objective *o, const sqz_tape *t, const sqz_loss_step *s);
#endif
