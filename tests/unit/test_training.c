/* Training graphs: batch norm by the batch's statistics against formulas in double, dropout, and
 * numbers that find back into the model. */
#include "../net.h"
#include "ir/pass.h"
#include "train/training.h"

/* ---- a net x -> batch norm -> clamp, in training form, and its tape ---- */

typedef struct fixture {
    net n;
    sqz_training t;
    sqz_tape *tape;
    sqz_vid x, scale, bias, y;
    size_t rows, c;
} fixture;

/* Where row r of channel k of a value lies, in either layout. */
static size_t at(const fixture *f, sqz_vid v, size_t r, size_t k)
{
    const sqz_value *x = sqz_val(f->t.g, v);
    if (x->channel_last || x->shape.rank < 3)
        return r * f->c + k;
    const size_t inner = f->rows / (size_t)x->shape.dim[0];
    return (r / inner * f->c + k) * inner + r % inner;
}

static void begin(fixture *f, uint64_t seed, sqz_shape s, const char *clamp)
{
    f->n = net_begin(seed);
    f->c = (size_t)s.dim[1];
    f->x = net_input(&f->n, s);
    const sqz_shape c = {1, {s.dim[1]}};
    const sqz_vid in[5] = {f->x, net_const(&f->n, "scale", c, 1), net_const(&f->n, "bias", c, 1),
                           net_const(&f->n, "mean", c, 1), net_const(&f->n, "variance", c, 0)};
    for (size_t i = 0; i < f->c; i++)
        net_numbers(&f->n, "variance")[i] = 0.5f + (float)i;
    f->scale = in[1];
    f->bias = in[2];
    sqz_vid y = net_node(&f->n, "batch_norm", "bn", "epsilon=0.001 momentum=0.8", 5, in);
    if (*clamp)
        y = net_unary(&f->n, "clip", "y", clamp, y);
    TEST_OK(f->n.ctx, sqz_graph_set_outputs(f->n.g, &y, 1));
    TEST_OK(f->n.ctx, sqz_run_recipe(f->n.g, SQZ_TRAINABLE, &(sqz_env){0}));
    TEST_OK(f->n.ctx, sqz_training_make(f->n.g, &(sqz_training_options){.seed = 3}, &f->t));
    f->y = f->t.g->output[0];
    const sqz_vid want[] = {f->x, f->scale, f->bias},
                  seed_of[] = {f->y, f->t.norm[0].mean, f->t.norm[0].variance};
    TEST_OK(f->n.ctx, sqz_tape_create(f->t.g,
                                      &(sqz_tape_options){.want = want,
                                                          .n_want = 3,
                                                          .seed = seed_of,
                                                          .n_seed = 3,
                                                          .read = f->t.read,
                                                          .n_read = f->t.n_read},
                                      &f->tape));
    f->rows = sqz_tape_count(f->tape, f->x) / f->c;
}

static void end(fixture *f)
{
    sqz_tape_free(f->tape);
    sqz_training_free(&f->t);
    net_end(&f->n);
}

static void fill(sqz_rng *r, float *p, size_t n, double mean, double size)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(mean + size * sqz_rng_normal(r));
}

/* One channel (rows apart by c) by the formulas of the paper, each derivative by the chain rule. */
typedef struct channel {
    double mean, variance, dscale, dbias;
} channel;

static channel naive(const fixture *f, size_t k, const float *x, const float *g, double gm,
                     double gv, double lo, double hi, double *y, double *dx)
{
    const double n = (double)f->rows, scale = (double)sqz_tape_data(f->tape, f->scale)[k],
                 bias = (double)sqz_tape_data(f->tape, f->bias)[k];
    channel o = {0};
    double dvariance = gv, dmean = gm, centered = 0;
    for (size_t r = 0; r < f->rows; r++)
        o.mean += (double)x[at(f, f->x, r, k)] / n;
    for (size_t r = 0; r < f->rows; r++)
        o.variance += pow((double)x[at(f, f->x, r, k)] - o.mean, 2) / n;
    const double inverse = 1 / sqrt(o.variance + 0.001);
    for (size_t r = 0; r < f->rows; r++) {
        const double d = (double)x[at(f, f->x, r, k)] - o.mean;
        const double z = d * inverse, v = z * scale + bias;
        const double u = v > lo && v < hi ? (double)g[at(f, f->y, r, k)] : 0;
        y[r] = fmin(fmax(v, lo), hi);
        o.dscale += u * z;
        o.dbias += u;
        dvariance += u * scale * d * -0.5 * pow(inverse, 3);
        dmean -= u * scale * inverse;
        centered += d;
        dx[r] = u * scale * inverse;
    }
    dmean -= dvariance * 2 * centered / n;
    for (size_t r = 0; r < f->rows; r++)
        dx[r] += dvariance * 2 * ((double)x[at(f, f->x, r, k)] - o.mean) / n + dmean / n;
    return o;
}

