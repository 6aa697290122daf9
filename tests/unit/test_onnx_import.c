/* ONNX files to graphs: names, shapes, order, constants, refusals, and files that are damaged. */
#include "io/onnx.h"
#include "onnx_model.h"
#include <stdlib.h>

typedef struct state {
    sqz_ctx *ctx;
    model m;
    sqz_graph *g;
    unsigned errors; /* logged */
} state;

static void count_errors(void *user, sqz_log_level level, const char *text)
{
    state *s = user;
    s->errors += level == SQZ_LOG_ERROR;
    assert_non_null(text);
}
static int setup(void **p)
{
    state *s = calloc(1, sizeof *s);
    sqz_ctx_options opt = SQZ_CTX_OPTIONS_INIT;
    opt.log = count_errors;
    opt.log_user = s;
    assert_int_equal(sqz_ctx_create(&opt, &s->ctx), SQZ_OK);
    model_begin(&s->m, s->ctx, 8, 13);
    *p = s;
    return 0;
}
static int teardown(void **p)
{
    state *s = *p;
    sqz_graph_free(s->g);
    model_end(&s->m);
    sqz_ctx_free(s->ctx);
    free(s);
    return 0;
}

/* x -> Relu -> Add(b) -> y */
static void small(state *s)
{
    const float b[] = {1, 2, 3};
    const int64_t dims[] = {3};
    model_input(&s->m, "x", "N,3");
    model_floats(&s->m, "b", 1, dims, b, 3);
    model_node(&s->m, "Relu", "act", "x", "h");
    model_node(&s->m, "Add", NULL, "h,b", "y");
    model_output(&s->m, "y");
}

static void test_names_and_the_open_batch_are_kept(void **p)
{
    state *s = *p;
    small(s);
    s->m.meta[0] = MODEL_NEW(&s->m, string_string_entry_proto);
    s->m.meta[0]->key = model_text(&s->m, "author");
    s->m.meta[0]->value = model_text(&s->m, "somebody");
    s->m.m.n_metadata_props = 1;
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
    const sqz_graph *g = s->g;
    assert_int_equal(g->n_input, 1);
    assert_int_equal(g->n_output, 1);
    assert_string_equal(sqz_val(g, g->input[0])->name, "x");
    assert_string_equal(sqz_val(g, g->output[0])->name, "y");
    assert_int_equal(sqz_val(g, g->output[0])->shape.dim[0], 1);
    assert_true(g->batch_free);
    assert_string_equal(g->batch_name, "N");
    assert_string_equal(sqz_nod(g, g->first)->name, "act");
    assert_string_equal(sqz_nod(g, g->last)->name, "Add_1");
    assert_int_equal(g->opset, 13);
    assert_string_equal(g->name, "g");
    assert_string_equal(g->producer, "test");
    assert_string_equal(sqz_graph_get_meta(g, "author"), "somebody");
}

static void test_nodes_in_any_order_are_sorted_stably(void **p)
{
    state *s = *p;
    model_input(&s->m, "x", "1,3");
    model_node(&s->m, "Add", "last", "a,c", "y");
    model_node(&s->m, "Relu", "third", "b", "c");
    model_node(&s->m, "Neg", "first", "x", "a");
    model_node(&s->m, "Abs", "second", "x", "b");
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    const char *want[] = {"first", "second", "third", "last"};
    unsigned k = 0;
    SQZ_EACH_NODE(s->g, n)
    assert_string_equal(sqz_nod(s->g, n)->name, want[k++]);
    assert_int_equal(k, 4);
}

