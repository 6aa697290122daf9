/* Forms in which quantized values are written, beside pairs: products by integer weights as
 * MatMulNBits. Files are read back and run; how the bytes are packed is counted by hand here. */
#include "exec/exec.h"
#include "io/onnx.h"
#include "ir/pass.h"
#include "ir/qgrid.h"
#include "onnx_model.h"
#include <math.h>
#include <stdlib.h>

typedef struct state {
    sqz_ctx *ctx;
    sqz_rng r;
    sqz_graph *g, *back;
    void *bytes;
    size_t n;
    Onnx__ModelProto *m; /* what was written */
} state;

static void drop(state *s)
{
    ProtobufCAllocator al = sqz_onnx_allocator(s->ctx);
    if (s->m)
        onnx__model_proto__free_unpacked(s->m, &al);
    sqz_free(s->ctx, s->bytes);
    sqz_graph_free(s->g);
    sqz_graph_free(s->back);
    s->m = NULL;
    s->bytes = NULL;
    s->g = s->back = NULL;
}
static int setup(void **p)
{
    state *s = calloc(1, sizeof *s);
    s->ctx = test_ctx();
    s->r.seed = 17;
    *p = s;
    return 0;
}
static int teardown(void **p)
{
    state *s = *p;
    drop(s);
    sqz_ctx_free(s->ctx);
    free(s);
    return 0;
}

static void write_it(state *s, const char *text)
{
    ProtobufCAllocator al = sqz_onnx_allocator(s->ctx);
    sqz_onnx_form form;
    TEST_OK(s->ctx, sqz_onnx_form_parse(s->ctx, text, &form));
    TEST_OK(s->ctx, sqz_export_onnx_form(s->g, &form, &s->bytes, &s->n));
    s->m = onnx__model_proto__unpack(&al, s->n, s->bytes);
    assert_non_null(s->m);
    TEST_OK(s->ctx, sqz_import_bytes(s->ctx, s->bytes, s->n, NULL, &s->back));
    TEST_OK(s->ctx, sqz_run_recipe(s->back, SQZ_CANONICAL, &(sqz_env){0}));
}

static unsigned count(const state *s, const char *op_type)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->m->graph->n_node; i++)
        n += strcmp(s->m->graph->node[i]->op_type, op_type) == 0;
    return n;
}

static int64_t attribute(const state *s, const char *name)
{
    const Onnx__NodeProto *n = s->m->graph->node[0];
    for (size_t i = 0; i < n->n_attribute; i++)
        if (strcmp(n->attribute[i]->name, name) == 0)
            return n->attribute[i]->i;
    return -1;
}

static const Onnx__TensorProto *input(const state *s, size_t k)
{
    const char *name = s->m->graph->node[0]->input[k];
    for (size_t i = 0; i < s->m->graph->n_initializer; i++)
        if (strcmp(s->m->graph->initializer[i]->name, name) == 0)
            return s->m->graph->initializer[i];
    fail_msg("no initializer '%s'", name);
    return NULL;
}

typedef struct product {
    const char *op; /* gemm: weights (n,k); matmul: (k,n) */
    int64_t rows, k, n;
    sqz_dtype type;
    int32_t group; /* 0: one scale for each output */
    bool zeros, bias;
} product;

static sqz_vid random_weights(state *s, const product *p)
{
    const bool gemm = strcmp(p->op, "gemm") == 0;
    const sqz_shape shape = {2, {gemm ? p->n : p->k, gemm ? p->k : p->n}};
    const int bits = (int)sqz_dtype_bits(p->type), most = 1 << bits;
    const bool is_signed = p->type == SQZ_S4 || p->type == SQZ_S8;
    const int middle = is_signed ? 0 : most / 2;
    sqz_quant q = {.dtype = p->type, .axis = p->group ? gemm : !gemm, .group = p->group};
    uint64_t n_scale = (uint64_t)p->n;
    sqz_tensor t;
    sqz_vid v;
    if (p->group)
        assert_true(sqz_quant_blocks(&q, &shape, &n_scale));
    float *scale = malloc(n_scale * sizeof *scale);
    int32_t *zero = malloc(n_scale * sizeof *zero);
    for (uint64_t i = 0; i < n_scale; i++) {
        scale[i] = (float)(0.01 + 0.02 * sqz_rng_uniform(&s->r));
        zero[i] = p->zeros ? (int)sqz_rng_below(&s->r, (uint64_t)most) - (is_signed ? most / 2 : 0)
                           : middle;
    }
    q.n = (uint32_t)n_scale;
    q.scale = scale;
    q.zero = zero;
    TEST_OK(s->ctx, sqz_tensor_alloc(s->ctx, p->type, &shape, &t));
    for (size_t i = 0; i < t.count; i++)
        sqz_tensor_set_i64(
            &t, i, (int64_t)sqz_rng_below(&s->r, (uint64_t)most) - (is_signed ? most / 2 : 0));
    TEST_OK(s->ctx, sqz_graph_constant(s->g, "w", &t, &v));
    TEST_OK(s->ctx, sqz_value_set_grid(s->g, v, &q));
    free(scale);
    free(zero);
    return v;
}

