/* Graphs to ONNX files: what was in the file comes out again, in its names, order and layout;
 * integer values come out in QDQ form. */
#include "io/onnx.h"
#include "ir/pass.h"
#include "onnx_model.h"
#include <stdlib.h>

typedef struct state {
    sqz_ctx *ctx;
    model m;
    sqz_graph *g;
    void *bytes;
    size_t n;
    Onnx__ModelProto *out; /* what was written */
} state;

static int setup(void **p)
{
    state *s = calloc(1, sizeof *s);
    s->ctx = test_ctx();
    model_begin(&s->m, s->ctx, 8, 13);
    *p = s;
    return 0;
}
static void drop(state *s)
{
    ProtobufCAllocator al = sqz_onnx_allocator(s->ctx);
    if (s->out)
        onnx__model_proto__free_unpacked(s->out, &al);
    sqz_free(s->ctx, s->bytes);
    s->out = NULL;
    s->bytes = NULL;
}
static int teardown(void **p)
{
    state *s = *p;
    drop(s);
    sqz_graph_free(s->g);
    model_end(&s->m);
    sqz_ctx_free(s->ctx);
    free(s);
    return 0;
}
static void write_it(state *s)
{
    ProtobufCAllocator al = sqz_onnx_allocator(s->ctx);
    drop(s);
    TEST_OK(s->ctx, sqz_export_onnx(s->g, &s->bytes, &s->n));
    TEST_OK(s->ctx, sqz_onnx_scan(s->ctx, s->bytes, s->n, &onnx__model_proto__descriptor));
    s->out = onnx__model_proto__unpack(&al, s->n, s->bytes);
    assert_non_null(s->out);
}
static const Onnx__TensorProto *init_of(const state *s, const char *name)
{
    for (size_t i = 0; i < s->out->graph->n_initializer; i++)
        if (strcmp(s->out->graph->initializer[i]->name, name) == 0)
            return s->out->graph->initializer[i];
    return NULL;
}

/* "Op(in,in)->out " for each node. */
static const char *spelled(state *s)
{
    sqz_str t = {.ctx = s->ctx};
    for (size_t i = 0; i < s->out->graph->n_node; i++) {
        const Onnx__NodeProto *n = s->out->graph->node[i];
        sqz_str_addf(&t, "%s(", n->op_type);
        for (size_t k = 0; k < n->n_input; k++)
            sqz_str_addf(&t, "%s%s", k ? "," : "", n->input[k]);
        sqz_str_addf(&t, ")->%s ", n->output[0]);
    }
    const char *out = sqz_arena_strdup(&s->m.arena, t.len ? t.data : "");
    sqz_str_free(&t);
    return out;
}

static void test_names_order_shapes_and_metadata_come_out(void **p)
{
    state *s = *p;
    const float b[] = {1, 2, 3};
    const int64_t dims[] = {3};
    model_input(&s->m, "x", "N,3");
    model_floats(&s->m, "b", 1, dims, b, 3);
    model_node(&s->m, "Relu", "act", "x", "h");
    model_node(&s->m, "Add", "plus", "h,b", "y");
    model_output(&s->m, "y");
    for (int i = 0; i < 2; i++) {
        s->m.meta[i] = MODEL_NEW(&s->m, string_string_entry_proto);
        s->m.meta[i]->key = model_text(&s->m, i ? "a" : "z");
        s->m.meta[i]->value = model_text(&s->m, i ? "second" : "first");
    }
    s->m.m.n_metadata_props = 2;
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    write_it(s);
    const Onnx__ModelProto *o = s->out;
    assert_string_equal(spelled(s), "Relu(x)->h Add(h,b)->y ");
    assert_string_equal(o->graph->node[0]->name, "act");
    assert_string_equal(o->graph->node[1]->name, "plus");
    assert_string_equal(o->graph->input[0]->name, "x");
    assert_string_equal(o->graph->input[0]->type->tensor_type->shape->dim[0]->dim_param, "N");
    assert_string_equal(o->graph->output[0]->type->tensor_type->shape->dim[0]->dim_param, "N");
    assert_int_equal(o->graph->output[0]->type->tensor_type->shape->dim[1]->dim_value, 3);
    assert_int_equal(o->opset_import[0]->version, 13);
    assert_int_equal(o->ir_version, 7);
    assert_string_equal(o->producer_name, "squeeze");
    assert_string_equal(o->producer_version, sqz_version());
    assert_int_equal(o->n_metadata_props, 2);
    assert_string_equal(o->metadata_props[0]->key, "z");
    assert_string_equal(o->metadata_props[1]->value, "second");
    assert_memory_equal(init_of(s, "b")->raw_data.data, b, sizeof b);
}