static void test_broken_names_are_refused_with_the_place(void **p)
{
    state *s = *p;
    small(s);
    s->m.node[1]->input[1] = model_text(&s->m, "nowhere");
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_FORMAT,
               "node (Add, number 1): input 'nowhere' is neither");
    s->m.node[1]->input[1] = model_text(&s->m, "y");
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_FORMAT,
               "its input depends on its output");
    s->m.node[1]->input[1] = model_text(&s->m, "b");
    s->m.node[1]->output[0] = model_text(&s->m, "h");
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_FORMAT,
               "'h' is written a second time");
    s->m.node[1]->output[0] = model_text(&s->m, "other");
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_FORMAT, "graph output 'y'");
    s->m.g.n_output = 0;
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_FORMAT, "0 outputs");
}

static void test_initializers_listed_as_inputs_are_constants(void **p)
{
    state *s = *p;
    small(s);
    s->m.m.ir_version = 3;
    s->m.opset.version = 7;
    model_input(&s->m, "b", "3");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    assert_int_equal(s->g->n_input, 1);
    assert_non_null(sqz_val(s->g, sqz_graph_find(s->g, "b"))->constant);
}

static void test_open_dimensions_are_asked_for(void **p)
{
    state *s = *p;
    model_input(&s->m, "x:0", "?,3,height,?");
    model_node(&s->m, "Relu", "act", "x:0", "y");
    model_output(&s->m, "y");
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_SHAPE,
               "--shape 'x:0=1,3,<height>,<size>'");
    TEST_FAILS(s->ctx, model_import(&s->m, "x:0=1,3,8", &s->g), SQZ_E_ARG, "4 dimensions");
    TEST_FAILS(s->ctx, model_import(&s->m, "x:0=1,4,8,8", &s->g), SQZ_E_ARG,
               "dimension 1 is given as 4");
    TEST_FAILS(s->ctx, model_import(&s->m, "z=1,4,8,8", &s->g), SQZ_E_ARG, "no input 'z'");
    TEST_FAILS(s->ctx, model_import(&s->m, "x:0=1,3,8,0", &s->g), SQZ_E_ARG, "above 0");
    TEST_FAILS(s->ctx, model_import(&s->m, "nonsense", &s->g), SQZ_E_ARG, "name=1,3");
    TEST_OK(s->ctx, model_import(&s->m, "x:0=2,3,8,9", &s->g));
    const sqz_shape want = {4, {2, 3, 8, 9}};
    assert_true(sqz_shape_eq(&sqz_val(s->g, s->g->output[0])->shape, &want));
    assert_false(s->g->batch_free);
}

/* Reshape to (Shape(x)[0], -1), spelled out in five nodes, is known at import. */
static void test_shape_idioms_are_computed(void **p)
{
    state *s = *p;
    const int64_t zero[] = {0}, rest[] = {-1};
    model_input(&s->m, "x", "batch,4,5");
    model_list64(&s->m, "zero", zero, 1);
    model_list64(&s->m, "rest", rest, 1);
    model_node(&s->m, "Shape", NULL, "x", "dims");
    model_node(&s->m, "Gather", NULL, "dims,zero", "n");
    model_int(&s->m, model_node(&s->m, "Concat", NULL, "n,rest", "to"), "axis", 0);
    model_node(&s->m, "Reshape", "flat", "x,to", "y");
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
    const sqz_shape want = {2, {1, 20}};
    assert_true(sqz_shape_eq(&sqz_val(s->g, s->g->output[0])->shape, &want));
    unsigned n = 0;
    SQZ_EACH_NODE(s->g, k)
    n++;
    assert_int_equal(n, 1);
    TEST_OK(s->ctx, sqz_graph_set_batch(s->g, 3)); /* the batch stays free */
    assert_int_equal(sqz_val(s->g, s->g->output[0])->shape.dim[0], 3);
}

