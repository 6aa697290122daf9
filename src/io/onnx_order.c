/* onnx_order.c: the names of a model file: each is written once and every one that is read exists.
 * Nodes in an order that runs: the file's own where it does, else the nearest to it. */
#include "io/onnx.h"

/* Every name that a node reads: its inputs, and what the graphs inside it read (which may be their
 * own). Nesting is bounded by the scan. Returns the number; fn may be NULL. */
typedef sqz_status (*name_fn)(void *arg, const char *name, bool inside);
static size_t each_read(const Onnx__NodeProto *n, bool inside, name_fn fn, void *arg,
                        sqz_status *s);

static size_t each_in_graph(const Onnx__GraphProto *g, name_fn fn, void *arg, sqz_status *s)
{
    size_t total = g->n_output;
    for (size_t i = 0; i < g->n_node; i++)
        total += each_read(g->node[i], true, fn, arg, s);
    for (size_t i = 0; fn && *s == SQZ_OK && i < g->n_output; i++)
        *s = fn(arg, sqz_onnx_str(g->output[i]->name), true);
    return total;
}

/* NOLINTNEXTLINE(misc-no-recursion): nesting is bounded by the scan */
static size_t each_read(const Onnx__NodeProto *n, bool inside, name_fn fn, void *arg, sqz_status *s)
{
    size_t total = n->n_input;
    for (size_t k = 0; fn && *s == SQZ_OK && k < n->n_input; k++)
        if (*n->input[k])
            *s = fn(arg, n->input[k], inside);
    for (size_t k = 0; k < n->n_attribute; k++) {
        const Onnx__AttributeProto *a = n->attribute[k];
        if (a->g)
            total += each_in_graph(a->g, fn, arg, s);
        for (size_t i = 0; i < a->n_graphs; i++)
            total += each_in_graph(a->graphs[i], fn, arg, s);
    }
    return total;
}

static sqz_status count(sqz_onnx_import *im)
{
    const Onnx__GraphProto *g = im->graph;
    size_t in = g->n_output, out = g->n_input + g->n_initializer;
    for (size_t i = 0; i < g->n_node; i++) {
        sqz_status s = SQZ_OK;
        in += each_read(g->node[i], false, NULL, NULL, &s);
        out += g->node[i]->n_output;
    }
    SQZ_TRY(sqz_onnx_names_create(&im->used, &im->arena, in));
    SQZ_TRY(sqz_onnx_names_create(&im->value, &im->arena, out));
    return sqz_onnx_names_create(&im->init, &im->arena, g->n_initializer);
}

static sqz_status initializers(sqz_onnx_import *im)
{
    for (uint32_t i = 0; i < im->graph->n_initializer; i++) {
        const char *name = sqz_onnx_str(im->graph->initializer[i]->name);
        if (!*name)
            return sqz_fail(im->ctx, SQZ_E_FORMAT, "initializer %u has no name", i);
        if (!sqz_onnx_names_add(&im->init, name, i))
            return sqz_fail(im->ctx, SQZ_E_FORMAT, "two initializers are called '%.80s'", name);
    }
    return SQZ_OK;
}

/* maker: name -> index of the node that writes it + 1, or 0 for inputs and initializers. */
static sqz_status makers(sqz_onnx_import *im, sqz_onnx_names *maker)
{
    const Onnx__GraphProto *g = im->graph;
    SQZ_TRY(sqz_onnx_names_create(maker, &im->arena, im->value.cap / 2));
    for (uint32_t i = 0; i < g->n_initializer; i++)
        (void)sqz_onnx_names_add(maker, g->initializer[i]->name, 0);
    for (uint32_t i = 0; i < g->n_input; i++) {
        const char *name = sqz_onnx_str(g->input[i]->name);
        if (!sqz_onnx_names_add(maker, name, 0) &&
            sqz_onnx_names_get(&im->init, name) == SQZ_NONE) /* old files list initializers too */
            return sqz_fail(im->ctx, SQZ_E_FORMAT, "two graph inputs are called '%.80s'", name);
    }
    for (uint32_t i = 0; i < g->n_node; i++)
        for (size_t o = 0; o < g->node[i]->n_output; o++) {
            const char *name = g->node[i]->output[o];
            if (*name && !sqz_onnx_names_add(maker, name, i + 1))
                return sqz_fail(im->ctx, SQZ_E_FORMAT, "%s: '%.80s' is written a second time",
                                sqz_onnx_place(im, &im->arena, g->node[i], i), name);
        }
    return SQZ_OK;
}

/* The name is made by a graph around this one. */
static bool outside(const sqz_onnx_import *im, const char *name)
{
    while (!im->sealed && (im = im->outer))
        if (sqz_onnx_names_get(&im->value, name) != SQZ_NONE ||
            sqz_onnx_names_get(&im->init, name) != SQZ_NONE)
            return true;
    return false;
}

typedef struct reader {
    sqz_onnx_import *im;
    const sqz_onnx_names *maker;
    uint32_t node, *waits;
} reader;

static sqz_status read_name(void *arg, const char *name, bool inside)
{
    const reader *r = arg;
    uint32_t m = sqz_onnx_names_get(r->maker, name);
    if (inside && m == r->node + 1) /* a branch may call its output like the node's */
        return SQZ_OK;
    if (m == SQZ_NONE && !inside && !outside(r->im, name))
        return sqz_fail(
            r->im->ctx, SQZ_E_FORMAT,
            "%s: input '%.80s' is neither an input, an initializer nor written by a node",
            sqz_onnx_place(r->im, &r->im->arena, r->im->graph->node[r->node], r->node), name);
    sqz_onnx_names_set(&r->im->used, name, 1);
    r->waits[r->node] += m != 0 && m != SQZ_NONE;
    return SQZ_OK;
}

