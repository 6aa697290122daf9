/* squeeze prepare: the samples of a set are those of the source, transformed as the spec says, each
 * in the split it belongs to. Sources are made here; expected numbers are computed from the
 * definition. */
#include "data_files.h"
#include "io/image.h"
#include "io/prepare.h"
#include <dirent.h>
#include <hdf5.h>
#include <jpeglib.h>
#include <png.h>
#include <signal.h>
#include <sys/resource.h>
#include <zlib.h>

TEST_HDF5_LEAKS

typedef struct world {
    sqz_ctx *ctx;
    test_dir dir;
    cJSON *report;
} world;
static int begin(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->ctx = test_ctx();
    w->dir = test_dir_make();
    w->report = cJSON_CreateObject();
    *state = w;
    return 0;
}
static int end(void **state)
{
    world *w = *state;
    cJSON_Delete(w->report);
    test_dir_remove(&w->dir);
    sqz_ctx_free(w->ctx);
    free(w);
    return 0;
}

static sqz_status prepare(world *w, const char *spec, bool dry_run)
{
    test_write(test_path(&w->dir, "spec.yaml"), spec, strlen(spec));
    cJSON_Delete(w->report);
    w->report = cJSON_CreateObject();
    return sqz_prepare_run(w->ctx, test_path(&w->dir, "spec.yaml"), test_path(&w->dir, "set.h5"),
                           dry_run, w->report);
}

static int64_t samples_of(const world *w, const char *split)
{
    const cJSON *s = cJSON_GetObjectItem(w->report, "samples");
    return (int64_t)cJSON_GetObjectItem(s, split)->valuedouble;
}

/* A split, whole; free both. The stored checksum must be the one computed from what is read. */
static sqz_dataset *load(world *w, const char *split, float **x, float **y)
{
    sqz_dataset *ds;
    size_t n, m, bytes;
    char told[65];
    TEST_OK(w->ctx, sqz_data_open(w->ctx, test_path(&w->dir, "set.h5"), split, &ds));
    TEST_OK(w->ctx, sqz_shape_count(w->ctx, &ds->shape, SQZ_F32, &n, &bytes));
    TEST_OK(w->ctx, sqz_shape_count(w->ctx, &ds->label_shape, SQZ_F32, &m, &bytes));
    *x = malloc(n * (size_t)ds->n * sizeof **x);
    *y = malloc(m * (size_t)ds->n * sizeof **y);
    TEST_OK(w->ctx, sqz_data_read(ds, 0, ds->n, *x, ds->has_labels ? *y : NULL));
    strcpy(told, ds->checksum);
    assert_int_equal(strlen(told), 64);
    ds->checksum[0] = 0;
    TEST_OK(w->ctx, sqz_data_checksum(ds));
    assert_string_equal(told, ds->checksum);
    return ds;
}

/* ---- splits, from an array whose samples know their number ---- */
#define N 200

/* Sample i of 4 floats is {i, class, ...}; classes are unevenly many: i % 10 < 7 is 0. */
static void numbered_set(world *w, const char *name, int n)
{
    sqz_array a[2] = {{.name = "x"}, {.name = "y"}};
    TEST_OK(w->ctx, sqz_tensor_alloc(w->ctx, SQZ_F32, &(sqz_shape){2, {n, 4}}, &a[0].t));
    TEST_OK(w->ctx, sqz_tensor_alloc(w->ctx, SQZ_U8, &(sqz_shape){1, {n}}, &a[1].t));
    for (int i = 0; i < n; i++) {
        int c = i % 10 < 7 ? 0 : i % 10 < 9 ? 1 : 2;
        for (int k = 0; k < 4; k++)
            SQZ_F32P(&a[0].t)[i * 4 + k] = (float)(k == 0 ? i : k == 1 ? c : i * k);
        sqz_tensor_set_f64(&a[1].t, (size_t)i, c);
    }
    TEST_OK(w->ctx, sqz_npz_write(w->ctx, test_path(&w->dir, name), a, 2));
    sqz_arrays_free(w->ctx, a, 2);
}

static void test_splits_share_nothing_but_calib_with_train(void **state)
{
    world *w = *state;
    static const char *const names[] = {"train", "valid", "test", "calib"};
    static const int want[] = {160, 20, 20, 40};
    int of[N], calib[N] = {0};
    numbered_set(w, "set.npz", N);
    TEST_OK(w->ctx, prepare(w,
                            "squeeze_data: 1\nsource: {npz: {file: set.npz}}\n"
                            "splits: {train: 80 %, valid: 10 %, test: 10 %, calib: 40}\nseed: 5\n",
                            false));
    memset(of, -1, sizeof of);
    for (int s = 0; s < 4; s++) {
        float *x, *y;
        int classes[3] = {0}, in_order = 1;
        sqz_dataset *ds = load(w, names[s], &x, &y);
        assert_int_equal(ds->n, want[s]);
        assert_int_equal(samples_of(w, names[s]), want[s]);
        assert_int_equal(ds->classes, 3);
        for (int64_t i = 0; i < ds->n; i++) {
            int id = (int)x[i * 4];
            assert_true(x[i * 4 + 1] == y[i] && x[i * 4 + 3] == (float)(id * 3));
            classes[(int)y[i]]++;
            in_order &= i == 0 || x[i * 4] > x[i * 4 - 4];
            if (s == 3) {
                assert_int_equal(of[id], 0);
                assert_int_equal(calib[id]++, 0);
            } else {
                assert_int_equal(of[id], -1);
                of[id] = s;
            }
        }
        assert_false(in_order); /* shuffled */
        /* 70 %, 20 %, 10 % of each, to within one sample */
        assert_in_range(classes[0] * 10, 7 * want[s] - 10, 7 * want[s] + 10);
        assert_in_range(classes[1] * 10, 2 * want[s] - 10, 2 * want[s] + 10);
        assert_in_range(classes[2] * 10, want[s] - 10, want[s] + 10);
        sqz_data_close(ds);
        free(x);
        free(y);
    }
}

