/* Calibration over data: what is seen does not depend on batches or threads, and is right. */
#include "calib/calib.h"
#include "net.h"

/* conv - relu - reshape, and a branch; fixed batch when `batch` > 1. */
static net small_net(int threads, int64_t batch)
{
    net n = {.r = {.seed = 3}};
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = threads;
    assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
    TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
    sqz_vid x = net_input(&n, (sqz_shape){4, {batch, 3, 40, 40}});
    sqz_vid c = net_conv(&n, "c", x, 16, 3);
    sqz_vid r = net_unary(&n, "relu", "r", "", c);
    sqz_vid f = net_unary(&n, "flatten", "f", "axis=1", r);
    net_finish(&n, 1, &f);
    return n;
}

static char *ranges_text(sqz_ctx *ctx, const sqz_stats *s, const char *rule, sqz_str *out)
{
    sqz_ranges *r;
    *out = (sqz_str){.ctx = ctx};
    TEST_OK(ctx, sqz_ranges_from_stats(ctx, s, rule, &r));
    TEST_OK(ctx, sqz_ranges_print(r, out));
    sqz_ranges_free(ctx, r);
    return out->data;
}

static const sqz_hist *hist_of(const sqz_stats *s, const char *name)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(s->item[i].name, name) == 0)
            return s->item[i].hist;
    fail_msg("no statistics of '%s'", name);
    return NULL;
}

static void test_batches_and_threads_do_not_change_ranges(void **state)
{
    (void)state;
    static const struct {
        int threads;
        int64_t fixed, batch;
    } row[] = {{1, 1, 1}, {2, 1, 7}, {2, 1, 0}, {3, 1, 32}, {2, 6, 0}};
    sqz_str first = {0};
    net keep = {0};
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        net n = small_net(row[i].threads, row[i].fixed);
        sqz_dataset ds = net_data(&n, 40);
        sqz_stats *s;
        sqz_str text;
        TEST_OK(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 0, row[i].batch, &s));
        assert_int_equal(s->samples, 40);
        ranges_text(n.ctx, s, "ema", &text); /* the rule that depends on what a sample is */
        sqz_stats_free(n.ctx, s);
        net_data_free(&ds);
        if (i == 0) {
            first = text;
            keep = n;
            continue;
        }
        assert_string_equal(text.data, first.data);
        sqz_str_free(&text);
        net_end(&n);
    }
    sqz_str_free(&first);
    net_end(&keep);
}

/* Recurrent networks have time before the batch: every sample is seen once all the same, and a
 * batch that is larger than the set shows nothing else. */
static void test_values_with_the_batch_inside_are_seen_in_full(void **state)
{
    (void)state;
    static const int64_t batch[] = {1, 7, 64};
    double first = 0.0;
    for (size_t i = 0; i < SQZ_COUNT(batch); i++) {
        net n = {.r = {.seed = 5}};
        sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
        assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
        TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
        sqz_vid x = net_input(&n, (sqz_shape){3, {1, 5, 4}});
        sqz_vid t = net_unary(&n, "transpose", "t", "perm=1,0,2", x);
        sqz_vid r = net_unary(&n, "exp", "r", "", t);
        sqz_vid b = net_unary(&n, "transpose", "b", "perm=1,0,2", r);
        net_finish(&n, 1, &b);
        sqz_dataset ds = net_data(&n, 40);
        sqz_stats *s;
        TEST_OK(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 0, batch[i], &s));
        const sqz_hist *h = hist_of(s, "r");
        assert_int_equal(h->count, 40 * 20);
        first = i ? first : (double)h->max;
        assert_true((double)h->max == first);
        sqz_stats_free(n.ctx, s);
        net_data_free(&ds);
        net_end(&n);
    }
}

static void test_histograms_hold_what_the_network_made(void **state)
{
    (void)state;
    net n = small_net(2, 1);
    sqz_dataset ds = net_data(&n, 11);
    sqz_stats *s;
    TEST_OK(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 0, 4, &s)); /* a last batch of 3 */
    size_t count;
    float *y = net_run(n.g, &ds, 0, &count);
    sqz_hist *want = malloc(sizeof *want);
    sqz_hist_begin(want);
    for (size_t i = 0; i < 11; i++)
        sqz_hist_see(want, y + i * (count / 11), count / 11);
    const sqz_hist *h = hist_of(s, "f");
    assert_int_equal(h->count, count);
    assert_int_equal(h->batches, 11);
    /* float convolutions of 1 and of 4 samples may differ in the last bits: near, not equal */
    assert_true(fabsf(h->max - want->max) < 1e-5f && h->min == 0.0f && h->zeros > count / 3);
    assert_true(llabs((long long)(h->zeros - want->zeros)) < 10 && h->reach == want->reach);
    assert_ptr_equal(h, hist_of(s, "f"));
    assert_int_equal(hist_of(s, "x")->count, 11 * 3 * 40 * 40);
    const sqz_hist *c = hist_of(s, "c"); /* only the ReLU reads it */
    assert_true(c->ends_only && !h->ends_only && c->count == count && c->max == h->max);
    assert_true(c->min < -1);
    free(want);
    free(y);
    sqz_stats_free(n.ctx, s);
    net_data_free(&ds);
    net_end(&n);
}

