/* Integer graphs that go through a file come back as the same integers; what does not fit a rule
 * stays float. */
#include "exec/exec.h"
#include "io/import.h"
#include "ir/pass.h"
#include "onnx_model.h"
#include <stdlib.h>

typedef struct state {
    sqz_ctx *ctx;
    model m;
    sqz_graph *g, *back;
} state;

static int setup(void **p)
{
    state *s = calloc(1, sizeof *s);
    s->ctx = test_ctx();
    model_begin(&s->m, s->ctx, 8, 13);
    *p = s;
    return 0;
}
static int teardown(void **p)
{
    state *s = *p;
    sqz_graph_free(s->g);
    sqz_graph_free(s->back);
    model_end(&s->m);
    sqz_ctx_free(s->ctx);
    free(s);
    return 0;
}

static sqz_vid node(sqz_graph *g, const char *op, const char *attrs, const sqz_vid *in, unsigned n)
{
    sqz_vid v;
    TEST_OK(g->ctx, sqz_graph_node_text(g, op, NULL, attrs, in, n, SQZ_NONE, &v));
    return v;
}
/* The integers of `v` get a grid. */
static sqz_vid on_grid(sqz_graph *g, sqz_vid v, float scale, int32_t zero)
{
    sqz_val(g, v)->dtype = SQZ_S8;
    TEST_OK(g->ctx, sqz_value_set_quant(g, v, SQZ_S8, -1, 1, &scale, &zero));
    return v;
}

static sqz_vid weights(sqz_graph *g, sqz_rng *r, sqz_shape shape)
{
    sqz_tensor t;
    sqz_vid v;
    float scale[8];
    int32_t zero[8] = {0};
    TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, SQZ_S8, &shape, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_S8P(&t)[i] = (int8_t)((int)sqz_rng_below(r, 255) - 127);
    for (int64_t c = 0; c < shape.dim[0]; c++)
        scale[c] = 0.002f + 0.0003f * (float)c;
    TEST_OK(g->ctx, sqz_graph_constant(g, "w", &t, &v));
    TEST_OK(g->ctx, sqz_value_set_quant(g, v, SQZ_S8, 0, (uint32_t)shape.dim[0], scale, zero));
    sqz_val(g, v)->channel_last = shape.rank >= 3;
    return v;
}
static sqz_vid bias(sqz_graph *g, sqz_rng *r, sqz_vid w, float x_scale)
{
    const sqz_quant *q = sqz_val(g, w)->quant;
    const sqz_shape shape = {1, {q->n}};
    sqz_tensor t;
    sqz_vid v;
    float scale[8];
    int32_t zero[8] = {0};
    TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, SQZ_S32, &shape, &t));
    for (uint32_t c = 0; c < q->n; c++) {
        SQZ_S32P(&t)[c] = (int32_t)sqz_rng_below(r, 2000) - 1000;
        scale[c] = x_scale * q->scale[c];
    }
    TEST_OK(g->ctx, sqz_graph_constant(g, "b", &t, &v));
    TEST_OK(g->ctx, sqz_value_set_quant(g, v, SQZ_S32, 0, q->n, scale, zero));
    return v;
}

/* Channel-last, as after ptq: conv, relu on its grid, depthwise, residual add, sigmoid, concat,
 * max pool, mean over space. */