static void check(uint64_t seed, sqz_shape s, double mean, const char *clamp, double lo, double hi)
{
    fixture f;
    begin(&f, seed, s, clamp);
    const sqz_vid vm = f.t.norm[0].mean, vv = f.t.norm[0].variance;
    const size_t n = f.rows * f.c;
    float *x = sqz_tape_data(f.tape, f.x), *g = sqz_tape_grad(f.tape, f.y),
          *gm = sqz_tape_grad(f.tape, vm), *gv = sqz_tape_grad(f.tape, vv);
    double *y = calloc(2 * f.rows + 1, sizeof *y);
    assert_non_null(y);
    fill(&f.n.r, x, n, mean, 2);
    fill(&f.n.r, gm, f.c, 0, 1);
    fill(&f.n.r, gv, f.c, 0, 1);
    TEST_OK(f.n.ctx, sqz_tape_forward(f.tape));
    fill(&f.n.r, g, n, 0, 1);
    TEST_OK(f.n.ctx, sqz_tape_backward(f.tape));
    /* float sums of `rows` terms of size 1, rounded a few times; x itself is rounded at `mean` */
    const double tol = 4e-6 * (1 + fabs(mean)), sums = 4e-6 * (1 + fabs(mean)) * (double)f.rows;
    for (size_t k = 0; k < f.c; k++) {
        const channel o = naive(&f, k, x, g, (double)gm[k], (double)gv[k], lo, hi, y, y + f.rows);
        TEST_NEAR((double)sqz_tape_data(f.tape, vm)[k], o.mean, 1e-6 * (1 + fabs(mean)));
        TEST_NEAR((double)sqz_tape_data(f.tape, vv)[k], o.variance, tol * (1 + o.variance));
        TEST_NEAR((double)sqz_tape_grad(f.tape, f.scale)[k], o.dscale, sums);
        TEST_NEAR((double)sqz_tape_grad(f.tape, f.bias)[k], o.dbias, sums);
        for (size_t r = 0; r < f.rows; r++) {
            TEST_NEAR((double)sqz_tape_data(f.tape, f.y)[at(&f, f.y, r, k)], y[r], 4 * tol);
            TEST_NEAR((double)sqz_tape_grad(f.tape, f.x)[at(&f, f.x, r, k)], y[f.rows + r],
                      8 * tol);
        }
    }
    free(y);
    end(&f);
}

static void test_batch_norm_is_that_of_the_paper(void **state)
{
    sqz_rng r = {.seed = 5};
    (void)state;
    for (uint64_t i = 0; i < 12; i++) {
        const sqz_shape s = {4,
                             {2 + (int64_t)sqz_rng_below(&r, 6), 1 + (int64_t)sqz_rng_below(&r, 40),
                              1 + (int64_t)sqz_rng_below(&r, 9),
                              1 + (int64_t)sqz_rng_below(&r, 9)}};
        check(i, s, 0, "", -INFINITY, INFINITY);
    }
    check(50, (sqz_shape){4, {9, 3, 70, 31}}, 0, "", -INFINITY, INFINITY); /* several pieces */
    check(51, (sqz_shape){2, {2000, 37}}, 0, "", -INFINITY, INFINITY);
}

static void test_batch_norm_keeps_its_digits_far_from_zero(void **state)
{
    (void)state;
    check(60, (sqz_shape){4, {4, 5, 12, 9}}, 100, "", -INFINITY, INFINITY);
}

static void test_a_clamp_behind_batch_norm_stops_gradients(void **state)
{
    (void)state; /* at seeds where no value lies on an edge */
    check(70, (sqz_shape){4, {3, 21, 6, 5}}, 0, "min=0", 0, INFINITY);
    check(71, (sqz_shape){4, {3, 21, 6, 5}}, 0, "min=-0.5 max=0.75", -0.5, 0.75);
}

