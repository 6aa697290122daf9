/* onnx_node.c: one node of the file: attributes decoded, inputs looked up, then the import hook of
 * its operator or the default by schema. */
#include "io/onnx.h"
#include <stdio.h>
#include <string.h>

typedef struct job {
    sqz_onnx_import *all;
    const Onnx__NodeProto *node;
    sqz_arena arena;  /* of this node */
    sqz_tensor *held; /* tensors of attributes */
    unsigned n_held;
    sqz_import im;
} job;

/* Old files leave `type` out. */
static int32_t type_of(const Onnx__AttributeProto *a)
{
    if (a->has_type && a->type)
        return a->type;
    return a->has_f       ? SQZ_ONNX_FLOAT
           : a->has_i     ? SQZ_ONNX_INT
           : a->has_s     ? SQZ_ONNX_STRING
           : a->t         ? SQZ_ONNX_TENSOR
           : a->n_floats  ? SQZ_ONNX_FLOATS
           : a->n_strings ? SQZ_ONNX_STRINGS
                          : SQZ_ONNX_INTS;
}

static sqz_status strings(job *j, const Onnx__AttributeProto *a, sqz_raw_attr *out)
{
    const char **list = sqz_arena_alloc(&j->arena, a->n_strings + 1, sizeof *list);
    if (!list)
        return SQZ_E_NOMEM;
    if (a->n_strings > UINT32_MAX)
        return sqz_fail(j->all->ctx, SQZ_E_LIMIT, "attribute '%.60s' is too long", out->name);
    for (size_t i = 0; i < a->n_strings; i++) {
        const ProtobufCBinaryData *s = &a->strings[i];
        list[i] = sqz_arena_strndup(&j->arena, (const char *)s->data, s->len);
        if (!list[i])
            return SQZ_E_NOMEM;
    }
    out->strings = list;
    out->n_strings = (uint32_t)a->n_strings;
    return SQZ_OK;
}

static sqz_status attribute(job *j, const Onnx__AttributeProto *a, sqz_raw_attr *out)
{
    *out = (sqz_raw_attr){.name = sqz_onnx_str(a->name), .type = type_of(a), .s = ""};
    out->i = a->i;
    out->f = a->f;
    if (a->has_s) {
        out->s = sqz_arena_strndup(&j->arena, (const char *)a->s.data, a->s.len);
        if (!out->s)
            return SQZ_E_NOMEM;
    }
    if (a->n_ints > UINT32_MAX || a->n_floats > UINT32_MAX)
        return sqz_fail(j->all->ctx, SQZ_E_LIMIT, "attribute '%.60s' is too long", out->name);
    out->ints = (sqz_ints){(uint32_t)a->n_ints, a->ints};
    out->floats = (sqz_floats){(uint32_t)a->n_floats, a->floats};
    if (out->type == SQZ_ONNX_STRINGS)
        SQZ_TRY(strings(j, a, out));
    if (out->type != SQZ_ONNX_TENSOR)
        return SQZ_OK;
    if (!a->t)
        return sqz_fail(j->all->ctx, SQZ_E_FORMAT, "attribute '%.60s' has no tensor", out->name);
    const char *path = j->all->opt ? j->all->opt->path : NULL;
    sqz_tensor *t = &j->held[j->n_held];
    SQZ_TRY(sqz_note(j->all->ctx, sqz_onnx_tensor(j->all->ctx, a->t, path, t), "attribute '%.60s'",
                     out->name));
    j->n_held++;
    out->t = t;
    return SQZ_OK;
}

static sqz_status attributes(job *j)
{
    size_t n = j->node->n_attribute, used = 0;
    sqz_raw_attr *attr = sqz_arena_alloc(&j->arena, n + 1, sizeof *attr);
    j->held = sqz_arena_alloc(&j->arena, n + 1, sizeof *j->held);
    if (!attr || !j->held)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const Onnx__AttributeProto *a = sqz_onnx_attribute(j->all, j->node, i);
        if (!a || a->g || a->n_graphs) /* left out by a function's caller; or a body */
            continue;
        SQZ_TRY(attribute(j, a, &attr[used]));
        attr[used++].name = sqz_onnx_str(j->node->attribute[i]->name);
    }
    j->im.attr = attr;
    j->im.n_attr = (unsigned)used;
    return SQZ_OK;
}

