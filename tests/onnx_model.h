/* onnx_model.h: small ONNX models made in C, for tests. Everything lives in one arena. */
#ifndef SQZ_TEST_ONNX_MODEL_H
#define SQZ_TEST_ONNX_MODEL_H
#include "io/import.h"
#include "onnx.pb-c.h"
#include "sqz_test.h"

#define MODEL_ROOM 64
typedef struct model {
    sqz_arena arena;
    Onnx__ModelProto m;
    Onnx__GraphProto g;
    Onnx__OperatorSetIdProto opset, *opsets[4];
    Onnx__NodeProto *node[MODEL_ROOM];
    Onnx__TensorProto *init[MODEL_ROOM];
    Onnx__ValueInfoProto *in[MODEL_ROOM], *out[MODEL_ROOM];
    Onnx__StringStringEntryProto *meta[4];
} model;

#define MODEL_NEW(m, type) type##_new_(&(m)->arena)
#define MODEL_TYPE(Type, name)                                                                     \
    static inline Onnx__##Type *name##_new_(sqz_arena *a)                                          \
    {                                                                                              \
        Onnx__##Type *p = sqz_arena_alloc(a, 1, sizeof *p);                                        \
        assert_non_null(p);                                                                        \
        onnx__##name##__init(p);                                                                   \
        return p;                                                                                  \
    }
MODEL_TYPE(NodeProto, node_proto)
MODEL_TYPE(AttributeProto, attribute_proto)
MODEL_TYPE(TensorProto, tensor_proto)
MODEL_TYPE(ValueInfoProto, value_info_proto)
MODEL_TYPE(TypeProto, type_proto)
MODEL_TYPE(TypeProto__Tensor, type_proto__tensor)
MODEL_TYPE(TensorShapeProto, tensor_shape_proto)
MODEL_TYPE(TensorShapeProto__Dimension, tensor_shape_proto__dimension)
MODEL_TYPE(StringStringEntryProto, string_string_entry_proto)

static inline char *model_text(model *m, const char *s)
{
    char *p = sqz_arena_strdup(&m->arena, s);
    assert_non_null(p);
    return p;
}

static inline void model_begin(model *m, sqz_ctx *ctx, int64_t ir, int64_t opset)
{
    memset(m, 0, sizeof *m);
    m->arena.ctx = ctx;
    onnx__model_proto__init(&m->m);
    onnx__graph_proto__init(&m->g);
    onnx__operator_set_id_proto__init(&m->opset);
    m->opset.has_version = 1;
    m->opset.version = opset;
    m->opsets[0] = &m->opset;
    m->m.has_ir_version = 1;
    m->m.ir_version = ir;
    m->m.graph = &m->g;
    m->m.n_opset_import = 1;
    m->m.opset_import = m->opsets;
    m->m.metadata_props = m->meta;
    m->m.producer_name = model_text(m, "test");
    m->g.name = model_text(m, "g");
    m->g.node = m->node;
    m->g.initializer = m->init;
    m->g.input = m->in;
    m->g.output = m->out;
}

/* "1,3,?,N": numbers, ? for no dimension at all, anything else is a dim_param; NULL: no shape. */
static inline Onnx__ValueInfoProto *model_info(model *m, const char *name, int32_t type,
                                               const char *shape)
{
    Onnx__ValueInfoProto *v = MODEL_NEW(m, value_info_proto);
    v->name = model_text(m, name);
    v->type = MODEL_NEW(m, type_proto);
    v->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    v->type->tensor_type = MODEL_NEW(m, type_proto__tensor);
    v->type->tensor_type->has_elem_type = 1;
    v->type->tensor_type->elem_type = type;
    if (!shape)
        return v;
    Onnx__TensorShapeProto *s = v->type->tensor_type->shape = MODEL_NEW(m, tensor_shape_proto);
    s->dim = sqz_arena_alloc(&m->arena, 16, sizeof(void *));
    for (char *p = model_text(m, shape), *part; (part = strsep(&p, ",")) && *part;) {
        Onnx__TensorShapeProto__Dimension *d = MODEL_NEW(m, tensor_shape_proto__dimension);
        int64_t n;
        if (sqz_parse_i64(part, NULL, &n)) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = n;
        } else if (strcmp(part, "?") != 0) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = part;
        }
        s->dim[s->n_dim++] = d;
    }
    return v;
}
static inline void model_input(model *m, const char *name, const char *shape)
{
    m->in[m->g.n_input++] = model_info(m, name, 1, shape);
}
static inline void model_output(model *m, const char *name)
{
    m->out[m->g.n_output++] = model_info(m, name, 1, NULL);
}

