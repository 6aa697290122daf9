/* export_onnx.c: graph -> ONNX bytes, in the file's layout, names and order. Works on any state of
 * the graph: as imported, channel-last, quantized. */
#include "io/onnx_export.h"
#include <string.h>

/* ---- inputs and outputs ---- */

static sqz_status dims(sqz_onnx_export *e, const sqz_shape *s, bool open,
                       Onnx__TensorShapeProto **out)
{
    Onnx__TensorShapeProto *p = *out = sqz_arena_alloc(&e->arena, 1, sizeof *p);
    if (!p)
        return SQZ_E_NOMEM;
    onnx__tensor_shape_proto__init(p);
    p->dim = sqz_arena_alloc(&e->arena, (size_t)s->rank + 1, sizeof *p->dim);
    if (!p->dim)
        return SQZ_E_NOMEM;
    for (int32_t i = 0; i < s->rank; i++) {
        Onnx__TensorShapeProto__Dimension *d = sqz_arena_alloc(&e->arena, 1, sizeof *d);
        if (!d)
            return SQZ_E_NOMEM;
        onnx__tensor_shape_proto__dimension__init(d);
        d->value_case = open && i == 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                       : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (open && i == 0)
            d->dim_param = (char *)(uintptr_t)(e->g->batch_name ? e->g->batch_name : "batch");
        else
            d->dim_value = s->dim[i];
        p->dim[p->n_dim++] = d;
    }
    return SQZ_OK;
}

static sqz_status info(sqz_onnx_export *e, sqz_vid v, bool open, Onnx__ValueInfoProto **out)
{
    const sqz_value *val = sqz_val(e->g, v);
    Onnx__ValueInfoProto *p = *out = sqz_arena_alloc(&e->arena, 1, sizeof *p);
    Onnx__TypeProto *t = sqz_arena_alloc(&e->arena, 1, sizeof *t);
    Onnx__TypeProto__Tensor *x = sqz_arena_alloc(&e->arena, 1, sizeof *x);
    if (!p || !t || !x)
        return SQZ_E_NOMEM;
    onnx__value_info_proto__init(p);
    onnx__type_proto__init(t);
    onnx__type_proto__tensor__init(x);
    Onnx__ValueInfoProto *extra;
    SQZ_TRY(sqz_onnx_unkeep(&e->arena, &val->extra, &onnx__value_info_proto__descriptor, &extra));
    if (extra)
        *p = *extra;
    p->name = (char *)(uintptr_t)val->name;
    p->type = t;
    t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    t->tensor_type = x;
    x->has_elem_type = 1;
    x->elem_type = sqz_onnx_file_type(val);
    const sqz_shape shape = sqz_value_file_shape(val);
    return dims(e, &shape, open, &x->shape);
}

/* Whether the graph really runs at any batch; the file says so only then. */
static sqz_status batch_is_free(const sqz_onnx_export *e, bool *yes)
{
    sqz_graph *copy;
    *yes = false;
    if (!e->g->batch_free)
        return SQZ_OK;
    SQZ_TRY(sqz_graph_clone(e->g, &copy));
    sqz_status s = sqz_graph_set_batch(copy, 2);
    *yes = s == SQZ_OK;
    sqz_graph_free(copy);
    return s == SQZ_E_NOMEM ? s : SQZ_OK;
}

static sqz_status infos(sqz_onnx_export *e)
{
    Onnx__GraphProto *p = &e->graph;
    bool open;
    SQZ_TRY(batch_is_free(e, &open));
    p->input = sqz_arena_alloc(&e->arena, (size_t)e->g->n_input + 1, sizeof *p->input);
    p->output = sqz_arena_alloc(&e->arena, (size_t)e->g->n_output + 1, sizeof *p->output);
    if (!p->input || !p->output)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < e->g->n_input; i++)
        SQZ_TRY(info(e, e->g->input[i], open, &p->input[p->n_input++]));
    for (uint32_t i = 0; i < e->g->n_output; i++)
        SQZ_TRY(info(e, sqz_onnx_root(e->g, e->g->output[i]), open, &p->output[p->n_output++]));
    return SQZ_OK;
}

/* ---- nodes ---- */

