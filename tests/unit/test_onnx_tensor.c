/* TensorProto in every encoding, and what is refused. */
#include "io/onnx.h"
#include "onnx_model.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct state {
    sqz_ctx *ctx;
    model m;
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
    model_end(&s->m);
    sqz_ctx_free(s->ctx);
    free(s);
    return 0;
}

static const int64_t three[] = {3};

/* Values 1, 2, 3 in the typed list of each type. */
static void test_every_typed_list_is_read(void **p)
{
    state *s = *p;
    float f[] = {1, 2, 3};
    double d[] = {1, 2, 3};
    int64_t i[] = {1, 2, 3};
    uint64_t u[] = {1, 2, 3};
    int32_t w[] = {1, 2, 3};
    int32_t half[] = {0x3c00, 0x4000, 0x4200}, brain[] = {0x3f80, 0x4000, 0x4040};
    int32_t nibbles[] = {0x21, 0x03};
    for (int k = 0; k < 14; k++) {
        static const int32_t code[] = {1, 11, 7, 12, 13, 2, 3, 4, 5, 6, 10, 16, 21, 22};
        Onnx__TensorProto *t = model_tensor(&s->m, "t", code[k], 1, three);
        sqz_tensor out;
        if (code[k] == 1) {
            t->n_float_data = 3;
            t->float_data = f;
        } else if (code[k] == 11) {
            t->n_double_data = 3;
            t->double_data = d;
        } else if (code[k] == 7) {
            t->n_int64_data = 3;
            t->int64_data = i;
        } else if (code[k] == 12 || code[k] == 13) {
            t->n_uint64_data = 3;
            t->uint64_data = u;
        } else {
            t->n_int32_data = code[k] >= 21 ? 2 : 3;
            t->int32_data = code[k] >= 21   ? nibbles
                            : code[k] == 10 ? half
                            : code[k] == 16 ? brain
                                            : w;
        }
        TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, t, NULL, &out));
        assert_int_equal(out.count, 3);
        for (size_t e = 0; e < 3; e++)
            assert_true(sqz_tensor_f64(&out, e) == (double)(e + 1));
        sqz_tensor_free(s->ctx, &out);
    }
}

static void test_negative_numbers_survive_int32_data(void **p)
{
    state *s = *p;
    int32_t w[] = {-128, -1, 127};
    Onnx__TensorProto *t = model_tensor(&s->m, "t", 3, 1, three);
    sqz_tensor out;
    t->n_int32_data = 3;
    t->int32_data = w;
    TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, t, NULL, &out));
    for (size_t e = 0; e < 3; e++)
        assert_int_equal(SQZ_S8P(&out)[e], w[e]);
    sqz_tensor_free(s->ctx, &out);
    w[1] = 300;
    TEST_FAILS(s->ctx, sqz_onnx_tensor(s->ctx, t, NULL, &out), SQZ_E_FORMAT,
               "int32_data[1] is 300");
}

static void test_scalar_and_empty_tensors(void **p)
{
    state *s = *p;
    const float one = 7;
    const int64_t none[] = {0};
    sqz_tensor out;
    TEST_OK(s->ctx,
            sqz_onnx_tensor(s->ctx, model_raw(&s->m, "t", 1, 0, NULL, &one, 4), NULL, &out));
    assert_int_equal(out.shape.rank, 0);
    assert_true(sqz_tensor_f64(&out, 0) == 7);
    sqz_tensor_free(s->ctx, &out);
    TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, model_tensor(&s->m, "t", 7, 1, none), NULL, &out));
    assert_int_equal(out.count, 0);
    sqz_tensor_free(s->ctx, &out);
}

static void test_counts_and_types_are_checked(void **p)
{
    state *s = *p;
    const float v[] = {1, 2};
    const int64_t negative[] = {-3}, huge[] = {INT64_MAX, INT64_MAX}, big[] = {1 << 30};
    sqz_tensor out;
    struct {
        Onnx__TensorProto *t;
        sqz_status status;
        const char *part;
    } c[] = {
        {model_raw(&s->m, "w", 1, 1, three, v, 8), SQZ_E_FORMAT,
         "tensor 'w': raw_data has 8 bytes, the dimensions need 12"},
        {model_tensor(&s->m, "w", 1, 1, three), SQZ_E_FORMAT, "float_data has 0 numbers"},
        {model_tensor(&s->m, "w", 1, 1, big), SQZ_E_FORMAT, "float_data has 0 numbers"},
        {model_tensor(&s->m, "w", 1, 1, negative), SQZ_E_FORMAT, "dimension 0 is -3"},
        {model_tensor(&s->m, "w", 1, 2, huge), SQZ_E_LIMIT, ""},
        {model_tensor(&s->m, "w", 8, 1, three), SQZ_E_UNSUPPORTED, "string"},
        {model_tensor(&s->m, "w", 14, 1, three), SQZ_E_UNSUPPORTED, "complex64"},
        {model_tensor(&s->m, "w", 17, 1, three), SQZ_E_UNSUPPORTED, "float8e4m3fn"},
        {model_tensor(&s->m, "w", 99, 1, three), SQZ_E_FORMAT, "element type 99"},
    };
    for (size_t i = 0; i < SQZ_COUNT(c); i++)
        TEST_FAILS(s->ctx, sqz_onnx_tensor(s->ctx, c[i].t, NULL, &out), c[i].status, c[i].part);
    c[0].t->has_data_location = 1;
    c[0].t->data_location = 5;
    TEST_FAILS(s->ctx, sqz_onnx_tensor(s->ctx, c[0].t, NULL, &out), SQZ_E_FORMAT,
               "data_location 5");
}

