/* Strict YAML: what is read, and every refusal with its line and column. */
#include "base/yaml.h"
#include "sqz_test.h"
#include <unistd.h>

typedef struct fixture {
    sqz_ctx *ctx;
    sqz_arena a;
    sqz_yaml_doc d;
} fixture;

static int enter(void **state)
{
    static fixture f;
    f = (fixture){.ctx = test_ctx()};
    f.a.ctx = f.ctx;
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

static sqz_status parse(fixture *f, const char *text)
{
    return sqz_yaml_parse(&f->a, "t.yaml", text, strlen(text), &f->d);
}

static const sqz_yaml *get(fixture *f, const char *key) { return sqz_yaml_get(f->d.root, key); }

static void test_tree_and_places(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, parse(f, "# comment\n"
                             "name: a b\n"
                             "flow: {x: 1, 'y': [2, \"3\"]}\n"
                             "list:\n"
                             "  - p\n"
                             "  - {q: r}\n"
                             "long: |\n"
                             "  two\n"
                             "  lines\n"));
    const sqz_yaml *root = f->d.root, *flow = get(f, "flow"), *list = get(f, "list");
    assert_int_equal(root->kind, SQZ_YAML_MAP);
    assert_string_equal(get(f, "name")->text, "a b");
    assert_int_equal(get(f, "name")->line, 2);
    assert_int_equal(get(f, "name")->column, 7);
    assert_int_equal(get(f, "name")->key_column, 1);
    assert_ptr_equal(get(f, "name")->parent, root);
    const sqz_yaml *y = sqz_yaml_get(flow, "y");
    assert_int_equal(y->kind, SQZ_YAML_LIST);
    assert_null(y->child->key);
    assert_false(y->child->quoted);
    assert_true(y->child->next->quoted);
    assert_null(y->child->next->next);
    assert_string_equal(sqz_yaml_get(list->child->next, "q")->text, "r");
    assert_int_equal(sqz_yaml_get(list->child->next, "q")->line, 6);
    assert_string_equal(get(f, "long")->text, "two\nlines\n");
    assert_null(get(f, "none"));
    assert_null(sqz_yaml_get(NULL, "x"));
    assert_null(sqz_yaml_get(list, "x"));
}

static void test_refusals_name_the_place(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"", "t.yaml:1:1: the file is empty"},
        {"# only a comment\n", "the file is empty"},
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: key 'a' is here twice; the first is in line 1"},
        {"x: {a: 1, a: 2}", "t.yaml:1:11: key 'a' is here twice"},
        {"a: &x 1\n", "t.yaml:1:4: anchor '&x'"},
        {"a: &x [1]\n", "t.yaml:1:4: anchor '&x'"},
        {"a:\n  b: *x\n", "t.yaml:2:6: alias '*x'"},
        {"a: !!int 1\n", "t.yaml:1:4: tag"},
        {"a: !mine {b: 1}\n", "t.yaml:1:4: tag '!mine'"},
        {"a: ! 1\n", "tag '!'"},
        {"%TAG ! tag:x,2000:\n---\na: 1\n", "TAG directives"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document"},
        {"? [a, b]\n: 1\n", "t.yaml:1:3: a key must be plain text"},
        {"{a: 1}: 2\n", "a key must be plain text"},
        {"'': 1\n", "t.yaml:1:1: a key is empty"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4: text holds a 0 byte"},
        {"a: [1, 2\n", "t.yaml:2:1: "},
        {"a: 'open\n", "t.yaml:"},
        {"\tb: 1\n", "t.yaml:1:1: "},
        {"a: 1\n b: 2\n", "t.yaml:2:"},
        {"a: \xff\n", "t.yaml:"},
        {"a: \x01\n", "t.yaml:"},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        TEST_FAILS(f->ctx, parse(f, bad[i].text), SQZ_E_FORMAT, bad[i].part);
        assert_null(f->d.root);
    }
    TEST_FAILS(f->ctx, sqz_yaml_parse(&f->a, "t.yaml", "a: \0", 4, &f->d), SQZ_E_FORMAT, "t.yaml:");
}

