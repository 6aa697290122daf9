/* Losses on labels: values and gradients against formulas in double. */
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

static double cross_entropy(const loss_case *c, const double *x)
{
    const float *y = case_data(c, "label");
    double loss = 0, p[C];
    for (size_t i = 0; i < N; i++) {
        softmax(x + i * C, C, 1, p);
        for (size_t k = 0; k < C; k++)
            loss -= (double)y[i * C + k] * log(p[k]) / N;
    }
    return loss;
}

static double squares(const loss_case *c, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < N * C; i++)
        sum += pow(x[i] - (double)case_data(c, "label")[i], 2);
    return sum / (N * C);
}

static double distances(const loss_case *c, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < N * C; i++)
        sum += fabs(x[i] - (double)case_data(c, "label")[i]);
    return sum / (N * C);
}

/* delta 0.5 */
static double huber(const loss_case *c, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < N * C; i++) {
        const double d = fabs(x[i] - (double)case_data(c, "label")[i]);
        sum += d < 0.5 ? d * d / 2 : 0.5 * (d - 0.25);
    }
    return sum / (N * C);
}

/* positive 3 */
static double yes_or_no(const loss_case *c, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < N * C; i++) {
        const double y = (double)case_data(c, "label")[i], p = 1 / (1 + exp(-x[i]));
        sum -= 3 * y * log(p) + (1 - y) * log(1 - p);
    }
    return sum / (N * C);
}

static void compare(const char *text, const char *op, case_formula formula, bool soft)
{
    loss_case c = case_begin(11);
    c.student = case_graph(c.ctx, (sqz_shape){2, {N, C}}, op, "y");
    case_losses(&c, text, (sqz_shape){1, {C}});
    case_random(&c, case_data(&c, "x"), c.n, 2);
    case_labels(&c, N, C);
    float *y = case_data(&c, "label");
    for (size_t i = 0; soft && i < c.n; i++)
        y[i] = 0.8f * y[i] + 0.04f;
    case_compare(&c, formula, 1e-5);
    case_end(&c);
}

static void test_ce_is_cross_entropy(void **state)
{
    (void)state;
    compare("ce", "identity", cross_entropy, false);
    compare("ce", "identity", cross_entropy, true);
}

static void test_ce_reads_what_a_last_softmax_reads(void **state)
{
    (void)state;
    compare("ce", "softmax", cross_entropy, false);
}

static void test_regression_losses_are_their_formulas(void **state)
{
    (void)state;
    compare("mse", "identity", squares, true);
    compare("mae", "identity", distances, true);
    compare("huber(delta=0.5)", "identity", huber, true);
}

static void test_bce_is_binary_cross_entropy(void **state)
{
    (void)state;
    compare("bce(positive=3)", "identity", yes_or_no, false);
    compare("bce(positive=3)", "sigmoid", yes_or_no, true);
}

/* ln p is never taken of 0: the loss of a confident mistake is the logit. */
static void test_bce_of_large_logits_is_finite(void **state)
{
    (void)state;
    loss_case c = case_begin(5);
    c.student = case_graph(c.ctx, (sqz_shape){2, {2, 1}}, "sigmoid", "y");
    case_losses(&c, "bce", (sqz_shape){0});
    case_data(&c, "x")[0] = 200;
    case_data(&c, "x")[1] = -300;
    case_data(&c, "label")[0] = 0;
    case_data(&c, "label")[1] = 1;
    TEST_NEAR(case_run(&c), 250, 1e-4);
    TEST_NEAR((double)sqz_tape_grad(c.tape, c.x)[1], -0.5, 1e-6);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ce_is_cross_entropy),
        cmocka_unit_test(test_regression_losses_are_their_formulas),
        cmocka_unit_test(test_bce_is_binary_cross_entropy),
        cmocka_unit_test(test_bce_of_large_logits_is_finite),
        cmocka_unit_test(test_ce_reads_what_a_last_softmax_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
