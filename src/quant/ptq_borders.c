/* ptq_borders.c: types change where integer and float nodes meet.
 *
 * A value made by an integer node becomes int8; float nodes and graph outputs read a dequantized
 * copy, made just before its first use since it is four times as large. What float nodes and inputs
 * make stays float; integer nodes read a quantized copy, made at once. Graph outputs keep their
 * names. */
#include "quant/ptq.h"
#include <math.h>

typedef enum copy_kind { QUANTIZED, DEQUANTIZED, REQUANTIZED, N_COPY } copy_kind;

static const struct {
    const char *op, *attrs, *suffix;
} kinds[N_COPY] = {
    [QUANTIZED] = {"quantize", "dtype=s8", "int8"},
    [DEQUANTIZED] = {"dequantize", "", "float"},
    [REQUANTIZED] = {"requantize", "", "int8"},
};

typedef struct use { /* of a value in another form than it is made in */
    sqz_nid node;    /* SQZ_NONE: graph output */
    unsigned slot;
    sqz_vid value;
    copy_kind kind;
} use;

typedef struct borders {
    sqz_ptq *p;
    use *use;
    size_t n_use, room;
    sqz_vid *copy[N_COPY]; /* by value; SQZ_NONE: not made */
} borders;

/* ---- which uses change ---- */

static sqz_status add_use(borders *b, use u)
{
    if (b->n_use == b->room)
        return sqz_fail(b->p->g->ctx, SQZ_E_INTERNAL, "quantization: more uses than were counted");
    b->use[b->n_use++] = u;
    return SQZ_OK;
}

static sqz_status look_at_input(borders *b, sqz_nid id, unsigned i)
{
    const sqz_ptq *p = b->p;
    const sqz_node *n = sqz_nod(p->g, id);
    sqz_vid v = n->in[i];
    if (v == SQZ_NONE || v >= p->n_value || sqz_ptq_is_constant(p->g, v))
        return SQZ_OK;
    bool made = sqz_ptq_made_integer(p, v), data = sqz_ptq_is_data(p->g, n, i);
    if (!p->integer[id])
        return made ? add_use(b, (use){id, i, v, DEQUANTIZED}) : SQZ_OK;
    if (data && !made)
        return add_use(b, (use){id, i, v, QUANTIZED});
    if (data && p->fixed_apart[v] && n->op->quant.kind == SQZ_Q_SAME)
        return add_use(b, (use){id, i, v, REQUANTIZED});
    return SQZ_OK;
}

static sqz_status find_uses(borders *b)
{
    const sqz_graph *g = b->p->g;
    b->room = g->n_output;
    SQZ_EACH_NODE(g, n) { b->room += sqz_nod(g, n)->n_in; }
    b->use = sqz_arena_alloc(b->p->a, b->room + 1, sizeof *b->use);
    if (!b->use)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, n)
    {
        for (unsigned i = 0; i < sqz_nod(g, n)->n_in; i++)
            SQZ_TRY(look_at_input(b, n, i));
    }
    for (uint32_t i = 0; i < g->n_output; i++)
        if (sqz_ptq_made_integer(b->p, g->output[i]))
            SQZ_TRY(add_use(b, (use){SQZ_NONE, i, g->output[i], DEQUANTIZED}));
    return SQZ_OK;
}

/* ---- types ---- */

static sqz_status set_grid(const sqz_ptq *p, sqz_vid v, sqz_grid grid)
{
    sqz_val(p->g, v)->dtype = SQZ_S8;
    return sqz_value_set_quant(p->g, v, SQZ_S8, -1, 1, &grid.scale, &grid.zero);
}

static sqz_status set_types(const sqz_ptq *p)
{
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        for (unsigned k = 0; k < n->n_out && p->integer[id]; k++)
            SQZ_TRY(set_grid(p, n->out[k], p->grid[n->out[k]]));
    }
    return SQZ_OK;
}

/* ---- copies ---- */

static const char *fresh_name(const sqz_ptq *p, const char *base, const char *suffix)
{
    const char *name = sqz_arena_printf(p->a, "%s_%s", base, suffix);
    for (unsigned k = 1; name && sqz_graph_find(p->g, name) != SQZ_NONE; k++)
        name = sqz_arena_printf(p->a, "%s_%s_%u", base, suffix, k);
    return name;
}

static bool is_output(const sqz_graph *g, sqz_vid v)
{
    for (uint32_t i = 0; i < g->n_output; i++)
        if (g->output[i] == v)
            return true;
    return false;
}

/* The file knows this value by its name: an output, or what an output in the other layout copies.
 */
static bool is_known_outside(const sqz_graph *g, sqz_vid v)
{
    if (is_output(g, v))
        return true;
    for (uint32_t i = 0; i < g->n_output; i++)
        if (sqz_val(g, g->output[i])->twin == v)
            return true;
    return false;
}

