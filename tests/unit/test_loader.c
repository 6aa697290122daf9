/* Batches for training: each sample once per epoch, the same bytes however and in whatever order
 * they are asked for, from sets that are held, read one by one, or read in windows. */
#include "data_files.h"
#include "io/hdf5.h"
#include "train/loader.h"
#include "train/mixing.h"
#include "train/source.h"
#include <zlib.h>

TEST_HDF5_LEAKS

enum { N = 203, H = 3, W = 4, ROW = H * W, CLASSES = 7, BATCH = 8, STEPS = N / BATCH };

typedef struct world {
    sqz_ctx *ctx;
    test_dir dir;
    sqz_dataset *ds;
} world;
static world begin(void)
{
    world w = {.ctx = test_ctx()};
    w.dir = test_dir_make();
    return w;
}
static void end(world *w)
{
    sqz_data_close(w->ds);
    test_dir_remove(&w->dir);
    sqz_ctx_free(w->ctx);
}

/* Number k of sample i: says which it is. */
static float number(int64_t i, size_t k) { return (float)(i * 100 + (int64_t)k); }
static int64_t label(int64_t i, int64_t classes) { return i * 5 % classes; }

static void numbers(float *x)
{
    for (int64_t i = 0; i < N; i++)
        for (size_t k = 0; k < ROW; k++)
            x[(size_t)i * ROW + k] = number(i, k);
}

static void npz(world *w, int64_t classes)
{
    const char *p = test_path(&w->dir, "set.npz");
    sqz_array a[2] = {{.name = "x"}, {.name = "y"}};
    TEST_OK(w->ctx, sqz_tensor_alloc(w->ctx, SQZ_F32, &(sqz_shape){3, {N, H, W}}, &a[0].t));
    TEST_OK(w->ctx, sqz_tensor_alloc(w->ctx, SQZ_U8, &(sqz_shape){1, {N}}, &a[1].t));
    numbers(SQZ_F32P(&a[0].t));
    for (int64_t i = 0; i < N; i++)
        sqz_tensor_set_f64(&a[1].t, (size_t)i, (double)label(i, classes));
    TEST_OK(w->ctx, sqz_npz_write(w->ctx, p, a, 2));
    sqz_arrays_free(w->ctx, a, 2);
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &w->ds));
    assert_true(w->ds->seekable && !w->ds->rewinds && w->ds->classes == classes);
}

static void gzip(world *w) /* IDX of 32-bit floats, packed */
{
    static float x[N * ROW];
    const char *p = test_path(&w->dir, "set.gz");
    const unsigned char head[] = {0, 0, 0x0d, 3, 0, 0, 0, N, 0, 0, 0, H, 0, 0, 0, W};
    gzFile f = gzopen(p, "wb");
    numbers(x);
    for (size_t i = 0; i < N * ROW; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        u = __builtin_bswap32(u);
        memcpy(x + i, &u, sizeof u);
    }
    assert_true(gzwrite(f, head, sizeof head) == sizeof head);
    assert_true(gzwrite(f, x, sizeof x) == sizeof x && gzclose(f) == Z_OK);
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &w->ds));
    assert_true(!w->ds->seekable && w->ds->rewinds);
}

