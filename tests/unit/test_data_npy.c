/* NPY and NPZ: what numpy writes is read exactly, as a set and as arrays; anything else is refused.
 * The files are made here byte by byte, from the description of the formats. */
#include "data_files.h"
#include <zlib.h>

/* ---- a small writer of our own, as reference ---- */
typedef struct bytes {
    unsigned char *p;
    size_t n, room;
} bytes;

static void put(bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->room) {
        b->room = (b->n + n) * 2;
        b->p = realloc(b->p, b->room);
        if (!b->p)
            abort();
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_int(bytes *b, uint64_t v, int n)
{
    for (int i = 0; i < n; i++, v >>= 8)
        put(b, &(unsigned char){(unsigned char)(v & 255)}, 1);
}

static bytes npy(const char *dict, const void *data, size_t n)
{
    bytes b = {0};
    put(&b, "\x93NUMPY\x01\x00", 8);
    put_int(&b, strlen(dict), 2);
    put(&b, dict, strlen(dict));
    put(&b, data, n);
    return b;
}

typedef struct member {
    const char *name;
    bytes data;
    bool deflate;
} member;

static bytes deflated(const bytes *in)
{
    bytes out = {malloc(in->n + 1000), 0, in->n + 1000};
    z_stream z = {.next_in = in->p,
                  .avail_in = (unsigned)in->n,
                  .next_out = out.p,
                  .avail_out = (unsigned)out.room};
    if (deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    out.n = z.total_out;
    deflateEnd(&z);
    return out;
}

/* zip64: sizes and offset in extra field 1 of the directory, and a zip64 end record. */
static bytes zip(const member *m, size_t n, bool zip64)
{
    bytes b = {0}, d = {0};
    for (size_t i = 0; i < n; i++) {
        bytes packed = m[i].deflate ? deflated(&m[i].data) : (bytes){0};
        const bytes *stored = m[i].deflate ? &packed : &m[i].data;
        size_t at = b.n, n_name = strlen(m[i].name);
        uint32_t crc = (uint32_t)crc32(0, m[i].data.p, (unsigned)m[i].data.n);
        put_int(&b, 0x04034b50, 4);
        for (bytes *to = &b; to; to = to == &b ? &d : NULL) {
            if (to == &d) {
                put_int(&d, 0x02014b50, 4);
                put_int(&d, 45, 2);
            }
            put_int(to, 45, 2);
            put_int(to, 0, 2);
            put_int(to, m[i].deflate ? 8 : 0, 2);
            put_int(to, 0, 4);
            put_int(to, crc, 4);
            put_int(to, zip64 && to == &d ? 0xffffffff : stored->n, 4);
            put_int(to, zip64 && to == &d ? 0xffffffff : m[i].data.n, 4);
            put_int(to, n_name, 2);
        }
        put_int(&b, 4, 2); /* a local extra field, as numpy has one */
        put(&b, m[i].name, n_name);
        put_int(&b, 0x00009999, 4);
        put(&b, stored->p, stored->n);
        put_int(&d, zip64 ? 28 : 0, 2);
        put_int(&d, 0, 10);
        put_int(&d, zip64 ? 0xffffffff : at, 4);
        put(&d, m[i].name, n_name);
        if (zip64) {
            put_int(&d, 1, 2);
            put_int(&d, 24, 2);
            put_int(&d, m[i].data.n, 8);
            put_int(&d, stored->n, 8);
            put_int(&d, at, 8);
        }
        free(packed.p);
    }
    size_t at = b.n, end;
    put(&b, d.p, d.n);
    end = b.n;
    if (zip64) {
        put_int(&b, 0x06064b50, 4);
        put_int(&b, 44, 8);
        put_int(&b, 0, 12);
        put_int(&b, n, 8);
        put_int(&b, n, 8);
        put_int(&b, d.n, 8);
        put_int(&b, at, 8);
        put_int(&b, 0x07064b50, 4);
        put_int(&b, 0, 4);
        put_int(&b, end, 8);
        put_int(&b, 1, 4);
    }
    put_int(&b, 0x06054b50, 4);
    put_int(&b, 0, 4);
    put_int(&b, zip64 ? 0xffff : n, 2);
    put_int(&b, zip64 ? 0xffff : n, 2);
    put_int(&b, zip64 ? 0xffffffff : d.n, 4);
    put_int(&b, zip64 ? 0xffffffff : at, 4);
    put_int(&b, 0, 2);
    free(d.p);
    return b;
}

/* x: 40 samples of 3x4 float, y: 40 labels i mod 7. */
static void fill(float x[480], int32_t y[40])
{
    sqz_rng r = {.seed = 7};
    for (int i = 0; i < 480; i++)
        x[i] = (float)sqz_rng_normal(&r);
    for (int i = 0; i < 40; i++)
        y[i] = i % 7;
}

#define X_DICT "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 3, 4), }  \n"
#define Y_DICT "{'descr': '<i4', 'fortran_order': False, 'shape': (40,), }\n"

static bytes sample_npz(bool deflate, bool zip64)
{
    float x[480];
    int32_t y[40];
    fill(x, y);
    member m[2] = {{"x.npy", npy(X_DICT, x, sizeof x), deflate},
                   {"y.npy", npy(Y_DICT, y, sizeof y), deflate}};
    bytes b = zip(m, 2, zip64);
    free(m[0].data.p);
    free(m[1].data.p);
    return b;
}

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
static const char *save(world *w, const char *name, bytes b)
{
    const char *p = test_path(&w->dir, name);
    test_write(p, b.p, b.n);
    free(b.p);
    return p;
}

/* ---- sets ---- */
static void check_set(world *w, const char *path)
{
    float x[480], got[480], label[40];
    int32_t y[40];
    sqz_dataset *ds;
    fill(x, y);
    TEST_OK(w->ctx, sqz_data_open(w->ctx, path, NULL, &ds));
    assert_int_equal(ds->n, 40);
    assert_int_equal(ds->shape.rank, 2);
    assert_int_equal(ds->shape.dim[0], 3);
    assert_int_equal(ds->shape.dim[1], 4);
    assert_true(ds->has_labels);
    assert_int_equal(ds->classes, 7);
    assert_int_equal(ds->label_shape.rank, 0);
    TEST_OK(w->ctx, sqz_data_read(ds, 0, 40, got, label));
    assert_memory_equal(got, x, sizeof x);
    for (int i = 39; i >= 0; i -= 3) { /* backwards */
        TEST_OK(w->ctx, sqz_data_read(ds, i, 1, got, label));
        assert_memory_equal(got, x + 12 * i, 12 * sizeof *x);
        assert_true(label[0] == (float)(i % 7));
    }
    TEST_FAILS(w->ctx, sqz_data_read(ds, 39, 2, got, label), SQZ_E_ARG, "there are 40");
    TEST_FAILS(w->ctx, sqz_data_read(ds, -1, 1, got, label), SQZ_E_ARG, "-1");
    sqz_data_close(ds);
}

static void test_npz_is_read_exactly_stored_deflated_and_zip64(void **state)
{
    world *w = *state;
    for (int i = 0; i < 4; i++)
        check_set(w, save(w, "set.npz", sample_npz(i & 1, i & 2)));
}

static void test_every_element_type_in_both_byte_orders(void **state)
{
    static const struct {
        const char *descr;
        unsigned char data[16];
        size_t n;
        float a, b;
    } types[] = {
        {"|b1", {0, 1}, 2, 0, 1},
        {"|i1", {0x80, 0x7f}, 2, -128, 127},
        {"|u1", {0xff, 1}, 2, 255, 1},
        {"<i2", {0xfe, 0xff, 1, 2}, 4, -2, 513},
        {">i2", {0xff, 0xfe, 2, 1}, 4, -2, 513},
        {"<u2", {0xfe, 0xff, 1, 2}, 4, 65534, 513},
        {">i4", {0xff, 0xff, 0xff, 0xfd, 0, 1, 0, 0}, 8, -3, 65536},
        {"<u4", {0, 0, 0, 0x80, 7, 0, 0, 0}, 8, 2147483648.0f, 7},
        {"<i8", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 9}, 16, -1, 9},
        {">u8", {0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3}, 16, 256, 3},
        {"<f2", {0x00, 0x3c, 0x01, 0x80}, 4, 1, -0x1p-24f},
        {">f2", {0x7b, 0xff, 0xc0, 0x00}, 4, 65504, -2},
        {"<f4", {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc1}, 8, 1, -8},
        {">f4", {0x3f, 0x80, 0, 0, 0xc1, 0, 0, 0}, 8, 1, -8},
        {"<f8", {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0x20, 0xc0}, 16, 1, -8},
        {">f8", {0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0x20}, 16, 1, -8},
    };
    world *w = *state;
    for (size_t i = 0; i < SQZ_COUNT(types); i++) {
        char dict[128];
        float got[2];
        sqz_dataset *ds;
        sqz_array *a;
        size_t n;
        sqz_arena arena = {.ctx = w->ctx};
        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }\n",
                 types[i].descr);
        const char *p = save(w, "a.npy", npy(dict, types[i].data, types[i].n));
        TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
        TEST_OK(w->ctx, sqz_data_read(ds, 0, 2, got, NULL));
        if (got[0] != types[i].a || got[1] != types[i].b)
            fail_msg("%s: %g %g, expected %g %g", types[i].descr, got[0], got[1], types[i].a,
                     types[i].b);
        sqz_data_close(ds);
        TEST_OK(w->ctx, sqz_npz_read(&arena, p, &a, &n));
        assert_int_equal(n, 1);
        assert_string_equal(a[0].name, "a");
        assert_true(sqz_tensor_f64(&a[0].t, 0) == types[i].a);
        assert_true(sqz_tensor_f64(&a[0].t, 1) == types[i].b);
        sqz_arrays_free(w->ctx, a, n);
        sqz_arena_free(&arena);
    }
}

