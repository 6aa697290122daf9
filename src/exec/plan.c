/* plan.c: offsets of all activations in one arena.
 *
 * Lifetimes follow from the execution order. Items are placed greedily, largest first, each at the
 * lowest offset that is free during its whole life (Pisarchyk & Lee 2020, "Efficient memory
 * management for deep neural net inference"); when the result is above the lower bound, a bounded
 * hill climb over placement orders tries to close the gap. Views share their input's memory; an
 * in-place operator takes that of an input that dies there; tensors that are joined or cut are
 * parts of the whole, unless the plan is smaller without. */
#include "exec/exec.h"
#include <string.h>

typedef struct planner {
    sqz_ctx *ctx;
    const sqz_graph *g;
    const sqz_plan_options *opt;
    sqz_plan *p;
    uint32_t n_step;
    uint32_t *
        last_use; /* of each value: step of the last node that reads it; n_step for graph outputs */
    uint32_t *order; /* of placement: item indices, roots only */
    uint32_t n_root;
    bool no_parts;    /* leave joined and cut tensors where they would be */
    uint32_t n_parts; /* tensors that became parts of another */
} planner;

static uint32_t root_of(const sqz_plan *p, uint32_t i)
{
    while (p->item[i].alias != SQZ_NONE)
        i = p->item[i].alias;
    return i;
}

/* Bytes from the begin of the root's memory. */
static size_t offset_in_root(const sqz_plan *p, uint32_t i)
{
    size_t at = 0;
    for (; p->item[i].alias != SQZ_NONE; i = p->item[i].alias)
        at += p->item[i].within;
    return at;
}

static bool is_output(const sqz_graph *g, sqz_vid v)
{
    for (uint32_t i = 0; i < g->n_output; i++)
        if (g->output[i] == v)
            return true;
    return false;
}

static sqz_status find_last_uses(planner *pl, sqz_arena *a)
{
    const sqz_graph *g = pl->g;
    pl->last_use = sqz_arena_alloc(a, g->n_value ? g->n_value : 1, sizeof *pl->last_use);
    if (!pl->last_use)
        return SQZ_E_NOMEM;
    uint32_t step = 0;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        for (unsigned k = 0; k < n->n_out; k++)
            if (n->out[k] != SQZ_NONE && pl->last_use[n->out[k]] < step)
                pl->last_use[n->out[k]] = step;
        for (unsigned k = 0; k < n->n_in; k++)
            if (n->in[k] != SQZ_NONE)
                pl->last_use[n->in[k]] = step;
        step++;
    }
    pl->n_step = step;
    for (uint32_t i = 0; i < g->n_output; i++)
        pl->last_use[g->output[i]] = step;
    return SQZ_OK;
}

static sqz_status add_item(planner *pl, sqz_vid v, uint32_t begin, uint32_t end, size_t bytes)
{
    size_t align = pl->opt->alignment ? pl->opt->alignment : 1, rounded;
    if (!sqz_add(bytes ? bytes : 1, align - 1, &rounded))
        return sqz_fail(pl->ctx, SQZ_E_LIMIT, "activation of %zu bytes is too large", bytes);
    rounded -= rounded % align;
    pl->p->item[pl->p->n_item] = (sqz_plan_item){
        .value = v, .begin = begin, .end = end, .bytes = rounded, .alias = SQZ_NONE};
    if (v != SQZ_NONE)
        pl->p->item_of_value[v] = pl->p->n_item;
    pl->p->n_item++;
    return SQZ_OK;
}

/* Both values have the same number of bytes, before any rounding: an operand that is repeated is
 * smaller than the result that would overwrite it. */
static bool same_bytes(const planner *pl, sqz_vid a, sqz_vid b)
{
    const sqz_value *x = sqz_val(pl->g, a), *y = sqz_val(pl->g, b);
    size_t nx, ny;
    return sqz_shape_count(pl->ctx, &x->shape, x->dtype, NULL, &nx) == SQZ_OK &&
           sqz_shape_count(pl->ctx, &y->shape, y->dtype, NULL, &ny) == SQZ_OK && nx == ny;
}

/* The output may live in the memory of input 0: a view always, an in-place operator when the input
 * dies here and no other input is the same memory. */