static void network(state *s)
{
    sqz_rng r = {.seed = 7};
    const sqz_shape shape = {4, {1, 6, 5, 4}};
    sqz_vid x, v[4];
    TEST_OK(s->ctx, sqz_graph_create(s->ctx, &s->g));
    sqz_graph *g = s->g;
    TEST_OK(s->ctx, sqz_graph_input(g, "x", SQZ_F32, &shape, &x));
    sqz_val(g, x)->channel_last = true;
    g->have = SQZ_HAS_LAYOUT;
    g->batch_free = true;
    x = on_grid(g, node(g, "quantize", "dtype=s8", &x, 1), 0.02f, -3);
    v[1] = weights(g, &r, (sqz_shape){4, {4, 3, 3, 4}});
    v[2] = bias(g, &r, v[1], 0.02f);
    v[0] = x;
    sqz_vid h = on_grid(g, node(g, "conv2d", "pads=1,1,1,1", v, 3), 0.03f, -128);
    h = on_grid(g, node(g, "relu", "", &h, 1), 0.03f, -128);
    v[0] = h;
    v[1] = weights(g, &r, (sqz_shape){4, {4, 3, 3, 1}});
    v[2] = bias(g, &r, v[1], 0.03f);
    v[0] = on_grid(g, node(g, "dwconv2d", "pads=1,1,1,1", v, 3), 0.05f, 4);
    v[1] = h;
    h = on_grid(g, node(g, "add", "", v, 2), 0.06f, -20);
    v[0] = on_grid(g, node(g, "sigmoid", "", &h, 1), 1.0f / 256, -128);
    v[1] = on_grid(g, node(g, "requantize", "", &h, 1), 1.0f / 256, -128);
    h = on_grid(g, node(g, "concat", "axis=3", v, 2), 1.0f / 256, -128);
    h = on_grid(g, node(g, "max_pool", "kernel_shape=2,2 strides=2,2", &h, 1), 1.0f / 256, -128);
    h = on_grid(g, node(g, "global_average_pool", "", &h, 1), 0.003f, -100);
    h = node(g, "dequantize", "", &h, 1);
    TEST_OK(s->ctx, sqz_graph_rename(g, h, "y"));
    sqz_vid t = node(g, "transpose", "perm=0,3,1,2", &h, 1);
    sqz_nod(g, sqz_val(g, t)->producer)->layout = true;
    sqz_val(g, t)->twin = h;
    sqz_val(g, t)->channel_last = false;
    sqz_val(g, h)->channel_last = true;
    TEST_OK(s->ctx, sqz_graph_set_outputs(g, &t, 1));
    TEST_OK(s->ctx, sqz_graph_verify(g));
}

static void through_a_form(state *s, const char *text, const char *recipe)
{
    sqz_onnx_form form;
    void *bytes;
    size_t n;
    TEST_OK(s->ctx, sqz_onnx_form_parse(s->ctx, text, &form));
    TEST_OK(s->ctx, sqz_export_onnx_form(s->g, &form, &bytes, &n));
    sqz_status st = sqz_import_bytes(s->ctx, bytes, n, NULL, &s->back);
    sqz_free(s->ctx, bytes);
    TEST_OK(s->ctx, st);
    TEST_OK(s->ctx, sqz_run_recipe(s->back, recipe, NULL));
    TEST_OK(s->ctx, sqz_graph_verify(s->back));
}

static void through_a_file(state *s, const char *recipe) { through_a_form(s, "qdq", recipe); }

static size_t size_of(const sqz_value *v)
{
    size_t n = 1;
    for (int32_t i = 0; i < v->shape.rank; i++)
        n *= (size_t)v->shape.dim[i];
    return n;
}

/* First output of a run on the same random input; *n numbers. */
static float *outputs(state *s, const sqz_graph *g, uint64_t seed, bool to_file, size_t *n)
{
    const sqz_value *in = sqz_val(g, g->input[0]), *out = sqz_val(g, g->output[0]);
    size_t n_in = size_of(in);
    sqz_rng r = {.seed = seed};
    float *file = malloc(n_in * sizeof *file), *x = malloc(n_in * sizeof *x);
    float *y = calloc(*n = size_of(out), sizeof *y);
    sqz_exec *e;
    for (size_t i = 0; i < n_in; i++)
        file[i] = (float)(6 * sqz_rng_uniform(&r) - 3);
    size_t hw = n_in / 4; /* 4 channels, batch 1 */
    for (size_t i = 0; i < n_in; i++)
        x[i] = in->channel_last && to_file ? file[i % 4 * hw + i / 4] : file[i];
    TEST_OK(s->ctx, sqz_exec_create(g, 1, NULL, &e));
    const void *ins[] = {x};
    void *outs[] = {y};
    TEST_OK(s->ctx, sqz_exec_run(e, ins, outs));
    sqz_exec_free(e);
    free(file);
    free(x);
    return y;
}

static unsigned count(const sqz_graph *g, const char *op)
{
    unsigned n = 0;
    SQZ_EACH_NODE(g, k)
    n += strcmp(sqz_nod(g, k)->op->info.name, op) == 0;
    return n;
}

static void assert_same_outputs(state *s)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        size_t n, m;
        float *a = outputs(s, s->g, seed, true, &n), *b = outputs(s, s->back, seed, true, &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n * sizeof *a);
        free(a);
        free(b);
    }
}