static void test_without_shuffle_samples_keep_their_order(void **state)
{
    world *w = *state;
    numbered_set(w, "set.npz", N);
    for (int stratify = 0; stratify < 2; stratify++) {
        float *x, *y;
        char spec[256];
        snprintf(spec, sizeof spec,
                 "squeeze_data: 1\nsource: {npz: {file: set.npz}}\nshuffle: false\nstratify: %s\n"
                 "splits: {train: 100, test: 50, calib: 10}\n",
                 stratify ? "true" : "false");
        TEST_OK(w->ctx, prepare(w, spec, false));
        sqz_dataset *ds = load(w, "test", &x, &y);
        for (int64_t i = 0; i < 50; i++) {
            if (!stratify)
                assert_true(x[i * 4] == (float)(100 + i));
            else
                assert_true(i == 0 || x[i * 4] > x[i * 4 - 4]);
        }
        sqz_data_close(ds);
        free(x);
        free(y);
    }
}

static void test_train_is_what_other_splits_leave(void **state)
{
    world *w = *state;
    float *x, *y;
    numbered_set(w, "set.npz", N);
    TEST_OK(w->ctx,
            prepare(w, "squeeze_data: 1\nsource: {npz: {file: set.npz}}\nsplits: {valid: 25 %}\n",
                    false));
    sqz_dataset *ds = load(w, "train", &x, &y);
    assert_int_equal(ds->n, N - N / 4);
    sqz_data_close(ds);
    free(x);
    free(y);
}

