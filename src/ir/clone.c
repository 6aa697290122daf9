/* clone.c: a copy of a graph with the same ids. Structure is copied, numbers are shared: a tensor's
 * buffer is counted, and whoever wants other numbers puts a new tensor in its place. */
#include "ir/graph.h"
#include "ir/names.h"
#include "ir/op.h"
#include <string.h>

/* A copy of n elements in the arena; NULL with n 0. */
static sqz_status copy(sqz_arena *a, const void *from, size_t n, size_t elem, void **out)
{
    *out = NULL;
    if (!n || !from)
        return SQZ_OK;
    *out = sqz_arena_alloc(a, n, elem);
    if (!*out)
        return SQZ_E_NOMEM;
    memcpy(*out, from, n * elem);
    return SQZ_OK;
}

static sqz_status copy_text(sqz_arena *a, const char *from, const char **out)
{
    return copy(a, from, from ? strlen(from) + 1 : 0, 1, (void **)(uintptr_t)out);
}

static sqz_status copy_blob(sqz_arena *a, const sqz_blob *from, sqz_blob *out)
{
    out->n = from->n;
    return copy(a, from->bytes, from->n, 1, (void **)(uintptr_t)&out->bytes);
}

static sqz_status copy_quant(sqz_arena *a, const sqz_quant *from, const sqz_quant **out)
{
    sqz_quant *q;
    SQZ_TRY(copy(a, from, 1, sizeof *q, (void **)&q));
    *out = q;
    if (!q)
        return SQZ_OK;
    SQZ_TRY(copy(a, from->scale, from->n, sizeof *from->scale, (void **)(uintptr_t)&q->scale));
    return copy(a, from->zero, from->n, sizeof *from->zero, (void **)(uintptr_t)&q->zero);
}

static sqz_status copy_normal(sqz_arena *a, const sqz_normal *from, const sqz_normal **out)
{
    sqz_normal *n;
    SQZ_TRY(copy(a, from, 1, sizeof *n, (void **)&n));
    *out = n;
    if (!n)
        return SQZ_OK;
    SQZ_TRY(copy(a, from->mean, from->n, sizeof *from->mean, (void **)(uintptr_t)&n->mean));
    return copy(a, from->sd, from->n, sizeof *from->sd, (void **)(uintptr_t)&n->sd);
}

static sqz_status copy_value(sqz_graph *g, const sqz_value *from, sqz_value *to)
{
    sqz_arena *a = &g->arena;
    sqz_value v = *from;
    sqz_tensor *t = NULL;
    v.constant = NULL;
    SQZ_TRY(copy_text(a, from->name, &v.name));
    SQZ_TRY(copy_quant(a, from->quant, &v.quant));
    SQZ_TRY(copy(a, from->range, 1, sizeof *from->range, (void **)(uintptr_t)&v.range));
    SQZ_TRY(copy_normal(a, from->normal, &v.normal));
    SQZ_TRY(copy_blob(a, &from->extra, &v.extra));
    if (from->constant) {
        t = sqz_arena_alloc(a, 1, sizeof *t);
        if (!t)
            return SQZ_E_NOMEM;
        sqz_tensor_share(from->constant, t);
        v.constant = t;
    }
    *to = v; /* complete: sqz_graph_free drops the reference from here on */
    return SQZ_OK;
}

static sqz_status copy_node(sqz_graph *g, const sqz_node *from, sqz_node *to)
{
    sqz_arena *a = &g->arena;
    sqz_node n = *from;
    void *attrs = NULL;
    SQZ_TRY(copy_text(a, from->name, &n.name));
    SQZ_TRY(copy(a, from->in, from->n_in, sizeof *from->in, (void **)&n.in));
    SQZ_TRY(copy(a, from->out, from->n_out, sizeof *from->out, (void **)&n.out));
    if (from->attrs)
        SQZ_TRY(sqz_opts_copy(a, &from->op->info, from->attrs, &attrs));
    n.attrs = attrs;
    SQZ_TRY(copy_blob(a, &from->extra, &n.extra));
    *to = n;
    return SQZ_OK;
}