static void test_a_network_comes_back_as_the_same_integers(void **p)
{
    state *s = *p;
    network(s);
    through_a_file(s, "fold_qdq,layout,dce");
    static const char *const op[] = {"quantize", "dequantize", "conv2d",   "dwconv2d",
                                     "add",      "relu",       "sigmoid",  "requantize",
                                     "concat",   "max_pool",   "identity", "global_average_pool"};
    for (size_t i = 0; i < SQZ_COUNT(op); i++)
        if (count(s->back, op[i]) != count(s->g, op[i]))
            fail_msg("%u nodes %s came back as %u", count(s->g, op[i]), op[i],
                     count(s->back, op[i]));
    assert_true(s->back->have & SQZ_HAS_QUANT);
    assert_same_outputs(s);
}

/* The clamp goes: the grid of what it clamps ends where it does. */
static void test_integer_only_operators_come_back_as_the_same_integers(void **p)
{
    state *s = *p;
    network(s);
    through_a_form(s, "qoperator", "fold_qdq,layout,dce");
    static const char *const op[] = {
        "quantize", "dequantize", "conv2d",   "dwconv2d",           "add", "sigmoid", "requantize",
        "concat",   "max_pool",   "identity", "global_average_pool"};
    for (size_t i = 0; i < SQZ_COUNT(op); i++)
        if (count(s->back, op[i]) != count(s->g, op[i]))
            fail_msg("%u nodes %s came back as %u", count(s->g, op[i]), op[i],
                     count(s->back, op[i]));
    assert_int_equal(count(s->back, "relu"), 0);
    assert_same_outputs(s);
}

/* Everything of the graph as uint8 in the file. */
static void test_integer_only_operators_may_be_unsigned(void **p)
{
    state *s = *p;
    network(s);
    for (sqz_vid v = 0; v < s->g->n_value; v++)
        sqz_val(s->g, v)->was_u8 = sqz_val(s->g, v)->quant && !sqz_val(s->g, v)->constant;
    through_a_form(s, "qoperator", "fold_qdq,layout,dce");
    assert_true(s->back->have & SQZ_HAS_QUANT);
    assert_same_outputs(s);
}

/* (1,5,4) . (4,6) + (6): in the file MatMul and Add between the pairs. */
static void matmul_with_bias(state *s)
{
    sqz_rng r = {.seed = 9};
    const sqz_shape shape = {3, {1, 5, 4}};
    float scale[6];
    int32_t zero[6] = {0};
    sqz_vid v[3];
    TEST_OK(s->ctx, sqz_graph_create(s->ctx, &s->g));
    TEST_OK(s->ctx, sqz_graph_input(s->g, "x", SQZ_F32, &shape, &v[0]));
    v[0] = on_grid(s->g, node(s->g, "quantize", "dtype=s8", v, 1), 0.02f, -3);
    v[1] = weights(s->g, &r, (sqz_shape){2, {4, 6}});
    for (int i = 0; i < 6; i++)
        scale[i] = 0.002f + 0.0004f * (float)i;
    TEST_OK(s->ctx, sqz_value_set_quant(s->g, v[1], SQZ_S8, 1, 6, scale, zero));
    v[2] = bias(s->g, &r, v[1], 0.02f);
    v[0] = on_grid(s->g, node(s->g, "matmul", "", v, 3), 0.03f, 5);
    v[0] = node(s->g, "dequantize", "", v, 1);
    TEST_OK(s->ctx, sqz_graph_set_outputs(s->g, v, 1));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
}

static void test_the_bias_of_a_matmul_comes_back(void **p)
{
    state *s = *p;
    matmul_with_bias(s);
    through_a_file(s, "fold_qdq,dce");
    assert_int_equal(count(s->back, "add"), 0);
    assert_int_equal(count(s->back, "matmul"), 1);
    assert_int_equal(count(s->back, "dequantize"), 1);
    assert_same_outputs(s);
}

/* QGemm on the rows, as QLinearMatMul has no bias. */
static void test_the_bias_of_an_integer_matmul_comes_back(void **p)
{
    state *s = *p;
    matmul_with_bias(s);
    through_a_form(s, "qoperator", "fold_qdq,dce");
    assert_int_equal(count(s->back, "gemm"), 1);
    assert_int_equal(count(s->back, "reshape"), 2);
    assert_int_equal(count(s->back, "dequantize"), 1);
    assert_same_outputs(s);
}