/* Uses of a value count for the value whose twin it is: they read one name in the file. */
static sqz_status merged_uses(sqz_onnx_export *e)
{
    sqz_uses u;
    const uint32_t n = e->g->n_value;
    SQZ_TRY(sqz_uses_build(e->g, &e->arena, &u));
    uint32_t total = u.first[n];
    e->uses.first = sqz_arena_alloc(&e->arena, (size_t)n + 2, sizeof *e->uses.first);
    e->uses.node = sqz_arena_alloc(&e->arena, (size_t)total + 1, sizeof *e->uses.node);
    if (!e->uses.first || !e->uses.node)
        return SQZ_E_NOMEM;
    for (int fill = 0; fill < 2; fill++) { /* count, then fill */
        for (sqz_vid v = 0; v < n; v++)
            for (uint32_t i = u.first[v]; i < u.first[v + 1]; i++) {
                sqz_nid reader = u.node[i];
                if (reader != SQZ_NONE && sqz_nod(e->g, reader)->layout)
                    continue; /* not in the file */
                sqz_vid root = sqz_onnx_root(e->g, v);
                if (fill)
                    e->uses.node[e->uses.first[root]++] = reader;
                else
                    e->uses.first[root + 1]++;
            }
        for (sqz_vid v = 0; !fill && v < n; v++)
            e->uses.first[v + 1] += e->uses.first[v];
    }
    for (sqz_vid v = n; v > 0; v--) /* first[v] ran to the end of its part */
        e->uses.first[v] = e->uses.first[v - 1];
    e->uses.first[0] = 0;
    return SQZ_OK;
}

/* Constants and inputs that are outputs themselves, as no node writes them. */
static sqz_status loose_outputs(sqz_onnx_export *e)
{
    const char *name;
    for (uint32_t i = 0; i < e->g->n_output; i++) {
        sqz_vid root = sqz_onnx_root(e->g, e->g->output[i]);
        const sqz_value *v = sqz_val(e->g, root);
        if (v->constant)
            SQZ_TRY(sqz_onnx_is_ints(v) ? sqz_onnx_ints(e, root, &name)
                                        : sqz_onnx_real(e, root, &name));
    }
    return SQZ_OK;
}

static sqz_status nodes(sqz_onnx_export *e)
{
    SQZ_TRY(merged_uses(e));
    e->face = sqz_arena_alloc(&e->arena, (size_t)e->g->n_value + 1, sizeof *e->face);
    if (!e->face)
        return SQZ_E_NOMEM;
    if (e->form.kind == SQZ_ONNX_NBITS)
        SQZ_TRY(sqz_onnx_plan_nbits(e));
    SQZ_EACH_NODE(e->g, id) { SQZ_TRY(sqz_onnx_export_node(e, id)); }
    return loose_outputs(e);
}

/* ---- the model ---- */

/* The source's opset, but the first that has every operator in the form in which it is written:
 * lowerings may bring newer ones in. QuantizeLinear by channel came with 13; 4 and 16 bits, and
 * blocks, with 21. */
static void choose_opset(sqz_onnx_export *e)
{
    e->opset = SQZ_MAX(SQZ_MAX(e->g->opset, e->form.opset), 13);
    for (sqz_vid v = 0; v < e->g->n_value; v++) {
        const sqz_value *val = sqz_val(e->g, v);
        const unsigned bits = sqz_dtype_bits(val->dtype);
        if (sqz_value_dead(val))
            continue;
        if (val->constant && bits == 4)
            e->opset = SQZ_MAX(e->opset, 21);
        if (!sqz_onnx_is_ints(val))
            continue;
        e->quantized = true;
        if (bits == 4 || bits == 16 || val->quant->group)
            e->opset = SQZ_MAX(e->opset, 21);
    }
    SQZ_EACH_NODE(e->g, id)
    {
        const int since = sqz_nod(e->g, id)->op->onnx.since; /* beyond the last: never read so */
        e->opset = since <= SQZ_ONNX_OPSET_MAX ? SQZ_MAX(e->opset, since) : e->opset;
    }
}

/* The first IR version that ONNX published with an opset. */
static int64_t ir_of(int64_t opset)
{
    static const struct {
        int64_t opset, ir;
    } first[] = {{25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}};
    for (size_t i = 0; i < SQZ_COUNT(first); i++)
        if (opset >= first[i].opset)
            return first[i].ir;
    return 7;
}

