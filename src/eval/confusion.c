/* confusion.c: predicted classes and counts per class. */
#include "eval/confusion.h"
#include <math.h>
#include <string.h>

size_t sqz_predicted_class(const float *row, size_t n)
{
    if (n == 1)
        return row[0] >= 0.5f;
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

sqz_status sqz_share_value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se)
{
    const sqz_share *s = state;
    (void)ctx, (void)opts;
    *out = s->n ? (double)s->hits / (double)s->n : 0.0;
    *se = s->n ? sqrt(*out * (1.0 - *out) / (double)s->n) : 0.0;
    return SQZ_OK;
}

static sqz_status grow(sqz_ctx *ctx, sqz_confusion *c, size_t n)
{
    uint64_t **list[] = {&c->hit, &c->predicted, &c->actual};
    for (size_t i = 0; i < SQZ_COUNT(list); i++) {
        uint64_t *p = sqz_realloc(ctx, *list[i], c->n * sizeof *p, n * sizeof *p);
        if (!p)
            return SQZ_E_NOMEM;
        memset(p + c->n, 0, (n - c->n) * sizeof *p);
        *list[i] = p;
    }
    c->n = n;
    return SQZ_OK;
}

sqz_status sqz_confusion_add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    sqz_confusion *c = state;
    (void)opts;
    size_t classes = SQZ_MAX((size_t)b->classes, SQZ_MAX(b->row, 2));
    if (c->n < classes)
        SQZ_TRY(grow(ctx, c, classes));
    for (int64_t i = 0; i < b->n; i++) {
        size_t p = sqz_predicted_class(b->pred + (size_t)i * b->row, b->row),
               a = (size_t)b->label[i];
        if (a >= c->n)
            return sqz_fail(ctx, SQZ_E_FORMAT, "label %zu, but the data has %zu classes", a, c->n);
        c->predicted[p]++;
        c->actual[a]++;
        c->hit[a] += p == a;
    }
    return SQZ_OK;
}

void sqz_confusion_end(sqz_ctx *ctx, void *state)
{
    sqz_confusion *c = state;
    sqz_free(ctx, c->hit);
    sqz_free(ctx, c->predicted);
    sqz_free(ctx, c->actual);
}

sqz_prf sqz_confusion_prf(const sqz_confusion *c)
{
    sqz_prf sum = {0};
    size_t n = 0;
    for (size_t k = c->n == 2 ? 1 : 0; k < c->n; k++) {
        if (c->actual[k] == 0)
            continue;
        double hit = (double)c->hit[k];
        double p = c->predicted[k] ? hit / (double)c->predicted[k] : 0.0,
               r = hit / (double)c->actual[k];
        sum.precision += p;
        sum.recall += r;
        sum.f1 += p + r > 0.0 ? 2.0 * p * r / (p + r) : 0.0;
        n++;
    }
    double d = n ? (double)n : 1.0;
    return (sqz_prf){sum.precision / d, sum.recall / d, sum.f1 / d};
}
