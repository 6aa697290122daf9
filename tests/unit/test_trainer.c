/* The trainer: that it learns, that it is the same however often it is interrupted and on however
 * many threads, that it notices what goes wrong, and that it refuses what is not its own. */
#include "../net.h"
#include "train/trainer.h"
#include <unistd.h>

enum { BATCH = 16, IN = 6, MID = 8, OUT = 2, STEPS = 7, EPOCHS = 6 };

typedef struct job {
    net n;
    sqz_graph *model;
    sqz_training t;
    sqz_trainer *trainer;
    sqz_vid x, label;
    sqz_trained trained[16];
    sqz_trainer_options o;
    double scale; /* of labels, from step `from` on: NAN, large */
    uint64_t from;
    uint64_t stop; /* the progress callback stops at this many steps; 0: never */
    const double *score;
    uint32_t asked;
    int threads;
} job;

static int stops(void *user, const char *what, uint64_t done, uint64_t total)
{
    const job *j = user;
    (void)what;
    assert_true(done <= total && total % STEPS == 0);
    return j->stop && done == j->stop;
}

/* y = gemm(relu(bn(gemm(x)))), loss = mean (y - label)^2 */
static void make_model(job *j, uint64_t seed)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = j->threads;
    o.progress = stops;
    o.progress_user = j;
    j->n.r.seed = seed;
    assert_int_equal(sqz_ctx_create(&o, &j->n.ctx), SQZ_OK);
    TEST_OK(j->n.ctx, sqz_graph_create(j->n.ctx, &j->n.g));
    const sqz_vid x = net_input(&j->n, (sqz_shape){2, {BATCH, IN}});
    const sqz_vid one[3] = {x, net_const(&j->n, "w1", (sqz_shape){2, {MID, IN}}, 0.5),
                            net_const(&j->n, "b1", (sqz_shape){1, {MID}}, 0.1)};
    const sqz_shape c = {1, {MID}};
    const sqz_vid norm[5] = {net_node(&j->n, "gemm", "one", "", 3, one),
                             net_const(&j->n, "scale", c, 1), net_const(&j->n, "shift", c, 0.1),
                             net_const(&j->n, "mean", c, 0), net_const(&j->n, "variance", c, 0)};
    for (int i = 0; i < MID; i++)
        net_numbers(&j->n, "variance")[i] = 1;
    const sqz_vid h = net_unary(&j->n, "relu", "h", "",
                                net_node(&j->n, "batch_norm", "bn", "", 5, norm));
    const sqz_vid two[3] = {h, net_const(&j->n, "w2", (sqz_shape){2, {OUT, MID}}, 0.5),
                            net_const(&j->n, "b2", (sqz_shape){1, {OUT}}, 0.1)};
    const sqz_vid y = net_node(&j->n, "gemm", "two", "", 3, two);
    TEST_OK(j->n.ctx, sqz_graph_set_outputs(j->n.g, &y, 1));
    TEST_OK(j->n.ctx, sqz_run_recipe(j->n.g, SQZ_TRAINABLE, &(sqz_env){0}));
    j->model = j->n.g;
}

static sqz_vid node(job *j, const char *op, const char *name, unsigned n, const sqz_vid *in)
{
    sqz_graph *model = j->n.g;
    j->n.g = j->t.g;
    const sqz_vid v = net_node(&j->n, op, name, "", n, in);
    j->n.g = model;
    return v;
}