static void test_constant_nodes_of_every_kind(void **p)
{
    state *s = *p;
    const float two[] = {2, 3};
    const int64_t dims[] = {2};
    model_input(&s->m, "x", "1,2");
    Onnx__AttributeProto *a = model_attr(&s->m, model_node(&s->m, "Constant", NULL, NULL, "c"),
                                         "value", 4);
    a->t = model_raw(&s->m, NULL, 1, 1, dims, two, sizeof two);
    a = model_attr(&s->m, model_node(&s->m, "Constant", NULL, NULL, "d"), "value_float", 1);
    a->has_f = 1;
    a->f = 5;
    model_node(&s->m, "Mul", NULL, "c,d", "e");
    model_node(&s->m, "Add", NULL, "x,e", "y");
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    const sqz_tensor *t = sqz_val(s->g, sqz_graph_find(s->g, "e"))->constant;
    assert_non_null(t);
    assert_true(SQZ_F32P(t)[0] == 10 && SQZ_F32P(t)[1] == 15);
    assert_int_equal(s->g->first, s->g->last); /* only the Add is left */
}

static void test_outputs_keep_their_names(void **p)
{
    state *s = *p;
    model_input(&s->m, "x", "1,2");
    model_node(&s->m, "Identity", NULL, "x", "copy");
    model_node(&s->m, "Relu", NULL, "x", "r");
    model_node(&s->m, "Dropout", NULL, "r", "d,mask"); /* the mask is not read by anybody */
    model_output(&s->m, "copy");
    model_output(&s->m, "d");
    model_output(&s->m, "r");
    model_output(&s->m, "x");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
    const char *want[] = {"copy", "d", "r", "x"};
    for (uint32_t i = 0; i < 4; i++)
        assert_string_equal(sqz_val(s->g, s->g->output[i])->name, want[i]);
}

/* The shape that Reshape goes to is an input: a constant when its value is known. */
static void test_inputs_with_a_known_value_become_constants_where_needed(void **p)
{
    state *s = *p;
    int64_t three_four[] = {3, 4};
    float x[12] = {0};
    const sqz_shape pair = {1, {2}}, flat = {2, {2, 6}};
    sqz_tensor t, u;
    model_input(&s->m, "x", "n,6");
    s->m.in[s->m.g.n_input++] = model_info(&s->m, "shape", 7, "2");
    model_node(&s->m, "Reshape", "r", "x,shape", "y");
    model_output(&s->m, "y");
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_UNSUPPORTED, "must be a constant");

    TEST_OK(s->ctx, sqz_tensor_view(s->ctx, SQZ_S64, &pair, three_four, &t));
    TEST_OK(s->ctx, sqz_tensor_view(s->ctx, SQZ_F32, &flat, x, &u));
    sqz_given given[] = {{.tensor = &u}, {.tensor = &t}}; /* by place */
    TEST_OK(s->ctx,
            model_import_with(&s->m, &(sqz_import_options){.given = given, .n_given = 2}, &s->g));
    assert_string_equal(given[1].name, "shape");
    assert_int_equal(s->g->n_input, 1); /* x is not needed as a constant */
    assert_int_equal(sqz_val(s->g, s->g->input[0])->shape.dim[0], 2);
    assert_int_equal(sqz_val(s->g, s->g->output[0])->shape.dim[1], 4);
    sqz_graph_free(s->g);

    const sqz_import_options bound = {.shape = "x=2,6", .bind = "shape=4,3"};
    TEST_OK(s->ctx, model_import_with(&s->m, &bound, &s->g));
    assert_int_equal(sqz_val(s->g, s->g->output[0])->shape.dim[1], 3);
    assert_int_equal(s->g->n_input, 1);
    sqz_graph_free(s->g);
    s->g = NULL;
    const struct {
        const char *bind, *why;
    } wrong[] = {{"shape=3", "2 numbers"},   {"shape=3,4,1", "2 numbers"},
                 {"shape=3,x", "numbers"},   {"shape=3,4.5", "numbers"},
                 {"shape", "name=16000"},    {"sr=1", "no input 'sr'"},
                 {"shape=3,4,", "2 numbers"}};
    for (size_t i = 0; i < SQZ_COUNT(wrong); i++)
        TEST_FAILS(s->ctx,
                   model_import_with(&s->m, &(sqz_import_options){.bind = wrong[i].bind}, &s->g),
                   SQZ_E_ARG, wrong[i].why);
}