static void put(hid_t f, const char *name, hid_t type, int rank, const hsize_t *dim,
                const void *data)
{
    hsize_t part[3] = {5, H, W};
    const hid_t space = H5Screate_simple(rank, dim, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, rank, part);
    H5Pset_deflate(plist, 3);
    const hid_t d = H5Dcreate2(f, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(d >= 0 && H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(d);
    H5Pclose(plist);
    H5Sclose(space);
}

static void hdf5(world *w)
{
    static float x[N * ROW];
    static int64_t y[N];
    const char *p = test_path(&w->dir, "set.h5");
    const hid_t f = H5Fcreate(p, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    numbers(x);
    for (int64_t i = 0; i < N; i++)
        y[i] = label(i, CLASSES);
    put(f, "x", H5T_NATIVE_FLOAT, 3, (hsize_t[]){N, H, W}, x);
    put(f, "y", H5T_NATIVE_INT64, 1, (hsize_t[]){N}, y);
    H5Fclose(f);
    TEST_OK(w->ctx, sqz_data_open(w->ctx, p, NULL, &w->ds));
    assert_true(!w->ds->seekable && !w->ds->rewinds);
}

static void in_memory(world *w)
{
    float *x = sqz_malloc(w->ctx, sizeof(float) * N * ROW);
    numbers(x);
    TEST_OK(w->ctx, sqz_data_in_memory(w->ctx, "numbers", &(sqz_shape){2, {H, W}},
                                       SQZ_LAYOUT_UNKNOWN, N, x, &w->ds));
    assert_true(sqz_data_memory(w->ds) == x);
}

/* The ways of source.h. `memory` of two windows of 40 samples, which no batch divides. */
#define WINDOW 44
static const struct way {
    const char *name;
    bool labels;
    size_t memory;
    int set; /* npz, gzip, hdf5, memory */
} ways[] = {{"held", true, 0, 0},
            {"single", true, 1, 0},
            {"forwards", false, 2 * WINDOW * sizeof(float) * ROW, 1},
            {"windows", true, 2 * WINDOW * sizeof(float) * (ROW + 1), 2},
            {"in memory", false, 1, 3}};

static sqz_loader_options open_way(world *w, const struct way *way)
{
    void (*const open[])(world *) = {NULL, gzip, hdf5, in_memory};
    if (way->set == 0)
        npz(w, CLASSES);
    else
        open[way->set](w);
    return (sqz_loader_options){.data = w->ds, .batch = BATCH, .seed = 5, .memory = way->memory};
}

static sqz_loader *create(world *w, const sqz_loader_options *o)
{
    sqz_loader *l;
    TEST_OK(w->ctx, sqz_loader_create(w->ctx, o, &l));
    return l;
}

static void test_an_epoch_has_each_sample_once_with_its_label(void **state)
{
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(ways); k++) {
        world w = begin();
        const sqz_loader_options o = open_way(&w, &ways[k]);
        sqz_loader *l = create(&w, &o);
        assert_int_equal(sqz_loader_steps(l), STEPS);
        assert_int_equal(sqz_loader_label(l), ways[k].labels);
        for (uint64_t e = 0; e < 3; e++) {
            int seen[N] = {0}, in_place = 0;
            for (int64_t s = 0; s < STEPS; s++) {
                sqz_batch b;
                TEST_OK(w.ctx, sqz_loader_batch(l, e, s, &b));
                assert_true(!b.y == !ways[k].labels);
                for (size_t i = 0; i < BATCH; i++) {
                    assert_in_range(b.sample[i], 0, N - 1);
                    seen[b.sample[i]]++;
                    in_place += b.sample[i] == s * BATCH + (int64_t)i;
                    for (size_t c = 0; c < ROW; c++)
                        TEST_NEAR(b.x[i * ROW + c], number(b.sample[i], c), 0);
                    if (b.y)
                        TEST_NEAR(b.y[i], (double)label(b.sample[i], CLASSES), 0);
                }
            }
            for (size_t i = 0; i < N; i++)
                if (seen[i] > 1)
                    fail_msg("%s: sample %zu came %d times", ways[k].name, i, seen[i]);
            assert_true(in_place < N / 4); /* it is shuffled */
        }
        sqz_loader_free(l);
        end(&w);
    }
}

/* All batches of two epochs, one after the other. */
static void all_of(world *w, sqz_loader *l, float *x, float *y, int64_t *sample)
{
    const size_t label = sqz_loader_label(l);
    for (int64_t i = 0; i < 2 * STEPS; i++) {
        sqz_batch b;
        TEST_OK(w->ctx, sqz_loader_batch(l, (uint64_t)(i / STEPS), i % STEPS, &b));
        memcpy(x + i * BATCH * ROW, b.x, sizeof(float) * BATCH * ROW);
        memcpy(sample + i * BATCH, b.sample, sizeof(int64_t) * BATCH);
        if (b.y)
            memcpy(y + (size_t)i * BATCH * label, b.y, sizeof(float) * BATCH * label);
    }
}

static void test_batches_do_not_depend_on_the_order_of_calls(void **state)
{
    static float x[2 * STEPS * BATCH * ROW], y[2 * STEPS * BATCH * CLASSES];
    static int64_t sample[2 * STEPS * BATCH];
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(ways); k++) {
        world w = begin();
        sqz_loader_options o = open_way(&w, &ways[k]);
        o.augment = "shift(most=1),flip,noise(sd=0.1),cutout(size=2)";
        o.mixup = 0.4;
        o.one_hot = ways[k].labels;
        o.smoothing = ways[k].labels ? 0.1 : 0;
        sqz_loader *l = create(&w, &o), *again = create(&w, &o);
        const size_t label = sqz_loader_label(l);
        sqz_rng r = {.seed = 9};
        all_of(&w, l, x, y, sample);
        for (int n = 0; n < 300; n++) {
            const int64_t i = (int64_t)sqz_rng_below(&r, 2 * STEPS);
            for (int twice = 0; twice < 2; twice++) {
                sqz_batch b;
                TEST_OK(w.ctx, sqz_loader_batch(again, (uint64_t)(i / STEPS), i % STEPS, &b));
                assert_memory_equal(b.x, x + i * BATCH * ROW, sizeof(float) * BATCH * ROW);
                assert_memory_equal(b.sample, sample + i * BATCH, sizeof(int64_t) * BATCH);
                if (label)
                    assert_memory_equal(b.y, y + (size_t)i * BATCH * label,
                                        sizeof(float) * BATCH * label);
            }
        }
        sqz_loader_free(l);
        sqz_loader_free(again);
        end(&w);
    }
}

static void test_a_batch_stays_while_the_next_is_made(void **state)
{
    world w = begin();
    (void)state;
    npz(&w, CLASSES);
    sqz_loader *l = create(&w, &(sqz_loader_options){.data = w.ds, .batch = BATCH});
    float copy[BATCH * ROW];
    for (int64_t s = 0; s < STEPS; s++) {
        sqz_batch b;
        TEST_OK(w.ctx, sqz_loader_batch(l, 0, s, &b));
        memcpy(copy, b.x, sizeof copy);
        if (s % 8 == 0)
            usleep(2000); /* the thread is through with the next one */
        assert_memory_equal(copy, b.x, sizeof copy);
    }
    sqz_loader_free(l);
    end(&w);
}

static void test_seeds_and_epochs_have_other_orders_and_in_order_has_none(void **state)
{
    int64_t a[N], b[N];
    (void)state;
    sqz_order_make(1, 0, N, N, N, a);
    sqz_order_make(1, 0, N, N, N, b);
    assert_memory_equal(a, b, sizeof a);
    sqz_order_make(1, 1, N, N, N, b);
    assert_memory_not_equal(a, b, sizeof a);
    sqz_order_make(2, 0, N, N, N, b);
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t k = 0; k < SQZ_COUNT(ways); k++) {
        world w = begin();
        sqz_loader_options o = open_way(&w, &ways[k]);
        o.in_order = true;
        sqz_loader *l = create(&w, &o);
        for (int64_t s = 0; s < 2 * STEPS; s++) {
            sqz_batch got;
            TEST_OK(w.ctx, sqz_loader_batch(l, (uint64_t)(s / STEPS), s % STEPS, &got));
            for (int64_t i = 0; i < BATCH; i++)
                assert_int_equal(got.sample[i], s % STEPS * BATCH + i);
        }
        sqz_loader_free(l);
        end(&w);
    }
}

