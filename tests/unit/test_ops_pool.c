/* test_ops_pool.c: pools, reductions, softmax and resizing against naive loops over their
 * definitions. */
#include "ops_test.h"

/* ---- pools ---- */

typedef struct pool_case {
    int64_t n, h, w, c, k[2], stride[2], pad[4], dil[2]; /* pad: top, left, bottom, right */
    bool ceil, count_pad;
} pool_case;

static pool_case random_pool(sqz_rng *rng)
{
    pool_case p = {.n = 1 + (int64_t)sqz_rng_below(rng, 2),
                   .c = 1 + (int64_t)sqz_rng_below(rng, 5)};
    int64_t *size[] = {&p.h, &p.w};
    for (int a = 0; a < 2; a++) {
        p.k[a] = 1 + (int64_t)sqz_rng_below(rng, 4);
        p.stride[a] = 1 + (int64_t)sqz_rng_below(rng, 3);
        p.dil[a] = 1 + (int64_t)sqz_rng_below(rng, 2);
        p.pad[a] = (int64_t)sqz_rng_below(rng, (uint64_t)p.k[a]);
        p.pad[a + 2] = (int64_t)sqz_rng_below(rng, (uint64_t)p.k[a]);
        *size[a] = (p.k[a] - 1) * p.dil[a] + 1 + (int64_t)sqz_rng_below(rng, 6);
    }
    p.ceil = sqz_rng_below(rng, 2);
    p.count_pad = sqz_rng_below(rng, 2);
    return p;
}

/* ONNX: windows along one axis; with ceil_mode one more, unless it would start in the end padding.
 */
static int64_t windows(const pool_case *p, int a)
{
    const int64_t in = a ? p->w : p->h, reach = (p->k[a] - 1) * p->dil[a] + 1;
    const double room = (double)(in + p->pad[a] + p->pad[a + 2] - reach) / (double)p->stride[a];
    int64_t n = (int64_t)(p->ceil ? ceil(room) : floor(room)) + 1;
    return p->ceil && (n - 1) * p->stride[a] >= in + p->pad[a] ? n - 1 : n;
}

/* Largest, sum and count of one window and channel; x as doubles in (N,H,W,C). */
static void window_of(const pool_case *p, const sqz_tensor *x, int64_t n, int64_t oy, int64_t ox,
                      int64_t c, double shift, double *top, double *sum, int *count)
{
    *top = -INFINITY;
    *sum = 0;
    *count = 0;
    for (int64_t ky = 0; ky < p->k[0]; ky++)
        for (int64_t kx = 0; kx < p->k[1]; kx++) {
            int64_t y = oy * p->stride[0] - p->pad[0] + ky * p->dil[0];
            int64_t xx = ox * p->stride[1] - p->pad[1] + kx * p->dil[1];
            bool inside = y >= 0 && y < p->h && xx >= 0 && xx < p->w;
            bool padding = y < p->h + p->pad[2] && xx < p->w + p->pad[3];
            *count += inside || (p->count_pad && padding);
            if (!inside)
                continue;
            double v = sqz_tensor_f64(x, (size_t)(((n * p->h + y) * p->w + xx) * p->c + c)) - shift;
            *top = fmax(*top, v);
            *sum += v;
        }
}

static void pool_text(const pool_case *p, bool average, char *out, size_t n)
{
    int used = snprintf(out, n,
                        "kernel_shape=%d,%d strides=%d,%d pads=%d,%d,%d,%d dilations=%d,%d "
                        "ceil_mode=%d",
                        (int)p->k[0], (int)p->k[1], (int)p->stride[0], (int)p->stride[1],
                        (int)p->pad[0], (int)p->pad[1], (int)p->pad[2], (int)p->pad[3],
                        (int)p->dil[0], (int)p->dil[1], p->ceil);
    if (average)
        (void)snprintf(out + used, n - (size_t)used, " count_include_pad=%d", p->count_pad);
}