static void begin(job *j, sqz_trainer_options o)
{
    const sqz_shape label = {2, {BATCH, OUT}};
    sqz_parameter *list;
    sqz_arena a = {.ctx = NULL};
    uint32_t n;
    *j = (job){.scale = 1, .stop = j->stop, .score = j->score, .threads = j->threads};
    make_model(j, 5);
    a.ctx = j->n.ctx;
    TEST_OK(j->n.ctx, sqz_training_make(j->model, &(sqz_training_options){.seed = 1}, &j->t));
    j->x = j->t.g->input[0];
    TEST_OK(j->n.ctx, sqz_graph_input(j->t.g, "label", SQZ_F32, &label, &j->label));
    const sqz_vid d = node(j, "sub", "d", 2, (sqz_vid[2]){j->t.g->output[0], j->label});
    const sqz_vid s = node(j, "mul", "s", 2, (sqz_vid[2]){d, d});
    const sqz_vid loss = node(j, "reduce_mean", "loss", 1, &s);
    TEST_OK(j->n.ctx, sqz_graph_set_outputs(j->t.g, &loss, 1));
    TEST_OK(j->n.ctx, sqz_training_parameters(j->model, &a, &list, &n));
    assert_int_equal(n, 6);
    for (uint32_t i = 0; i < n; i++)
        j->trained[i] = (sqz_trained){list[i].value, list[i].decays, 1, -INFINITY};
    sqz_arena_free(&a);
    o.trained = j->trained;
    o.n_trained = n;
    o.n_report = 1;
    o.epochs = o.epochs ? o.epochs : EPOCHS;
    o.steps = STEPS;
    TEST_OK(j->n.ctx, sqz_trainer_create(&j->t, &o, &j->trainer));
}

static void end(job *j)
{
    sqz_trainer_free(j->trainer);
    sqz_training_free(&j->t);
    net_end(&j->n);
}

static sqz_status fill(void *user, const sqz_tape *t, const sqz_train_step *s)
{
    job *j = user;
    sqz_rng r = {.seed = 77 + s->step};
    float *x = sqz_tape_data(t, j->x), *y = sqz_tape_data(t, j->label);
    for (size_t i = 0; i < BATCH; i++) {
        for (size_t k = 0; k < IN; k++)
            x[i * IN + k] = (float)sqz_rng_normal(&r);
        const double v = (double)(x[i * IN] - x[i * IN + 1]);
        const double scale = s->step >= j->from ? j->scale : 1;
        y[i * OUT] = (float)(v * scale);
        y[i * OUT + 1] = (float)(fabs(v) * scale);
    }
    return SQZ_OK;
}

static sqz_status scores(void *user, const sqz_trainer *t, double *score)
{
    job *j = user;
    uint32_t n;
    (void)sqz_trainer_epochs(t, &n);
    *score = j->score[n];
    j->asked++;
    return SQZ_OK;
}

static sqz_status run(job *j, sqz_train_end *end)
{
    sqz_train_hooks h = {.user = j, .fill = fill, .evaluate = j->score ? scores : NULL};
    return sqz_trainer_run(j->trainer, &h, end);
}

/* All trained numbers and statistics of the model that came out. */
static uint64_t sum_of(job *j)
{
    uint64_t sum = 0;
    TEST_OK(j->n.ctx, sqz_trainer_write(j->trainer, j->model));
    for (sqz_vid v = 0; v < j->model->n_value; v++) {
        const sqz_tensor *t = sqz_val(j->model, v)->constant;
        for (size_t i = 0; t && i < t->bytes; i++)
            sum = sum * 31 + ((const unsigned char *)t->data)[i];
    }
    return sum;
}

static uint64_t whole(sqz_trainer_options o, int threads)
{
    job j = {.threads = threads};
    sqz_train_end e;
    begin(&j, o);
    TEST_OK(j.n.ctx, run(&j, &e));
    assert_int_equal(e, SQZ_TRAIN_DONE);
    const uint64_t sum = sum_of(&j);
    end(&j);
    return sum;
}