/* Chi-square of (n-1)^2 degrees of freedom; five standard deviations above the mean. */
static void test_orders_are_uniform(void **state)
{
    enum { M = 12, DRAWS = 6000 };
    static const size_t form[][2] = {{M, M}, {1, 1}, {1, 4}}; /* run, window */
    (void)state;
    for (size_t f = 0; f < SQZ_COUNT(form); f++) {
        double count[M][M] = {{0}}, chi = 0;
        for (uint64_t e = 0; e < DRAWS; e++) {
            int64_t place[M];
            sqz_order_make(77, e, M, form[f][0], form[f][1], place);
            for (size_t i = 0; i < M; i++)
                count[i][place[i]]++;
        }
        for (size_t i = 0; i < M; i++)
            for (size_t k = 0; k < M; k++)
                chi += (count[i][k] - DRAWS / (double)M) * (count[i][k] - DRAWS / (double)M) /
                       (DRAWS / (double)M);
        const double df = (M - 1) * (M - 1);
        if (!(fabs(chi - df) < 5 * sqrt(2 * df)))
            fail_msg("run %zu window %zu: chi-square %g of %g", form[f][0], form[f][1], chi, df);
    }
}

static void test_runs_stay_together_until_a_window_mixes_them(void **state)
{
    (void)state;
    for (size_t n = 1; n < 70; n++)
        for (size_t run = 1; run < 12; run++) {
            int64_t place[70];
            int seen[70] = {0};
            sqz_order_make(3, n * run, n, run, 1, place);
            for (size_t i = 0; i < n; i++) {
                seen[place[i]]++;
                if (i && place[i] % (int64_t)run)
                    assert_int_equal(place[i], place[i - 1] + 1);
            }
            for (size_t i = 0; i < n; i++)
                assert_int_equal(seen[i], 1);
        }
}