static void test_pools_match_naive_windows(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 21};
    for (int round = 0; round < 200; round++) {
        const bool average = round % 2, integer = round % 4 > 1;
        pool_case p = random_pool(&rng);
        char attrs[160];
        op_run r;
        op_begin(&r);
        pool_text(&p, average, attrs, sizeof attrs);
        const sqz_tensor *x = op_random(&r, integer ? SQZ_S8 : SQZ_F32, SHAPE(p.n, p.h, p.w, p.c),
                                        integer ? -128 : -3, integer ? 127 : 3, &rng);
        const double s_in = 0.05, s_out = average ? 0.04 : 0.05;
        const int32_t z_in = 3, z_out = average ? -9 : 3;
        if (integer) {
            op_grid(&r, 0, (float)s_in, z_in);
            op_grid(&r, -1, (float)s_out, z_out);
        }
        const sqz_tensor *y = op_run_ok(&r, average ? "average_pool" : "max_pool", attrs);
        assert_shape(y, SHAPE(p.n, windows(&p, 0), windows(&p, 1), p.c));
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4];
            double top, sum;
            int count;
            coords(&y->shape, i, at);
            window_of(&p, x, at[0], at[1], at[2], at[3], integer ? z_in : 0, &top, &sum, &count);
            double want = average ? count ? sum / count : 0 : top;
            if (integer) {
                double q = isinf(top) && !average ? -128 : nearbyint(want * s_in / s_out) + z_out;
                double d = fabs(sqz_tensor_f64(y, i) - fmin(fmax(q, -128), 127));
                assert_true(d <= (average ? 1 : 0));
            } else if (isinf(want)) {
                assert_true((double)SQZ_F32P(y)[i] == want);
            } else {
                assert_true(fabs((double)SQZ_F32P(y)[i] - want) < 1e-6);
            }
        }
        op_end(&r);
    }
}

static void test_global_pools_take_the_whole_image(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 5};
    for (int k = 0; k < 2; k++)
        for (int rank = 3; rank <= 5; rank++) {
            op_run r;
            op_begin(&r);
            sqz_shape s = {rank, {2, 3, 4, 5, 6}};
            const int64_t c = s.dim[rank - 1];
            const sqz_tensor *x = op_random(&r, SQZ_F32, s, -1, 1, &rng);
            const sqz_tensor *y = op_run_ok(&r, k ? "global_average_pool" : "global_max_pool", "");
            assert_int_equal(y->count, 2 * c);
            const int64_t n = (int64_t)x->count / 2 / c;
            for (int64_t i = 0; i < 2 * c; i++) {
                double sum = 0, top = -INFINITY;
                for (int64_t j = 0; j < n; j++) {
                    double v = (double)SQZ_F32P(x)[(i / c * n + j) * c + i % c];
                    sum += v;
                    top = fmax(top, v);
                }
                assert_true(fabs((double)SQZ_F32P(y)[i] - (k ? sum / (double)n : top)) < 1e-6);
            }
            op_end(&r);
        }
}

static void test_pools_refuse_what_does_not_fit(void **state)
{
    (void)state;
    op_refuses("max_pool", "kernel_shape=3", SHAPE(1, 4, 4, 2), SQZ_F32, SQZ_E_SHAPE,
               "kernel_shape has 1 entries, expected 2");
    op_refuses("max_pool", "kernel_shape=5,5", SHAPE(1, 4, 4, 2), SQZ_F32, SQZ_E_SHAPE, "larger");
    op_refuses("average_pool", "kernel_shape=2,2,2,2", SHAPE(1, 4, 4, 4, 4, 2), SQZ_F32,
               SQZ_E_UNSUPPORTED, "rank 6");
    op_refuses("average_pool", "kernel_shape=2,2", SHAPE(1, 4, 4, 2), SQZ_U8, SQZ_E_UNSUPPORTED,
               "u8");
    op_refuses("global_max_pool", "", SHAPE(1, 4), SQZ_F32, SQZ_E_SHAPE, "rank 2");
}

/* ---- reductions ---- */