static void test_the_loss_falls_and_the_curve_says_so(void **state)
{
    (void)state;
    static const char *const optimizer[] = {"sgd(momentum=0.9)", "sgd(momentum=0.9 nesterov=1)",
                                            "adam", "adamw", "lamb"};
    static const double rate[] = {0.05, 0.05, 0.02, 0.02, 0.02};
    for (size_t i = 0; i < SQZ_COUNT(optimizer); i++) {
        job j = {0};
        sqz_train_end e;
        uint32_t n;
        begin(&j,
              (sqz_trainer_options){
                  .optimizer = optimizer[i], .rate = rate[i], .clip = i % 2 ? 1 : 0, .epochs = 20});
        TEST_OK(j.n.ctx, run(&j, &e));
        const sqz_epoch *row = sqz_trainer_epochs(j.trainer, &n);
        assert_int_equal(n, 20);
        if (!(row[19].report[0] < 0.3 * row[0].report[0]))
            fail_msg("%s: loss from %g to %g", optimizer[i], row[0].report[0], row[19].report[0]);
        assert_true(row[19].rate < row[1].rate);
        end(&j);
    }
}

static void test_same_bytes_for_any_number_of_threads(void **state)
{
    (void)state;
    const sqz_trainer_options o = {.optimizer = "adam", .rate = 0.01, .clip = 0.5, .ema = 0.9};
    assert_true(whole(o, 1) == whole(o, 3));
}

/* Stopped after any step, also in the middle of an epoch, and taken up by another trainer. */
static void test_an_interrupted_training_ends_with_the_same_bytes(void **state)
{
    (void)state;
    char path[] = "/tmp/sqz_trainer_XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    sqz_trainer_options o = {.optimizer = "adamw", .rate = 0.01, .decay = 0.01, .ema = 0.95};
    const uint64_t want = whole(o, 2);
    o.checkpoint = path;
    o.identity = "this one";
    for (uint64_t stop = 1; stop < EPOCHS * STEPS; stop += 4) {
        (void)unlink(path);
        for (int part = 0; part < 3; part++) { /* stops twice */
            job j = {.threads = 1 + part};
            bool found;
            sqz_train_end e;
            begin(&j, o);
            j.stop = part == 0 ? stop : part == 1 ? stop + 2 : 0;
            TEST_OK(j.n.ctx, sqz_trainer_resume(j.trainer, &found));
            assert_true(found == (part > 0));
            const sqz_status s = run(&j, &e);
            if (part == 2 || (part == 1 && stop + 2 >= EPOCHS * STEPS)) {
                TEST_OK(j.n.ctx, s);
                assert_true(sum_of(&j) == want);
            } else {
                assert_int_equal(s, SQZ_E_ARG);
            }
            end(&j);
        }
    }
    (void)unlink(path);
}

static void test_the_best_epoch_is_kept_and_patience_ends(void **state)
{
    (void)state;
    static const double score[] = {0.1, 0.5, 0.4, 0.45, 0.3, 0.9};
    job j = {.score = score};
    sqz_train_end e;
    uint32_t n;
    begin(&j, (sqz_trainer_options){.rate = 0.05, .patience = 3});
    TEST_OK(j.n.ctx, run(&j, &e));
    assert_int_equal(e, SQZ_TRAIN_EARLY);
    const sqz_epoch *row = sqz_trainer_epochs(j.trainer, &n);
    assert_int_equal(n, 5);
    for (uint32_t i = 0; i < n; i++)
        assert_true(row[i].best == (i < 2));
    const uint64_t got = sum_of(&j);
    end(&j);
    job k = {0}; /* as if it had ended after that epoch: the schedule needs the same length */
    begin(&k, (sqz_trainer_options){.rate = 0.05});
    k.stop = 2 * STEPS;
    assert_int_equal(run(&k, &e), SQZ_E_ARG);
    assert_true(sum_of(&k) == got);
    end(&k);
}