/* Field 4000 + k, which onnx.proto does not have: a text. */
static void add_unknown(model *m, ProtobufCMessage *to, unsigned k)
{
    ProtobufCMessageUnknownField *f = sqz_arena_alloc(&m->arena, 1, sizeof *f);
    f->tag = 4000 + k;
    f->wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    f->len = 4;
    f->data = (uint8_t *)model_text(m, "\003new");
    to->n_unknown_fields = 1;
    to->unknown_fields = f;
}
static void assert_unknown(const ProtobufCMessage *m, unsigned k)
{
    assert_int_equal(m->n_unknown_fields, 1);
    assert_int_equal(m->unknown_fields[0].tag, 4000 + k);
    assert_int_equal(m->unknown_fields[0].len, 4);
    assert_memory_equal(m->unknown_fields[0].data, "\003new", 4);
}

static void test_texts_and_fields_without_meaning_for_us_are_kept(void **p)
{
    state *s = *p;
    model *m = &s->m;
    model_input(m, "x", "N,3");
    model_node(m, "Relu", "act", "x", "y");
    model_output(m, "y");
    m->m.domain = model_text(m, "org.example");
    m->m.has_model_version = 1;
    m->m.model_version = 7;
    m->m.doc_string = model_text(m, "of the model");
    m->g.doc_string = model_text(m, "of the graph");
    m->node[0]->doc_string = model_text(m, "of the node");
    m->in[0]->doc_string = model_text(m, "of the input");
    m->out[0]->doc_string = model_text(m, "of the output");
    Onnx__StringStringEntryProto *prop = MODEL_NEW(m, string_string_entry_proto);
    prop->key = model_text(m, "namespace");
    prop->value = model_text(m, "body.act");
    m->node[0]->n_metadata_props = 1;
    m->node[0]->metadata_props = &prop;
    ProtobufCMessage *part[] = {&m->m.base, &m->g.base, &m->node[0]->base, &m->in[0]->base,
                                &m->out[0]->base};
    for (unsigned k = 0; k < SQZ_COUNT(part); k++)
        add_unknown(m, part[k], k);
    sqz_graph *first;
    TEST_OK(s->ctx, model_import(m, NULL, &first));
    TEST_OK(s->ctx, sqz_graph_clone(first, &s->g));
    sqz_graph_free(first);
    for (int canonical = 0; canonical < 2; canonical++) {
        if (canonical)
            TEST_OK(s->ctx, sqz_run_recipe(s->g, SQZ_CANONICAL, NULL));
        write_it(s);
        const Onnx__GraphProto *g = s->out->graph;
        const ProtobufCMessage *got[] = {&s->out->base, &g->base, &g->node[0]->base,
                                         &g->input[0]->base, &g->output[0]->base};
        for (unsigned k = 0; k < SQZ_COUNT(got); k++)
            assert_unknown(got[k], k);
        assert_string_equal(s->out->domain, "org.example");
        assert_int_equal(s->out->model_version, 7);
        assert_string_equal(s->out->doc_string, "of the model");
        assert_string_equal(g->doc_string, "of the graph");
        assert_string_equal(g->node[0]->doc_string, "of the node");
        assert_string_equal(g->node[0]->metadata_props[0]->value, "body.act");
        assert_string_equal(g->input[0]->doc_string, "of the input");
        assert_string_equal(g->output[0]->doc_string, "of the output");
    }
}

