/* Losses that are ONNX graphs: what their inputs are bound to, what is trained and reported, what
 * is refused. */
#include "loss_case.h"
#include "onnx_model.h"
#include <unistd.h>

enum { N = 4, C = 3, SIDE = 2 };

static char path[] = "/tmp/sqz_loss_XXXXXX";

static void write_model(model *m)
{
    size_t n;
    const unsigned char *p = model_bytes(m, &n);
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(p, 1, n, f), n);
    (void)fclose(f);
    model_end(m);
}

/* loss = mean over everything of (g * A + d - B)^2, g = 2 and d (C) trained; also shown: the mean
 * of A. */
static void write_squares(sqz_ctx *ctx, const char *a, const char *b, const char *shape)
{
    model m;
    const float g = 2, d[C] = {0.5f, -0.25f, 0.125f};
    const int64_t dims[1] = {C};
    model_begin(&m, ctx, 8, 13);
    model_input(&m, a, shape);
    model_input(&m, b, shape);
    model_floats(&m, "g", 0, NULL, &g, 1);
    model_floats(&m, "d", 1, dims, d, C);
    char in[64];
    (void)snprintf(in, sizeof in, "%s,g", a);
    (void)model_node(&m, "Mul", "n1", in, "ag");
    (void)model_node(&m, "Add", "n2", "ag,d", "agd");
    (void)snprintf(in, sizeof in, "agd,%s", b);
    (void)model_node(&m, "Sub", "n3", in, "diff");
    (void)model_node(&m, "Mul", "n4", "diff,diff", "square");
    model_int(&m, model_node(&m, "ReduceMean", "n5", "square", "total"), "keepdims", 0);
    model_int(&m, model_node(&m, "ReduceMean", "n6", a, "size"), "keepdims", 0);
    model_output(&m, "total");
    model_output(&m, "size");
    write_model(&m);
}

static const char *with(char *text, size_t room, const char *options)
{
    (void)snprintf(text, room, "graph(file=\"%s\" %s)", path, options);
    return text;
}

static double squares_to(const loss_case *c, const double *x, const char *b)
{
    const float g = *case_data(c, "loss.graph.g"), *d = case_data(c, "loss.graph.d");
    double sum = 0;
    for (size_t i = 0; i < N * C; i++)
        sum += pow((double)g * tanh(x[i]) + (double)d[i % C] - (double)case_data(c, b)[i], 2);
    return sum / (N * C);
}
static double to_label(const loss_case *c, const double *x) { return squares_to(c, x, "label"); }
static double to_teacher(const loss_case *c, const double *x)
{
    return squares_to(c, x, "teacher.t");
}

static loss_case begin(const char *options)
{
    loss_case c = case_begin(41);
    char text[256];
    c.student = case_graph(c.ctx, (sqz_shape){2, {N, C}}, "tanh", "s");
    c.teacher = case_graph(c.ctx, (sqz_shape){2, {2, C}}, "tanh", "t");
    case_losses(&c, with(text, sizeof text, options), (sqz_shape){1, {C}});
    case_random(&c, case_data(&c, "x"), c.n, 1);
    return c;
}

static void test_inputs_are_bound_by_their_names(void **state)
{
    (void)state;
    loss_case c = case_begin(1);
    write_squares(c.ctx, "s", "label", "N,3");
    case_end(&c);
    c = begin("");
    case_random(&c, case_data(&c, "label"), c.n, 1);
    case_compare(&c, to_label, 1e-5);
    case_end(&c);
}

static void test_inputs_can_be_bound_to_other_names(void **state)
{
    (void)state;
    loss_case c = case_begin(1);
    write_squares(c.ctx, "out", "want", "N,3");
    case_end(&c);
    c = begin("bind=\"out=s;want=teacher.t\"");
    case_random(&c, case_data(&c, "teacher.t"), c.n, 1);
    case_compare(&c, to_teacher, 1e-5);
    case_end(&c);
}