static void test_running_statistics_move_and_find_back(void **state)
{
    fixture f;
    (void)state;
    begin(&f, 80, (sqz_shape){4, {3, 4, 5, 2}}, "");
    const sqz_training_norm *m = &f.t.norm[0];
    float before[2];
    before[0] = m->running_mean[1];
    before[1] = m->running_variance[1];
    assert_true(before[1] == 1.5f);
    fill(&f.n.r, sqz_tape_data(f.tape, f.x), f.rows * f.c, 1, 2);
    TEST_OK(f.n.ctx, sqz_tape_forward(f.tape));
    sqz_training_moved(&f.t, f.tape);
    const double mean = (double)sqz_tape_data(f.tape, m->mean)[1],
                 variance = (double)sqz_tape_data(f.tape, m->variance)[1] * 30 /
                            29; /* 3*5*2 rows */
    TEST_NEAR((double)m->running_mean[1], 0.8 * (double)before[0] + 0.2 * mean, 1e-6);
    TEST_NEAR((double)m->running_variance[1], 0.8 * (double)before[1] + 0.2 * variance, 1e-6);

    const float scale[4] = {1, 2, 3, 4};
    TEST_OK(f.n.ctx, sqz_training_write(&f.t, &f.scale, (const float *const[]){scale}, 1, f.n.g));
    assert_memory_equal(net_numbers(&f.n, "scale"), scale, sizeof scale);
    assert_memory_equal(net_numbers(&f.n, "mean"), m->running_mean, 4 * sizeof(float));
    assert_memory_equal(net_numbers(&f.n, "variance"), m->running_variance, 4 * sizeof(float));
    TEST_FAILS(f.n.ctx, sqz_training_write(&f.t, &f.x, (const float *const[]){scale}, 1, f.n.g),
               SQZ_E_ARG, "no float constant");
    end(&f);
}

static void test_frozen_norms_keep_their_statistics(void **state)
{
    fixture f;
    sqz_training t;
    (void)state;
    begin(&f, 90, (sqz_shape){4, {3, 4, 5, 2}}, "");
    TEST_OK(f.n.ctx, sqz_training_make(
                         f.n.g, &(sqz_training_options){.batch = 2, .freeze_norms = true}, &t));
    assert_int_equal(t.n_norm, 0);
    assert_string_equal(sqz_nod(t.g, t.g->first)->op->info.name, "batch_norm");
    assert_int_equal(sqz_val(t.g, t.g->output[0])->shape.dim[0], 2);
    sqz_training_free(&t);
    end(&f);
}

/* ---- dropout ---- */

enum { N = 100000 };

static sqz_tape *dropping(net *n, sqz_training *t, double ratio)
{
    char attrs[32];
    sqz_tape *tape;
    (void)snprintf(attrs, sizeof attrs, "ratio=%g", ratio);
    const sqz_vid x = net_input(n, (sqz_shape){2, {1, N}}),
                  y = net_unary(n, "dropout", "y", attrs, x);
    TEST_OK(n->ctx, sqz_graph_set_outputs(n->g, &y, 1));
    TEST_OK(n->ctx, sqz_training_make(n->g, &(sqz_training_options){.seed = 11}, t));
    TEST_OK(n->ctx, sqz_tape_create(
                        t->g, &(sqz_tape_options){.want = &x, .n_want = 1, .seed = &y, .n_seed = 1},
                        &tape));
    for (size_t i = 0; i < N; i++)
        sqz_tape_data(tape, x)[i] = 3;
    return tape;
}

static void test_dropout_drops_its_share_and_the_gradient_the_same_elements(void **state)
{
    net n = net_begin(1);
    sqz_training t;
    (void)state;
    sqz_tape *tape = dropping(&n, &t, 0.25);
    const float *y = sqz_tape_data(tape, t.g->output[0]);
    float *g = sqz_tape_grad(tape, t.g->output[0]), *dx = sqz_tape_grad(tape, t.g->input[0]);
    sqz_tape_set_step(tape, 7);
    TEST_OK(n.ctx, sqz_tape_forward(tape));
    size_t dropped = 0, pairs = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(y[i] == 0 || fabsf(y[i] - 4) < 1e-6f);
        dropped += y[i] == 0;
        pairs += i && y[i] == 0 && y[i - 1] == 0;
        g[i] = 1;
    }
    /* five standard deviations of a binomial */
    TEST_NEAR((double)dropped, 0.25 * N, 5 * sqrt(N * 0.25 * 0.75));
    TEST_NEAR((double)pairs, 0.0625 * N, 5 * sqrt(N * 0.0625 * 1.4));
    TEST_OK(n.ctx, sqz_tape_backward(tape));
    for (size_t i = 0; i < N; i++)
        assert_true((dx[i] == 0) == (y[i] == 0) && dx[i] * 3 == y[i]);
    sqz_tape_free(tape);
    sqz_training_free(&t);
    net_end(&n);
}