static void test_a_packed_set_is_only_read_forwards(void **state)
{
    world w = begin();
    (void)state;
    const sqz_loader_options o = open_way(&w, &ways[2]);
    sqz_loader *l = create(&w, &o);
    for (int64_t s = 0; s < 2 * STEPS; s++) {
        sqz_batch b;
        TEST_OK(w.ctx, sqz_loader_batch(l, (uint64_t)(s / STEPS), s % STEPS, &b));
        for (int64_t i = 0; i < BATCH; i++) /* a sample stays in its window */
            assert_int_equal(b.sample[i] / WINDOW, (s % STEPS * BATCH + i) / WINDOW);
    }
    sqz_loader_free(l);
    end(&w);
}

static void test_classes_become_smoothed_rows(void **state)
{
    world w = begin();
    (void)state;
    npz(&w, CLASSES);
    sqz_loader *l = create(
        &w, &(sqz_loader_options){.data = w.ds, .batch = BATCH, .one_hot = true, .smoothing = 0.1});
    sqz_batch b;
    assert_int_equal(sqz_loader_label(l), CLASSES);
    TEST_OK(w.ctx, sqz_loader_batch(l, 0, 3, &b));
    for (size_t i = 0; i < BATCH; i++)
        for (int64_t c = 0; c < CLASSES; c++)
            TEST_NEAR(b.y[i * CLASSES + (size_t)c],
                      0.1 / CLASSES + (c == label(b.sample[i], CLASSES) ? 0.9 : 0), 1e-7);
    sqz_loader_free(l);
    float row[3];
    assert_false(sqz_one_hot(3, 3, 0, row));
    assert_false(sqz_one_hot(-1, 3, 0, row));
    assert_false(sqz_one_hot(0.5f, 3, 0, row));
    assert_false(sqz_one_hot(NAN, 3, 0, row));
    end(&w);
}

