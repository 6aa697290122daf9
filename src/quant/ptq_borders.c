/* ptq_borders.c: types change where integer and float nodes meet.
 *
 * A value made by an integer node becomes int8; float nodes and graph outputs read a dequantized
 * copy, made just before its first use since it is four times as large. What float nodes and inputs
 * make stays float; integer nodes read a quantized copy, made at once. Nodes that compute in float
 * on grids read dequantized copies of such quantized copies (pairs). Graph outputs keep their
 * names. */
#include "quant/ptq.h"
#include <math.h>

typedef enum copy_kind { QUANTIZED, DEQUANTIZED, REQUANTIZED, PAIRED, N_COPY } copy_kind;

static const struct {
    const char *op;
} kinds[N_COPY] = {
    [QUANTIZED] = {"quantize"},
    [DEQUANTIZED] = {"dequantize"},
    [REQUANTIZED] = {"requantize"},
    [PAIRED] = {"dequantize"}, /* of a quantized copy */
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

typedef enum form {
    RAW,     /* float, as computed */
    SETTLED, /* float, on its grid */
    CODES
} form;

/* All activations that n reads stand on the grid of its outputs. */
static bool hands_on(const sqz_ptq *p, const sqz_node *n)
{
    for (unsigned i = 0; i < n->n_in; i++)
        if (sqz_ptq_is_data(p->g, n, i) &&
            (sqz_ptq_is_constant(p->g, n->in[i]) || p->fixed_apart[n->in[i]]))
            return false;
    return n->op->quant.kind == SQZ_Q_SAME;
}

static form form_of(const sqz_ptq *p, sqz_vid v)
{
    const sqz_nid maker = sqz_val(p->g, v)->producer;
    if (!sqz_ptq_made_integer(p, v))
        return RAW;
    if (!p->pairs[maker])
        return CODES;
    return hands_on(p, sqz_nod(p->g, maker)) && !p->covered[v] ? SETTLED : RAW;
}

/* How somebody who computes in float reads v. `on_grid`: its data stand on grids. */
static bool float_copy(const sqz_ptq *p, sqz_vid v, bool on_grid, copy_kind *kind)
{
    const form f = form_of(p, v);
    *kind = f == CODES ? DEQUANTIZED : PAIRED;
    if (f == RAW)
        return !p->covered[v] && (on_grid || sqz_ptq_made_integer(p, v));
    return f == CODES;
}

static bool integer_copy(const sqz_ptq *p, sqz_vid v, const sqz_node *n, copy_kind *kind)
{
    const bool codes = form_of(p, v) == CODES;
    *kind = codes ? REQUANTIZED : QUANTIZED;
    return !codes || (p->fixed_apart[v] && n->op->quant.kind == SQZ_Q_SAME);
}

static sqz_status look_at_input(borders *b, sqz_nid id, unsigned i)
{
    const sqz_ptq *p = b->p;
    const sqz_node *n = sqz_nod(p->g, id);
    sqz_vid v = n->in[i];
    copy_kind kind;
    if (v == SQZ_NONE || v >= p->n_value || sqz_ptq_is_constant(p->g, v))
        return SQZ_OK;
    const bool data = p->integer[id] && sqz_ptq_is_data(p->g, n, i);
    bool copied = false;
    if (!p->integer[id] || p->pairs[id])
        copied = float_copy(p, v, data, &kind);
    else if (data)
        copied = integer_copy(p, v, n, &kind);
    return copied ? add_use(b, (use){id, i, v, kind}) : SQZ_OK;
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
    for (uint32_t i = 0; i < g->n_output; i++) {
        copy_kind kind;
        if (float_copy(b->p, g->output[i], false, &kind))
            SQZ_TRY(add_use(b, (use){SQZ_NONE, i, g->output[i], kind}));
    }
    return SQZ_OK;
}

/* ---- types ---- */

static sqz_status set_grid(const sqz_ptq *p, sqz_vid v, sqz_grid grid)
{
    sqz_val(p->g, v)->dtype = p->type;
    return sqz_value_set_quant(p->g, v, p->type, -1, 1, &grid.scale, &grid.zero);
}

static sqz_status set_types(const sqz_ptq *p)
{
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        for (unsigned k = 0; k < n->n_out && p->integer[id] && !p->pairs[id]; k++)
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

static const char *type_name(const sqz_ptq *p)
{
    return p->type == SQZ_S16 ? "int16" : p->type == SQZ_S4 ? "int4" : "int8";
}

/* The name for a copy; a float copy of an output takes over the output's name. */
static sqz_status name_copy(const borders *b, sqz_vid v, copy_kind kind, const char **out)
{
    const sqz_ptq *p = b->p;
    const char *name = sqz_arena_strdup(p->a, sqz_val(p->g, v)->name);
    if (!name)
        return SQZ_E_NOMEM;
    const bool real = kind == DEQUANTIZED || kind == PAIRED;
    if (real && is_known_outside(p->g, v)) {
        const char *inner = fresh_name(p, name, kind == PAIRED ? "raw" : type_name(p));
        if (!inner)
            return SQZ_E_NOMEM;
        SQZ_TRY(sqz_graph_rename(p->g, v, inner));
        *out = name;
        return SQZ_OK;
    }
    *out = fresh_name(p, name, real ? "float" : type_name(p));
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_nid after_producer(const sqz_graph *g, sqz_vid v)
{
    sqz_nid maker = sqz_val(g, v)->producer;
    return maker == SQZ_NONE ? g->first : sqz_nod(g, maker)->next;
}

/* A node of that kind that reads `from`, a form of value v. */
static sqz_status add_copy(const borders *b, copy_kind kind, sqz_vid v, sqz_vid from,
                           sqz_nid before, sqz_vid *out)
{
    sqz_ptq *p = b->p;
    sqz_graph *g = p->g;
    const char *out_name;
    const sqz_op *op = sqz_op_find(kinds[kind].op);
    if (!op)
        return sqz_fail(g->ctx, SQZ_E_INTERNAL, "there is no operator '%s'", kinds[kind].op);
    char *name = sqz_arena_printf(p->a, "%s_%s", sqz_val(g, v)->name, op->info.name);
    const char *text = sqz_arena_printf(p->a, "dtype=%s", sqz_dtype_name(p->type));
    void *attrs = sqz_arena_alloc(p->a, 1, SQZ_MAX(op->info.opt_size, 1u));
    if (!name || !text || !attrs)
        return SQZ_E_NOMEM;
    sqz_opts_default(&op->info, attrs);
    if (kind == QUANTIZED)
        SQZ_TRY(sqz_opts_parse(p->a, &op->info, text, attrs));
    SQZ_TRY(name_copy(b, v, kind, &out_name));
    SQZ_TRY(sqz_graph_node(g, op, name, attrs, &from, 1, &out_name, 1, before, out));
    sqz_val(g, *out)->channel_last = sqz_val(g, v)->channel_last;
    sqz_val(g, *out)->range = sqz_val(g, v)->range;
    return SQZ_OK;
}

/* Codes of v: a quantized copy, or on the grid of v's set. */
static sqz_status add_codes(borders *b, copy_kind kind, sqz_vid v)
{
    const sqz_ptq *p = b->p;
    sqz_vid *out = &b->copy[kind][v];
    if (*out != SQZ_NONE)
        return SQZ_OK;
    SQZ_TRY(add_copy(b, kind, v, v, after_producer(p->g, v), out));
    return set_grid(p, *out, kind == REQUANTIZED ? p->set_grid[v] : p->grid[v]);
}

static sqz_status add_floats(borders *b, copy_kind kind, sqz_vid v, sqz_nid before)
{
    sqz_vid from = v;
    if (kind == PAIRED) {
        SQZ_TRY(add_codes(b, QUANTIZED, v));
        from = b->copy[QUANTIZED][v];
    }
    return add_copy(b, kind, v, from, before, &b->copy[kind][v]);
}

static sqz_status make_copy(borders *b, const use *u)
{
    if (b->copy[u->kind][u->value] != SQZ_NONE)
        return SQZ_OK;
    if (u->kind == QUANTIZED || u->kind == REQUANTIZED)
        return add_codes(b, u->kind, u->value);
    return add_floats(b, u->kind, u->value, u->node);
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
        SQZ_TRY(make_copy(b, u));
        *(u->node == SQZ_NONE ? &g->output[u->slot]
                              : &sqz_nod(g, u->node)->in[u->slot]) = b->copy[u->kind][u->value];
    }
    return SQZ_OK;
}

/* A twin is the same value in the other layout: where one of both is read as a copy, the twin is
 * that copy. */
static void move_twins(const borders *b)
{
    const sqz_graph *g = b->p->g;
    for (sqz_vid v = 0; v < b->p->n_value; v++) {
        sqz_value *val = sqz_val(g, v);
        if (val->twin == SQZ_NONE || val->twin >= b->p->n_value || sqz_value_dead(val))
            continue;
        const sqz_vid pair = b->copy[PAIRED][val->twin];
        const sqz_nid maker = val->producer;
        if (val->dtype != sqz_val(g, val->twin)->dtype)
            val->twin = b->copy[val->dtype == SQZ_F32 ? DEQUANTIZED : QUANTIZED][val->twin];
        else if (pair != SQZ_NONE && maker != SQZ_NONE && sqz_nod(g, maker)->in[0] == pair)
            val->twin = pair;
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
