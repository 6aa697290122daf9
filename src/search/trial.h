/* trial.h: one candidate of a search: how it is made, what it costs, how good it is. */
#ifndef SQZ_TRIAL_H
#define SQZ_TRIAL_H
#include "device/device.h"
#include "eval/eval.h"
#include "quant/recipe.h"

typedef struct sqz_trial {
    const char *name;         /* "float", "w8 a8 mse", "w8 a8 mse, 2 float" */
    const sqz_recipe *recipe; /* NULL: float */
    const char *passes;       /* its text; NULL: float */
    double bytes;             /* of the weights, with their scales */
    sqz_graph *graph;
    sqz_estimate *estimate;
    double accuracy; /* on the judging split; NaN: not measured because it cannot fit */
    double se;
    double distance;  /* from the float model: mean KL (classes) or -SNR in dB; smaller is closer */
    double agreement; /* share of equal classes; NaN where there are none */
    double seconds;
    bool fits; /* every limit holds, accuracy included */
    double
        excess; /* how far the device's limits are exceeded, relative to each, summed; 0: none is */
    const char *notes;    /* about its quantization, one line each; "": none */
    const char *obstacle; /* first broken limit, in words; NULL when it fits */
} sqz_trial;

/* The better of two trials: fitting before not fitting, then nearer to the
 * device's limits, then accuracy. Accuracies that differ by no
 * more than the standard error of their paired difference are a tie, which the smaller distance
 * from the float model decides (it is far less noisy), then the smaller flash. `higher`: a larger
 * accuracy is better; n: judged samples. */
const sqz_trial *sqz_trial_better(const sqz_trial *a, const sqz_trial *b, bool higher, int64_t n);
#endif
