/* crd: its formula with the numbers that its memory has handed in, and the memory itself. */
#include "loss_case.h"

enum { B = 4, C = 3, TC = 5, W = 6, SAMPLES = 9, OTHERS = 7 };

static const char text[] = "crd(weight=1 width=6 others=7 temperature=0.5)";

static void unit(const double *x, const float *w, size_t n, double *u)
{
    double square = 0;
    for (size_t k = 0; k < W; k++) {
        u[k] = 0;
        for (size_t i = 0; i < n; i++)
            u[k] += x[i] * (double)w[i * W + k];
        square += u[k] * u[k];
    }
    for (size_t k = 0; k < W; k++)
        u[k] /= sqrt(square);
}

static double dot(const double *u, const float *m)
{
    double sum = 0;
    for (size_t k = 0; k < W; k++)
        sum += u[k] * (double)m[k];
    return sum / 0.5;
}

/* One direction: - ln h of the own entry, - ln (1 - h) of the others'. */
static double half(const double *u, const float *own, const float *others, double c)
{
    double e = exp(dot(u, own)), sum = -log(e / (e + c));
    for (size_t i = 0; i < OTHERS; i++) {
        e = exp(dot(u, others + i * W));
        sum -= log(1 - e / (e + c));
    }
    return sum;
}

static double contrast(const loss_case *c, const double *x)
{
    double sum = 0, y[C], t[TC], u[W], v[W];
    const float *level = case_data(c, "loss.crd.level");
    for (size_t b = 0; b < B; b++) {
        for (size_t i = 0; i < C; i++)
            y[i] = tanh(x[b * C + i]);
        for (size_t i = 0; i < TC; i++)
            t[i] = (double)case_data(c, "teacher.t")[b * TC + i];
        unit(y, case_data(c, "loss.crd.student"), C, u);
        unit(t, case_data(c, "loss.crd.teacher"), TC, v);
        sum += half(u, case_data(c, "loss.crd.teacher.own") + b * W,
                    case_data(c, "loss.crd.teacher.others"), exp((double)level[0]));
        sum += half(v, case_data(c, "loss.crd.student.own") + b * W,
                    case_data(c, "loss.crd.student.others"), exp((double)level[1]));
    }
    return sum / B;
}

static loss_case begin(void)
{
    loss_case c = case_begin(51);
    c.student = case_graph(c.ctx, (sqz_shape){2, {B, C}}, "tanh", "s");
    c.teacher = case_graph(c.ctx, (sqz_shape){2, {B, TC}}, "tanh", "t");
    const sqz_graph *const t = c.teacher;
    const sqz_objective_options o = {
        .text = text, .teacher = &t, .n_teacher = 1, .samples = SAMPLES, .seed = 7};
    TEST_OK(c.ctx, sqz_objective_build(c.student, &o, &c.o));
    c.x = c.student->input[0];
    const sqz_vid want[3] = {c.x, c.o->param[0], c.o->param[1]};
    sqz_vid seed[8];
    const uint32_t watched = c.o->first_output - c.o->n_report;
    seed[0] = c.student->output[0];
    TEST_OK(c.ctx, sqz_tape_create(
                       c.student,
                       &(sqz_tape_options){.want = want, .n_want = 3, .seed = seed, .n_seed = 1},
                       &c.tape));
    assert_int_equal(watched, 4);
    c.n = sqz_tape_count(c.tape, c.x);
    case_random(&c, case_data(&c, "x"), c.n, 1);
    case_random(&c, case_data(&c, "teacher.t"), B * TC, 1);
    return c;
}

static void advance(loss_case *c, uint64_t n)
{
    const int64_t sample[B] = {8, 0, 3, 5};
    const sqz_loss_step step = {.step = n, .seed = 3, .sample = sample};
    TEST_OK(c->ctx, sqz_objective_before(c->o, c->tape, &step));
    TEST_OK(c->ctx, sqz_tape_forward(c->tape));
    TEST_OK(c->ctx, sqz_objective_after(c->o, c->tape, &step));
}

static void test_the_first_step_only_measures(void **state)
{
    (void)state;
    loss_case c = begin();
    advance(&c, 0);
    TEST_NEAR((double)*sqz_tape_data(c.tape, c.student->output[0]), 0, 0);
    double mean = 0, t[TC], v[W];
    for (size_t b = 0; b < B; b++) {
        for (size_t i = 0; i < TC; i++)
            t[i] = (double)case_data(&c, "teacher.t")[b * TC + i];
        unit(t, case_data(&c, "loss.crd.teacher"), TC, v);
        for (size_t i = 0; i < OTHERS; i++)
            mean += exp(dot(v, case_data(&c, "loss.crd.student.others") + i * W)) / (B * OTHERS);
    }
    advance(&c, 1);
    TEST_NEAR((double)case_data(&c, "loss.crd.level")[1], log(OTHERS * mean), 1e-5);
    case_end(&c);
}

static void test_then_it_is_its_formula(void **state)
{
    (void)state;
    loss_case c = begin();
    advance(&c, 0);
    case_compare(&c, contrast, 2e-5);
    case_end(&c);
}

/* Entries of the batch's samples go half way to their embeddings and have length 1; others stay. */
static void test_the_memory_follows_the_embeddings(void **state)
{
    (void)state;
    loss_case c = begin();
    float before[SAMPLES * W];
    const sqz_saved *m = &c.o->saved[1];
    assert_int_equal(c.o->n_saved, 3);
    assert_int_equal(m->n, SAMPLES * W);
    memcpy(before, m->numbers, sizeof before);
    advance(&c, 0);
    double y[C], u[W], want[W], square = 0;
    for (size_t i = 0; i < C; i++)
        y[i] = tanh((double)case_data(&c, "x")[2 * C + i]);
    unit(y, case_data(&c, "loss.crd.student"), C, u);
    for (size_t k = 0; k < W; k++) {
        want[k] = 0.5 * (double)before[3 * W + k] + 0.5 * u[k];
        square += want[k] * want[k];
    }
    for (size_t k = 0; k < W; k++)
        TEST_NEAR((double)m->numbers[3 * W + k], want[k] / sqrt(square), 1e-6);
    assert_memory_equal(m->numbers + 1 * W, before + 1 * W, W * sizeof(float));
    case_end(&c);
}

/* A training that is taken up from what was saved goes on to the bit. */
static void test_what_is_saved_is_all_that_is_remembered(void **state)
{
    (void)state;
    loss_case a = begin(), b = begin();
    advance(&a, 0);
    advance(&a, 1);
    for (uint32_t i = 0; i < a.o->n_saved; i++)
        memcpy(b.o->saved[i].numbers, a.o->saved[i].numbers, a.o->saved[i].n * sizeof(float));
    advance(&a, 2);
    advance(&b, 2);
    assert_true(*sqz_tape_data(a.tape, a.student->output[0]) ==
                *sqz_tape_data(b.tape, b.student->output[0]));
    case_end(&a);
    case_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_step_only_measures),
        cmocka_unit_test(test_then_it_is_its_formula),
        cmocka_unit_test(test_the_memory_follows_the_embeddings),
        cmocka_unit_test(test_what_is_saved_is_all_that_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