sqz_status sqz_onnx_value(sqz_onnx_import *im, const char *name, sqz_vid *out)
{
    sqz_tensor t;
    for (sqz_onnx_import *at = im; at; at = at->sealed ? NULL : at->outer) {
        uint32_t i = sqz_onnx_names_get(&at->init, name);
        *out = sqz_onnx_names_get(&at->value, name);
        if (*out != SQZ_NONE)
            return SQZ_OK;
        if (i == SQZ_NONE)
            continue;
        const Onnx__TensorProto *p = at->graph->initializer[i];
        SQZ_TRY(sqz_onnx_tensor(at->ctx, p, at->opt ? at->opt->path : NULL, &t));
        if (at->opt && p->has_raw_data)
            sqz_file_release(at->opt->file, p->raw_data.data, p->raw_data.len);
        SQZ_TRY(sqz_graph_constant(at->g, name, &t, out));
        sqz_onnx_names_set(&at->value, name, *out);
        return SQZ_OK;
    }
    return sqz_fail(im->ctx, SQZ_E_INTERNAL, "value '%.80s' is read before it is made", name);
}

/* *skip: an input comes from a node that cannot be run. */
static sqz_status inputs(job *j, bool *skip)
{
    size_t n = j->node->n_input;
    sqz_vid *in = sqz_arena_alloc(&j->arena, n + 1, sizeof *in);
    if (!in)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        in[i] = SQZ_NONE;
        if (*j->node->input[i])
            SQZ_TRY(sqz_onnx_value(j->all, j->node->input[i], &in[i]));
        *skip = *skip || in[i] == SQZ_ONNX_POISON;
        if (in[i] == SQZ_ONNX_ABSENT)
            in[i] = SQZ_NONE;
    }
    while (n && in[n - 1] == SQZ_NONE)
        n--;
    j->im.in = in;
    j->im.n_in = (unsigned)n;
    return SQZ_OK;
}

static sqz_status outputs(job *j)
{
    size_t n = j->node->n_output;
    const char **name = sqz_arena_alloc(&j->arena, n + 1, sizeof *name);
    j->im.out = sqz_arena_alloc(&j->arena, n + 1, sizeof *j->im.out);
    if (!name || !j->im.out)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *o = j->node->output[i];
        name[i] = *o && sqz_onnx_names_get(&j->all->used, o) != SQZ_NONE ? o : NULL;
        j->im.out[i] = SQZ_NONE;
    }
    while (n > 1 && !name[n - 1]) /* a mask or an index that nobody reads */
        n--;
    if (n && !name[0] && *j->node->output[0])
        name[0] = j->node->output[0];
    j->im.out_name = name;
    j->im.n_out = (unsigned)n;
    j->im.n_listed = (unsigned)j->node->n_output;
    return n ? SQZ_OK : sqz_fail(j->all->ctx, SQZ_E_FORMAT, "has no outputs");
}

/* ---- the default: attributes by schema, other inputs in order ---- */

static sqz_status known_attributes(const sqz_import *im, const sqz_op *op)
{
    for (unsigned i = 0; i < im->n_attr; i++) {
        bool known = strcmp(im->attr[i].name, "consumed_inputs") == 0; /* a hint of opset 1 */
        for (unsigned k = 0; k < op->info.n_opts && !known; k++)
            known = strcmp(op->info.opts[k].name, im->attr[i].name) == 0;
        if (!known)
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "attribute '%.60s' is not supported",
                            im->attr[i].name);
    }
    return SQZ_OK;
}

/* The same for a rule that lists what it reads, "a|b|c". */
static sqz_status listed_attributes(const sqz_import *im, const char *list)
{
    for (unsigned i = 0; list && i < im->n_attr; i++) {
        const char *name = im->attr[i].name, *p = list;
        size_t n = strlen(name);
        while (p && (strncmp(p, name, n) != 0 || (p[n] != '|' && p[n] != '\0'))) {
            p = strchr(p, '|');
            p = p ? p + 1 : NULL;
        }
        if (!p || n == 0)
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "attribute '%.60s' is not supported",
                            name);
    }
    return SQZ_OK;
}

static sqz_status rule(job *j, const sqz_lower *r)
{
    SQZ_TRY(listed_attributes(&j->im, r->attrs));
    return r->import(&j->im);
}

