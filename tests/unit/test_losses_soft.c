/* Losses on the teacher's outputs: values and gradients against formulas in double. */
#include "loss_case.h"

enum { N = 6, C = 5 };

static void softmax(const double *z, size_t n, double temperature, double *p)
{
    double sum = 0, most = -INFINITY;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, z[i] / temperature);
    for (size_t i = 0; i < n; i++)
        sum += p[i] = exp(z[i] / temperature - most);
    for (size_t i = 0; i < n; i++)
        p[i] /= sum;
}

static double kl(const double *p, const double *q, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i] * log(p[i] / q[i]);
    return sum;
}

/* T = 3 */
static double hinton(const loss_case *c, const double *x)
{
    double sum = 0, z[C], p[C], q[C];
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < C; k++)
            z[k] = (double)case_data(c, "teacher.z")[i * C + k];
        softmax(z, C, 3, p);
        softmax(x + i * C, C, 3, q);
        sum += kl(p, q, C);
    }
    return 9 * sum / N;
}

/* T = 2, of sample i: the labeled class against the rest, and the rest among themselves; the
 * teacher's 1 - p as well. */
static void decouple(const loss_case *c, const double *x, size_t i, double *target, double *others,
                     double *rest)
{
    double z[2][C], p[2][C], b[2][2], q[2][C - 1];
    size_t label = 0;
    for (size_t k = 0; k < C; k++) {
        z[0][k] = (double)case_data(c, "teacher.z")[i * C + k];
        z[1][k] = x[i * C + k];
        label = case_data(c, "label")[i * C + k] > 0.5f ? k : label;
    }
    for (int m = 0; m < 2; m++) {
        double left[C - 1];
        softmax(z[m], C, 2, p[m]);
        b[m][0] = p[m][label];
        b[m][1] = 1 - p[m][label];
        for (size_t k = 0, n = 0; k < C; k++)
            if (k != label)
                left[n++] = z[m][k];
        softmax(left, C - 1, 2, q[m]);
    }
    *target = kl(b[0], b[1], 2);
    *others = kl(q[0], q[1], C - 1);
    *rest = b[0][1];
}

/* alpha 1.5, beta 6 */
static double decoupled(const loss_case *c, const double *x)
{
    double sum = 0, target, others, rest;
    for (size_t i = 0; i < N; i++) {
        decouple(c, x, i, &target, &others, &rest);
        sum += 1.5 * target + 6 * others;
    }
    return 4 * sum / N;
}

/* 0.3 ce + 0.7 kd */
static double both(const loss_case *c, const double *x)
{
    double sum = 0, p[C];
    for (size_t i = 0; i < N; i++) {
        softmax(x + i * C, C, 1, p);
        for (size_t k = 0; k < C; k++)
            sum -= (double)case_data(c, "label")[i * C + k] * log(p[k]) / N;
    }
    return 0.3 * sum + 0.7 * hinton(c, x);
}

static double squares(const loss_case *c, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < N * C; i++)
        sum += pow(x[i] - (double)case_data(c, "teacher.z")[i], 2);
    return sum / (N * C);
}

static loss_case begin(const char *text)
{
    loss_case c = case_begin(21);
    c.student = case_graph(c.ctx, (sqz_shape){2, {N, C}}, "identity", "y");
    c.teacher = case_graph(c.ctx, (sqz_shape){2, {3, C}}, "identity", "z"); /* of another batch */
    case_losses(&c, text, (sqz_shape){1, {C}});
    case_random(&c, case_data(&c, "x"), c.n, 3);
    case_random(&c, case_data(&c, "teacher.z"), c.n, 3);
    return c;
}

static void compare(const char *text, case_formula formula)
{
    loss_case c = begin(text);
    if (c.o->label != SQZ_NONE)
        case_labels(&c, N, C);
    case_compare(&c, formula, 2e-5);
    case_end(&c);
}

static void test_kd_is_the_divergence_of_softened_outputs(void **state)
{
    (void)state;
    compare("kd(temperature=3)", hinton);
}

static void test_losses_add_up_in_value_and_gradient(void **state)
{
    (void)state;
    compare("ce(weight=0.3),kd(temperature=3 weight=0.7)", both);
}

static void test_dkd_is_its_formula(void **state)
{
    (void)state;
    compare("dkd(temperature=2 alpha=1.5 beta=6)", decoupled);
}

static void test_squares_can_be_taken_to_the_teacher(void **state)
{
    (void)state;
    compare("mse(to=teacher)", squares);
}

