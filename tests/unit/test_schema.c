/* Options as text: every type there and back, every refusal with its reason. */
#include "base/schema.h"
#include "sqz_test.h"

typedef struct demo {
    int64_t bits, per_tensor, mode;
    double alpha;
    const char *exclude, *label;
    sqz_ints pads;
    sqz_floats scales;
} demo;

static const sqz_attr attrs[] = {
    {"bits", offsetof(demo, bits), SQZ_A_INT, 8, 2, 8, NULL, 0, 0, 0, "bits of a weight"},
    {"per_tensor", offsetof(demo, per_tensor), SQZ_A_BOOL, 0, 0, 0, NULL, 0, 0, 0, ""},
    {"mode", offsetof(demo, mode), SQZ_A_ENUM, 1, 0, 0, "constant|reflect|edge", 0, 0, 0, ""},
    {"alpha", offsetof(demo, alpha), SQZ_A_FLOAT, 0.01, 0, 1, NULL, 0, 0, 0, ""},
    {"exclude", offsetof(demo, exclude), SQZ_A_STRING, 0, 0, 0, NULL, 0, 0, 0, ""},
    {"label", offsetof(demo, label), SQZ_A_STRING, 0, 0, 0, "none", 0, 0, 0, ""},
    {"pads", offsetof(demo, pads), SQZ_A_INTS, 0, -4, 1000, NULL, 0, 0, 0, ""},
    {"scales", offsetof(demo, scales), SQZ_A_FLOATS, 0, 0, 0, NULL, 0, 0, 0, ""},
};
static const sqz_info info = {"demo", "for tests", sizeof(demo), attrs, SQZ_COUNT(attrs)};
static const sqz_info bare = {"bare", "no options", 0, NULL, 0};

typedef struct fixture {
    sqz_ctx *ctx;
    sqz_arena a;
    demo d;
} fixture;

static int enter(void **state)
{
    static fixture f;
    f = (fixture){.ctx = test_ctx()};
    f.a.ctx = f.ctx;
    sqz_opts_default(&info, &f.d);
    *state = &f;
    return 0;
}

static int leave(void **state)
{
    fixture *f = *state;
    sqz_arena_free(&f->a);
    sqz_ctx_free(f->ctx);
    return 0;
}

static void test_defaults(void **state)
{
    fixture *f = *state;
    assert_int_equal(f->d.bits, 8);
    assert_int_equal(f->d.mode, 1);
    assert_true(f->d.alpha == 0.01);
    assert_null(f->d.exclude);
    assert_string_equal(f->d.label, "none");
    assert_int_equal(f->d.pads.n, 0);
    TEST_OK(f->ctx, sqz_opts_check(f->ctx, &info, &f->d));
    TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, "  \n", &f->d));
    assert_int_equal(f->d.bits, 8);
}

static void test_every_type_is_read(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info,
                                   "bits=4 per_tensor=true mode=edge alpha=2.5e-1\texclude=\"a b, "
                                   "c=\\\"d\\\\\" pads=1,-1,0,3 scales=0.5,2,inf label=",
                                   &f->d));
    assert_int_equal(f->d.bits, 4);
    assert_int_equal(f->d.per_tensor, 1);
    assert_int_equal(f->d.mode, 2);
    assert_true(f->d.alpha == 0.25);
    assert_string_equal(f->d.exclude, "a b, c=\"d\\");
    assert_string_equal(f->d.label, "");
    assert_int_equal(f->d.pads.n, 4);
    assert_int_equal(f->d.pads.v[1], -1);
    assert_int_equal(f->d.pads.v[3], 3);
    assert_int_equal(f->d.scales.n, 3);
    assert_true(f->d.scales.v[0] == 0.5f && isinf(f->d.scales.v[2]));
}

static void test_commas_separate_options_and_items(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, "pads=1,2,bits=3, mode=edge,exclude=x,y,z alpha=1",
                                   &f->d));
    assert_int_equal(f->d.pads.n, 2);
    assert_int_equal(f->d.bits, 3);
    assert_int_equal(f->d.mode, 2);
    assert_string_equal(f->d.exclude, "x,y,z");
    TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, "pads=7:8:9", &f->d));
    assert_int_equal(f->d.pads.n, 3);
    TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, "pads=", &f->d));
    assert_int_equal(f->d.pads.n, 0);
    TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, "exclude=\"q\",bits=5", &f->d));
    assert_int_equal(f->d.bits, 5);
}

static void test_refusals_say_what_is_wrong(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"bit=4", "demo: unknown option 'bit'; did you mean 'bits'?"},
        {"zzzzzz=4", "options are bits, per_tensor"},
        {"bits", "found 'bits' where 'name=value'"},
        {"=4", "found '=4'"},
        {"bits=x", "option 'bits' is 'x'; a whole number"},
        {"bits=", "option 'bits' is ''"},
        {"bits=9", "option 'bits' is 9; allowed is 2 to 8"},
        {"bits=4 bits=5", "option 'bits' is given twice"},
        {"bits=99999999999999999999", "a whole number"},
        {"alpha=1.5", "option 'alpha' is 1.5; allowed is 0 to 1"},
        {"alpha=nan", "option 'alpha' is nan; allowed"},
        {"alpha=0,5", "a number is expected"},
        {"per_tensor=yes", "1, 0, true or false"},
        {"mode=refect", "choices are constant|reflect|edge; did you mean 'reflect'?"},
        {"pads=1,,2", "a list of whole numbers"},
        {"pads=1,2,", "a list of whole numbers"},
        {"pads=1.5", "a list of whole numbers"},
        {"pads=1,-5", "option 'pads' is -5; allowed is -4 to 1000"},
        {"scales=1e39", "a list of numbers"},
        {"scales=nan", "option 'scales' is 'nan'; a list of numbers"},
        {"exclude=\"a", "closing quote is missing"},
        {"exclude=\"a\"b", "text follows the closing quote"},
        {"exclude=a\"b\"", "must begin with them"},
        {"bits=4 , alpha=1,", "a number is expected"},
        {"exclude=\"a\", 7", "found ', 7'"},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        demo d;
        sqz_opts_default(&info, &d);
        TEST_FAILS(f->ctx, sqz_opts_parse(&f->a, &info, bad[i].text, &d), SQZ_E_ARG, bad[i].part);
    }
    TEST_FAILS(f->ctx, sqz_opts_parse(&f->a, &bare, "x=1", NULL), SQZ_E_ARG,
               "there are no options");
    TEST_OK(f->ctx, sqz_opts_parse(&f->a, &bare, "", NULL));
}

