/* A training that is killed with SIGKILL and begun again by the same command ends with the same
 * bytes as one that was not. Each run is a process of its own: this program, with arguments. */
#include "../net.h"
#include "train/trainer.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 8, CLASSES = 3, STEPS = 5, EPOCHS = 5, N_SAVED = 4 };
enum { RESUMED = 3, EVERY_STEP = 0, EVERY_EPOCH = 1 }; /* exit status; when checkpoints are due */

/* Where in a run the process dies; NOWHERE: it lives. */
typedef enum place { NOWHERE, FILL, AFTER, STEP_DONE, EVALUATE, EPOCH_DONE, N_PLACE } place;
typedef struct plan {
    const char *folder;
    int threads, due;
    place where;
    uint64_t step; /* EVALUATE: epoch */
} plan;

/* ---- the process that trains ---- */

typedef struct job {
    const plan *p;
    net n;
    sqz_training t;
    sqz_vid x, label;
    float saved[N_SAVED]; /* as a loss with a memory has it: what a step saw changes the next */
} job;

static void die_at(const job *j, place where, uint64_t step)
{
    if (j->p->where == where && j->p->step == step)
        (void)raise(SIGKILL);
}

static sqz_status fill(void *user, const sqz_tape *t, const sqz_train_step *s)
{
    const job *j = user;
    sqz_rng r = {.seed = 900 + s->step};
    float *x = sqz_tape_data(t, j->x), *y = sqz_tape_data(t, j->label);
    die_at(j, FILL, s->step);
    for (size_t i = 0; i < sqz_tape_count(t, j->x); i++)
        x[i] = (float)sqz_rng_normal(&r);
    for (size_t i = 0; i < BATCH; i++)
        for (size_t k = 0; k < CLASSES; k++)
            y[i * CLASSES + k] = (i + s->step) % CLASSES == k ? 1 + j->saved[k] : 0.0f;
    return SQZ_OK;
}

static sqz_status after(void *user, const sqz_tape *t, const sqz_train_step *s)
{
    job *j = user;
    const float loss = sqz_tape_data(t, j->t.g->output[0])[0];
    die_at(j, AFTER, s->step);
    for (size_t k = 0; k < N_SAVED; k++)
        j->saved[k] = 0.5f * j->saved[k] + 0.01f * (float)(k + 1) * loss;
    return SQZ_OK;
}

static void step_done(void *user, const sqz_train_step *s, double loss)
{
    (void)loss;
    die_at(user, STEP_DONE, s->step);
}

/* The third epoch is the best. */
static sqz_status evaluate(void *user, const sqz_trainer *t, double *score)
{
    static const double scores[EPOCHS] = {0.3, 0.1, 0.7, 0.6, 0.2};
    uint32_t n;
    (void)sqz_trainer_epochs(t, &n);
    die_at(user, EVALUATE, n);
    *score = scores[n];
    return SQZ_OK;
}

static void epoch_done(void *user, const sqz_train_step *s, const sqz_epoch *row)
{
    (void)row;
    die_at(user, EPOCH_DONE, s->step);
}

/* A convolution, a batch norm, a dropout and a product: all that remembers or draws. */
static void make_model(net *n)
{
    const sqz_shape c = {1, {4}};
    const sqz_vid x = net_input(n, (sqz_shape){4, {BATCH, 2, 6, 6}});
    const sqz_vid norm[5] = {net_conv(n, "conv", x, 4, 3), net_const(n, "scale", c, 1),
                             net_const(n, "shift", c, 0.1), net_const(n, "mean", c, 0.1),
                             net_const(n, "variance", c, 0)};
    for (int i = 0; i < 4; i++)
        net_numbers(n, "variance")[i] = 1;
    sqz_vid y = net_unary(n, "relu", "h", "", net_node(n, "batch_norm", "bn", "", 5, norm));
    y = net_unary(n, "dropout", "drop", "", net_unary(n, "flatten", "flat", "axis=1", y));
    const sqz_vid head[3] = {y, net_const(n, "w", (sqz_shape){2, {CLASSES, 144}}, 0.1),
                             net_const(n, "b", (sqz_shape){1, {CLASSES}}, 0.1)};
    y = net_node(n, "gemm", "head", "", 3, head);
    TEST_OK(n->ctx, sqz_graph_set_outputs(n->g, &y, 1));
    TEST_OK(n->ctx, sqz_run_recipe(n->g, SQZ_TRAINABLE, &(sqz_env){0}));
}

