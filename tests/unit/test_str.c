/* Text: builder, numbers in every locale, names that look alike, patterns. */
#include "sqz_test.h"
#include <locale.h>

static void test_builder_grows_and_stays_terminated(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_str s = {.ctx = ctx};
    sqz_str_add(&s, "");
    assert_string_equal(s.data, "");
    for (int i = 0; i < 1000; i++)
        sqz_str_addf(&s, "%d,", i % 10);
    sqz_str_addn(&s, "xyz", 2);
    assert_int_equal(s.status, SQZ_OK);
    assert_int_equal(s.len, 2002);
    assert_int_equal(strlen(s.data), 2002);
    assert_memory_equal(s.data + 1998, "9,xy", 5);
    sqz_str_free(&s);
    sqz_str_free(&s); /* twice is fine */
    sqz_ctx_free(ctx);
}

static void test_text_from_files_is_made_printable(void **state)
{
    static const struct {
        const char *text, *clean;
    } list[] = {
        {"plain, \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d\n\t",
         "plain, \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d\n\t"},
        {"\x1b[31m\x7f\r", "?[31m??"}, /* would color the terminal */
        {"\xc2\x9b"
         "1m",
         "??1m"},                          /* so would this */
        {"a\xe8(b", "a?(b"},               /* no continuation */
        {"a\xe2\x82", "a??"},              /* cut off */
        {"\xc0\xaf\xe0\x80\xaf", "?????"}, /* longer than need be */
        {"\xed\xa0\x80", "???"},           /* a surrogate */
        {"\xf4\x90\x80\x80\xff", "?????"}, /* past the last code point */
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(list); i++) {
        char text[40];
        strcpy(text, list[i].text);
        sqz_text_clean(text);
        assert_string_equal(text, list[i].clean);
    }
}

static void test_messages_are_printable(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    assert_int_equal(sqz_fail(ctx, SQZ_E_FORMAT, "node %s", "\x1b[\xc3\xa9]"), SQZ_E_FORMAT);
    assert_int_equal(sqz_note(ctx, SQZ_E_FORMAT, "\xff.onnx"), SQZ_E_FORMAT);
    assert_string_equal(sqz_last_error(ctx), "?.onnx: node ?[é]");
    sqz_ctx_free(ctx);
}

static void *limited(void *user, size_t n) { return n > *(size_t *)user ? NULL : malloc(n); }
static void unlimited(void *user, void *p)
{
    (void)user;
    free(p);
}

static void test_builder_remembers_failure(void **state)
{
    (void)state;
    size_t most = 1 << 16;
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    o.allocator = (sqz_allocator){&most, limited, unlimited};
    o.threads = 1;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    sqz_str s = {.ctx = ctx};
    sqz_str_add(&s, "kept");
    for (int i = 0; i < 20000; i++)
        sqz_str_add(&s, "0123456789");
    assert_int_equal(s.status, SQZ_E_NOMEM);
    assert_memory_equal(s.data, "kept0123", 8);
    assert_int_equal(strlen(s.data), s.len);
    sqz_str_free(&s);
    sqz_ctx_free(ctx);
}

static void test_parse_reads_decimal_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double want;
        size_t used;
    } v[] = {{"1.5", 1.5, 3},
             {"-0.25e2", -25, 7},
             {"+7", 7, 2},
             {".5", 0.5, 2},
             {"5.", 5, 2},
             {"1e5x", 1e5, 3},
             {"1e", 1, 1},
             {"1e+", 1, 1},
             {"2KiB", 2, 1},
             {"1,5", 1, 1},
             {"0x10", 0, 1},
             {"1e-400", 0, 6},
             {"inf", INFINITY, 3},
             {"-inf", -INFINITY, 4},
             {"4.9e-324", 4.9e-324, 8},
             {"1.7976931348623157e308", 1.7976931348623157e308, 22}};
    for (size_t i = 0; i < SQZ_COUNT(v); i++) {
        const char *end = NULL;
        double got = 99;
        assert_true(sqz_parse_f64(v[i].text, &end, &got));
        assert_true(got == v[i].want);
        assert_int_equal(end - v[i].text, v[i].used);
    }
    double d;
    assert_true(sqz_parse_f64("nan", NULL, &d) && isnan(d));
}

