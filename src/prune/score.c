/* score.c: the table of scores, and those that are norms of slices of weights. */
#include "prune/score.h"
#include "base/chain.h"
#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_score sqz_score_##name;
#include "sqz_score_list.inc"
#undef SQZ_ENTRY
const sqz_score *const sqz_scores[] = {
#define SQZ_ENTRY(name) &sqz_score_##name,
#include "sqz_score_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_scores = SQZ_COUNT(sqz_scores);

const sqz_score *sqz_score_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_scores; i++)
        if (strcmp(sqz_scores[i]->info.name, name) == 0)
            return sqz_scores[i];
    return NULL;
}

static const sqz_info *info_of(size_t i) { return &sqz_scores[i]->info; }

sqz_status sqz_score_spec(sqz_arena *a, const char *spec, const sqz_score **s, const void **opts)
{
    const sqz_chain_table t = {
        .chain = "scores", .item = "score", .n = sqz_n_scores, .info = info_of};
    sqz_chain_item *list;
    unsigned n;
    SQZ_TRY(sqz_chain_read(a, &t, spec, &list, &n));
    if (n != 1)
        return sqz_fail(a->ctx, SQZ_E_ARG, "'%s' names %u scores, expected one", spec, n);
    *s = sqz_scores[list[0].entry];
    *opts = list[0].opts;
    return SQZ_OK;
}

/* ---- slices ---- */

typedef struct layers {
    const sqz_classes *c;
    const sqz_slice_rule *rule;
    double *sum; /* of the axis at hand, by class */
    double *total;
    uint32_t *members, *met; /* classes of a family on the axis; axes that a class is on */
    double *score;
} layers;

static bool is_weight(const sqz_classes *c, sqz_vid v)
{
    const sqz_value *x = sqz_val(c->g, v);
    return !sqz_value_dead(x) && x->constant && x->dtype == SQZ_F32 && !x->quant;
}

/* Terms of every index of one axis, added to the sums of their classes. */
static void add_axis(layers *l, sqz_vid v, int32_t axis)
{
    const sqz_tensor *t = sqz_val(l->c->g, v)->constant;
    const int64_t n = t->shape.dim[axis];
    const uint32_t first = sqz_element(l->c, v, axis, 0);
    size_t inner = 1;
    for (int32_t i = axis + 1; i < t->shape.rank; i++)
        inner *= (size_t)t->shape.dim[i];
    for (size_t at = 0; at < t->count; at += inner) {
        double *to = &l->sum[l->c->of[first + (uint32_t)(at / inner % (size_t)n)]];
        for (size_t i = 0; i < inner; i++)
            *to += l->rule->term((double)SQZ_F32P(t)[at + i]);
    }
}

static void score_axis(layers *l, sqz_vid v, int32_t axis)
{
    const sqz_classes *c = l->c;
    const uint32_t first = sqz_element(c, v, axis, 0);
    const uint32_t end = first + (uint32_t)sqz_val(c->g, v)->shape.dim[axis];
    for (uint32_t e = first; e < end; e++) {
        const uint32_t f = c->cls[c->of[e]].family;
        if (f != SQZ_NONE)
            l->total[f] = l->members[f] = 0;
        l->sum[c->of[e]] = 0;
    }
    add_axis(l, v, axis);
    for (uint32_t e = first; e < end; e++) { /* a class once: its sum turns negative behind it */
        const uint32_t k = c->of[e], f = c->cls[k].family;
        if (f == SQZ_NONE || l->sum[k] < 0)
            continue;
        const double s = l->rule->finish(l->sum[k]);
        l->total[f] += s;
        l->members[f]++;
        l->sum[k] = -1 - s;
    }
    for (uint32_t e = first; e < end; e++) {
        const uint32_t k = c->of[e], f = c->cls[k].family;
        if (f == SQZ_NONE || l->sum[k] >= 0)
            continue;
        const double mean = l->total[f] / l->members[f];
        l->score[k] += mean > 0 ? (-1 - l->sum[k]) / mean : 1;
        l->met[k]++;
        l->sum[k] = 0;
    }
}

static bool takes(const layers *l, sqz_vid v, int32_t axis)
{
    const sqz_shape *s = &sqz_val(l->c->g, v)->shape;
    return l->rule->takes ? l->rule->takes(l->c, v, axis) : s->rank >= 2 && s->dim[axis] > 1;
}

static sqz_status score_all(layers *l, sqz_arena *a)
{
    const sqz_classes *c = l->c;
    l->sum = sqz_arena_alloc(a, (size_t)c->n_class + 1, sizeof *l->sum);
    l->met = sqz_arena_alloc(a, (size_t)c->n_class + 1, sizeof *l->met);
    l->total = sqz_arena_alloc(a, (size_t)c->n_family + 1, sizeof *l->total);
    l->members = sqz_arena_alloc(a, (size_t)c->n_family + 1, sizeof *l->members);
    if (!l->sum || !l->met || !l->total || !l->members)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < c->g->n_value; v++)
        for (int32_t i = 0; is_weight(c, v) && i < sqz_val(c->g, v)->shape.rank; i++)
            if (takes(l, v, i))
                score_axis(l, v, i);
    for (uint32_t k = 0; k < c->n_class; k++)
        l->score[k] = l->met[k] ? l->score[k] / l->met[k] : 0;
    return SQZ_OK;
}

sqz_status sqz_score_slices(const sqz_classes *c, const sqz_slice_rule *r, double *score)
{
    sqz_arena a = {.ctx = c->g->ctx};
    layers l = {.c = c, .rule = r, .score = score};
    memset(score, 0, c->n_class * sizeof *score);
    sqz_status s = score_all(&l, &a);
    sqz_arena_free(&a);
    return s;
}