static void test_a_second_trip_gives_the_same_bytes(void **p)
{
    state *s = *p;
    void *a, *b;
    size_t n, m;
    network(s);
    through_a_file(s, "fold_qdq,layout,dce");
    TEST_OK(s->ctx, sqz_export_onnx(s->back, &a, &n));
    sqz_graph_free(s->g);
    s->g = s->back;
    s->back = NULL;
    through_a_file(s, "fold_qdq,layout,dce");
    TEST_OK(s->ctx, sqz_export_onnx(s->back, &b, &m));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    sqz_free(s->ctx, a);
    sqz_free(s->ctx, b);
}

/* x -> Q -> DQ -> op -> Q -> DQ -> y with grids of one type; zero points as given. */
static void sandwich(state *s, const char *op, int32_t type, float s1, int z1, float s2, int z2)
{
    const float scale[] = {s1, s2};
    const uint8_t zero[] = {(uint8_t)z1, (uint8_t)z2}; /* the bits of int8 as well */
    model_input(&s->m, "x", "1,4,3,5");
    model_init(&s->m, model_raw(&s->m, "s1", 1, 0, NULL, &scale[0], 4));
    model_init(&s->m, model_raw(&s->m, "s2", 1, 0, NULL, &scale[1], 4));
    model_init(&s->m, model_raw(&s->m, "z1", type, 0, NULL, &zero[0], 1));
    model_init(&s->m, model_raw(&s->m, "z2", type, 0, NULL, &zero[1], 1));
    model_node(&s->m, "QuantizeLinear", NULL, "x,s1,z1", "a");
    model_node(&s->m, "DequantizeLinear", NULL, "a,s1,z1", "b");
    model_node(&s->m, op, "it", "b", "c");
    model_node(&s->m, "QuantizeLinear", NULL, "c,s2,z2", "d");
    model_node(&s->m, "DequantizeLinear", NULL, "d,s2,z2", "y");
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    TEST_OK(s->ctx, sqz_graph_clone(s->g, &s->back));
    TEST_OK(s->ctx, sqz_run_recipe(s->back, "fold_qdq,dce", NULL));
}
static bool it_is_integer(const state *s)
{
    SQZ_EACH_NODE(s->back, n)
    if (strcmp(sqz_nod(s->back, n)->name, "it") == 0)
        return sqz_val(s->back, sqz_nod(s->back, n)->in[0])->dtype == SQZ_S8;
    fail();
    return false;
}

static void test_unary_functions_take_any_grids(void **p)
{
    state *s = *p;
    sandwich(s, "Tanh", 3, 0.02f, 5, 0.01f, -7);
    assert_true(it_is_integer(s));
    size_t n;
    float *a = outputs(s, s->g, 3, false, &n), *b = outputs(s, s->back, 3, false, &n);
    assert_memory_equal(a, b, n * sizeof *a); /* a table of the same function: exact */
    free(a);
    free(b);
}

static void test_movers_get_one_grid(void **p)
{
    state *s = *p;
    sandwich(s, "Neg", 3, 0.02f, 5, 0.02f, 5);
    assert_true(it_is_integer(s));
    teardown(p);
    setup(p);
    s = *p;
    sandwich(s, "GlobalMaxPool", 3, 0.02f, 5, 0.03f, 5); /* rounding commutes with moving */
    assert_true(it_is_integer(s));
    assert_int_equal(count(s->back, "requantize"), 1);
    TEST_OK(s->ctx, sqz_run_recipe(s->g, "layout,dce", NULL));
    TEST_OK(s->ctx, sqz_run_recipe(s->back, "layout,dce", NULL));
    size_t n;
    float *a = outputs(s, s->g, 3, false, &n), *b = outputs(s, s->back, 3, false, &n);
    assert_memory_equal(a, b, n * sizeof *a);
    free(a);
    free(b);
    teardown(p);
    setup(p);
    s = *p;
    sandwich(s, "GlobalMaxPool", 3, 0.02f, 5, 0.02f, 5);
    assert_true(it_is_integer(s));
}

static void test_uint8_is_shifted_and_written_as_uint8(void **p)
{
    state *s = *p;
    sqz_graph *keep;
    sandwich(s, "Sigmoid", 2, 0.02f, 131, 1.0f / 256, 0);
    assert_true(it_is_integer(s));
    const sqz_value *v = sqz_val(s->back, sqz_nod(s->back, s->back->first)->out[0]);
    assert_int_equal(v->quant->zero[0], 3);
    size_t n;
    float *a = outputs(s, s->g, 3, false, &n), *b = outputs(s, s->back, 3, false, &n);
    assert_memory_equal(a, b, n * sizeof *a);
    keep = s->g;
    s->g = s->back;
    s->back = NULL;
    through_a_file(s, "dce"); /* literally, as the file has it */
    v = sqz_val(s->back, sqz_nod(s->back, s->back->first)->out[0]);
    assert_int_equal(v->dtype, SQZ_U8);
    assert_int_equal(v->quant->zero[0], 131);
    float *c = outputs(s, s->back, 3, false, &n);
    assert_memory_equal(a, c, n * sizeof *a);
    sqz_graph_free(keep);
    free(a);
    free(b);
    free(c);
}