static double add(double a, double v) { return a + v; }
static double add_abs(double a, double v) { return a + fabs(v); }
static double add_square(double a, double v) { return a + v * v; }
static double multiply(double a, double v) { return a * v; }
static const struct {
    const char *op;
    double start;
    double (*fold)(double, double);
    int finish; /* 1: mean, 2: root */
} reducers[] = {{"reduce_sum", 0, add, 0},          {"reduce_mean", 0, add, 1},
                {"reduce_max", -INFINITY, fmax, 0}, {"reduce_min", INFINITY, fmin, 0},
                {"reduce_prod", 1, multiply, 0},    {"reduce_l1", 0, add_abs, 0},
                {"reduce_l2", 0, add_square, 2},    {"reduce_sum_square", 0, add_square, 0}};

/* Accumulates x into the outputs that its elements belong to; *n: elements behind each. */
static void reduce_naive(const sqz_tensor *x, unsigned mask, size_t k, double shift, double *acc,
                         size_t n_acc, double *n)
{
    sqz_shape kept = x->shape;
    for (int32_t d = 0; d < kept.rank; d++)
        kept.dim[d] = mask & 1u << d ? 1 : kept.dim[d];
    for (size_t i = 0; i < n_acc; i++)
        acc[i] = reducers[k].start;
    for (size_t i = 0; i < x->count; i++) {
        int64_t at[SQZ_MAX_RANK];
        coords(&x->shape, i, at);
        for (int32_t d = 0; d < kept.rank; d++)
            at[d] = mask & 1u << d ? 0 : at[d];
        size_t o = flat(&kept, at);
        assert_true(o < n_acc);
        acc[o] = reducers[k].fold(acc[o], sqz_tensor_f64(x, i) - shift);
    }
    *n = (double)(x->count / n_acc);
    for (size_t i = 0; i < n_acc; i++)
        acc[i] = reducers[k].finish == 1   ? acc[i] / *n
                 : reducers[k].finish == 2 ? sqrt(acc[i])
                                           : acc[i];
}

static unsigned random_axes(sqz_rng *rng, int32_t rank, bool keep, char *text, size_t n)
{
    unsigned mask = 1 + (unsigned)sqz_rng_below(rng, (1u << rank) - 1);
    int used = snprintf(text, n, "keepdims=%d axes=", keep);
    bool first = true;
    for (int32_t d = rank - 1; d >= 0; d--)
        if (mask & 1u << d) { /* some from the end */
            used += snprintf(text + used, n - (size_t)used, "%s%d", first ? "" : ",",
                             (int)(sqz_rng_below(rng, 2) ? d - rank : d));
            first = false;
        }
    return mask;
}

static void test_reductions_match_naive_sums(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 31};
    for (int round = 0; round < 400; round++) {
        const size_t k = (size_t)round % SQZ_COUNT(reducers);
        const int32_t rank = 1 + (int32_t)sqz_rng_below(&rng, 5);
        const bool keep = sqz_rng_below(&rng, 2),
                   ints = k != 1 && k < 5 && sqz_rng_below(&rng, 3) == 0;
        sqz_shape s = {.rank = rank};
        char attrs[80];
        op_run r;
        for (int32_t d = 0; d < rank; d++)
            s.dim[d] = 1 + (int64_t)sqz_rng_below(
                               &rng, sqz_rng_below(&rng, 9) ? 4 : 600 / (uint64_t)rank);
        unsigned mask = random_axes(&rng, rank, keep, attrs, sizeof attrs);
        op_begin(&r);
        double lo = ints ? 1 : -2, hi = ints ? 2 : 2;
        const sqz_tensor *x = op_random(&r, ints ? SQZ_S64 : SQZ_F32, s, lo, hi, &rng);
        if (k == 4 && ints)
            for (size_t i = 0; i < x->count; i++) /* a product that stays exact */
                SQZ_S64P(x)[i] = i % 50 == 0 && i < 2000 ? 2 : 1;
        const sqz_tensor *y = op_run_ok(&r, reducers[k].op, attrs);
        assert_int_equal(y->shape.rank, keep ? rank : rank - __builtin_popcount(mask));
        double *acc = malloc(y->count * sizeof *acc), *size = malloc(y->count * sizeof *acc), n;
        reduce_naive(x, mask, 5, 0, size, y->count, &n); /* sums of magnitudes */
        reduce_naive(x, mask, k, 0, acc, y->count, &n);
        for (size_t i = 0; i < y->count; i++) {
            /* sums are made in float, by blocks: what cancels leaves its rounding */
            const double most = k == 0 ? size[i] : k == 1 ? size[i] / n : fabs(acc[i]);
            assert_true(fabs(sqz_tensor_f64(y, i) - acc[i]) <= 1e-6 * most + 1e-37);
        }
        free(acc);
        free(size);
        op_end(&r);
    }
}