static void test_the_same_graph_gives_the_same_bytes(void **p)
{
    state *s = *p;
    void *again;
    size_t n;
    model_input(&s->m, "x", "1,3");
    model_node(&s->m, "Neg", NULL, "x", "h");
    model_node(&s->m, "Clip", NULL, "h", "y");
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    write_it(s);
    TEST_OK(s->ctx, sqz_export_onnx(s->g, &again, &n));
    assert_int_equal(n, s->n);
    assert_memory_equal(again, s->bytes, n);
    sqz_free(s->ctx, again);
}

/* Attributes of old opsets are inputs in the one written. */
static void test_old_attributes_become_inputs(void **p)
{
    state *s = *p;
    s->m.opset.version = 10;
    model_input(&s->m, "x", "1,3");
    Onnx__NodeProto *n = model_node(&s->m, "Clip", "six", "x", "y");
    Onnx__AttributeProto *a = model_attr(&s->m, n, "max", 1);
    a->has_f = 1;
    a->f = 6;
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    write_it(s);
    const Onnx__NodeProto *o = s->out->graph->node[0];
    assert_int_equal(o->n_attribute, 0);
    assert_int_equal(o->n_input, 3);
    assert_string_equal(o->input[1], "");
    const Onnx__TensorProto *t = init_of(s, o->input[2]);
    assert_int_equal(t->n_dims, 0);
    assert_true(*(float *)(void *)t->raw_data.data == 6);
}

/* ---- quantized graphs ---- */

static void grid(state *s, sqz_vid v, float scale, int32_t zero)
{
    sqz_val(s->g, v)->dtype = SQZ_S8;
    TEST_OK(s->ctx, sqz_value_set_quant(s->g, v, SQZ_S8, -1, 1, &scale, &zero));
}
/* x -> quantize -> op -> op -> dequantize -> y */
static void chain(state *s, const char *op1, const char *op2, float s1, int32_t z1, float s2,
                  int32_t z2)
{
    const sqz_shape shape = {2, {1, 4}};
    sqz_vid v;
    TEST_OK(s->ctx, sqz_graph_create(s->ctx, &s->g));
    TEST_OK(s->ctx, sqz_graph_input(s->g, "x", SQZ_F32, &shape, &v));
    TEST_OK(s->ctx,
            sqz_graph_node_text(s->g, "quantize", "quant", "dtype=s8", &v, 1, SQZ_NONE, &v));
    grid(s, v, 0.5f, 3);
    TEST_OK(s->ctx, sqz_graph_rename(s->g, v, "xq"));
    const sqz_vid two[] = {v, v};
    TEST_OK(s->ctx, sqz_graph_node_text(s->g, op1, "one", "", two, strcmp(op1, "add") ? 1 : 2,
                                        SQZ_NONE, &v));
    grid(s, v, s1, z1);
    TEST_OK(s->ctx, sqz_graph_rename(s->g, v, "h1"));
    TEST_OK(s->ctx, sqz_graph_node_text(s->g, op2, "two", "", &v, 1, SQZ_NONE, &v));
    grid(s, v, s2, z2);
    TEST_OK(s->ctx, sqz_graph_rename(s->g, v, "h2"));
    TEST_OK(s->ctx, sqz_graph_node_text(s->g, "dequantize", "dequant", "", &v, 1, SQZ_NONE, &v));
    TEST_OK(s->ctx, sqz_graph_rename(s->g, v, "y"));
    TEST_OK(s->ctx, sqz_graph_set_outputs(s->g, &v, 1));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
}

static void test_integer_values_are_written_as_pairs(void **p)
{
    state *s = *p;
    if (!sqz_op_find("quantize"))
        skip();
    chain(s, "sigmoid", "neg", 0.25f, 1, 0.125f, -2);
    write_it(s);
    assert_string_equal(spelled(s), "QuantizeLinear(x,a,b)->xq DequantizeLinear(xq,a,b)->c "
                                    "Sigmoid(c)->h1 QuantizeLinear(h1,e,f)->d "
                                    "DequantizeLinear(d,e,f)->g Neg(g)->h2 "
                                    "QuantizeLinear(h2,i,j)->h DequantizeLinear(h,i,j)->y ");
    assert_true(*(float *)(void *)init_of(s, "a")->raw_data.data == 0.5f);
    assert_int_equal(*(int8_t *)init_of(s, "b")->raw_data.data, 3);
    assert_int_equal(init_of(s, "b")->data_type, 3);
    assert_int_equal(*(int8_t *)init_of(s, "j")->raw_data.data, -2);
}

