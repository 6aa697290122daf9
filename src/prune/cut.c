/* cut.c: a graph without some classes. Constants lose indices, attributes that repeat a shape are
 * brought up to date by their operators (column `recut`), and what inference then says must be what
 * the classes say. */
#include "prune/classes.h"
#include <string.h>

typedef struct cut {
    const sqz_classes *c;
    const bool *gone;
    sqz_graph *g; /* the copy */
    sqz_arena a;
    const sqz_node *node; /* that is recut */
} cut;

static bool stays(const cut *k, sqz_vid v, int32_t axis, int64_t i)
{
    return !k->gone[sqz_class_of(k->c, v, axis, i)];
}

static int64_t kept(const cut *k, sqz_vid v, int32_t axis, int64_t from, int64_t to)
{
    int64_t n = 0;
    for (int64_t i = from; i < to; i++)
        n += stays(k, v, axis, i);
    return n;
}

/* ---- refusals ---- */

static sqz_status check_pins(const cut *k)
{
    for (uint32_t i = 0; i < k->c->n_class; i++) {
        const sqz_class *x = &k->c->cls[i];
        if (!k->gone[i] || !x->pin.text)
            continue;
        const sqz_place p = sqz_element_place(k->c, k->c->list[x->first]);
        sqz_str why = {.ctx = k->g->ctx};
        sqz_why_print(&why, k->c->g, &x->pin);
        sqz_status s = why.status != SQZ_OK
                           ? why.status
                           : sqz_fail(k->g->ctx, SQZ_E_ARG,
                                      "index %lld of axis %d of '%s' cannot leave: %s",
                                      (long long)p.index, (int)p.axis, sqz_val(k->g, p.value)->name,
                                      why.data);
        sqz_str_free(&why);
        return s;
    }
    return SQZ_OK;
}

static sqz_status check_rest(const cut *k, sqz_vid v)
{
    const sqz_value *x = sqz_val(k->c->g, v);
    for (int32_t i = 0; i < x->shape.rank; i++)
        if (x->shape.dim[i] && !kept(k, v, i, 0, x->shape.dim[i]))
            return sqz_fail(k->g->ctx, SQZ_E_ARG, "nothing would be left of axis %d of '%s'",
                            (int)i, x->name);
    return SQZ_OK;
}

/* ---- constants ---- */

/* One axis of `from` without what is gone: (outer, n, inner) to (outer, left, inner). */
static sqz_status cut_axis(const cut *k, sqz_vid v, int32_t axis, const sqz_tensor *from,
                           sqz_tensor *to)
{
    const int64_t n = from->shape.dim[axis];
    const size_t elem = sqz_dtype_bits(from->dtype) / 8;
    size_t outer = 1, inner = elem;
    sqz_shape s = from->shape;
    for (int32_t i = 0; i < s.rank; i++)
        if (i < axis)
            outer *= (size_t)s.dim[i];
        else if (i > axis)
            inner *= (size_t)s.dim[i];
    s.dim[axis] = kept(k, v, axis, 0, n);
    SQZ_TRY(sqz_tensor_room(k->g->ctx, from->dtype, &s, to));
    const char *x = from->data;
    char *y = to->data;
    for (size_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n; i++, x += inner)
            if (stays(k, v, axis, i)) {
                memcpy(y, x, inner);
                y += inner;
            }
    return SQZ_OK;
}

static sqz_status cut_constant(const cut *k, sqz_vid v)
{
    sqz_tensor t, less;
    bool changed = false;
    sqz_tensor_share(sqz_val(k->g, v)->constant, &t);
    for (int32_t i = 0; i < t.shape.rank; i++) {
        if (kept(k, v, i, 0, t.shape.dim[i]) == t.shape.dim[i])
            continue;
        sqz_status s = cut_axis(k, v, i, &t, &less);
        sqz_tensor_free(k->g->ctx, &t);
        SQZ_TRY(s);
        t = less;
        changed = true;
    }
    if (changed)
        return sqz_value_set_constant(k->g, v, &t);
    sqz_tensor_free(k->g->ctx, &t);
    return SQZ_OK;
}

/* ---- attributes ---- */

static int64_t kept_end(const sqz_recut *r, const sqz_tie_end *a)
{
    const cut *k = r->user;
    const sqz_vid v = a->value < 0 ? k->node->out[-1 - a->value] : k->node->in[a->value];
    const int64_t n = sqz_val(k->c->g, v)->shape.dim[a->axis];
    return kept(k, v, a->axis, a->off, a->n ? SQZ_MIN(a->off + a->n, n) : n);
}