/* Id lists keep their growing room: the next power of two (see append in graph.c). */
static sqz_status copy_ids(sqz_arena *a, const sqz_vid *from, uint32_t n, sqz_vid **out)
{
    size_t room = 1;
    while (room < n)
        room *= 2;
    *out = n ? sqz_arena_alloc(a, room, sizeof **out) : NULL;
    if (n && !*out)
        return SQZ_E_NOMEM;
    if (n)
        memcpy(*out, from, n * sizeof *from);
    return SQZ_OK;
}

static sqz_status copy_values(const sqz_graph *from, sqz_graph *g)
{
    g->value_page = sqz_arena_alloc(&g->arena, from->value_pages, sizeof *g->value_page);
    if (!g->value_page)
        return SQZ_E_NOMEM;
    g->value_pages = from->value_pages;
    for (sqz_vid v = 0; v < from->n_value; v++) {
        sqz_value **page = &g->value_page[v / SQZ_PAGE];
        if (!*page && !(*page = sqz_arena_alloc(&g->arena, SQZ_PAGE, sizeof **page)))
            return SQZ_E_NOMEM;
        SQZ_TRY(copy_value(g, sqz_val(from, v), sqz_val(g, v)));
        g->n_value = v + 1;
        if (!sqz_value_dead(sqz_val(g, v)))
            SQZ_TRY(sqz_names_put(g->names, sqz_val(g, v)->name, v));
    }
    return SQZ_OK;
}

static sqz_status copy_nodes(const sqz_graph *from, sqz_graph *g)
{
    g->node_page = sqz_arena_alloc(&g->arena, from->node_pages, sizeof *g->node_page);
    if (!g->node_page)
        return SQZ_E_NOMEM;
    g->node_pages = from->node_pages;
    for (sqz_nid n = 0; n < from->n_node; n++) {
        sqz_node **page = &g->node_page[n / SQZ_PAGE];
        if (!*page && !(*page = sqz_arena_alloc(&g->arena, SQZ_PAGE, sizeof **page)))
            return SQZ_E_NOMEM;
        SQZ_TRY(copy_node(g, sqz_nod(from, n), sqz_nod(g, n)));
        g->n_node = n + 1;
        if (!sqz_nod(g, n)->dead)
            SQZ_TRY(sqz_names_put(g->node_names, sqz_nod(g, n)->name, n));
    }
    g->first = from->first;
    g->last = from->last;
    return SQZ_OK;
}

static sqz_status copy_graph(const sqz_graph *from, sqz_graph *g)
{
    g->have = from->have;
    g->batch_free = from->batch_free;
    g->opset = from->opset;
    g->names->made_up = from->names->made_up;
    g->node_names->made_up = from->node_names->made_up;
    SQZ_TRY(copy_text(&g->arena, from->name, &g->name));
    SQZ_TRY(copy_text(&g->arena, from->producer, &g->producer));
    SQZ_TRY(copy_text(&g->arena, from->batch_name, &g->batch_name));
    SQZ_TRY(copy_blob(&g->arena, &from->model_extra, &g->model_extra));
    SQZ_TRY(copy_blob(&g->arena, &from->graph_extra, &g->graph_extra));
    SQZ_TRY(copy_values(from, g));
    SQZ_TRY(copy_nodes(from, g));
    SQZ_TRY(copy_ids(&g->arena, from->input, from->n_input, &g->input));
    SQZ_TRY(copy_ids(&g->arena, from->output, from->n_output, &g->output));
    g->n_input = from->n_input;
    g->n_output = from->n_output;
    for (const sqz_meta *m = from->meta; m; m = m->next)
        SQZ_TRY(sqz_graph_add_meta(g, m->key, m->value));
    return SQZ_OK;
}

sqz_status sqz_graph_clone(const sqz_graph *from, sqz_graph **out)
{
    sqz_graph *g;
    *out = NULL;
    SQZ_TRY(sqz_graph_create(from->ctx, &g));
    sqz_status s = copy_graph(from, g);
    if (s != SQZ_OK)
        sqz_graph_free(g);
    else
        *out = g;
    return s;
}