/* One sample at a time, with beta = 1 - p of its label, dkd is kd. */
static void test_dkd_with_the_teachers_doubt_as_beta_is_kd(void **state)
{
    (void)state;
    for (size_t i = 0; i < N; i++) {
        loss_case c = begin("kd(temperature=2),dkd(temperature=2)");
        double x[N * C], target, others, rest;
        char text[128];
        case_labels(&c, N, C);
        for (size_t k = 0; k < N * C; k++) /* every row the same */
            case_data(&c, "x")[k] = case_data(&c, "x")[i * C + k % C],
                          case_data(&c, "teacher.z")[k] = case_data(&c, "teacher.z")[i * C + k % C],
                          case_data(&c, "label")[k] = case_data(&c, "label")[i * C + k % C];
        for (size_t k = 0; k < N * C; k++)
            x[k] = (double)case_data(&c, "x")[k];
        decouple(&c, x, 0, &target, &others, &rest);
        (void)snprintf(text, sizeof text, "kd(temperature=2),dkd(temperature=2 beta=%.17g)", rest);
        loss_case d = begin(text);
        for (size_t k = 0; k < N * C; k++)
            case_data(&d, "x")[k] = case_data(&c, "x")[k],
                          case_data(&d, "teacher.z")[k] = case_data(&c, "teacher.z")[k],
                          case_data(&d, "label")[k] = case_data(&c, "label")[k];
        (void)case_run(&d);
        const double kd = (double)*sqz_tape_data(d.tape, d.student->output[1]);
        const double dkd = (double)*sqz_tape_data(d.tape, d.student->output[2]);
        TEST_NEAR(dkd, kd, 1e-5 * (kd + 1));
        case_end(&c);
        case_end(&d);
    }
}

static void test_losses_vanish_where_student_and_teacher_agree(void **state)
{
    (void)state;
    static const char *const text[] = {"kd", "dkd", "mse(to=teacher)", "huber(to=teacher)"};
    for (size_t t = 0; t < SQZ_COUNT(text); t++) {
        loss_case c = begin(text[t]);
        if (c.o->label != SQZ_NONE)
            case_labels(&c, N, C);
        memcpy(case_data(&c, "x"), case_data(&c, "teacher.z"), c.n * sizeof(float));
        TEST_NEAR(case_run(&c), 0, 1e-6);
        for (size_t i = 0; i < c.n; i++)
            TEST_NEAR((double)sqz_tape_grad(c.tape, c.x)[i], 0, 1e-5);
        case_end(&c);
    }
}

/* p of the label is 1 - e^-40: log(1 - p) must not be log(0). */
static void test_dkd_of_confident_networks_is_finite(void **state)
{
    (void)state;
    loss_case c = begin("dkd(temperature=1)");
    case_labels(&c, N, C);
    for (size_t i = 0; i < c.n; i++) {
        case_data(&c, "x")[i] = 60 * case_data(&c, "label")[i];
        case_data(&c, "teacher.z")[i] = 40 * case_data(&c, "label")[i];
    }
    assert_true(isfinite(case_run(&c)));
    for (size_t i = 0; i < c.n; i++)
        assert_true(isfinite(sqz_tape_grad(c.tape, c.x)[i]));
    case_end(&c);
}

static void test_other_classes_are_refused(void **state)
{
    (void)state;
    loss_case c = case_begin(4);
    c.student = case_graph(c.ctx, (sqz_shape){2, {N, C}}, "identity", "y");
    c.teacher = case_graph(c.ctx, (sqz_shape){2, {N, C + 1}}, "identity", "z");
    const sqz_graph *const t = c.teacher;
    sqz_objective_options o = {.text = "kd", .teacher = &t, .n_teacher = 1};
    TEST_FAILS(c.ctx, sqz_objective_build(c.student, &o, &c.o), SQZ_E_SHAPE, "must be the same");
    o.n_teacher = 0;
    TEST_FAILS(c.ctx, sqz_objective_build(c.student, &o, &c.o), SQZ_E_ARG, "--teacher");
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kd_is_the_divergence_of_softened_outputs),
        cmocka_unit_test(test_losses_add_up_in_value_and_gradient),
        cmocka_unit_test(test_dkd_is_its_formula),
        cmocka_unit_test(test_squares_can_be_taken_to_the_teacher),
        cmocka_unit_test(test_dkd_with_the_teachers_doubt_as_beta_is_kd),
        cmocka_unit_test(test_losses_vanish_where_student_and_teacher_agree),
        cmocka_unit_test(test_dkd_of_confident_networks_is_finite),
        cmocka_unit_test(test_other_classes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