/* ---- refusals ---- */

static void test_versions_outside_are_refused(void **p)
{
    state *s = *p;
    small(s);
    s->m.opset.version = 28;
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_UNSUPPORTED,
               "opset version 28, supported are 1 to 27");
    s->m.opset.version = -1;
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_UNSUPPORTED, "opset version -1");
    s->m.opset.version = 13;
    s->m.opset.domain = model_text(&s->m, "ai.onnx");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    sqz_graph_free(s->g);
    s->m.opset.domain = model_text(&s->m, "com.example");
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_FORMAT, "opset version");
    s->m.opset.domain = NULL;
    s->m.m.ir_version = 14;
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_UNSUPPORTED, "IR version 14");
    s->m.m.has_ir_version = 0;
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_FORMAT, "no IR version");
}

static void test_everything_unsupported_is_listed_at_once(void **p)
{
    state *s = *p;
    sqz_str lines = {.ctx = s->ctx};
    size_t n, found = 0;
    small(s);
    model_node(&s->m, "Einstein", "first", "h", "p");
    model_node(&s->m, "Unthinkable", NULL, "p", "q");
    model_node(&s->m, "Relu", "elsewhere", "h", "r")->domain = model_text(&s->m, "com.example");
    Onnx__AttributeProto *a = model_attr(&s->m, model_node(&s->m, "Relu", "nested", "h", "t"),
                                         "body", 5);
    a->g = &s->m.g; /* packed below as a copy of an empty graph */
    Onnx__GraphProto empty;
    onnx__graph_proto__init(&empty);
    a->g = &empty;
    model_int(&s->m, model_node(&s->m, "Abs", "extra", "h", "u"), "novelty", 1);
    model_node(&s->m, "Add", "behind", "q,r", "v"); /* is fine itself: not on the list */
    const char *want[] = {"5 things cannot be run",
                          "node 'first' (Einstein, number 2)",
                          "node (Unthinkable, number 3)",
                          "node 'elsewhere' (Relu, number 4)",
                          "'com.example'",
                          "node 'nested' (Relu, number 5)",
                          "a subgraph",
                          "node 'extra' (Abs, number 6): attribute 'novelty'"};
    for (size_t i = 0; i < SQZ_COUNT(want); i++)
        TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_UNSUPPORTED, want[i]);
    assert_null(strstr(sqz_last_error(s->ctx), "behind"));
    assert_int_equal(s->errors, 5 * SQZ_COUNT(want));
    const unsigned char *b = model_bytes(&s->m, &n);
    TEST_OK(s->ctx, sqz_onnx_unsupported(s->ctx, b, n, &lines));
    for (size_t i = 0; i < lines.len; i++)
        found += lines.data[i] == '\n';
    assert_int_equal(found, 5);
    sqz_str_free(&lines);
}

static void test_a_long_list_is_bounded(void **p)
{
    state *s = *p;
    small(s);
    for (int i = 0; i < 50; i++) {
        char name[200], out[16];
        snprintf(name, sizeof name, "%0150d", i);
        snprintf(out, sizeof out, "o%d", i);
        model_node(&s->m, "Einstein", name, "h", out);
    }
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_UNSUPPORTED,
               "50 things cannot be run");
    assert_non_null(strstr(sqz_last_error(s->ctx), " more"));
    assert_true(strlen(sqz_last_error(s->ctx)) < 1000);
}

static void test_sequences_are_refused(void **p)
{
    state *s = *p;
    small(s);
    s->m.in[0]->type->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
    Onnx__TypeProto__Sequence q;
    onnx__type_proto__sequence__init(&q);
    s->m.in[0]->type->sequence_type = &q;
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), SQZ_E_UNSUPPORTED,
               "input 'x': is a sequence");
}

