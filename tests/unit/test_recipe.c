/* Recipes: flags, YAML and text become the same passes, and what is wrong is refused at its place.
 */
#include "quant/recipe.h"
#include "sqz_test.h"

typedef struct fixture {
    sqz_ctx *ctx;
    sqz_arena a;
    sqz_recipe r;
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

static sqz_status yaml(fixture *f, const char *text)
{
    return sqz_recipe_from_yaml(&f->a, "r.yaml", text, strlen(text), &f->r);
}

static const char *text(fixture *f)
{
    const char *t = sqz_recipe_text(&f->a, &f->r);
    assert_non_null(t);
    return t;
}

static void test_nothing_said_is_int8(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, sqz_recipe_default(&f->a, &f->r));
    assert_string_equal(text(f), "calib,ptq");
    assert_string_equal(sqz_recipe_title(&f->a, &f->r), "int8 mse");
}

static void test_yaml_and_text_say_the_same(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, yaml(f, "squeeze_recipe: 1\n"
                            "name: n\n"
                            "doc: d\n"
                            "per_tensor: true\n"
                            "calibrator: percentile(p=99.9)\n"
                            "samples: 64\n"
                            "exclude: [conv1, 'fc.*']\n"
                            "max_drop: 0.5 %\n"));
    const char *made = text(f);
    assert_string_equal(made, "calib(method=\"percentile(p=99.9)\" samples=64),"
                              "ptq(exclude=\"conv1,fc.*\" per_tensor=1)");
    assert_string_equal(f->r.name, "n");
    assert_string_equal(f->r.doc, "d");
    assert_string_equal(f->r.max_drop, "0.5 %");
    TEST_OK(f->ctx, sqz_recipe_from_text(&f->a, made, &f->r));
    assert_string_equal(text(f), made);
    char whole[256];
    (void)snprintf(whole, sizeof whole,
                   "squeeze_recipe: 1\npasses: 'calib(method=percentile(p=99.9) samples=64),"
                   "ptq(exclude=\"conv1,fc.*\" per_tensor=1)'\n");
    TEST_OK(f->ctx, yaml(f, whole));
    assert_string_equal(text(f), made);
}

static void test_a_copy_is_apart(void **state)
{
    fixture *f = *state;
    sqz_recipe copy;
    TEST_OK(f->ctx, sqz_recipe_default(&f->a, &f->r));
    TEST_OK(f->ctx, sqz_recipe_copy(&f->a, &f->r, &copy));
    TEST_OK(f->ctx, sqz_recipe_exclude(&f->a, &copy, "a"));
    TEST_OK(f->ctx, sqz_recipe_exclude(&f->a, &copy, "b"));
    TEST_OK(f->ctx, sqz_recipe_set(&f->a, &copy, "calib", "method", "minmax"));
    assert_string_equal(text(f), "calib,ptq");
    assert_string_equal(sqz_recipe_text(&f->a, &copy), "calib(method=minmax),ptq(exclude=\"a,b\")");
    assert_string_equal(sqz_recipe_ptq_text(&copy, "exclude"), "a,b");
    assert_string_equal(sqz_recipe_ptq_text(&f->r, "exclude"), "");
}

/* Every method of the table goes to the side of ptq that its needs say. */
static void test_methods_stand_where_they_belong(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < sqz_n_passes; i++) {
        const sqz_pass *p = sqz_passes[i];
        TEST_OK(f->ctx, sqz_recipe_default(&f->a, &f->r));
        if (!sqz_pass_is_method(p)) {
            TEST_FAILS(f->ctx, sqz_recipe_methods(&f->a, &f->r, p->info.name), SQZ_E_ARG,
                       "is no method");
            continue;
        }
        TEST_OK(f->ctx, sqz_recipe_methods(&f->a, &f->r, p->info.name));
        bool after = p->needs & SQZ_HAS_QUANT;
        assert_string_equal(after ? f->r.after : f->r.before, p->info.name);
        assert_string_equal(after ? f->r.before : f->r.after, "");
    }
}

static void test_every_recipe_that_ships_can_be_read(void **state)
{
    fixture *f = *state;
    assert_true(sqz_n_recipes >= 1);
    for (size_t i = 0; i < sqz_n_recipes; i++) {
        TEST_OK(f->ctx, sqz_recipe_load(&f->a, sqz_recipe_names[i], &f->r));
        assert_string_equal(f->r.name, sqz_recipe_names[i]);
        assert_non_null(f->r.doc);
        const char *made = text(f);
        TEST_OK(f->ctx, sqz_recipe_from_text(&f->a, made, &f->r));
        assert_string_equal(text(f), made);
    }
}