static void test_the_same_seed_gives_the_same_bytes_and_another_seed_others(void **state)
{
    world *w = *state;
    unsigned char *file[3];
    size_t n[3];
    char spec[256];
    numbered_set(w, "set.npz", N);
    for (int k = 0; k < 3; k++) {
        snprintf(spec, sizeof spec,
                 "squeeze_data: 1\nsource: {npz: {file: set.npz}}\n"
                 "splits: {train: 50 %%, test: 50 %%}\nseed: %d\n",
                 k / 2);
        TEST_OK(w->ctx, prepare(w, spec, false));
        file[k] = test_read(test_path(&w->dir, "set.h5"), &n[k]);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(file[0], file[1], n[0]);
    assert_true(n[0] != n[2] || memcmp(file[0], file[2], n[0]) != 0);
    for (int k = 0; k < 3; k++)
        free(file[k]);
}

static void test_dealing_is_exact_for_random_sizes(void **state)
{
    world *w = *state;
    sqz_rng r = {.seed = 99};
    for (int round = 0; round < 300; round++) {
        int64_t n = 1 + (int64_t)sqz_rng_below(&r, 400),
                classes = 1 + (int64_t)sqz_rng_below(&r, 9);
        int64_t want[SQZ_N_SPLIT];
        int32_t class_of[400];
        int seen[400] = {0};
        sqz_deal d;
        want[0] = (int64_t)sqz_rng_below(&r, (uint64_t)n + 1);
        want[1] = (int64_t)sqz_rng_below(&r, (uint64_t)(n - want[0]) + 1);
        want[2] = (int64_t)sqz_rng_below(&r, (uint64_t)(n - want[0] - want[1]) + 1);
        want[3] = (int64_t)sqz_rng_below(&r, (uint64_t)want[0] + 1);
        for (int64_t i = 0; i < n; i++)
            class_of[i] = (int32_t)sqz_rng_below(&r, (uint64_t)classes);
        TEST_OK(w->ctx, sqz_deal_out(w->ctx, n, round & 1 ? class_of : NULL, classes, want,
                                     round & 2, 1, &d));
        for (int s = 0; s < SQZ_N_SPLIT; s++) {
            assert_int_equal(d.n[s], want[s]);
            for (int64_t i = 0; i < want[s]; i++) {
                assert_true(d.item[s][i] < n);
                assert_int_equal(seen[d.item[s][i]], s == 3 ? 1 : 0); /* calib: train's bit only */
                seen[d.item[s][i]] |= s == 3 ? 16 : 1 << s;
            }
        }
        sqz_deal_free(w->ctx, &d);
    }
}

/* ---- IDX: layout, scale, bytes ---- */
static void save_idx(world *w, const char *name, const unsigned char *head, size_t n_head,
                     const unsigned char *data, size_t n)
{
    gzFile f = gzopen(test_path(&w->dir, name), "wb");
    if (!f || gzwrite(f, head, (unsigned)n_head) < 0 || gzwrite(f, data, (unsigned)n) < 0 ||
        gzclose(f) != Z_OK)
        abort();
}

static void test_packed_bytes_stay_bytes_and_read_as_scaled_floats(void **state)
{
    world *w = *state;
    unsigned char x[40 * 12], y[40];
    sqz_rng r = {.seed = 1};
    for (size_t i = 0; i < sizeof x; i++)
        x[i] = (unsigned char)sqz_rng_below(&r, 256);
    for (size_t i = 0; i < sizeof y; i++)
        y[i] = (unsigned char)(i % 4);
    save_idx(w, "x.gz", (unsigned char[]){0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 3, 0, 0, 0, 4}, 16, x,
             sizeof x);
    save_idx(w, "y.gz", (unsigned char[]){0, 0, 8, 1, 0, 0, 0, 40}, 8, y, sizeof y);
    char sum[2][65];
    for (int k = 0; k < 2; k++) {
        char spec[512];
        float *got, *label;
        snprintf(spec, sizeof spec,
                 "squeeze_data: 1\nsource: {idx: {x: x.gz, y: y.gz}}\nlayout: nchw\nshuffle: "
                 "false\nstratify: false\ntransform: {scale: 1/255, mean: [0.5], std: 0.25}\n"
                 "splits: {train: 100 %%}\nstore: %s\nclass_names: [a, b, c, d, e]\n",
                 k ? "f32" : "auto");
        TEST_OK(w->ctx, prepare(w, spec, false));
        sqz_dataset *ds = load(w, NULL, &got, &label);
        assert_int_equal(ds->shape.rank, 3);
        assert_int_equal(ds->shape.dim[0], 1);
        assert_int_equal(ds->layout, SQZ_LAYOUT_NCHW);
        assert_int_equal(ds->classes, 5); /* one has a name but no sample */
        for (size_t i = 0; i < sizeof x; i++)
            assert_true(got[i] == (float)((x[i] / 255.0 - 0.5) / 0.25));
        for (size_t i = 0; i < sizeof y; i++)
            assert_true(label[i] == (float)y[i]);
        strcpy(sum[k], ds->checksum);
        assert_string_equal(cJSON_GetObjectItem(w->report, "stored")->valuestring,
                            k ? "f32" : "u8");
        sqz_data_close(ds);
        free(got);
        free(label);
    }
    assert_string_equal(sum[0], sum[1]); /* bytes or floats: the same samples */
}

static void test_a_separate_test_source_is_used_whole(void **state)
{
    world *w = *state;
    float *x, *y;
    numbered_set(w, "a.npz", 50);
    numbered_set(w, "b.npz", 30);
    TEST_OK(w->ctx, prepare(w,
                            "squeeze_data: 1\nsource: {npz: {file: a.npz}}\n"
                            "test: {npz: {file: b.npz}}\n"
                            "splits: {train: 90 %, valid: 10 %, calib: 8}\n",
                            false));
    assert_int_equal(samples_of(w, "train"), 45);
    assert_int_equal(samples_of(w, "test"), 30);
    sqz_dataset *ds = load(w, "test", &x, &y);
    int seen[30] = {0};
    for (int i = 0; i < 30; i++)
        seen[(int)x[i * 4]]++;
    for (int i = 0; i < 30; i++)
        assert_int_equal(seen[i], 1);
    sqz_data_close(ds);
    free(x);
    free(y);
}

/* ---- tables ---- */
static void test_tables_with_quotes_names_and_crlf(void **state)
{
    world *w = *state;
    float *x, *y;
    const char *table = "\xef\xbb\xbfid,\"a, b\",c,kind\r\n"
                        "1,0.5,-1e3,\"dog \"\"big\"\"\"\r\n"
                        "2,1.25, 7 ,cat\r\n"
                        "\r\n"
                        "3,2,8,\"two\nlines\"\r\n"
                        "4,3,9,cat";
    test_write(test_path(&w->dir, "t.csv"), table, strlen(table));
    TEST_OK(w->ctx,
            prepare(w,
                    "squeeze_data: 1\nsource: {csv: {file: t.csv, x: ['a, b', c], y: kind}}\n"
                    "transform: {mean: [1, 2], std: [2, 4]}\nshuffle: false\n"
                    "stratify: false\nsplits: {train: 100 %}\n",
                    false));
    const cJSON *names = cJSON_GetObjectItem(w->report, "class_names");
    assert_int_equal(cJSON_GetArraySize(names), 3);
    assert_string_equal(cJSON_GetArrayItem(names, 0)->valuestring, "cat");
    assert_string_equal(cJSON_GetArrayItem(names, 1)->valuestring, "dog \"big\"");
    const float raw[8] = {0.5f, -1000, 1.25f, 7, 2, 8, 3, 9}, label[4] = {1, 0, 2, 0};
    sqz_dataset *ds = load(w, NULL, &x, &y);
    assert_int_equal(ds->n, 4);
    for (int i = 0; i < 8; i++)
        assert_true(x[i] == (float)((raw[i] - (i % 2 ? 2.0 : 1.0)) / (i % 2 ? 4.0 : 2.0)));
    assert_memory_equal(y, label, sizeof label);
    sqz_data_close(ds);
    free(x);
    free(y);
}

static void test_tables_without_header_and_with_values(void **state)
{
    world *w = *state;
    float *x, *y;
    const char *table = "1;2;0.5\n3;4;1\n5;6;2\n";
    test_write(test_path(&w->dir, "t.csv"), table, strlen(table));
    TEST_OK(w->ctx, prepare(w,
                            "squeeze_data: 1\nshuffle: false\nsplits: {train: 100 %}\n"
                            "source: {csv: {file: t.csv, header: false, separator: ';', y: 3}}\n",
                            false));
    sqz_dataset *ds = load(w, NULL, &x, &y);
    const float want_x[6] = {1, 2, 3, 4, 5, 6}, want_y[3] = {0.5f, 1, 2};
    assert_int_equal(ds->classes, 0);
    assert_memory_equal(x, want_x, sizeof want_x);
    assert_memory_equal(y, want_y, sizeof want_y);
    sqz_data_close(ds);
    free(x);
    free(y);
}

/* ---- images ---- */
static void pixel_at(int y, int x, unsigned char p[3])
{
    p[0] = (unsigned char)(x * 20 + 3);
    p[1] = (unsigned char)(y * 25 + 1);
    p[2] = (unsigned char)((x + y) * 9);
}

/* What the file holds as 8-bit RGB or gray, from pixel_at; type and depth of the PNG vary. */
static void save_png(const char *path, int h, int w, int type, int depth, bool interlaced)
{
    FILE *f = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color palette[256];
    assert_non_null(f);
    png_init_io(png, f);
    png_set_IHDR(png, info, (unsigned)w, (unsigned)h, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        for (int i = 0; i < h * w; i++) {
            unsigned char p[3];
            pixel_at(i / w, i % w, p);
            palette[i] = (png_color){p[0], p[1], p[2]};
        }
        png_set_PLTE(png, info, palette, h * w);
    }
    png_write_info(png, info);
    png_bytep row[16];
    for (int y = 0; y < h; y++) {
        png_bytep r = row[y] = calloc(16, 8);
        for (int x = 0; x < w; x++) {
            unsigned char p[3];
            pixel_at(y, x, p);
            if (type == PNG_COLOR_TYPE_PALETTE)
                r[x] = (unsigned char)(y * w + x);
            for (int c = 0; c < 3 && type != PNG_COLOR_TYPE_PALETTE; c++) {
                int n = type & PNG_COLOR_MASK_COLOR ? 3 : 1, a = (type & PNG_COLOR_MASK_ALPHA) != 0;
                if (c >= n)
                    continue;
                size_t at = (size_t)(x * (n + a) + c);
                if (depth == 16)
                    r[2 * at] = r[2 * at + 1] = p[c]; /* v * 257: exactly v in 8 bits */
                else
                    r[at] = p[c];
                if (a && depth == 8)
                    r[at + 1] = 7; /* overwritten by the next channel, so last is alpha */
            }
        }
    }
    png_write_image(png, row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    for (int y = 0; y < h; y++)
        free(row[y]);
    fclose(f);
}

static void test_png_of_every_type_gives_the_same_pixels(void **state)
{
    world *w = *state;
    static const struct {
        int type, depth, interlaced;
    } kinds[] = {
        {PNG_COLOR_TYPE_RGB, 8, 0},        {PNG_COLOR_TYPE_RGB, 16, 0},
        {PNG_COLOR_TYPE_RGB, 8, 1},        {PNG_COLOR_TYPE_RGBA, 8, 0},
        {PNG_COLOR_TYPE_PALETTE, 8, 0},    {PNG_COLOR_TYPE_PALETTE, 8, 1},
        {PNG_COLOR_TYPE_GRAY, 8, 0},       {PNG_COLOR_TYPE_GRAY, 16, 1},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 0},
    };
    for (size_t k = 0; k < SQZ_COUNT(kinds); k++) {
        const char *p = test_path(&w->dir, "a.png");
        sqz_image img;
        save_png(p, 5, 7, kinds[k].type, kinds[k].depth, kinds[k].interlaced);
        TEST_OK(w->ctx, sqz_image_load(w->ctx, p, &img));
        assert_int_equal(img.height, 5);
        assert_int_equal(img.width, 7);
        assert_int_equal(
            img.channels,
            kinds[k].type == PNG_COLOR_TYPE_GRAY || kinds[k].type == PNG_COLOR_TYPE_GA ? 1 : 3);
        for (int i = 0; i < 35; i++) {
            unsigned char want[3];
            pixel_at(i / 7, i % 7, want);
            for (size_t c = 0; c < img.channels; c++)
                assert_int_equal(img.pixel[(size_t)i * img.channels + c], want[c]);
        }
        sqz_image_free(w->ctx, &img);
    }
}

static void save_jpeg(const char *path, int h, int w, J_COLOR_SPACE space, int channels,
                      const unsigned char *color)
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    FILE *f = fopen(path, "wb");
    unsigned char line[64 * 4], *row = line;
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_stdio_dest(&j, f);
    j.image_width = (unsigned)w;
    j.image_height = (unsigned)h;
    j.input_components = channels;
    j.in_color_space = space;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 100, TRUE);
    jpeg_start_compress(&j, TRUE);
    for (int x = 0; x < w; x++)
        memcpy(line + x * channels, color, (size_t)channels);
    while (j.next_scanline < j.image_height)
        jpeg_write_scanlines(&j, &row, 1);
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    fclose(f);
}