static void test_labels_of_each_kind(void **state)
{
    world *w = *state;
    static const struct {
        const char *dict;
        unsigned char data[16];
        size_t n;
        int64_t classes, rank;
    } kinds[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", {0}, 8, 0, 0},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", {0}, 16, 0, 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1)}", {3, 250}, 2, 251, 0},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}", {0}, 6, 0, 1},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", {0, 0}, 2, 2, 0},
    };
    for (size_t i = 0; i < SQZ_COUNT(kinds); i++) {
        float x[2] = {1, 2};
        sqz_dataset *ds;
        member m[2] = {
            {"x.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}", x, 8), 0},
            {"y.npy", npy(kinds[i].dict, kinds[i].data, kinds[i].n), 0}};
        const char *p = save(w, "set.npz", zip(m, 2, false));
        free(m[0].data.p);
        free(m[1].data.p);
        TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
        assert_int_equal(ds->classes, kinds[i].classes);
        assert_int_equal(ds->label_shape.rank, kinds[i].rank);
        sqz_data_close(ds);
    }
}

static void test_checksum_is_of_the_samples_not_of_the_file(void **state)
{
    world *w = *state;
    char sum[2][65];
    for (int i = 0; i < 2; i++) {
        sqz_dataset *ds;
        TEST_OK(w->ctx, sqz_data_open(w->ctx, save(w, "set.npz", sample_npz(i, i)), NULL, &ds));
        TEST_OK(w->ctx, sqz_data_checksum(ds));
        strcpy(sum[i], ds->checksum);
        sqz_data_close(ds);
    }
    assert_string_equal(sum[0], sum[1]);
    /* the definition, spelt out */
    float x[480];
    int32_t y[40];
    sqz_sha256 sha;
    char want[65];
    sqz_shape scalar = {0};
    char shape[160], text[256];
    sqz_shape_print(shape, &scalar);
    snprintf(text, sizeof text, "squeeze data n=40 shape=3x4 labels=%s classes=7\n", shape);
    fill(x, y);
    sqz_sha256_begin(&sha);
    sqz_sha256_add(&sha, text, strlen(text));
    for (int i = 0; i < 40; i++) {
        float label = (float)y[i];
        sqz_sha256_add(&sha, x + 12 * i, 48);
        sqz_sha256_add(&sha, &label, 4);
    }
    sqz_sha256_end(&sha, want);
    assert_string_equal(sum[0], want);
}