/* Every sample has its own class here, so that a row of labels tells what was mixed. */
static void test_mixup_mixes_samples_and_labels_alike(void **state)
{
    world w = begin();
    int mixed = 0;
    (void)state;
    npz(&w, N);
    sqz_loader *l = create(
        &w, &(sqz_loader_options){.data = w.ds, .batch = BATCH, .one_hot = true, .mixup = 1});
    for (int64_t s = 0; s < STEPS; s++) {
        sqz_batch b;
        TEST_OK(w.ctx, sqz_loader_batch(l, 2, s, &b));
        for (size_t i = 0; i < BATCH; i++)
            for (size_t k = 0; k < ROW; k++) {
                double want = 0, sum = 0;
                int parts = 0;
                for (int64_t j = 0; j < N; j++) {
                    const double y = b.y[i * N + (size_t)label(j, N)];
                    want += y * number(j, k);
                    sum += y;
                    parts += y > 0;
                }
                assert_in_range(parts, 1, 2);
                mixed += parts == 2;
                TEST_NEAR(sum, 1, 1e-6);
                TEST_NEAR(b.x[i * ROW + k], want, 0.01); /* of up to 20000, in float */
            }
    }
    assert_true(mixed > STEPS * BATCH * ROW / 2);
    sqz_loader_free(l);
    end(&w);
}

/* Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)). */
static void test_shares_of_mixup_have_the_beta_distribution(void **state)
{
    static const double alpha[] = {0.05, 0.2, 1, 3.5, 50};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(alpha); i++) {
        enum { DRAWS = 40000 };
        double sum = 0, squares = 0;
        int64_t partner[1];
        sqz_mixing m = {.partner = partner};
        for (int64_t n = 0; n < DRAWS; n++) {
            sqz_mixing_draw(4, 0, n, alpha[i], 1, &m);
            assert_true(m.share >= 0 && m.share <= 1);
            sum += m.share;
            squares += (m.share - 0.5) * (m.share - 0.5);
        }
        const double variance = 1 / (4 * (2 * alpha[i] + 1));
        TEST_NEAR(sum / DRAWS, 0.5, 5 * sqrt(variance / DRAWS));
        TEST_NEAR(squares / DRAWS / variance, 1, 5 * sqrt(2.0 / DRAWS));
    }
}

static void test_processes_get_the_parts_of_one_batch(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2 * SQZ_COUNT(ways); k++) {
        world w = begin();
        sqz_loader_options o = open_way(&w, &ways[k / 2]);
        o.augment = "flip,noise";
        o.mixup = k % 2 ? 1 : 0;
        o.one_hot = ways[k / 2].labels;
        sqz_loader *whole = create(&w, &o), *part[4];
        const size_t label = sqz_loader_label(whole);
        for (uint32_t p = 0; p < 4; p++) {
            o.part = p;
            o.parts = 4;
            part[p] = create(&w, &o);
            assert_int_equal(sqz_loader_steps(part[p]), STEPS);
        }
        for (int64_t s = 0; s < STEPS; s++) {
            sqz_batch all, b;
            TEST_OK(w.ctx, sqz_loader_batch(whole, 1, s, &all));
            for (size_t p = 0; p < 4; p++) {
                const size_t first = p * 2;
                TEST_OK(w.ctx, sqz_loader_batch(part[p], 1, s, &b));
                assert_memory_equal(b.x, all.x + first * ROW, 2 * ROW * sizeof *b.x);
                assert_memory_equal(b.sample, all.sample + first, 2 * sizeof *b.sample);
                if (label)
                    assert_memory_equal(b.y, all.y + first * label, 2 * label * sizeof *b.y);
            }
        }
        sqz_loader_free(whole);
        for (uint32_t p = 0; p < 4; p++)
            sqz_loader_free(part[p]);
        end(&w);
    }
}