static bool may_share(const planner *pl, const sqz_node *n, uint32_t step)
{
    const sqz_plan *p = pl->p;
    uint32_t x = n->n_in && n->in[0] != SQZ_NONE ? p->item_of_value[n->in[0]] : SQZ_NONE;
    uint32_t y = n->n_out && n->out[0] != SQZ_NONE ? p->item_of_value[n->out[0]] : SQZ_NONE;
    if (x == SQZ_NONE || y == SQZ_NONE)
        return false;
    uint32_t r = root_of(p, x);
    if (p->item[r].bytes < p->item[y].bytes)
        return false;
    if (sqz_node_is_view(pl->g, n))
        return true;
    if (!pl->opt->in_place || !(n->op->traits & SQZ_T_IN_PLACE) || p->item[r].end != step)
        return false;
    for (unsigned k = 1; k < n->n_in; k++) {
        uint32_t o = n->in[k] != SQZ_NONE ? p->item_of_value[n->in[k]] : SQZ_NONE;
        if (o != SQZ_NONE && root_of(p, o) == r)
            return false;
    }
    return p->item[r].bytes == p->item[y].bytes && same_bytes(pl, n->in[0], n->out[0]);
}

static void share(planner *pl, const sqz_node *n)
{
    sqz_plan *p = pl->p;
    uint32_t x = p->item_of_value[n->in[0]], r = root_of(p, x), y = p->item_of_value[n->out[0]];
    p->item[y].alias = x;
    p->item[r].end = SQZ_MAX(p->item[r].end, p->item[y].end);
}

static void become_part(planner *pl, uint32_t part, uint32_t whole, size_t within)
{
    sqz_plan_item *i = &pl->p->item[part], *w = &pl->p->item[root_of(pl->p, whole)];
    w->begin = SQZ_MIN(w->begin, i->begin);
    w->end = SQZ_MAX(w->end, i->end);
    i->alias = whole;
    i->within = within;
    pl->n_parts++;
}

/* The unrounded size; the parts have to be aligned as well. */
static bool part_bytes(const planner *pl, sqz_vid v, size_t *at, size_t *bytes)
{
    const sqz_value *x = sqz_val(pl->g, v);
    size_t align = pl->opt->alignment ? pl->opt->alignment : 1;
    return *at % align == 0 &&
           sqz_shape_count(pl->ctx, &x->shape, x->dtype, NULL, bytes) == SQZ_OK && *bytes;
}

/* Input k of a joining node can be made where the result wants it: it has memory of its own. */
static bool can_be_made_there(const planner *pl, const sqz_node *n, unsigned k)
{
    const sqz_plan *p = pl->p;
    const sqz_value *x = n->in[k] == SQZ_NONE ? NULL : sqz_val(pl->g, n->in[k]);
    uint32_t i = x ? p->item_of_value[n->in[k]] : SQZ_NONE;
    if (i == SQZ_NONE || x->producer == SQZ_NONE || p->item[i].alias != SQZ_NONE)
        return false;
    for (unsigned other = 0; other < k; other++)
        if (n->in[other] == n->in[k])
            return false;
    return true;
}

static void join(planner *pl, const sqz_node *n)
{
    uint32_t whole = pl->p->item_of_value[n->out[0]];
    size_t at = 0, bytes;
    if (whole == SQZ_NONE)
        return;
    for (unsigned k = 0; k < n->n_in; k++, at += bytes)
        if (!can_be_made_there(pl, n, k) || !part_bytes(pl, n->in[k], &at, &bytes))
            return;
    at = 0;
    for (unsigned k = 0; k < n->n_in; k++, at += bytes) {
        (void)part_bytes(pl, n->in[k], &at, &bytes);
        become_part(pl, pl->p->item_of_value[n->in[k]], whole, at);
    }
}

static void cut(planner *pl, const sqz_node *n)
{
    uint32_t whole = pl->p->item_of_value[n->in[0]];
    size_t at = 0, bytes = 0;
    if (whole == SQZ_NONE)
        return;
    for (unsigned k = 0; k < n->n_out; k++, at += bytes)
        if (n->out[k] == SQZ_NONE || pl->p->item_of_value[n->out[k]] == SQZ_NONE ||
            !part_bytes(pl, n->out[k], &at, &bytes))
            return;
    at = 0;
    for (unsigned k = 0; k < n->n_out; k++, at += bytes) {
        (void)part_bytes(pl, n->out[k], &at, &bytes);
        become_part(pl, pl->p->item_of_value[n->out[k]], whole, at);
    }
}

