/* The float graph that refinements compare with: made when it is wanted, one at a time, and asked
 * for by name. */
#include "ir/pass.h"
#include "net.h"

static net small(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid y = net_conv(&n, "c", x, 4, 3);
    net_finish(&n, 1, &y);
    return n;
}

static void test_without_ptq_it_is_refused(void **state)
{
    (void)state;
    net n = small(1);
    sqz_env env = {0};
    const sqz_graph *g;
    TEST_FAILS(n.ctx, sqz_reference(n.g, &env, "gptq", &g), SQZ_E_ARG, "pass 'gptq' compares");
    assert_null(g);
    net_end(&n);
}

static void test_it_is_a_copy_with_the_same_ids(void **state)
{
    (void)state;
    net n = small(2);
    sqz_env env = {.refined = true};
    const sqz_graph *g;
    TEST_OK(n.ctx, sqz_keep_reference(n.g, &env));
    TEST_OK(n.ctx, sqz_keep_reference(n.g, &env)); /* takes the place of the first */
    TEST_OK(n.ctx, sqz_reference(n.g, &env, "gptq", &g));
    assert_ptr_not_equal(g, n.g);
    assert_int_equal(sqz_graph_find(g, "c"), sqz_graph_find(n.g, "c"));
    assert_true(env.made_reference);
    sqz_graph_free(env.reference);
    net_end(&n);
}

static void test_nobody_pays_for_it_unasked(void **state)
{
    (void)state;
    net n = small(3);
    sqz_env env = {0};
    TEST_OK(n.ctx, sqz_keep_reference(n.g, &env));
    assert_null(env.reference);
    net_end(&n);
}

static void test_the_runner_leaves_that_of_the_caller_alone(void **state)
{
    (void)state;
    net n = small(4);
    sqz_dataset calib = net_data(&n, 10);
    sqz_graph *own;
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &own));
    sqz_env env = {.calib = &calib, .reference = own};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq,dce", &env));
    assert_ptr_equal(env.reference, own);
    assert_int_equal(sqz_val(own, sqz_graph_find(own, "c"))->dtype, SQZ_F32);
    sqz_graph_free(own);
    net_data_free(&calib);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_ptq_it_is_refused),
        cmocka_unit_test(test_it_is_a_copy_with_the_same_ids),
        cmocka_unit_test(test_nobody_pays_for_it_unasked),
        cmocka_unit_test(test_the_runner_leaves_that_of_the_caller_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