static void test_dropout_trains_in_any_layout(void **state)
{
    net n = net_begin(1);
    sqz_training t;
    (void)state;
    const sqz_vid x = net_input(&n, (sqz_shape){4, {2, 3, 4, 4}});
    sqz_vid y = net_unary(&n, "max_pool", "p", "kernel_shape=2,2", x);
    y = net_unary(&n, "dropout", "y", "", y);
    TEST_OK(n.ctx, sqz_graph_set_outputs(n.g, &y, 1));
    TEST_OK(n.ctx, sqz_run_recipe(n.g, SQZ_TRAINABLE, &(sqz_env){0}));
    TEST_OK(n.ctx, sqz_training_make(n.g, &(sqz_training_options){.seed = 11}, &t));
    sqz_training_free(&t);
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "fold_bn", &(sqz_env){0})); /* it is not trained any more */
    SQZ_EACH_NODE(n.g, id) assert_null(strstr(sqz_nod(n.g, id)->op->info.name, "dropout"));
    net_end(&n);
}

static void test_dropout_draws_by_step(void **state)
{
    net n = net_begin(1);
    sqz_training t;
    (void)state;
    sqz_tape *tape = dropping(&n, &t, 0.5);
    const float *y = sqz_tape_data(tape, t.g->output[0]);
    float *first = calloc(N, sizeof *first);
    assert_non_null(first);
    TEST_OK(n.ctx, sqz_tape_forward(tape));
    memcpy(first, y, N * sizeof *first);
    sqz_tape_set_step(tape, 1);
    TEST_OK(n.ctx, sqz_tape_forward(tape));
    size_t same = 0;
    for (size_t i = 0; i < N; i++)
        same += y[i] == first[i];
    TEST_NEAR((double)same, 0.5 * N, 5 * sqrt(N * 0.25));
    sqz_tape_set_step(tape, 0);
    TEST_OK(n.ctx, sqz_tape_forward(tape));
    assert_memory_equal(first, y, N * sizeof *first);
    free(first);
    sqz_tape_free(tape);
    sqz_training_free(&t);
    net_end(&n);
}

/* ---- what is trained ---- */

static void test_parameters_are_weights_biases_and_scales(void **state)
{
    net n = net_begin(2);
    sqz_arena a = {.ctx = n.ctx};
    sqz_parameter *p;
    uint32_t count;
    (void)state;
    const sqz_vid x = net_input(&n, (sqz_shape){4, {2, 3, 8, 8}});
    const sqz_shape c = {1, {4}};
    sqz_vid in[5] = {x, net_const(&n, "w", (sqz_shape){4, {4, 3, 3, 3}}, 1),
                     net_const(&n, "b", c, 1)};
    in[0] = net_node(&n, "conv2d", "conv", "pads=1,1,1,1", 3, in);
    in[1] = net_const(&n, "scale", c, 1);
    in[2] = net_const(&n, "bias", c, 1);
    in[3] = net_const(&n, "mean", c, 1);
    in[4] = net_const(&n, "variance", c, 0);
    sqz_vid y = net_node(&n, "batch_norm", "bn", "", 5, in);
    y = net_binary(&n, "mul", "half", y, net_const(&n, "number", (sqz_shape){1, {1}}, 1));
    TEST_OK(n.ctx, sqz_graph_set_outputs(n.g, &y, 1));
    TEST_OK(n.ctx, sqz_training_parameters(n.g, &a, &p, &count));
    const char *want[] = {"w", "b", "scale", "bias"};
    assert_int_equal(count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(sqz_val(n.g, p[i].value)->name, want[i]);
        assert_int_equal(p[i].decays, i == 0);
    }
    sqz_arena_free(&a);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_norm_is_that_of_the_paper),
        cmocka_unit_test(test_batch_norm_keeps_its_digits_far_from_zero),
        cmocka_unit_test(test_a_clamp_behind_batch_norm_stops_gradients),
        cmocka_unit_test(test_running_statistics_move_and_find_back),
        cmocka_unit_test(test_frozen_norms_keep_their_statistics),
        cmocka_unit_test(test_dropout_drops_its_share_and_the_gradient_the_same_elements),
        cmocka_unit_test(test_dropout_draws_by_step),
        cmocka_unit_test(test_dropout_trains_in_any_layout),
        cmocka_unit_test(test_parameters_are_weights_biases_and_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