/* Marks what is read; counts for each node the inputs that another node writes. */
static sqz_status readers(sqz_onnx_import *im, const sqz_onnx_names *maker, uint32_t *waits)
{
    const Onnx__GraphProto *g = im->graph;
    reader r = {im, maker, 0, waits};
    sqz_status s = SQZ_OK;
    for (; r.node < g->n_node && s == SQZ_OK; r.node++)
        (void)each_read(g->node[r.node], false, read_name, &r, &s);
    SQZ_TRY(s);
    for (uint32_t i = 0; i < g->n_output; i++) {
        const char *name = sqz_onnx_str(g->output[i]->name);
        if (sqz_onnx_names_get(maker, name) == SQZ_NONE && !outside(im, name))
            return sqz_fail(im->ctx, SQZ_E_FORMAT,
                            "%sgraph output '%.80s' is neither an input nor written by a node",
                            im->where, name);
        sqz_onnx_names_set(&im->used, name, 1);
    }
    return SQZ_OK;
}

/* Smallest index first: a binary heap. */
static void push(uint32_t *heap, uint32_t *n, uint32_t x)
{
    uint32_t i = (*n)++;
    for (; i > 0 && heap[(i - 1) / 2] > x; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = x;
}

static uint32_t pop(uint32_t *heap, uint32_t *n)
{
    uint32_t top = heap[0], x = heap[--*n], i = 0;
    for (uint32_t c; (c = 2 * i + 1) < *n; i = c) {
        c += c + 1 < *n && heap[c + 1] < heap[c];
        if (heap[c] >= x)
            break;
        heap[i] = heap[c];
    }
    heap[i] = x;
    return top;
}

typedef struct edge_list {
    const sqz_onnx_names *maker;
    uint32_t *at, *edge, node; /* edge NULL: only counted */
} edge_list;

static sqz_status add_edge(void *arg, const char *name, bool inside)
{
    edge_list *l = arg;
    uint32_t m = sqz_onnx_names_get(l->maker, name);
    if (m == SQZ_NONE || m == 0 || (inside && m == l->node + 1))
        return SQZ_OK;
    if (l->edge)
        l->edge[l->at[m]++] = l->node;
    else
        l->at[m + 1]++;
    return SQZ_OK;
}

/* edge[first[m] .. first[m + 1]) are the nodes that read what node m writes. */
static sqz_status edges(sqz_onnx_import *im, const sqz_onnx_names *maker, uint32_t **first,
                        uint32_t **edge)
{
    const Onnx__GraphProto *g = im->graph;
    edge_list l = {.maker = maker, .at = sqz_arena_alloc(&im->arena, g->n_node + 2, sizeof *l.at)};
    sqz_status s = SQZ_OK;
    if (!l.at)
        return SQZ_E_NOMEM;
    for (l.node = 0; l.node < g->n_node; l.node++)
        (void)each_read(g->node[l.node], false, add_edge, &l, &s);
    for (uint32_t i = 0; i <= g->n_node; i++)
        l.at[i + 1] += l.at[i];
    l.edge = sqz_arena_alloc(&im->arena, (size_t)l.at[g->n_node + 1] + 1, sizeof *l.edge);
    if (!l.edge)
        return SQZ_E_NOMEM;
    for (l.node = 0; l.node < g->n_node; l.node++) /* at[m] runs through m's part */
        (void)each_read(g->node[l.node], false, add_edge, &l, &s);
    *first = l.at; /* now at[m] is the end of m's part, which begins at at[m - 1] */
    *edge = l.edge;
    return s;
}

static sqz_status sort(sqz_onnx_import *im, const sqz_onnx_names *maker, uint32_t *waits)
{
    uint32_t n = (uint32_t)im->graph->n_node, ready = 0, done = 0, *first, *edge = NULL;
    uint32_t *heap = sqz_arena_alloc(&im->arena, (size_t)n + 1, sizeof *heap);
    im->order = sqz_arena_alloc(&im->arena, (size_t)n + 1, sizeof *im->order);
    if (!heap || !im->order)
        return SQZ_E_NOMEM;
    SQZ_TRY(edges(im, maker, &first, &edge));
    for (uint32_t i = 0; i < n; i++)
        if (!waits[i])
            push(heap, &ready, i);
    while (ready) {
        uint32_t i = pop(heap, &ready);
        im->order[done++] = i;
        for (uint32_t e = first[i]; e < first[i + 1]; e++)
            if (--waits[edge[e]] == 0)
                push(heap, &ready, edge[e]);
    }
    for (uint32_t i = 0; done < n && i < n; i++)
        if (waits[i])
            return sqz_fail(im->ctx, SQZ_E_FORMAT, "%s: its input depends on its output",
                            sqz_onnx_place(im, &im->arena, im->graph->node[i], i));
    return SQZ_OK;
}

sqz_status sqz_onnx_order(sqz_onnx_import *im)
{
    sqz_onnx_names maker;
    uint32_t *waits = sqz_arena_alloc(&im->arena, im->graph->n_node + 1, sizeof *waits);
    if (!waits)
        return SQZ_E_NOMEM;
    SQZ_TRY(count(im));
    SQZ_TRY(initializers(im));
    SQZ_TRY(makers(im, &maker));
    SQZ_TRY(readers(im, &maker, waits));
    return sort(im, &maker, waits);
}
