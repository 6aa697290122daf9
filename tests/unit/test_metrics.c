/* test_metrics.c: every metric against a definition written out here. */
#include "eval/eval.h"
#include "eval/rank.h"
#include "search/trial.h"
#include "sqz_test.h"

typedef struct sample_set {
    int64_t n, classes;
    size_t row, label_row;
    float *pred, *label, *reference, *input;
} sample_set;

static sample_set make_set(sqz_rng *r, int64_t n, size_t row, int64_t classes)
{
    sample_set s = {.n = n, .classes = classes, .row = row, .label_row = classes ? 1 : row};
    s.pred = malloc((size_t)n * row * sizeof(float));
    s.reference = malloc((size_t)n * row * sizeof(float));
    s.input = malloc((size_t)n * row * sizeof(float));
    s.label = malloc((size_t)n * s.label_row * sizeof(float));
    for (size_t i = 0; i < (size_t)n * row; i++) {
        s.reference[i] = (float)sqz_rng_normal(r);
        s.pred[i] = s.reference[i] + 0.5f * (float)sqz_rng_normal(r);
        s.input[i] = (float)sqz_rng_normal(r);
    }
    for (size_t i = 0; i < (size_t)n * s.label_row; i++)
        s.label[i] = classes ? (float)sqz_rng_below(r, (uint64_t)classes)
                             : (float)sqz_rng_normal(r);
    return s;
}

static void free_set(sample_set *s)
{
    free(s->pred);
    free(s->reference);
    free(s->input);
    free(s->label);
}

/* In batches of `step`: merging batches must not matter. */
static double measure(sqz_ctx *ctx, const char *name, const sample_set *s, int64_t step, double *se)
{
    const sqz_metric *m = sqz_metric_find(name);
    assert_non_null(m);
    int64_t opts[4] = {0};
    void *state = calloc(1, m->state_bytes);
    double value = 0.0;
    sqz_opts_default(&m->info, opts);
    for (int64_t at = 0; at < s->n; at += step) {
        const sqz_metric_batch b = {.pred = s->pred + (size_t)at * s->row,
                                    .label = s->label + (size_t)at * s->label_row,
                                    .input = s->input + (size_t)at * s->row,
                                    .reference = s->reference + (size_t)at * s->row,
                                    .n = SQZ_MIN(step, s->n - at),
                                    .classes = s->classes,
                                    .row = s->row,
                                    .label_row = s->label_row,
                                    .input_row = s->row};
        TEST_OK(ctx, m->add(ctx, state, opts, &b));
    }
    *se = 0.0;
    TEST_OK(ctx, m->value(ctx, state, opts, &value, se));
    if (m->end)
        m->end(ctx, state);
    free(state);
    return value;
}

static size_t argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static void test_classification_metrics_follow_their_definition(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 3};
    for (int round = 0; round < 20; round++) {
        sample_set s = make_set(&r, 200, 7, 7);
        double hits = 0, top5 = 0, agree = 0, precision = 0, recall = 0, f1 = 0, kl = 0, se;
        for (int64_t i = 0; i < s.n; i++) {
            const float *p = s.pred + (size_t)i * 7, *q = s.reference + (size_t)i * 7;
            size_t label = (size_t)s.label[i], larger = 0;
            hits += argmax(p, 7) == label;
            agree += argmax(p, 7) == argmax(q, 7);
            for (size_t k = 0; k < 7; k++)
                larger += p[k] > p[label];
            top5 += larger < 5;
            double zp = 0, zq = 0, d = 0;
            for (size_t k = 0; k < 7; k++) {
                zp += exp((double)p[k]);
                zq += exp((double)q[k]);
            }
            for (size_t k = 0; k < 7; k++) {
                double b = exp((double)q[k]) / zq, a = exp((double)p[k]) / zp;
                d += b * log(b / a);
            }
            kl += d / (double)s.n;
        }
        for (size_t c = 0; c < 7; c++) {
            double tp = 0, fp = 0, fn = 0;
            for (int64_t i = 0; i < s.n; i++) {
                bool said = argmax(s.pred + (size_t)i * 7, 7) == c, is = (size_t)s.label[i] == c;
                tp += said && is;
                fp += said && !is;
                fn += !said && is;
            }
            precision += tp + fp > 0 ? tp / (tp + fp) / 7 : 0;
            recall += tp / (tp + fn) / 7;
            f1 += tp > 0 ? 2 * tp / (2 * tp + fp + fn) / 7 : 0;
        }
        TEST_NEAR(measure(ctx, "top1", &s, 64, &se), hits / 200, 1e-12);
        TEST_NEAR(se, sqrt(hits / 200 * (1 - hits / 200) / 200), 1e-12);
        TEST_NEAR(measure(ctx, "top5", &s, 33, &se), top5 / 200, 1e-12);
        TEST_NEAR(measure(ctx, "agreement", &s, 7, &se), agree / 200, 1e-12);
        TEST_NEAR(measure(ctx, "precision", &s, 64, &se), precision, 1e-12);
        TEST_NEAR(measure(ctx, "recall", &s, 200, &se), recall, 1e-12);
        TEST_NEAR(measure(ctx, "f1", &s, 1, &se), f1, 1e-12);
        TEST_NEAR(measure(ctx, "kl", &s, 50, &se), kl, 1e-6);
        free_set(&s);
    }
    sqz_ctx_free(ctx);
}