static void test_jpeg_gray_color_and_cmyk(void **state)
{
    world *w = *state;
    static const struct {
        J_COLOR_SPACE space;
        int n;
        unsigned char color[4], want[3];
    } kinds[] = {
        {JCS_GRAYSCALE, 1, {77}, {77}},
        {JCS_RGB, 3, {200, 30, 90}, {200, 30, 90}},
        /* libjpeg marks CMYK as Adobe does: 255 is no ink; r = c k / 255 */
        {JCS_CMYK, 4, {255, 128, 51, 204}, {204, 102, 41}},
    };
    for (size_t k = 0; k < SQZ_COUNT(kinds); k++) {
        const char *p = test_path(&w->dir, "a.jpg");
        sqz_image img;
        save_jpeg(p, 9, 13, kinds[k].space, kinds[k].n, kinds[k].color);
        TEST_OK(w->ctx, sqz_image_load(w->ctx, p, &img));
        assert_int_equal(img.height * img.width, 9 * 13);
        assert_int_equal(img.channels, kinds[k].n == 1 ? 1 : 3);
        for (size_t i = 0; i < img.height * img.width * img.channels; i++)
            /* quality 100 still rounds coefficients and colours: two levels */
            assert_in_range(img.pixel[i] + 2, kinds[k].want[i % img.channels],
                            kinds[k].want[i % img.channels] + 4);
        sqz_image_free(w->ctx, &img);
    }
}