/* ---- quantized files ---- */

static void test_q_and_dq_put_grids_on_values(void **p)
{
    state *s = *p;
    const float scale = 0.5f, w[] = {1, -2};
    const int8_t zero = 3;
    const int64_t dims[] = {1, 2};
    if (!sqz_op_find("quantize") || !sqz_op_find("dequantize"))
        skip();
    model_input(&s->m, "x", "1,2");
    model_floats(&s->m, "s", 0, NULL, &scale, 1);
    model_floats(&s->m, "w", 2, dims, w, 2);
    model_init(&s->m, model_raw(&s->m, "z", 3, 0, NULL, &zero, 1));
    model_node(&s->m, "QuantizeLinear", "q", "x,s,z", "xq");
    model_node(&s->m, "DequantizeLinear", "dq", "xq,s,z", "xd");
    model_node(&s->m, "QuantizeLinear", "wq", "w,s,z", "wi");
    model_node(&s->m, "DequantizeLinear", "wdq", "wi,s,z", "wd");
    model_node(&s->m, "Add", "add", "xd,wd", "y");
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
    const sqz_value *v = sqz_val(s->g, sqz_graph_find(s->g, "xq"));
    assert_int_equal(v->dtype, SQZ_S8);
    assert_non_null(v->quant);
    assert_true(v->quant->scale[0] == 0.5f);
    assert_int_equal(v->quant->zero[0], 3);
    v = sqz_val(s->g, sqz_graph_find(s->g, "wi")); /* computed, and stays on its grid */
    assert_non_null(v->constant);
    assert_int_equal(SQZ_S8P(v->constant)[0], 5);
    assert_int_equal(SQZ_S8P(v->constant)[1], -1);
    assert_null(sqz_val(s->g, sqz_graph_find(s->g, "wd"))->constant);
}

/* ---- damaged files ---- */

/* The importer answers, whatever the bytes; a graph that it makes is valid. */
static void try_bytes(sqz_ctx *ctx, const unsigned char *bytes, size_t n)
{
    unsigned char *exact = malloc(n ? n : 1);
    sqz_graph *g = NULL;
    memcpy(exact, bytes, n);
    sqz_status s = sqz_import_bytes(ctx, exact, n, NULL, &g);
    if (s == SQZ_OK)
        TEST_OK(ctx, sqz_graph_verify(g));
    else
        assert_true(*sqz_last_error(ctx) && !g);
    sqz_graph_free(g);
    free(exact);
}

static void test_every_truncation_is_refused(void **p)
{
    state *s = *p;
    size_t n;
    small(s);
    const unsigned char *b = model_bytes(&s->m, &n);
    for (size_t k = 0; k < n; k++) {
        unsigned char *cut = malloc(k + 1);
        memcpy(cut, b, k);
        sqz_status st = sqz_import_bytes(s->ctx, cut, k, NULL, &s->g);
        if (st != SQZ_E_FORMAT)
            fail_msg("cut to %zu of %zu bytes: status %d (%s)", k, n, (int)st,
                     sqz_last_error(s->ctx));
        free(cut);
    }
    TEST_FAILS(s->ctx, sqz_import_bytes(s->ctx, b, n - 1, NULL, &s->g), SQZ_E_FORMAT, "byte ");
}