static void test_samples_are_taken_from_the_whole_set(void **state)
{
    (void)state;
    net n = small_net(1, 1);
    sqz_dataset ds = net_data(&n, 100);
    float *x = ds.impl;
    for (size_t i = 0; i < 100; i++) /* a set sorted by brightness */
        for (size_t k = 0; k < 4800; k++)
            x[i * 4800 + k] = (float)i;
    sqz_stats *s;
    TEST_OK(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 10, 0, &s));
    assert_int_equal(s->samples, 10);
    assert_true(hist_of(s, "x")->min < 10 && hist_of(s, "x")->max >= 90); /* one of every ten */
    sqz_stats_free(n.ctx, s);
    net_data_free(&ds);
    net_end(&n);
}

/* Bright at every tenth sample: an even step of ten would see only those, or none. */
static void test_classes_that_alternate_are_all_met(void **state)
{
    (void)state;
    net n = small_net(1, 1);
    sqz_dataset ds = net_data(&n, 100);
    float *x = ds.impl;
    for (size_t i = 0; i < 100; i++)
        for (size_t k = 0; k < 4800; k++)
            x[i * 4800 + k] = (float)(i % 10);
    sqz_stats *s;
    TEST_OK(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 10, 0, &s));
    assert_true(hist_of(s, "x")->min < hist_of(s, "x")->max);
    sqz_stats_free(n.ctx, s);
    net_data_free(&ds);
    net_end(&n);
}

static void test_numbers_that_are_not_finite_are_refused_by_value(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        net n = small_net(1, 1);
        sqz_dataset ds = net_data(&n, 20);
        ((float *)ds.impl)[4800 * 15 + 7] = bad[i];
        sqz_stats *s;
        TEST_FAILS(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 0, 0, &s), SQZ_E_FORMAT, "value 'x'");
        assert_null(s);
        net_data_free(&ds);
        net_end(&n);
    }
}

static void count_warnings(void *user, sqz_log_level level, const char *text)
{
    if (level == SQZ_LOG_WARN && strstr(text, "mask") && strstr(text, "'m'"))
        ++*(int *)user;
}

static void test_masks_are_left_out_with_a_warning(void **state)
{
    (void)state;
    net n = net_begin(4);
    int warnings = 0;
    n.ctx->log = count_warnings;
    n.ctx->log_user = &warnings;
    sqz_vid x = net_input(&n, (sqz_shape){2, {1, 8}});
    sqz_vid mask = net_const(&n, "mask", (sqz_shape){1, {8}}, 0);
    net_numbers(&n, "mask")[3] = -INFINITY;
    net_numbers(&n, "mask")[5] = -3.4e38f;
    sqz_vid y = net_binary(&n, "add", "m", x, mask);
    net_finish(&n, 1, &y);
    sqz_dataset ds = net_data(&n, 50);
    sqz_stats *s;
    TEST_OK(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 0, 0, &s));
    assert_int_equal(hist_of(s, "m")->masked, 100);
    assert_int_equal(hist_of(s, "m")->count, 300);
    assert_true(hist_of(s, "m")->min > -10);
    assert_int_equal(warnings, 1);
    sqz_stats_free(n.ctx, s);
    net_data_free(&ds);
    net_end(&n);
}

/* Counts what is alive: memory must not follow the number of samples. */
typedef struct meter {
    size_t now, most;
} meter;
static void *meter_alloc(void *user, size_t bytes)
{
    meter *m = user;
    size_t *p = malloc(bytes + 16);
    if (!p)
        return NULL;
    *p = bytes;
    m->now += bytes;
    m->most = SQZ_MAX(m->most, m->now);
    return (char *)p + 16;
}
static void meter_free(void *user, void *ptr)
{
    if (!ptr)
        return;
    char *p = (char *)ptr - 16;
    ((meter *)user)->now -= *(size_t *)(void *)p;
    free(p);
}

static void test_memory_does_not_grow_with_samples(void **state)
{
    (void)state;
    size_t most[2];
    for (int i = 0; i < 2; i++) {
        meter m = {0};
        sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
        o.allocator = (sqz_allocator){&m, meter_alloc, meter_free};
        o.threads = 2;
        net n = {.r = {.seed = 8}};
        assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
        TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
        sqz_vid x = net_input(&n, (sqz_shape){4, {1, 2, 4, 4}});
        sqz_vid y = net_conv(&n, "c", x, 4, 3);
        net_finish(&n, 1, &y);
        sqz_dataset ds = net_data(&n, i ? 10000 : 100);
        sqz_stats *s;
        sqz_ranges *r;
        TEST_OK(n.ctx, sqz_stats_collect(n.g, &ds, NULL, 10000, 0, &s));
        TEST_OK(n.ctx, sqz_ranges_from_stats(n.ctx, s, "entropy", &r));
        sqz_ranges_free(n.ctx, r);
        sqz_stats_free(n.ctx, s);
        most[i] = m.most;
        net_data_free(&ds);
        net_end(&n);
    }
    assert_int_equal(most[0], most[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_and_threads_do_not_change_ranges),
        cmocka_unit_test(test_values_with_the_batch_inside_are_seen_in_full),
        cmocka_unit_test(test_histograms_hold_what_the_network_made),
        cmocka_unit_test(test_samples_are_taken_from_the_whole_set),
        cmocka_unit_test(test_classes_that_alternate_are_all_met),
        cmocka_unit_test(test_numbers_that_are_not_finite_are_refused_by_value),
        cmocka_unit_test(test_masks_are_left_out_with_a_warning),
        cmocka_unit_test(test_memory_does_not_grow_with_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