static void test_size_and_depth_are_bounded(void **state)
{
    fixture *f = *state;
    size_t n = ((size_t)1 << 20) + 1;
    char *big = malloc(n);
    assert_non_null(big);
    memset(big, ' ', n);
    memcpy(big, "a: 1\n", 5);
    TEST_FAILS(f->ctx, sqz_yaml_parse(&f->a, "t.yaml", big, n, &f->d), SQZ_E_LIMIT, "1 MiB");
    TEST_OK(f->ctx, sqz_yaml_parse(&f->a, "t.yaml", big, n - 1, &f->d));
    memset(big, '[', 64);
    memset(big + 64, ']', 64);
    TEST_OK(f->ctx, sqz_yaml_parse(&f->a, "t.yaml", big, 128, &f->d));
    memset(big, '[', n - 1); /* a million deep */
    TEST_FAILS(f->ctx, sqz_yaml_parse(&f->a, "t.yaml", big, n - 1, &f->d), SQZ_E_FORMAT,
               "t.yaml:1:65: more than 64 levels");
    size_t at = 0;
    for (int i = 0; i < 4097; i++)
        at += (size_t)snprintf(big + at, n - at, "k%d: 1\n", i);
    TEST_FAILS(f->ctx, sqz_yaml_parse(&f->a, "t.yaml", big, at, &f->d), SQZ_E_FORMAT,
               "t.yaml:4097:1: more than 4096 keys");
    free(big);
}

/* Every prefix and every single changed byte of a good file: an answer, never a crash. */
static void test_damaged_files_never_crash(void **state)
{
    fixture *f = *state;
    static const char good[] = "a: {b: [1, 2 KiB], \"c\": 'd'}\ne:\n  - f: 10 %\n  - |\n    g\n";
    char text[sizeof good];
    for (size_t n = 0; n < sizeof good; n++)
        (void)sqz_yaml_parse(&f->a, "t.yaml", good, n, &f->d);
    for (size_t at = 0; at + 1 < sizeof good; at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(text, good, sizeof good);
            text[at] = (char)(text[at] ^ 1 << bit);
            sqz_status s = sqz_yaml_parse(&f->a, "t.yaml", text, sizeof good - 1, &f->d);
            if (s != SQZ_OK)
                assert_non_null(strstr(sqz_last_error(f->ctx), "t.yaml:"));
        }
}

static void test_unknown_keys_are_answered_with_the_nearest(void **state)
{
    fixture *f = *state;
    static const char *const known[] = {"name", "clock", "memory"};
    TEST_OK(f->ctx, parse(f, "name: x\nmemroy: 1\n"));
    TEST_FAILS(f->ctx, sqz_yaml_known(&f->d, f->d.root, known, 3), SQZ_E_FORMAT,
               "t.yaml:2:1: unknown key 'memroy'; did you mean 'memory'?");
    TEST_OK(f->ctx, parse(f, "a:\n  zzzzzzz: 1\n"));
    TEST_FAILS(f->ctx, sqz_yaml_known(&f->d, get(f, "a"), known, 3), SQZ_E_FORMAT,
               "t.yaml:2:3: unknown key 'zzzzzzz'; keys are name, clock, memory");
    TEST_OK(f->ctx, parse(f, "a: [1]\nmemory: 2\nclock: 1\n"));
    TEST_FAILS(f->ctx, sqz_yaml_known(&f->d, get(f, "a"), known, 3), SQZ_E_FORMAT,
               "t.yaml:1:4: found a list where a map");
    TEST_OK(f->ctx, parse(f, "memory: 2\nclock: 1\n"));
    TEST_OK(f->ctx, sqz_yaml_known(&f->d, f->d.root, known, 3));
}

static void test_typed_values(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, parse(f, "s: some text\nt: true\nf: false\ni: -12\nd: 2.5e-1\nq: \"null\"\n"));
    const char *s = NULL;
    bool t = false, no = true;
    int64_t i = 0;
    double d = 0;
    TEST_OK(f->ctx, sqz_yaml_str(&f->d, get(f, "s"), &s));
    assert_string_equal(s, "some text");
    TEST_OK(f->ctx, sqz_yaml_str(&f->d, get(f, "q"), &s));
    assert_string_equal(s, "null");
    TEST_OK(f->ctx, sqz_yaml_bool(&f->d, get(f, "t"), &t));
    TEST_OK(f->ctx, sqz_yaml_bool(&f->d, get(f, "f"), &no));
    assert_true(t && !no);
    TEST_OK(f->ctx, sqz_yaml_int(&f->d, get(f, "i"), -20, 20, &i));
    assert_int_equal(i, -12);
    TEST_OK(f->ctx, sqz_yaml_f64(&f->d, get(f, "d"), 0, 1, &d));
    assert_true(d == 0.25);
    TEST_OK(f->ctx, sqz_yaml_int(&f->d, NULL, 0, 1, &i)); /* absent: as it was */
    TEST_OK(f->ctx, sqz_yaml_f64(&f->d, NULL, 0, 1, &d));
    TEST_OK(f->ctx, sqz_yaml_quantity(&f->d, NULL, SQZ_DIM_BYTES, &d));
    assert_int_equal(i, -12);
    assert_true(d == 0.25);
}