static sqz_status add_value(planner *pl, sqz_vid v, uint32_t begin)
{
    size_t count, bytes;
    const sqz_value *val = sqz_val(pl->g, v);
    SQZ_TRY(sqz_shape_count(pl->ctx, &val->shape, val->dtype, &count, &bytes));
    return add_item(pl, v, begin, SQZ_MAX(begin, pl->last_use[v]), bytes);
}

static sqz_status collect(planner *pl)
{
    const sqz_graph *g = pl->g;
    for (sqz_vid v = 0; v < g->n_value; v++)
        pl->p->item_of_value[v] = SQZ_NONE;
    for (uint32_t i = 0; pl->opt->io_in_arena && i < g->n_input; i++)
        SQZ_TRY(add_value(pl, g->input[i], 0));
    uint32_t step = 0;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        for (unsigned k = 0; k < n->n_out; k++)
            if (n->out[k] != SQZ_NONE && (pl->opt->io_in_arena || !is_output(g, n->out[k])))
                SQZ_TRY(add_value(pl, n->out[k], step));
        if (may_share(pl, n, step))
            share(pl, n);
        if (pl->opt->in_place && !pl->no_parts && sqz_node_joins(g, n))
            join(pl, n);
        if (pl->opt->in_place && !pl->no_parts && sqz_node_cuts(g, n))
            cut(pl, n);
        sqz_cost cost = {0};
        if (pl->opt->device)
            sqz_node_cost(g, n, &cost);
        if (cost.device_scratch)
            SQZ_TRY(add_item(pl, SQZ_NONE, step, step, (size_t)cost.device_scratch));
        step++;
    }
    return SQZ_OK;
}

static void find_bound(planner *pl, size_t *live)
{
    sqz_plan *p = pl->p;
    for (uint32_t i = 0; i < p->n_item; i++)
        for (uint32_t s = p->item[i].begin; p->item[i].alias == SQZ_NONE && s <= p->item[i].end;
             s++)
            live[s] += p->item[i].bytes;
    for (uint32_t s = 0; s <= pl->n_step; s++)
        if (live[s] > p->bound) {
            p->bound = live[s];
            p->peak_step = s;
        }
}

/* Places roots in the order given; stops early (returns SIZE_MAX) above `cap`. */
static size_t place(const planner *pl, const uint32_t *order, uint32_t *placed, size_t *offset,
                    size_t cap)
{
    const sqz_plan_item *item = pl->p->item;
    size_t total = 0;
    uint32_t n_placed = 0;
    for (uint32_t i = 0; i < pl->n_root; i++) {
        const sqz_plan_item *it = &item[order[i]];
        size_t at = 0;
        /* placed[] is sorted by offset: walk up past everything that overlaps in time */
        for (uint32_t j = 0; j < n_placed; j++) {
            const sqz_plan_item *o = &item[placed[j]];
            if (o->begin > it->end || it->begin > o->end)
                continue;
            if (offset[placed[j]] >= at + it->bytes)
                break;
            at = SQZ_MAX(at, offset[placed[j]] + o->bytes);
        }
        if (at + it->bytes > cap)
            return SIZE_MAX;
        offset[order[i]] = at;
        total = SQZ_MAX(total, at + it->bytes);
        uint32_t j = n_placed++;
        for (; j > 0 && offset[placed[j - 1]] > at; j--)
            placed[j] = placed[j - 1];
        placed[j] = order[i];
    }
    return total;
}

static void sort_by_size(planner *pl)
{
    const sqz_plan_item *item = pl->p->item;
    for (uint32_t i = 0; i < pl->p->n_item; i++) { /* insertion sort: stable, and lists are short */
        if (item[i].alias != SQZ_NONE)
            continue;
        uint32_t j = pl->n_root++;
        for (; j > 0 && item[pl->order[j - 1]].bytes < item[i].bytes; j--)
            pl->order[j] = pl->order[j - 1];
        pl->order[j] = i;
    }
}

