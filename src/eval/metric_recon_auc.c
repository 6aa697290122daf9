/* metric_recon_auc.c: area under the ROC curve of an autoencoder's anomaly score: the mean squared
 * difference between output and input, averaged over `group` consecutive samples (the windows of
 * one recording). */
#include "eval/eval.h"
#include "eval/rank.h"

typedef struct recon_opts {
    int64_t group;
} recon_opts;
static const sqz_attr opts_schema[] = {
    {.name = "group",
     .offset = offsetof(recon_opts, group),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = 1e9,
     .doc = "consecutive samples that make one case"},
};

typedef struct recon_state {
    sqz_rank rank;
    double sum;
    int64_t in_group;
    float label;
} recon_state;

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    recon_state *s = state;
    int64_t group = ((const recon_opts *)opts)->group;
    if (b->input_row != b->row)
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "recon_auc compares output and input: %zu and %zu numbers a sample", b->row,
                        b->input_row);
    for (int64_t i = 0; i < b->n; i++) {
        double sum = 0.0;
        for (size_t k = 0; k < b->row; k++) {
            double d = (double)b->pred[(size_t)i * b->row + k] -
                       (double)b->input[(size_t)i * b->row + k];
            sum += d * d;
        }
        s->sum += sum / (double)b->row;
        if (s->in_group > 0 && s->label != b->label[i])
            return sqz_fail(ctx, SQZ_E_ARG,
                            "recon_auc: samples of one group of %lld have different labels",
                            (long long)group);
        s->label = b->label[i];
        if (++s->in_group < group)
            continue;
        SQZ_TRY(sqz_rank_add(ctx, &s->rank, (float)(s->sum / (double)group), s->label > 0.5f));
        s->sum = 0.0;
        s->in_group = 0;
    }
    return SQZ_OK;
}

static sqz_status value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se)
{
    recon_state *s = state;
    (void)opts;
    if (s->in_group)
        return sqz_fail(ctx, SQZ_E_ARG, "recon_auc: the last group has %lld samples only",
                        (long long)s->in_group);
    return sqz_rank_auc(ctx, &s->rank, out, se);
}

static void end(sqz_ctx *ctx, void *state) { sqz_free(ctx, ((recon_state *)state)->rank.list); }

const sqz_metric sqz_metric_recon_auc = {
    .info = {.name = "recon_auc",
             .doc = "area under the ROC curve of an autoencoder's reconstruction error",
             .opt_size = sizeof(recon_opts),
             .opts = opts_schema,
             .n_opts = SQZ_COUNT(opts_schema)},
    .higher_is_better = true,
    .fraction = true,
    .needs = SQZ_M_CLASSES,
    .state_bytes = sizeof(recon_state),
    .add = add,
    .value = value,
    .end = end,
};