static sqz_status metadata(sqz_onnx_export *e)
{
    size_t n = 0;
    for (const sqz_meta *m = e->g->meta; m; m = m->next)
        n++;
    Onnx__StringStringEntryProto *entry = sqz_arena_alloc(&e->arena, n + 1, sizeof *entry);
    e->model.metadata_props = sqz_arena_alloc(&e->arena, n + 1, sizeof(void *));
    if (!entry || !e->model.metadata_props)
        return SQZ_E_NOMEM;
    for (const sqz_meta *m = e->g->meta; m; m = m->next, entry++) {
        onnx__string_string_entry_proto__init(entry);
        entry->key = (char *)(uintptr_t)m->key;
        entry->value = (char *)(uintptr_t)m->value;
        e->model.metadata_props[e->model.n_metadata_props++] = entry;
    }
    return SQZ_OK;
}

static sqz_status pack(sqz_onnx_export *e, void **bytes, size_t *n)
{
    *n = onnx__model_proto__get_packed_size(&e->model);
    if (*n > INT32_MAX)
        return sqz_fail(e->ctx, SQZ_E_LIMIT, "the model has %zu bytes, ONNX files end at 2 GiB",
                        *n);
    *bytes = sqz_malloc(e->ctx, *n);
    if (!*bytes)
        return SQZ_E_NOMEM;
    onnx__model_proto__pack(&e->model, *bytes);
    return SQZ_OK;
}

static sqz_status opsets(sqz_onnx_export *e)
{
    const size_t n = e->n_domain + 1u;
    Onnx__OperatorSetIdProto *o = sqz_arena_alloc(&e->arena, n, sizeof *o);
    e->model.opset_import = sqz_arena_alloc(&e->arena, n, sizeof(void *));
    if (!o || !e->model.opset_import)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        onnx__operator_set_id_proto__init(&o[i]);
        o[i].domain = (char *)(uintptr_t)(i ? e->domain[i - 1] : "");
        o[i].has_version = 1;
        o[i].version = i ? 1 : e->opset;
        e->model.opset_import[e->model.n_opset_import++] = &o[i];
    }
    return SQZ_OK;
}

static sqz_status begin(sqz_onnx_export *e)
{
    Onnx__ModelProto *m;
    Onnx__GraphProto *g;
    onnx__model_proto__init(&e->model);
    onnx__graph_proto__init(&e->graph);
    SQZ_TRY(sqz_onnx_unkeep(&e->arena, &e->g->model_extra, &onnx__model_proto__descriptor, &m));
    SQZ_TRY(sqz_onnx_unkeep(&e->arena, &e->g->graph_extra, &onnx__graph_proto__descriptor, &g));
    if (m)
        e->model = *m;
    if (g)
        e->graph = *g;
    return SQZ_OK;
}

static sqz_status export(sqz_onnx_export *e, void **bytes, size_t *n)
{
    SQZ_TRY(begin(e));
    choose_opset(e);
    SQZ_TRY(nodes(e));
    SQZ_TRY(infos(e));
    SQZ_TRY(metadata(e));
    e->graph.name = (char *)(uintptr_t)(e->g->name && *e->g->name ? e->g->name : "graph");
    e->model.has_ir_version = 1;
    e->model.ir_version = ir_of(e->opset);
    e->model.producer_name = (char *)(uintptr_t) "squeeze";
    e->model.producer_version = (char *)(uintptr_t)sqz_version();
    e->model.graph = &e->graph;
    SQZ_TRY(opsets(e));
    return pack(e, bytes, n);
}

sqz_status sqz_export_onnx_form(const sqz_graph *g, const sqz_onnx_form *form, void **bytes,
                                size_t *n)
{
    sqz_onnx_export e = {.ctx = g->ctx, .arena = {.ctx = g->ctx}, .g = g, .form = *form};
    *bytes = NULL;
    *n = 0;
    sqz_status s = export(&e, bytes, n);
    for (size_t i = 0; i < e.n_temp; i++)
        sqz_tensor_free(g->ctx, &e.temp[i]);
    sqz_arena_free(&e.arena);
    return s;
}

sqz_status sqz_export_onnx(const sqz_graph *g, void **bytes, size_t *n)
{
    return sqz_export_onnx_form(g, &(sqz_onnx_form){.kind = SQZ_ONNX_QDQ}, bytes, n);
}

sqz_status sqz_export_onnx_file(const sqz_graph *g, const sqz_onnx_form *form, const char *path)
{
    static const sqz_onnx_form pairs = {.kind = SQZ_ONNX_QDQ};
    void *bytes;
    size_t n;
    SQZ_TRY(sqz_export_onnx_form(g, form ? form : &pairs, &bytes, &n));
    sqz_status s = sqz_file_write(g->ctx, path, bytes, n);
    sqz_free(g->ctx, bytes);
    return s;
}