static void build(state *s, const product *p)
{
    const sqz_shape x = {2, {p->rows, p->k}}, b = {1, {p->n}};
    sqz_vid in[3], w, y;
    sqz_tensor t;
    TEST_OK(s->ctx, sqz_graph_create(s->ctx, &s->g));
    TEST_OK(s->ctx, sqz_graph_input(s->g, "x", SQZ_F32, &x, &in[0]));
    w = random_weights(s, p);
    TEST_OK(s->ctx, sqz_graph_node_text(s->g, "dequantize", "dq", "", &w, 1, SQZ_NONE, &in[1]));
    TEST_OK(s->ctx, sqz_tensor_alloc(s->ctx, SQZ_F32, &b, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_F32P(&t)[i] = (float)sqz_rng_normal(&s->r);
    TEST_OK(s->ctx, sqz_graph_constant(s->g, "b", &t, &in[2]));
    TEST_OK(s->ctx,
            sqz_graph_node_text(s->g, p->op, "product", "", in, p->bias ? 3 : 2, SQZ_NONE, &y));
    TEST_OK(s->ctx, sqz_graph_rename(s->g, y, "y"));
    if (!p->bias)
        sqz_graph_remove_value(s->g, in[2]);
    TEST_OK(s->ctx, sqz_graph_set_outputs(s->g, &y, 1));
    TEST_OK(s->ctx, sqz_graph_verify(s->g));
}

static float *run(const state *s, const sqz_graph *g, int64_t rows, const float *x, size_t n)
{
    float *y = malloc(n * sizeof *y);
    const void *ins[] = {x};
    void *outs[] = {y};
    sqz_exec *e;
    TEST_OK(s->ctx, sqz_exec_create(g, rows, NULL, &e));
    TEST_OK(s->ctx, sqz_exec_run(e, ins, outs));
    sqz_exec_free(e);
    return y;
}

/* Sums of k products of numbers below 1 * 5, whatever their order. */
static void assert_same_results(state *s, const product *p)
{
    const size_t n_x = (size_t)(p->rows * p->k), n_y = (size_t)(p->rows * p->n);
    float *x = malloc(n_x * sizeof *x);
    for (size_t i = 0; i < n_x; i++)
        x[i] = (float)sqz_rng_normal(&s->r);
    float *a = run(s, s->g, p->rows, x, n_y), *b = run(s, s->back, p->rows, x, n_y);
    for (size_t i = 0; i < n_y; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-6f * (float)p->k * 5))
            fail_msg("number %zu: %g in the graph, %g read back", i, (double)a[i], (double)b[i]);
    free(x);
    free(a);
    free(b);
}

/* Codes, scales and zero points of the file, as their definition has them, against the grid. */
static void assert_packed(const state *s, const product *p)
{
    const bool gemm = strcmp(p->op, "gemm") == 0;
    const sqz_value *w = sqz_val(s->g, sqz_graph_find(s->g, "w"));
    const int64_t block = attribute(s, "block_size"), bits = attribute(s, "bits");
    const int64_t blocks = (p->k + block - 1) / block, bytes = block * bits / 8;
    const int base = w->dtype == SQZ_S4 ? 8 : w->dtype == SQZ_S8 ? 128 : 0;
    const Onnx__TensorProto *codes = input(s, 1), *scales = input(s, 2);
    assert_int_equal(codes->raw_data.len, p->n * blocks * bytes);
    assert_int_equal(scales->raw_data.len, p->n * blocks * 4);
    for (int64_t o = 0; o < p->n; o++)
        for (int64_t k = 0; k < p->k; k++) {
            const size_t i = (size_t)(gemm ? o * p->k + k : k * p->n + o);
            const uint8_t byte = codes->raw_data.data[o * blocks * bytes + k * bits / 8];
            const int code = bits == 4 ? byte >> (k % 2 * 4) & 15 : byte;
            float scale;
            memcpy(&scale, scales->raw_data.data + 4 * (o * blocks + k / block), 4);
            assert_int_equal(code - base, sqz_tensor_i64(w->constant, i));
            const size_t at = sqz_quant_run(w->quant, &w->shape, i).first;
            assert_true(scale == w->quant->scale[at]);
        }
}

static const product products[] = {
    {"matmul", 3, 64, 5, SQZ_S4, 32, false, false}, {"matmul", 2, 50, 7, SQZ_S4, 16, false, true},
    {"gemm", 4, 70, 9, SQZ_S4, 0, false, true},     {"gemm", 1, 130, 3, SQZ_U4, 64, true, true},
    {"matmul", 2, 96, 4, SQZ_U4, 32, true, false},  {"gemm", 3, 40, 6, SQZ_S8, 0, false, false},
    {"matmul", 5, 300, 2, SQZ_S8, 128, true, true}, {"matmul", 1, 9, 1, SQZ_U8, 0, true, false},
};

static void test_products_are_packed_and_come_back(void **p)
{
    state *s = *p;
    for (size_t i = 0; i < SQZ_COUNT(products); i++) {
        build(s, &products[i]);
        write_it(s, "matmulnbits");
        assert_int_equal(count(s, "MatMulNBits"), 1);
        assert_int_equal(s->m->graph->n_node, 1);
        assert_string_equal(s->m->opset_import[1]->domain, "com.microsoft");
        assert_packed(s, &products[i]);
        assert_same_results(s, &products[i]);
        drop(s);
    }
}

static void test_the_file_has_half_a_byte_for_a_weight(void **p)
{
    state *s = *p;
    const product big = {"gemm", 1, 1024, 256, SQZ_S4, 64, false, false};
    build(s, &big);
    write_it(s, "matmulnbits");
    const size_t weights = 1024 * 256 / 2, scales = 1024 * 256 / 64 * 4;
    assert_in_range(s->n, weights + scales, weights + scales + 500);
    drop(s);
    s->r.seed = 17;
    build(s, &big);
    write_it(s, "qdq"); /* INT4, two to a byte */
    assert_in_range(s->n, weights + scales, weights + scales + 500);
    assert_int_equal(s->m->opset_import[0]->version, 21);
    assert_same_results(s, &big);
}

static void test_accuracy_level_is_written_and_kept(void **p)
{
    state *s = *p;
    build(s, &products[0]);
    write_it(s, "matmulnbits(accuracy_level=4)");
    assert_int_equal(attribute(s, "accuracy_level"), 4);
    sqz_graph_free(s->g);
    s->g = s->back;
    s->back = NULL;
    sqz_free(s->ctx, s->bytes);
    ProtobufCAllocator al = sqz_onnx_allocator(s->ctx);
    onnx__model_proto__free_unpacked(s->m, &al);
    write_it(s, "matmulnbits"); /* the graph remembers */
    assert_int_equal(attribute(s, "accuracy_level"), 4);
}

/* Blocks of 24 have no such form: the pair stays. */
static void test_other_blocks_stay_pairs(void **p)
{
    state *s = *p;
    const product odd = {"matmul", 2, 48, 4, SQZ_S4, 24, false, false};
    build(s, &odd);
    write_it(s, "matmulnbits");
    assert_int_equal(count(s, "MatMulNBits"), 0);
    assert_int_equal(count(s, "DequantizeLinear"), 1);
    assert_same_results(s, &odd);
}

/* Weights that somebody else reads, too: they are there twice, and all is right. */
static void test_weights_with_another_reader_keep_their_pair(void **p)
{
    state *s = *p;
    build(s, &products[0]);
    sqz_vid w = sqz_nod(s->g, sqz_val(s->g, sqz_graph_find(s->g, "y"))->producer)->in[1], z;
    TEST_OK(s->ctx, sqz_graph_node_text(s->g, "neg", "other", "", &w, 1, SQZ_NONE, &z));
    const sqz_vid outs[] = {sqz_graph_find(s->g, "y"), z};
    TEST_OK(s->ctx, sqz_graph_set_outputs(s->g, outs, 2));
    write_it(s, "matmulnbits");
    assert_int_equal(count(s, "MatMulNBits"), 1);
    assert_int_equal(count(s, "DequantizeLinear"), 1);
}

static void test_forms_are_read_strictly(void **p)
{
    state *s = *p;
    sqz_onnx_form f;
    TEST_OK(s->ctx, sqz_onnx_form_parse(s->ctx, NULL, &f));
    assert_int_equal(f.kind, SQZ_ONNX_QDQ);
    TEST_OK(s->ctx, sqz_onnx_form_parse(s->ctx, "qoperator(opset=19)", &f));
    assert_int_equal(f.kind, SQZ_ONNX_QOPERATOR);
    assert_int_equal(f.opset, 19);
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"qlinear", "expected qdq, qoperator or matmulnbits"},
        {"qdq(opset=21", "expected name(option=value)"},
        {"qdq(", "expected name(option=value)"},
        {"qdq(opset=99)", "opset"},
        {"qdq(accuracy_level=4)", "accuracy_level"},
        {"matmulnbits(accuracy_level=5)", "accuracy_level"},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        assert_int_equal(sqz_onnx_form_parse(s->ctx, bad[i].text, &f), SQZ_E_ARG);
        if (!strstr(sqz_last_error(s->ctx), bad[i].says))
            fail_msg("'%s': %s", bad[i].text, sqz_last_error(s->ctx));
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_products_are_packed_and_come_back),
        T(test_the_file_has_half_a_byte_for_a_weight),
        T(test_accuracy_level_is_written_and_kept),
        T(test_other_blocks_stay_pairs),
        T(test_weights_with_another_reader_keep_their_pair),
        T(test_forms_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
