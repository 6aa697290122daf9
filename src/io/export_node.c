/* export_node.c: one node of the graph as a NodeProto: attributes renumbered to the file's layout,
 * then spelled by the operator's write hook or by its schema. */
#include "io/onnx_export.h"
#include <string.h>

static sqz_status add_node(sqz_onnx_export *e, Onnx__NodeProto *n)
{
    Onnx__GraphProto *g = &e->graph;
    if (g->n_node == e->node_room) {
        size_t room = e->node_room ? 2 * e->node_room : 32;
        Onnx__NodeProto **grown = sqz_arena_alloc(&e->arena, room, sizeof *grown);
        if (!grown)
            return SQZ_E_NOMEM;
        if (g->n_node)
            memcpy(grown, g->node, g->n_node * sizeof *grown);
        g->node = grown;
        e->node_room = room;
    }
    g->node[g->n_node++] = n;
    return SQZ_OK;
}

sqz_status sqz_onnx_new_node(sqz_onnx_export *e, const char *op_type, const char *name, size_t n_in,
                             size_t n_out, Onnx__NodeProto **out)
{
    Onnx__NodeProto *n = *out = sqz_arena_alloc(&e->arena, 1, sizeof *n);
    if (!n)
        return SQZ_E_NOMEM;
    onnx__node_proto__init(n);
    n->op_type = (char *)(uintptr_t)op_type;
    n->name = (char *)(uintptr_t)name;
    n->n_input = n_in;
    n->n_output = n_out;
    n->input = sqz_arena_alloc(&e->arena, n_in + 1, sizeof *n->input);
    n->output = sqz_arena_alloc(&e->arena, n_out + 1, sizeof *n->output);
    if (!n->input || !n->output)
        return SQZ_E_NOMEM;
    return add_node(e, n);
}

/* ---- attributes ---- */

static sqz_status write_attr(sqz_onnx_export *e, const sqz_export_attr *x,
                             Onnx__AttributeProto **out)
{
    Onnx__AttributeProto *a = *out = sqz_arena_alloc(&e->arena, 1, sizeof *a);
    if (!a)
        return SQZ_E_NOMEM;
    onnx__attribute_proto__init(a);
    a->name = (char *)(uintptr_t)x->name;
    a->has_type = 1;
    a->type = x->type;
    a->has_f = x->type == SQZ_ONNX_FLOAT;
    a->f = x->f;
    a->has_i = x->type == SQZ_ONNX_INT;
    a->i = x->i;
    if (x->type == SQZ_ONNX_STRING) {
        a->has_s = 1;
        a->s.len = strlen(x->s);
        a->s.data = (uint8_t *)(uintptr_t)x->s;
    } else if (x->type == SQZ_ONNX_STRINGS) {
        a->strings = sqz_arena_alloc(&e->arena, x->n_strings + 1u, sizeof *a->strings);
        if (!a->strings)
            return SQZ_E_NOMEM;
        a->n_strings = x->n_strings;
        for (uint32_t i = 0; i < x->n_strings; i++) {
            a->strings[i].len = strlen(x->strings[i]);
            a->strings[i].data = (uint8_t *)(uintptr_t)x->strings[i];
        }
    } else if (x->type == SQZ_ONNX_FLOATS) {
        a->n_floats = x->floats.n;
        a->floats = (float *)(uintptr_t)x->floats.v;
    } else if (x->type == SQZ_ONNX_INTS) {
        a->n_ints = x->ints.n;
        a->ints = (int64_t *)(uintptr_t)x->ints.v;
    }
    return SQZ_OK;
}

/* Lists that ONNX assumes where they are not written, for every operator that has them. */
static bool is_assumed(const sqz_export_attr *x)
{
    static const struct {
        const char *name;
        int64_t each;
    } row[] = {{"strides", 1}, {"dilations", 1}, {"pads", 0}, {"output_padding", 0}};
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        if (x->type != SQZ_ONNX_INTS || strcmp(row[i].name, x->name) != 0)
            continue;
        bool all = true;
        for (uint32_t k = 0; k < x->ints.n; k++)
            all = all && x->ints.v[k] == row[i].each;
        return all;
    }
    return false;
}

static sqz_status write_attrs(sqz_onnx_export *e, const sqz_export_attr *x, unsigned n_attr,
                              Onnx__NodeProto *n)
{
    Onnx__AttributeProto **grown = sqz_arena_alloc(&e->arena, n->n_attribute + n_attr + 1u,
                                                   sizeof *grown);
    if (!grown)
        return SQZ_E_NOMEM;
    if (n->n_attribute) /* added to what is there */
        memcpy(grown, n->attribute, n->n_attribute * sizeof *grown);
    n->attribute = grown;
    for (unsigned i = 0; i < n_attr; i++)
        if (!is_assumed(&x[i]))
            SQZ_TRY(write_attr(e, &x[i], &n->attribute[n->n_attribute++]));
    return SQZ_OK;
}