/* Swaps two entries of the placement order and keeps what is no worse, until the bound is met. */
static size_t climb(planner *pl, uint32_t *placed, size_t *offset, size_t best)
{
    sqz_rng rng = {.seed = 0x5eed};
    uint64_t work = 0;
    for (int i = 0; i < 10000 && best > pl->p->bound && work < 40000000; i++) {
        uint32_t a = (uint32_t)sqz_rng_below(&rng, pl->n_root),
                 b = (uint32_t)sqz_rng_below(&rng, pl->n_root);
        uint32_t t = pl->order[a];
        pl->order[a] = pl->order[b];
        pl->order[b] = t;
        size_t got = place(pl, pl->order, placed, offset, best);
        work += (uint64_t)pl->n_root * pl->n_root / 2 + 1;
        if (got <= best) {
            best = got;
            continue;
        }
        pl->order[b] = pl->order[a];
        pl->order[a] = t;
    }
    return best;
}

static sqz_status solve(planner *pl, sqz_arena *scratch)
{
    sqz_plan *p = pl->p;
    uint32_t n = p->n_item ? p->n_item : 1;
    size_t *live = sqz_arena_alloc(scratch, pl->n_step + 2u, sizeof *live);
    uint32_t *placed = sqz_arena_alloc(scratch, n, sizeof *placed);
    size_t *offset = sqz_arena_alloc(scratch, n, sizeof *offset);
    pl->order = sqz_arena_alloc(scratch, n, sizeof *pl->order);
    if (!live || !placed || !offset || !pl->order)
        return SQZ_E_NOMEM;
    find_bound(pl, live);
    sort_by_size(pl);
    p->bytes = place(pl, pl->order, placed, offset, SIZE_MAX);
    if (p->bytes > p->bound && pl->n_root > 1)
        p->bytes = climb(pl, placed, offset, p->bytes);
    (void)place(pl, pl->order, placed, offset, SIZE_MAX); /* the offsets of the order that won */
    for (uint32_t i = 0; i < p->n_item; i++)
        p->item[i].offset = offset[root_of(p, i)] + offset_in_root(p, i);
    return SQZ_OK;
}

static sqz_status build(planner *pl, sqz_arena *scratch)
{
    sqz_plan *p = pl->p;
    const sqz_graph *g = pl->g;
    p->item = sqz_arena_alloc(&p->arena, (size_t)g->n_value + g->n_node + 1, sizeof *p->item);
    p->item_of_value = sqz_arena_alloc(&p->arena, g->n_value ? g->n_value : 1,
                                       sizeof *p->item_of_value);
    if (!p->item || !p->item_of_value)
        return SQZ_E_NOMEM;
    SQZ_TRY(find_last_uses(pl, scratch));
    SQZ_TRY(collect(pl));
    return solve(pl, scratch);
}

static sqz_status build_once(planner *pl, sqz_plan **out)
{
    sqz_ctx *ctx = pl->ctx;
    sqz_plan *p = pl->p = sqz_calloc(ctx, 1, sizeof *p);
    sqz_arena scratch = {.ctx = ctx};
    if (!p)
        return SQZ_E_NOMEM;
    p->arena.ctx = ctx;
    sqz_status s = build(pl, &scratch);
    sqz_arena_free(&scratch);
    if (s != SQZ_OK) {
        sqz_plan_free(ctx, p);
        return s;
    }
    *out = p;
    return SQZ_OK;
}

sqz_status sqz_plan_build(const sqz_graph *g, const sqz_plan_options *opt, sqz_plan **out)
{
    planner pl = {.ctx = g->ctx, .g = g, .opt = opt};
    planner plain = {.ctx = g->ctx, .g = g, .opt = opt, .no_parts = true};
    sqz_plan *p, *q;
    *out = NULL;
    SQZ_TRY(build_once(&pl, &p));
    if (pl.n_parts) { /* parts live as long as the whole, which can cost more than it saves */
        sqz_status s = build_once(&plain, &q);
        if (s != SQZ_OK) {
            sqz_plan_free(g->ctx, p);
            return s;
        }
        sqz_plan *larger = q->bytes < p->bytes ? p : q;
        p = larger == p ? q : p;
        sqz_plan_free(g->ctx, larger);
    }
    *out = p;
    return SQZ_OK;
}

void sqz_plan_free(sqz_ctx *ctx, sqz_plan *p)
{
    if (!p)
        return;
    sqz_arena_free(&p->arena);
    sqz_free(ctx, p);
}
