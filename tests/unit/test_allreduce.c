/* Processes that share a batch compute what one computes on all of it. The team is one of threads,
 * each with a context of its own; under mpirun (tests/cmake/mpi.cmake) it is one of processes. */
#include "../net.h"
#include "train/allreduce.h"
#include "train/training.h"
#include <pthread.h>

enum { EACH = 4, SIDE = 6, MOST = 4 }; /* samples of a member; threads */

static void sure(sqz_ctx *ctx, sqz_status s)
{
    if (s == SQZ_OK)
        return;
    fprintf(stderr, "%s\n", sqz_last_error(ctx)); /* not on cmocka's thread */
    abort();
}

/* ---- one member: the same network, its samples of the batch, one step ---- */

typedef struct member {
    net n;
    sqz_training t;
    sqz_tape *tape;
    sqz_parameter *p;
    sqz_vid *want;
    uint32_t n_want;
    sqz_arena a;
} member;

static sqz_vid block(net *n, const char *name, sqz_vid x, int64_t in, int64_t out)
{
    static const char *const part[4] = {"scale", "bias", "mean", "variance"};
    char w[32];
    (void)snprintf(w, sizeof w, "%s.w", name);
    sqz_vid v[5] = {
        net_node(n, "conv2d", name, "pads=1,1,1,1", 2,
                 (sqz_vid[]){x, net_const(n, w, (sqz_shape){4, {out, in, 3, 3}}, 0.2)})};
    for (int i = 0; i < 4; i++) {
        (void)snprintf(w, sizeof w, "%s.%s", name, part[i]);
        v[i + 1] = net_const(n, w, (sqz_shape){1, {out}}, i == 3 ? 0 : 1);
    }
    (void)snprintf(w, sizeof w, "%s.y", name);
    return net_node(n, "batch_norm", w, "", 5, v);
}

static void member_make(member *m, const sqz_team *team, int64_t batch)
{
    *m = (member){.n = net_begin(7)};
    sqz_vid x = net_input(&m->n, (sqz_shape){4, {batch, 3, SIDE, SIDE}});
    x = net_unary(&m->n, "relu", "r", "", block(&m->n, "c0", x, 3, 8));
    x = block(&m->n, "c1", x, 8, 5);
    x = net_unary(&m->n, "dropout", "d", "ratio=0.3", net_unary(&m->n, "sigmoid", "s", "", x));
    x = net_unary(&m->n, "flatten", "f", "", x);
    sure(m->n.ctx, sqz_graph_set_outputs(m->n.g, &x, 1));
    sure(m->n.ctx, sqz_run_recipe(m->n.g, SQZ_TRAINABLE, &(sqz_env){0}));
    m->a.ctx = m->n.ctx;
    sure(m->n.ctx, sqz_training_parameters(m->n.g, &m->a, &m->p, &m->n_want));
    m->want = sqz_arena_alloc(&m->a, m->n_want, sizeof *m->want);
    for (uint32_t i = 0; i < m->n_want; i++)
        m->want[i] = m->p[i].value;
    sure(m->n.ctx, sqz_training_make(
                       m->n.g, &(sqz_training_options){.processes = team ? team->size : 1}, &m->t));
    sure(m->n.ctx, sqz_tape_create(m->t.g,
                                   &(sqz_tape_options){.want = m->want,
                                                       .n_want = m->n_want,
                                                       .seed = m->t.g->output,
                                                       .n_seed = 1,
                                                       .read = m->t.read,
                                                       .n_read = m->t.n_read,
                                                       .team = team},
                                   &m->tape));
}

/* Samples from `first` on; the loss is the mean over the samples of weighted outputs. */
static void member_step(member *m, const sqz_team *team, size_t first, size_t samples)
{
    const sqz_vid in = m->t.g->input[0], out = m->t.g->output[0];
    const size_t nx = sqz_tape_count(m->tape, in) / samples,
                 ny = sqz_tape_count(m->tape, out) / samples;
    sqz_rng r = {.seed = 1, .counter = 0};
    for (size_t i = 0; i < samples * nx; i++) {
        r.counter = 1000 * (first * nx + i);
        sqz_tape_data(m->tape, in)[i] = (float)(1 + 2 * sqz_rng_normal(&r));
    }
    sure(m->n.ctx, sqz_tape_forward(m->tape));
    for (size_t i = 0; i < samples * ny; i++) {
        r = (sqz_rng){.seed = 2, .counter = 1000 * (first * ny + i)};
        sqz_tape_grad(m->tape, out)[i] = (float)(sqz_rng_normal(&r) / (double)samples);
    }
    sure(m->n.ctx, sqz_tape_backward(m->tape));
    if (team)
        sure(m->n.ctx, sqz_team_gradients(team, m->tape, m->want, m->n_want));
    sqz_training_moved(&m->t, m->tape);
}

static void member_free(member *m)
{
    sqz_tape_free(m->tape);
    sqz_training_free(&m->t);
    sqz_arena_free(&m->a);
    net_end(&m->n);
}

