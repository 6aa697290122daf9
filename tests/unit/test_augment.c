/* Augmentation: every row of the table is a pure function of (seed, epoch, place), leaves samples
 * as they are at strength 0, and does the same to both layouts; what it draws is distributed as
 * said.
 */
#include "sqz_test.h"
#include "train/augment.h"
#include <float.h>

enum { H = 9, W = 7, C = 3, COUNT = H * W * C };

typedef struct world {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_dataset ds;
    sqz_augment_chain chain;
    float x[COUNT], y[COUNT], room[COUNT];
} world;

static world *begin(sqz_shape shape, sqz_layout layout, const char *text)
{
    world *w = calloc(1, sizeof *w);
    sqz_rng r = {.seed = 8};
    w->ctx = w->arena.ctx = test_ctx();
    w->ds = (sqz_dataset){.ctx = w->ctx, .path = "set", .n = 9, .shape = shape, .layout = layout};
    for (size_t i = 0; i < COUNT; i++)
        w->x[i] = (float)(1 + i) + (float)sqz_rng_uniform(&r) / 2; /* no two alike, none 0 */
    if (text)
        TEST_OK(w->ctx, sqz_augment_read(&w->arena, &w->ds, NULL, text, &w->chain));
    return w;
}
static world *last(const char *text) /* rows, columns, channels */
{
    return begin((sqz_shape){3, {H, W, C}}, SQZ_LAYOUT_NHWC, text);
}
static world *matrix(const char *text)
{
    return begin((sqz_shape){2, {H, W}}, SQZ_LAYOUT_UNKNOWN, text);
}
static void end(world *w)
{
    sqz_arena_free(&w->arena);
    sqz_ctx_free(w->ctx);
    free(w);
}
static void draw(world *w, uint64_t seed, uint64_t epoch, int64_t place)
{
    sqz_augment_sample(&w->chain, seed, epoch, place, w->x, w->y, w->room);
}

/* One line for each row of the table: without effect, and with one that shows often. */
static const struct {
    const char *name, *none, *much;
    bool layouts; /* draws for pixels, not for numbers */
} rows[] = {
    {"brightness", "brightness(most=0)", "brightness(most=5)", true},
    {"crop", "crop(pad=0)", "crop(pad=3,fill=-1)", true},
    {"cutout", "cutout(size=0)", "cutout(size=4,fill=-1)", true},
    {"flip", "flip(probability=0)", "flip", true},
    {"noise", "noise(sd=0)", "noise(sd=2)", false},
    {"rotate", "rotate(most=0)", "rotate(most=90,fill=-1)", true},
    {"scale", "scale(most=0)", "scale(most=0.5)", true},
    {"shift", "shift(most=0)", "shift(most=3,outside=wrap)", true},
    {"specaugment", "specaugment(frequency=0,time=0)", "specaugment(frequency=4,time=4,fill=-1)",
     true},
};

static void test_the_table_below_is_the_whole_table(void **state)
{
    (void)state;
    assert_int_equal(SQZ_COUNT(rows), sqz_n_augments);
    for (size_t i = 0; i < sqz_n_augments; i++) {
        assert_string_equal(sqz_augments[i]->info.name, rows[i].name);
        assert_ptr_equal(sqz_augment_find(rows[i].name), sqz_augments[i]);
        assert_non_null(strchr(sqz_augments[i]->info.doc, ':')); /* what it does: who found it */
        for (unsigned k = 0; k < sqz_augments[i]->info.n_opts; k++)
            assert_non_null(sqz_augments[i]->info.opts[k].doc);
    }
    assert_null(sqz_augment_find("flop"));
}

static void test_no_strength_changes_no_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(rows); i++) {
        world *w = last(rows[i].none);
        for (int64_t k = 0; k < 50; k++) {
            memset(w->y, 0, sizeof w->y);
            draw(w, 1, 2, k);
            assert_memory_equal(w->x, w->y, sizeof w->y);
        }
        end(w);
    }
    world *w = last("");
    draw(w, 1, 2, 3);
    assert_memory_equal(w->x, w->y, sizeof w->y);
    end(w);
}