static void test_what_cannot_be_is_refused(void **state)
{
    world w = begin();
    sqz_loader *l = (sqz_loader *)&w;
    (void)state;
    npz(&w, CLASSES);
    const sqz_loader_options good = {.data = w.ds, .batch = BATCH, .one_hot = true};
    const struct {
        sqz_loader_options o;
        sqz_status status;
        const char *part;
    } bad[] = {
        {{.batch = 0}, SQZ_E_ARG, "batches of 0 samples"},
        {{.batch = N + 1}, SQZ_E_ARG, "batches of 204 samples"},
        {{.batch = INT64_MAX}, SQZ_E_ARG, "batches of 9223372036854775807 samples"},
        {{.batch = 2, .smoothing = 1}, SQZ_E_ARG, "label smoothing 1"},
        {{.batch = 2, .smoothing = NAN}, SQZ_E_ARG, "label smoothing"},
        {{.batch = 2, .smoothing = 0.1}, SQZ_E_ARG, "for labels that are classes"},
        {{.batch = 2, .mixup = -1}, SQZ_E_ARG, "mixup alpha -1"},
        {{.batch = 2, .mixup = 1e9}, SQZ_E_ARG, "mixup alpha 1e+09"},
        {{.batch = 2, .mixup = 0.2}, SQZ_E_ARG, "cannot be mixed"},
        {{.batch = 8, .part = 3, .parts = 3}, SQZ_E_ARG, "part 3 of 3"},
        {{.batch = 8, .part = 1, .parts = 3}, SQZ_E_ARG, "split evenly"},
        {{.batch = 2, .augment = "crop(pad=4"}, SQZ_E_ARG, "not closed"},
        {{.batch = 2, .augment = "flipp"}, SQZ_E_ARG, "did you mean 'flip'"},
        {{.batch = 2, .augment = "flip", .layout = "chw"}, SQZ_E_ARG, "expected nchw or nhwc"},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        sqz_loader_options o = bad[i].o;
        o.data = w.ds;
        TEST_FAILS(w.ctx, sqz_loader_create(w.ctx, &o, &l), bad[i].status, bad[i].part);
        assert_null(l);
    }
    l = create(&w, &good);
    sqz_batch b;
    TEST_FAILS(w.ctx, sqz_loader_batch(l, 0, STEPS, &b), SQZ_E_ARG, "an epoch has 25");
    TEST_FAILS(w.ctx, sqz_loader_batch(l, 0, -1, &b), SQZ_E_ARG, "batch -1");
    TEST_OK(w.ctx, sqz_loader_batch(l, 0, 0, &b));
    sqz_loader_free(l);
    end(&w);
    w = begin();
    in_memory(&w);
    sqz_loader_options o = good;
    o.data = w.ds;
    TEST_FAILS(w.ctx, sqz_loader_create(w.ctx, &o, &l), SQZ_E_ARG, "no labels");
    end(&w);
}

/* A file that is cut after it was opened: the thread meets the end, the caller gets the sentence,
 * again each time, and what can still be read still comes. */
static void test_failures_in_the_thread_reach_the_caller(void **state)
{
    world w = begin();
    size_t size;
    int failed = 0, fine = 0;
    (void)state;
    npz(&w, CLASSES);
    sqz_data_close(w.ds);
    TEST_OK(w.ctx, sqz_data_open_named(w.ctx, test_path(&w.dir, "set.npz"), NULL, NULL, "", &w.ds));
    const sqz_loader_options o = {.data = w.ds, .batch = BATCH, .in_order = true, .memory = 1};
    sqz_loader *l = create(&w, &o);
    free(test_read(w.ds->path, &size));
    assert_int_equal(truncate(w.ds->path, (off_t)size / 2), 0);
    for (int64_t s = 0; s < 2 * STEPS; s++) {
        sqz_batch b;
        const sqz_status st = sqz_loader_batch(l, 0, s / 2, &b);
        failed += st != SQZ_OK;
        fine += st == SQZ_OK;
        if (st != SQZ_OK) {
            assert_null(b.x);
            assert_non_null(strstr(sqz_last_error(w.ctx), w.ds->path));
        }
    }
    assert_true(failed >= STEPS / 2 && fine >= STEPS / 2);
    sqz_loader_free(l);
    end(&w);
}

