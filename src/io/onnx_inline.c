/* onnx_inline.c: graphs inside of graphs. A branch, a body of a loop or a function is imported into
 * the graph of its user, node by node, with a scope of names of its own. */
#include "io/onnx.h"
#include <string.h>

#define MAX_DEPTH   64
#define MAX_INLINED 100000 /* nodes in all: loops and functions inside each other multiply */

static sqz_onnx_import *root_of(sqz_onnx_import *im)
{
    while (im->outer)
        im = im->outer;
    return im;
}

static sqz_status spend(sqz_onnx_import *im)
{
    sqz_onnx_import *root = root_of(im);
    root->inlined += im->graph->n_node + 1;
    if (im->depth <= MAX_DEPTH && root->inlined <= MAX_INLINED)
        return SQZ_OK;
    return sqz_fail(im->ctx, SQZ_E_LIMIT,
                    im->depth > MAX_DEPTH ? "graphs are nested more than %d deep"
                                          : "loops and functions unroll to more than %d nodes",
                    im->depth > MAX_DEPTH ? MAX_DEPTH : MAX_INLINED);
}

static sqz_status nodes(sqz_onnx_import *im, const sqz_vid *in, size_t n_in)
{
    SQZ_TRY(spend(im));
    SQZ_TRY(sqz_onnx_order(im));
    SQZ_TRY(sqz_onnx_check(im));
    for (size_t i = 0; i < im->graph->n_input; i++)
        sqz_onnx_names_set(&im->value, sqz_onnx_str(im->graph->input[i]->name),
                           i < n_in && in[i] != SQZ_NONE ? in[i] : SQZ_ONNX_ABSENT);
    for (size_t i = 0; i < im->graph->n_node; i++)
        SQZ_TRY(sqz_onnx_node(im, im->order[i]));
    return SQZ_OK;
}

static sqz_status outputs(sqz_onnx_import *im, sqz_vid *out, size_t n_out)
{
    for (size_t i = 0; i < n_out; i++) {
        out[i] = SQZ_NONE;
        if (i < im->graph->n_output)
            SQZ_TRY(sqz_onnx_value(im, sqz_onnx_str(im->graph->output[i]->name), &out[i]));
        if (out[i] == SQZ_ONNX_ABSENT)
            out[i] = SQZ_NONE;
    }
    return SQZ_OK;
}

/* "in then_branch of node 'x' (If), " behind what the user is in itself. */
static const char *where(sqz_arena *a, const sqz_onnx_import *outer, const sqz_onnx_body *b)
{
    const Onnx__NodeProto *n = b->call;
    const char *s = sqz_arena_printf(a, "%sin %s of %s'%.80s', ", outer->where, b->what,
                                     n->name && *n->name ? "node " : "",
                                     n->name && *n->name ? n->name : sqz_onnx_str(n->op_type));
    return s ? s : "";
}

sqz_status sqz_onnx_inline(sqz_onnx_import *outer, const sqz_onnx_body *body, const sqz_vid *in,
                           size_t n_in, sqz_vid *out, size_t n_out)
{
    const bool call = body->function != NULL;
    sqz_onnx_import im = {.ctx = outer->ctx,
                          .arena = {.ctx = outer->ctx},
                          .outer = outer,
                          .sealed = call,
                          .model = outer->model,
                          .graph = body->graph,
                          .function = call ? body->function : outer->function,
                          .caller = call ? outer : outer->caller,
                          .call = call ? body->call : outer->call,
                          .opt = outer->opt,
                          .depth = outer->depth + 1,
                          .opset = outer->opset,
                          .refusals = outer->refusals,
                          .g = outer->g};
    if (body->graph->n_node > UINT32_MAX / 2 || body->graph->n_initializer > UINT32_MAX / 2)
        return sqz_fail(outer->ctx, SQZ_E_LIMIT, "too many nodes");
    im.where = where(&im.arena, outer, body);
    sqz_status s = nodes(&im, in, n_in);
    if (s == SQZ_OK)
        s = outputs(&im, out, n_out);
    sqz_arena_free(&im.arena);
    return s;
}

/* ---- functions ---- */

/* Names without types, as the lists of a graph have them. */
static sqz_status infos(sqz_arena *a, char *const *name, size_t n, Onnx__ValueInfoProto ***out)
{
    Onnx__ValueInfoProto *v = sqz_arena_alloc(a, n + 1, sizeof *v);
    *out = sqz_arena_alloc(a, n + 1, sizeof **out);
    if (!v || !*out)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        onnx__value_info_proto__init(&v[i]);
        v[i].name = name[i];
        (*out)[i] = &v[i];
    }
    return SQZ_OK;
}

static sqz_status call(sqz_arena *a, sqz_onnx_import *all, const Onnx__FunctionProto *f,
                       const Onnx__NodeProto *n, sqz_import *im)
{
    Onnx__GraphProto g;
    for (const sqz_onnx_import *at = all; at; at = at->outer)
        if (at->function == f)
            return sqz_fail(all->ctx, SQZ_E_FORMAT, "the function calls itself");
    onnx__graph_proto__init(&g);
    g.n_node = f->n_node;
    g.node = f->node;
    g.n_input = f->n_input;
    g.n_output = f->n_output;
    if (im->n_in > f->n_input || im->n_out > f->n_output)
        return sqz_fail(all->ctx, SQZ_E_FORMAT,
                        "%u inputs and %u outputs, the function has %zu and %zu", im->n_in,
                        im->n_out, f->n_input, f->n_output);
    SQZ_TRY(infos(a, f->input, f->n_input, &g.input));
    SQZ_TRY(infos(a, f->output, f->n_output, &g.output));
    const sqz_onnx_body body = {.graph = &g, .function = f, .call = n, .what = "the body"};
    return sqz_onnx_inline(all, &body, im->in, im->n_in, im->out, im->n_out);
}

sqz_status sqz_onnx_call(sqz_onnx_import *all, const Onnx__FunctionProto *f,
                         const Onnx__NodeProto *n, sqz_import *im)
{
    sqz_arena a = {.ctx = all->ctx};
    sqz_status s = call(&a, all, f, n, im);
    sqz_arena_free(&a);
    return s;
}