static void test_the_same_sample_is_the_same_and_others_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(rows); i++) {
        world *w = last(rows[i].much);
        float first[COUNT], before[COUNT];
        int by_seed = 0, by_epoch = 0, by_place = 0;
        memcpy(before, w->x, sizeof before);
        for (uint64_t k = 0; k < 60; k++) {
            draw(w, k, 2 * k, (int64_t)(3 * k));
            memcpy(first, w->y, sizeof first);
            memset(w->y, 0xff, sizeof w->y); /* all of it is written */
            draw(w, k, 2 * k, (int64_t)(3 * k));
            assert_memory_equal(first, w->y, sizeof first);
            draw(w, k + 1, 2 * k, (int64_t)(3 * k));
            by_seed += memcmp(first, w->y, sizeof first) != 0;
            draw(w, k, 2 * k + 1, (int64_t)(3 * k));
            by_epoch += memcmp(first, w->y, sizeof first) != 0;
            draw(w, k, 2 * k, (int64_t)(3 * k) + 1);
            by_place += memcmp(first, w->y, sizeof first) != 0;
        }
        assert_memory_equal(before, w->x, sizeof before);
        if (by_seed < 15 || by_epoch < 15 || by_place < 15)
            fail_msg("%s: of 60, %d differ by seed, %d by epoch, %d by place", rows[i].much,
                     by_seed, by_epoch, by_place);
        end(w);
    }
}

static void test_both_layouts_get_the_same_picture(void **state)
{
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(rows); i++) {
        world *a = last(rows[i].much);
        world *b = begin((sqz_shape){3, {C, H, W}}, SQZ_LAYOUT_NCHW, rows[i].much);
        for (size_t p = 0; p < H * W; p++)
            for (size_t c = 0; c < C; c++)
                b->x[c * H * W + p] = a->x[p * C + c];
        for (int64_t k = 0; rows[i].layouts && k < 40; k++) {
            draw(a, 3, 4, k);
            draw(b, 3, 4, k);
            for (size_t p = 0; p < H * W; p++)
                for (size_t c = 0; c < C; c++)
                    TEST_NEAR(b->y[c * H * W + p], a->y[p * C + c], 0);
        }
        end(a);
        end(b);
    }
}

static void test_chains_of_any_length_do_one_after_the_other(void **state)
{
    static const char *const texts[] = {"flip(probability=1)", "flip(probability=1,axis=height)",
                                        "brightness(most=0)"};
    (void)state;
    world *both = last("flip(probability=1),flip(probability=1,axis=height),brightness(most=0)");
    draw(both, 1, 1, 1);
    for (size_t y = 0; y < H; y++)
        for (size_t x = 0; x < W; x++)
            for (size_t c = 0; c < C; c++)
                TEST_NEAR(both->y[(y * W + x) * C + c],
                          both->x[((H - 1 - y) * W + W - 1 - x) * C + c], 0);
    float now[COUNT];
    memcpy(now, both->x, sizeof now);
    for (size_t i = 0; i < SQZ_COUNT(texts); i++) {
        world *one = last(texts[i]);
        memcpy(one->x, now, sizeof now);
        draw(one, 1, 1, 1);
        memcpy(now, one->y, sizeof now);
        end(one);
    }
    assert_memory_equal(now, both->y, sizeof now);
    end(both);
}

/* Counts `hit` of `n` with probability p lie within five standard deviations. */
static void expect_share(const char *what, double hit, double n, double p)
{
    if (!(fabs(hit - n * p) <= 5 * sqrt(n * p * (1 - p))))
        fail_msg("%s: %g of %g, expected %g", what, hit, n, n * p);
}

static void test_flips_mirror_the_share_that_was_asked_for(void **state)
{
    static const double share[] = {0.5, 0.1, 1};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(share); i++) {
        char text[64];
        int mirrored = 0;
        snprintf(text, sizeof text, "flip(probability=%g)", share[i]);
        world *w = matrix(text);
        for (int64_t k = 0; k < 10000; k++) {
            draw(w, 1, 0, k);
            const bool other = w->y[0] == w->x[W - 1];
            assert_true(other || w->y[0] == w->x[0]);
            mirrored += other;
        }
        expect_share("mirrored", mirrored, 10000, share[i]);
        end(w);
    }
}

