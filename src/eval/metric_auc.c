/* metric_auc.c: area under the ROC curve. Two classes: the score is that of class 1 (or its margin
 * over class 0). More: the mean over classes of one against the rest. */
#include "eval/eval.h"
#include "eval/rank.h"

typedef struct auc_state {
    sqz_rank *class_rank;
    size_t n;
} auc_state;

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    auc_state *s = state;
    (void)opts;
    if (!s->class_rank) {
        s->n = b->row > 2 ? b->row : 1;
        s->class_rank = sqz_calloc(ctx, s->n, sizeof *s->class_rank);
        if (!s->class_rank)
            return SQZ_E_NOMEM;
    }
    for (int64_t i = 0; i < b->n; i++) {
        const float *row = b->pred + (size_t)i * b->row;
        if (b->row > 2) {
            for (size_t k = 0; k < b->row; k++)
                SQZ_TRY(sqz_rank_add(ctx, &s->class_rank[k], row[k], (size_t)b->label[i] == k));
            continue;
        }
        float score = b->row == 2 ? row[1] - row[0] : row[0];
        SQZ_TRY(sqz_rank_add(ctx, &s->class_rank[0], score, b->label[i] > 0.5f));
    }
    return SQZ_OK;
}

static sqz_status value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se)
{
    auc_state *s = state;
    (void)opts;
    *out = 0.0;
    for (size_t k = 0; k < s->n; k++) {
        double one, one_se = 0.0;
        SQZ_TRY(sqz_note(ctx, sqz_rank_auc(ctx, &s->class_rank[k], &one, &one_se), "class %zu", k));
        *out += one / (double)s->n;
        *se = s->n == 1 ? one_se : 0.0;
    }
    return SQZ_OK;
}

static void end(sqz_ctx *ctx, void *state)
{
    auc_state *s = state;
    for (size_t k = 0; k < s->n; k++)
        sqz_free(ctx, s->class_rank[k].list);
    sqz_free(ctx, s->class_rank);
}

const sqz_metric sqz_metric_auc = {
    .info = {.name = "auc",
             .doc = "area under the ROC curve (one against the rest, averaged, for many classes)"},
    .higher_is_better = true,
    .fraction = true,
    .needs = SQZ_M_CLASSES,
    .state_bytes = sizeof(auc_state),
    .add = add,
    .value = value,
    .end = end,
};