static void test_no_axes_means_all_or_none(void **state)
{
    (void)state;
    op_run r;
    sqz_rng rng = {.seed = 2};
    op_begin(&r);
    op_random(&r, SQZ_F32, SHAPE(2, 3), -1, 1, &rng);
    assert_shape(op_run_ok(&r, "reduce_sum", "keepdims=0"), (sqz_shape){0});
    op_end(&r);
    op_begin(&r);
    const sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(2, 3), -1, 1, &rng);
    const sqz_tensor *y = op_run_ok(&r, "reduce_sum", "noop_with_empty_axes=1");
    assert_memory_equal(x->data, y->data, x->bytes);
    op_end(&r);
    op_refuses("reduce_max", "axes=2", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "axis 2");
    op_refuses("reduce_max", "axes=1,-1", SHAPE(2, 3), SQZ_F32, SQZ_E_FORMAT, "listed twice");
    op_refuses("reduce_mean", "axes=1", SHAPE(2, 3), SQZ_BOOL, SQZ_E_UNSUPPORTED, "bool");
}

/* Over the spatial axes the int8 mean is the firmware's average pool, bit for bit; over others it
 * is within one step of the exact mean. */
static void test_int8_mean_is_the_average_pool(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 12};
    op_run a, b;
    op_begin(&a);
    op_begin(&b);
    const sqz_tensor *x = op_random(&a, SQZ_S8, SHAPE(2, 7, 5, 300), -128, 127, &rng);
    memcpy(op_in(&b, SQZ_S8, x->shape)->data, x->data, x->bytes);
    op_run *both[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        op_grid(both[i], 0, 0.05f, -3);
        op_grid(both[i], -1, 0.011f, 20);
    }
    const sqz_tensor *y = op_run_ok(&a, "reduce_mean", "axes=1,2");
    const sqz_tensor *z = op_run_ok(&b, "global_average_pool", "");
    assert_int_equal(y->bytes, z->bytes);
    assert_memory_equal(y->data, z->data, y->bytes);
    op_end(&a);
    op_end(&b);
    op_begin(&a);
    x = op_random(&a, SQZ_S8, SHAPE(4, 6, 5, 8), -128, 127, &rng);
    op_grid(&a, 0, 0.05f, -3);
    op_grid(&a, -1, 0.011f, 20);
    y = op_run_ok(&a, "reduce_mean", "axes=0,2");
    double acc[48], n;
    reduce_naive(x, 5, 1, -3, acc, 48, &n);
    for (size_t i = 0; i < 48; i++) {
        double q = nearbyint(acc[i] * (double)0.05f / (double)0.011f) + 20;
        assert_true(fabs(sqz_tensor_f64(y, i) - fmin(fmax(q, -128), 127)) <= 1);
    }
    op_end(&a);
}

/* ---- softmax ---- */

static void test_softmax_along_any_axis(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 17};
    for (int axis = -3; axis < 3; axis++)
        for (int integer = 0; integer < 2; integer++)
            for (int log_form = 0; log_form < 2 - integer; log_form++) {
                op_run r;
                char attrs[16];
                op_begin(&r);
                (void)snprintf(attrs, sizeof attrs, "axis=%d", axis);
                const sqz_tensor *x = op_random(&r, integer ? SQZ_S8 : SQZ_F32, SHAPE(5, 7, 11),
                                                integer ? -128 : -20, integer ? 127 : 20, &rng);
                const double s = integer ? (double)0.07f : 1;
                if (integer) {
                    op_grid(&r, 0, 0.07f, 9);
                    op_grid(&r, -1, 1.0f / 256, -128);
                }
                const sqz_tensor *y = op_run_ok(&r, log_form ? "log_softmax" : "softmax", attrs);
                const int32_t a = axis < 0 ? axis + 3 : axis;
                for (size_t i = 0; i < y->count; i++) {
                    int64_t at[3];
                    double sum = 0, own = s * sqz_tensor_f64(x, i);
                    coords(&x->shape, i, at);
                    for (at[a] = 0; at[a] < x->shape.dim[a]; at[a]++)
                        sum += exp(s * sqz_tensor_f64(x, flat(&x->shape, at)) - own);
                    double want = log_form ? -log(sum) : 1 / sum, got = sqz_tensor_f64(y, i);
                    if (integer) /* at most one step, and 1 saturates at 255/256 */
                        assert_true(fabs((got + 128) - fmin(256 * want, 255)) <= 1);
                    else
                        assert_true(fabs(got - want) <= 1e-6 * fmax(1, fabs(want)));
                }
                op_end(&r);
            }
}