static void test_check_finds_values_set_by_code(void **state)
{
    fixture *f = *state;
    f->d.mode = 3;
    TEST_FAILS(f->ctx, sqz_opts_check(f->ctx, &info, &f->d), SQZ_E_ARG, "choice number 3");
    f->d.mode = -1;
    TEST_FAILS(f->ctx, sqz_opts_check(f->ctx, &info, &f->d), SQZ_E_ARG, "choice number -1");
    f->d.mode = 0;
    f->d.per_tensor = 2;
    TEST_FAILS(f->ctx, sqz_opts_check(f->ctx, &info, &f->d), SQZ_E_ARG,
               "demo: option 'per_tensor'");
    f->d.per_tensor = 0;
    f->d.alpha = (double)NAN;
    TEST_FAILS(f->ctx, sqz_opts_check(f->ctx, &info, &f->d), SQZ_E_ARG, "nan");
}

static void test_print_reads_back(void **state)
{
    fixture *f = *state;
    sqz_str s = {.ctx = f->ctx};
    sqz_opts_print(&s, &info, &f->d);
    assert_null(s.data); /* all defaults: nothing to say */
    static const char *const text[] = {
        "bits=4 mode=edge pads=1,1,1,1", "exclude=\"a \\\"b\\\" \\\\\"",   "label=\"\"",
        "alpha=0.1 scales=0.1,1e-20,3",  "per_tensor=1 label=/net/conv_1", "exclude=\"a(b),c=d\""};
    for (size_t i = 0; i < SQZ_COUNT(text); i++) {
        demo d, again;
        sqz_str_free(&s);
        sqz_opts_default(&info, &d);
        sqz_opts_default(&info, &again);
        TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, text[i], &d));
        sqz_opts_print(&s, &info, &d);
        assert_string_equal(s.data, text[i]); /* these are in the form that is printed */
        TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, s.data, &again));
        assert_true(sqz_opts_equal(&info, &d, &again));
    }
    sqz_str_free(&s);
}

/* Random values: print and parse are inverse to each other. */
static void test_random_options_read_back(void **state)
{
    fixture *f = *state;
    sqz_rng r = {.seed = 77};
    for (int round = 0; round < 300; round++) {
        int64_t pads[5];
        float scales[4];
        char text[12];
        demo d, again;
        for (size_t i = 0; i < SQZ_COUNT(pads); i++)
            pads[i] = (int64_t)sqz_rng_below(&r, 1005) - 4;
        for (size_t i = 0; i < SQZ_COUNT(scales); i++)
            scales[i] = (float)(sqz_rng_normal(&r) * 1e3);
        for (size_t i = 0; i + 1 < sizeof text; i++)
            text[i] = (char)(' ' + sqz_rng_below(&r, 95));
        text[sizeof text - 1] = 0;
        d = (demo){.bits = (int64_t)sqz_rng_below(&r, 7) + 2,
                   .per_tensor = (int64_t)sqz_rng_below(&r, 2),
                   .mode = (int64_t)sqz_rng_below(&r, 3),
                   .alpha = sqz_rng_uniform(&r),
                   .exclude = text,
                   .label = "x",
                   .pads = {(uint32_t)sqz_rng_below(&r, 6), pads},
                   .scales = {(uint32_t)sqz_rng_below(&r, 5), scales}};
        sqz_str s = {.ctx = f->ctx};
        sqz_opts_print(&s, &info, &d);
        sqz_opts_default(&info, &again);
        TEST_OK(f->ctx, sqz_opts_parse(&f->a, &info, s.data, &again));
        assert_true(sqz_opts_equal(&info, &d, &again));
        sqz_str_free(&s);
    }
}

static void test_copy_shares_nothing(void **state)
{
    fixture *f = *state;
    int64_t pads[] = {1, 2};
    float scales[] = {3, 4};
    char text[] = "abc";
    void *to = NULL;
    f->d.pads = (sqz_ints){2, pads};
    f->d.scales = (sqz_floats){2, scales};
    f->d.exclude = text;
    TEST_OK(f->ctx, sqz_opts_copy(&f->a, &info, &f->d, &to));
    assert_true(sqz_opts_equal(&info, &f->d, to));
    pads[1] = 9;
    assert_false(sqz_opts_equal(&info, &f->d, to));
    pads[1] = 2;
    scales[0] = 9;
    assert_false(sqz_opts_equal(&info, &f->d, to));
    scales[0] = 3;
    text[0] = 'x';
    assert_false(sqz_opts_equal(&info, &f->d, to));
    TEST_OK(f->ctx, sqz_opts_copy(&f->a, &bare, NULL, &to));
    assert_null(to);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, enter, leave)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_every_type_is_read),
        TEST(test_commas_separate_options_and_items),
        TEST(test_refusals_say_what_is_wrong),
        TEST(test_check_finds_values_set_by_code),
        TEST(test_print_reads_back),
        TEST(test_random_options_read_back),
        TEST(test_copy_shares_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
