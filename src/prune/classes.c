/* classes.c: elements, rows, union-find. Rules with a choice wait until their neighbors have
 * settled it; when nothing settles any more, the first one in execution order decides. */
#include "prune/classes.h"
#include <string.h>

#define MAX_ELEMENTS ((uint32_t)1 << 28)

typedef struct build {
    sqz_classes *c;
    const sqz_graph *g;
    sqz_arena *a; /* of the build */
    uint32_t *parent;
    uint32_t *pin, *shift; /* of a root: place in why + 1; 0: none */
    uint32_t *stamp;       /* of an element: round in which a rule last mentioned it */
    uint32_t round;
    sqz_why *why;
    uint32_t n_why, room;
    uint32_t *key; /* element that stands for a key, by key */
    int64_t n_key;
    /* the node that is asked */
    sqz_nid node;
    const sqz_vid *in, *out;
    sqz_status status;
} build;

/* ---- union-find ---- */

static uint32_t root(build *b, uint32_t e)
{
    while (b->parent[e] != e)
        e = b->parent[e] = b->parent[b->parent[e]];
    return e;
}

/* The lower element is the root, so that what was said first is kept. */
static void unite(build *b, uint32_t x, uint32_t y)
{
    x = root(b, x);
    y = root(b, y);
    const uint32_t low = SQZ_MIN(x, y), high = SQZ_MAX(x, y);
    b->parent[high] = low;
    b->pin[low] = b->pin[low] ? b->pin[low] : b->pin[high];
    b->shift[low] = b->shift[low] ? b->shift[low] : b->shift[high];
}

static uint32_t because(build *b, sqz_nid node, sqz_vid value, const char *text)
{
    const sqz_why w = {node, value, text};
    if (b->n_why && memcmp(&b->why[b->n_why - 1], &w, sizeof w) == 0)
        return b->n_why;
    if (b->n_why == b->room) {
        const uint32_t room = b->room ? 2 * b->room : 256;
        sqz_why *more = sqz_arena_alloc(b->a, room, sizeof *more);
        if (!more) {
            b->status = SQZ_E_NOMEM;
            return SQZ_MAX(b->n_why, 1u);
        }
        if (b->n_why)
            memcpy(more, b->why, b->n_why * sizeof *more);
        b->why = more;
        b->room = room;
    }
    b->why[b->n_why++] = w;
    return b->n_why;
}

static void pin_element(build *b, uint32_t e, sqz_nid node, sqz_vid value, const char *text)
{
    e = root(b, e);
    if (!b->pin[e])
        b->pin[e] = because(b, node, value, text);
}

static void pin_value(build *b, sqz_vid v, sqz_nid node, const char *text)
{
    for (uint32_t e = b->c->start[v]; e < b->c->start[v + 1]; e++)
        pin_element(b, e, node, v, text);
}

/* ---- what a rule may say ---- */

typedef struct span {
    sqz_vid value;
    uint32_t first; /* element of index 0 */
    int64_t off, end, div;
} span;

static span span_of(const build *b, const sqz_tie_end *a)
{
    const sqz_vid v = a->value < 0 ? b->out[-1 - a->value] : b->in[a->value];
    const int64_t n = sqz_val(b->g, v)->shape.dim[a->axis];
    return (span){v, sqz_element(b->c, v, a->axis, 0), a->off, a->n ? SQZ_MIN(a->off + a->n, n) : n,
                  SQZ_MAX(a->div, 1)};
}

static bool room_for_keys(build *b, int64_t n)
{
    if (n <= b->n_key)
        return true;
    b->key = sqz_arena_alloc(b->a, (size_t)n, sizeof *b->key);
    b->n_key = b->key ? n : 0;
    if (!b->key)
        b->status = SQZ_E_NOMEM;
    return b->key != NULL;
}

static void row_end(build *b, const span *s, int64_t mod)
{
    for (int64_t i = s->off; i < s->end; i++) {
        const int64_t at = (i - s->off) / s->div, key = mod ? at % mod : at;
        const uint32_t e = s->first + (uint32_t)i;
        b->stamp[e] = b->round;
        if (b->key[key] == SQZ_NONE)
            b->key[key] = e;
        else
            unite(b, b->key[key], e);
    }
}