static void test_a_loader_is_freed_at_any_moment(void **state)
{
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(ways); k++) {
        world w = begin();
        const sqz_loader_options o = open_way(&w, &ways[k]);
        for (int64_t asked = 0; asked < 12; asked++) {
            sqz_batch b;
            sqz_loader *l = create(&w, &o);
            for (int64_t i = 0; i < asked; i++)
                TEST_OK(w.ctx, sqz_loader_batch(l, 0, i * 2 % STEPS, &b));
            sqz_loader_free(l);
        }
        end(&w);
    }
    sqz_loader_free(NULL);
}

/* Each allocation made to fail once: a status and nothing left behind. What the loader's own
 * context allocates is not among them. */
typedef struct budget {
    int left;
} budget;
static void *budget_alloc(void *user, size_t n)
{
    return ((budget *)user)->left-- > 0 ? malloc(n) : NULL;
}
static void budget_free(void *user, void *p)
{
    (void)user;
    free(p);
}

static void test_memory_that_ends_is_survived(void **state)
{
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(ways); k++) {
        budget b = {.left = INT32_MAX};
        sqz_ctx_options co = SQZ_CTX_OPTIONS_INIT;
        co.allocator = (sqz_allocator){&b, budget_alloc, budget_free};
        co.threads = 1;
        world w = {.dir = test_dir_make()};
        assert_int_equal(sqz_ctx_create(&co, &w.ctx), SQZ_OK);
        sqz_loader_options o = open_way(&w, &ways[k]);
        o.augment = "flip,noise";
        o.mixup = 1;
        o.one_hot = ways[k].labels;
        sqz_status s = SQZ_E_NOMEM;
        int n = 0;
        for (; s != SQZ_OK; n++) {
            sqz_loader *l;
            const size_t live = w.ctx->live;
            b.left = n;
            s = sqz_loader_create(w.ctx, &o, &l);
            b.left = INT32_MAX;
            assert_true(s == SQZ_OK || (s == SQZ_E_NOMEM && !l));
            sqz_loader_free(l);
            assert_int_equal(w.ctx->live, live);
        }
        assert_true(n > TEST_ALLOCATIONS(12));
        end(&w);
    }
}

static void test_only_a_plain_loader_repeats_samples(void **state)
{
    static const struct {
        const char *augment;
        double mixup;
        bool repeats;
    } c[] = {{NULL, 0, true}, {"", 0, true}, {"flip", 0, false}, {NULL, 1, false}};
    world w = begin();
    (void)state;
    npz(&w, CLASSES);
    for (size_t i = 0; i < SQZ_COUNT(c); i++) {
        sqz_loader *l = create(&w, &(sqz_loader_options){.data = w.ds,
                                                         .batch = BATCH,
                                                         .one_hot = true,
                                                         .augment = c[i].augment,
                                                         .mixup = c[i].mixup});
        assert_true(sqz_loader_repeats(l) == c[i].repeats);
        sqz_loader_free(l);
    }
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_epoch_has_each_sample_once_with_its_label),
        cmocka_unit_test(test_batches_do_not_depend_on_the_order_of_calls),
        cmocka_unit_test(test_a_batch_stays_while_the_next_is_made),
        cmocka_unit_test(test_seeds_and_epochs_have_other_orders_and_in_order_has_none),
        cmocka_unit_test(test_orders_are_uniform),
        cmocka_unit_test(test_runs_stay_together_until_a_window_mixes_them),
        cmocka_unit_test(test_a_packed_set_is_only_read_forwards),
        cmocka_unit_test(test_classes_become_smoothed_rows),
        cmocka_unit_test(test_mixup_mixes_samples_and_labels_alike),
        cmocka_unit_test(test_shares_of_mixup_have_the_beta_distribution),
        cmocka_unit_test(test_processes_get_the_parts_of_one_batch),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_failures_in_the_thread_reach_the_caller),
        cmocka_unit_test(test_a_loader_is_freed_at_any_moment),
        cmocka_unit_test(test_memory_that_ends_is_survived),
        cmocka_unit_test(test_only_a_plain_loader_repeats_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
