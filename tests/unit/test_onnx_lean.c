/* test_onnx_lean.c: a model unpacked without its weights against protobuf-c's unpacking of all. */
#include "io/onnx.h"
#include "onnx_model.h"

enum { N_INIT = 9 };

/* Initializers of 40 bytes to 80 kB, numbers known. */
static void *packed_model(sqz_ctx *ctx, size_t *n)
{
    model m;
    model_begin(&m, ctx, 8, 13);
    for (size_t i = 0; i < N_INIT; i++) {
        Onnx__TensorProto *t = MODEL_NEW(&m, tensor_proto);
        const size_t count = i % 3 == 0 ? 10 : 1000 + 9500 * (i % 3 - 1);
        float *x = sqz_arena_alloc(&m.arena, count, sizeof *x);
        int64_t *dims = sqz_arena_alloc(&m.arena, 1, sizeof *dims);
        for (size_t k = 0; k < count; k++)
            x[k] = (float)(i * 100000 + k);
        dims[0] = (int64_t)count;
        t->n_dims = 1;
        t->dims = dims;
        t->has_data_type = 1;
        t->data_type = 1;
        t->name = model_text(&m, "w");
        t->name[0] = (char)('a' + i);
        t->has_raw_data = 1;
        t->raw_data = (ProtobufCBinaryData){count * 4, (uint8_t *)x};
        m.init[m.g.n_initializer++] = t;
    }
    m.g.initializer = m.init;
    *n = onnx__model_proto__get_packed_size(&m.m);
    void *bytes = malloc(*n);
    onnx__model_proto__pack(&m.m, bytes);
    sqz_arena_free(&m.arena);
    return bytes;
}

static void test_large_parts_point_into_the_file(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    size_t n, n_large = 0;
    uint8_t *bytes = packed_model(ctx, &n);
    Onnx__ModelProto *all = onnx__model_proto__unpack(NULL, n, bytes);
    sqz_onnx_lean lean;
    TEST_OK(ctx, sqz_onnx_unpack(ctx, bytes, n, &lean));
    assert_int_equal(lean.model->graph->n_initializer, N_INIT);
    for (size_t i = 0; i < N_INIT; i++) {
        const Onnx__TensorProto *a = all->graph->initializer[i];
        const Onnx__TensorProto *b = lean.model->graph->initializer[i];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dims[0], b->dims[0]);
        assert_int_equal(a->raw_data.len, b->raw_data.len);
        assert_memory_equal(a->raw_data.data, b->raw_data.data, a->raw_data.len);
        const bool inside = b->raw_data.data >= bytes && b->raw_data.data < bytes + n;
        assert_int_equal(inside, a->raw_data.len >= 4096);
        n_large += inside;
    }
    assert_int_equal(n_large, lean.n);
    assert_true(n_large == 3 || n_large == 6);
    sqz_onnx_lean_free(&lean);
    onnx__model_proto__free_unpacked(all, NULL);
    free(bytes);
    sqz_ctx_free(ctx);
}

/* Cut off or damaged bytes: read as protobuf-c reads them, or refused; never out of bounds. */
static void test_damaged_bytes_are_refused_or_read_alike(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 7};
    size_t n, read = 0;
    uint8_t *bytes = packed_model(ctx, &n);
    for (int round = 0; round < 400; round++) {
        const size_t cut = round % 2 ? n : sqz_rng_below(&r, n);
        uint8_t *copy = malloc(cut ? cut : 1);
        memcpy(copy, bytes, cut);
        if (round % 2) /* mostly in the small fields in front of each tensor's numbers */
            copy[sqz_rng_below(&r, round % 4 == 1 ? 300 : n)] ^= (uint8_t)(1u
                                                                           << sqz_rng_below(&r, 8));
        sqz_onnx_lean lean;
        if (sqz_onnx_unpack(ctx, copy, cut, &lean) == SQZ_OK) {
            Onnx__ModelProto *all = onnx__model_proto__unpack(NULL, cut, copy);
            const size_t a = onnx__model_proto__get_packed_size(all);
            const size_t b = onnx__model_proto__get_packed_size(lean.model);
            assert_int_equal(a, b);
            uint8_t *x = malloc(a + 1), *y = malloc(a + 1);
            onnx__model_proto__pack(all, x);
            onnx__model_proto__pack(lean.model, y);
            assert_memory_equal(x, y, a);
            free(x);
            free(y);
            onnx__model_proto__free_unpacked(all, NULL);
            sqz_onnx_lean_free(&lean);
            read++;
        }
        free(copy);
    }
    assert_true(read > 50 && read < 350);
    free(bytes);
    sqz_ctx_free(ctx);
}

/* Two raw_data in one tensor: the last counts, as protobuf has it. */
static void test_a_field_twice_is_left_to_protobuf(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    enum { SIZE = 5000 };
    sqz_str tensor = {.ctx = ctx}, graph = {.ctx = ctx}, all = {.ctx = ctx};
    char data[SIZE];
    for (int i = 1; i <= 2; i++) {
        memset(data, i, SIZE);
        sqz_str_addn(&tensor, "\x4a\x88\x27", 3); /* field 9, 5000 bytes */
        sqz_str_addn(&tensor, data, SIZE);
    }
    sqz_str_addn(&graph, "\x2a\x96\x4e", 3); /* field 5, 10006 bytes */
    sqz_str_addn(&graph, tensor.data, tensor.len);
    sqz_str_addn(&all, "\x3a\x99\x4e", 3); /* field 7, 10009 bytes */
    sqz_str_addn(&all, graph.data, graph.len);
    sqz_onnx_lean lean;
    TEST_OK(ctx, sqz_onnx_unpack(ctx, all.data, all.len, &lean));
    assert_int_equal(lean.n, 0);
    assert_int_equal(lean.model->graph->initializer[0]->raw_data.len, SIZE);
    assert_int_equal(lean.model->graph->initializer[0]->raw_data.data[0], 2);
    sqz_onnx_lean_free(&lean);
    sqz_str_free(&tensor);
    sqz_str_free(&graph);
    sqz_str_free(&all);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_parts_point_into_the_file),
        cmocka_unit_test(test_damaged_bytes_are_refused_or_read_alike),
        cmocka_unit_test(test_a_field_twice_is_left_to_protobuf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