static void row(sqz_ties *t, const sqz_tie_end *a, const sqz_tie_end *c, int64_t mod)
{
    build *b = t->user;
    const span sa = span_of(b, a), sc = c ? span_of(b, c) : sa;
    const int64_t n = SQZ_MAX(SQZ_MAX(sa.end - sa.off, sc.end - sc.off), 0);
    if (!room_for_keys(b, n))
        return;
    for (int64_t i = 0; i < n; i++)
        b->key[i] = SQZ_NONE;
    row_end(b, &sa, mod);
    if (c)
        row_end(b, &sc, mod);
}

static void pin(sqz_ties *t, const sqz_tie_end *a, const char *why)
{
    build *b = t->user;
    const span s = span_of(b, a);
    for (int64_t i = s.off; i < s.end; i++)
        pin_element(b, s.first + (uint32_t)i, b->node, s.value, why);
}

static void shift(sqz_ties *t, const sqz_tie_end *a, const char *why)
{
    build *b = t->user;
    const span s = span_of(b, a);
    for (int64_t i = s.off; i < s.end; i++) {
        const uint32_t e = root(b, s.first + (uint32_t)i);
        if (!b->shift[e])
            b->shift[e] = because(b, b->node, s.value, why);
    }
}

static bool fixed(const sqz_ties *t, const sqz_tie_end *a)
{
    build *b = t->user;
    const span s = span_of(b, a);
    for (int64_t i = s.off; i < s.end; i++)
        if (!b->pin[root(b, s.first + (uint32_t)i)])
            return false;
    return true;
}

/* ---- nodes ---- */

static void pin_unmentioned(build *b, const sqz_vid *list, unsigned n, const char *why)
{
    for (unsigned i = 0; i < n; i++) {
        if (list[i] == SQZ_NONE)
            continue;
        for (uint32_t e = b->c->start[list[i]]; e < b->c->start[list[i] + 1]; e++)
            if (b->stamp[e] != b->round)
                pin_element(b, e, b->node, list[i], why);
    }
}

/* Asks node n for its rows. Returns false when it waits for others. */
static bool ask(build *b, sqz_nid id, bool choose)
{
    const sqz_node *n = sqz_nod(b->g, id);
    const sqz_value *in[UINT8_MAX + 1], *out[UINT8_MAX + 1];
    sqz_ties t = {.ctx = b->g->ctx, .attrs = n->attrs, .in = in, .out = out, .choose = choose};
    t.n_in = n->n_in;
    t.n_out = n->n_out;
    t.row = row;
    t.pin = pin;
    t.shift = shift;
    t.fixed = fixed;
    t.user = b;
    const bool fits = n->n_in < SQZ_COUNT(in) && n->n_out < SQZ_COUNT(out);
    for (unsigned i = 0; fits && i < n->n_in; i++)
        in[i] = n->in[i] == SQZ_NONE ? NULL : sqz_val(b->g, n->in[i]);
    for (unsigned i = 0; fits && i < n->n_out; i++)
        out[i] = n->out[i] == SQZ_NONE ? NULL : sqz_val(b->g, n->out[i]);
    b->node = id;
    b->in = n->in;
    b->out = n->out;
    b->round++;
    if (fits && n->op->ties)
        n->op->ties(&t);
    if (t.open)
        return false;
    const char *why = n->op->ties ? "has no rule for it" : "is of an operator without rules";
    pin_unmentioned(b, n->in, n->n_in, why);
    pin_unmentioned(b, n->out, n->n_out, why);
    return true;
}

static sqz_status ask_all(build *b)
{
    uint32_t n_wait = 0;
    sqz_nid *wait = sqz_arena_alloc(b->a, (size_t)b->g->n_node + 1, sizeof *wait);
    if (!wait)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(b->g, id)
    {
        if (!ask(b, id, false))
            wait[n_wait++] = id;
    }
    while (n_wait && b->status == SQZ_OK) {
        uint32_t left = 0;
        for (uint32_t i = 0; i < n_wait; i++)
            if (!ask(b, wait[i], false))
                wait[left++] = wait[i];
        if (left == n_wait) { /* nobody else settles it */
            ask(b, wait[0], true);
            left--;
            memmove(wait, wait + 1, left * sizeof *wait);
        }
        n_wait = left;
    }
    return b->status;
}