static bool is_touched(const cut *k, const sqz_vid *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (uint32_t e = list[i] == SQZ_NONE ? 0 : k->c->start[list[i]];
             list[i] != SQZ_NONE && e < k->c->start[list[i] + 1]; e++)
            if (k->gone[k->c->of[e]])
                return true;
    return false;
}

static sqz_status recut_node(cut *k, sqz_nid id)
{
    const sqz_node *n = sqz_nod(k->c->g, id);
    const sqz_value *in[UINT8_MAX + 1] = {0}, *out[UINT8_MAX + 1] = {0};
    void *attrs = NULL;
    if (!n->op->recut || n->n_in >= SQZ_COUNT(in) || n->n_out >= SQZ_COUNT(out))
        return SQZ_OK; /* too many ends: the classes have pinned them */
    if (!is_touched(k, n->in, n->n_in) && !is_touched(k, n->out, n->n_out))
        return SQZ_OK;
    for (unsigned i = 0; i < n->n_in; i++)
        in[i] = n->in[i] == SQZ_NONE ? NULL : sqz_val(k->c->g, n->in[i]);
    for (unsigned i = 0; i < n->n_out; i++)
        out[i] = n->out[i] == SQZ_NONE ? NULL : sqz_val(k->c->g, n->out[i]);
    SQZ_TRY(sqz_opts_copy(&k->a, &n->op->info, n->attrs, &attrs));
    sqz_recut r = {.ctx = k->g->ctx, .arena = &k->a, .attrs = attrs, .in = in, .out = out};
    r.n_in = n->n_in;
    r.n_out = n->n_out;
    r.kept = kept_end;
    r.user = k;
    k->node = n;
    SQZ_TRY(n->op->recut(&r));
    return sqz_node_set_attrs(k->g, id, attrs);
}

/* ---- the whole ---- */

static sqz_status check_shape(const cut *k, sqz_vid v)
{
    const sqz_value *was = sqz_val(k->c->g, v), *is = sqz_val(k->g, v);
    bool same = was->shape.rank == is->shape.rank;
    for (int32_t i = 0; same && i < was->shape.rank; i++)
        same = kept(k, v, i, 0, was->shape.dim[i]) == is->shape.dim[i];
    char text[160];
    sqz_shape_print(text, &is->shape);
    return same ? SQZ_OK
                : sqz_fail(k->g->ctx, SQZ_E_INTERNAL,
                           "'%s' is %s after pruning, its classes differ", is->name, text);
}

static sqz_status apply(cut *k)
{
    sqz_graph *g = k->g;
    SQZ_TRY(check_pins(k));
    for (sqz_vid v = 0; v < g->n_value; v++) {
        sqz_value *x = sqz_val(g, v);
        if (sqz_value_dead(x))
            continue;
        SQZ_TRY(check_rest(k, v));
        if (x->constant)
            SQZ_TRY(cut_constant(k, v));
        for (int32_t i = 0; x->role == SQZ_ROLE_INPUT && i < x->shape.rank; i++)
            x->shape.dim[i] = kept(k, v, i, 0, x->shape.dim[i]);
        x->range = NULL; /* of other numbers */
        x->normal = NULL;
    }
    g->have &= ~(unsigned)SQZ_HAS_RANGES;
    SQZ_EACH_NODE(k->c->g, id)
    {
        SQZ_TRY(sqz_note(g->ctx, recut_node(k, id), "node '%s'", sqz_nod(g, id)->name));
    }
    SQZ_TRY(sqz_graph_infer(g));
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (!sqz_value_dead(sqz_val(g, v)))
            SQZ_TRY(check_shape(k, v));
    return sqz_graph_verify(g);
}

sqz_status sqz_prune_cut(const sqz_classes *c, const bool *gone, sqz_graph **out)
{
    cut k = {.c = c, .gone = gone, .a = {.ctx = c->g->ctx}};
    *out = NULL;
    SQZ_TRY(sqz_graph_clone(c->g, &k.g));
    sqz_status s = apply(&k);
    sqz_arena_free(&k.a);
    if (s != SQZ_OK)
        sqz_graph_free(k.g);
    else
        *out = k.g;
    return s;
}