static void test_wrong_values_name_the_place(void **state)
{
    fixture *f = *state;
    const char *s = NULL;
    bool b;
    int64_t i;
    double d;
    TEST_OK(f->ctx, parse(f, "a: yes\nb: '1'\nc: 1.5\nd:\ne: [1]\nf: 0x10\ng: .inf\nh: 1,5\n"
                             "i: ~\nj: 99999999999999999999\nk: {x: 1}\nl: 7\n"));
    TEST_FAILS(f->ctx, sqz_yaml_bool(&f->d, get(f, "a"), &b), SQZ_E_FORMAT,
               "t.yaml:1:4: 'a' is yes; true or false is expected");
    TEST_FAILS(f->ctx, sqz_yaml_int(&f->d, get(f, "b"), 0, 9, &i), SQZ_E_FORMAT,
               "t.yaml:2:4: 'b' is the text \"1\"; a whole number");
    TEST_FAILS(f->ctx, sqz_yaml_int(&f->d, get(f, "c"), 0, 9, &i), SQZ_E_FORMAT, "'c' is 1.5");
    TEST_FAILS(f->ctx, sqz_yaml_str(&f->d, get(f, "d"), &s), SQZ_E_FORMAT, "'d' has no value");
    TEST_FAILS(f->ctx, sqz_yaml_str(&f->d, get(f, "e"), &s), SQZ_E_FORMAT, "'e' is a list; text");
    TEST_FAILS(f->ctx, sqz_yaml_int(&f->d, get(f, "f"), 0, 99, &i), SQZ_E_FORMAT, "'f' is 0x10");
    TEST_FAILS(f->ctx, sqz_yaml_f64(&f->d, get(f, "g"), 0, 9, &d), SQZ_E_FORMAT, "'g' is .inf");
    TEST_FAILS(f->ctx, sqz_yaml_f64(&f->d, get(f, "h"), 0, 9, &d), SQZ_E_FORMAT, "'h' is 1,5");
    TEST_FAILS(f->ctx, sqz_yaml_f64(&f->d, get(f, "i"), 0, 9, &d), SQZ_E_FORMAT,
               "'i' has no value");
    TEST_FAILS(f->ctx, sqz_yaml_int(&f->d, get(f, "j"), 0, 9, &i), SQZ_E_FORMAT, "t.yaml:10:4");
    TEST_FAILS(f->ctx, sqz_yaml_bool(&f->d, get(f, "k"), &b), SQZ_E_FORMAT, "'k' is a map");
    TEST_FAILS(f->ctx, sqz_yaml_int(&f->d, get(f, "l"), 0, 6, &i), SQZ_E_FORMAT,
               "t.yaml:12:4: 'l' is 7; allowed is 0 to 6");
    TEST_FAILS(f->ctx, sqz_yaml_f64(&f->d, get(f, "l"), 0, 6.5, &d), SQZ_E_FORMAT,
               "'l' is 7; allowed is 0 to 6.5");
}

static void test_quantities_in_base_units(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text;
        sqz_dim dim;
        double want;
    } q[] = {{"64 KiB", SQZ_DIM_BYTES, 65536},    {"64KiB", SQZ_DIM_BYTES, 65536},
             {"1.5 MiB", SQZ_DIM_BYTES, 1572864}, {"2 kB", SQZ_DIM_BYTES, 2000},
             {"3 MB", SQZ_DIM_BYTES, 3e6},        {"0 B", SQZ_DIM_BYTES, 0},
             {"216 MHz", SQZ_DIM_HZ, 216e6},      {"1.8 GHz", SQZ_DIM_HZ, 1.8e9},
             {"40 ms", SQZ_DIM_SECONDS, 0.04},    {"20 min", SQZ_DIM_SECONDS, 1200},
             {"9 mJ", SQZ_DIM_JOULES, 0.009},     {"30 Wh", SQZ_DIM_JOULES, 108000},
             {"80 uW", SQZ_DIM_WATTS, 80e-6},     {"10 %", SQZ_DIM_PERCENT, 0.1},
             {"95 %", SQZ_DIM_PERCENT, 0.95},     {"0.5 pp", SQZ_DIM_POINTS, 0.005},
             {"0.50 USD", SQZ_DIM_MONEY, 0.5},    {"0.12 EUR/h", SQZ_DIM_MONEY_PER_HOUR, 0.12}};
    for (size_t i = 0; i < SQZ_COUNT(q); i++) {
        double v = -1;
        TEST_OK(f->ctx, sqz_quantity(f->ctx, "--x", q[i].text, q[i].dim, &v));
        assert_true(v == q[i].want);
    }
}