/* ---- refusals ---- */
static void refuse_npy(world *w, const char *dict, size_t data, sqz_status status, const char *part)
{
    static const unsigned char zero[4096];
    sqz_dataset *ds;
    const char *p = save(w, "bad.npy", npy(dict, zero, data));
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), status, part);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), status, "bad.npy");
    assert_null(ds);
}

static void test_headers_that_numpy_would_not_write_are_refused(void **state)
{
    world *w = *state;
#define DICT(d, f, s) "{'descr': " d ", 'fortran_order': " f ", 'shape': " s ", }\n"
    refuse_npy(w, DICT("'|O'", "False", "(2,)"), 16, SQZ_E_UNSUPPORTED, "Python objects");
    refuse_npy(w, DICT("'<c8'", "False", "(2,)"), 16, SQZ_E_UNSUPPORTED, "complex");
    refuse_npy(w, DICT("'<U5'", "False", "(2,)"), 40, SQZ_E_UNSUPPORTED, "text");
    refuse_npy(w, DICT("[('a', '<f4')]", "False", "(2,)"), 8, SQZ_E_FORMAT, "named fields");
    refuse_npy(w, DICT("'<f4'", "True", "(2, 2)"), 16, SQZ_E_UNSUPPORTED, "Fortran");
    refuse_npy(w, DICT("'<f4'", "maybe", "(2,)"), 8, SQZ_E_FORMAT, "True or False");
    refuse_npy(w, DICT("'<f4'", "False", "(2)"), 8, SQZ_E_FORMAT, "',)'");
    refuse_npy(w, DICT("'<f4'", "False", "(-2,)"), 8, SQZ_E_FORMAT, "dimension");
    refuse_npy(w, DICT("'<f4'", "False", "()"), 4, SQZ_E_FORMAT, "single number");
    refuse_npy(w, DICT("'<f4'", "False", "(0, 3)"), 0, SQZ_E_FORMAT, "empty");
    refuse_npy(w, DICT("'<f4'", "False", "(99999999999999999999,)"), 8, SQZ_E_FORMAT, "too large");
    refuse_npy(w, DICT("'<f4'", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), 4, SQZ_E_FORMAT, "8 dim");
    refuse_npy(w, DICT("'<f4'", "False", "(2,)"), 9, SQZ_E_FORMAT, "too long");
    refuse_npy(w, DICT("'<f4'", "False", "(2,)"), 7, SQZ_E_FORMAT, "truncated");
    refuse_npy(w, DICT("'<f4'", "False", "(4611686018427387904, 8)"), 64, SQZ_E_LIMIT, "");
    refuse_npy(w, "{'descr': '<f4', 'shape': (2,)}", 8, SQZ_E_FORMAT, "missing");
    refuse_npy(w, "{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}", 8, SQZ_E_FORMAT, "repeated");
    refuse_npy(w, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, SQZ_E_FORMAT,
               "after the closing");
}