static void test_parse_refuses_what_is_not_a_number(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    ".",     "-",      "e5",  " 1", "abc",
                                      "+-1", "1e309", "-1e999", "--1", "_1", "NaN"};
    double d = 7;
    const char *end;
    for (size_t i = 0; i < SQZ_COUNT(bad); i++)
        assert_false(sqz_parse_f64(bad[i], &end, &d));
    static const char *const trailing[] = {"1 ", "1x", "1,5", "0x10", "1.5.2", "infinity"};
    for (size_t i = 0; i < SQZ_COUNT(trailing); i++)
        assert_false(sqz_parse_f64(trailing[i], NULL, &d));
    assert_true(d == 7);
    char longest[1000];
    memset(longest, '9', sizeof longest);
    longest[999] = 0;
    assert_false(sqz_parse_f64(longest, NULL, &d));
}

static void test_parse_i64_at_its_limits(void **state)
{
    (void)state;
    int64_t v = 5;
    const char *end;
    assert_true(sqz_parse_i64("9223372036854775807", NULL, &v) && v == INT64_MAX);
    assert_true(sqz_parse_i64("-9223372036854775808", NULL, &v) && v == INT64_MIN);
    assert_true(sqz_parse_i64("+12", NULL, &v) && v == 12);
    assert_true(sqz_parse_i64("34:5", &end, &v) && v == 34 && *end == ':');
    assert_false(sqz_parse_i64("9223372036854775808", NULL, &v));
    assert_false(sqz_parse_i64("-9223372036854775809", NULL, &v));
    assert_false(sqz_parse_i64("99999999999999999999", NULL, &v));
    assert_false(sqz_parse_i64("", NULL, &v));
    assert_false(sqz_parse_i64("-", NULL, &v));
    assert_false(sqz_parse_i64("1.5", NULL, &v));
    assert_int_equal(v, 34);
}

static void test_print_is_the_shortest(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *want;
    } d[] = {{0, "0"},
             {-0.0, "-0"},
             {1, "1"},
             {-1.5, "-1.5"},
             {0.1, "0.1"},
             {1.0 / 3, "0.3333333333333333"},
             {100, "100"},
             {123456789, "123456789"},
             {1e16, "10000000000000000"},
             {1e17, "1e17"},
             {1e-5, "0.00001"},
             {1.25e-6, "1.25e-6"},
             {5e-324, "5e-324"},
             {1.7976931348623157e308, "1.7976931348623157e308"},
             {12345678901234568.0, "12345678901234568"},
             {NAN, "nan"},
             {-INFINITY, "-inf"}};
    char text[32];
    for (size_t i = 0; i < SQZ_COUNT(d); i++) {
        sqz_print_f64(text, d[i].v);
        assert_string_equal(text, d[i].want);
    }
    sqz_print_f32(text, 0.1f);
    assert_string_equal(text, "0.1");
    sqz_print_f32(text, 16777216.0f);
    assert_string_equal(text, "16777216");
    sqz_print_f32(text, 3.4028235e38f);
    assert_string_equal(text, "3.4028235e38");
    sqz_print_f32(text, 1e-45f);
    assert_string_equal(text, "1e-45");
}

static void round_trips(void)
{
    sqz_rng r = {.seed = 20240501};
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = sqz_rng_u64(&r);
        uint32_t low = (uint32_t)bits;
        double d, back;
        float f;
        char text[32];
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &low, sizeof f);
        if (isfinite(d)) {
            sqz_print_f64(text, d);
            assert_true(sqz_parse_f64(text, NULL, &back) && memcmp(&back, &d, sizeof d) == 0);
        }
        if (isfinite(f)) {
            sqz_print_f32(text, f);
            assert_true(sqz_parse_f64(text, NULL, &back));
            float again = (float)back;
            assert_memory_equal(&again, &f, sizeof f);
        }
    }
}

static void test_every_number_reads_back(void **state)
{
    (void)state;
    round_trips();
}

/* A host program with a decimal comma. Skipped where no such locale is installed. */
static void test_locale_changes_nothing(void **state)
{
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8",
                                        "de_DE",       "nl_NL.UTF-8", "ru_RU.UTF-8"};
    const char *found = NULL;
    for (size_t i = 0; i < SQZ_COUNT(comma) && !found; i++)
        found = setlocale(LC_ALL, comma[i]);
    if (!found)
        skip();
    char text[32];
    double d = 0;
    (void)snprintf(text, sizeof text, "%.1f", 1.5);
    assert_string_equal(text, "1,5"); /* else this test would prove nothing */
    test_print_is_the_shortest(state);
    test_parse_reads_decimal_numbers(state);
    round_trips();
    assert_true(sqz_parse_f64("1.5", NULL, &d) && d == 1.5);
    sqz_print_bytes(text, 1536);
    assert_string_equal(text, "1.5 KiB");
    (void)setlocale(LC_ALL, "C");
}

