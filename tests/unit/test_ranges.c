/* ranges.json: what is saved reads back the same; what is wrong is refused by its path. */
#include "calib/calib.h"
#include "sqz_test.h"
#include <locale.h>
#include <unistd.h>

static sqz_status parse(sqz_ctx *ctx, const char *text, sqz_ranges **out)
{
    return sqz_ranges_parse(ctx, "r.json", text, strlen(text), out);
}

/* Statistics of n values over random numbers; values 0 and 1 share one histogram. */
static sqz_stats *some_stats(sqz_ctx *ctx, uint32_t n)
{
    sqz_stats *s = sqz_calloc(ctx, 1, sizeof *s);
    sqz_rng r = {.seed = 5};
    s->arena.ctx = ctx;
    s->n = n;
    s->samples = 40;
    strcpy(s->data_checksum, "0123abc");
    s->item = sqz_arena_alloc(&s->arena, n, sizeof *s->item);
    for (uint32_t i = 0; i < n; i++) {
        float x[500];
        s->item[i].name = sqz_arena_printf(&s->arena, "layer%u/out \"q\"\\\t\xc3\xa9", i);
        s->item[i].hist = i == 1 ? s->item[0].hist
                                 : sqz_arena_alloc(&s->arena, 1, sizeof(sqz_hist));
        if (i == 1)
            continue;
        sqz_hist_begin(s->item[i].hist);
        for (int k = 0; k < 40; k++) {
            for (int j = 0; j < 500; j++)
                x[j] = (float)(sqz_rng_normal(&r) * exp2((double)i * 7.3 - 20));
            sqz_hist_see(s->item[i].hist, x, 500);
        }
    }
    return s;
}

static void free_stats(sqz_ctx *ctx, sqz_stats *s)
{
    sqz_arena_free(&s->arena);
    sqz_free(ctx, s);
}

static void assert_same_text(const sqz_ranges *a, const sqz_ranges *b, sqz_ctx *ctx)
{
    sqz_str x = {.ctx = ctx}, y = {.ctx = ctx};
    TEST_OK(ctx, sqz_ranges_print(a, &x));
    TEST_OK(ctx, sqz_ranges_print(b, &y));
    assert_string_equal(x.data, y.data);
    sqz_str_free(&x);
    sqz_str_free(&y);
}

static void round_trip(void)
{
    sqz_ctx *ctx = test_ctx();
    sqz_stats *s = some_stats(ctx, 12);
    sqz_ranges *r, *back;
    TEST_OK(ctx, sqz_ranges_from_stats(ctx, s, "percentile(p=99.9)", &r));
    char path[] = "ranges_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    TEST_OK(ctx, sqz_ranges_save(ctx, r, path));
    TEST_OK(ctx, sqz_ranges_load(ctx, path, &back));
    remove(path);
    assert_int_equal(back->n, 12);
    assert_int_equal(back->samples, 40);
    assert_string_equal(back->calibrator, "percentile(p=99.9)");
    assert_string_equal(back->data_checksum, "0123abc");
    for (uint32_t i = 0; i < r->n; i++) { /* the same floats, bit for bit */
        assert_string_equal(back->item[i].name, r->item[i].name);
        assert_memory_equal(&back->item[i].range, &r->item[i].range, sizeof(sqz_range));
        assert_true(back->item[i].min == r->item[i].min && back->item[i].max == r->item[i].max);
        assert_true(back->item[i].clipped == r->item[i].clipped);
        assert_true(r->item[i].clipped > 0 && r->item[i].clipped < 0.01);
    }
    assert_same_text(r, back, ctx);
    sqz_ranges_free(ctx, back);
    sqz_ranges_free(ctx, r);
    free_stats(ctx, s);
    sqz_ctx_free(ctx);
}

static void test_a_round_trip_keeps_every_bit(void **state)
{
    (void)state;
    round_trip();
}

static void test_a_locale_with_a_decimal_comma_changes_nothing(void **state)
{
    (void)state;
    const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < SQZ_COUNT(comma); i++)
        if (setlocale(LC_NUMERIC, comma[i])) {
            round_trip();
            setlocale(LC_NUMERIC, "C");
            return;
        }
    skip(); /* none is installed here */
}

static void test_threads_do_not_change_ranges(void **state)
{
    (void)state;
    sqz_str text[2];
    for (int t = 0; t < 2; t++) {
        sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
        sqz_ctx *ctx;
        sqz_ranges *r;
        o.threads = t + 1;
        assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
        sqz_stats *s = some_stats(ctx, 9);
        TEST_OK(ctx, sqz_ranges_from_stats(ctx, s, "mse", &r));
        text[t] = (sqz_str){.ctx = ctx};
        TEST_OK(ctx, sqz_ranges_print(r, &text[t]));
        sqz_ranges_free(ctx, r);
        free_stats(ctx, s);
    }
    assert_string_equal(text[0].data, text[1].data);
    for (int t = 0; t < 2; t++) {
        sqz_ctx *ctx = text[t].ctx;
        sqz_str_free(&text[t]);
        sqz_ctx_free(ctx);
    }
}

