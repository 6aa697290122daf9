/* Contexts, errors, memory, threads. */
#include "sqz_test.h"
#include <unistd.h>

/* ---- errors ---- */
static void test_notes_prefix_the_sentence(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    assert_int_equal(sqz_note(ctx, SQZ_OK, "not %s", "seen"), SQZ_OK);
    assert_string_equal(sqz_last_error(ctx), "");
    assert_int_equal(sqz_fail(ctx, SQZ_E_SHAPE, "%d is not %d", 1, 2), SQZ_E_SHAPE);
    assert_int_equal(sqz_note(ctx, SQZ_E_SHAPE, "node '%s'", "n"), SQZ_E_SHAPE);
    assert_int_equal(sqz_note(ctx, SQZ_E_SHAPE, "model"), SQZ_E_SHAPE);
    assert_string_equal(sqz_last_error(ctx), "model: node 'n': 1 is not 2");
    sqz_ctx_free(ctx);
}

static void test_long_sentences_are_cut_not_overrun(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    char text[3000];
    memset(text, 'x', sizeof text);
    text[2999] = 0;
    (void)sqz_fail(ctx, SQZ_E_ARG, "%s", text);
    assert_int_equal(strlen(sqz_last_error(ctx)), sizeof ctx->error - 1);
    (void)sqz_note(ctx, SQZ_E_ARG, "where");
    assert_int_equal(strlen(sqz_last_error(ctx)), sizeof ctx->error - 1);
    assert_memory_equal(sqz_last_error(ctx), "where: xxx", 10);
    for (size_t n = 1010; n < 1040; n++) { /* a note that leaves little or no room */
        text[n] = 0;
        (void)sqz_fail(ctx, SQZ_E_ARG, "end");
        (void)sqz_note(ctx, SQZ_E_ARG, "%s", text);
        assert_true(strlen(sqz_last_error(ctx)) < sizeof ctx->error);
        text[n] = 'x';
    }
    sqz_ctx_free(ctx);
}

