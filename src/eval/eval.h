/* eval.h: accuracy of a graph on data, and comparison with a reference. */
#ifndef SQZ_EVAL_H
#define SQZ_EVAL_H
#include "io/data.h"
#include "ir/op.h"

/* One batch as a metric sees it: n rows. label and reference are NULL where there are none. */
typedef struct sqz_metric_batch {
    const float *pred, *label, *input, *reference;
    int64_t n, classes; /* classes 0: labels are numbers or vectors */
    size_t row, label_row, input_row;
} sqz_metric_batch;

enum { SQZ_M_CLASSES = 1, SQZ_M_VALUES = 2, SQZ_M_REFERENCE = 4 }; /* what a metric needs */

/* metric_<name>.c. Streams; `state` is zeroed memory of state_bytes. */
typedef struct sqz_metric {
    sqz_info info; /* options as in "recon_auc(group=196)" */
    bool higher_is_better;
    bool fraction; /* 0..1, printed as percent */
    unsigned needs;
    size_t state_bytes;
    sqz_status (*add)(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b);
    /* se: standard error, left 0 where it is not known */
    sqz_status (*value)(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se);
    void (*end)(sqz_ctx *ctx, void *state); /* NULL: nothing to free */
} sqz_metric;
extern const sqz_metric *const sqz_metrics[];
extern const size_t sqz_n_metrics;
const sqz_metric *sqz_metric_find(const char *name);

typedef struct sqz_eval_options {
    const char *layout;
    const char *metrics;           /* names by commas; NULL: what suits the labels */
    int64_t limit, batch;          /* 0: all, chosen */
    const sqz_graph *reference;    /* for agreement and per-layer error; NULL: none */
    const float *reference_output; /* the reference's outputs of the same samples, from an earlier
                                      keep_outputs: saves running it again; with reference NULL */
    bool layers;                   /* per-layer signal-to-noise against the reference */
    struct sqz_profile *profile;   /* times of the graph's nodes are added; NULL: not wanted */
    bool keep_outputs;             /* result->output of every sample (first graph output) */
} sqz_eval_options;
typedef struct sqz_eval_metric {
    const sqz_metric *metric;
    const char *spec; /* as asked for */
    double value, se; /* se: standard error; 0 when not known */
} sqz_eval_metric;
#define SQZ_PICTURE 32 /* bars of a picture of values */
typedef struct sqz_eval_layer {
    const char *name, *node, *op;
    sqz_nid id;                       /* of the node, in the graph that was judged */
    double snr_db, cosine, saturated; /* saturated: share of values at an end of the grid */
    double own_db,
        own_cosine;       /* the layer alone, on inputs of the reference network put on its grids */
    double gain;          /* factor by which its output is the reference's: 1 but for own error */
    float lo, hi;         /* of its values */
    float ref_lo, ref_hi; /* of the reference's */
    float grid_lo, grid_hi; /* ends of its grid; NaN: float */
    double outside;         /* share of the reference's values that lie outside of its grid */
    float pic_lo, pic_hi;   /* ends of the picture */
    uint64_t picture[SQZ_PICTURE]; /* how many values of the reference lie in each of its parts */
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
