/* IDX and IDX.gz: exact numbers of every type; damage is found, in a gzip file anywhere. */
#include "data_files.h"
#include <zlib.h>

typedef struct world {
    sqz_ctx *ctx;
    test_dir dir;
} world;
static int begin(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->ctx = test_ctx();
    w->dir = test_dir_make();
    *state = w;
    return 0;
}
static int end(void **state)
{
    world *w = *state;
    test_dir_remove(&w->dir);
    sqz_ctx_free(w->ctx);
    free(w);
    return 0;
}

static const char *save_gz(world *w, const char *name, const void *bytes, size_t n)
{
    const char *p = test_path(&w->dir, name);
    gzFile f = gzopen(p, "wb9");
    if (!f || gzwrite(f, bytes, (unsigned)n) != (int)n || gzclose(f) != Z_OK)
        abort();
    return p;
}

/* 20 images of 4 rows of 3 bytes, noise. */
static void images(unsigned char out[16 + 240])
{
    static const unsigned char head[16] = {0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 3};
    sqz_rng r = {.seed = 11};
    memcpy(out, head, sizeof head);
    for (int i = 0; i < 240; i++)
        out[16 + i] = (unsigned char)sqz_rng_below(&r, 256);
}

static void test_images_are_read_exactly_plain_and_packed(void **state)
{
    world *w = *state;
    unsigned char file[256];
    float x[240];
    images(file);
    for (int packed = 0; packed < 2; packed++) {
        const char *p = test_path(&w->dir, "img");
        sqz_dataset *ds;
        if (packed)
            p = save_gz(w, "img", file, sizeof file);
        else
            test_write(p, file, sizeof file);
        TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
        assert_int_equal(ds->n, 20);
        assert_int_equal(ds->shape.rank, 2);
        assert_int_equal(ds->shape.dim[0], 4);
        assert_int_equal(ds->stored, SQZ_U8);
        assert_int_equal(ds->seekable, !packed);
        assert_false(ds->has_labels);
        TEST_FAILS(w->ctx, sqz_data_read(ds, 0, 1, x, x), SQZ_E_ARG, "no labels");
        for (int64_t i = 19; i >= 0; i--) {
            TEST_OK(w->ctx, sqz_data_read(ds, i, 1, x, NULL));
            for (int k = 0; k < 12; k++)
                assert_true(x[k] == (float)file[16 + 12 * i + k]);
        }
        sqz_data_close(ds);
    }
}

static void test_every_type_is_big_endian(void **state)
{
    world *w = *state;
    static const struct {
        unsigned char code, data[16];
        size_t n;
        float a, b;
    } types[] = {
        {0x08, {1, 255}, 2, 1, 255},
        {0x09, {1, 255}, 2, 1, -1},
        {0x0b, {1, 0, 0xff, 0xfe}, 4, 256, -2},
        {0x0c, {0, 1, 0, 0, 0xff, 0xff, 0xff, 0xfe}, 8, 65536, -2},
        {0x0d, {0x3f, 0x80, 0, 0, 0xc1, 0, 0, 0}, 8, 1, -8},
        {0x0e, {0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0x20}, 16, 1, -8},
    };
    for (size_t i = 0; i < SQZ_COUNT(types); i++) {
        unsigned char file[24] = {0, 0, types[i].code, 1, 0, 0, 0, 2};
        float x[2];
        sqz_dataset *ds;
        const char *p = test_path(&w->dir, "a.idx");
        memcpy(file + 8, types[i].data, types[i].n);
        test_write(p, file, 8 + types[i].n);
        TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
        TEST_OK(w->ctx, sqz_data_read(ds, 0, 2, x, NULL));
        assert_true(x[0] == types[i].a && x[1] == types[i].b);
        sqz_data_close(ds);
    }
}

static void test_sizes_that_do_not_agree_are_refused(void **state)
{
    world *w = *state;
    unsigned char file[256 + 1];
    sqz_dataset *ds;
    const char *p = test_path(&w->dir, "img.idx");
    images(file);
    file[256] = 0;
    test_write(p, file, 257);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "too long");
    p = save_gz(w, "img.gz", file, 257);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "longer than");
    p = save_gz(w, "img.gz", file, 255);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "truncated");
    memset(file + 4, 0xff, 12); /* 2^96 numbers */
    p = save_gz(w, "img.gz", file, 256);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_LIMIT, "img.gz");
    p = save_gz(w, "text.gz", "hello, world", 12);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "gzip");
}

static void test_damaged_files_never_crash(void **state)
{
    world *w = *state;
    unsigned char file[256];
    size_t n;
    images(file);
    test_truncations(w->ctx, test_path(&w->dir, "cut.idx"), file, sizeof file, 1);
    (void)test_flips(w->ctx, test_path(&w->dir, "cut.idx"), file, sizeof file, 2000);
    unsigned char *packed = test_read(save_gz(w, "img.gz", file, sizeof file), &n);
    test_truncations(w->ctx, test_path(&w->dir, "cut.gz"), packed, n, 1);
    /* gzip guards all but six bytes of its own header */
    assert_in_range(test_flips(w->ctx, test_path(&w->dir, "cut.gz"), packed, n, 2000), 1900, 2000);
    free(packed);
}

static void test_fashion_mnist_as_debian_ships_it(void **state)
{
    world *w = *state;
    sqz_dataset *ds;
    static float y[10000];
    int count[10] = {0};
    const char *p = "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz";
    if (access(p, R_OK) != 0)
        skip();
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
    assert_int_equal(ds->n, 10000);
    assert_int_equal(ds->shape.rank, 0);
    TEST_OK(w->ctx, sqz_data_read(ds, 0, 10000, y, NULL));
    for (int i = 0; i < 10000; i++)
        count[(int)y[i]]++;
    for (int c = 0; c < 10; c++)
        assert_int_equal(count[c], 1000);
    sqz_data_close(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_images_are_read_exactly_plain_and_packed, begin, end),
        cmocka_unit_test_setup_teardown(test_every_type_is_big_endian, begin, end),
        cmocka_unit_test_setup_teardown(test_sizes_that_do_not_agree_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_damaged_files_never_crash, begin, end),
        cmocka_unit_test_setup_teardown(test_fashion_mnist_as_debian_ships_it, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