/* Bilinear by the textbook: two neighbours an axis, pixel centres, border repeated. */
static double bilinear(const float *v, int h, int w, double y, double x)
{
    double fy = y - 0.5, fx = x - 0.5, sum = 0;
    int y0 = (int)floor(fy), x0 = (int)floor(fx);
    for (int dy = 0; dy < 2; dy++)
        for (int dx = 0; dx < 2; dx++) {
            int yy = SQZ_MIN(SQZ_MAX(y0 + dy, 0), h - 1), xx = SQZ_MIN(SQZ_MAX(x0 + dx, 0), w - 1);
            double wy = dy ? fy - y0 : 1 - fy + y0, wx = dx ? fx - x0 : 1 - fx + x0;
            sum += wy * wx * (double)v[yy * w + xx];
        }
    return sum;
}

static void test_resizing_is_bilinear_at_pixel_centres(void **state)
{
    world *w = *state;
    sqz_rng r = {.seed = 8};
    for (int round = 0; round < 60; round++) {
        int h = 1 + (int)sqz_rng_below(&r, 12), wd = 1 + (int)sqz_rng_below(&r, 12);
        int oh = 1 + (int)sqz_rng_below(&r, 20), ow = 1 + (int)sqz_rng_below(&r, 20);
        float in[144], out[400];
        for (int i = 0; i < h * wd; i++)
            in[i] = (float)sqz_rng_uniform(&r);
        sqz_window all = {0, 0, h, wd};
        TEST_OK(w->ctx, sqz_resize_f32(w->ctx, in, (size_t)h, (size_t)wd, 1, &all, false,
                                       (size_t)oh, (size_t)ow, out));
        for (int i = 0; i < oh * ow; i++) {
            double want = bilinear(in, h, wd, (i / ow + 0.5) * h / oh, (i % ow + 0.5) * wd / ow);
            assert_true(fabs((double)out[i] - want) < 1e-6); /* float rounding of values below 1 */
        }
    }
}

static void test_antialiased_reduction_weighs_every_pixel(void **state)
{
    world *w = *state;
    float in[64], out[16];
    for (int i = 0; i < 64; i++)
        in[i] = (float)(i * i % 23);
    sqz_window all = {0, 0, 1, 64};
    TEST_OK(w->ctx, sqz_resize_f32(w->ctx, in, 1, 64, 1, &all, true, 1, 16, out));
    /* an inner output by hand: triangle of half width 4 around 4 o + 2 */
    double want = 0, weight = 0;
    for (int i = 0; i < 64; i++) {
        double d = 1 - fabs((i + 0.5 - (4 * 7 + 2)) / 4);
        weight += d > 0 ? d : 0;
        want += d > 0 ? d * (double)in[i] : 0;
    }
    assert_true(fabs((double)out[7] - want / weight) < 1e-4);
    for (int i = 0; i < 64; i++) /* a constant stays that constant */
        in[i] = 5;
    TEST_OK(w->ctx, sqz_resize_f32(w->ctx, in, 1, 64, 1, &all, true, 1, 16, out));
    for (int i = 0; i < 16; i++)
        assert_true(fabsf(out[i] - 5) < 1e-6f);
}