static sqz_status by_schema(job *j, const sqz_op *op)
{
    SQZ_TRY(known_attributes(&j->im, op));
    return sqz_import_node(&j->im, op, NULL, NULL, 0);
}

/* What is known now is computed now, so that later nodes find their shapes as constants. */
static sqz_status fold_from(sqz_graph *g, sqz_nid first)
{
    for (sqz_nid n = first; n < g->n_node; n++)
        if (!sqz_nod(g, n)->dead && sqz_node_foldable(g, sqz_nod(g, n)))
            SQZ_TRY(sqz_fold_node(g, n));
    return SQZ_OK;
}

static sqz_status build(job *j, bool *skip)
{
    const sqz_nid first = j->all->g->n_node;
    sqz_onnx_reader r;
    SQZ_TRY(inputs(j, skip));
    if (*skip)
        return SQZ_OK;
    SQZ_TRY(outputs(j));
    SQZ_TRY(attributes(j));
    (void)sqz_onnx_find(j->all, j->node, &r); /* sqz_onnx_check saw to it */
    bool reads = r.op ? r.op->n_in_min > 0 : r.special && strcmp(j->node->op_type, "Constant") != 0;
    if (reads && (j->im.n_in == 0 || j->im.in[0] == SQZ_NONE)) /* hooks look at it */
        return sqz_fail(j->all->ctx, SQZ_E_FORMAT, "input 0 is missing");
    if (r.special)
        SQZ_TRY(r.special(&j->im));
    else if (r.control)
        SQZ_TRY(r.control(j->all, j->node, &j->im));
    else if (r.function)
        SQZ_TRY(sqz_onnx_call(j->all, r.function, j->node, &j->im));
    else if (r.lower)
        SQZ_TRY(rule(j, r.lower));
    else if (r.op->onnx.import)
        SQZ_TRY(r.op->onnx.import(&j->im, r.op));
    else
        SQZ_TRY(by_schema(j, r.op));
    for (unsigned i = 0; i < j->im.n_out; i++)
        if (j->im.out_name[i] && j->im.out[i] == SQZ_NONE)
            return sqz_fail(j->all->ctx, SQZ_E_UNSUPPORTED, "output %u ('%.80s') is not supported",
                            i, j->im.out_name[i]);
    if (!r.control && !r.function && j->all->g->n_node == first + 1) /* one became one */
        SQZ_TRY(sqz_onnx_keep_node(j->all->g, j->node, &sqz_nod(j->all->g, first)->extra));
    return fold_from(j->all->g, first);
}

sqz_status sqz_onnx_node(sqz_onnx_import *all, uint32_t index)
{
    char made[64];
    const Onnx__NodeProto *node = all->graph->node[index];
    const char *name = sqz_onnx_str(node->name);
    bool skip = all->bad[index];
    job j = {.all = all, .node = node, .arena = {.ctx = all->ctx}};
    (void)snprintf(made, sizeof made, "%.40s_%u", sqz_onnx_str(node->op_type), index);
    j.im = (sqz_import){.g = all->g,
                        .op_type = sqz_onnx_str(node->op_type),
                        .name = *name ? name : made,
                        .opset = sqz_onnx_opset(all, node->domain)};
    sqz_status s = skip ? SQZ_OK : build(&j, &skip);
    bool failed = s != SQZ_OK && s != SQZ_E_NOMEM;
    if (failed) { /* goes on the list; the nodes behind it are left out */
        char text[sizeof all->ctx->error], *why = text;
        memcpy(text, all->ctx->error, sizeof text);
        for (int i = 0; i < 2; i++) { /* "node 'x' (conv2d): ": the place says it better */
            char *end = strncmp(why, "node '", 6) == 0 ? strstr(why, "): ") : NULL;
            why = end ? end + 3 : why;
        }
        sqz_refuse(all->refusals, s, "%s: %s", sqz_onnx_place(all, &j.arena, node, index), why);
        s = SQZ_OK;
    }
    for (size_t i = 0; i < node->n_output; i++)
        sqz_onnx_names_set(&all->value, node->output[i],
                           failed || skip || i >= j.im.n_out ? SQZ_ONNX_POISON : j.im.out[i]);
    for (unsigned i = 0; i < j.n_held; i++)
        sqz_tensor_free(all->ctx, &j.held[i]);
    sqz_arena_free(&j.arena);
    return s;
}