/* d loss / dg and d loss / dd, whose formula is known. */
static void test_initializers_are_trained_and_single_numbers_reported(void **state)
{
    (void)state;
    loss_case c = case_begin(1);
    write_squares(c.ctx, "s", "label", "N,3");
    case_end(&c);
    c = begin("rate=100");
    case_random(&c, case_data(&c, "label"), c.n, 1);
    (void)case_run(&c);
    double slope[1 + C] = {0}, mean = 0;
    for (size_t i = 0; i < N * C; i++) {
        const double y = tanh((double)case_data(&c, "x")[i]);
        const double e = 2 * y + (double)case_data(&c, "loss.graph.d")[i % C] -
                         (double)case_data(&c, "label")[i];
        slope[0] += 2 * e * y / (N * C);
        slope[1 + i % C] += 2 * e / (N * C);
        mean += y / (N * C);
    }
    assert_int_equal(c.o->n_param, 2);
    for (uint32_t p = 0; p < 2; p++) {
        const float *g = sqz_tape_grad(c.tape, c.o->param[p]);
        const bool scalar = sqz_tape_count(c.tape, c.o->param[p]) == 1;
        for (size_t i = 0; i < (scalar ? 1 : C); i++)
            TEST_NEAR((double)g[i], slope[scalar ? 0 : 1 + i], 1e-5);
        assert_true(c.o->param_rate[p] == 100);
        assert_false(c.o->param_decays[p]);
    }
    assert_int_equal(c.o->n_report, 4);
    assert_string_equal(c.o->report[1], "loss.graph");
    assert_string_equal(c.o->report[2], "g");
    assert_string_equal(c.o->report[3], "size");
    TEST_NEAR((double)*sqz_tape_data(c.tape, c.student->output[2]), 2, 0);
    TEST_NEAR((double)*sqz_tape_data(c.tape, c.student->output[3]), mean, 1e-6);
    case_end(&c);
}

/* What is computed from trained numbers alone is not computed once and for all. */
static void test_products_of_initializers_are_not_folded(void **state)
{
    (void)state;
    loss_case c = case_begin(5);
    model m;
    char text[256];
    const float g = 3, h = 2;
    model_begin(&m, c.ctx, 8, 13);
    model_input(&m, "s", "N,3");
    model_floats(&m, "g", 0, NULL, &g, 1);
    model_floats(&m, "h", 0, NULL, &h, 1);
    (void)model_node(&m, "Mul", "n1", "g,h", "gh");
    (void)model_node(&m, "Mul", "n2", "s,gh", "scaled");
    model_int(&m, model_node(&m, "ReduceMean", "n3", "scaled", "total"), "keepdims", 0);
    model_output(&m, "total");
    write_model(&m);
    c.student = case_graph(c.ctx, (sqz_shape){2, {N, C}}, "tanh", "s");
    case_losses(&c, with(text, sizeof text, ""), (sqz_shape){0});
    case_random(&c, case_data(&c, "x"), c.n, 1);
    const double loss = case_run(&c);
    assert_int_equal(c.o->n_param, 2);
    TEST_NEAR((double)*sqz_tape_grad(c.tape, c.o->param[0]), loss / 3, 1e-6);
    TEST_NEAR((double)*sqz_tape_grad(c.tape, c.o->param[1]), loss / 2, 1e-6);
    case_end(&c);
}

static void test_frozen_initializers_are_not_trained(void **state)
{
    (void)state;
    loss_case c = case_begin(1);
    write_squares(c.ctx, "s", "label", "N,3");
    case_end(&c);
    c = begin("freeze=g");
    assert_int_equal(c.o->n_param, 1);
    assert_string_equal(sqz_val(c.student, c.o->param[0])->name, "loss.graph.d");
    case_end(&c);
}

/* The student's map stands channel-last, the loss asks for it as files have it: (N,C,H,W). */
static double maps(const loss_case *c, const double *x)
{
    double sum = 0;
    (void)c;
    for (size_t n = 0; n < N; n++)
        for (size_t p = 0; p < SIDE * SIDE; p++)
            for (size_t i = 0; i < C; i++)
                sum += (double)(i * SIDE * SIDE + p) *
                       pow(tanh(x[(n * SIDE * SIDE + p) * C + i]), 2);
    return sum / (N * C * SIDE * SIDE);
}