static void make_folder(world *w)
{
    static const char *const classes[] = {"img", "img/ant", "img/bee"};
    for (int i = 0; i < 3; i++)
        mkdir(test_path(&w->dir, classes[i]), 0777);
    save_png(test_path(&w->dir, "img/ant/1.png"), 5, 7, PNG_COLOR_TYPE_RGB, 8, 0);
    save_png(test_path(&w->dir, "img/ant/2.PNG"), 5, 7, PNG_COLOR_TYPE_RGB, 8, 1);
    save_png(test_path(&w->dir, "img/bee/1.png"), 5, 7, PNG_COLOR_TYPE_RGBA, 8, 0);
}

static void test_folders_of_images_become_classes(void **state)
{
    world *w = *state;
    float *x, *y;
    make_folder(w);
    TEST_OK(w->ctx, prepare(w,
                            "squeeze_data: 1\nsource: {images: img}\nlayout: nhwc\n"
                            "transform: {crop: 3x5, channels: bgr, divide: 2}\n"
                            "shuffle: false\nsplits: {train: 100 %}\n",
                            false));
    sqz_dataset *ds = load(w, "train", &x, &y);
    assert_int_equal(ds->n, 3);
    assert_int_equal(ds->layout, SQZ_LAYOUT_NHWC);
    assert_int_equal(ds->shape.dim[0], 3);
    assert_int_equal(ds->shape.dim[2], 3);
    assert_true(y[0] == 0 && y[1] == 0 && y[2] == 1);
    for (int s = 0; s < 3; s++)
        for (int i = 0; i < 15; i++) {
            unsigned char p[3];
            pixel_at(1 + i / 5, 1 + i % 5, p); /* the middle of 5x7 */
            for (int c = 0; c < 3; c++)
                assert_true(x[s * 45 + i * 3 + c] == (float)(p[2 - c] / 2.0));
        }
    sqz_data_close(ds);
    free(x);
    free(y);
}

static void test_resize_covers_or_stretches(void **state)
{
    world *w = *state;
    float *x, *y, in[35];
    make_folder(w);
    for (int i = 0; i < 35; i++) {
        unsigned char p[3];
        pixel_at(i / 7, i % 7, p);
        in[i] = p[0];
    }
    for (int cover = 0; cover < 2; cover++) {
        char spec[256];
        snprintf(spec, sizeof spec,
                 "squeeze_data: 1\nsource: {images: img}\nsplits: {train: 100 %%}\n"
                 "transform: {resize: 10x10, antialias: false, fit: %s}\n",
                 cover ? "cover" : "stretch");
        TEST_OK(w->ctx, prepare(w, spec, false));
        sqz_dataset *ds = load(w, "train", &x, &y);
        for (int i = 0; i < 100; i++) { /* the first channel; all images are alike */
            double px = cover ? 1 + (i % 10 + 0.5) * 0.5 : (i % 10 + 0.5) * 0.7;
            double want = bilinear(in, 5, 7, (i / 10 + 0.5) * 0.5, px);
            assert_true(fabs((double)x[i] - floor(want + 0.5)) < 0.5 ||
                        fabs(want + 0.5 - round(want + 0.5)) < 1e-9); /* a tie may go either way */
        }
        sqz_data_close(ds);
        free(x);
        free(y);
    }
}

/* ---- refusals ---- */
static void refuse(world *w, const char *spec, const char *part)
{
    sqz_status s = prepare(w, spec, false);
    if (s == SQZ_OK || !strstr(sqz_last_error(w->ctx), part))
        fail_msg("status %d, '%s', expected '%s' for:\n%s", (int)s, sqz_last_error(w->ctx), part,
                 spec);
    assert_int_not_equal(access(test_path(&w->dir, "set.h5"), F_OK), 0); /* nothing is written */
}