/* Its training graph: loss = mean (y - label)^2. */
static void make_training(job *j)
{
    const sqz_shape label = {2, {BATCH, CLASSES}};
    TEST_OK(j->n.ctx, sqz_training_make(j->n.g, &(sqz_training_options){.seed = 9}, &j->t));
    net on = {.ctx = j->n.ctx, .g = j->t.g};
    j->x = on.g->input[0];
    TEST_OK(on.ctx, sqz_graph_input(on.g, "label", SQZ_F32, &label, &j->label));
    const sqz_vid d = net_binary(&on, "sub", "difference", on.g->output[0], j->label);
    const sqz_vid loss = net_unary(&on, "reduce_mean", "loss", "",
                                   net_binary(&on, "mul", "square", d, d));
    TEST_OK(on.ctx, sqz_graph_set_outputs(on.g, &loss, 1));
}

static const char *path_of(char out[256], const plan *p, const char *name)
{
    (void)snprintf(out, 256, "%s/%s", p->folder, name);
    return out;
}

/* All constants of the model. */
static void write_result(const job *j)
{
    char path[256];
    sqz_outfile f;
    TEST_OK(j->n.ctx, sqz_out_begin(j->n.ctx, path_of(path, j->p, "result"), &f));
    for (sqz_vid v = 0; v < j->n.g->n_value; v++) {
        const sqz_tensor *t = sqz_val(j->n.g, v)->constant;
        if (t)
            TEST_OK(j->n.ctx, sqz_out_write(&f, t->data, t->bytes));
    }
    TEST_OK(j->n.ctx, sqz_out_commit(&f));
}

static sqz_trainer *make_trainer(job *j, sqz_arena *a, const char *checkpoint)
{
    sqz_parameter *list;
    uint32_t n;
    sqz_trainer *t;
    TEST_OK(j->n.ctx, sqz_training_parameters(j->n.g, a, &list, &n));
    sqz_trained *trained = sqz_arena_alloc(a, n, sizeof *trained);
    assert_non_null(trained);
    for (uint32_t i = 0; i < n; i++)
        trained[i] = (sqz_trained){list[i].value, list[i].decays, 1, -INFINITY};
    const sqz_saved saved = {.name = "memory", .numbers = j->saved, .n = N_SAVED};
    const sqz_trainer_options o = {.optimizer = "adamw",
                                   .schedule = "onecycle",
                                   .rate = 0.02,
                                   .decay = 0.01,
                                   .clip = 1,
                                   .ema = 0.9,
                                   .epochs = EPOCHS,
                                   .steps = STEPS,
                                   .trained = trained,
                                   .n_trained = n,
                                   .n_report = 1,
                                   .saved = &saved,
                                   .n_saved = 1,
                                   .checkpoint = checkpoint,
                                   .every = j->p->due == EVERY_STEP ? 1e-9 : 1e9,
                                   .identity = "kill"};
    TEST_OK(j->n.ctx, sqz_trainer_create(&j->t, &o, &t));
    return t;
}

static int train(const plan *p)
{
    char checkpoint[256];
    job j = {.p = p, .n.r.seed = 21};
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = p->threads;
    assert_int_equal(sqz_ctx_create(&o, &j.n.ctx), SQZ_OK);
    TEST_OK(j.n.ctx, sqz_graph_create(j.n.ctx, &j.n.g));
    sqz_arena a = {.ctx = j.n.ctx};
    make_model(&j.n);
    make_training(&j);
    sqz_trainer *t = make_trainer(&j, &a, path_of(checkpoint, p, "checkpoint"));
    const sqz_train_hooks h = {&j, fill, after, evaluate, step_done, epoch_done};
    sqz_train_end e;
    bool found;
    TEST_OK(j.n.ctx, sqz_trainer_resume(t, &found));
    TEST_OK(j.n.ctx, sqz_trainer_run(t, &h, &e));
    assert_int_equal(e, SQZ_TRAIN_DONE);
    TEST_OK(j.n.ctx, sqz_trainer_write(t, j.n.g));
    write_result(&j);
    sqz_trainer_free(t);
    sqz_arena_free(&a);
    sqz_training_free(&j.t);
    net_end(&j.n);
    return found ? RESUMED : 0;
}

/* ---- the process that looks on ---- */

static char self[4096], folder[] = "/tmp/sqz_kill_XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

/* Also what killed processes left half written. */
static int tear_down(void **state)
{
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static pid_t start(const plan *p)
{
    char text[4][24];
    (void)snprintf(text[0], sizeof text[0], "%d", p->threads);
    (void)snprintf(text[1], sizeof text[1], "%d", p->due);
    (void)snprintf(text[2], sizeof text[2], "%d", (int)p->where);
    (void)snprintf(text[3], sizeof text[3], "%llu", (unsigned long long)p->step);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)execl(self, self, p->folder, text[0], text[1], text[2], text[3], (char *)NULL);
        _exit(127);
    }
    return child;
}

