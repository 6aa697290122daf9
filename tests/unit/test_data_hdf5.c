/* HDF5: sets in the two forms that people have, every element type, splits, scaled bytes; files
 * made with libhdf5 itself. Broken and tricky files are refused with a sentence. */
#include "data_files.h"
#include "io/hdf5.h"

TEST_HDF5_LEAKS

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

/* ---- a small writer ---- */
static hid_t create(const char *path, bool newest)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (newest)
        H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    assert_true(f >= 0);
    return f;
}

/* chunk 0: contiguous */
static void put(hid_t at, const char *name, hid_t type, hid_t memory, int rank, const hsize_t *dim,
                hsize_t chunk, const void *data)
{
    hid_t space = H5Screate_simple(rank, dim, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t part[SQZ_MAX_RANK];
    memcpy(part, dim, (size_t)rank * sizeof *dim);
    part[0] = chunk;
    if (chunk) {
        H5Pset_chunk(plist, rank, part);
        H5Pset_deflate(plist, 6);
        H5Pset_fletcher32(plist);
    }
    hid_t d = H5Dcreate2(at, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(d >= 0);
    assert_true(H5Dwrite(d, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(d);
    H5Pclose(plist);
    H5Sclose(space);
}

static void attribute(hid_t file, const char *object, const char *name, size_t n, const double *v)
{
    hsize_t dim = n;
    hid_t at = H5Oopen(file, object, H5P_DEFAULT), space = H5Screate_simple(1, &dim, NULL);
    hid_t a = H5Acreate2(at, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(a >= 0 && H5Awrite(a, H5T_NATIVE_DOUBLE, v) >= 0);
    H5Aclose(a);
    H5Sclose(space);
    H5Oclose(at);
}

static void fill(float *x, size_t n)
{
    sqz_rng r = {.seed = 3};
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((int)sqz_rng_below(&r, 200) - 100);
}

/* 30 samples of 4x5, labels i mod 6. */
static const char *plain_set(world *w, const char *name, bool newest, hsize_t chunk)
{
    const char *p = test_path(&w->dir, name);
    float x[600];
    int64_t y[30];
    fill(x, 600);
    for (int i = 0; i < 30; i++)
        y[i] = i % 6;
    hid_t f = create(p, newest);
    put(f, "x", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 3, (hsize_t[]){30, 4, 5}, chunk, x);
    put(f, "y", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, (hsize_t[]){30}, chunk, y);
    H5Fclose(f);
    return p;
}

/* ---- reading ---- */
static void test_x_and_y_at_the_root_are_read_in_any_order(void **state)
{
    world *w = *state;
    float x[600], got[600], y[30];
    fill(x, 600);
    for (int kind = 0; kind < 4; kind++) {
        sqz_dataset *ds;
        const char *p = plain_set(w, "set.h5", kind & 1, kind & 2 ? 7 : 0);
        TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
        assert_string_equal(ds->format->info.name, "hdf5");
        assert_int_equal(ds->n, 30);
        assert_int_equal(ds->shape.rank, 2);
        assert_int_equal(ds->shape.dim[1], 5);
        assert_int_equal(ds->classes, 6);
        TEST_OK(w->ctx, sqz_data_read(ds, 0, 30, got, y));
        assert_memory_equal(got, x, sizeof x);
        for (int i = 29; i >= 0; i -= 4) {
            TEST_OK(w->ctx, sqz_data_read(ds, i, 1, got, y));
            assert_memory_equal(got, x + 20 * i, 20 * sizeof *x);
            assert_true(y[0] == (float)(i % 6));
        }
        TEST_FAILS(w->ctx, sqz_data_read(ds, 25, 6, got, y), SQZ_E_ARG, "there are 30");
        sqz_data_close(ds);
        TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, "test", &ds), SQZ_E_NOTFOUND,
                   "no split 'test'");
    }
}

static void test_every_element_type_becomes_float(void **state)
{
    world *w = *state;
    const hid_t types[] = {H5T_STD_U8LE,  H5T_STD_I8LE,  H5T_STD_I16BE,  H5T_STD_U16LE,
                           H5T_STD_I32LE, H5T_STD_I64BE, H5T_IEEE_F32BE, H5T_IEEE_F64LE};
    const float x[4] = {0, 1, 100, 127};
    hid_t half = H5Tcopy(H5T_IEEE_F32LE); /* as h5py makes float16 */
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    for (size_t i = 0; i <= SQZ_COUNT(types); i++) {
        const char *p = test_path(&w->dir, "type.h5");
        float got[4];
        sqz_dataset *ds;
        hid_t f = create(p, false);
        put(f, "x", i < SQZ_COUNT(types) ? types[i] : half, H5T_NATIVE_FLOAT, 2, (hsize_t[]){2, 2},
            0, x);
        H5Fclose(f);
        TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
        assert_false(ds->has_labels);
        TEST_OK(w->ctx, sqz_data_read(ds, 0, 2, got, NULL));
        assert_memory_equal(got, x, sizeof x);
        sqz_data_close(ds);
    }
    H5Tclose(half);
}

static void test_splits_are_groups_and_bytes_are_scaled(void **state)
{
    world *w = *state;
    const char *p = test_path(&w->dir, "split.h5");
    unsigned char q[24];
    double version = 1, divide = 255, mean[2] = {0.5, 0.25}, std[2] = {0.25, 2}, axis = 0;
    float got[24];
    sqz_dataset *ds;
    for (int i = 0; i < 24; i++)
        q[i] = (unsigned char)(i * 11);
    hid_t f = create(p, true);
    const char *groups[] = {"train", "test"};
    for (int k = 0; k < 2; k++) {
        hid_t g = H5Gcreate2(f, groups[k], H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        put(g, "x", H5T_STD_U8LE, H5T_NATIVE_UCHAR, 4, (hsize_t[]){2, 2, 2, 3}, 1, q);
        H5Gclose(g);
    }
    attribute(f, "/", "squeeze_data", 1, &version);
    attribute(f, "/train/x", "divide", 1, &divide);
    attribute(f, "/train/x", "mean", 2, mean);
    attribute(f, "/train/x", "std", 2, std);
    attribute(f, "/train/x", "channel_axis", 1, &axis);
    H5Fclose(f);
    assert_true(sqz_data_has_split(w->ctx, p, "test"));
    assert_false(sqz_data_has_split(w->ctx, p, "valid"));
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds)); /* train, scaled */
    TEST_OK(w->ctx, sqz_data_read(ds, 0, 2, got, NULL));
    for (int i = 0; i < 24; i++) {
        int c = i / 6 % 2;
        assert_true(got[i] == (float)((i * 11 / 255.0 - mean[c]) / std[c]));
    }
    sqz_data_close(ds);
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, "test", &ds)); /* as they are */
    TEST_OK(w->ctx, sqz_data_read(ds, 1, 1, got, NULL));
    assert_true(got[0] == 132);
    sqz_data_close(ds);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, "valid", &ds), SQZ_E_NOTFOUND,
               "(splits: train, test)");
}