sqz_status sqz_onnx_set_int(sqz_onnx_export *e, Onnx__NodeProto *n, const char *name, int64_t v)
{
    const sqz_export_attr x = {.name = name, .type = SQZ_ONNX_INT, .i = v};
    return write_attrs(e, &x, 1, n);
}

/* ---- inputs ---- */

/* An attribute that this opset passes as an input. */
static sqz_status attr_input(sqz_onnx_export *e, const sqz_export *x, unsigned k, const char **out)
{
    bool f = x->in[k].is_float;
    uint32_t n = f ? x->in[k].floats.n : x->in[k].ints.n;
    const void *data = f ? (const void *)x->in[k].floats.v : (const void *)x->in[k].ints.v;
    const sqz_shape s = {.rank = !x->in[k].scalar, .dim = {n}};
    sqz_tensor from, to;
    SQZ_TRY(sqz_tensor_view(e->ctx, f ? SQZ_F32 : SQZ_S64, &s, (void *)(uintptr_t)data, &from));
    if (!f || x->in[k].real == SQZ_F32)
        return sqz_onnx_share(e, from.dtype, &s, data, from.bytes, out);
    SQZ_TRY(sqz_tensor_cast(e->ctx, &from, x->in[k].real, &to));
    sqz_status status = sqz_onnx_share(e, to.dtype, &s, to.data, to.bytes, out);
    sqz_tensor_free(e->ctx, &to);
    return status;
}

/* ONNX counts in int32 or int64; constants of smaller integers are cast to int32, which runtimes do
 * once. */
static sqz_status small_indices(sqz_onnx_export *e, sqz_vid v, const char **name)
{
    const sqz_dtype d = sqz_val(e->g, v)->dtype;
    Onnx__NodeProto *p;
    if (d == SQZ_S32 || d == SQZ_S64 || !sqz_val(e->g, v)->constant)
        return SQZ_OK;
    const char *from = *name;
    *name = sqz_onnx_fresh(e);
    if (!*name)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_new_node(e, "Cast", NULL, 1, 1, &p));
    p->input[0] = (char *)(uintptr_t)from;
    p->output[0] = (char *)(uintptr_t)*name;
    return sqz_onnx_set_int(e, p, "to", sqz_dtype_onnx(SQZ_S32));
}

sqz_status sqz_onnx_input_names(sqz_onnx_export *e, const sqz_export *x, bool codes,
                                const char **name)
{
    for (unsigned k = 0; k < x->n_in; k++) {
        const sqz_vid v = x->in[k].value;
        name[k] = "";
        if (x->in[k].is_const)
            SQZ_TRY(attr_input(e, x, k, &name[k]));
        else if (v != SQZ_NONE && codes && sqz_onnx_is_ints(sqz_val(e->g, v)))
            SQZ_TRY(sqz_onnx_ints(e, v, &name[k]));
        else if (v != SQZ_NONE)
            SQZ_TRY(sqz_onnx_real(e, v, &name[k]));
        if (k == 1 && v != SQZ_NONE && strcmp(x->op_type, "Gather") == 0)
            SQZ_TRY(small_indices(e, v, &name[k]));
    }
    return SQZ_OK;
}

/* ---- the node ---- */

/* A transpose of the file that moves nothing in our layout keeps its own permutation. */
static bool is_view(const sqz_node *n)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, "view") == 0)
            return *(const int64_t *)sqz_opt_field(&n->op->info.opts[i], n->attrs) != 0;
    return false;
}

sqz_status sqz_onnx_spell(sqz_onnx_export *e, const sqz_node *n, int64_t opset, sqz_export *x)
{
    const sqz_value *first = n->n_in && n->in[0] != SQZ_NONE ? sqz_val(e->g, n->in[0]) : NULL;
    void *moved = NULL;
    if (n->attrs && first && first->channel_last && !is_view(n))
        SQZ_TRY(sqz_attrs_renumber(e->ctx, &e->arena, n->op, n->attrs, first->shape.rank, false,
                                   &moved));
    x->arena = &e->arena;
    x->ctx = e->ctx;
    x->g = e->g;
    x->node = n;
    x->attrs = moved ? moved : n->attrs;
    x->opset = opset;
    x->op_type = n->op->onnx.op_type;
    x->domain = "";
    if (n->n_in > SQZ_EXPORT_INPUTS)
        return sqz_fail(e->ctx, SQZ_E_LIMIT, "more than %d inputs", SQZ_EXPORT_INPUTS);
    for (unsigned k = 0; k < n->n_in; k++)
        x->in[k].value = n->in[k];
    x->n_in = n->n_in;
    SQZ_TRY(n->op->onnx.write ? n->op->onnx.write(x) : sqz_export_schema(x));
    if (!x->op_type)
        return sqz_fail(e->ctx, SQZ_E_UNSUPPORTED, "the operator has no ONNX form");
    return SQZ_OK;
}

static sqz_status write_extra(sqz_onnx_export *e, const sqz_node *n, Onnx__NodeProto *p)
{
    Onnx__NodeProto *x;
    SQZ_TRY(sqz_onnx_unkeep(&e->arena, &n->extra, &onnx__node_proto__descriptor, &x));
    if (!x)
        return SQZ_OK;
    p->doc_string = x->doc_string;
    p->n_metadata_props = x->n_metadata_props;
    p->metadata_props = x->metadata_props;
    p->base.n_unknown_fields = x->base.n_unknown_fields;
    p->base.unknown_fields = x->base.unknown_fields;
    return SQZ_OK;
}

