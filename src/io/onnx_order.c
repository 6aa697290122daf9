/* onnx_order.c: the names of a model file: each is written once and every one that is read exists.
 * Nodes in an order that runs: the file's own where it does, else the nearest to it. */
#include "io/onnx.h"

static sqz_status count(sqz_onnx_import *im)
{
    const Onnx__GraphProto *g = im->graph;
    size_t in = g->n_output, out = g->n_input + g->n_initializer;
    for (size_t i = 0; i < g->n_node; i++) {
        in += g->node[i]->n_input;
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
                                sqz_onnx_place(&im->arena, g->node[i], i), name);
        }
    return SQZ_OK;
}

/* Marks what is read; counts for each node the inputs that another node writes. */
static sqz_status readers(sqz_onnx_import *im, const sqz_onnx_names *maker, uint32_t *waits)
{
    const Onnx__GraphProto *g = im->graph;
    for (uint32_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_input; k++) {
            const char *name = g->node[i]->input[k];
            uint32_t m = *name ? sqz_onnx_names_get(maker, name) : 0;
            if (m == SQZ_NONE)
                return sqz_fail(im->ctx, SQZ_E_FORMAT,
                                "%s: input '%.80s' is neither an input, an initializer nor written "
                                "by a node",
                                sqz_onnx_place(&im->arena, g->node[i], i), name);
            if (*name)
                sqz_onnx_names_set(&im->used, name, 1);
            waits[i] += m != 0;
        }
    for (uint32_t i = 0; i < g->n_output; i++) {
        const char *name = sqz_onnx_str(g->output[i]->name);
        if (sqz_onnx_names_get(maker, name) == SQZ_NONE)
            return sqz_fail(im->ctx, SQZ_E_FORMAT,
                            "graph output '%.80s' is neither an input nor written by a node", name);
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

/* edge[first[m] .. first[m + 1]) are the nodes that read what node m writes. */
static sqz_status edges(sqz_onnx_import *im, const sqz_onnx_names *maker, uint32_t **first,
                        uint32_t **edge)
{
    const Onnx__GraphProto *g = im->graph;
    uint32_t *at = sqz_arena_alloc(&im->arena, g->n_node + 2, sizeof *at), total = 0;
    if (!at)
        return SQZ_E_NOMEM;
    for (int fill = 0; fill < 2; fill++) { /* count, then fill: at[m + 1] runs through m's part */
        for (uint32_t i = 0; i < g->n_node; i++)
            for (size_t k = 0; k < g->node[i]->n_input; k++) {
                const char *name = g->node[i]->input[k];
                uint32_t m = *name ? sqz_onnx_names_get(maker, name) : 0;
                if (m && fill)
                    (*edge)[at[m]++] = i;
                else if (m)
                    at[m + 1]++;
            }
        if (fill)
            break;
        for (uint32_t i = 0; i <= g->n_node; i++)
            at[i + 1] += at[i];
        total = at[g->n_node + 1];
        *edge = sqz_arena_alloc(&im->arena, (size_t)total + 1, sizeof **edge);
        if (!*edge)
            return SQZ_E_NOMEM;
    }
    *first = at; /* now at[m] is the end of m's part, which begins at at[m - 1] */
    return SQZ_OK;
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
                            sqz_onnx_place(&im->arena, im->graph->node[i], i));
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