static void test_a_hand_written_file_is_read(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_ranges *r;
    TEST_OK(ctx, parse(ctx,
                       "{\"squeeze_ranges\": 1, \"values\": {\n"
                       "  \"a\": {\"lo\": -1.5, \"hi\": 2e3},\n"
                       "  \"b\": {\"calibrator\": \"percentile(p=99)\"}}}\n",
                       &r));
    assert_int_equal(r->n, 2);
    assert_true(r->item[0].range.lo == -1.5f && r->item[0].range.hi == 2000.0f);
    assert_string_equal(r->item[0].rule, "user");
    assert_true(isnan(r->item[1].range.lo) && !sqz_ranges_complete(r));
    assert_string_equal(r->item[1].rule, "percentile(p=99)");
    sqz_ranges *back; /* what is open stays open in the file */
    sqz_str text = {.ctx = ctx};
    TEST_OK(ctx, sqz_ranges_print(r, &text));
    TEST_OK(ctx, parse(ctx, text.data, &back));
    assert_same_text(r, back, ctx);
    sqz_str_free(&text);
    sqz_ranges_free(ctx, back);
    sqz_ranges_free(ctx, r);
    sqz_ctx_free(ctx);
}

static void test_open_values_are_computed_by_their_own_rule(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_stats *s = some_stats(ctx, 3);
    for (uint32_t i = 0; i < 3; i++)
        s->item[i].name = i == 0 ? "a" : i == 1 ? "b" : "c";
    sqz_ranges *r, *want;
    TEST_OK(ctx, parse(ctx,
                       "{\"squeeze_ranges\": 1, \"values\": {"
                       "\"c\": {\"calibrator\": \"percentile(p=99)\"},"
                       "\"a\": {\"lo\": -1, \"hi\": 2}}}",
                       &r));
    TEST_OK(ctx, sqz_ranges_resolve(ctx, r, s));
    TEST_OK(ctx, sqz_ranges_from_stats(ctx, s, "percentile(p=99)", &want));
    assert_true(sqz_ranges_complete(r));
    assert_memory_equal(&r->item[0].range, &want->item[2].range, sizeof(sqz_range));
    assert_true(r->item[1].range.lo == -1 && r->item[1].range.hi == 2);
    sqz_ranges_free(ctx, want);
    sqz_ranges_free(ctx, r);
    TEST_OK(ctx, parse(ctx,
                       "{\"squeeze_ranges\": 1, \"values\": {"
                       "\"z\": {\"calibrator\": \"mse\"}}}",
                       &r));
    TEST_FAILS(ctx, sqz_ranges_resolve(ctx, r, s), SQZ_E_NOTFOUND, "no value 'z'");
    sqz_ranges_free(ctx, r);
    free_stats(ctx, s);
    sqz_ctx_free(ctx);
}

static void test_wrong_files_are_refused_by_the_path_of_the_entry(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        sqz_status status;
    } bad[] = {
        {"", "r.json:1:1: not JSON", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1,\n \"values\": {]}", "r.json:2:", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {}} x", "r.json:1:37: not JSON", SQZ_E_FORMAT},
        {"[]", "expected an object", SQZ_E_FORMAT},
        {"{}", "squeeze_ranges: is missing", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 2}", "squeeze_ranges: is outside of 1 .. 1", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1}", "values: is missing", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": []}", "values: expected an object, found a list",
         SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"value\": {}}", "value: unknown key, did you mean 'values'?",
         SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": 3}}", "values.c: expected an object",
         SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {}}}",
         "values.c: expected lo and hi, or calibrator", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"lo\": 1}}}", "values.c.hi: is missing",
         SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"lo\": 1, \"hi\": \"2\"}}}",
         "values.c.hi: expected a number, found a text", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"lo\": 3, \"hi\": 2}}}",
         "values.c.lo: is greater than hi", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"lo\": 0, \"hi\": 1e999}}}",
         "values.c.hi: is outside of", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"lo\": 0, \"lo\": 0, \"hi\": 1}}}",
         "values.c.lo: is there twice", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"lo\": 0, \"hi\": 1},"
         "\"d\": {\"lo\": 0, \"hi\": 1}, \"c\": {\"lo\": 0, \"hi\": 1}}}",
         "values.c: is there twice", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"lo\": 0, \"hi\": 1, \"rule\": 3}}}",
         "values.c.rule: expected a text, found a number", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"calibrator\": \"mes\"}}}",
         "values.c.calibrator: no calibrator 'mes', did you mean 'mse'?", SQZ_E_ARG},
        {"{\"squeeze_ranges\": 1, \"values\": {\"c\": {\"calibrator\": \"mse\", \"lo\": 0, "
         "\"hi\": 1}}}",
         "values.c: expected lo and hi, or calibrator", SQZ_E_FORMAT},
        {"{\"squeeze_ranges\": 1, \"samples\": -1, \"values\": {}}", "samples: is outside",
         SQZ_E_FORMAT},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        sqz_ctx *ctx = test_ctx();
        sqz_ranges *r;
        TEST_FAILS(ctx, parse(ctx, bad[i].text, &r), bad[i].status, bad[i].part);
        assert_null(r);
        sqz_ctx_free(ctx);
    }
}