static void test_wrong_files_are_refused_at_their_place(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"weights: 8\n", "'squeeze_recipe: 1' is missing"},
        {"squeeze_recipe: 2\n", "r.yaml:1:17"},
        {"squeeze_recipe: 1\nweight: 4\n", "weights"},
        {"squeeze_recipe: 1\nweights: 5\n", "r.yaml:2:10: weights of '5' bits; 8, 4, 3, 2"},
        {"squeeze_recipe: 1\nactivations: 3\n", "r.yaml:2:14"},
        {"squeeze_recipe: 1\nsamples: many\n", "r.yaml:2:10: calib: option 'samples' is 'many'"},
        {"squeeze_recipe: 1\nper_tensor: maybe\n", "r.yaml:2:13: ptq: option 'per_tensor'"},
        {"squeeze_recipe: 1\nweights: 8\nweights: 8\n", "r.yaml:3:"},
        {"squeeze_recipe: 1\nmethods: [layout]\n", "r.yaml:2:11: 'layout' is no method"},
        {"squeeze_recipe: 1\nmethods: [clee]\n", "no pass is called 'clee'"},
        {"squeeze_recipe: 1\nmethods:\n  - cle: 3\n", "r.yaml:3:5: a method is a name"},
        {"squeeze_recipe: 1\nmax_drop: 3\n", "r.yaml:2:11"},
        {"squeeze_recipe: 1\nbits: [a]\n", "r.yaml:2:7: 'bits' must be a map"},
        {"squeeze_recipe: 1\nbits: {a: 9}\n", "r.yaml:2:11"},
        {"squeeze_recipe: 1\nexclude: {a: b}\n", "must be a list of names"},
        {"squeeze_recipe: 1\npasses: calib\n", "r.yaml:2:9: recipe: no pass makes integers"},
        {"squeeze_recipe: 1\npasses: calib,ptq\nweights: 8\n", "'weights' has no place beside"},
        {"squeeze_recipe: 1\npasses: 'ptq,calib'\n", "after 'ptq'"},
        {"- a\n", "a recipe is a map"},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        sqz_status s = yaml(f, bad[i].text);
        if (s == SQZ_OK || !strstr(sqz_last_error(f->ctx), bad[i].part))
            fail_msg("case %zu: status %d, '%s', expected '%s'", i, (int)s, sqz_last_error(f->ctx),
                     bad[i].part);
    }
}

static void test_names_are_looked_up(void **state)
{
    fixture *f = *state;
    TEST_FAILS(f->ctx, sqz_recipe_load(&f->a, "inn8", &f->r), SQZ_E_NOTFOUND,
               "did you mean 'int8'");
    TEST_FAILS(f->ctx, sqz_recipe_load(&f->a, "no/such.yaml", &f->r), SQZ_E_NOTFOUND, "no/such");
    TEST_OK(f->ctx, sqz_recipe_load(&f->a, "calib(method=minmax),ptq", &f->r));
    assert_string_equal(text(f), "calib(method=minmax),ptq");
    TEST_OK(f->ctx, sqz_recipe_load(&f->a, "ptq", &f->r));
    assert_null(f->r.calib);
    TEST_FAILS(f->ctx, sqz_recipe_load(&f->a, "ptq,ptq", &f->r), SQZ_E_ARG, "a second 'ptq'");
}

static void test_bits_that_nobody_has_are_refused(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, sqz_recipe_default(&f->a, &f->r));
    TEST_FAILS(f->ctx, sqz_recipe_weights(&f->a, &f->r, "6"), SQZ_E_ARG, "'6' bits");
    TEST_FAILS(f->ctx, sqz_recipe_activations(&f->a, &f->r, "int7"), SQZ_E_ARG, "'7' bits");
    TEST_OK(f->ctx, sqz_recipe_weights(&f->a, &f->r, "int8"));
    assert_false(f->r.automatic);
    TEST_OK(f->ctx, sqz_recipe_weights(&f->a, &f->r, "auto"));
    assert_true(f->r.automatic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_said_is_int8, enter, leave),
        cmocka_unit_test_setup_teardown(test_yaml_and_text_say_the_same, enter, leave),
        cmocka_unit_test_setup_teardown(test_a_copy_is_apart, enter, leave),
        cmocka_unit_test_setup_teardown(test_methods_stand_where_they_belong, enter, leave),
        cmocka_unit_test_setup_teardown(test_every_recipe_that_ships_can_be_read, enter, leave),
        cmocka_unit_test_setup_teardown(test_wrong_files_are_refused_at_their_place, enter, leave),
        cmocka_unit_test_setup_teardown(test_names_are_looked_up, enter, leave),
        cmocka_unit_test_setup_teardown(test_bits_that_nobody_has_are_refused, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