static void test_checksum_is_that_of_the_same_samples_elsewhere(void **state)
{
    world *w = *state;
    sqz_dataset *ds;
    sqz_array a[2] = {{.name = "x"}, {.name = "y"}};
    char sum[65];
    TEST_OK(w->ctx, sqz_data_open(w->ctx, plain_set(w, "a.h5", false, 7), NULL, &ds));
    TEST_OK(w->ctx, sqz_data_checksum(ds));
    strcpy(sum, ds->checksum);
    sqz_data_close(ds);
    TEST_OK(w->ctx, sqz_tensor_alloc(w->ctx, SQZ_F32, &(sqz_shape){3, {30, 4, 5}}, &a[0].t));
    TEST_OK(w->ctx, sqz_tensor_alloc(w->ctx, SQZ_U8, &(sqz_shape){1, {30}}, &a[1].t));
    fill(SQZ_F32P(&a[0].t), 600);
    for (size_t i = 0; i < 30; i++)
        sqz_tensor_set_f64(&a[1].t, i, (double)(i % 6));
    TEST_OK(w->ctx, sqz_npz_write(w->ctx, test_path(&w->dir, "a.npz"), a, 2));
    TEST_OK(w->ctx, sqz_data_open(w->ctx, test_path(&w->dir, "a.npz"), NULL, &ds));
    TEST_OK(w->ctx, sqz_data_checksum(ds));
    assert_string_equal(ds->checksum, sum);
    sqz_data_close(ds);
    sqz_arrays_free(w->ctx, a, 2);
}

