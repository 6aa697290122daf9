/* work.h: an objective while it is being built; what site.c, pairs.c and objective.c share. */
#ifndef SQZ_OBJECTIVE_WORK_H
#define SQZ_OBJECTIVE_WORK_H
#include "distill/objective.h"

typedef struct sqz_vids { /* growing list in the objective's arena */
    sqz_vid *v;
    uint32_t n, room;
} sqz_vids;
typedef struct sqz_factor { /* a weight that rises */
    sqz_vid input;
    double weight, warmup;
} sqz_factor;
typedef struct sqz_objective_work {
    sqz_graph *first; /* a clone of the first teacher at the training batch; while building */
    sqz_vids param, watch, report;
    double *rate; /* of each param */
    bool *decays;
    const char **report_name;
    sqz_loss_memory *memory;
    uint32_t n_memory;
    sqz_teacher_value *teacher;
    sqz_saved *saved;
    sqz_factor *factor;
    uint32_t n_factor;
    sqz_vid *output, logits; /* of the student */
    uint32_t n_node;         /* nodes of the student; losses come behind */
    uint32_t n_output;
    sqz_rng rng;
} sqz_objective_work;
#define SQZ_OBJECTIVE_MOST 256 /* of each list: memories, teacher values, saved arrays, reports */

sqz_status sqz_vids_add(sqz_objective *o, sqz_vids *list, sqz_vid v);
#endif
