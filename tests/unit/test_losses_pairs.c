/* Losses on pairs of values: maps, relations, likeness; values and gradients against formulas in
 * double, which run over places and samples one by one. The student's value is tanh(x). */
#include "loss_case.h"

enum { B = 5, SIDE = 4, C = 3, TSIDE = 2, TC = 2, TMAP = TSIDE * TSIDE * TC };

static const sqz_shape map = {4, {B, SIDE, SIDE, C}}, coarse = {4, {2, TSIDE, TSIDE, TC}};

/* tanh of x, averaged to the teacher's places: (B, TSIDE, TSIDE, C). */
static void pooled(const double *x, double *y)
{
    const size_t k = SIDE / TSIDE;
    for (size_t b = 0; b < B; b++)
        for (size_t h = 0; h < TSIDE; h++)
            for (size_t w = 0; w < TSIDE; w++)
                for (size_t c = 0; c < C; c++) {
                    double sum = 0;
                    for (size_t i = 0; i < k * k; i++)
                        sum += tanh(x[((b * SIDE + h * k + i / k) * SIDE + w * k + i % k) * C + c]);
                    y[((b * TSIDE + h) * TSIDE + w) * C + c] = sum / (double)(k * k);
                }
}

static double hint(const loss_case *c, const double *x)
{
    double y[B * TSIDE * TSIDE * C], sum = 0;
    const float *t = case_data(c, "teacher.t");
    const float *w = case_data(c, "loss.hint.w"), *b = case_data(c, "loss.hint.b");
    pooled(x, y);
    for (size_t r = 0; r < B * TSIDE * TSIDE; r++)
        for (size_t o = 0; o < TC; o++) {
            double z = (double)b[o];
            for (size_t i = 0; i < C; i++)
                z += y[r * C + i] * (double)w[i * TC + o];
            sum += pow(z - (double)t[r * TC + o], 2);
        }
    return sum / (B * TMAP);
}

static void attention_map(const double *f, size_t places, size_t n, double *a)
{
    double length = 0;
    for (size_t p = 0; p < places; p++) {
        a[p] = 0;
        for (size_t i = 0; i < n; i++)
            a[p] += f[p * n + i] * f[p * n + i] / (double)n;
        length += a[p] * a[p];
    }
    for (size_t p = 0; p < places; p++)
        a[p] /= sqrt(length);
}

static double attention(const loss_case *c, const double *x)
{
    double y[B * TSIDE * TSIDE * C], t[B * TMAP], a[TSIDE * TSIDE], b[TSIDE * TSIDE], sum = 0;
    for (size_t i = 0; i < B * TMAP; i++)
        t[i] = (double)case_data(c, "teacher.t")[i];
    pooled(x, y);
    for (size_t s = 0; s < B; s++) {
        attention_map(y + s * TSIDE * TSIDE * C, TSIDE * TSIDE, C, a);
        attention_map(t + s * TMAP, TSIDE * TSIDE, TC, b);
        for (size_t p = 0; p < TSIDE * TSIDE; p++)
            sum += pow(a[p] - b[p], 2);
    }
    return sum / (B * TSIDE * TSIDE);
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void likeness(const double *f, size_t n, double *g)
{
    for (size_t i = 0; i < B; i++) {
        double length = 0;
        for (size_t k = 0; k < B; k++) {
            g[i * B + k] = dot(f + i * n, f + k * n, n);
            length += g[i * B + k] * g[i * B + k];
        }
        for (size_t k = 0; k < B; k++)
            g[i * B + k] /= sqrt(length);
    }
}

static double similarity(const loss_case *c, const double *x)
{
    double y[B * SIDE * SIDE * C], t[B * TMAP], a[B * B], b[B * B], sum = 0;
    for (size_t i = 0; i < B * SIDE * SIDE * C; i++)
        y[i] = tanh(x[i]);
    for (size_t i = 0; i < B * TMAP; i++)
        t[i] = (double)case_data(c, "teacher.t")[i];
    likeness(y, SIDE * SIDE * C, a);
    likeness(t, TMAP, b);
    for (size_t i = 0; i < B * B; i++)
        sum += pow(a[i] - b[i], 2);
    return sum / (B * B);
}

/* ---- relations: as in the paper, with differences of embeddings ---- */

static double huber(double d) { return fabs(d) < 1 ? d * d / 2 : fabs(d) - 0.5; }

static double length_of(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow(a[i] - b[i], 2);
    return sqrt(sum);
}

static double angle(const double *e, size_t n, size_t i, size_t j, size_t k)
{
    double sum = 0;
    if (i == j || k == j)
        return 0;
    for (size_t c = 0; c < n; c++)
        sum += (e[i * n + c] - e[j * n + c]) * (e[k * n + c] - e[j * n + c]);
    return sum / length_of(e + i * n, e + j * n, n) / length_of(e + k * n, e + j * n, n);
}

static double mean_distance(const double *e, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < B; i++)
        for (size_t k = 0; k < B; k++)
            sum += i == k ? 0 : length_of(e + i * n, e + k * n, n);
    return sum / (B * (B - 1));
}