/* ---- what no node says ---- */

/* A constant and its copy in the other layout are one in the file. */
static void tie_twin(build *b, sqz_vid v)
{
    const sqz_value *x = sqz_val(b->g, v);
    const sqz_vid w = x->twin;
    const sqz_value *y = w == SQZ_NONE ? NULL : sqz_val(b->g, w);
    if (!y || !x->constant || !y->constant)
        return;
    const int32_t rank = x->shape.rank;
    bool same = rank == y->shape.rank && x->channel_last != y->channel_last;
    for (int32_t i = 0; same && i < rank; i++)
        same =
            x->shape.dim[i] ==
            y->shape.dim[x->channel_last ? sqz_axis_to_file(i, rank) : sqz_axis_to_last(i, rank)];
    for (int32_t i = 0; same && i < rank; i++) {
        const int32_t k = x->channel_last ? sqz_axis_to_file(i, rank) : sqz_axis_to_last(i, rank);
        for (int64_t j = 0; j < x->shape.dim[i]; j++)
            unite(b, sqz_element(b->c, v, i, j), sqz_element(b->c, w, k, j));
    }
    if (!same) {
        pin_value(b, v, SQZ_NONE, "stands in the model in two shapes");
        pin_value(b, w, SQZ_NONE, "stands in the model in two shapes");
    }
}

static void pin_small(build *b, sqz_vid v)
{
    const sqz_value *x = sqz_val(b->g, v);
    for (int32_t i = 0; i < x->shape.rank; i++)
        if (x->shape.dim[i] == 1)
            pin_element(b, sqz_element(b->c, v, i, 0), SQZ_NONE, v,
                        "is the only index of its axis");
}

static void pin_ends(build *b, const sqz_class_options *o)
{
    const sqz_graph *g = b->g;
    for (uint32_t i = 0; i < g->n_input && !(o && o->open_ends); i++)
        pin_value(b, g->input[i], SQZ_NONE, "is an input of the model");
    for (uint32_t i = 0; i < g->n_output && !(o && o->open_ends); i++)
        pin_value(b, g->output[i], SQZ_NONE, "is an output of the model");
    for (sqz_vid v = 0; v < g->n_value; v++) {
        const sqz_value *x = sqz_val(g, v);
        if (sqz_value_dead(x))
            continue; /* it has no elements */
        if (x->quant || sqz_dtype_bits(x->dtype) < 8)
            pin_value(b, v, SQZ_NONE, "stands on an integer grid");
        pin_small(b, v);
        tie_twin(b, v);
    }
}

static sqz_status count_elements(build *b)
{
    const sqz_graph *g = b->g;
    uint32_t *start = sqz_arena_alloc(&b->c->arena, (size_t)g->n_value + 1, sizeof *start);
    if (!start)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        const sqz_value *x = sqz_val(g, v);
        int64_t n = start[v];
        for (int32_t i = 0; !sqz_value_dead(x) && i < x->shape.rank; i++)
            if (x->shape.dim[i] > MAX_ELEMENTS || (n += x->shape.dim[i]) > MAX_ELEMENTS)
                return sqz_fail(g->ctx, SQZ_E_LIMIT,
                                "the axes of all values up to '%s' have more than %u indices",
                                x->name, (unsigned)MAX_ELEMENTS);
        start[v + 1] = (uint32_t)n;
    }
    b->c->start = start;
    b->c->n_element = start[g->n_value];
    return SQZ_OK;
}

static sqz_status begin(build *b)
{
    SQZ_TRY(count_elements(b));
    const size_t n = (size_t)b->c->n_element + 1;
    b->parent = sqz_arena_alloc(b->a, n, sizeof *b->parent);
    b->pin = sqz_arena_alloc(b->a, n, sizeof *b->pin);
    b->shift = sqz_arena_alloc(b->a, n, sizeof *b->shift);
    b->stamp = sqz_arena_alloc(b->a, n, sizeof *b->stamp);
    if (!b->parent || !b->pin || !b->shift || !b->stamp)
        return SQZ_E_NOMEM;
    for (uint32_t e = 0; e < b->c->n_element; e++)
        b->parent[e] = e;
    return SQZ_OK;
}