static inline char **model_names(model *m, const char *list, size_t *n)
{
    char **out = sqz_arena_alloc(&m->arena, 16, sizeof *out);
    for (char *p = model_text(m, list), *part; (part = strsep(&p, ","));)
        out[(*n)++] = part;
    return out;
}
/* Inputs and outputs as "a,,b". */
static inline Onnx__NodeProto *model_node(model *m, const char *op, const char *name,
                                          const char *in, const char *out)
{
    Onnx__NodeProto *n = MODEL_NEW(m, node_proto);
    n->op_type = model_text(m, op);
    n->name = name ? model_text(m, name) : NULL;
    n->input = in ? model_names(m, in, &n->n_input) : NULL;
    n->output = model_names(m, out, &n->n_output);
    n->attribute = sqz_arena_alloc(&m->arena, 16, sizeof(void *));
    return m->node[m->g.n_node++] = n;
}
static inline Onnx__AttributeProto *model_attr(model *m, Onnx__NodeProto *n, const char *name,
                                               int32_t type)
{
    Onnx__AttributeProto *a = MODEL_NEW(m, attribute_proto);
    a->name = model_text(m, name);
    a->has_type = 1;
    a->type = type;
    return n->attribute[n->n_attribute++] = a;
}
static inline void model_int(model *m, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = model_attr(m, n, name, 2);
    a->has_i = 1;
    a->i = v;
}

static inline Onnx__TensorProto *model_tensor(model *m, const char *name, int32_t type, size_t rank,
                                              const int64_t *dims)
{
    Onnx__TensorProto *t = MODEL_NEW(m, tensor_proto);
    t->name = name ? model_text(m, name) : NULL;
    t->has_data_type = 1;
    t->data_type = type;
    t->n_dims = rank;
    t->dims = sqz_arena_alloc(&m->arena, rank + 1, sizeof *t->dims);
    if (rank)
        memcpy(t->dims, dims, rank * sizeof *dims);
    return t;
}
static inline Onnx__TensorProto *model_raw(model *m, const char *name, int32_t type, size_t rank,
                                           const int64_t *dims, const void *data, size_t bytes)
{
    Onnx__TensorProto *t = model_tensor(m, name, type, rank, dims);
    t->has_raw_data = 1;
    t->raw_data.len = bytes;
    t->raw_data.data = sqz_arena_alloc(&m->arena, bytes + 1, 1);
    memcpy(t->raw_data.data, data, bytes);
    return t;
}
static inline void model_init(model *m, Onnx__TensorProto *t) { m->init[m->g.n_initializer++] = t; }
static inline void model_floats(model *m, const char *name, size_t rank, const int64_t *dims,
                                const float *v, size_t n)
{
    model_init(m, model_raw(m, name, 1, rank, dims, v, n * sizeof *v));
}
static inline void model_list64(model *m, const char *name, const int64_t *v, size_t n)
{
    const int64_t dims[] = {(int64_t)n};
    model_init(m, model_raw(m, name, 7, 1, dims, v, n * sizeof *v));
}

static inline unsigned char *model_bytes(model *m, size_t *n)
{
    *n = onnx__model_proto__get_packed_size(&m->m);
    unsigned char *p = sqz_arena_alloc(&m->arena, *n, 1);
    assert_non_null(p);
    onnx__model_proto__pack(&m->m, p);
    return p;
}
static inline sqz_status model_import_with(model *m, const sqz_import_options *opt, sqz_graph **g)
{
    size_t n;
    const unsigned char *p = model_bytes(m, &n);
    return sqz_import_bytes(m->arena.ctx, p, n, opt, g);
}
static inline sqz_status model_import(model *m, const char *shape, sqz_graph **g)
{
    const sqz_import_options opt = {.shape = shape};
    return model_import_with(m, &opt, g);
}
static inline void model_end(model *m) { sqz_arena_free(&m->arena); }
#endif