/* distance 2, angle 3; angles of the first `most` samples. */
static double relations(const loss_case *c, const double *x, size_t most)
{
    double e[B * C], t[B * TC], far = 0, turn = 0;
    for (size_t i = 0; i < B * C; i++)
        e[i] = tanh(x[i]);
    for (size_t i = 0; i < B * TC; i++)
        t[i] = (double)case_data(c, "teacher.t")[i];
    const double a = mean_distance(e, C), b = mean_distance(t, TC);
    for (size_t i = 0; i < B; i++)
        for (size_t k = 0; k < B; k++)
            if (i != k)
                far += huber(length_of(e + i * C, e + k * C, C) / a -
                             length_of(t + i * TC, t + k * TC, TC) / b);
    for (size_t i = 0; i < most; i++)
        for (size_t j = 0; j < most; j++)
            for (size_t k = 0; k < most; k++)
                turn += huber(angle(e, C, i, j, k) - angle(t, TC, i, j, k));
    return 2 * far / (B * B) + 3 * turn / (double)(most * most * most);
}
static double relations_all(const loss_case *c, const double *x) { return relations(c, x, B); }
static double relations_three(const loss_case *c, const double *x) { return relations(c, x, 3); }

/* ---- */

static loss_case begin(const char *text, sqz_shape student, sqz_shape teacher)
{
    loss_case c = case_begin(31);
    c.student = case_graph(c.ctx, student, "tanh", "s");
    c.teacher = case_graph(c.ctx, teacher, "tanh", "t");
    case_losses(&c, text, (sqz_shape){0});
    case_random(&c, case_data(&c, "x"), c.n, 1);
    const sqz_vid t = c.o->teacher[0].to;
    case_random(&c, sqz_tape_data(c.tape, t), sqz_tape_count(c.tape, t), 1);
    return c;
}

static void compare(const char *text, sqz_shape student, sqz_shape teacher, case_formula formula,
                    double relative)
{
    loss_case c = begin(text, student, teacher);
    case_compare(&c, formula, relative);
    case_end(&c);
}

static void test_hint_compares_pooled_maps_through_its_adapter(void **state)
{
    (void)state;
    compare("hint(weight=1)", map, coarse, hint, 2e-5);
    compare("hint(weight=1 pairs=\"s->t\")", map, coarse, hint, 2e-5);
}

/* The adapter's own gradient against differences of the tape's loss, which is linear in the bias
 * up to second order: exact but for rounding. */
static void test_hint_trains_its_adapter(void **state)
{
    (void)state;
    loss_case c = begin("hint(weight=1)", map, coarse);
    assert_int_equal(c.o->n_param, 2);
    (void)case_run(&c);
    for (uint32_t p = 0; p < 2; p++) {
        float *w = sqz_tape_data(c.tape, c.o->param[p]);
        for (size_t i = 0; i < sqz_tape_count(c.tape, c.o->param[p]); i++) {
            (void)case_run(&c);
            const double slope = (double)sqz_tape_grad(c.tape, c.o->param[p])[i];
            const float at = w[i];
            w[i] = at + 0.25f;
            double up = case_run(&c);
            w[i] = at - 0.25f;
            up -= case_run(&c);
            w[i] = at;
            TEST_NEAR(slope, up / 0.5, 1e-4);
        }
    }
    case_end(&c);
}

static void test_attention_is_its_formula(void **state)
{
    (void)state;
    compare("attention(weight=1)", map, coarse, attention, 2e-5);
}