/* The name for a copy; a float copy of an output takes over the output's name. */
static sqz_status name_copy(const borders *b, sqz_vid v, copy_kind kind, const char **out)
{
    const sqz_ptq *p = b->p;
    const char *name = sqz_arena_strdup(p->a, sqz_val(p->g, v)->name);
    if (!name)
        return SQZ_E_NOMEM;
    if (kind == DEQUANTIZED && is_known_outside(p->g, v)) {
        const char *inner = fresh_name(p, name, "int8");
        if (!inner)
            return SQZ_E_NOMEM;
        SQZ_TRY(sqz_graph_rename(p->g, v, inner));
        *out = name;
        return SQZ_OK;
    }
    *out = fresh_name(p, name, kinds[kind].suffix);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_nid after_producer(const sqz_graph *g, sqz_vid v)
{
    sqz_nid maker = sqz_val(g, v)->producer;
    return maker == SQZ_NONE ? g->first : sqz_nod(g, maker)->next;
}

static sqz_status make_copy(borders *b, const use *u)
{
    sqz_ptq *p = b->p;
    sqz_graph *g = p->g;
    const char *out_name;
    sqz_vid v = u->value, out;
    sqz_arena *a = p->a;
    const sqz_op *op = sqz_op_find(kinds[u->kind].op);
    if (!op)
        return sqz_fail(g->ctx, SQZ_E_INTERNAL, "there is no operator '%s'", kinds[u->kind].op);
    char *name = sqz_arena_printf(a, "%s_%s", sqz_val(g, v)->name, op->info.name);
    void *attrs = sqz_arena_alloc(a, 1, SQZ_MAX(op->info.opt_size, 1u));
    if (!name || !attrs)
        return SQZ_E_NOMEM;
    sqz_opts_default(&op->info, attrs);
    SQZ_TRY(sqz_opts_parse(a, &op->info, kinds[u->kind].attrs, attrs));
    SQZ_TRY(name_copy(b, v, u->kind, &out_name));
    sqz_nid before = u->kind == DEQUANTIZED ? u->node : after_producer(g, v);
    SQZ_TRY(sqz_graph_node(g, op, name, attrs, &v, 1, &out_name, 1, before, &out));
    sqz_val(g, out)->channel_last = sqz_val(g, v)->channel_last;
    sqz_val(g, out)->range = sqz_val(g, v)->range;
    if (u->kind == QUANTIZED)
        SQZ_TRY(set_grid(p, out, p->grid[v]));
    if (u->kind == REQUANTIZED)
        SQZ_TRY(set_grid(p, out, p->set_grid[v]));
    b->copy[u->kind][v] = out;
    return SQZ_OK;
}

static sqz_status place_copies(borders *b)
{
    sqz_graph *g = b->p->g;
    for (int k = 0; k < N_COPY; k++) {
        b->copy[k] = sqz_arena_alloc(b->p->a, b->p->n_value + 1u, sizeof *b->copy[k]);
        if (!b->copy[k])
            return SQZ_E_NOMEM;
        for (sqz_vid v = 0; v < b->p->n_value; v++)
            b->copy[k][v] = SQZ_NONE;
    }
    for (size_t i = 0; i < b->n_use; i++) { /* in the order of nodes: outputs last */
        const use *u = &b->use[i];
        sqz_vid *copy = &b->copy[u->kind][u->value];
        if (*copy == SQZ_NONE)
            SQZ_TRY(make_copy(b, u));
        *(u->node == SQZ_NONE ? &g->output[u->slot] : &sqz_nod(g, u->node)->in[u->slot]) = *copy;
    }
    return SQZ_OK;
}

/* A twin has the same type: it moves on to the copy that has. */
static void move_twins(const borders *b)
{
    const sqz_graph *g = b->p->g;
    for (sqz_vid v = 0; v < b->p->n_value; v++) {
        sqz_value *val = sqz_val(g, v);
        if (val->twin == SQZ_NONE || val->twin >= b->p->n_value || sqz_value_dead(val) ||
            val->dtype == sqz_val(g, val->twin)->dtype)
            continue;
        val->twin = b->copy[val->dtype == SQZ_S8 ? QUANTIZED : DEQUANTIZED][val->twin];
    }
}

static sqz_status drop_unused_constants(const sqz_ptq *p)
{
    sqz_uses now;
    SQZ_TRY(sqz_uses_build(p->g, p->a, &now));
    for (sqz_vid v = 0; v < p->n_value; v++)
        if (sqz_ptq_is_constant(p->g, v) && sqz_n_uses(&p->uses, v) && !sqz_n_uses(&now, v))
            sqz_graph_remove_value(p->g, v);
    return SQZ_OK;
}

sqz_status sqz_ptq_borders(sqz_ptq *p)
{
    borders b = {.p = p};
    SQZ_TRY(find_uses(&b)); /* while the types are still those of the float graph */
    SQZ_TRY(set_types(p));
    SQZ_TRY(place_copies(&b));
    move_twins(&b);
    return drop_unused_constants(p);
}
