/* Normalizations as ONNX and ONNX Runtime spell them, against formulas in double. */
#include "../onnx_node.h"
#include "../ops_test.h"

enum { SEED = 71 };

static int64_t any(sqz_rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo + 1));
}
static bool coin(sqz_rng *r) { return sqz_rng_below(r, 2) == 1; }

static sqz_shape any_shape(sqz_rng *r, int32_t lo, int32_t hi)
{
    sqz_shape s = {.rank = (int32_t)any(r, lo, hi)};
    for (int32_t i = 0; i < s.rank; i++)
        s.dim[i] = any(r, 1, 5);
    return s;
}

/* A few operations in float on numbers of this size, after statistics in double. */
static void near(double got, double want, double size)
{
    TEST_NEAR(got, want, 3e-6 * fmax(1, size));
}

/* Flat index in a parameter of shape p that broadcasts to coordinates `at` of shape s. */
static size_t broadcast(const sqz_shape *s, const int64_t *at, const sqz_shape *p)
{
    size_t i = 0;
    for (int32_t d = 0; d < p->rank; d++)
        i = i * (size_t)p->dim[d] + (p->dim[d] == 1 ? 0 : (size_t)at[d + s->rank - p->rank]);
    return i;
}

/* ---- over the last axes ---- */

typedef struct stats {
    double mean, inv;
} stats;

static stats stats_of(const sqz_tensor *x, size_t from, size_t n, size_t step, double epsilon,
                      bool centered)
{
    double sum = 0, sq = 0;
    for (size_t i = 0; i < n; i++)
        sum += sqz_tensor_f64(x, from + i * step);
    double mean = centered ? sum / (double)n : 0;
    for (size_t i = 0; i < n; i++)
        sq += pow(sqz_tensor_f64(x, from + i * step) - mean, 2);
    return (stats){mean, 1 / sqrt(sq / (double)n + epsilon)};
}

/* A shape that broadcasts to the axes of s from `axis` on, or sometimes to all of s. */
static sqz_shape param_shape(sqz_rng *r, const sqz_shape *s, int32_t axis)
{
    int32_t from = sqz_rng_below(r, 4) == 0 ? 0 : axis;
    sqz_shape p = {.rank = s->rank - from};
    for (int32_t i = 0; i < p.rank; i++)
        p.dim[i] = sqz_rng_below(r, 4) == 0 ? 1 : s->dim[from + i];
    return p;
}

static void check_rows(const onnx_node *t, int32_t axis, double epsilon, bool centered)
{
    const sqz_tensor *x = &t->in[0];
    size_t n = 1;
    for (int32_t d = axis; d < x->shape.rank; d++)
        n *= (size_t)x->shape.dim[d];
    for (size_t i = 0; i < x->count; i++) {
        int64_t at[SQZ_MAX_RANK];
        stats s = stats_of(x, i / n * n, n, 1, epsilon, centered);
        coords(&x->shape, i, at);
        double v = (sqz_tensor_f64(x, i) - s.mean) * s.inv;
        v *= node_at(t, 1, broadcast(&x->shape, at, &t->in[1].shape));
        if (t->given[2])
            v += node_at(t, 2, broadcast(&x->shape, at, &t->in[2].shape));
        near(sqz_tensor_f64(&t->out[0], i), v, s.inv);
        if (t->n_out > 1)
            near(sqz_tensor_f64(&t->out[1], i / n), centered ? s.mean : s.inv, s.inv);
        if (t->n_out > 2)
            near(sqz_tensor_f64(&t->out[2], i / n), s.inv, s.inv);
    }
}

static void rows_case(sqz_ctx *ctx, sqz_rng *r, const char *op, int64_t opset, const char *outputs)
{
    onnx_node t;
    const bool centered = op[0] == 'L';
    sqz_shape s = any_shape(r, 1, 4);
    int32_t axis = (int32_t)any(r, 0, s.rank - 1);
    node_begin(&t, ctx, op, NULL, opset, outputs);
    node_int(&t, "axis", coin(r) ? axis : axis - s.rank);
    node_float(&t, "epsilon", 0.01);
    node_f32(&t, s, r);
    node_in(&t, SQZ_F32, param_shape(r, &s, axis), coin(r), r, -1, 1);
    if (centered && coin(r))
        node_in(&t, SQZ_F32, param_shape(r, &s, axis), coin(r), r, -1, 1);
    node_run(&t);
    check_rows(&t, axis, (double)0.01f, centered);
    node_end(&t);
}

static void test_layer_and_rms_normalization(void **state)
{
    (void)state;
    static const char *const outputs[] = {"y", "y,m", "y,m,i"};
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED};
    for (int i = 0; i < 60; i++) {
        rows_case(ctx, &r, "LayerNormalization", coin(&r) ? 17 : 11, outputs[i % 3]);
        rows_case(ctx, &r, "RMSNormalization", 23, "y");
        rows_case(ctx, &r, "SimplifiedLayerNormalization", 13, outputs[i % 2]);
    }
    sqz_ctx_free(ctx);
}