/* Where (y, x) of the result came from; false: from outside. */
static bool came_from(const world *w, size_t at, int64_t *y, int64_t *x)
{
    for (size_t i = 0; i < H * W; i++)
        if (w->x[i] == w->y[at]) {
            *y = (int64_t)(i / W);
            *x = (int64_t)(i % W);
            return true;
        }
    return false;
}

/* crop and shift: offsets uniform in both axes, and every number is the one that belongs there. */
static void moves(const char *text, int64_t most_y, int64_t most_x, sqz_outside outside)
{
    enum { DRAWS = 6000 };
    double count[7][7] = {{0}};
    world *w = matrix(text);
    for (int64_t k = 0; k < DRAWS; k++) {
        int64_t cy = 0, cx = 0;
        draw(w, 6, 0, k);
        assert_true(came_from(w, H / 2 * W + W / 2, &cy, &cx)); /* the center stays inside */
        const int64_t dy = cy - H / 2, dx = cx - W / 2;
        assert_in_range(dy + most_y, 0, 2 * most_y);
        assert_in_range(dx + most_x, 0, 2 * most_x);
        count[dy + 3][dx + 3]++;
        for (int64_t y = 0; y < H; y++)
            for (int64_t x = 0; x < W; x++) {
                int64_t sy = y + dy, sx = x + dx;
                const bool inside = sy >= 0 && sy < H && sx >= 0 && sx < W;
                if (outside == SQZ_OUTSIDE_WRAP) {
                    sy = (sy + H) % H;
                    sx = (sx + W) % W;
                } else if (outside == SQZ_OUTSIDE_EDGE) {
                    sy = sy < 0 ? 0 : sy < H ? sy : H - 1;
                    sx = sx < 0 ? 0 : sx < W ? sx : W - 1;
                }
                const double want = inside || outside != SQZ_OUTSIDE_FILL ? w->x[sy * W + sx]
                                                                          : -7.5;
                TEST_NEAR(w->y[y * W + x], want, 0);
            }
    }
    for (int64_t dy = -most_y; dy <= most_y; dy++)
        for (int64_t dx = -most_x; dx <= most_x; dx++)
            expect_share(text, count[dy + 3][dx + 3], DRAWS,
                         1.0 / (double)((2 * most_y + 1) * (2 * most_x + 1)));
    end(w);
}

static void test_moves_are_uniform_and_fill_what_comes_in(void **state)
{
    (void)state;
    moves("crop(pad=3,fill=-7.5)", 3, 3, SQZ_OUTSIDE_FILL);
    moves("shift(most=2,fill=-7.5)", 2, 2, SQZ_OUTSIDE_FILL);
    moves("shift(most=3,axis=height,outside=edge)", 3, 0, SQZ_OUTSIDE_EDGE);
    moves("shift(most=2,axis=width,outside=wrap)", 0, 2, SQZ_OUTSIDE_WRAP);
    moves("shift(most=3,outside=edge)", 3, 3, SQZ_OUTSIDE_EDGE);
    moves("shift(most=1,outside=wrap)", 1, 1, SQZ_OUTSIDE_WRAP);
}

/* Offsets as large as the sample leave nothing of it, or one row. */
static void test_moves_by_the_whole_size_are_sound(void **state)
{
    static const char *const texts[] = {"crop(pad=7)", "shift(most=7,outside=edge)",
                                        "shift(most=7,outside=wrap)", "shift(most=9,axis=height)"};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(texts); i++) {
        world *w = last(texts[i]);
        for (int64_t k = 0; k < 500; k++) {
            memset(w->y, 0xff, sizeof w->y);
            draw(w, 6, 0, k);
            for (size_t n = 0; n < COUNT; n++)
                assert_true(w->y[n] >= 0 && w->y[n] <= COUNT + 1); /* written, and a pixel or 0 */
        }
        end(w);
    }
}

