/* tape_limit.c: which values are not kept for the way back, when memory is short. Tried are: to
 * compute cheap ones again (norms, activations, sums), the largest first, as many as it takes; and
 * to keep only what crosses the borders of segments of about equal size (Chen et al. 2016). What
 * fits and costs least is taken. Without a limit, cheap ones are computed again as long as that is
 * a small part of the step. */
#include "train/tape_impl.h"
#include <stdlib.h>
#include <string.h>

#define FREE_SHARE 0.06 /* of a step, for computing again without a limit */
#define FREE_TRIES 64u  /* values that are looked at for that */

typedef struct chooser {
    sqz_tape *t;
    size_t limit, least; /* bytes of the smallest plan so far */
    double cost;         /* of the best that fits; < 0: none */
    bool *drop;          /* being tried */
    sqz_vid *cheap;      /* largest first */
    uint32_t n_cheap;
} chooser;

/* Whether the value of base b, made by step s, may be computed again: of what the step makes beside
 * it nothing is written a second time. */
static bool may_drop(const sqz_tape *t, sqz_vid b)
{
    if (t->base[b] != b || t->maker[b] == SQZ_NONE || t->outside[b])
        return false;
    const sqz_tape_step *s = &t->step[t->maker[b]];
    return s->out[0] == b && (s->node->n_out == 1 || sqz_tape_is_op(s, "batch_norm_train"));
}

static bool is_cheap(const sqz_tape *t, sqz_vid b)
{
    const sqz_tape_step *s = &t->step[t->maker[b]];
    return s->cost <= 40 * (double)t->tensor[b].count;
}

static sqz_status attempt(chooser *c, size_t *bytes)
{
    sqz_tape *t = c->t;
    sqz_arena a = {.ctx = t->ctx};
    sqz_tape_plan p;
    const sqz_status s = sqz_tape_plan_make(t, c->drop, &a, &p);
    sqz_arena_free(&a);
    SQZ_TRY(s);
    *bytes = p.bytes + t->scratch_bytes;
    c->least = SQZ_MIN(c->least, *bytes);
    if (*bytes <= c->limit && (c->cost < 0 || p.again < c->cost)) {
        c->cost = p.again;
        memcpy(t->drop, c->drop, t->g->n_value);
    }
    return SQZ_OK;
}

/* The first n cheap values. */
static void drop_cheap(chooser *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        c->drop[c->cheap[i]] = true;
}

/* The fewest of the cheap values that fit. */
static sqz_status try_cheap(chooser *c)
{
    uint32_t lo = 0, hi = c->n_cheap + 1;
    while (lo + 1 < hi) {
        const uint32_t n = lo + (hi - lo) / 2;
        size_t bytes;
        memset(c->drop, 0, c->t->g->n_value);
        drop_cheap(c, n);
        SQZ_TRY(attempt(c, &bytes));
        *(bytes <= c->limit ? &hi : &lo) = n;
    }
    return SQZ_OK;
}

/* Values that are read in the segment that makes them only; segments have the same bytes of values,
 * about. `last`: the last step that reads each base going forward. */