static void test_bytes_for_people(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *want;
    } d[] = {{0, "0 B"},
             {12, "12 B"},
             {1023, "1023 B"},
             {1024, "1 KiB"},
             {65536, "64 KiB"},
             {423117, "413.2 KiB"},
             {1048575, "1 MiB"}, /* never "1024 KiB" */
             {1048576, "1 MiB"},
             {1572864, "1.5 MiB"},
             {(uint64_t)5 << 30, "5 GiB"},
             {(uint64_t)1 << 40, "1 TiB"},
             {UINT64_MAX, "16777216 TiB"}};
    char text[32];
    for (size_t i = 0; i < SQZ_COUNT(d); i++) {
        sqz_print_bytes(text, d[i].v);
        assert_string_equal(text, d[i].want);
    }
}

static void test_distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(sqz_distance("", ""), 0);
    assert_int_equal(sqz_distance("abc", ""), 3);
    assert_int_equal(sqz_distance("kitten", "sitting"), 3);
    assert_int_equal(sqz_distance("pads", "pasd"), 1); /* neighbours swapped */
    assert_int_equal(sqz_distance("stride", "strides"), 1);
    char a[300], b[300];
    memset(a, 'a', sizeof a);
    memset(b, 'a', sizeof b);
    a[299] = b[199] = 0;
    assert_int_equal(sqz_distance(a, b), 100);
}

static void test_nearest_offers_only_what_is_near(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int other;
    } t[] = {{"strides", 0}, {"pads", 0}, {"dilations", 0}, {NULL, 0}, {"group", 0}};
    const size_t n = SQZ_COUNT(t), step = sizeof t[0];
    assert_string_equal(sqz_nearest("stride", &t[0].name, n, step), "strides");
    assert_string_equal(sqz_nearest("pad", &t[0].name, n, step), "pads");
    assert_string_equal(sqz_nearest("gruop", &t[0].name, n, step), "group");
    assert_string_equal(sqz_nearest("dilatoins", &t[0].name, n, step), "dilations");
    assert_null(sqz_nearest("momentum", &t[0].name, n, step));
    assert_null(sqz_nearest("x", &t[0].name, n, step));
    assert_null(sqz_nearest("x", &t[0].name, 0, step));
}

static void test_patterns_match_whole_names(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    static const struct {
        const char *pattern, *text;
        bool want;
    } t[] = {{"conv1", "conv1", true},
             {"conv1", "conv10", false},
             {"conv.*", "conv10", true},
             {"conv", "conv10", false},
             {"a|bc", "bc", true},
             {"a|bc", "ac", false},
             {"/net/[0-9]+", "/net/12", true},
             {"a(b", "a(b", true},
             {"x.y", "x.y", true},
             {"", "", true},
             {"", "a", false}};
    for (size_t i = 0; i < SQZ_COUNT(t); i++) {
        bool yes = !t[i].want;
        TEST_OK(ctx, sqz_match(ctx, t[i].pattern, t[i].text, &yes));
        assert_int_equal(yes, t[i].want);
    }
    bool yes;
    TEST_FAILS(ctx, sqz_match(ctx, "conv[", "conv1", &yes), SQZ_E_ARG, "'conv['");
    char huge[2000];
    memset(huge, '.', sizeof huge);
    huge[1999] = 0;
    TEST_FAILS(ctx, sqz_match(ctx, huge, "conv1", &yes), SQZ_E_LIMIT, "1999");
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builder_grows_and_stays_terminated),
        cmocka_unit_test(test_text_from_files_is_made_printable),
        cmocka_unit_test(test_messages_are_printable),
        cmocka_unit_test(test_builder_remembers_failure),
        cmocka_unit_test(test_parse_reads_decimal_numbers),
        cmocka_unit_test(test_parse_refuses_what_is_not_a_number),
        cmocka_unit_test(test_parse_i64_at_its_limits),
        cmocka_unit_test(test_print_is_the_shortest),
        cmocka_unit_test(test_every_number_reads_back),
        cmocka_unit_test(test_locale_changes_nothing),
        cmocka_unit_test(test_bytes_for_people),
        cmocka_unit_test(test_distance_counts_edits),
        cmocka_unit_test(test_nearest_offers_only_what_is_near),
        cmocka_unit_test(test_patterns_match_whole_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
