/* Feeding: samples reach a graph input in its layout, checked number by number against index
 * arithmetic; what could be meant in two ways is asked for. */
#include "data_files.h"

static sqz_dataset set_of(int rank, const int64_t *dim)
{
    return (sqz_dataset){.path = "set.npz", .n = 2, .shape = sqz_shape_of(rank, dim)};
}
static sqz_value input_of(int rank, const int64_t *dim, bool channel_last)
{
    return (sqz_value){
        .name = "image", .shape = sqz_shape_of(rank, dim), .channel_last = channel_last};
}
#define DIMS(...)                                                                                  \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)i;
}

/* Two samples of h x w x c become c x h x w (to_first) or the other way round. */
static void check_moved(const sqz_feed *f, int h, int w, int c, bool to_first)
{
    float in[256], out[256];
    int n = h * w * c;
    fill(in, 2 * (size_t)n);
    sqz_feed_apply(f, 2, in, out);
    for (int s = 0; s < 2; s++)
        for (int p = 0; p < h * w; p++)
            for (int k = 0; k < c; k++) {
                int last = s * n + p * c + k, first = s * n + k * h * w + p;
                assert_true(to_first ? out[first] == in[last] : out[last] == in[first]);
            }
}

static void test_channels_move_to_where_the_input_has_them(void **state)
{
    sqz_ctx *ctx = *state;
    sqz_feed f;
    sqz_dataset hwc = set_of(DIMS(4, 5, 3)), chw = set_of(DIMS(3, 4, 5));
    sqz_value first = input_of(DIMS(1, 3, 4, 5), false), last = input_of(DIMS(1, 4, 5, 3), false);
    sqz_value moved = input_of(DIMS(1, 4, 5, 3), true); /* 3x4x5 in the model file */
    TEST_OK(ctx, sqz_feed_plan(ctx, &hwc, &first, NULL, &f));
    assert_true(f.permute && f.elements == 60);
    assert_non_null(strstr(f.note, "data is channels-last"));
    check_moved(&f, 4, 5, 3, true);
    TEST_OK(ctx, sqz_feed_plan(ctx, &chw, &last, NULL, &f));
    assert_true(f.permute);
    assert_non_null(strstr(f.note, "data is channels-first"));
    check_moved(&f, 4, 5, 3, false);
    TEST_OK(ctx, sqz_feed_plan(ctx, &chw, &moved, NULL, &f));
    assert_true(f.permute);
    assert_null(f.note); /* data is as the model file has it */
    check_moved(&f, 4, 5, 3, false);
    TEST_OK(ctx, sqz_feed_plan(ctx, &hwc, &moved, NULL, &f));
    assert_false(f.permute);
    assert_non_null(strstr(f.note, "data is channels-last"));
    TEST_OK(ctx, sqz_feed_plan(ctx, &chw, &first, NULL, &f));
    assert_false(f.permute);
    assert_null(f.note);
}

static void test_axes_of_length_1_come_and_go(void **state)
{
    sqz_ctx *ctx = *state;
    sqz_feed f;
    static const struct {
        int64_t from[4];
        int n_from;
        int64_t to[5];
        int n_to;
        bool channel_last;
    } same[] = {
        {{6, 6}, 2, {1, 1, 6, 6}, 4, false},    {{6, 6}, 2, {1, 6, 6, 1}, 4, true},
        {{6, 6, 1}, 3, {1, 1, 6, 6}, 4, false}, {{1, 6, 6}, 3, {1, 6, 6, 1}, 4, true},
        {{7, 4}, 2, {8, 1, 7, 4}, 4, false},    {{7}, 1, {8, 1, 1, 7}, 4, true},
        {{7, 1, 4, 1}, 4, {1, 7, 4}, 3, false}, {{1}, 1, {1, 1}, 2, false},
        {{1, 1, 1}, 3, {1, 1, 1, 1}, 4, false}, {{6, 6}, 2, {1, 6, 6}, 3, false},
        {{1, 6, 6}, 3, {1, 36}, 2, false},      {{5, 6}, 2, {4, 30}, 2, false},
    };
    for (size_t i = 0; i < SQZ_COUNT(same); i++) {
        sqz_dataset ds = set_of(same[i].n_from, same[i].from);
        sqz_value v = input_of(same[i].n_to, same[i].to, same[i].channel_last);
        TEST_OK(ctx, sqz_feed_plan(ctx, &ds, &v, NULL, &f));
        assert_false(f.permute);
        if (same[i].n_to > 2) /* flattening is said, this is not worth a word */
            assert_null(f.note);
        float in[128], out[128];
        fill(in, 2 * f.elements);
        sqz_feed_apply(&f, 2, in, out);
        assert_memory_equal(in, out, 2 * f.elements * sizeof *in);
    }
}