/* ---- classes, numbered by their first elements ---- */

/* Entry `place` - 1 of what was said. */
static sqz_why said(const build *b, uint32_t place)
{
    return place && b->why ? b->why[place - 1] : (sqz_why){SQZ_NONE, SQZ_NONE, NULL};
}

static sqz_status number(build *b)
{
    sqz_classes *c = b->c;
    const size_t n = (size_t)c->n_element + 1;
    uint32_t at = 0;
    c->of = sqz_arena_alloc(&c->arena, n, sizeof *c->of);
    c->list = sqz_arena_alloc(&c->arena, n, sizeof *c->list);
    if (!c->of || !c->list)
        return SQZ_E_NOMEM;
    for (uint32_t e = 0; e < c->n_element; e++) /* roots are the lowest of their class */
        c->of[e] = root(b, e) == e ? c->n_class++ : c->of[root(b, e)];
    c->cls = sqz_arena_alloc(&c->arena, (size_t)c->n_class + 1, sizeof *c->cls);
    if (!c->cls)
        return SQZ_E_NOMEM;
    for (uint32_t e = 0; e < c->n_element; e++) {
        sqz_class *k = &c->cls[c->of[e]];
        k->n++;
        if (b->parent[e] != e)
            continue;
        k->pin = said(b, b->pin[e]);
        k->shift = said(b, b->shift[e]);
    }
    for (uint32_t i = 0; i < c->n_class; at += c->cls[i++].n)
        c->cls[i].first = at;
    for (uint32_t i = 0; i < c->n_class; i++)
        c->cls[i].n = 0;
    for (uint32_t e = 0; e < c->n_element; e++) {
        sqz_class *k = &c->cls[c->of[e]];
        c->list[k->first + k->n++] = e;
    }
    return SQZ_OK;
}

/* ---- families ---- */

/* What the axes of a class's elements are, in order. */
static uint64_t signature(const sqz_class *k, const sqz_classes *c, const uint32_t *axis_of)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a (Fowler, Noll & Vo), by words */
    for (uint32_t i = 0; i < k->n; i++)
        h = (h ^ axis_of[c->list[k->first + i]]) * 0x100000001b3u;
    return h ^ k->n;
}

typedef struct member {
    uint64_t sign;
    uint32_t cls;
} member;

static void sift(member *m, size_t i, size_t n)
{
    const member x = m[i];
    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n &&
            (m[k + 1].sign > m[k].sign || (m[k + 1].sign == m[k].sign && m[k + 1].cls > m[k].cls)))
            k++;
        if (m[k].sign < x.sign || (m[k].sign == x.sign && m[k].cls < x.cls))
            break;
        m[i] = m[k];
    }
    m[i] = x;
}

static void sort(member *m, size_t n) /* by signature, then class */
{
    for (size_t i = n / 2; i-- > 0;)
        sift(m, i, n);
    for (size_t i = n; i-- > 1;) {
        const member x = m[0];
        m[0] = m[i];
        m[i] = x;
        sift(m, 0, i);
    }
}

static sqz_status axes_of_elements(build *b, uint32_t **out)
{
    uint32_t *axis = sqz_arena_alloc(b->a, (size_t)b->c->n_element + 1, sizeof *axis), e = 0, n = 0;
    *out = axis;
    if (!axis)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < b->g->n_value; v++) {
        const sqz_value *x = sqz_val(b->g, v);
        for (int32_t i = 0; !sqz_value_dead(x) && i < x->shape.rank; i++, n++)
            for (int64_t k = 0; k < x->shape.dim[i]; k++)
                axis[e++] = n;
    }
    return SQZ_OK;
}