static void test_archives_that_lie_are_refused(void **state)
{
    world *w = *state;
    sqz_dataset *ds;
    float v[2] = {1, 2};
    const char *dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
    member m[2] = {{"a.npy", npy(dict, v, 8), 0}, {"b.npy", npy(dict, v, 8), 0}};
    const char *p = save(w, "set.npz", zip(m, 2, false));
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "found 'a', 'b'");
    TEST_OK(w->ctx, sqz_data_open_named(w->ctx, p, NULL, "a", "b", &ds));
    assert_true(ds->has_labels);
    sqz_data_close(ds);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, "train", &ds), SQZ_E_NOTFOUND, "no splits");
    m[1].name = "a.npy";
    p = save(w, "set.npz", zip(m, 2, false));
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "two members");
    free(m[0].data.p);
    free(m[1].data.p);
    bytes b = sample_npz(false, false); /* one byte of x changed: the CRC tells */
    b.p[200] ^= 1;
    p = save(w, "set.npz", b);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "CRC-32");
    b = sample_npz(false, false); /* method 12 */
    for (size_t i = 0; i + 4 < b.n; i++)
        if (memcmp(b.p + i, "PK\1\2", 4) == 0)
            b.p[i + 10] = 12;
    p = save(w, "set.npz", b);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_UNSUPPORTED, "method 12");
}