/* They are as small in the file as before; the executor unfolds them once. */
static void test_weights_of_float_operators_stay_integers(void **p)
{
    state *s = *p;
    const float scale = 0.5f;
    const int8_t w[] = {2, -4};
    const int64_t dims[] = {1, 2, 1, 1};
    model_input(&s->m, "x", "1,2,3,3");
    model_init(&s->m, model_raw(&s->m, "s", 1, 0, NULL, &scale, 4));
    model_init(&s->m, model_raw(&s->m, "w", 3, 4, dims, w, 2));
    model_node(&s->m, "DequantizeLinear", NULL, "w,s", "wf");
    model_node(&s->m, "Conv", "c", "x,wf", "y");
    model_output(&s->m, "y");
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    TEST_OK(s->ctx, sqz_run_recipe(s->g, SQZ_CANONICAL, NULL));
    const sqz_value *v = sqz_val(s->g, sqz_nod(s->g, s->g->first)->in[0]);
    assert_int_equal(v->dtype, SQZ_S8);
    assert_int_equal(count(s->g, "dequantize"), 1);
    size_t n;
    float *y = outputs(s, s->g, 5, false, &n), *x = malloc(2 * n * sizeof *x);
    sqz_rng r = {.seed = 5};
    for (size_t i = 0; i < 2 * n; i++)
        x[i] = (float)(6 * sqz_rng_uniform(&r) - 3);
    assert_int_equal(n, 9);
    for (size_t i = 0; i < n; i++)
        assert_true(fabsf(y[i] - (x[2 * i] - 2 * x[2 * i + 1])) < 1e-6f); /* channel-last */
    free(x);
    free(y);
}

/* Channel 1 has scale -0.5: its integers change sign. -128 has no opposite: the weights are float.
 */
static void test_negative_scales_turn_the_integers_around(void **p)
{
    state *s = *p;
    const float scale[] = {0.25f, -0.5f};
    const int64_t dims[] = {2, 1, 1, 1}, two[] = {2};
    for (int k = 0; k < 2; k++) {
        const int8_t w[] = {-128, (int8_t)(k ? -128 : -3)};
        model_input(&s->m, "x", "1,1,3,3");
        model_init(&s->m, model_raw(&s->m, "s", 1, 1, two, scale, 8));
        model_init(&s->m, model_raw(&s->m, "w", 3, 4, dims, w, 2));
        model_int(&s->m, model_node(&s->m, "DequantizeLinear", "dq", "w,s", "wf"), "axis", 0);
        model_node(&s->m, "Conv", "c", "x,wf", "y");
        model_output(&s->m, "y");
        TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
        if (k) {
            const sqz_value *v = sqz_val(s->g, sqz_nod(s->g, s->g->first)->in[0]);
            assert_true(v->quant->scale[1] == -0.5f && SQZ_S8P(v->constant)[1] == -128);
            return;
        }
        const sqz_value *v = sqz_val(s->g, sqz_nod(s->g, s->g->first)->in[0]);
        assert_int_equal(SQZ_S8P(v->constant)[0], -128);
        assert_int_equal(SQZ_S8P(v->constant)[1], 3);
        assert_true(v->quant->scale[0] == 0.25f && v->quant->scale[1] == 0.5f);
        teardown(p);
        setup(p);
        s = *p;
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_network_comes_back_as_the_same_integers),
        T(test_a_second_trip_gives_the_same_bytes),
        T(test_the_bias_of_a_matmul_comes_back),
        T(test_the_bias_of_an_integer_matmul_comes_back),
        T(test_integer_only_operators_come_back_as_the_same_integers),
        T(test_integer_only_operators_may_be_unsigned),
        T(test_unary_functions_take_any_grids),
        T(test_movers_get_one_grid),
        T(test_uint8_is_shifted_and_written_as_uint8),
        T(test_weights_of_float_operators_stay_integers),
        T(test_negative_scales_turn_the_integers_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