/* Every domain but ONNX's own is imported at its version 1. */
static sqz_status set_domain(sqz_onnx_export *e, const char *domain, Onnx__NodeProto *p)
{
    unsigned i = 0;
    if (sqz_onnx_default_domain(domain))
        return SQZ_OK;
    p->domain = (char *)(uintptr_t)domain;
    while (i < e->n_domain && strcmp(e->domain[i], domain) != 0)
        i++;
    if (i == SQZ_COUNT(e->domain))
        return sqz_fail(e->ctx, SQZ_E_LIMIT, "more than %u domains of operators", i);
    e->domain[i] = domain;
    e->n_domain = SQZ_MAX(e->n_domain, i + 1);
    return SQZ_OK;
}

/* What ONNX's operator cannot add itself is added to its result by a node that makes n's output. */
static sqz_status add_bias(sqz_onnx_export *e, const sqz_node *n, const char *bias,
                           Onnx__NodeProto *p)
{
    Onnx__NodeProto *sum;
    const char *between = sqz_onnx_fresh(e),
               *name = sqz_arena_printf(&e->arena, "%s_bias", n->name);
    if (!between || !name)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_new_node(e, "Add", name, 2, 1, &sum));
    sum->input[0] = (char *)(uintptr_t)between;
    sum->input[1] = (char *)(uintptr_t)bias;
    sum->output[0] = p->output[0];
    p->output[0] = (char *)(uintptr_t)between;
    return SQZ_OK;
}

sqz_status sqz_onnx_spelled_node(sqz_onnx_export *e, const sqz_node *n, const sqz_export *x,
                                 size_t n_in, Onnx__NodeProto **out)
{
    SQZ_TRY(sqz_onnx_new_node(e, x->op_type, n->name, n_in, n->n_out, out));
    SQZ_TRY(write_attrs(e, x->attr, x->n_attr, *out));
    SQZ_TRY(set_domain(e, x->domain, *out));
    return write_extra(e, n, *out);
}

static sqz_status operator_node(sqz_onnx_export *e, const sqz_node *n, sqz_export *x)
{
    Onnx__NodeProto *p;
    const char *bias = NULL;
    const char **in = sqz_arena_alloc(&e->arena, SQZ_EXPORT_INPUTS, sizeof *in);
    bool done = false;
    if (!in)
        return SQZ_E_NOMEM;
    if (e->form.kind == SQZ_ONNX_QOPERATOR)
        SQZ_TRY(sqz_onnx_qlinear(e, n, x, &done));
    if (done)
        return SQZ_OK;
    *x = (sqz_export){0};
    SQZ_TRY(sqz_onnx_spell(e, n, e->opset, x));
    SQZ_TRY(sqz_onnx_input_names(e, x, false, in));
    if (x->adds)
        SQZ_TRY(sqz_onnx_real(e, x->add, &bias));
    SQZ_TRY(sqz_onnx_spelled_node(e, n, x, x->n_in, &p));
    for (unsigned k = 0; k < x->n_in; k++)
        p->input[k] = (char *)(uintptr_t)in[k];
    for (unsigned k = 0; k < n->n_out; k++) {
        const char *name;
        SQZ_TRY(sqz_onnx_before(e, n->out[k], &name));
        p->output[k] = (char *)(uintptr_t)name;
    }
    const char *made = p->output[0];
    if (x->adds)
        SQZ_TRY(add_bias(e, n, bias, p));
    for (unsigned k = 0; k < n->n_out; k++)
        SQZ_TRY(sqz_onnx_after(e, n->out[k], k ? p->output[k] : made));
    return SQZ_OK;
}

sqz_status sqz_onnx_export_node(sqz_onnx_export *e, sqz_nid id)
{
    const sqz_node *n = sqz_nod(e->g, id);
    sqz_status s;
    if (n->layout) /* ours: its output is written as the value that it copies */
        return SQZ_OK;
    if (e->silent && e->silent[id])
        return SQZ_OK;
    if (e->nbits && e->nbits[id])
        return sqz_note(e->ctx, sqz_onnx_nbits(e, n), "node '%s' (%s)", n->name, n->op->info.name);
    if (strcmp(n->op->info.name, "quantize") == 0 || strcmp(n->op->info.name, "requantize") == 0) {
        s = sqz_onnx_quantize(e, n);
    } else if (strcmp(n->op->info.name, "dequantize") == 0) {
        s = sqz_onnx_dequantize(e, n);
    } else {
        sqz_export *x = sqz_calloc(e->ctx, 1, sizeof *x);
        s = x ? operator_node(e, n, x) : SQZ_E_NOMEM;
        sqz_free(e->ctx, x);
    }
    return sqz_note(e->ctx, s, "node '%s' (%s)", n->name, n->op->info.name);
}