static void test_damaged_files_never_crash(void **state)
{
    world *w = *state;
    for (int i = 0; i < 3; i++) {
        bytes b = i == 2 ? npy(X_DICT, (float[480]){0}, 1920) : sample_npz(i, false);
        const char *p = test_path(&w->dir, i == 2 ? "cut.npy" : "cut.npz");
        test_truncations(w->ctx, p, b.p, b.n, 1);
        unsigned refused = test_flips(w->ctx, p, b.p, b.n, 2000);
        if (i != 2) /* nearly every byte of an archive is covered by a checksum or a signature */
            assert_in_range(refused, 1700, 2000);
        free(b.p);
    }
}

static void test_what_is_no_data_set_is_named(void **state)
{
    world *w = *state;
    sqz_dataset *ds;
    const char *p = test_path(&w->dir, "f");
    test_write(p, "\xff\xd8\xff\xe0....", 8);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "JPEG");
    test_write(p, "hello", 5);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "68 65 6c 6c");
    test_write(p, "", 0);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_FORMAT, "empty");
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, w->dir.path, NULL, &ds), SQZ_E_ARG, "a folder");
    unlink(p);
    TEST_FAILS(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds), SQZ_E_NOTFOUND, "No such file");
    assert_false(sqz_data_has_split(w->ctx, p, "train"));
}