static void test_bit_flips_never_crash(void **p)
{
    state *s = *p;
    size_t n;
    sqz_rng r = {.seed = 20261123};
    small(s);
    model_list64(&s->m, "to", (const int64_t[]){-1}, 1);
    model_node(&s->m, "Reshape", NULL, "y,to", "flat");
    model_output(&s->m, "flat");
    const unsigned char *b = model_bytes(&s->m, &n);
    unsigned char *work = sqz_arena_alloc(&s->m.arena, n, 1);
    for (int k = 0; k < 10000; k++) {
        memcpy(work, b, n);
        for (uint64_t flips = 1 + sqz_rng_below(&r, 3); flips--;) {
            uint64_t bit = sqz_rng_below(&r, n * 8);
            work[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        }
        try_bytes(s->ctx, work, n);
    }
}

static void test_deep_nesting_is_refused_before_unpacking(void **p)
{
    state *s = *p;
    /* graph.node.attribute.g.node.attribute.g ...: 30,000 levels, lengths written back to front */
    enum { LEVELS = 30000 };
    static const unsigned char tag[] = {0x32, 0x0a, 0x2a}; /* g, node, attribute */
    size_t room = LEVELS * 6, at = room;
    unsigned char *b = malloc(room);
    for (int k = 0; k < LEVELS; k++) {
        size_t len = room - at;
        unsigned char v[5];
        unsigned used = 0;
        do
            v[used++] = (unsigned char)((len & 127) | (len > 127 ? 128 : 0));
        while (len >>= 7);
        at -= used;
        memcpy(b + at, v, used);
        b[--at] = k == LEVELS - 1 ? 0x3a
                                  : tag[(LEVELS - 1 - k) % 3 == 1   ? 1
                                        : (LEVELS - 1 - k) % 3 == 2 ? 2
                                                                    : 0];
    }
    TEST_FAILS(s->ctx, sqz_import_bytes(s->ctx, b + at, room - at, NULL, &s->g), SQZ_E_FORMAT,
               "nested deeper than 64");
    free(b);
}

static void test_damage_is_named_with_byte_and_field(void **p)
{
    state *s = *p;
    static const struct {
        const char *bytes;
        size_t n;
        const char *part;
    } c[] = {
        {"\x08\x80", 2, "byte 0 (ir_version): a number does not end"},
        {"\x3a\x7f\x0a", 3, "byte 0 (graph): is 127 bytes long, but only 1 are left"},
        {"\x3a\x04\x0a\x02\x0a\x05", 6, "byte 4 (graph.node[0].input): is 5 bytes long"},
        {"\x3a\x02\x08\x01", 4, "byte 2 (graph.node): has a wire type"},
        {"\x3a\x00\x3a\x00", 4, "byte 2 (graph): appears twice"},
        {"\x08\x07\x7b", 3, "wire types"},
        {"\x08\x07\x00", 3, "field number 0"},
    };
    for (size_t i = 0; i < SQZ_COUNT(c); i++)
        TEST_FAILS(s->ctx, sqz_import_bytes(s->ctx, c[i].bytes, c[i].n, NULL, &s->g), SQZ_E_FORMAT,
                   c[i].part);
    TEST_FAILS(s->ctx, sqz_import_bytes(s->ctx, "", 0, NULL, &s->g), SQZ_E_FORMAT, "empty");
    TEST_FAILS(s->ctx, sqz_import_bytes(s->ctx, "\x89HDF", 4, NULL, &s->g), SQZ_E_FORMAT,
               "not a model file");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_names_and_the_open_batch_are_kept),
        T(test_nodes_in_any_order_are_sorted_stably),
        T(test_broken_names_are_refused_with_the_place),
        T(test_initializers_listed_as_inputs_are_constants),
        T(test_open_dimensions_are_asked_for),
        T(test_inputs_with_a_known_value_become_constants_where_needed),
        T(test_shape_idioms_are_computed),
        T(test_constant_nodes_of_every_kind),
        T(test_outputs_keep_their_names),
        T(test_versions_outside_are_refused),
        T(test_everything_unsupported_is_listed_at_once),
        T(test_a_long_list_is_bounded),
        T(test_sequences_are_refused),
        T(test_q_and_dq_put_grids_on_values),
        T(test_every_truncation_is_refused),
        T(test_bit_flips_never_crash),
        T(test_deep_nesting_is_refused_before_unpacking),
        T(test_damage_is_named_with_byte_and_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