static void test_specs_that_cannot_be_meant_are_refused(void **state)
{
    world *w = *state;
    numbered_set(w, "a.npz", 50);
#define A "squeeze_data: 1\nsource: {npz: {file: a.npz}}\n"
    refuse(w, "source: {}\n", "squeeze_data: 1");
    refuse(w, "squeeze_data: 1\n", "no source");
    refuse(w, A, "no splits");
    refuse(w, A "splits: {train: 80 %, tset: 20 %}\n", "'test'");
    refuse(w, A "splits: {train: 40, valid: 11}\n", "want 51 samples");
    refuse(w, A "splits: {train: 80 %, valid: 30 %}\n", "splits want 55");
    refuse(w, A "splits: {train: 10, calib: 11}\n", "calib: 11 samples, there are 10");
    refuse(w, A "splits: {train: 0}\n", "every split is empty");
    refuse(w, A "splits: {train: 10}\nstore: u8\n", "store: u8");
    refuse(w, A "splits: {train: 10}\nlayout: nchw\n", "samples are 4");
    refuse(w, A "splits: {train: 10}\ntransform: {mean: [1, 2]}\n", "mean has 2 numbers");
    refuse(w, A "splits: {train: 10}\ntransform: {std: 0}\n", "positive");
    refuse(w, A "splits: {train: 10}\ntransform: {divide: 2, scale: 0.5}\n", "say the same");
    refuse(w, A "splits: {train: 10}\ntransform: {resize: 0x4}\n", "HEIGHTxWIDTH");
    refuse(w, A "splits: {train: 10}\nclass_names: [a, b]\n", "2 class_names for 3 classes");
    refuse(w, "squeeze_data: 1\nsplits: {train: 1}\nsource: {npz: {file: no.npz}}\n", "no.npz");
    refuse(w, "squeeze_data: 1\nsplits: {train: 1}\nsource: {npy: {x: a.npz}}\n",
           "is npz, the spec says npy");
    refuse(w, "squeeze_data: 1\nsplits: {train: 1}\nsource: {npz: {file: a.npz}, images: x}\n",
           "has both");
    refuse(w, "squeeze_data: 1\nsplits: {train: 1}\nsource: {images: nowhere}\n", "nowhere");
}

static void test_broken_tables_name_line_and_column(void **state)
{
    world *w = *state;
    static const struct {
        const char *table, *part;
    } bad[] = {
        {"a,b,y\n1,2,0\n1,x,0\n", "t.csv:3: column 'b': expected a number, found 'x'"},
        {"a,b,y\n1,2,0\n1,2\n", "t.csv:3: 2 columns, the first row has 3"},
        {"a,b,y\n1,\"2,0\n1,2,0\n", "a quote is not closed"},
        {"a,b,y\n1,2,\n", "t.csv:2: column 'y': the label is empty"},
        {"a,b,z\n1,2,3\n", "no column 'y'"},
        {"a,b,y\n", "no rows"},
        {"", "empty"},
        {"a,b,y\n1,nan,0\n", "expected a number"},
        {"a,b,y\n1,1e39,0\n", "expected a number"},
        {"a,b,y\n1,\"2\"3,0\n", "after a closing quote"},
        {"a,b,y\n1,2,0,\"4\"x\n", "t.csv:2: column 4: text after a closing quote"},
        {"a,b,y\n1,2,0.5\n1,2,dog\n", "t.csv:3: column 'y': expected a number, found 'dog'"},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        test_write(test_path(&w->dir, "t.csv"), bad[i].table, strlen(bad[i].table));
        refuse(w, "squeeze_data: 1\nsource: {csv: {file: t.csv, y: y}}\nsplits: {train: 100 %}\n",
               bad[i].part);
    }
}

static void test_broken_images_are_named(void **state)
{
    world *w = *state;
    const char *spec = "squeeze_data: 1\nsource: {images: img}\nsplits: {train: 100 %}\n";
    make_folder(w);
    save_png(test_path(&w->dir, "img/bee/2.png"), 4, 7, PNG_COLOR_TYPE_RGB, 8, 0);
    refuse(w, spec, "img/bee/2.png: 4 x 7 pixels, the first image gives 5 x 7");
    test_write(test_path(&w->dir, "img/bee/2.png"), "GIF89a", 6);
    refuse(w, spec, "img/bee/2.png: neither a JPEG nor a PNG");
    unlink(test_path(&w->dir, "img/bee/2.png"));
    test_write(test_path(&w->dir, "img/bee/notes.txt"), "x", 1);
    refuse(w, spec, "notes.txt: expected images");
}

static void damage_image(world *w, const char *path)
{
    size_t n;
    unsigned char *file = test_read(path, &n), *copy = malloc(n);
    sqz_rng r = {.seed = 4};
    sqz_image img;
    for (size_t cut = 0; cut < n; cut++) {
        void *exact = malloc(cut ? cut : 1); /* so that the sanitizer sees reads past the end */
        memcpy(exact, file, cut);
        sqz_status s = sqz_image_decode(w->ctx, "cut.img", exact, cut, 1 << 16, &img);
        free(exact);
        if (s == SQZ_OK) /* the end marker of a JPEG may be missing: the pixels are whole */
            assert_in_range(n - cut, 1, 2);
        else
            assert_non_null(strstr(sqz_last_error(w->ctx), "cut.img"));
        sqz_image_free(w->ctx, &img);
    }
    for (int k = 0; k < 2000; k++) {
        size_t bit = (size_t)sqz_rng_below(&r, 8 * n);
        memcpy(copy, file, n);
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (sqz_image_decode(w->ctx, "flip.img", copy, n, 1 << 16, &img) != SQZ_OK)
            assert_non_null(strstr(sqz_last_error(w->ctx), "flip.img"));
        sqz_image_free(w->ctx, &img);
    }
    free(copy);
    free(file);
}