static void test_every_status_has_a_text(void **state)
{
    (void)state;
#define SQZ_STATUS(sym, num, text)                                                                 \
    assert_string_equal(sqz_status_name(SQZ_##sym), text);                                         \
    assert_int_equal(SQZ_##sym, num);
#include "squeeze/status.def"
#undef SQZ_STATUS
    assert_string_equal(sqz_status_name((sqz_status)12345), "unknown status");
    assert_string_equal(sqz_last_error(NULL), "");
}

/* ---- memory ---- */
static void test_sizes_are_checked(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    size_t v;
    assert_true(sqz_mul(3, 4, &v) && v == 12);
    assert_false(sqz_mul(SIZE_MAX / 2, 3, &v));
    assert_false(sqz_add(SIZE_MAX, 1, &v));
    assert_null(sqz_malloc(ctx, 0));
    assert_null(sqz_malloc(ctx, SIZE_MAX));
    assert_non_null(strstr(sqz_last_error(ctx), "cannot allocate"));
    assert_null(sqz_calloc(ctx, SIZE_MAX / 2, 4));
    assert_non_null(strstr(sqz_last_error(ctx), "size overflow"));
    assert_null(sqz_malloc_aligned(ctx, SIZE_MAX - 10));
    sqz_arena a = {.ctx = ctx};
    assert_null(sqz_arena_alloc(&a, SIZE_MAX / 2, 3));
    assert_null(sqz_arena_alloc(&a, SIZE_MAX - 20, 1));
    assert_null(a.head);
    sqz_arena_free(&a);
    sqz_ctx_free(ctx);
}

static void test_realloc_keeps_what_fits(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    char *p = sqz_realloc(ctx, NULL, 0, 4);
    assert_non_null(p);
    memcpy(p, "abc", 4);
    p = sqz_realloc(ctx, p, 4, 1000);
    assert_string_equal(p, "abc");
    p = sqz_realloc(ctx, p, 1000, 2);
    assert_memory_equal(p, "ab", 2);
    assert_null(sqz_realloc(ctx, p, 2, SIZE_MAX)); /* the old block is still there */
    assert_memory_equal(p, "ab", 2);
    sqz_free(ctx, p);
    sqz_free(ctx, NULL);
    sqz_ctx_free(ctx);
}

static void test_aligned_blocks_are_aligned(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    void *p[40];
    for (size_t i = 0; i < SQZ_COUNT(p); i++) {
        p[i] = sqz_malloc_aligned(ctx, i * 7);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % SQZ_ALIGN, 0);
        memset(p[i], 0xee, i * 7);
    }
    for (size_t i = 0; i < SQZ_COUNT(p); i++)
        sqz_free_aligned(ctx, p[i]);
    sqz_free_aligned(ctx, NULL);
    sqz_ctx_free(ctx);
}

static void test_arena_blocks_are_zeroed_apart_and_aligned(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_arena a = {.ctx = ctx};
    sqz_rng r = {.seed = 3};
    struct {
        unsigned char *p;
        size_t n;
    } b[300];
    for (size_t i = 0; i < SQZ_COUNT(b); i++) {
        b[i].n = i % 50 == 49 ? 100000 : sqz_rng_below(&r, 300);
        b[i].p = sqz_arena_alloc(&a, b[i].n, 1);
        assert_non_null(b[i].p);
        assert_int_equal((uintptr_t)b[i].p % (b[i].n >= SQZ_ALIGN ? SQZ_ALIGN : 16), 0);
        for (size_t k = 0; k < b[i].n; k++)
            assert_int_equal(b[i].p[k], 0);
        memset(b[i].p, (int)(i % 255 + 1), b[i].n);
    }
    for (size_t i = 0; i < SQZ_COUNT(b); i++) /* nobody wrote into a neighbour */
        for (size_t k = 0; k < b[i].n; k++)
            assert_int_equal(b[i].p[k], i % 255 + 1);
    assert_string_equal(sqz_arena_strdup(&a, "text"), "text");
    assert_string_equal(sqz_arena_strndup(&a, "text", 2), "te");
    assert_string_equal(sqz_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    sqz_arena_free(&a);
    assert_null(a.head);
    sqz_ctx_free(ctx);
}

typedef struct budget {
    int left, live;
} budget;
static void *counted_alloc(void *user, size_t n)
{
    budget *b = user;
    if (b->left-- <= 0)
        return NULL;
    b->live++;
    return malloc(n);
}
static void counted_free(void *user, void *p)
{
    budget *b = user;
    b->live -= p != NULL;
    free(p);
}

/* Each allocation of a context made to fail once: a status, and nothing is left behind. */
static void test_context_survives_any_failing_allocation(void **state)
{
    (void)state;
    bool done = false;
    for (int n = 0; n < 100 && !done; n++) {
        budget b = {.left = n};
        sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
        sqz_ctx *ctx = NULL;
        o.allocator = (sqz_allocator){&b, counted_alloc, counted_free};
        o.threads = 3;
        done = sqz_ctx_create(&o, &ctx) == SQZ_OK;
        assert_true(done == (ctx != NULL));
        sqz_ctx_free(ctx);
        assert_int_equal(b.live, 0);
    }
    assert_true(done);
    sqz_ctx_free(NULL);
    assert_int_equal(sqz_ctx_create(NULL, NULL), SQZ_E_ARG);
}

/* ---- threads ---- */
static sqz_ctx *ctx_with_threads(int n)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    o.threads = n;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    assert_int_equal(sqz_pool_threads(ctx->pool), n);
    return ctx;
}

enum { N = 10007, GRAIN = 64 };
typedef struct job {
    float x[N], part[N / GRAIN + 1];
    _Atomic int visits[N];
    _Atomic int bad_worker;
    int threads;
    size_t fail_from;
} job;

static sqz_status sum_chunk(void *arg, size_t begin, size_t end)
{
    job *j = arg;
    float sum = 0; /* float: the order of additions shows in the last bits */
    if (begin % GRAIN || (end - begin != GRAIN && end != N))
        return SQZ_E_INTERNAL;
    if (sqz_worker_index() < 0 || sqz_worker_index() >= j->threads)
        j->bad_worker++;
    for (size_t i = begin; i < end; i++) {
        j->visits[i]++;
        sum += j->x[i];
    }
    j->part[begin / GRAIN] = sum;
    return begin >= j->fail_from ? (begin / GRAIN % 2 ? SQZ_E_IO : SQZ_E_ARG) : SQZ_OK;
}

static float sum_with(int threads)
{
    static job j; /* too large for the stack */
    sqz_ctx *ctx = ctx_with_threads(threads);
    sqz_rng r = {.seed = 5};
    memset(&j, 0, sizeof j);
    j.threads = threads;
    j.fail_from = SIZE_MAX;
    for (int i = 0; i < N; i++)
        j.x[i] = (float)sqz_rng_normal(&r);
    TEST_OK(ctx, sqz_parallel(ctx, N, GRAIN, sum_chunk, &j));
    for (int i = 0; i < N; i++)
        assert_int_equal(j.visits[i], 1);
    assert_int_equal(j.bad_worker, 0);
    float sum = 0;
    for (size_t i = 0; i < SQZ_COUNT(j.part); i++)
        sum += j.part[i];
    j.fail_from = 20 * GRAIN; /* chunks 20.. fail: the lowest one gives the status, 21 another */
    for (int again = 0; again < 20; again++)
        assert_int_equal(sqz_parallel(ctx, N, GRAIN, sum_chunk, &j), SQZ_E_ARG);
    sqz_ctx_free(ctx);
    return sum;
}

static void test_threads_do_not_change_results(void **state)
{
    (void)state;
    float want = sum_with(1);
    for (int threads = 2; threads <= 8; threads++)
        for (int again = 0; again < 5; again++) {
            float got = sum_with(threads);
            assert_memory_equal(&got, &want, sizeof got);
        }
}

static sqz_status visit(void *arg, size_t begin, size_t end)
{
    unsigned char *seen = arg;
    for (size_t i = begin; i < end; i++)
        seen[i]++;
    return SQZ_OK;
}

/* Jobs follow one another faster than workers fall asleep, and now and then slower: a worker that
 * comes late must neither miss a chunk nor take one of the next job. */
static void test_many_short_jobs_lose_and_repeat_no_chunk(void **state)
{
    (void)state;
    sqz_ctx *ctx = ctx_with_threads(3);
    sqz_rng r = {.seed = 6};
    unsigned char seen[64];
    for (int round = 0; round < 20000; round++) {
        size_t n = sqz_rng_below(&r, sizeof seen + 1), grain = 1 + sqz_rng_below(&r, 9);
        memset(seen, 0, sizeof seen);
        TEST_OK(ctx, sqz_parallel(ctx, n, grain, visit, seen));
        for (size_t i = 0; i < sizeof seen; i++)
            assert_int_equal(seen[i], i < n);
        if (round % 400 == 0)
            usleep(500);
    }
    sqz_ctx_free(ctx);
}

typedef struct nest {
    sqz_ctx *ctx;
    _Atomic size_t sum;
} nest;
static sqz_status inner(void *arg, size_t begin, size_t end)
{
    nest *n = arg;
    n->sum += end - begin;
    return SQZ_OK;
}
static sqz_status outer(void *arg, size_t begin, size_t end)
{
    nest *n = arg;
    for (size_t i = begin; i < end; i++)
        SQZ_TRY(sqz_parallel(n->ctx, 10, 3, inner, n));
    return SQZ_OK;
}

static void test_nested_calls_and_edges(void **state)
{
    (void)state;
    sqz_ctx *ctx = ctx_with_threads(4);
    nest n = {.ctx = ctx};
    TEST_OK(ctx, sqz_parallel(ctx, 100, 1, outer, &n));
    assert_int_equal(n.sum, 1000);
    n.sum = 0;
    TEST_OK(ctx, sqz_parallel(ctx, 0, 8, inner, &n));
    assert_int_equal(n.sum, 0);
    TEST_OK(ctx, sqz_parallel(ctx, 5, 0, inner, &n)); /* grain 0 means 1 */
    assert_int_equal(n.sum, 5);
    sqz_ctx_free(ctx);
}

/* ---- log and progress ---- */
static void keep(void *user, sqz_log_level level, const char *text)
{
    (void)snprintf(user, 100, "%d:%s", (int)level, text);
}
static int stop_at_two(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    return strcmp(what, "work") == 0 && done == 2 && total == 3;
}

static void test_messages_go_to_the_caller(void **state)
{
    (void)state;
    char got[100] = "";
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    o.log = keep;
    o.log_user = got;
    o.progress = stop_at_two;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    SQZ_WARN(ctx, "n is %d", 5);
    assert_string_equal(got, "1:n is 5");
    assert_true(sqz_progress(ctx, "work", 1, 3));
    assert_false(sqz_progress(ctx, "work", 2, 3));
    sqz_ctx_free(ctx);
    ctx = test_ctx();
    SQZ_WARN(ctx, "to nobody");
    assert_true(sqz_progress(ctx, "work", 2, 3));
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notes_prefix_the_sentence),
        cmocka_unit_test(test_long_sentences_are_cut_not_overrun),
        cmocka_unit_test(test_every_status_has_a_text),
        cmocka_unit_test(test_sizes_are_checked),
        cmocka_unit_test(test_realloc_keeps_what_fits),
        cmocka_unit_test(test_aligned_blocks_are_aligned),
        cmocka_unit_test(test_arena_blocks_are_zeroed_apart_and_aligned),
        cmocka_unit_test(test_context_survives_any_failing_allocation),
        cmocka_unit_test(test_threads_do_not_change_results),
        cmocka_unit_test(test_many_short_jobs_lose_and_repeat_no_chunk),
        cmocka_unit_test(test_nested_calls_and_edges),
        cmocka_unit_test(test_messages_go_to_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