static void drop_inner(chooser *c, const uint32_t *last, uint32_t segments, uint32_t *segment)
{
    const sqz_tape *t = c->t;
    double all = 0, sum = 0;
    for (uint32_t i = 0; i < t->n; i++)
        all += t->step[i].runs ? (double)t->tensor[t->step[i].out[0]].bytes : 0;
    for (uint32_t i = 0; i < t->n; i++) {
        segment[i] = all > 0 ? (uint32_t)(sum / all * segments) : 0;
        sum += t->step[i].runs ? (double)t->tensor[t->step[i].out[0]].bytes : 0;
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        if (may_drop(t, v) && last[v] != SQZ_NONE && segment[t->maker[v]] == segment[last[v]])
            c->drop[v] = true;
}

static void last_readers(const sqz_tape *t, uint32_t *last)
{
    memset(last, 0xff, t->g->n_value * sizeof *last);
    for (uint32_t i = 0; i < t->n; i++)
        for (unsigned k = 0; k < t->step[i].node->n_in; k++)
            if (t->step[i].node->in[k] != SQZ_NONE)
                last[t->base[t->step[i].node->in[k]]] = i;
}

static sqz_status try_all(chooser *c, sqz_arena *a)
{
    static const uint32_t segments[] = {32, 24, 16, 12, 8, 6, 5, 4, 3, 2, 1};
    const sqz_tape *t = c->t;
    const size_t n = t->g->n_value;
    uint32_t *last = sqz_arena_alloc(a, n + 1, sizeof *last);
    uint32_t *segment = sqz_arena_alloc(a, t->n + 1u, sizeof *segment);
    size_t bytes;
    if (!last || !segment)
        return SQZ_E_NOMEM;
    last_readers(t, last);
    SQZ_TRY(try_cheap(c));
    for (size_t i = 0; i < 2 * SQZ_COUNT(segments); i++) {
        memset(c->drop, 0, n);
        drop_inner(c, last, segments[i / 2], segment);
        if (i % 2)
            drop_cheap(c, c->n_cheap);
        SQZ_TRY(attempt(c, &bytes));
    }
    return SQZ_OK;
}

/* Without a limit: cheap values as long as they are a small part of a step; then those are kept
 * again that make the plan larger by no good part of themselves. */
static sqz_status try_free(chooser *c)
{
    const sqz_tape *t = c->t;
    double room = 0;
    size_t all, best, bytes;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n; i++) /* the way back costs about twice as much */
        room += t->step[i].runs ? 3 * FREE_SHARE * t->step[i].cost : 0;
    SQZ_TRY(attempt(c, &all)); /* fits no limit: nothing is taken here */
    for (uint32_t i = 0; i < c->n_cheap && n < FREE_TRIES; i++) {
        const double cost = t->step[t->maker[c->cheap[i]]].cost;
        if (cost > room)
            continue;
        room -= cost;
        c->drop[c->cheap[i]] = true;
        n++;
    }
    SQZ_TRY(attempt(c, &best));
    for (uint32_t i = c->n_cheap; best < all && i-- > 0;) {
        const sqz_vid v = c->cheap[i];
        if (!c->drop[v])
            continue;
        c->drop[v] = false;
        SQZ_TRY(attempt(c, &bytes));
        c->drop[v] = bytes > best + t->tensor[v].bytes / 4;
        best = c->drop[v] ? best : bytes;
    }
    if (best < all)
        memcpy(c->t->drop, c->drop, t->g->n_value);
    return SQZ_OK;
}

typedef struct sized {
    size_t bytes;
    sqz_vid v;
} sized;

static int larger(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x->v > y->v) - (x->v < y->v);
}

static sqz_status list_cheap(chooser *c, sqz_arena *a)
{
    const sqz_tape *t = c->t;
    sized *all = sqz_arena_alloc(a, t->g->n_value + 1u, sizeof *all);
    c->cheap = sqz_arena_alloc(a, t->g->n_value + 1u, sizeof *c->cheap);
    c->drop = sqz_arena_alloc(a, t->g->n_value + 1u, 1);
    if (!all || !c->cheap || !c->drop)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        if (may_drop(t, v) && is_cheap(t, v))
            all[c->n_cheap++] = (sized){t->tensor[v].bytes, v};
    if (c->n_cheap)
        qsort(all, c->n_cheap, sizeof *all, larger);
    for (uint32_t i = 0; i < c->n_cheap; i++)
        c->cheap[i] = all[i].v;
    return SQZ_OK;
}

static sqz_status choose(chooser *c, sqz_arena *a)
{
    size_t bytes;
    SQZ_TRY(list_cheap(c, a));
    if (c->limit == 0)
        return c->t->plain ? SQZ_OK : try_free(c);
    SQZ_TRY(attempt(c, &bytes)); /* everything is kept */
    return c->cost < 0 ? try_all(c, a) : SQZ_OK;
}

sqz_status sqz_tape_choose(sqz_tape *t, size_t limit)
{
    sqz_arena a = {.ctx = t->ctx};
    chooser c = {.t = t, .limit = limit, .least = SIZE_MAX, .cost = -1};
    const sqz_status s = choose(&c, &a);
    sqz_arena_free(&a);
    SQZ_TRY(s);
    if (!limit || c.cost >= 0)
        return SQZ_OK;
    char want[32], got[32];
    sqz_print_bytes(want, limit);
    sqz_print_bytes(got, c.least);
    return sqz_fail(t->ctx, SQZ_E_LIMIT,
                    "a step of training needs at least %s with values computed again, the limit is "
                    "%s: allow more, or train with a smaller batch",
                    got, want);
}