/* ---- external data ---- */

static Onnx__TensorProto *external(state *s, const char *location, const char *offset,
                                   const char *length)
{
    const char *key[] = {"location", "offset", "length"}, *value[] = {location, offset, length};
    Onnx__TensorProto *t = model_tensor(&s->m, "w", 1, 1, three);
    t->has_data_location = 1;
    t->data_location = 1;
    t->external_data = sqz_arena_alloc(&s->m.arena, 3, sizeof(void *));
    for (int i = 0; i < 3; i++) {
        if (!value[i])
            continue;
        Onnx__StringStringEntryProto *e = MODEL_NEW(&s->m, string_string_entry_proto);
        e->key = model_text(&s->m, key[i]);
        e->value = model_text(&s->m, value[i]);
        t->external_data[t->n_external_data++] = e;
    }
    return t;
}

static void test_external_data_stays_in_the_folder(void **p)
{
    state *s = *p;
    char dir[] = "/tmp/sqz_onnx_XXXXXX";
    const float v[] = {9, 1, 2, 3};
    sqz_tensor out;
    assert_non_null(mkdtemp(dir));
    char *onnx = sqz_arena_printf(&s->m.arena, "%s/m.onnx", dir);
    char *data = sqz_arena_printf(&s->m.arena, "%s/in/w.bin", dir);
    char *sub = sqz_arena_printf(&s->m.arena, "%s/in", dir);
    char *link = sqz_arena_printf(&s->m.arena, "%s/link", dir);
    char *file = sqz_arena_printf(&s->m.arena, "%s/file", dir);
    TEST_OK(s->ctx, sqz_make_dir(s->ctx, sub));
    TEST_OK(s->ctx, sqz_file_write(s->ctx, data, v, sizeof v));
    assert_int_equal(symlink("in", link), 0);
    assert_int_equal(symlink("in/w.bin", file), 0);

    TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, external(s, "in/w.bin", "4", "12"), onnx, &out));
    for (size_t i = 0; i < 3; i++)
        assert_true(SQZ_F32P(&out)[i] == (float)(i + 1));
    sqz_tensor_free(s->ctx, &out);

    const struct {
        const char *location, *offset, *length, *part;
        sqz_status status;
    } c[] = {
        {"../w.bin", "0", NULL, "'..'", SQZ_E_FORMAT},
        {"in/../in/w.bin", "0", NULL, "'..'", SQZ_E_FORMAT},
        {data, "0", NULL, "absolute", SQZ_E_FORMAT},
        {"link/w.bin", "0", NULL, "symbolic", SQZ_E_FORMAT},
        {"file", "0", NULL, "symbolic", SQZ_E_FORMAT},
        {"in", "0", NULL, "not a regular file", SQZ_E_FORMAT},
        {"in/nothing", "0", NULL, "No such file", SQZ_E_NOTFOUND},
        {"in/w.bin", "8", NULL, "12 bytes from 8 on", SQZ_E_FORMAT},
        {"in/w.bin", "0", "16", "length is 16", SQZ_E_FORMAT},
        {"in/w.bin", "-4", NULL, "offset is '-4'", SQZ_E_FORMAT},
        {"in/w.bin", "9223372036854775807", NULL, "12 bytes from", SQZ_E_FORMAT},
        {"", "0", NULL, "no location", SQZ_E_FORMAT},
        {NULL, "0", NULL, "no location", SQZ_E_FORMAT},
    };
    for (size_t i = 0; i < SQZ_COUNT(c); i++)
        TEST_FAILS(s->ctx,
                   sqz_onnx_tensor(s->ctx, external(s, c[i].location, c[i].offset, c[i].length),
                                   onnx, &out),
                   c[i].status, c[i].part);
    TEST_FAILS(s->ctx, sqz_onnx_tensor(s->ctx, external(s, "in/w.bin", "0", NULL), NULL, &out),
               SQZ_E_UNSUPPORTED, "no folder");
    unlink(file);
    unlink(link);
    unlink(data);
    rmdir(sub);
    rmdir(dir);
}