static void test_cutout_paints_a_square_around_any_pixel(void **state)
{
    enum { DRAWS = 20000, SIZE = 4 };
    double painted[H * W] = {0};
    (void)state;
    world *w = matrix("cutout(size=4,fill=-2)");
    for (int64_t k = 0; k < DRAWS; k++) {
        draw(w, 2, 0, k);
        for (size_t i = 0; i < H * W; i++) {
            assert_true(w->y[i] == w->x[i] || w->y[i] == -2);
            painted[i] += w->y[i] == -2;
        }
    }
    for (int y = 0; y < H; y++) /* centers that cover (y, x): y - 1 .. y + 2 within the image */
        for (int x = 0; x < W; x++) {
            const double ny = SQZ_MIN(y + SIZE / 2, H - 1) - SQZ_MAX(y - SIZE / 2 + 1, 0) + 1;
            const double nx = SQZ_MIN(x + SIZE / 2, W - 1) - SQZ_MAX(x - SIZE / 2 + 1, 0) + 1;
            expect_share("painted", painted[y * W + x], DRAWS, ny * nx / (H * W));
        }
    end(w);
}

/* The share of frames that one span of at most t paints: its mean length over all frames. */
static void test_specaugment_paints_whole_frames_and_bins(void **state)
{
    enum { DRAWS = 20000, TIME = 5, BINS = 3 };
    double frames = 0, bins = 0, frame_squares = 0;
    (void)state;
    world *w = matrix("specaugment(time=5,frequency=3,fill=-2)");
    for (int64_t k = 0; k < DRAWS; k++) {
        int frame[H], bin[W], n_frame = 0, n_bin = 0;
        draw(w, 2, 0, k);
        for (size_t y = 0; y < H; y++) {
            frame[y] = 1;
            for (size_t x = 0; x < W; x++)
                frame[y] = frame[y] && w->y[y * W + x] == -2;
            n_frame += frame[y];
        }
        for (size_t x = 0; x < W; x++) {
            bin[x] = 1;
            for (size_t y = 0; y < H; y++)
                bin[x] = bin[x] && w->y[y * W + x] == -2;
            n_bin += bin[x];
        }
        for (size_t y = 0; y < H; y++)
            for (size_t x = 0; x < W; x++)
                assert_true(w->y[y * W + x] == (frame[y] || bin[x] ? -2 : w->x[y * W + x]));
        assert_true(n_frame <= TIME && n_bin <= BINS);
        frames += n_frame;
        frame_squares += n_frame * n_frame;
        bins += n_bin;
    }
    /* uniform in 0 .. m: mean m / 2, variance ((m + 1)^2 - 1) / 12 */
    TEST_NEAR(frames / DRAWS, TIME / 2.0, 5 * sqrt(35 / 12.0 / DRAWS));
    TEST_NEAR(bins / DRAWS, BINS / 2.0, 5 * sqrt(15 / 12.0 / DRAWS));
    TEST_NEAR(frame_squares / DRAWS, 55 / 6.0, 5 * 9.0 / sqrt(DRAWS)); /* mean of k^2, k to 5 */
    end(w);
    w = matrix("specaugment(time=0,frequency=9,axis=width,fill=-2)"); /* bins are rows then */
    draw(w, 2, 0, 1);
    end(w);
}

static void test_noise_is_normal(void **state)
{
    enum { DRAWS = 2000, N = H * W * DRAWS };
    double moment[5] = {0}, neighbors = 0, beyond = 0;
    (void)state;
    world *w = matrix("noise(sd=2)");
    memset(w->x, 0, sizeof w->x);
    for (int64_t k = 0; k < DRAWS; k++) {
        draw(w, 2, 0, k);
        for (size_t i = 0; i < H * W; i++) {
            const double v = w->y[i] / 2;
            for (int m = 1; m < 5; m++)
                moment[m] += pow(v, m);
            neighbors += i ? v * w->y[i - 1] / 2 : 0;
            beyond += fabs(v) > 3;
        }
    }
    /* variances of the powers of a normal number: 1, 2, 15, 96 */
    TEST_NEAR(moment[1] / N, 0, 5 * sqrt(1.0 / N));
    TEST_NEAR(moment[2] / N, 1, 5 * sqrt(2.0 / N));
    TEST_NEAR(moment[3] / N, 0, 5 * sqrt(15.0 / N));
    TEST_NEAR(moment[4] / N, 3, 5 * sqrt(96.0 / N));
    TEST_NEAR(neighbors / N, 0, 5 * sqrt(1.0 / N));
    expect_share("beyond three deviations", beyond, N, 0.0026998);
    end(w);
}