static void test_a_loss_that_leaves_its_course_ends_with_what_was_best(void **state)
{
    (void)state;
    static const double score[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};
    static const double bad[] = {(double)NAN, 30};
    for (int i = 0; i < 2; i++) {
        job j = {.score = score};
        sqz_train_end e;
        uint32_t n;
        begin(&j, (sqz_trainer_options){.rate = 1e-3, .clip = 0.1, .epochs = i ? 30 : EPOCHS});
        j.scale = bad[i];
        j.from = i ? 60 : 17;
        if (i) /* no scores for so many epochs */
            j.score = NULL;
        TEST_OK(j.n.ctx, run(&j, &e));
        assert_int_equal(e, SQZ_TRAIN_DIVERGED);
        const char *why = sqz_trainer_why(j.trainer);
        if (!strstr(why, i ? "at step 99" : "at step 17"))
            fail_msg("%s", why);
        (void)sqz_trainer_epochs(j.trainer, &n);
        assert_int_equal(n, i ? 99 / STEPS : 2);
        for (int k = 0; k < MID * OUT; k++)
            assert_true(isfinite(sqz_trainer_numbers(j.trainer, 4)[k % 2]));
        end(&j);
    }
}

static void test_checkpoints_of_others_and_damaged_ones_are_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/sqz_trainer_XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)unlink(path);
    const sqz_trainer_options o = {.checkpoint = path, .identity = "a", .rate = 0.01};
    job j = {0};
    sqz_train_end e;
    bool found;
    begin(&j, o);
    TEST_OK(j.n.ctx, run(&j, &e));
    end(&j);
    sqz_trainer_options other = o;
    other.identity = "b";
    begin(&j, other);
    TEST_FAILS(j.n.ctx, sqz_trainer_resume(j.trainer, &found), SQZ_E_ARG, "another training");
    end(&j);
    begin(&j, o);
    void *data;
    size_t bytes;
    TEST_OK(j.n.ctx, sqz_file_read(j.n.ctx, path, SIZE_MAX, &data, &bytes));
    unsigned char *p = data;
    for (size_t cut = 0; cut < bytes; cut += bytes / 13 + 1) {
        TEST_OK(j.n.ctx, sqz_file_write(j.n.ctx, path, cut ? data : "x", cut ? cut : 1));
        TEST_FAILS(j.n.ctx, sqz_trainer_resume(j.trainer, &found), SQZ_E_FORMAT, path);
    }
    for (size_t at = 200; at < bytes; at += bytes / 17 + 1) {
        p[at] ^= 4;
        TEST_OK(j.n.ctx, sqz_file_write(j.n.ctx, path, data, bytes));
        TEST_FAILS(j.n.ctx, sqz_trainer_resume(j.trainer, &found), SQZ_E_FORMAT, "damaged");
        p[at] ^= 4;
    }
    sqz_free(j.n.ctx, data);
    end(&j);
    (void)unlink(path);
}

static void test_wrong_options_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        sqz_trainer_options o;
        const char *part;
    } wrong[] = {{{.optimizer = "sdg"}, "did you mean 'sgd'"},
                 {{.optimizer = "sgd,adam"}, "expected one"},
                 {{.schedule = "cosin"}, "did you mean 'cosine'"},
                 {{.rate = -1}, "learning rate -1"},
                 {{.ema = 1}, "average 1"}};
    job j = {0};
    begin(&j, (sqz_trainer_options){.rate = 0.1});
    for (size_t i = 0; i < SQZ_COUNT(wrong); i++) {
        sqz_trainer_options o = wrong[i].o;
        sqz_trainer *t;
        o.epochs = o.steps = o.n_report = 1;
        o.trained = j.trained;
        o.n_trained = 6;
        TEST_FAILS(j.n.ctx, sqz_trainer_create(&j.t, &o, &t), SQZ_E_ARG, wrong[i].part);
        assert_null(t);
    }
    end(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_loss_falls_and_the_curve_says_so),
        cmocka_unit_test(test_same_bytes_for_any_number_of_threads),
        cmocka_unit_test(test_an_interrupted_training_ends_with_the_same_bytes),
        cmocka_unit_test(test_the_best_epoch_is_kept_and_patience_ends),
        cmocka_unit_test(test_a_loss_that_leaves_its_course_ends_with_what_was_best),
        cmocka_unit_test(test_checkpoints_of_others_and_damaged_ones_are_refused),
        cmocka_unit_test(test_wrong_options_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