static void test_cut_and_flipped_files_never_crash(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_stats *s = some_stats(ctx, 3);
    sqz_ranges *r;
    sqz_str text = {.ctx = ctx};
    TEST_OK(ctx, sqz_ranges_from_stats(ctx, s, "minmax", &r));
    TEST_OK(ctx, sqz_ranges_print(r, &text));
    sqz_ranges_free(ctx, r);
    for (size_t n = 0; n + 2 < text.len; n++) { /* without its last brace it is never whole */
        assert_int_equal(sqz_ranges_parse(ctx, "r", text.data, n, &r), SQZ_E_FORMAT);
        assert_null(r);
    }
    for (size_t i = 0; i < text.len * 8; i++) {
        text.data[i / 8] = (char)(text.data[i / 8] ^ (1 << i % 8));
        if (sqz_ranges_parse(ctx, "r", text.data, text.len, &r) == SQZ_OK)
            sqz_ranges_free(ctx, r);
        else
            assert_null(r);
        text.data[i / 8] = (char)(text.data[i / 8] ^ (1 << i % 8));
    }
    sqz_str_free(&text);
    free_stats(ctx, s);
    sqz_ctx_free(ctx);
}

static void test_ranges_land_on_the_values_they_name(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    sqz_vid x;
    sqz_ranges *r;
    uint32_t unknown;
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &(sqz_shape){2, {1, 4}}, &x));
    TEST_OK(ctx, parse(ctx,
                       "{\"squeeze_ranges\": 1, \"values\": {"
                       "\"gone\": {\"lo\": 0, \"hi\": 1}, \"x\": {\"lo\": -1, \"hi\": 2}}}",
                       &r));
    TEST_OK(ctx, sqz_ranges_apply(r, g, &unknown));
    assert_int_equal(unknown, 1);
    assert_non_null(sqz_val(g, x)->range);
    assert_true(sqz_val(g, x)->range->lo == -1 && sqz_val(g, x)->range->hi == 2);
    sqz_ranges_free(ctx, r);
    TEST_OK(ctx, parse(ctx,
                       "{\"squeeze_ranges\": 1, \"values\": {"
                       "\"x\": {\"calibrator\": \"mse\"}}}",
                       &r));
    TEST_FAILS(ctx, sqz_ranges_apply(r, g, &unknown), SQZ_E_ARG, "value 'x' asks for calibrator");
    sqz_ranges_free(ctx, r);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_calibrators_are_spelt_with_options(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_arena a = {.ctx = ctx};
    const sqz_calib *c;
    const void *opts;
    TEST_OK(ctx, sqz_calib_spec(&a, "percentile(p=99.5)", &c, &opts));
    assert_true(*(const double *)opts == 99.5);
    TEST_OK(ctx, sqz_calib_spec(&a, "mse", &c, &opts));
    assert_string_equal(c->info.name, "mse");
    TEST_FAILS(ctx, sqz_calib_spec(&a, "percentile(p=200)", &c, &opts), SQZ_E_ARG, "p");
    TEST_FAILS(ctx, sqz_calib_spec(&a, "percentile(p=99", &c, &opts), SQZ_E_ARG,
               "expected name(option=value)");
    TEST_FAILS(ctx, sqz_calib_spec(&a, "minmax(p=99)", &c, &opts), SQZ_E_ARG, "minmax");
    sqz_arena_free(&a);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_round_trip_keeps_every_bit),
        cmocka_unit_test(test_a_locale_with_a_decimal_comma_changes_nothing),
        cmocka_unit_test(test_threads_do_not_change_ranges),
        cmocka_unit_test(test_a_hand_written_file_is_read),
        cmocka_unit_test(test_open_values_are_computed_by_their_own_rule),
        cmocka_unit_test(test_wrong_files_are_refused_by_the_path_of_the_entry),
        cmocka_unit_test(test_cut_and_flipped_files_never_crash),
        cmocka_unit_test(test_ranges_land_on_the_values_they_name),
        cmocka_unit_test(test_calibrators_are_spelt_with_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