static void test_quantities_refused(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text;
        sqz_dim dim;
        const char *part;
    } q[] = {
        {"64 KB", SQZ_DIM_BYTES, "KiB or kB?"},
        {"64 kb", SQZ_DIM_BYTES, "KiB or kB?"},
        {"64", SQZ_DIM_BYTES, "the unit is missing; the unit must be one of B, kB"},
        {"64 Mib", SQZ_DIM_BYTES, "not known here; the unit must be one of B, kB, MB, GB, KiB"},
        {"64 ms", SQZ_DIM_BYTES, "must be one of B"},
        {"5 %", SQZ_DIM_POINTS, "must be one of pp"},
        {"5 pp", SQZ_DIM_PERCENT, "must be one of %"},
        {"1 Mhz", SQZ_DIM_HZ, "must be one of Hz"},
        {"ms", SQZ_DIM_SECONDS, "a number with a unit"},
        {"-1 s", SQZ_DIM_SECONDS, "not negative"},
        {"inf s", SQZ_DIM_SECONDS, "finite"},
        {"nan s", SQZ_DIM_SECONDS, "finite"},
        {"1e308 GB", SQZ_DIM_BYTES, "finite"},
        {"1 s s", SQZ_DIM_SECONDS, "must be one of s, ms"},
        {"1 usd", SQZ_DIM_MONEY, "a currency such as USD"},
        {"1 USD", SQZ_DIM_MONEY_PER_HOUR, "USD/h"},
        {"", SQZ_DIM_WATTS, "a number with a unit"}};
    for (size_t i = 0; i < SQZ_COUNT(q); i++) {
        double v = -1;
        TEST_FAILS(f->ctx, sqz_quantity(f->ctx, "--x", q[i].text, q[i].dim, &v), SQZ_E_ARG,
                   q[i].part);
        assert_true(v == -1);
    }
    double v;
    TEST_OK(f->ctx, parse(f, "a:\n  size: 64 KB\n  list: [1 B]\n"));
    TEST_FAILS(f->ctx,
               sqz_yaml_quantity(&f->d, sqz_yaml_get(get(f, "a"), "size"), SQZ_DIM_BYTES, &v),
               SQZ_E_FORMAT, "t.yaml:2:9: 'size' is '64 KB': KiB or kB?");
    TEST_FAILS(f->ctx,
               sqz_yaml_quantity(&f->d, sqz_yaml_get(get(f, "a"), "list"), SQZ_DIM_BYTES, &v),
               SQZ_E_FORMAT, "t.yaml:3:9: 'list' is a list");
}

static void test_files_are_loaded_and_missing_ones_named(void **state)
{
    fixture *f = *state;
    char path[] = "/tmp/sqz-yaml-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    TEST_OK(f->ctx, sqz_file_write(f->ctx, path, "a: [\n", 5));
    TEST_FAILS(f->ctx, sqz_yaml_load(&f->a, path, &f->d), SQZ_E_FORMAT, path);
    TEST_OK(f->ctx, sqz_file_write(f->ctx, path, "a: 1\n", 5));
    TEST_OK(f->ctx, sqz_yaml_load(&f->a, path, &f->d));
    assert_string_equal(get(f, "a")->text, "1");
    assert_int_equal(remove(path), 0);
    TEST_FAILS(f->ctx, sqz_yaml_load(&f->a, path, &f->d), SQZ_E_NOTFOUND, path);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, enter, leave)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tree_and_places),
        TEST(test_refusals_name_the_place),
        TEST(test_size_and_depth_are_bounded),
        TEST(test_damaged_files_never_crash),
        TEST(test_unknown_keys_are_answered_with_the_nearest),
        TEST(test_typed_values),
        TEST(test_wrong_values_name_the_place),
        TEST(test_quantities_in_base_units),
        TEST(test_quantities_refused),
        TEST(test_files_are_loaded_and_missing_ones_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
