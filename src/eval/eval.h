/* eval.h: accuracy of a graph on data, and comparison with a reference. */
#ifndef SQZ_EVAL_H
#define SQZ_EVAL_H
#include "io/data.h"
#include "ir/op.h"

/* metric_<name>.c. Streams: `add` gets n rows of predictions (row floats each) and of labels. */
typedef struct sqz_metric_state sqz_metric_state;
typedef struct sqz_metric {
    sqz_info info;
    bool higher_is_better;
    bool fraction; /* 0..1, printed as percent */
    enum {
        SQZ_M_CLASS,
        SQZ_M_VALUE,
        SQZ_M_REFERENCE,
        SQZ_M_SCORE
    } labels; /* class numbers; label vectors;
outputs of the reference model; binary labels with one score a sample */
    size_t state_bytes;
    sqz_status (*begin)(sqz_ctx *ctx, void *state, size_t row, int64_t classes);
    sqz_status (*add)(sqz_ctx *ctx, void *state, const float *pred, const float *label, int64_t n,
                      size_t row, size_t label_row);
    sqz_status (*value)(sqz_ctx *ctx, void *state, double *out);
    void (*end)(sqz_ctx *ctx, void *state);
} sqz_metric;
extern const sqz_metric *const sqz_metrics[];
extern const size_t sqz_n_metrics;
const sqz_metric *sqz_metric_find(const char *name);

typedef struct sqz_eval_options {
    const char *layout;
    const char *metrics;        /* names by commas; NULL: what suits the labels */
    int64_t limit, batch;       /* 0: all, chosen */
    const sqz_graph *reference; /* for agreement and per-layer error; NULL: none */
    bool layers;                /* per-layer signal-to-noise against the reference */
    bool keep_outputs;          /* result->output of every sample (first graph output) */
} sqz_eval_options;
typedef struct sqz_eval_metric {
    const sqz_metric *metric;
    double value, stderr_; /* standard error; 0 when not known */
} sqz_eval_metric;
typedef struct sqz_eval_layer {
    const char *name, *node, *op;
    double snr_db, cosine, saturated; /* saturated: share of values at an end of the grid */
    float lo, hi;
} sqz_eval_layer;
typedef struct sqz_eval_result {
    sqz_arena arena;
    int64_t samples;
    sqz_eval_metric *metric;
    unsigned n_metric;
    sqz_eval_layer *layer;
    uint32_t n_layer;
    double seconds;
    float *output; /* keep_outputs: samples x row */
    size_t row;
} sqz_eval_result;
sqz_status sqz_eval_graph(const sqz_graph *g, sqz_dataset *ds, const sqz_eval_options *opt,
                          sqz_eval_result **out);
void sqz_eval_free(sqz_ctx *ctx, sqz_eval_result *r);
#endif
