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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ce_is_cross_entropy),
        cmocka_unit_test(test_ce_reads_what_a_last_softmax_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