static void test_scale_and_brightness_are_uniform(void **state)
{
    static const char *const texts[] = {"scale(most=0.25)", "brightness(most=0.25)"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        double low = 0, sum = 0, squares = 0;
        enum { DRAWS = 20000 };
        world *w = matrix(texts[i]);
        for (int64_t k = 0; k < DRAWS; k++) {
            draw(w, 2, 0, k);
            const double u = i ? (double)w->y[0] - (double)w->x[0]
                               : (double)w->y[0] / (double)w->x[0] - 1;
            assert_true(fabs(u) < 0.25 + 1e-5);
            TEST_NEAR(i ? w->y[5] - w->x[5] : w->y[5] / w->x[5] - 1, u, 1e-5);
            low += u < -0.125;
            sum += u;
            squares += u * u;
        }
        const double variance = 0.25 * 0.25 / 3;
        TEST_NEAR(sum / DRAWS, 0, 5 * sqrt(variance / DRAWS));
        TEST_NEAR(squares / DRAWS / variance, 1, 5 * sqrt(0.8 / DRAWS));
        expect_share("lowest quarter", low, DRAWS, 0.25);
        end(w);
    }
}

/* Against interpolation in double at the same angle, which is drawn from the same stream. */
static void test_rotation_interpolates_about_the_center(void **state)
{
    (void)state;
    world *w = matrix("rotate(most=180,fill=5)");
    const sqz_augment *rotate = sqz_augment_find("rotate");
    for (uint64_t k = 0; k < 200; k++) {
        sqz_rng r = {.seed = k}, same = r;
        const double a = 180 * (2 * sqz_rng_uniform(&same) - 1) * M_PI / 180;
        rotate->apply(w->chain.item[0].opts, &w->chain.form, &r, w->x, w->y);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                const double v = y - (H - 1) / 2.0, u = x - (W - 1) / 2.0;
                const double sy = cos(a) * v - sin(a) * u + (H - 1) / 2.0;
                const double sx = sin(a) * v + cos(a) * u + (W - 1) / 2.0;
                double want = 0;
                for (int iy = -20; iy < 30; iy++) /* hat functions, all pixels and the fill */
                    for (int ix = -20; ix < 30; ix++) {
                        const double hat = fmax(0, 1 - fabs(sy - iy)) * fmax(0, 1 - fabs(sx - ix));
                        const bool inside = iy >= 0 && iy < H && ix >= 0 && ix < W;
                        want += hat * (inside ? w->x[iy * W + ix] : 5);
                    }
                /* positions are off by 1e-6 in float, pixels differ by up to 60 */
                TEST_NEAR(w->y[y * W + x], want, 1e-3);
            }
    }
    end(w);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    static const struct {
        sqz_shape shape;
        sqz_layout layout;
        const char *text, *part;
        sqz_status status;
    } bad[] = {
        {{2, {9, 7}}, 0, "crop(pad=8)", "9 x 7", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "crop(pad=100000000000)", "pad", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "crop(pad=-1)", "pad", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "shift(most=8)", "that axis has 7", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "shift(most=10,axis=height)", "that axis has 9", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "cutout(size=10)", "larger than 9 x 7", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "specaugment(time=10)", "9 frames of 7 bins", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "specaugment(time=1,frequency=8)", "9 frames of 7 bins", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "specaugment(time=9,axis=width)", "7 frames of 9 bins", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "specaugment(masks=65)", "masks", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "noise(sd=nan)", "sd", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "noise(sd=-1)", "sd", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "flip(probability=1.5)", "probability", SQZ_E_ARG},
        {{2, {9, 7}}, 0, "flip(axis=depth)", "axis", SQZ_E_ARG},
        {{1, {63}}, 0, "flip", "does not fit samples of shape 63", SQZ_E_UNSUPPORTED},
        {{1, {63}}, 0, "noise,crop", "'crop' does not fit", SQZ_E_UNSUPPORTED},
        {{4, {2, 3, 4, 5}}, 0, "flip", "not images", SQZ_E_UNSUPPORTED},
        {{3, {8, 9, 7}}, 0, "flip", "--layout", SQZ_E_UNSUPPORTED},
        {{3, {3, 9, 3}}, 0, "flip", "--layout", SQZ_E_UNSUPPORTED},
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        world *w = begin(bad[i].shape, bad[i].layout, NULL);
        TEST_FAILS(w->ctx, sqz_augment_read(&w->arena, &w->ds, NULL, bad[i].text, &w->chain),
                   bad[i].status, bad[i].part);
        end(w);
    }
    world *w = begin((sqz_shape){1, {60}}, 0, "noise,scale,brightness"); /* fit any sample */
    w->ds.n_part = 2;
    TEST_FAILS(w->ctx, sqz_augment_read(&w->arena, &w->ds, NULL, "noise", &w->chain),
               SQZ_E_UNSUPPORTED, "several inputs");
    end(w);
}