/* ---- arrays ---- */
static void test_npz_written_is_npz_read_and_the_same_bytes_again(void **state)
{
    world *w = *state;
    sqz_arena arena = {.ctx = w->ctx};
    sqz_array a[4] = {{.name = "floats"}, {.name = "bytes"}, {.name = "one"}, {.name = "brain"}};
    sqz_shape s[4] = {{2, {3, 5}}, {1, {7}}, {0}, {1, {2}}};
    sqz_dtype d[4] = {SQZ_F32, SQZ_S8, SQZ_S64, SQZ_BF16};
    for (int i = 0; i < 4; i++) {
        TEST_OK(w->ctx, sqz_tensor_alloc(w->ctx, d[i], &s[i], &a[i].t));
        for (size_t k = 0; k < a[i].t.count; k++)
            sqz_tensor_set_f64(&a[i].t, k, (double)k * (i == 1 ? -9 : 1.5));
    }
    size_t n, size[2];
    unsigned char *file[2];
    for (int k = 0; k < 2; k++) {
        const char *p = test_path(&w->dir, k ? "b.npz" : "a.npz");
        TEST_OK(w->ctx, sqz_npz_write(w->ctx, p, a, 4));
        file[k] = test_read(p, &size[k]);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(file[0], file[1], size[0]);
    free(file[0]);
    free(file[1]);
    sqz_array *got;
    TEST_OK(w->ctx, sqz_npz_read(&arena, test_path(&w->dir, "a.npz"), &got, &n));
    assert_int_equal(n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(got[i].name, a[i].name);
        assert_int_equal(got[i].t.dtype, i == 3 ? SQZ_F32 : d[i]);
        assert_true(sqz_shape_eq(&got[i].t.shape, &s[i]));
        for (size_t k = 0; k < a[i].t.count; k++)
            assert_true(sqz_tensor_f64(&got[i].t, k) == sqz_tensor_f64(&a[i].t, k));
    }
    sqz_arrays_free(w->ctx, got, n);
    sqz_arrays_free(w->ctx, a, 4);
    sqz_arena_free(&arena);
}

static void test_fortran_order_arrays_come_out_in_c_order(void **state)
{
    world *w = *state;
    sqz_arena arena = {.ctx = w->ctx};
    sqz_array *a;
    size_t n;
    unsigned char column_first[6] = {0, 3, 1, 4, 2, 5}; /* of {{0,1,2},{3,4,5}} */
    const char *p = save(
        w, "f.npy",
        npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", column_first, 6));
    TEST_OK(w->ctx, sqz_npz_read(&arena, p, &a, &n));
    assert_int_equal(a[0].t.shape.dim[0], 2);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(sqz_tensor_i64(&a[0].t, i), i);
    sqz_arrays_free(w->ctx, a, n);
    sqz_arena_free(&arena);
}

/* ---- memory: 200 MB of samples, deflated to little, read with little ---- */
static void test_a_large_deflated_set_is_streamed(void **state)
{
    world *w = *state;
    const size_t samples = 50000, row = 1024;
    char dict[128];
    sqz_dataset *ds;
    bytes head;
    snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }\n",
             samples, row);
    head = npy(dict, NULL, 0);
    /* x.npy deflated by hand in blocks, so that this test needs no memory either */
    bytes packed = {0};
    unsigned char *zero = calloc(1, 1 << 20), out[4096];
    z_stream z = {.next_in = head.p, .avail_in = (unsigned)head.n};
    uint32_t crc = (uint32_t)crc32(0, head.p, (unsigned)head.n);
    size_t left = samples * row * 4;
    if (deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    for (int r = Z_OK; r != Z_STREAM_END;) {
        if (z.avail_in == 0 && left) {
            z.next_in = zero;
            z.avail_in = (unsigned)SQZ_MIN(left, (size_t)1 << 20);
            crc = (uint32_t)crc32(crc, zero, z.avail_in);
            left -= z.avail_in;
        }
        z.next_out = out;
        z.avail_out = sizeof out;
        r = deflate(&z, left || z.avail_in ? Z_NO_FLUSH : Z_FINISH);
        put(&packed, out, sizeof out - z.avail_out);
    }
    uint64_t size = z.total_in;
    deflateEnd(&z);
    free(zero);
    /* the archive: reuse the writer for its frame with the packed bytes as a stored member, then
     * correct method, CRC and size in the directory */
    member m = {"x.npy", packed, false};
    bytes b = zip(&m, 1, false);
    for (size_t i = 0; i + 4 < b.n; i++)
        if (memcmp(b.p + i, "PK\1\2", 4) == 0) {
            bytes fix = {b.p + i, 10, SIZE_MAX};
            put_int(&fix, 8, 2);
            fix.n = 16;
            put_int(&fix, crc, 4);
            fix.n = 24;
            put_int(&fix, size, 4);
        }
    const char *p = save(w, "large.npz", b);
    free(packed.p);
    free(head.p);
    long before = test_peak_kib();
    float *x = malloc(100 * row * sizeof *x);
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &ds));
    assert_int_equal(ds->n, samples);
    for (int64_t i = 0; i < (int64_t)samples; i += 100) {
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_npz_is_read_exactly_stored_deflated_and_zip64, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_every_element_type_in_both_byte_orders, begin, end),
        cmocka_unit_test_setup_teardown(test_labels_of_each_kind, begin, end),
        cmocka_unit_test_setup_teardown(test_checksum_is_of_the_samples_not_of_the_file, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_headers_that_numpy_would_not_write_are_refused, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_archives_that_lie_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_damaged_files_never_crash, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_no_data_set_is_named, begin, end),
        cmocka_unit_test_setup_teardown(test_npz_written_is_npz_read_and_the_same_bytes_again,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_fortran_order_arrays_come_out_in_c_order, begin, end),
        cmocka_unit_test_setup_teardown(test_a_large_deflated_set_is_streamed, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
