/* onnx_check.c: what cannot be run, found from types and attributes alone, all of it in one go. */
#include "io/onnx.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sqz_onnx_line(sqz_onnx_import *im, sqz_status s, const char *fmt, ...)
{
    char text[sizeof im->ctx->error];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!im->n_line++)
        im->first = s;
    sqz_log(im->ctx, SQZ_LOG_ERROR, "%s", text);
    sqz_str_add(im->lines, text);
    sqz_str_add(im->lines, "\n");
}

bool sqz_onnx_default_domain(const char *domain)
{
    return !domain || !*domain || strcmp(domain, "ai.onnx") == 0;
}

int64_t sqz_onnx_opset(const sqz_onnx_import *im, const char *domain)
{
    const Onnx__ModelProto *m = im->model;
    if (sqz_onnx_default_domain(domain))
        return im->opset;
    for (size_t i = 0; i < m->n_opset_import; i++)
        if (strcmp(sqz_onnx_str(m->opset_import[i]->domain), domain) == 0)
            return m->opset_import[i]->version;
    return 1;
}

bool sqz_onnx_find(const sqz_onnx_import *im, const Onnx__NodeProto *n, sqz_onnx_reader *out,
                   bool *known)
{
    const bool own = sqz_onnx_default_domain(n->domain);
    const int64_t opset = sqz_onnx_opset(im, n->domain);
    const char *type = sqz_onnx_str(n->op_type);
    bool seen = false;
    *out = (sqz_onnx_reader){.special = own ? sqz_onnx_special(type) : NULL};
    if (!out->special)
        out->lower = sqz_lower_find(own ? "" : n->domain, type, opset, &seen);
    *known = seen;
    if (!out->special && !out->lower && own)
        out->op = sqz_op_of_onnx(type, opset, &seen);
    *known = *known || seen;
    return out->special || out->lower || out->op;
}

const char *sqz_onnx_place(sqz_arena *a, const Onnx__NodeProto *n, uint32_t index)
{
    const char *name = sqz_onnx_str(n->name), *type = sqz_onnx_str(n->op_type);
    const char *t = *name
                        ? sqz_arena_printf(a, "node '%.100s' (%.40s, number %u)", name, type, index)
                        : sqz_arena_printf(a, "node (%.40s, number %u)", type, index);
    return t ? t : "node";
}

/* By AttributeProto.type: what we cannot read. */
static const char *const refused[] = {
    [5] = "a subgraph",       [9] = "a list of tensors",         [10] = "a list of subgraphs",
    [11] = "a sparse tensor", [12] = "a list of sparse tensors", [13] = "a type",
    [14] = "a list of types",
};

static void check_attributes(sqz_onnx_import *im, const Onnx__NodeProto *n, uint32_t i)
{
    const char *place = sqz_onnx_place(&im->arena, n, i);
    for (size_t k = 0; k < n->n_attribute && !im->bad[i]; k++) {
        const Onnx__AttributeProto *a = n->attribute[k];
        const char *what = NULL;
        if (a->type > 0 && (size_t)a->type < SQZ_COUNT(refused))
            what = refused[a->type];
        if (!what && (a->g || a->n_graphs))
            what = refused[5];
        if (!what && a->ref_attr_name && *a->ref_attr_name)
            what = "a reference to an attribute of a function";
        if (!what)
            continue;
        im->bad[i] = true;
        sqz_onnx_line(im, SQZ_E_UNSUPPORTED, "%s: attribute '%.60s' is %s, which is not supported",
                      place, sqz_onnx_str(a->name), what);
    }
}

static void check_node(sqz_onnx_import *im, uint32_t i)
{
    const Onnx__NodeProto *n = im->graph->node[i];
    const char *type = sqz_onnx_str(n->op_type), *place = sqz_onnx_place(&im->arena, n, i);
    sqz_onnx_reader reader;
    bool known = false;
    im->bad[i] = true;
    if (!*type) {
        sqz_onnx_line(im, SQZ_E_FORMAT, "%s: has no operator type", place);
    } else if (!sqz_onnx_find(im, n, &reader, &known)) {
        if (known)
            sqz_onnx_line(im, SQZ_E_UNSUPPORTED, "%s: not supported at opset %lld", place,
                          (long long)sqz_onnx_opset(im, n->domain));
        else if (!sqz_onnx_default_domain(n->domain))
            sqz_onnx_line(im, SQZ_E_UNSUPPORTED,
                          "%s: the operator of domain '%.60s' is not supported", place, n->domain);
        else
            sqz_onnx_line(im, SQZ_E_UNSUPPORTED, "%s: the operator is not supported", place);
    } else {
        im->bad[i] = false;
        check_attributes(im, n, i);
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
    for (size_t i = 0; i < g->n_input; i++) {
        const char *kind = kind_of(g->input[i]->type);
        const char *name = sqz_onnx_str(g->input[i]->name);
        if (kind && sqz_onnx_names_get(&im->init, name) == SQZ_NONE)
            sqz_onnx_line(im, SQZ_E_UNSUPPORTED, "input '%.80s': is %s, expected a tensor", name,
                          kind);
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        sqz_onnx_line(im, SQZ_E_UNSUPPORTED, "sparse initializer %zu: not supported", i);
    for (uint32_t i = 0; i < g->n_node; i++)
        check_node(im, i);
    return im->lines->status;
}
