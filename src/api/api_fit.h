/* api_fit.h: what quantize and fit share: judging a quantized candidate, and finding nodes to keep
 * float. */
#ifndef SQZ_API_FIT_H
#define SQZ_API_FIT_H
#include "api/work.h"
#include "search/trial.h"

typedef struct sqz_fit {
    sqz_work *w;
    sqz_arena arena;
    sqz_trial *trial;
    uint32_t n_trial, cap;
    const char *metrics;       /* candidates are judged by the first of these */
    const char *final_metrics; /* and the winner, on test data, by the first of these */
    const sqz_metric *metric;
    sqz_eval_result
        *float_result;    /* of the float model on the judging split; outputs kept if small */
    double reference;     /* accuracy of the float model on the judging split */
    double max_drop, min; /* accepted loss and least accuracy; NaN: not asked */
    int64_t judged;
    double start, time_budget; /* seconds; 0: none */
    int64_t trial_budget;      /* 0: none */
} sqz_fit_state;

/* The float model on `ds`; its outputs are kept when they are small, so that candidates are
 * compared without running it again. */
sqz_status sqz_fit_float(sqz_fit_state *f, sqz_dataset *ds, const char *metrics,
                         sqz_eval_result **out);
/* `g` on `ds` beside that result. */
sqz_status sqz_fit_eval(sqz_fit_state *f, const sqz_graph *g, sqz_dataset *ds, const char *metrics,
                        const sqz_eval_result *reference, sqz_eval_result **out);
/* What `ds` is judged by; "" without labels. */
const char *sqz_fit_metric(const sqz_fit_state *f, const sqz_dataset *ds);
sqz_status sqz_fit_open(sqz_fit_state *f,
                        sqz_work *w); /* metrics, limits on accuracy, float reference on w->judge */
void sqz_fit_close(sqz_fit_state *f);
/* Makes, costs (when there is a device) and judges one candidate; appends it. recipe NULL: the
 * float model; name NULL: the recipe's title. out may be NULL. */
sqz_status sqz_fit_try(sqz_fit_state *f, const char *name, const sqz_recipe *recipe,
                       sqz_trial **out);
/* Adds trials that keep more and more of the worst nodes of `from` float until one holds the
 * accuracy asked for. */
sqz_status sqz_fit_fall_back(sqz_fit_state *f, const sqz_trial *from);
bool sqz_fit_accurate(const sqz_fit_state *f, double accuracy);
bool sqz_fit_out_of_budget(const sqz_fit_state *f);
const sqz_trial *sqz_fit_best(const sqz_fit_state *f);
void sqz_describe_trials(sqz_fit_state *f, const sqz_trial *best);
#endif