static void test_softmax_of_masked_rows_is_finite(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    const float x[] = {-INFINITY, 1, -INFINITY, 1, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const float want[] = {0, 0.5f, 0, 0.5f, 0.25f, 0.25f, 0.25f, 0.25f};
    memcpy(op_in(&r, SQZ_F32, SHAPE(2, 4))->data, x, sizeof x);
    assert_memory_equal(op_run_ok(&r, "softmax", "")->data, want, sizeof want);
    op_end(&r);
}

static void test_int8_softmax_wants_its_grid(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    op_in(&r, SQZ_S8, SHAPE(2, 4));
    op_grid(&r, 0, 0.1f, 0);
    op_grid(&r, -1, 0.1f, 0);
    TEST_FAILS(r.ctx, op_try(&r, "softmax", ""), SQZ_E_INTERNAL, "expected 1/256, -128");
    op_end(&r);
}

/* ---- resizing: ONNX's formulas in double; sizes whose ties are exact in float32 too ---- */

static double source(const char *coord, double x, double in, double out, double scale)
{
    if (strcmp(coord, "asymmetric") == 0)
        return x / scale;
    if (strcmp(coord, "align_corners") == 0)
        return x * (in - 1) / (scale * in - 1); /* of the length before it is rounded down */
    if (strcmp(coord, "pytorch_half_pixel") == 0 && out <= 1)
        return 0;
    return (x + 0.5) / scale - 0.5;
}
static double neighbor(const char *mode, double x)
{
    if (strcmp(mode, "floor") == 0)
        return floor(x);
    if (strcmp(mode, "ceil") == 0)
        return ceil(x);
    bool tie = x - floor(x) == 0.5;
    return tie ? strcmp(mode, "round_prefer_floor") == 0 ? floor(x) : ceil(x) : nearbyint(x);
}
static double clamp(double x, double n) { return fmin(fmax(x, 0), n - 1); }

static void test_nearest_resizing_of_every_mode(void **state)
{
    static const char *const coord[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                        "asymmetric"};
    static const char *const near[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    static const int64_t size[][2] = {{10, 6}, {3, 2}, {20, 3}, {1, 12}};
    (void)state;
    sqz_rng rng = {.seed = 41};
    for (size_t c = 0; c < 4; c++)
        for (size_t m = 0; m < 4; m++)
            for (size_t k = 0; k < 4; k++) {
                op_run r;
                char attrs[160];
                op_begin(&r);
                (void)snprintf(attrs, sizeof attrs,
                               "sizes=0,%d,%d,0 coordinate_transformation_mode=%s nearest_mode=%s",
                               (int)size[k][0], (int)size[k][1], coord[c], near[m]);
                const sqz_tensor *x = op_random(&r, SQZ_S8, SHAPE(2, 5, 3, 2), -99, 99, &rng);
                const sqz_tensor *y = op_run_ok(&r, "resize_nearest", attrs);
                assert_shape(y, SHAPE(2, size[k][0], size[k][1], 2));
                for (size_t i = 0; i < y->count; i++) {
                    int64_t at[4];
                    coords(&y->shape, i, at);
                    for (int a = 1; a < 3; a++) {
                        double in = (double)x->shape.dim[a], out = (double)y->shape.dim[a];
                        double s = source(coord[c], (double)at[a], in, out, out / in);
                        s = nearbyint(s * 1e6) / 1e6; /* 1/3 * 3 and the like are ties */
                        at[a] = (int64_t)clamp(neighbor(near[m], s), in);
                    }
                    if (SQZ_S8P(y)[i] != SQZ_S8P(x)[flat(&x->shape, at)])
                        fail_msg("%s: element %zu", attrs, i);
                }
                op_end(&r);
            }
}

static void test_linear_resizing_interpolates(void **state)
{
    static const char *const coord[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                        "asymmetric"};
    (void)state;
    sqz_rng rng = {.seed = 43};
    for (size_t k = 0; k < 4; k++)
        for (int shrink = 0; shrink < 2; shrink++) {
            op_run r;
            char attrs[120];
            op_begin(&r);
            (void)snprintf(attrs, sizeof attrs,
                           "scales=1,%s,1.5,1 coordinate_transformation_mode=%s",
                           shrink ? "0.6" : "2.3", coord[k]);
            const sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(2, 5, 3, 2), -1, 1, &rng);
            const sqz_tensor *y = op_run_ok(&r, "resize_linear", attrs);
            const double scale[] = {1, shrink ? (double)0.6f : (double)2.3f, 1.5};
            for (size_t i = 0; i < y->count; i++) {
                int64_t at[4], p[4];
                double pos[4], want = 0;
                coords(&y->shape, i, at);
                memcpy(p, at, sizeof p);
                for (int a = 1; a < 3; a++)
                    pos[a] = clamp(source(coord[k], (double)at[a], (double)x->shape.dim[a],
                                          (double)y->shape.dim[a], scale[a]),
                                   (double)x->shape.dim[a]);
                for (p[1] = 0; p[1] < 5; p[1]++) /* a hat over every pixel */
                    for (p[2] = 0; p[2] < 3; p[2]++)
                        want += fmax(0, 1 - fabs(pos[1] - (double)p[1])) *
                                fmax(0, 1 - fabs(pos[2] - (double)p[2])) *
                                (double)SQZ_F32P(x)[flat(&x->shape, p)];
                assert_true(fabs((double)SQZ_F32P(y)[i] - want) < 2e-6);
            }
            op_end(&r);
        }
}

static void test_resizing_refuses_what_does_not_fit(void **state)
{
    (void)state;
    op_refuses("resize_linear", "scales=1,2,2,2", SHAPE(1, 3, 3, 2), SQZ_F32, SQZ_E_UNSUPPORTED,
               "the batch or the channels change from 1 x 2 to 1 x 4");
    op_refuses("resize", "scales=1,2,2,2 roi=0,0,1,1", SHAPE(1, 3, 3, 2), SQZ_F32, SQZ_E_SHAPE,
               "roi has 4 entries, expected 8");
    op_refuses("resize", "scales=1,1e-9 antialias=1", SHAPE(1, 9), SQZ_F32, SQZ_E_SHAPE,
               "axis 1 of 9 becomes 0 long");
    op_refuses("resize_nearest", "scales=1,2", SHAPE(1, 3, 3, 2), SQZ_F32, SQZ_E_SHAPE,
               "2 scales or sizes");
    op_refuses("resize_nearest", "scales=1,0.1,1,1", SHAPE(1, 3, 3, 2), SQZ_F32, SQZ_E_SHAPE,
               "becomes 0 long");
    op_refuses("resize_linear", "scales=1,1,1,1,1", SHAPE(1, 3, 3, 3, 2), SQZ_F32,
               SQZ_E_UNSUPPORTED, "rank 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools_match_naive_windows),
        cmocka_unit_test(test_global_pools_take_the_whole_image),
        cmocka_unit_test(test_pools_refuse_what_does_not_fit),
        cmocka_unit_test(test_reductions_match_naive_sums),
        cmocka_unit_test(test_no_axes_means_all_or_none),
        cmocka_unit_test(test_int8_mean_is_the_average_pool),
        cmocka_unit_test(test_softmax_along_any_axis),
        cmocka_unit_test(test_softmax_of_masked_rows_is_finite),
        cmocka_unit_test(test_int8_softmax_wants_its_grid),
        cmocka_unit_test(test_nearest_resizing_of_every_mode),
        cmocka_unit_test(test_linear_resizing_interpolates),
        cmocka_unit_test(test_resizing_refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
