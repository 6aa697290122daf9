/* Warnings about data: said when there is cause, and only then. */
#include "api/work.h"
#include "net.h"

/* conv, batch norm that knows what standard normal inputs give (statistics are measured here, by a
 * run of the convolution), relu, conv. */
static net make(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid a = net_conv(&n, "a", x, 6, 3);
    sqz_vid v[5] = {a};
    static const char *const name[] = {"", "s", "t", "m", "v"};
    for (int i = 1; i < 5; i++)
        v[i] = net_const(&n, name[i], (sqz_shape){1, {6}}, 0);
    const float *w = net_numbers(&n, "a.w"), *b = net_numbers(&n, "a.b");
    for (int c = 0; c < 6; c++) { /* of a sum of independent numbers */
        double square = 0;
        for (int k = 0; k < 27; k++)
            square += (double)w[27 * c + k] * (double)w[27 * c + k];
        net_numbers(&n, "m")[c] = b[c];
        net_numbers(&n, "v")[c] = (float)square;
        net_numbers(&n, "s")[c] = 1;
        net_numbers(&n, "t")[c] = 0.5f;
    }
    sqz_vid y = net_conv(&n, "b", net_node(&n, "batch_norm", "bn", "", 5, v), 4, 1);
    TEST_OK(n.ctx, sqz_graph_set_outputs(n.g, &y, 1));
    TEST_OK(n.ctx, sqz_run_recipe(n.g, SQZ_CANONICAL, NULL));
    return n;
}

static void scale(sqz_dataset *ds, double factor, double add)
{
    float *x = ds->impl;
    for (int64_t i = 0; i < ds->n * 3 * 64; i++)
        x[i] = (float)(factor * (double)x[i] + add);
}

/* What is noted when calibrating on `calib` and judging on `judge`; to be freed. */
static char *notes(net *n, sqz_dataset *calib, sqz_dataset *judge)
{
    sqz_work w = {.ctx = n->ctx,
                  .graph = n->g,
                  .calib = calib,
                  .judge = judge,
                  .arena = {.ctx = n->ctx},
                  .notes = {.ctx = n->ctx}};
    TEST_OK(n->ctx, sqz_warn_of_data(&w));
    char *text = strdup(w.notes.len ? w.notes.data : "");
    sqz_work_forget(&w);
    sqz_arena_free(&w.arena);
    sqz_str_free(&w.notes);
    return text;
}

static void check(double calib_factor, double calib_add, double judge_factor, const char *part)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        net n = make(seed);
        sqz_dataset c = net_data(&n, 128), j = net_data(&n, 64);
        j.path = "judge";
        scale(&c, calib_factor, calib_add);
        scale(&j, judge_factor, 0);
        char *said = notes(&n, &c, &j);
        if (part ? !strstr(said, part) : *said)
            fail_msg("said '%s', expected '%s'", said, part ? part : "nothing");
        free(said);
        net_data_free(&c);
        net_data_free(&j);
        net_end(&n);
    }
}

static void test_good_data_is_not_remarked_upon(void **state)
{
    (void)state;
    check(1, 0, 1, NULL);
}

static void test_judged_data_beyond_the_calibrated_is_told(void **state)
{
    (void)state;
    check(1, 0, 8, "goes beyond the calibration data");
}

static void test_wrong_preprocessing_is_told_by_batch_norms(void **state)
{
    (void)state;
    check(255, 0, 255, "is the preprocessing right");
    check(0.1, 0, 0.1, "is the preprocessing right");
    check(1, 40, 1, "is the preprocessing right");
}

/* Every other sample is ten times as large: what the halves are. */
static void test_halves_that_differ_are_told(void **state)
{
    (void)state;
    net n = make(4);
    sqz_dataset c = net_data(&n, 64);
    float *x = c.impl;
    for (int64_t i = 0; i < c.n; i += 2)
        for (int k = 0; k < 3 * 64; k++)
            x[i * 3 * 64 + k] *= 3;
    char *said = notes(&n, &c, NULL);
    assert_non_null(strstr(said, "two halves of the calibration data"));
    free(said);
    net_data_free(&c);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_data_is_not_remarked_upon),
        cmocka_unit_test(test_judged_data_beyond_the_calibrated_is_told),
        cmocka_unit_test(test_wrong_preprocessing_is_told_by_batch_norms),
        cmocka_unit_test(test_halves_that_differ_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
