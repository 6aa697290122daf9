/* prepare_split.c: which sample goes to which split. Samples are walked class by class; each goes
 * to the split that is furthest behind its share. So totals are exact, and every split has each
 * class in nearly its share. The same seed deals the same. */
#include "io/prepare.h"
#include <string.h>

typedef struct dealer {
    sqz_ctx *ctx;
    int64_t n;
    const uint32_t *item;    /* n samples, in the order to keep */
    const int32_t *class_of; /* of a sample; NULL: one class */
    int64_t classes;
    uint32_t *walk; /* positions in item, class by class */
    uint8_t *to;    /* split of each position */
} dealer;

/* Counting sort of positions by class; stable. */
static sqz_status walk_by_class(dealer *d)
{
    int64_t classes = d->class_of ? d->classes : 1;
    uint32_t *first = sqz_calloc(d->ctx, (size_t)classes + 1, sizeof *first);
    if (!first)
        return SQZ_E_NOMEM;
    for (int64_t i = 0; i < d->n; i++)
        first[(d->class_of ? d->class_of[d->item[i]] : 0) + 1]++;
    for (int64_t c = 0; c < classes; c++)
        first[c + 1] += first[c];
    for (int64_t i = 0; i < d->n; i++)
        d->walk[first[d->class_of ? d->class_of[d->item[i]] : 0]++] = (uint32_t)i;
    sqz_free(d->ctx, first);
    return SQZ_OK;
}

/* After r + 1 samples, split s should have want[s] * (r + 1) / n. n is below 2^31: no overflow. */
static void spread(dealer *d, const int64_t *want, int parts)
{
    int64_t got[SQZ_N_SPLIT + 1] = {0};
    for (int64_t r = 0; r < d->n; r++) {
        int best = 0;
        int64_t most = INT64_MIN;
        for (int s = 0; s < parts; s++) {
            int64_t behind = want[s] * (r + 1) - got[s] * d->n;
            if (behind > most) {
                most = behind;
                best = s;
            }
        }
        got[best]++;
        d->to[d->walk[r]] = (uint8_t)best;
    }
}

static void in_a_row(dealer *d, const int64_t *want, int parts)
{
    int64_t i = 0;
    for (int s = 0; s < parts; s++)
        for (int64_t k = 0; k < want[s]; k++)
            d->to[i++] = (uint8_t)s;
}

/* want[parts] sum to n; out[s] gets want[s] samples (NULL: they are left out). */
static sqz_status deal(dealer *d, const int64_t *want, int parts, bool in_order, uint32_t **out)
{
    int64_t at[SQZ_N_SPLIT + 1] = {0};
    d->walk = sqz_calloc(d->ctx, (size_t)d->n, sizeof *d->walk);
    d->to = d->walk ? sqz_calloc(d->ctx, (size_t)d->n, sizeof *d->to) : NULL;
    sqz_status st = d->to ? walk_by_class(d) : SQZ_E_NOMEM;
    if (st == SQZ_OK && in_order)
        in_a_row(d, want, parts);
    else if (st == SQZ_OK)
        spread(d, want, parts);
    for (int64_t i = 0; st == SQZ_OK && i < d->n; i++) {
        int s = d->to[i];
        if (out[s])
            out[s][at[s]++] = d->item[i];
    }
    sqz_free(d->ctx, d->walk);
    sqz_free(d->ctx, d->to);
    return st;
}

static sqz_status room(sqz_ctx *ctx, const int64_t want[SQZ_N_SPLIT], sqz_deal *out)
{
    for (int s = 0; s < SQZ_N_SPLIT; s++) {
        out->n[s] = want[s];
        if (want[s] && !(out->item[s] = sqz_calloc(ctx, (size_t)want[s], sizeof *out->item[s])))
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

static sqz_status deal_all(dealer *d, uint32_t *order, const int64_t want[SQZ_N_SPLIT],
                           bool shuffle, uint64_t seed, sqz_deal *out)
{
    bool in_order = !shuffle && !d->class_of;
    sqz_rng rng = {.seed = seed};
    int64_t n = d->n, train = want[SQZ_SPLIT_TRAIN], calib = want[SQZ_SPLIT_CALIB];
    for (int64_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (int64_t i = n - 1; shuffle && i > 0; i--) {
        int64_t j = (int64_t)sqz_rng_below(&rng, (uint64_t)i + 1);
        uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    int64_t part[4] = {train, want[SQZ_SPLIT_VALID], want[SQZ_SPLIT_TEST], 0};
    part[3] = n - part[0] - part[1] - part[2];
    uint32_t *to[4] = {out->item[0], out->item[1], out->item[2], NULL};
    d->item = order;
    SQZ_TRY(deal(d, part, 4, in_order, to));
    if (calib == 0)
        return SQZ_OK;
    d->item = out->item[SQZ_SPLIT_TRAIN]; /* calibration sees training samples only */
    d->n = train;
    return deal(d, (int64_t[]){calib, train - calib}, 2, in_order,
                (uint32_t *[]){out->item[SQZ_SPLIT_CALIB], NULL});
}

sqz_status sqz_deal_out(sqz_ctx *ctx, int64_t n, const int32_t *class_of, int64_t classes,
                        const int64_t want[SQZ_N_SPLIT], bool shuffle, uint64_t seed, sqz_deal *out)
{
    *out = (sqz_deal){0};
    dealer d = {.ctx = ctx, .n = n, .class_of = class_of, .classes = classes};
    uint32_t *order = sqz_calloc(ctx, (size_t)n, sizeof *order);
    sqz_status s = order ? room(ctx, want, out) : SQZ_E_NOMEM;
    if (s == SQZ_OK)
        s = deal_all(&d, order, want, shuffle, seed, out);
    sqz_free(ctx, order);
    if (s != SQZ_OK)
        sqz_deal_free(ctx, out);
    return s;
}

void sqz_deal_free(sqz_ctx *ctx, sqz_deal *d)
{
    for (int s = 0; s < SQZ_N_SPLIT; s++)
        sqz_free(ctx, d->item[s]);
    *d = (sqz_deal){0};
}
