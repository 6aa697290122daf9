/* loss_case.h: a student whose values are the inputs of its graph, a teacher beside it, and losses
 * on both: values and gradients against a formula in double. */
#ifndef SQZ_TEST_LOSS_CASE_H
#define SQZ_TEST_LOSS_CASE_H
#include "distill/objective.h"
#include "sqz_test.h"

/* Graphs of channel-last values: input "x" (shape), named values through identities. */
typedef struct loss_case {
    sqz_ctx *ctx;
    sqz_graph *student, *teacher;
    sqz_objective *o;
    sqz_tape *tape;
    sqz_vid x;
    size_t n;
    sqz_rng r;
} loss_case;

static inline sqz_graph *case_graph(sqz_ctx *ctx, sqz_shape shape, const char *op, const char *name)
{
    sqz_graph *g;
    sqz_vid x, y;
    const sqz_op *o = sqz_op_find(op);
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    g->have |= SQZ_HAS_LAYOUT | SQZ_HAS_FOLDED;
    TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &shape, &x));
    sqz_val(g, x)->channel_last = shape.rank >= 3;
    TEST_OK(ctx, sqz_graph_node(g, o, name, NULL, &x, 1, &name, 1, SQZ_NONE, &y));
    TEST_OK(ctx, sqz_graph_set_outputs(g, &y, 1));
    return g;
}

static inline loss_case case_begin(uint64_t seed)
{
    return (loss_case){.ctx = test_ctx(), .r = {.seed = seed}};
}

/* Losses on the two graphs; teacher may be NULL. Ready to run. */
static inline void case_losses(loss_case *c, const char *text, sqz_shape label)
{
    const sqz_graph *const t = c->teacher;
    const sqz_objective_options o = {.text = text,
                                     .teacher = &t,
                                     .n_teacher = t != NULL,
                                     .labels = true,
                                     .label = label,
                                     .samples = 100,
                                     .seed = 7};
    TEST_OK(c->ctx, sqz_objective_build(c->student, &o, &c->o));
    TEST_OK(c->ctx, sqz_graph_verify(c->student));
    c->x = c->student->input[0];
    sqz_vid want[64] = {c->x};
    for (uint32_t i = 0; i < c->o->n_param; i++)
        want[i + 1] = c->o->param[i];
    TEST_OK(c->ctx, sqz_tape_create(c->student,
                                    &(sqz_tape_options){.want = want,
                                                        .n_want = 1 + c->o->n_param,
                                                        .seed = c->student->output,
                                                        .n_seed = 1},
                                    &c->tape));
    c->n = sqz_tape_count(c->tape, c->x);
}

static inline void case_end(loss_case *c)
{
    sqz_tape_free(c->tape);
    sqz_objective_free(c->o);
    sqz_graph_free(c->student);
    sqz_graph_free(c->teacher);
    sqz_ctx_free(c->ctx);
}

static inline float *case_data(const loss_case *c, const char *name)
{
    const sqz_vid v = sqz_graph_find(c->student, name);
    if (v == SQZ_NONE)
        fail_msg("no value '%s'", name);
    return sqz_tape_data(c->tape, v);
}

static inline void case_random(loss_case *c, float *x, size_t n, double size)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(size * sqz_rng_normal(&c->r));
}

/* Rows of one-hot labels. */
static inline void case_labels(loss_case *c, size_t rows, size_t classes)
{
    float *y = case_data(c, "label");
    memset(y, 0, rows * classes * sizeof *y);
    for (size_t i = 0; i < rows; i++)
        y[i * classes + sqz_rng_below(&c->r, classes)] = 1;
}

static inline double case_run(loss_case *c)
{
    static const sqz_loss_step step = {.epoch = 1, .seed = 3};
    TEST_OK(c->ctx, sqz_objective_before(c->o, c->tape, &step));
    TEST_OK(c->ctx, sqz_tape_forward(c->tape));
    *sqz_tape_grad(c->tape, c->student->output[0]) = 1;
    TEST_OK(c->ctx, sqz_tape_backward(c->tape));
    return (double)*sqz_tape_data(c->tape, c->student->output[0]);
}

/* The formula in double, of the numbers at x (n). */
typedef double (*case_formula)(const loss_case *c, const double *x);

/* The loss and its gradient with respect to `x` agree with the formula: of `relative` to the
 * largest slope (float32 sums: some 1e-5). */
static inline void case_compare(loss_case *c, case_formula formula, double relative)
{
    double *x = calloc(c->n, sizeof *x), *slope = calloc(c->n, sizeof *slope), most = 0;
    const float *data = sqz_tape_data(c->tape, c->x), *grad = sqz_tape_grad(c->tape, c->x);
    const double got = case_run(c), h = 1e-5;
    for (size_t i = 0; i < c->n; i++)
        x[i] = (double)data[i];
    const double want = formula(c, x);
    TEST_NEAR(got, want, relative * (fabs(want) + 1e-3));
    for (size_t i = 0; i < c->n; i++) {
        const double at = x[i];
        x[i] = at + h;
        slope[i] = formula(c, x);
        x[i] = at - h;
        slope[i] = (slope[i] - formula(c, x)) / (2 * h);
        x[i] = at;
        most = fmax(most, fabs(slope[i]));
    }
    assert_true(most > 0);
    for (size_t i = 0; i < c->n; i++)
        TEST_NEAR((double)grad[i], slope[i], relative * most + 1e-9);
    free(x);
    free(slope);
}
#endif