static void test_no_pair_before_a_clamp_on_the_same_grid(void **p)
{
    state *s = *p;
    if (!sqz_op_find("quantize"))
        skip();
    chain(s, "add", "relu", 0.25f, -128, 0.25f, -128);
    write_it(s);
    assert_string_equal(spelled(s),
                        "QuantizeLinear(x,a,b)->xq DequantizeLinear(xq,a,b)->c Add(c,c)->h1 "
                        "Relu(h1)->h2 QuantizeLinear(h2,e,f)->d DequantizeLinear(d,e,f)->y ");
}

static void test_a_pair_before_a_clamp_on_another_grid(void **p)
{
    state *s = *p;
    if (!sqz_op_find("quantize"))
        skip();
    chain(s, "add", "relu", 0.25f, 0, 0.25f, -128);
    write_it(s);
    assert_non_null(strstr(spelled(s), "Add(c,c)->h1 QuantizeLinear(h1,"));
}

/* Inputs of the DequantizeLinear of the weights of `op`: 3 with a zero point. */
static size_t weight_inputs(state *s, const char *op, int32_t rank)
{
    sqz_shape xs = {rank, {1, 4, 4, 4}}, ws = {rank, {4, 4, 1, 1}};
    sqz_tensor w;
    sqz_vid v[2];
    if (rank == 4) /* weights of a convolution are channel-last, as its input is */
        ws = (sqz_shape){4, {4, 1, 1, 4}};
    TEST_OK(s->ctx, sqz_graph_create(s->ctx, &s->g));
    TEST_OK(s->ctx, sqz_graph_input(s->g, "x", SQZ_S8, &xs, &v[0]));
    grid(s, v[0], 0.5f, 3);
    sqz_val(s->g, v[0])->channel_last = rank == 4;
    TEST_OK(s->ctx, sqz_tensor_alloc(s->ctx, SQZ_S8, &ws, &w));
    memset(w.data, 1, w.bytes);
    TEST_OK(s->ctx, sqz_graph_constant(s->g, "w", &w, &v[1]));
    grid(s, v[1], 0.25f, 0);
    sqz_val(s->g, v[1])->channel_last = rank == 4;
    TEST_OK(s->ctx, sqz_graph_node_text(s->g, op, "product", "", v, 2, SQZ_NONE, &v[0]));
    grid(s, v[0], 1.0f, 0);
    sqz_val(s->g, v[0])->channel_last = rank == 4;
    TEST_OK(s->ctx, sqz_graph_set_outputs(s->g, v, 1));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
    write_it(s);
    for (size_t i = 0; i < s->out->graph->n_node; i++)
        if (strcmp(s->out->graph->node[i]->input[0], "w") == 0)
            return s->out->graph->node[i]->n_input;
    return 0;
}

static void test_weights_of_convolutions_need_no_zero_point(void **p)
{
    assert_int_equal(weight_inputs(*p, "conv2d", 4), 2);
}

/* ONNX Runtime fuses Gemm only with it. */
static void test_weights_of_gemm_keep_their_zero_point(void **p)
{
    assert_int_equal(weight_inputs(*p, "gemm", 2), 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_names_order_shapes_and_metadata_come_out),
        T(test_texts_and_fields_without_meaning_for_us_are_kept),
        T(test_the_same_graph_gives_the_same_bytes),
        T(test_old_attributes_become_inputs),
        T(test_integer_values_are_written_as_pairs),
        T(test_no_pair_before_a_clamp_on_the_same_grid),
        T(test_a_pair_before_a_clamp_on_another_grid),
        T(test_weights_of_convolutions_need_no_zero_point),
        T(test_weights_of_gemm_keep_their_zero_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