/* How it ended: -1 for killed, else its exit status. */
static int end_of(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return -1;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void forget(void)
{
    char path[256];
    const plan p = {.folder = folder};
    (void)unlink(path_of(path, &p, "checkpoint"));
    (void)unlink(path_of(path, &p, "result"));
}

/* Sum of what a run left. */
static void result_of(char hex[65])
{
    char path[256];
    sqz_ctx *ctx = test_ctx();
    const plan p = {.folder = folder};
    TEST_OK(ctx, sqz_file_sha256(ctx, path_of(path, &p, "result"), hex));
    sqz_ctx_free(ctx);
}

static void expect_result(const char *want, const plan *p)
{
    char got[65];
    result_of(got);
    if (strcmp(got, want) != 0)
        fail_msg("other bytes after a kill at place %d, step %llu, checkpoints %d", (int)p->where,
                 (unsigned long long)p->step, p->due);
}

/* What a run that nobody kills leaves, and how long it takes. */
static double undisturbed(char hex[65], int threads, int due)
{
    const plan p = {.folder = folder, .threads = threads, .due = due};
    const double begin = sqz_now();
    forget();
    assert_int_equal(end_of(start(&p)), 0);
    const double took = sqz_now() - begin;
    result_of(hex);
    return took;
}

static void test_threads_and_checkpoints_change_nothing(void **state)
{
    char one[65], other[65];
    (void)state;
    (void)undisturbed(one, 1, EVERY_EPOCH);
    (void)undisturbed(other, 2, EVERY_EPOCH);
    assert_string_equal(one, other);
    (void)undisturbed(other, 1, EVERY_STEP);
    assert_string_equal(one, other);
}

/* In every phase of a step and of an epoch's end, at a step drawn from all; another number of
 * threads goes on. */
static void test_killed_in_any_phase_it_ends_with_the_same_bytes(void **state)
{
    char want[65];
    sqz_rng r = {.seed = 31};
    (void)state;
    (void)undisturbed(want, 1, EVERY_EPOCH);
    for (int where = FILL; where < N_PLACE; where++)
        for (int due = EVERY_STEP; due <= EVERY_EPOCH; due++) {
            const uint64_t epoch = 1 + sqz_rng_below(&r, EPOCHS - 1);
            plan p = {.folder = folder, .threads = 1 + due, .due = due, .where = (place)where};
            p.step = where == EVALUATE     ? epoch
                     : where == EPOCH_DONE ? (epoch + 1) * STEPS - 1
                                           : epoch * STEPS + sqz_rng_below(&r, STEPS);
            forget();
            assert_int_equal(end_of(start(&p)), -1);
            p.threads = 3 - p.threads;
            p.where = NOWHERE;
            assert_int_equal(end_of(start(&p)), RESUMED);
            p.where = (place)where;
            expect_result(want, &p);
        }
}

/* By another process at any moment, mostly while a checkpoint is written; several times in one
 * training. */
static void test_killed_at_random_moments_it_ends_with_the_same_bytes(void **state)
{
    enum { KILLS = 12, MOST = 400 };
    char want[65];
    sqz_rng r = {.seed = 32};
    const plan p[2] = {{.folder = folder, .threads = 1}, {.folder = folder, .threads = 2}};
    int kills = 0, resumed = 0;
    (void)state;
    const double took = undisturbed(want, 1, EVERY_STEP);
    forget();
    for (int i = 0; kills < KILLS || !resumed; i++) {
        assert_true(i < MOST);
        const pid_t child = start(&p[i % 2]);
        (void)usleep((useconds_t)(1e6 * took * sqz_rng_uniform(&r)));
        (void)kill(child, SIGKILL);
        const int end = end_of(child);
        kills += end == -1;
        if (end == -1)
            continue;
        assert_true(end == 0 || end == RESUMED);
        resumed += end == RESUMED;
        expect_result(want, &p[0]);
        forget();
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_checkpoints_change_nothing),
        cmocka_unit_test(test_killed_in_any_phase_it_ends_with_the_same_bytes),
        cmocka_unit_test(test_killed_at_random_moments_it_ends_with_the_same_bytes),
    };
    if (argc == 6) {
        const plan p = {argv[1], atoi(argv[2]), atoi(argv[3]), (place)atoi(argv[4]),
                        (uint64_t)atoll(argv[5])};
        return train(&p);
    }
    if (!realpath(argv[0], self))
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