/* ---- over groups of channels; one channel each: InstanceNormalization ---- */

static void groups_case(sqz_ctx *ctx, sqz_rng *r, int kind)
{
    onnx_node t;
    sqz_shape s = any_shape(r, 3, 5);
    const int64_t depth = kind ? any(r, 1, 3) : 1, groups = any(r, 1, kind == 0 ? 70 : 5);
    const int64_t channels = s.dim[1] = groups * depth, n = kind == 1 ? groups : channels;
    static const int64_t opset[] = {6, 18, 21};
    node_begin(&t, ctx, kind ? "GroupNormalization" : "InstanceNormalization", NULL, opset[kind],
               "y");
    if (kind)
        node_int(&t, "num_groups", groups);
    node_float(&t, "epsilon", 0.02);
    const sqz_tensor *x = node_f32(&t, s, r);
    node_in(&t, SQZ_F32, (sqz_shape){1, {n}}, coin(r), r, -1, 1);
    node_in(&t, SQZ_F32, (sqz_shape){1, {n}}, coin(r), r, -1, 1);
    node_run(&t);
    const size_t pixels = x->count / (size_t)(s.dim[0] * channels), size = pixels * (size_t)depth;
    for (size_t i = 0; i < x->count; i++) {
        size_t channel = i / pixels % (size_t)channels;
        size_t p = kind == 1 ? channel / (size_t)depth : channel;
        stats v = stats_of(x, i / size * size, size, 1, (double)0.02f, true);
        near(sqz_tensor_f64(&t.out[0], i),
             (sqz_tensor_f64(x, i) - v.mean) * v.inv * node_at(&t, 1, p) + node_at(&t, 2, p),
             v.inv);
    }
    node_end(&t);
}

static void test_group_and_instance_normalization(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED + 1};
    for (int i = 0; i < 60; i++)
        groups_case(ctx, &r, i % 3);
    sqz_ctx_free(ctx);
}

/* ---- neighbors ---- */

static void test_local_response_normalization(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED + 2};
    for (int k = 0; k < 30; k++) {
        onnx_node t;
        sqz_shape s = any_shape(&r, 3, 5);
        s.dim[1] = any(&r, 1, 9);
        const int64_t size = any(&r, 1, 6), before = (size - 1) / 2;
        node_begin(&t, ctx, "LRN", NULL, coin(&r) ? 1 : 13, "y");
        node_int(&t, "size", size);
        node_float(&t, "alpha", 0.5);
        node_float(&t, "beta", 0.6);
        node_float(&t, "bias", 1.5);
        const sqz_tensor *x = node_f32(&t, s, &r);
        node_run(&t);
        for (size_t i = 0; i < x->count; i++) {
            int64_t at[SQZ_MAX_RANK];
            double sum = 0;
            coords(&s, i, at);
            const int64_t c = at[1];
            for (at[1] = c - before; at[1] < c - before + size; at[1]++)
                if (at[1] >= 0 && at[1] < s.dim[1])
                    sum += pow(sqz_tensor_f64(x, flat(&s, at)), 2);
            near(sqz_tensor_f64(&t.out[0], i),
                 sqz_tensor_f64(x, i) / pow(1.5 + 0.5 / (double)size * sum, (double)0.6f), 1);
        }
        node_end(&t);
    }
    sqz_ctx_free(ctx);
}

/* ---- batches ---- */

static void test_batch_normalization_in_training(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED + 3};
    for (int k = 0; k < 20; k++) {
        onnx_node t;
        sqz_shape s = any_shape(&r, 2, 5);
        const size_t c = (size_t)s.dim[1];
        node_begin(&t, ctx, "BatchNormalization", NULL, coin(&r) ? 14 : 15, "y,m,v");
        node_int(&t, "training_mode", 1);
        node_float(&t, "momentum", 0.75);
        node_float(&t, "epsilon", 0.01);
        const sqz_tensor *x = node_f32(&t, s, &r);
        for (int i = 0; i < 4; i++)
            node_in(&t, SQZ_F32, (sqz_shape){1, {s.dim[1]}}, coin(&r), &r, 0.1, 1);
        node_run(&t);
        const size_t pixels = x->count / (size_t)s.dim[0] / c, n = x->count / c;
        for (size_t j = 0; j < c; j++) {
            double sum = 0, sq = 0;
            for (size_t i = 0; i < n; i++)
                sum += sqz_tensor_f64(x, (i / pixels * c + j) * pixels + i % pixels);
            for (size_t i = 0; i < n; i++)
                sq += pow(sqz_tensor_f64(x, (i / pixels * c + j) * pixels + i % pixels) -
                              sum / (double)n,
                          2);
            const double mean = sum / (double)n, variance = sq / (double)n;
            near(sqz_tensor_f64(&t.out[1], j), 0.75 * node_at(&t, 3, j) + 0.25 * mean, 1);
            near(sqz_tensor_f64(&t.out[2], j), 0.75 * node_at(&t, 4, j) + 0.25 * variance, 1);
            for (size_t i = 0; i < n; i++) {
                size_t at = (i / pixels * c + j) * pixels + i % pixels;
                double f = node_at(&t, 1, j) / sqrt(variance + (double)0.01f);
                near(sqz_tensor_f64(&t.out[0], at),
                     (sqz_tensor_f64(x, at) - mean) * f + node_at(&t, 2, j), fmax(1, f));
            }
        }
        node_end(&t);
    }
    sqz_ctx_free(ctx);
}