/* A file of 6 GiB with holes: what lies far behind is found, and what is large is not read. */
static void test_large_external_data_is_mapped(void **p)
{
    state *s = *p;
    char dir[] = "/tmp/sqz_onnx_XXXXXX";
    const float v[] = {1, 2, 3};
    const int64_t at = 5368709120, size = 6442450944, rows = 1 << 20, cols = 1 << 10;
    char offset[32], room[32];
    sqz_tensor far, large;
    assert_non_null(mkdtemp(dir));
    char *onnx = sqz_arena_printf(&s->m.arena, "%s/m.onnx", dir);
    char *data = sqz_arena_printf(&s->m.arena, "%s/w.bin", dir);
    int fd = open(data, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, size) != 0) { /* no room for such a file here */
        if (fd >= 0)
            close(fd);
        unlink(data);
        rmdir(dir);
        skip();
    }
    assert_int_equal(pwrite(fd, v, sizeof v, at), sizeof v);
    close(fd);
    (void)snprintf(offset, sizeof offset, "%lld", (long long)at);
    (void)snprintf(room, sizeof room, "%lld", (long long)(rows * cols * 4));
    TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, external(s, "w.bin", offset, "12"), onnx, &far));
    assert_null(far.own->map);
    for (size_t i = 0; i < 3; i++)
        assert_true(SQZ_F32P(&far)[i] == v[i]);
    Onnx__TensorProto *t = external(s, "w.bin", "2147483648", room);
    t->n_dims = 2;
    t->dims = (int64_t[]){rows, cols};
    TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, t, onnx, &large));
    assert_non_null(large.own->map);
    assert_int_equal((uintptr_t)large.data % SQZ_ALIGN, 0);
    assert_true(sqz_tensor_f64(&large, (at - 2147483648) / 4 + 2) == 3); /* the same bytes */
    sqz_tensor_free(s->ctx, &far);
    sqz_tensor_free(s->ctx, &large);
    unlink(data);
    rmdir(dir);
}

/* ---- one tensor in a file ---- */

static void test_pb_files_are_read_and_truncations_refused(void **p)
{
    state *s = *p;
    const float v[] = {1, 2, 3};
    char name[16];
    sqz_tensor out;
    Onnx__TensorProto *t = model_raw(&s->m, "probe", 1, 1, three, v, sizeof v);
    size_t n = onnx__tensor_proto__get_packed_size(t);
    unsigned char *b = sqz_arena_alloc(&s->m.arena, n, 1);
    onnx__tensor_proto__pack(t, b);
    TEST_OK(s->ctx, sqz_tensor_from_pb(s->ctx, b, n, &out, name, sizeof name));
    assert_string_equal(name, "probe");
    assert_memory_equal(out.data, v, sizeof v);
    sqz_tensor_free(s->ctx, &out);
    for (size_t k = 1; k < n; k++) {
        unsigned char *cut = malloc(k); /* exact, so that the sanitizer sees a read past it */
        memcpy(cut, b, k);
        if (sqz_tensor_from_pb(s->ctx, cut, k, &out, NULL, 0) == SQZ_OK)
            fail_msg("a tensor cut to %zu of %zu bytes is accepted", k, n);
        assert_true(*sqz_last_error(s->ctx));
        free(cut);
    }
}

static void test_tensors_are_written_as_they_are_read(void **p)
{
    state *s = *p;
    const int8_t v[] = {-8, 0, 7};
    Onnx__TensorProto *t;
    sqz_tensor a, b;
    TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, model_raw(&s->m, "w", 3, 1, three, v, 3), NULL, &a));
    TEST_OK(s->ctx, sqz_onnx_tensor_proto(&s->m.arena, &a, "w", &t));
    TEST_OK(s->ctx, sqz_onnx_tensor(s->ctx, t, NULL, &b));
    assert_int_equal(b.dtype, SQZ_S8);
    assert_true(sqz_shape_eq(&a.shape, &b.shape));
    assert_memory_equal(b.data, v, 3);
    sqz_tensor_free(s->ctx, &a);
    sqz_tensor_free(s->ctx, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_typed_list_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_negative_numbers_survive_int32_data, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scalar_and_empty_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counts_and_types_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_external_data_stays_in_the_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_external_data_is_mapped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pb_files_are_read_and_truncations_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_tensors_are_written_as_they_are_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