static void test_damaged_images_never_crash(void **state)
{
    world *w = *state;
    const char *p = test_path(&w->dir, "a.png");
    save_png(p, 5, 7, PNG_COLOR_TYPE_PALETTE, 8, 1);
    damage_image(w, p);
    p = test_path(&w->dir, "a.jpg");
    save_jpeg(p, 9, 13, JCS_RGB, 3, (unsigned char[]){9, 99, 199});
    damage_image(w, p);
}

static void test_damaged_sets_never_crash_and_name_the_file(void **state)
{
    world *w = *state;
    size_t n;
    numbered_set(w, "a.npz", 20);
    TEST_OK(w->ctx,
            prepare(w, A "splits: {train: 50 %, test: 50 %, calib: 4}\nclass_names: [a, b, c]\n",
                    false));
    unsigned char *file = test_read(test_path(&w->dir, "set.h5"), &n);
    test_truncations(w->ctx, test_path(&w->dir, "cut.h5"), file, n, 7);
    (void)test_flips(w->ctx, test_path(&w->dir, "cut.h5"), file, n, 2000);
    free(file);
}

static void test_a_dry_run_counts_and_writes_nothing(void **state)
{
    world *w = *state;
    numbered_set(w, "a.npz", 50);
    TEST_OK(w->ctx, prepare(w, A "splits: {train: 80 %, test: 20 %, calib: 5}\n", true));
    assert_int_equal(samples_of(w, "train"), 40);
    assert_int_equal(samples_of(w, "calib"), 5);
    assert_string_equal(cJSON_GetObjectItem(w->report, "shape")->valuestring, "4");
    assert_int_not_equal(access(test_path(&w->dir, "set.h5"), F_OK), 0);
}

static int files_in(const world *w)
{
    DIR *d = opendir(w->dir.path);
    int files = 0;
    for (struct dirent *e; (e = readdir(d));)
        files += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return files;
}

static int stop(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)what, (void)done, (void)total;
    return --*(int *)user < 0;
}

static void test_a_stopped_job_leaves_the_old_set(void **state)
{
    world *w = *state;
    int calls = 1;
    size_t n;
    numbered_set(w, "a.npz", 50);
    test_write(test_path(&w->dir, "set.h5"), "old", 3);
    w->ctx->progress = stop;
    w->ctx->progress_user = &calls;
    TEST_FAILS(w->ctx, prepare(w, A "splits: {train: 100 %}\n", false), SQZ_E_ARG, "stopped");
    unsigned char *file = test_read(test_path(&w->dir, "set.h5"), &n);
    assert_int_equal(n, 3);
    assert_memory_equal(file, "old", 3);
    free(file);
    assert_int_equal(files_in(w), 3); /* a.npz, spec.yaml, set.h5; nothing temporary */
}

/* libhdf5 crashes when writes fail while it closes a file: prepare must see it coming. */
static void test_a_full_disk_leaves_the_old_set(void **state)
{
    world *w = *state;
    struct rlimit old, small;
    size_t n;
    numbered_set(w, "a.npz", 50);
    test_write(test_path(&w->dir, "set.h5"), "old", 3);
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    for (rlim_t limit = 1 << 10; limit <= 16 << 20; limit *= 16) {
        small = (struct rlimit){limit, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        sqz_status s = prepare(w, A "splits: {train: 100 %}\n", false);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(s, SQZ_E_IO);
        assert_non_null(strstr(sqz_last_error(w->ctx), "set.h5"));
        unsigned char *file = test_read(test_path(&w->dir, "set.h5"), &n);
        assert_int_equal(n, 3);
        free(file);
        assert_int_equal(files_in(w), 3);
    }
    signal(SIGXFSZ, before);
    TEST_OK(w->ctx, prepare(w, A "splits: {train: 100 %}\n", false));
}

int main(void)
{
    H5dont_atexit(); /* libhdf5 grumbles at exit about the damaged files that it refused */
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_splits_share_nothing_but_calib_with_train),
        T(test_without_shuffle_samples_keep_their_order),
        T(test_train_is_what_other_splits_leave),
        T(test_the_same_seed_gives_the_same_bytes_and_another_seed_others),
        T(test_dealing_is_exact_for_random_sizes),
        T(test_packed_bytes_stay_bytes_and_read_as_scaled_floats),
        T(test_a_separate_test_source_is_used_whole),
        T(test_tables_with_quotes_names_and_crlf),
        T(test_tables_without_header_and_with_values),
        T(test_png_of_every_type_gives_the_same_pixels),
        T(test_jpeg_gray_color_and_cmyk),
        T(test_resizing_is_bilinear_at_pixel_centres),
        T(test_antialiased_reduction_weighs_every_pixel),
        T(test_folders_of_images_become_classes),
        T(test_resize_covers_or_stretches),
        T(test_specs_that_cannot_be_meant_are_refused),
        T(test_broken_tables_name_line_and_column),
        T(test_broken_images_are_named),
        T(test_damaged_images_never_crash),
        T(test_damaged_sets_never_crash_and_name_the_file),
        T(test_a_dry_run_counts_and_writes_nothing),
        T(test_a_stopped_job_leaves_the_old_set),
        T(test_a_full_disk_leaves_the_old_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