/* ---- sums in front ---- */

static void test_skip_layer_normalization(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED + 4};
    for (int k = 0; k < 20; k++) {
        onnx_node t;
        const bool simple = k % 2;
        const unsigned bias = simple ? 3 : 4;
        const int64_t h = any(&r, 1, 9);
        const sqz_shape s = {3, {any(&r, 1, 3), any(&r, 1, 4), h}}, v = {1, {h}};
        node_begin(&t, ctx, simple ? "SkipSimplifiedLayerNormalization" : "SkipLayerNormalization",
                   "com.microsoft", 13, "y,,,sum");
        node_float(&t, "epsilon", 0.01);
        node_f32(&t, s, &r);
        node_f32(&t, coin(&r) ? s : (sqz_shape){2, {s.dim[1], h}}, &r);
        for (unsigned i = 2; i <= bias; i++)
            node_in(&t, SQZ_F32, v, true, &r, -1, 1);
        node_run(&t);
        for (size_t i = 0; i < t.in[0].count; i++)
            near(sqz_tensor_f64(&t.out[1], i),
                 node_at(&t, 0, i) + node_at(&t, 1, i % t.in[1].count) +
                     node_at(&t, bias, i % (size_t)h),
                 1);
        for (size_t i = 0; i < t.in[0].count; i++) {
            size_t j = i % (size_t)h;
            stats a = stats_of(&t.out[1], i - j, (size_t)h, 1, (double)0.01f, !simple);
            near(sqz_tensor_f64(&t.out[0], i),
                 (sqz_tensor_f64(&t.out[1], i) - a.mean) * a.inv * node_at(&t, 2, j) +
                     (simple ? 0 : node_at(&t, 3, j)),
                 a.inv);
        }
        node_end(&t);
    }
    sqz_ctx_free(ctx);
}

/* ---- refusals ---- */

static void refuse(const char *op, int64_t opset, const char *outputs, sqz_shape x, sqz_shape p,
                   const char *attr, int64_t value, sqz_status want, const char *part)
{
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED};
    onnx_node t;
    node_begin(&t, ctx, op, NULL, opset, outputs);
    if (attr)
        node_int(&t, attr, value);
    node_f32(&t, x, &r);
    for (int i = 0; i < (strcmp(op, "BatchNormalization") == 0 ? 4 : 2); i++)
        node_in(&t, SQZ_F32, p, true, &r, -1, 1);
    TEST_FAILS(ctx, node_try(&t), want, part);
    node_end(&t);
    sqz_ctx_free(ctx);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    const sqz_shape x = SHAPE(2, 6, 3);
    refuse("LayerNormalization", 17, "y", x, SHAPE(4), NULL, 0, SQZ_E_SHAPE,
           "does not broadcast to 2x6x3");
    refuse("LayerNormalization", 17, "y", x, SHAPE(3), "axis", 3, SQZ_E_SHAPE, "axis 3");
    refuse("LayerNormalization", 17, "y", x, SHAPE(3), "stash_type", 7, SQZ_E_UNSUPPORTED,
           "stash_type 7 is no float type");
    refuse("GroupNormalization", 21, "y", x, SHAPE(6), "num_groups", 4, SQZ_E_SHAPE,
           "6 channels are no multiple of 4 groups");
    refuse("GroupNormalization", 18, "y", x, SHAPE(6), "num_groups", 3, SQZ_E_SHAPE,
           "one number for each of 3 groups");
    refuse("InstanceNormalization", 6, "y", x, SHAPE(3), NULL, 0, SQZ_E_SHAPE,
           "one number for each of 6 channels");
    refuse("BatchNormalization", 9, "y,m", x, SHAPE(6), NULL, 0, SQZ_E_UNSUPPORTED,
           "exists in training only");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_and_rms_normalization),
        cmocka_unit_test(test_group_and_instance_normalization),
        cmocka_unit_test(test_local_response_normalization),
        cmocka_unit_test(test_batch_normalization_in_training),
        cmocka_unit_test(test_skip_layer_normalization),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