static void test_ambiguous_shapes_are_asked_for(void **state)
{
    sqz_ctx *ctx = *state;
    sqz_feed f;
    sqz_dataset cube = set_of(DIMS(3, 3, 3));
    sqz_value v = input_of(DIMS(1, 3, 3, 3), false), moved = input_of(DIMS(1, 3, 3, 3), true);
    TEST_FAILS(ctx, sqz_feed_plan(ctx, &cube, &v, NULL, &f), SQZ_E_SHAPE, "--layout");
    TEST_FAILS(ctx, sqz_feed_plan(ctx, &cube, &v, "hwc", &f), SQZ_E_ARG, "nchw or nhwc");
    TEST_OK(ctx, sqz_feed_plan(ctx, &cube, &v, "nchw", &f));
    assert_false(f.permute);
    TEST_OK(ctx, sqz_feed_plan(ctx, &cube, &v, "nhwc", &f));
    check_moved(&f, 3, 3, 3, true);
    TEST_OK(ctx, sqz_feed_plan(ctx, &cube, &moved, "nchw", &f));
    check_moved(&f, 3, 3, 3, false);
    TEST_OK(ctx, sqz_feed_plan(ctx, &cube, &moved, "nhwc", &f));
    assert_false(f.permute);
    cube.layout = SQZ_LAYOUT_NHWC; /* the set says it */
    TEST_OK(ctx, sqz_feed_plan(ctx, &cube, &v, NULL, &f));
    assert_true(f.permute);
}

static void test_square_tables_go_in_as_the_file_has_them(void **state)
{
    sqz_ctx *ctx = *state;
    sqz_feed f;
    sqz_dataset table = set_of(DIMS(6, 6));
    sqz_value v = input_of(DIMS(1, 6, 6), false), moved = input_of(DIMS(1, 6, 6), true);
    TEST_OK(ctx, sqz_feed_plan(ctx, &table, &v, NULL, &f));
    assert_false(f.permute);
    TEST_OK(ctx, sqz_feed_plan(ctx, &table, &moved, NULL, &f));
    check_moved(&f, 1, 6, 6, false);
}

static void test_shapes_that_do_not_fit_are_named(void **state)
{
    sqz_ctx *ctx = *state;
    sqz_feed f;
    sqz_dataset ds = set_of(DIMS(3, 32, 32));
    sqz_value v = input_of(DIMS(1, 3, 31, 32), false), flat = input_of(DIMS(1, 3072), false),
              none = input_of(0, NULL, false);
    TEST_FAILS(ctx, sqz_feed_plan(ctx, &ds, &v, NULL, &f), SQZ_E_SHAPE,
               "set.npz: samples are 3x32x32, input 'image' wants 3x31x32");
    TEST_FAILS(ctx, sqz_feed_plan(ctx, &ds, &flat, NULL, &f), SQZ_E_SHAPE, "one channel");
    TEST_FAILS(ctx, sqz_feed_plan(ctx, &ds, &none, NULL, &f), SQZ_E_SHAPE, "no batch axis");
}

static int begin(void **state)
{
    *state = test_ctx();
    return 0;
}
static int end(void **state)
{
    sqz_ctx_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels_move_to_where_the_input_has_them),
        cmocka_unit_test(test_axes_of_length_1_come_and_go),
        cmocka_unit_test(test_ambiguous_shapes_are_asked_for),
        cmocka_unit_test(test_square_tables_go_in_as_the_file_has_them),
        cmocka_unit_test(test_shapes_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
