/* rank.c: area under the ROC curve. */
#include "eval/rank.h"
#include <math.h>
#include <stdlib.h>

sqz_status sqz_rank_add(sqz_ctx *ctx, sqz_rank *r, float score, bool positive)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 1024;
        sqz_scored *p = sqz_realloc(ctx, r->list, r->n * sizeof *p, cap * sizeof *p);
        if (!p)
            return SQZ_E_NOMEM;
        r->list = p;
        r->cap = cap;
    }
    if (isnan(score))
        return sqz_fail(ctx, SQZ_E_ARG, "the score of sample %zu is not a number", r->n);
    r->list[r->n++] = (sqz_scored){score, positive ? 1.0f : 0.0f};
    return SQZ_OK;
}

static int by_score(const void *a, const void *b)
{
    float x = ((const sqz_scored *)a)->score, y = ((const sqz_scored *)b)->score;
    return (x > y) - (x < y);
}

sqz_status sqz_rank_auc(sqz_ctx *ctx, sqz_rank *r, double *out, double *se)
{
    if (r->n)
        qsort(r->list, r->n, sizeof *r->list, by_score);
    double positives = 0.0, negatives = 0.0, wins = 0.0;
    for (size_t i = 0; i < r->n;) { /* a run of equal scores at a time */
        double p = 0.0, q = 0.0;
        size_t j = i;
        for (; j < r->n && !(r->list[j].score > r->list[i].score); j++) {
            p += (double)r->list[j].positive;
            q += 1.0 - (double)r->list[j].positive;
        }
        wins += p * (negatives + 0.5 * q);
        positives += p;
        negatives += q;
        i = j;
    }
    if (positives == 0.0 || negatives == 0.0)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "AUC needs both classes: %.0f positive and %.0f negative samples",
                        positives, negatives);
    double a = wins / (positives * negatives), q1 = a / (2.0 - a), q2 = 2.0 * a * a / (1.0 + a);
    *out = a;
    *se = sqrt(
        (a * (1.0 - a) + (positives - 1.0) * (q1 - a * a) + (negatives - 1.0) * (q2 - a * a)) /
        (positives * negatives));
    return SQZ_OK;
}