/* The gradients and running statistics of a member are those of `whole`. */
static void compare(const member *m, const member *whole)
{
    for (uint32_t i = 0; i < m->n_want; i++) {
        double top = 0;
        const size_t n = sqz_tape_count(m->tape, m->want[i]);
        for (size_t k = 0; k < n; k++)
            top = fmax(top, fabs((double)sqz_tape_grad(whole->tape, m->want[i])[k]));
        assert_true(top > 0);
        for (size_t k = 0; k < n; k++) /* rounding of sums of some hundred floats, twice */
            TEST_NEAR((double)sqz_tape_grad(m->tape, m->want[i])[k],
                      (double)sqz_tape_grad(whole->tape, m->want[i])[k], 2e-5 * top);
    }
    for (uint32_t i = 0; i < m->t.n_norm; i++)
        for (size_t k = 0; k < m->t.norm[i].n; k++) {
            const sqz_training_norm *a = &m->t.norm[i], *b = &whole->t.norm[i];
            TEST_NEAR((double)a->running_mean[k], (double)b->running_mean[k], 1e-5);
            TEST_NEAR((double)a->running_variance[k], (double)b->running_variance[k], 1e-5);
        }
}

/* ---- a team of threads ---- */

static struct meeting {
    pthread_barrier_t all;
    double *of[MOST];
    int size;
} meeting;

static sqz_status sum_of_threads(void *user, double *v, size_t n)
{
    double *sum = calloc(n + 1, sizeof *sum);
    if (!sum)
        abort();
    meeting.of[*(int *)user] = v;
    (void)pthread_barrier_wait(&meeting.all);
    for (int r = 0; r < meeting.size; r++)
        for (size_t i = 0; i < n; i++)
            sum[i] += meeting.of[r][i];
    (void)pthread_barrier_wait(&meeting.all);
    memcpy(v, sum, n * sizeof *v);
    free(sum);
    return SQZ_OK;
}

static member members[MOST];

static void *live(void *arg)
{
    int rank = *(int *)arg;
    const sqz_team team = {rank, meeting.size, sum_of_threads, &rank};
    member_make(&members[rank], &team, EACH);
    member_step(&members[rank], &team, (size_t)rank * EACH, EACH);
    return NULL;
}

static void threads_compute_as_one(int size)
{
    pthread_t thread[MOST];
    int rank[MOST];
    member whole;
    meeting.size = size;
    assert_int_equal(pthread_barrier_init(&meeting.all, NULL, (unsigned)size), 0);
    for (int r = 0; r < size; r++) {
        rank[r] = r;
        assert_int_equal(pthread_create(&thread[r], NULL, live, &rank[r]), 0);
    }
    for (int r = 0; r < size; r++)
        assert_int_equal(pthread_join(thread[r], NULL), 0);
    member_make(&whole, NULL, (int64_t)EACH * size);
    member_step(&whole, NULL, 0, (size_t)EACH * (size_t)size);
    for (int r = 0; r < size; r++)
        compare(&members[r], &whole);
    for (int r = 1; r < size; r++) /* they stay together */
        for (uint32_t i = 0; i < whole.n_want; i++)
            assert_memory_equal(sqz_tape_grad(members[r].tape, whole.want[i]),
                                sqz_tape_grad(members[0].tape, whole.want[i]),
                                sqz_tape_count(whole.tape, whole.want[i]) * sizeof(float));
    for (int r = 0; r < size; r++)
        member_free(&members[r]);
    member_free(&whole);
    (void)pthread_barrier_destroy(&meeting.all);
}

static void test_two_members_compute_as_one_process(void **state)
{
    (void)state;
    threads_compute_as_one(2);
}

static void test_three_members_compute_as_one_process(void **state)
{
    (void)state;
    threads_compute_as_one(3);
}

/* ---- the team that mpirun starts; of one otherwise ---- */

static sqz_ctx *outer;
static sqz_team *joined;

static void test_sums_are_of_all_ranks(void **state)
{
    enum { N = 100003 };
    float *v = calloc(N, sizeof *v);
    (void)state;
    assert_non_null(v);
    for (size_t i = 0; i < N; i++)
        v[i] = (float)(i % 1000) + (float)joined->rank;
    TEST_OK(outer, sqz_team_mean(joined, v, N));
    for (size_t i = 0; i < N; i++)
        TEST_NEAR((double)v[i], (double)(i % 1000) + (joined->size - 1) / 2.0, 1e-4);
    free(v);
}

static void test_joined_processes_compute_as_one(void **state)
{
    member m, whole;
    (void)state;
    member_make(&m, joined, EACH);
    member_step(&m, joined, (size_t)joined->rank * EACH, EACH);
    member_make(&whole, NULL, (int64_t)EACH * joined->size);
    member_step(&whole, NULL, 0, (size_t)EACH * (size_t)joined->size);
    compare(&m, &whole);
    member_free(&m);
    member_free(&whole);
}

/* Optional argument: how many processes the team must have. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_members_compute_as_one_process),
        cmocka_unit_test(test_three_members_compute_as_one_process),
        cmocka_unit_test(test_sums_are_of_all_ranks),
        cmocka_unit_test(test_joined_processes_compute_as_one),
    };
    outer = test_ctx();
    sure(outer, sqz_team_join(outer, &joined));
    int failed = argc > 1 && joined->size != atoi(argv[1]);
    if (failed)
        fprintf(stderr, "a team of %d\n", (int)joined->size);
    else
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    sqz_team_leave(outer, joined);
    sqz_ctx_free(outer);
    return failed;
}