/* ---- refusals ---- */
static void refuse(world *w, const char *path, sqz_status s, const char *part)
{
    sqz_dataset *ds;
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, path, NULL, &ds), s, part);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, path, NULL, &ds), s, path);
}

static void test_files_that_are_no_sets_are_refused(void **state)
{
    world *w = *state;
    const char *p = test_path(&w->dir, "bad.h5");
    float x[8] = {0};
    int32_t y[4] = {0, 1, -1, 2};
    hid_t f = create(p, false);
    put(f, "z", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, (hsize_t[]){8}, 0, x);
    H5Fclose(f);
    refuse(w, p, SQZ_E_FORMAT, "no dataset 'x'");
    f = create(p, false);
    put(f, "x", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, (hsize_t[]){4}, 0, x);
    put(f, "y", H5T_STD_I32LE, H5T_NATIVE_INT, 1, (hsize_t[]){3}, 0, y);
    H5Fclose(f);
    refuse(w, p, SQZ_E_SHAPE, "3 labels for 4 samples");
    f = create(p, false);
    put(f, "x", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, (hsize_t[]){4}, 0, x);
    put(f, "y", H5T_STD_I32LE, H5T_NATIVE_INT, 1, (hsize_t[]){4}, 0, y);
    H5Fclose(f);
    refuse(w, p, SQZ_E_FORMAT, "label of sample 2 is -1");
    f = create(p, false);
    hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, 4);
    put(f, "x", text, text, 1, (hsize_t[]){4}, 0, x);
    H5Tclose(text);
    H5Fclose(f);
    refuse(w, p, SQZ_E_UNSUPPORTED, "element type");
    test_write(p, "\x89HDF\r\n\x1a\n", 8);
    refuse(w, p, SQZ_E_FORMAT, "bad.h5");
}

