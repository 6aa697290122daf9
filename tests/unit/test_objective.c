/* Losses as text: what is read, what is refused, what the graph looks like afterwards. */
#include "loss_case.h"

static sqz_status build(loss_case *c, const char *text, bool labels, int64_t classes)
{
    const sqz_graph *const t = c->teacher;
    return sqz_objective_build(c->student,
                               &(sqz_objective_options){.text = text,
                                                        .teacher = &t,
                                                        .n_teacher = t != NULL,
                                                        .labels = labels,
                                                        .label = {1, {classes}}},
                               &c->o);
}

static void test_parts_add_up_to_the_total(void **state)
{
    (void)state;
    loss_case c = case_begin(1);
    c.student = case_graph(c.ctx, (sqz_shape){2, {4, 3}}, "identity", "y");
    case_losses(&c, "ce(weight=0.5),ce(weight=2 warmup=4)", (sqz_shape){1, {3}});
    case_random(&c, case_data(&c, "x"), c.n, 1);
    case_labels(&c, 4, 3);
    const double total = case_run(&c);
    assert_int_equal(c.o->n_report, 3);
    assert_string_equal(c.o->report[0], "loss");
    assert_string_equal(c.o->report[1], "loss.ce");
    assert_string_equal(c.o->report[2], "loss.ce_2");
    const double a = (double)*sqz_tape_data(c.tape, c.student->output[1]);
    const double b = (double)*sqz_tape_data(c.tape, c.student->output[2]);
    TEST_NEAR(a + b, total, 1e-6);
    TEST_NEAR(a, b, 1e-6); /* one of four epochs: 2 / 4 */
    case_end(&c);
}

static void test_the_student_keeps_its_outputs_behind_the_losses(void **state)
{
    (void)state;
    loss_case c = case_begin(2);
    c.student = case_graph(c.ctx, (sqz_shape){2, {4, 3}}, "softmax", "p");
    const sqz_vid y = c.student->output[0];
    TEST_OK(c.ctx, build(&c, "ce", true, 3));
    assert_int_equal(c.student->n_output, c.o->first_output + 1);
    assert_int_equal(c.student->output[c.o->first_output], y);
    TEST_OK(c.ctx, sqz_graph_verify(c.student));
    case_end(&c);
}

static void test_wrong_texts_are_refused_with_a_sentence(void **state)
{
    (void)state;
    loss_case c = case_begin(3);
    c.student = case_graph(c.ctx, (sqz_shape){2, {4, 3}}, "identity", "y");
    TEST_FAILS(c.ctx, build(&c, "", true, 3), SQZ_E_ARG, "none is given");
    TEST_FAILS(c.ctx, build(&c, "cee", true, 3), SQZ_E_ARG, "did you mean 'ce'");
    TEST_FAILS(c.ctx, build(&c, "ce(weight=-1)", true, 3), SQZ_E_ARG, "weight");
    TEST_FAILS(c.ctx, build(&c, "ce", false, 3), SQZ_E_ARG, "needs labels");
    TEST_FAILS(c.ctx, build(&c, "ce", true, 4), SQZ_E_SHAPE, "labels of shape 4x4");
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_add_up_to_the_total),
        cmocka_unit_test(test_the_student_keeps_its_outputs_behind_the_losses),
        cmocka_unit_test(test_wrong_texts_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