static sqz_status make_families(build *b)
{
    sqz_classes *c = b->c;
    uint32_t *axis_of, n = 0;
    SQZ_TRY(axes_of_elements(b, &axis_of));
    member *m = sqz_arena_alloc(b->a, (size_t)c->n_class + 1, sizeof *m);
    c->member = sqz_arena_alloc(&c->arena, (size_t)c->n_class + 1, sizeof *c->member);
    c->family = sqz_arena_alloc(&c->arena, (size_t)c->n_class + 1, sizeof *c->family);
    if (!m || !c->member || !c->family)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < c->n_class; i++) {
        c->cls[i].family = SQZ_NONE;
        if (!c->cls[i].pin.text)
            m[n++] = (member){signature(&c->cls[i], c, axis_of), i};
    }
    sort(m, n);
    for (uint32_t i = 0; i < n;
         i++) { /* the runs of one signature, numbered by their first class */
        const bool new = i == 0 || m[i].sign != m[i - 1].sign;
        c->cls[m[i].cls].family = new ? m[i].cls : c->cls[m[i - 1].cls].family;
    }
    for (uint32_t i = 0; i < c->n_class; i++) {
        sqz_class *k = &c->cls[i];
        if (k->family == SQZ_NONE)
            continue;
        k->family = k->family == i ? c->n_family++ : c->cls[k->family].family;
        c->family[k->family].n++;
        c->family[k->family].shifts |= k->shift.text != NULL;
    }
    for (uint32_t i = 1; i < c->n_family; i++)
        c->family[i].first = c->family[i - 1].first + c->family[i - 1].n;
    for (uint32_t i = 0; i < c->n_family; i++)
        c->family[i].n = 0;
    for (uint32_t i = 0; i < c->n_class; i++) {
        if (c->cls[i].family == SQZ_NONE)
            continue;
        sqz_family *f = &c->family[c->cls[i].family];
        c->member[f->first + f->n++] = i;
    }
    return SQZ_OK;
}

/* ---- the whole ---- */

static sqz_status make(build *b, const sqz_class_options *o)
{
    if (b->g->have & SQZ_HAS_QUANT)
        return sqz_fail(b->g->ctx, SQZ_E_UNSUPPORTED,
                        "channels of a quantized model are not pruned: prune the float model, then "
                        "quantize it");
    SQZ_TRY(begin(b));
    pin_ends(b, o);
    SQZ_TRY(b->status);
    SQZ_TRY(ask_all(b));
    SQZ_TRY(number(b));
    return make_families(b);
}

sqz_place sqz_element_place(const sqz_classes *c, uint32_t element)
{
    uint32_t lo = 0, hi = c->g->n_value; /* start[lo] <= element < start[hi] */
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (c->start[mid] <= element)
            lo = mid;
        else
            hi = mid;
    }
    sqz_place p = {.value = lo, .index = element - c->start[lo]};
    for (const sqz_shape *s = &sqz_val(c->g, lo)->shape; p.index >= s->dim[p.axis]; p.axis++)
        p.index -= s->dim[p.axis];
    return p;
}

void sqz_why_print(sqz_str *out, const sqz_graph *g, const sqz_why *w)
{
    const char *value = w->value == SQZ_NONE ? "?" : sqz_value_file_name(g, w->value);
    if (w->node == SQZ_NONE)
        sqz_str_addf(out, "'%s' %s", value, w->text);
    else
        sqz_str_addf(out, "node '%s' (%s) %s: '%s'", sqz_nod(g, w->node)->name,
                     sqz_nod(g, w->node)->op->info.name, w->text, value);
}

void sqz_classes_free(sqz_classes *c)
{
    if (!c)
        return;
    sqz_ctx *ctx = c->arena.ctx;
    sqz_arena_free(&c->arena);
    sqz_free(ctx, c);
}

sqz_status sqz_classes_build(const sqz_graph *g, const sqz_class_options *o, sqz_classes **out)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_classes *c = sqz_calloc(g->ctx, 1, sizeof *c);
    *out = NULL;
    if (!c)
        return SQZ_E_NOMEM;
    c->arena.ctx = g->ctx;
    c->g = g;
    build b = {.c = c, .g = g, .a = &a};
    sqz_status s = make(&b, o);
    sqz_arena_free(&a);
    if (s != SQZ_OK)
        sqz_classes_free(c);
    else
        *out = c;
    return s;
}