static void test_layouts_are_found(void **state)
{
    static const struct {
        sqz_shape shape;
        sqz_layout says;
        const char *layout;
        size_t planes, h, w, group;
    } c[] = {
        {{3, {3, 9, 7}}, SQZ_LAYOUT_UNKNOWN, NULL, 3, 9, 7, 1},
        {{3, {9, 7, 1}}, SQZ_LAYOUT_UNKNOWN, NULL, 1, 9, 7, 1},
        {{3, {9, 7, 3}}, SQZ_LAYOUT_UNKNOWN, NULL, 1, 9, 7, 3},
        {{3, {9, 7, 3}}, SQZ_LAYOUT_NCHW, NULL, 9, 7, 3, 1},
        {{3, {9, 7, 3}}, SQZ_LAYOUT_NCHW, "nhwc", 1, 9, 7, 3},
        {{3, {3, 9, 7}}, SQZ_LAYOUT_UNKNOWN, "nhwc", 1, 3, 9, 7},
        {{2, {9, 7}}, SQZ_LAYOUT_UNKNOWN, "nchw", 1, 9, 7, 1},
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(c); i++) {
        world *w = begin(c[i].shape, c[i].says, NULL);
        TEST_OK(w->ctx, sqz_augment_read(&w->arena, &w->ds, c[i].layout, "flip", &w->chain));
        assert_int_equal(w->chain.form.planes, c[i].planes);
        assert_int_equal(w->chain.form.h, c[i].h);
        assert_int_equal(w->chain.form.w, c[i].w);
        assert_int_equal(w->chain.form.group, c[i].group);
        end(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_below_is_the_whole_table),
        cmocka_unit_test(test_no_strength_changes_no_bit),
        cmocka_unit_test(test_the_same_sample_is_the_same_and_others_differ),
        cmocka_unit_test(test_both_layouts_get_the_same_picture),
        cmocka_unit_test(test_chains_of_any_length_do_one_after_the_other),
        cmocka_unit_test(test_flips_mirror_the_share_that_was_asked_for),
        cmocka_unit_test(test_moves_are_uniform_and_fill_what_comes_in),
        cmocka_unit_test(test_moves_by_the_whole_size_are_sound),
        cmocka_unit_test(test_cutout_paints_a_square_around_any_pixel),
        cmocka_unit_test(test_specaugment_paints_whole_frames_and_bins),
        cmocka_unit_test(test_noise_is_normal),
        cmocka_unit_test(test_scale_and_brightness_are_uniform),
        cmocka_unit_test(test_rotation_interpolates_about_the_center),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_layouts_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