static void test_sp_is_its_formula(void **state)
{
    (void)state;
    compare("sp(weight=1)", map, coarse, similarity, 2e-5);
}

static void test_rkd_is_its_formula(void **state)
{
    (void)state;
    const sqz_shape s = {2, {B, C}}, t = {2, {B, TC}};
    compare("rkd(distance=2 angle=3)", s, t, relations_all, 1e-4);
    compare("rkd(distance=2 angle=3 most=3)", s, t, relations_three, 1e-4);
}

static void test_they_vanish_where_student_and_teacher_agree(void **state)
{
    (void)state;
    static const char *const text[] = {"hint", "attention", "sp", "rkd", "rkd(most=4)"};
    for (size_t i = 0; i < SQZ_COUNT(text); i++) {
        loss_case c = begin(text[i], map, map);
        for (size_t k = 0; k < c.n; k++)
            case_data(&c, "teacher.t")[k] = tanhf(case_data(&c, "x")[k]);
        TEST_NEAR(case_run(&c), 0, 1e-6);
        for (size_t k = 0; k < c.n; k++)
            TEST_NEAR((double)sqz_tape_grad(c.tape, c.x)[k], 0, 1e-4);
        case_end(&c);
    }
}

/* Two samples that are equal have no direction between them: no infinity may come of it. */
static void test_rkd_of_equal_samples_is_finite(void **state)
{
    (void)state;
    loss_case c = begin("rkd", (sqz_shape){2, {B, C}}, (sqz_shape){2, {B, TC}});
    memcpy(case_data(&c, "x") + C, case_data(&c, "x"), C * sizeof(float));
    assert_true(isfinite(case_run(&c)));
    for (size_t k = 0; k < c.n; k++)
        assert_true(isfinite(sqz_tape_grad(c.tape, c.x)[k]));
    case_end(&c);
}

static void test_wrong_pairs_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        sqz_status status;
    } bad[] = {{"hint(pairs=\"s->q\")",
                "the teacher has no value 'q' of f32; among its values are "
                "'t'",
                SQZ_E_NOTFOUND},
               {"hint(pairs=\"q->t\")", "the student has no value 'q'", SQZ_E_NOTFOUND},
               {"hint(pairs=\"s->t;\")", "no value ''", SQZ_E_NOTFOUND}};
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        loss_case c = case_begin(1);
        c.student = case_graph(c.ctx, map, "tanh", "s");
        c.teacher = case_graph(c.ctx, coarse, "tanh", "t");
        const sqz_graph *const t = c.teacher;
        TEST_FAILS(c.ctx,
                   sqz_objective_build(
                       c.student,
                       &(sqz_objective_options){.text = bad[i].text, .teacher = &t, .n_teacher = 1},
                       &c.o),
                   bad[i].status, bad[i].part);
        case_end(&c);
    }
}

/* 5 x 5 places are neither more nor fewer than 4 x 6. */
static void test_maps_that_pooling_cannot_bring_together_are_refused(void **state)
{
    (void)state;
    loss_case c = case_begin(1);
    c.student = case_graph(c.ctx, (sqz_shape){4, {2, 5, 5, 3}}, "tanh", "s");
    c.teacher = case_graph(c.ctx, (sqz_shape){4, {2, 4, 6, 3}}, "tanh", "t");
    const sqz_graph *const t = c.teacher;
    TEST_FAILS(c.ctx,
               sqz_objective_build(
                   c.student,
                   &(sqz_objective_options){.text = "attention", .teacher = &t, .n_teacher = 1},
                   &c.o),
               SQZ_E_SHAPE, "cannot be compared");
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hint_compares_pooled_maps_through_its_adapter),
        cmocka_unit_test(test_hint_trains_its_adapter),
        cmocka_unit_test(test_attention_is_its_formula),
        cmocka_unit_test(test_sp_is_its_formula),
        cmocka_unit_test(test_rkd_is_its_formula),
        cmocka_unit_test(test_they_vanish_where_student_and_teacher_agree),
        cmocka_unit_test(test_rkd_of_equal_samples_is_finite),
        cmocka_unit_test(test_maps_that_pooling_cannot_bring_together_are_refused),
        cmocka_unit_test(test_wrong_pairs_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
