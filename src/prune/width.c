/* width.c: a narrower network: each family of channels keeps a share. */
#include "prune/score.h"
#include "prune/student.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    double score;
    uint32_t cls;
} ranked;

/* Best first; equal ones in the order of the channels. */
static int by_score(const void *pa, const void *pb)
{
    const ranked *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->cls > b->cls) - (a->cls < b->cls);
}

/* Channels that a class of the family is on an axis of a weight: heads have several. The least over
 * the axes, as one channel is many columns behind a flatten. 0: it is in no weight. */
static int64_t channels_of(const sqz_classes *c, const sqz_family *f)
{
    const sqz_class *k = &c->cls[c->member[f->first]];
    int64_t least = 0;
    for (uint32_t i = 0, run; i < k->n; i += run) {
        const sqz_place p = sqz_element_place(c, c->list[k->first + i]);
        for (run = 1; i + run < k->n; run++) {
            const sqz_place q = sqz_element_place(c, c->list[k->first + i + run]);
            if (q.value != p.value || q.axis != p.axis)
                break;
        }
        const sqz_value *v = sqz_val(c->g, p.value);
        if (v->constant && v->shape.rank >= 2)
            least = least ? SQZ_MIN(least, (int64_t)run) : run;
    }
    return least;
}

/* How many of n classes of `wide` channels stay: the share, to the nearest multiple where at least
 * one multiple is left. */
static int64_t how_many(int64_t n, int64_t wide, const sqz_width_options *o)
{
    const double want = (double)n * o->share;
    int64_t step = o->multiple;
    for (int64_t w = wide; w > 1 && step > 1 && w % 2 == 0 && step % 2 == 0; w /= 2)
        step /= 2; /* classes that are several channels need fewer of them */
    int64_t keep = llround(want);
    if (want >= (double)step)
        keep = llround(want / (double)step) * step;
    return SQZ_MIN(SQZ_MAX(keep, 1), n);
}

static sqz_status choose(const sqz_classes *c, const sqz_width_options *o, sqz_arena *a, bool *gone)
{
    const sqz_score *rule;
    const void *opts;
    const sqz_score_env env = {.seed = o->seed};
    SQZ_TRY(sqz_score_spec(a, o->score ? o->score : "l2", &rule, &opts));
    double *score = sqz_arena_alloc(a, (size_t)c->n_class + 1, sizeof *score);
    ranked *list = sqz_arena_alloc(a, (size_t)c->n_class + 1, sizeof *list);
    if (!score || !list)
        return SQZ_E_NOMEM;
    SQZ_TRY(rule->score(c, opts, &env, score));
    for (uint32_t i = 0; i < c->n_family; i++) {
        const sqz_family *f = &c->family[i];
        const int64_t wide = channels_of(c, f), keep = how_many(f->n, SQZ_MAX(wide, 1), o);
        for (uint32_t k = 0; k < f->n; k++)
            list[k] = (ranked){score[c->member[f->first + k]], c->member[f->first + k]};
        qsort(list, f->n, sizeof *list, by_score);
        for (int64_t k = keep; wide && k < f->n; k++)
            gone[list[k].cls] = true;
    }
    return SQZ_OK;
}

static sqz_status narrow(const sqz_classes *c, const sqz_width_options *o, sqz_arena *a,
                         sqz_graph **out)
{
    bool *gone = sqz_arena_alloc(a, (size_t)c->n_class + 1, sizeof *gone);
    if (!gone)
        return SQZ_E_NOMEM;
    SQZ_TRY(choose(c, o, a, gone));
    return sqz_prune_cut(c, gone, out);
}

sqz_status sqz_student_width(const sqz_graph *g, const sqz_width_options *o, sqz_graph **out)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_classes *c = NULL;
    *out = NULL;
    if (!(o->share > 0 && o->share <= 1) || o->multiple < 1)
        return sqz_fail(g->ctx, SQZ_E_ARG, "a width of %g in multiples of %lld, expected 0 to 1",
                        o->share, (long long)o->multiple);
    sqz_status s = sqz_classes_build(g, NULL, &c);
    if (s == SQZ_OK && c->n_family == 0 && o->share < 1)
        s = sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                     "no channel of this model can leave: all of them reach its inputs or outputs, "
                     "or operators without rules");
    if (s == SQZ_OK)
        s = narrow(c, o, &a, out);
    sqz_classes_free(c);
    sqz_arena_free(&a);
    return s;
}