static void test_data_outside_of_the_file_is_not_followed(void **state)
{
    world *w = *state;
    const char *p = test_path(&w->dir, "link.h5"), *other = plain_set(w, "other.h5", false, 0);
    hid_t f = create(p, false);
    H5Lcreate_external(other, "/x", f, "x", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(f);
    refuse(w, p, SQZ_E_FORMAT, "no dataset 'x'");
    f = create(p, false);
    hsize_t dim[1] = {4};
    hid_t space = H5Screate_simple(1, dim, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(plist, other, 0, 16);
    H5Dclose(H5Dcreate2(f, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT));
    H5Pclose(plist);
    H5Sclose(space);
    H5Fclose(f);
    refuse(w, p, SQZ_E_UNSUPPORTED, "another file");
}

static void test_a_set_that_promises_more_than_it_holds_is_refused(void **state)
{
    world *w = *state;
    const char *p = test_path(&w->dir, "hollow.h5");
    hid_t f = create(p, false);
    hsize_t dim[2] = {(hsize_t)1 << 40, 1000}, chunk[2] = {1, 1000};
    hid_t space = H5Screate_simple(2, dim, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 2, chunk);
    H5Dclose(H5Dcreate2(f, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT));
    H5Pclose(plist);
    H5Sclose(space);
    H5Fclose(f);
    refuse(w, p, SQZ_E_FORMAT, "holds 0");
}

static void test_truncated_files_are_refused(void **state)
{
    world *w = *state;
    for (int newest = 0; newest < 2; newest++) {
        size_t n;
        unsigned char *bytes = test_read(plain_set(w, "set.h5", newest, 7), &n);
        test_truncations(w->ctx, test_path(&w->dir, "cut.h5"), bytes, n, 1);
        free(bytes);
    }
}

/* In the newest file format metadata has checksums, and chunks may: a flipped bit is an error, not
 * a surprise. */
static void test_flipped_bits_in_the_newest_format_never_crash(void **state)
{
    world *w = *state;
    size_t n;
    unsigned char *bytes = test_read(plain_set(w, "set.h5", true, 7), &n);
    (void)test_flips(w->ctx, test_path(&w->dir, "flip.h5"), bytes, n, 2000);
    free(bytes);
}

/* The old format has no checksums, and libhdf5 1.10 crashes on about one in a thousand: then a
 * child dies, not we. */
static void test_flipped_bits_in_the_old_format_kill_a_child_at_most(void **state)
{
    world *w = *state;
    size_t n;
    unsigned char *bytes = test_read(plain_set(w, "set.h5", false, 7), &n);
    sqz_h5_own_process();
    (void)test_flips(w->ctx, test_path(&w->dir, "flip.h5"), bytes, n, 1500);
    free(bytes);
}

static void test_nothing_stays_open(void **state)
{
    world *w = *state;
    sqz_dataset *ds;
    TEST_OK(w->ctx, sqz_data_open(w->ctx, plain_set(w, "set.h5", true, 7), NULL, &ds));
    sqz_data_close(ds);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

static void test_a_large_set_is_streamed(void **state)
{
    world *w = *state;
    const char *p = test_path(&w->dir, "large.h5");
    const hsize_t samples = 50000, row = 1024;
    float *x = calloc(100 * row, sizeof *x);
    sqz_dataset *ds;
    hid_t f = create(p, true);
    hsize_t dim[2] = {samples, row}, chunk[2] = {100, row}, start[2] = {0, 0};
    hid_t space = H5Screate_simple(2, dim, NULL), plist = H5Pcreate(H5P_DATASET_CREATE),
          flat = H5Screate_simple(2, chunk, NULL);
    H5Pset_chunk(plist, 2, chunk);
    H5Pset_deflate(plist, 1);
    hid_t d = H5Dcreate2(f, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    for (start[0] = 0; start[0] < samples; start[0] += 100) {
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, chunk, NULL);
        assert_true(H5Dwrite(d, H5T_NATIVE_FLOAT, flat, space, H5P_DEFAULT, x) >= 0);
    }
    H5Dclose(d);
    H5Sclose(flat);
    H5Sclose(space);
    H5Pclose(plist);
    H5Fclose(f);
    long before = test_peak_kib();
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
    for (int64_t i = 0; i < ds->n; i += 100) {
        memset(x, 1, 100 * row * sizeof *x);
        TEST_OK(w->ctx, sqz_data_read(ds, i, 100, x, NULL));
        assert_true(x[0] == 0 && x[100 * row - 1] == 0);
    }
    sqz_data_close(ds);
    free(x);
    assert_in_range(test_peak_kib() - before, 0, TEST_MEMORY_KIB);
}

int main(void)
{
    H5dont_atexit(); /* libhdf5 grumbles at exit about the damaged files that it refused */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_x_and_y_at_the_root_are_read_in_any_order, begin, end),
        cmocka_unit_test_setup_teardown(test_every_element_type_becomes_float, begin, end),
        cmocka_unit_test_setup_teardown(test_splits_are_groups_and_bytes_are_scaled, begin, end),
        cmocka_unit_test_setup_teardown(test_checksum_is_that_of_the_same_samples_elsewhere, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_files_that_are_no_sets_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_data_outside_of_the_file_is_not_followed, begin, end),
        cmocka_unit_test_setup_teardown(test_a_set_that_promises_more_than_it_holds_is_refused,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_truncated_files_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_flipped_bits_in_the_newest_format_never_crash, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_nothing_stays_open, begin, end),
        cmocka_unit_test_setup_teardown(test_a_large_set_is_streamed, begin, end),
        /* last: it says that the process is squeeze's own */
        cmocka_unit_test_setup_teardown(test_flipped_bits_in_the_old_format_kill_a_child_at_most,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