static void test_value_metrics_follow_their_definition(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 4};
    sample_set s = make_set(&r, 100, 5, 0);
    double mse = 0, mae = 0, signal = 0, noise = 0, se;
    for (size_t i = 0; i < 500; i++) {
        double d = (double)s.pred[i] - (double)s.label[i],
               e = (double)s.reference[i] - (double)s.pred[i];
        mse += d * d / 500;
        mae += fabs(d) / 500;
        signal += (double)s.reference[i] * (double)s.reference[i];
        noise += e * e;
    }
    TEST_NEAR(measure(ctx, "mse", &s, 30, &se), mse, 1e-9);
    TEST_NEAR(measure(ctx, "mae", &s, 30, &se), mae, 1e-9);
    TEST_NEAR(measure(ctx, "snr", &s, 30, &se), 10 * log10(signal / noise), 1e-9);
    free_set(&s);
    sqz_ctx_free(ctx);
}

/* Against the count over all pairs, with many ties. */
static void test_auc_is_the_share_of_ordered_pairs(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 5};
    for (int round = 0; round < 50; round++) {
        sqz_rank rank = {0};
        float score[60];
        bool yes[60];
        double pairs = 0, wins = 0, auc, se;
        for (int i = 0; i < 60; i++) {
            score[i] = (float)sqz_rng_below(&r, 10);
            yes[i] = i < 2 ? i == 0 : sqz_rng_below(&r, 2) == 1;
            TEST_OK(ctx, sqz_rank_add(ctx, &rank, score[i], yes[i]));
        }
        for (int i = 0; i < 60; i++)
            for (int k = 0; k < 60; k++)
                if (yes[i] && !yes[k]) {
                    pairs++;
                    wins += score[i] > score[k] ? 1.0 : score[i] == score[k] ? 0.5 : 0.0;
                }
        TEST_OK(ctx, sqz_rank_auc(ctx, &rank, &auc, &se));
        TEST_NEAR(auc, wins / pairs, 1e-12);
        sqz_free(ctx, rank.list);
    }
    sqz_rank one = {0};
    double auc, se;
    TEST_OK(ctx, sqz_rank_add(ctx, &one, 1.0f, true));
    TEST_FAILS(ctx, sqz_rank_auc(ctx, &one, &auc, &se), SQZ_E_ARG, "needs both classes");
    TEST_FAILS(ctx, sqz_rank_add(ctx, &one, NAN, true), SQZ_E_ARG, "not a number");
    sqz_free(ctx, one.list);
    sqz_ctx_free(ctx);
}

static void test_better_trial_fits_then_is_accurate_then_close(void **state)
{
    (void)state;
    sqz_trial a = {.fits = true, .accuracy = 0.90, .distance = 0.02, .agreement = 0.99};
    sqz_trial b = {.fits = false, .accuracy = 0.95, .distance = 0.01, .agreement = 0.99};
    assert_ptr_equal(sqz_trial_better(&a, &b, true, 10000), &a);
    b.fits = true;
    assert_ptr_equal(sqz_trial_better(&a, &b, true, 10000), &b);
    assert_ptr_equal(sqz_trial_better(&a, &b, false, 10000), &a);
    b.accuracy = 0.901; /* one standard error at 10,000 samples is sqrt(0.02 / 10000) = 0.0014 */
    b.distance = 0.03;
    assert_ptr_equal(sqz_trial_better(&a, &b, true, 10000), &a);
    b.accuracy = 0.902;
    assert_ptr_equal(sqz_trial_better(&a, &b, true, 10000), &b);
    b.accuracy = NAN;
    assert_ptr_equal(sqz_trial_better(&b, &a, true, 10000), &a);
    assert_ptr_equal(sqz_trial_better(NULL, &a, true, 1), &a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classification_metrics_follow_their_definition),
        cmocka_unit_test(test_value_metrics_follow_their_definition),
        cmocka_unit_test(test_auc_is_the_share_of_ordered_pairs),
        cmocka_unit_test(test_better_trial_fits_then_is_accurate_then_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
