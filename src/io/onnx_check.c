/* onnx_check.c: what cannot be run, found from types and attributes alone, all of it in one go. */
#include "io/onnx.h"
#include <string.h>

bool sqz_onnx_default_domain(const char *domain)
{
    return !domain || !*domain || strcmp(domain, "ai.onnx") == 0;
}

int64_t sqz_onnx_opset(const sqz_onnx_import *im, const char *domain)
{
    const Onnx__ModelProto *m = im->model;
    const Onnx__FunctionProto *f = im->function;
    const size_t n = f ? f->n_opset_import : m->n_opset_import;
    Onnx__OperatorSetIdProto *const *list = f ? f->opset_import : m->opset_import;
    const bool own = sqz_onnx_default_domain(domain);
    for (size_t i = n; i-- > 0;) /* the last one counts */
        if (own ? sqz_onnx_default_domain(list[i]->domain)
                : strcmp(sqz_onnx_str(list[i]->domain), domain) == 0)
            return list[i]->version;
    return own ? im->opset : 1;
}

static const Onnx__FunctionProto *function_of(const sqz_onnx_import *im, const Onnx__NodeProto *n)
{
    const Onnx__ModelProto *m = im->model;
    for (size_t i = 0; i < m->n_functions; i++) {
        const Onnx__FunctionProto *f = m->functions[i];
        if (strcmp(sqz_onnx_str(f->name), sqz_onnx_str(n->op_type)) == 0 &&
            strcmp(sqz_onnx_str(f->domain), sqz_onnx_str(n->domain)) == 0 &&
            strcmp(sqz_onnx_str(f->overload), sqz_onnx_str(n->overload)) == 0)
            return f;
    }
    return NULL;
}

bool sqz_onnx_find(const sqz_onnx_import *im, const Onnx__NodeProto *n, sqz_onnx_reader *out)
{
    const bool own = sqz_onnx_default_domain(n->domain);
    const int64_t opset = sqz_onnx_opset(im, n->domain);
    const char *type = sqz_onnx_str(n->op_type);
    bool known = false;
    *out = (sqz_onnx_reader){.special = own ? sqz_onnx_special(type) : NULL,
                             .control = own ? sqz_onnx_control(type) : NULL};
    if (out->special || out->control)
        return true;
    out->lower = sqz_lower_find(own ? "" : n->domain, type, opset, &out->known);
    if (!out->lower && own)
        out->op = sqz_op_of_onnx(type, opset, &known);
    out->known = out->known || known;
    if (!out->lower && !out->op) /* what squeeze knows itself goes before a function's body */
        out->function = function_of(im, n);
    return out->lower || out->op || out->function;
}

const char *sqz_onnx_place(const sqz_onnx_import *im, sqz_arena *a, const Onnx__NodeProto *n,
                           uint32_t index)
{
    const char *name = sqz_onnx_str(n->name), *type = sqz_onnx_str(n->op_type);
    const char *t = *name
                        ? sqz_arena_printf(a, "%snode '%.100s' (%.40s, number %u)", im->where, name,
                                           type, index)
                        : sqz_arena_printf(a, "%snode (%.40s, number %u)", im->where, type, index);
    return t ? t : "node";
}

static const Onnx__AttributeProto *by_name(Onnx__AttributeProto *const *list, size_t n,
                                           const char *name, size_t *at)
{
    for (*at = 0; *at < n; (*at)++)
        if (strcmp(sqz_onnx_str(list[*at]->name), name) == 0)
            return list[*at];
    return NULL;
}

const Onnx__AttributeProto *sqz_onnx_attribute(const sqz_onnx_import *im, const Onnx__NodeProto *n,
                                               size_t k)
{
    const Onnx__AttributeProto *a = n->attribute[k];
    while (a && a->ref_attr_name && *a->ref_attr_name) {
        const Onnx__FunctionProto *f = im->function;
        const char *name = a->ref_attr_name;
        size_t at;
        if (!f)
            return NULL;
        a = by_name(im->call->attribute, im->call->n_attribute, name, &at);
        if (!a)
            return by_name(f->attribute_proto, f->n_attribute_proto, name, &at);
        im = im->caller; /* a reference there is resolved one further out */
    }
    return a;
}