static void test_maps_come_in_the_layout_of_files(void **state)
{
    (void)state;
    loss_case c = case_begin(5);
    model m;
    char text[256];
    float w[C * SIDE * SIDE];
    const int64_t dims[4] = {1, C, SIDE, SIDE};
    for (size_t i = 0; i < SQZ_COUNT(w); i++)
        w[i] = (float)i;
    model_begin(&m, c.ctx, 8, 13);
    model_input(&m, "s", "1,3,2,2");
    model_floats(&m, "w", 4, dims, w, SQZ_COUNT(w));
    (void)model_node(&m, "Mul", "n1", "s,s", "square");
    (void)model_node(&m, "Mul", "n2", "square,w", "weighted");
    (void)model_node(&m, "ReduceMean", "n3", "weighted", "total");
    model_output(&m, "total");
    write_model(&m);
    c.student = case_graph(c.ctx, (sqz_shape){4, {N, SIDE, SIDE, C}}, "tanh", "s");
    case_losses(&c, with(text, sizeof text, ""), (sqz_shape){0});
    case_random(&c, case_data(&c, "x"), c.n, 1);
    case_compare(&c, maps, 1e-5);
    case_end(&c);
}

static void refuse(const char *a, const char *b, const char *shape, sqz_status status,
                   const char *part)
{
    loss_case c = case_begin(1);
    char text[256];
    write_squares(c.ctx, a, b, shape);
    c.student = case_graph(c.ctx, (sqz_shape){2, {N, C}}, "tanh", "s");
    TEST_FAILS(c.ctx,
               sqz_objective_build(c.student,
                                   &(sqz_objective_options){.text = with(text, sizeof text, ""),
                                                            .labels = true,
                                                            .label = {1, {C}}},
                                   &c.o),
               status, part);
    case_end(&c);
}

static void test_what_does_not_fit_is_refused_with_a_sentence(void **state)
{
    (void)state;
    refuse("nobody", "label", "N,3", SQZ_E_NOTFOUND,
           "input 'nobody' is bound to nothing; there are 'label', 's', 'x'");
    refuse("s", "teacher.q", "N,3", SQZ_E_NOTFOUND, "'teacher.q' is bound to nothing");
    refuse("s", "label", "N,1", SQZ_E_SHAPE, "input 's' is f32 1x1");
}

static void test_a_loss_of_several_numbers_is_refused(void **state)
{
    (void)state;
    loss_case c = case_begin(1);
    model m;
    char text[256];
    model_begin(&m, c.ctx, 8, 13);
    model_input(&m, "s", "N,3");
    (void)model_node(&m, "Mul", "n1", "s,s", "square");
    model_output(&m, "square");
    write_model(&m);
    c.student = case_graph(c.ctx, (sqz_shape){2, {N, C}}, "tanh", "s");
    TEST_FAILS(c.ctx,
               sqz_objective_build(
                   c.student, &(sqz_objective_options){.text = with(text, sizeof text, "")}, &c.o),
               SQZ_E_SHAPE, "output 'square' is f32 4x3, expected one f32 number");
    TEST_FAILS(
        c.ctx,
        sqz_objective_build(
            c.student, &(sqz_objective_options){.text = "graph(file=\"/no/such.onnx\")"}, &c.o),
        SQZ_E_NOTFOUND, "/no/such.onnx");
    case_end(&c);
}

static int make_file(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs_are_bound_by_their_names),
        cmocka_unit_test(test_inputs_can_be_bound_to_other_names),
        cmocka_unit_test(test_initializers_are_trained_and_single_numbers_reported),
        cmocka_unit_test(test_products_of_initializers_are_not_folded),
        cmocka_unit_test(test_frozen_initializers_are_not_trained),
        cmocka_unit_test(test_maps_come_in_the_layout_of_files),
        cmocka_unit_test(test_what_does_not_fit_is_refused_with_a_sentence),
        cmocka_unit_test(test_a_loss_of_several_numbers_is_refused),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
