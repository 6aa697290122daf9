/* tape_limit.c: which values are not kept for the way back, when memory is short. Tried are: to
 * compute cheap ones again (norms, activations, sums), the largest first; and to keep only what
 * crosses the borders of segments of about equal size (Chen et al. 2016). What fits and costs least
 * is taken. */
#include "train/tape_impl.h"
#include <string.h>

typedef struct chooser {
    sqz_tape *t;
    size_t limit, least; /* bytes of the smallest plan so far */
    double cost;         /* of the best that fits; < 0: none */
    bool *drop;          /* being tried */
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
    return s->cost <= 8 * (double)t->tensor[b].count;
}

static sqz_status attempt(chooser *c)
{
    sqz_tape *t = c->t;
    sqz_arena a = {.ctx = t->ctx};
    sqz_tape_plan p;
    const sqz_status s = sqz_tape_plan_make(t, c->drop, &a, &p);
    sqz_arena_free(&a);
    SQZ_TRY(s);
    const size_t bytes = p.bytes + t->scratch_bytes;
    c->least = SQZ_MIN(c->least, bytes);
    if (bytes <= c->limit && (c->cost < 0 || p.again < c->cost)) {
        c->cost = p.again;
        memcpy(t->drop, c->drop, t->g->n_value);
    }
    return SQZ_OK;
}

/* Cheap values of at least so many bytes. */
static void drop_cheap(chooser *c, size_t least)
{
    for (sqz_vid v = 0; v < c->t->g->n_value; v++)
        if (may_drop(c->t, v) && is_cheap(c->t, v) && c->t->tensor[v].bytes >= least)
            c->drop[v] = true;
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
    size_t top = 0;
    if (!last || !segment)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < n; v++)
        top = may_drop(t, v) && is_cheap(t, v) ? SQZ_MAX(top, t->tensor[v].bytes) : top;
    last_readers(t, last);
    for (size_t least = top; least > 0 && least >= top / 64; least /= 2) {
        memset(c->drop, 0, n);
        drop_cheap(c, least);
        SQZ_TRY(attempt(c));
    }
    for (size_t i = 0; i < 2 * SQZ_COUNT(segments); i++) {
        memset(c->drop, 0, n);
        drop_inner(c, last, segments[i / 2], segment);
        if (i % 2)
            drop_cheap(c, 1);
        SQZ_TRY(attempt(c));
    }
    return SQZ_OK;
}

sqz_status sqz_tape_choose(sqz_tape *t, size_t limit)
{
    sqz_arena a = {.ctx = t->ctx};
    chooser c = {.t = t,
                 .limit = limit,
                 .least = SIZE_MAX,
                 .cost = -1,
                 .drop = sqz_arena_alloc(&a, t->g->n_value + 1u, 1)};
    if (!c.drop)
        return SQZ_E_NOMEM;
    sqz_status s = limit ? attempt(&c) : SQZ_OK; /* everything is kept */
    if (s == SQZ_OK && limit && c.cost < 0)
        s = try_all(&c, &a);
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