/* By AttributeProto.type: what we cannot read. */
static const char *const refused[] = {
    [5] = "a subgraph",       [9] = "a list of tensors",         [10] = "a list of subgraphs",
    [11] = "a sparse tensor", [12] = "a list of sparse tensors", [13] = "a type",
    [14] = "a list of types",
};

/* `graphs`: the operator has graphs inside. */
static void check_attributes(sqz_onnx_import *im, const Onnx__NodeProto *n, uint32_t i, bool graphs)
{
    const char *place = sqz_onnx_place(im, &im->arena, n, i);
    for (size_t k = 0; k < n->n_attribute && !im->bad[i]; k++) {
        const Onnx__AttributeProto *a = sqz_onnx_attribute(im, n, k);
        const char *what = NULL;
        if (!a && im->function)
            continue; /* the caller leaves it out */
        if (!a)
            what = "a reference to an attribute of a function";
        else if (a->type > 0 && (size_t)a->type < SQZ_COUNT(refused))
            what = refused[a->type];
        if (!what && (a->g || a->n_graphs))
            what = refused[5];
        if (!what || (what == refused[5] && graphs))
            continue;
        im->bad[i] = true;
        sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED,
                   "%s: attribute '%.60s' is %s, which is not supported", place,
                   sqz_onnx_str(n->attribute[k]->name), what);
    }
}

static const char *advice(const char *type)
{
    return strstr(type, "Sequence") || strstr(type, "Optional")
               ? "sequences and optional values are not supported; export the model with plain "
                 "tensors"
               : "the operator is not supported; write it with those that `squeeze list op` shows";
}

static void check_node(sqz_onnx_import *im, uint32_t i)
{
    const Onnx__NodeProto *n = im->graph->node[i];
    const char *type = sqz_onnx_str(n->op_type), *place = sqz_onnx_place(im, &im->arena, n, i);
    sqz_onnx_reader reader;
    im->bad[i] = true;
    if (!*type) {
        sqz_refuse(im->refusals, SQZ_E_FORMAT, "%s: has no operator type", place);
    } else if (!sqz_onnx_find(im, n, &reader)) {
        if (reader.known)
            sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED, "%s: not supported at opset %lld", place,
                       (long long)sqz_onnx_opset(im, n->domain));
        else if (!sqz_onnx_default_domain(n->domain))
            sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED,
                       "%s: the operator of domain '%.60s' is not supported; write it as "
                       "operators of ONNX, or define it as a function in the file",
                       place, n->domain);
        else
            sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED, "%s: %s", place, advice(type));
    } else if (reader.lower && reader.lower->refused) {
        sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED, "%s: %s", place, reader.lower->refused);
    } else {
        im->bad[i] = false;
        check_attributes(im, n, i, reader.control || reader.function);
    }
}

static const char *kind_of(const Onnx__TypeProto *t)
{
    switch (t ? t->value_case : ONNX__TYPE_PROTO__VALUE__NOT_SET) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE: return NULL;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE: return "a sequence";
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE: return "a map";
    case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE: return "opaque";
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE: return "a sparse tensor";
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE: return "optional";
    default: return "of no type";
    }
}

sqz_status sqz_onnx_check(sqz_onnx_import *im)
{
    const Onnx__GraphProto *g = im->graph;
    im->bad = sqz_arena_alloc(&im->arena, g->n_node + 1, sizeof *im->bad);
    if (!im->bad)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < g->n_input && !im->outer; i++) { /* inner ones may have no type */
        const char *kind = kind_of(g->input[i]->type);
        const char *name = sqz_onnx_str(g->input[i]->name);
        if (kind && sqz_onnx_names_get(&im->init, name) == SQZ_NONE)
            sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED, "input '%.80s': is %s, expected a tensor",
                       name, kind);
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED, "sparse initializer %zu: not supported", i);
    for (uint32_t i = 0; i < g->n_node; i++)
        check_node(im, i);
    return im->refusals->lines->status;
}
