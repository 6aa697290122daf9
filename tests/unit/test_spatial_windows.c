/* test_spatial_windows.c: convolutions and pools over one to three axes against loops over their
 * definitions in double; what they refuse. */
#include "ops_test.h"

enum { ROUNDS = 120 };

/* A random window over n axes; everything in the file's order of axes. */
typedef struct window_case {
    int n;
    int64_t in[3], k[3], stride[3], dil[3], begin[3], end[3], out[3];
    bool ceil;
    char attrs[240];
} window_case;

static int64_t pick(sqz_rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo + 1));
}

static void list(char *to, size_t size, const char *name, int n, const int64_t *a, const int64_t *b)
{
    size_t used = strlen(to);
    used += (size_t)snprintf(to + used, size - used, " %s=", name);
    for (int i = 0; i < (b ? 2 : 1) * n; i++)
        used += (size_t)snprintf(to + used, size - used, i ? ",%d" : "%d",
                                 (int)(i < n ? a[i] : b[i - n]));
}

static window_case random_window(sqz_rng *r, bool pool)
{
    window_case w = {.n = (int)pick(r, 1, 3), .ceil = pool && sqz_rng_below(r, 2)};
    for (int i = 0; i < w.n; i++) {
        w.k[i] = pick(r, 1, 3);
        w.stride[i] = pick(r, 1, 3);
        w.dil[i] = pick(r, 1, 2);
        w.begin[i] = pick(r, 0, w.k[i] - 1);
        w.end[i] = pick(r, 0, w.k[i] - 1);
        w.in[i] = (w.k[i] - 1) * w.dil[i] + 1 + pick(r, 0, 4);
        const int64_t room = w.in[i] + w.begin[i] + w.end[i] - (w.k[i] - 1) * w.dil[i] - 1;
        w.out[i] = room / w.stride[i] + 1;
        if (w.ceil && room % w.stride[i] && w.out[i] * w.stride[i] < w.in[i] + w.begin[i])
            w.out[i]++;
    }
    if (pool)
        list(w.attrs, sizeof w.attrs, "kernel_shape", w.n, w.k, NULL);
    list(w.attrs, sizeof w.attrs, "strides", w.n, w.stride, NULL);
    list(w.attrs, sizeof w.attrs, "dilations", w.n, w.dil, NULL);
    list(w.attrs, sizeof w.attrs, "pads", w.n, w.begin, w.end);
    return w;
}

/* (a, space..., b) */
static sqz_shape around(const window_case *w, int64_t a, const int64_t *space, int64_t b)
{
    sqz_shape s = {.rank = w->n + 2, .dim = {a}};
    for (int i = 0; i < w->n; i++)
        s.dim[1 + i] = space[i];
    s.dim[1 + w->n] = b;
    return s;
}

/* Coordinates of tap k of the output at o; false: in the padding. *counted: not beyond it. */
static bool tap_at(const window_case *w, const int64_t *o, size_t k, int64_t *at, bool *counted)
{
    bool inside = true;
    *counted = true;
    for (int i = w->n - 1; i >= 0; i--) {
        at[i] = o[i] * w->stride[i] - w->begin[i] + (int64_t)(k % (size_t)w->k[i]) * w->dil[i];
        k /= (size_t)w->k[i];
        inside = inside && at[i] >= 0 && at[i] < w->in[i];
        *counted = *counted && at[i] < w->in[i] + w->end[i];
    }
    return inside;
}

static size_t taps_of(const window_case *w)
{
    size_t n = 1;
    for (int i = 0; i < w->n; i++)
        n *= (size_t)w->k[i];
    return n;
}

/* ---- pools ---- */

typedef struct summary { /* of one window and channel */
    double top, sum, power;
    int inside, counted;
    int64_t index; /* in the file's tensor, of the first largest */
} summary;

/* Index of (n, c, at) in (N,C,space...), with the spatial axes reversed for storage_order 1. */
static int64_t file_index(const window_case *w, int64_t nc, const int64_t *at, bool columns)
{
    for (int i = 0; i < w->n; i++)
        nc *= w->in[i];
    int64_t in = 0;
    for (int i = 0; i < w->n; i++) {
        int a = columns ? w->n - 1 - i : i;
        in = in * w->in[a] + at[a];
    }
    return nc + in;
}

static summary summarize(const window_case *w, const sqz_tensor *x, const int64_t *out_at, double p,
                         double zero, bool columns)
{
    summary s = {.top = -INFINITY, .index = -1};
    const int64_t c = out_at[w->n + 1], channels = x->shape.dim[w->n + 1];
    for (size_t k = 0; k < taps_of(w); k++) {
        int64_t at[8] = {out_at[0]};
        bool counted;
        bool inside = tap_at(w, out_at + 1, k, at + 1, &counted);
        s.counted += counted;
        if (!inside)
            continue;
        at[w->n + 1] = c;
        const double v = sqz_tensor_f64(x, flat(&x->shape, at)) - zero;
        s.inside++;
        s.sum += v;
        s.power += pow(fabs(v), p);
        if (v > s.top) {
            s.top = v;
            s.index = file_index(w, out_at[0] * channels + c, at + 1, columns);
        }
    }
    return s;
}

static void test_pools_of_any_rank_match_their_definitions(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 81};
    for (int round = 0; round < ROUNDS; round++) {
        window_case w = random_window(&rng, true);
        const int kind = round % 3; /* average, norm, maximum with indices */
        const bool flag = sqz_rng_below(&rng, 2), bytes = kind == 2 && sqz_rng_below(&rng, 2);
        const double p = (double)pick(&rng, 1, 3);
        static const char *const op[] = {"average_pool", "lp_pool", "max_pool_indices"};
        size_t used = strlen(w.attrs);
        if (kind == 1)
            (void)snprintf(w.attrs + used, sizeof w.attrs - used, " ceil_mode=%d p=%g", w.ceil, p);
        else
            (void)snprintf(w.attrs + used, sizeof w.attrs - used, " ceil_mode=%d %s=%d", w.ceil,
                           kind ? "storage_order" : "count_include_pad", flag);
        op_run r;
        op_begin(&r);
        r.n_out = kind == 2 ? 2 : 1;
        const sqz_tensor *x = op_random(&r, bytes ? SQZ_S8 : SQZ_F32,
                                        around(&w, pick(&rng, 1, 2), w.in, pick(&rng, 1, 3)),
                                        bytes ? -4 : -1, bytes ? 4 : 1, &rng); /* with ties */
        const sqz_tensor *y = op_run_ok(&r, op[kind], w.attrs);
        assert_shape(y, around(&w, x->shape.dim[0], w.out, x->shape.dim[w.n + 1]));
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[8];
            coords(&y->shape, i, at);
            const summary s = summarize(&w, x, at, p, 0, flag);
            const int n = flag ? s.counted : s.inside;
            const double low = bytes ? -128 : -INFINITY, got = sqz_tensor_f64(y, i);
            const double want = kind == 0   ? n ? s.sum / n : 0
                                : kind == 1 ? pow(s.power, 1 / p)
                                            : fmax(s.top, low);
            if (!(got == want || fabs(got - want) < 1e-6)) /* 27 terms below 1, in double */
                fail_msg("%s%s: %g, expected %g", op[kind], w.attrs, got, want);
            if (kind == 2)
                assert_int_equal(SQZ_S64P(&r.out[1])[i], s.index);
        }
        op_end(&r);
    }
}

/* On int8 grids, three axes as well: the maximum exactly, the average within a step. */
static void test_integer_pools_of_three_axes(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 82};
    for (int round = 0; round < ROUNDS; round++) {
        window_case w = random_window(&rng, true);
        const bool average = round % 2;
        size_t used = strlen(w.attrs);
        (void)snprintf(w.attrs + used, sizeof w.attrs - used, " ceil_mode=%d", w.ceil);
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, SQZ_S8, around(&w, 1, w.in, pick(&rng, 1, 5)), -128,
                                        127, &rng);
        op_grid(&r, 0, 0.05f, 7);
        op_grid(&r, -1, average ? 0.03f : 0.05f, average ? -11 : 7);
        const sqz_tensor *y = op_run_ok(&r, average ? "average_pool" : "max_pool", w.attrs);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[8];
            coords(&y->shape, i, at);
            const summary s = summarize(&w, x, at, 1, average ? 7 : 0, false);
            double want = average ? s.inside ? s.sum / s.inside * 0.05 / 0.03 - 11 : -11
                                  : fmax(s.top, -128);
            want = fmin(fmax(want, -128), 127);
            assert_true(fabs(sqz_tensor_f64(y, i) - want) <= (average ? 1 : 0));
        }
        op_end(&r);
    }
}

static void test_bytes_without_a_grid_are_numbers(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    sqz_tensor *x = op_in(&r, SQZ_U8, SHAPE(1, 2, 2, 1));
    memcpy(x->data, (uint8_t[]){3, 200, 130, 7}, 4);
    const sqz_tensor *y = op_run_ok(&r, "max_pool", "kernel_shape=2,2 pads=1,1,0,0");
    assert_memory_equal(y->data, ((uint8_t[]){3, 200, 130, 200}), 4);
    op_end(&r);
    op_refuses("max_pool", "kernel_shape=2", SHAPE(1, 4, 1), SQZ_S32, SQZ_E_UNSUPPORTED, "s32");
    op_refuses("lp_pool", "kernel_shape=2", SHAPE(1, 4, 1), SQZ_U8, SQZ_E_UNSUPPORTED, "u8");
    op_refuses("lp_pool", "kernel_shape=2 p=0", SHAPE(1, 4, 1), SQZ_F32, SQZ_E_ARG, "p");
}

/* max_unpool puts back what max_pool_indices took: the pooled maxima, at their places. */
static void test_unpooling_inverts_pooling(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 83};
    for (int round = 0; round < 20; round++) {
        op_run p, u;
        const int64_t h = 2 * pick(&rng, 1, 4), wide = 2 * pick(&rng, 1, 4), c = pick(&rng, 1, 3);
        op_begin(&p);
        p.n_out = 2;
        op_random(&p, SQZ_F32, SHAPE(2, h, wide, c), 1, 2, &rng);
        op_run_ok(&p, "max_pool_indices", "kernel_shape=2,2 strides=2,2");
        op_begin(&u);
        sqz_tensor *x = op_in(&u, SQZ_F32, SHAPE(2, c, h / 2, wide / 2));
        sqz_tensor *k = op_in(&u, SQZ_S64, x->shape);
        for (size_t i = 0; i < x->count; i++) { /* to the file's layout */
            int64_t at[4];
            coords(&x->shape, i, at);
            const size_t from = flat(&p.out[0].shape, (int64_t[]){at[0], at[2], at[3], at[1]});
            SQZ_F32P(x)[i] = SQZ_F32P(&p.out[0])[from];
            SQZ_S64P(k)[i] = SQZ_S64P(&p.out[1])[from];
        }
        const sqz_tensor *y = op_run_ok(&u, "max_unpool", "kernel_shape=2,2 strides=2,2");
        assert_shape(y, SHAPE(2, c, h, wide));
        size_t found = 0;
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4];
            coords(&y->shape, i, at);
            const size_t from = flat(&p.in[0].shape, (int64_t[]){at[0], at[2], at[3], at[1]});
            if (SQZ_F32P(y)[i] != 0) {
                assert_true(SQZ_F32P(y)[i] == SQZ_F32P(&p.in[0])[from]);
                found++;
            }
        }
        assert_int_equal(found, x->count);
        op_end(&u);
        op_end(&p);
    }
}

static void test_unpooling_refuses_what_lies_outside(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(1, 1, 2));
    SQZ_S64P(op_in(&r, SQZ_S64, SHAPE(1, 1, 2)))[1] = 4;
    TEST_FAILS(r.ctx, op_try(&r, "max_unpool", "kernel_shape=2 strides=2"), SQZ_E_ARG,
               "index 4 is outside of 4 elements");
    op_end(&r);
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(1, 1, 2));
    op_in(&r, SQZ_S64, SHAPE(1, 1, 2));
    TEST_FAILS(r.ctx, op_try(&r, "max_unpool", "kernel_shape=2 strides=2 size=3"), SQZ_E_SHAPE,
               "a size of 3 along spatial axis 0, expected 4 or more");
    op_end(&r);
}

/* ---- convolutions ---- */

static void test_convolutions_of_any_rank_match_their_definition(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 84};
    for (int round = 0; round < ROUNDS; round++) {
        window_case w = random_window(&rng, false);
        const bool depthwise = round % 4 == 3;
        const int64_t g = depthwise ? pick(&rng, 2, 9) : pick(&rng, 1, 2),
                      i_g = depthwise ? 1 : pick(&rng, 1, 3), o_g = pick(&rng, 1, 3);
        if (!depthwise)
            (void)snprintf(w.attrs + strlen(w.attrs), 20, " group=%d", (int)g);
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, SQZ_F32, around(&w, pick(&rng, 1, 2), w.in, g * i_g),
                                        -1, 1, &rng);
        const sqz_tensor *k = op_random(&r, SQZ_F32, around(&w, g * o_g, w.k, i_g), -1, 1, &rng);
        const sqz_tensor *y = op_run_ok(&r, depthwise ? "dwconv2d" : "conv2d", w.attrs);
        assert_shape(y, around(&w, x->shape.dim[0], w.out, g * o_g));
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[8];
            double want = 0;
            coords(&y->shape, i, at);
            const int64_t o = at[w.n + 1];
            for (size_t t = 0; t < taps_of(&w); t++) {
                int64_t from[8] = {at[0]};
                bool counted;
                for (int64_t c = 0; tap_at(&w, at + 1, t, from + 1, &counted) && c < i_g; c++) {
                    from[w.n + 1] = o / o_g * i_g + c;
                    want += (double)SQZ_F32P(x)[flat(&x->shape, from)] *
                            (double)SQZ_F32P(
                                k)[((size_t)o * taps_of(&w) + t) * (size_t)i_g + (size_t)c];
                }
            }
            /* at most 81 products below 1, each sum rounded to 2^-24 of at most 81 */
            assert_true(fabs((double)SQZ_F32P(y)[i] - want) < 81 * 81 * 6e-8);
        }
        op_end(&r);
    }
}

/* y[i * stride - begin + k * dil] += x[i] * w[k], the definition as a scatter. */
static void test_transposed_convolutions_scatter_their_input(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 85};
    for (int round = 0; round < ROUNDS; round++) {
        window_case w = random_window(&rng, false);
        int64_t extra[3], full[3];
        for (int i = 0; i < w.n; i++) {
            extra[i] = pick(&rng, 0, w.stride[i] - 1);
            full[i] = w.stride[i] * (w.in[i] - 1) + w.dil[i] * (w.k[i] - 1) + 1 + extra[i] -
                      w.begin[i] - w.end[i];
        }
        const int64_t g = pick(&rng, 1, 2), i_g = pick(&rng, 1, 3), o_g = pick(&rng, 1, 3);
        list(w.attrs, sizeof w.attrs, "output_padding", w.n, extra, NULL);
        (void)snprintf(w.attrs + strlen(w.attrs), 20, " group=%d", (int)g);
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, SQZ_F32, around(&w, 1, w.in, g * i_g), -1, 1, &rng);
        const sqz_tensor *k = op_random(&r, SQZ_F32, around(&w, g * i_g, w.k, o_g), -1, 1, &rng);
        const sqz_tensor *y = op_run_ok(&r, "conv_transpose", w.attrs);
        assert_shape(y, around(&w, 1, full, g * o_g));
        double *want = calloc(y->count, sizeof *want);
        for (size_t i = 0; i < x->count; i++)
            for (size_t t = 0; t < taps_of(&w); t++) {
                int64_t at[8], to[8] = {0};
                size_t rest = t;
                bool inside = true;
                coords(&x->shape, i, at);
                for (int a = w.n - 1; a >= 0; a--) {
                    to[1 + a] = at[1 + a] * w.stride[a] - w.begin[a] +
                                (int64_t)(rest % (size_t)w.k[a]) * w.dil[a];
                    rest /= (size_t)w.k[a];
                    inside = inside && to[1 + a] >= 0 && to[1 + a] < full[a];
                }
                const int64_t c = at[w.n + 1];
                for (int64_t o = 0; inside && o < o_g; o++) {
                    to[w.n + 1] = c / i_g * o_g + o;
                    want[flat(&y->shape, to)] +=
                        (double)SQZ_F32P(x)[i] *
                        (double)SQZ_F32P(
                            k)[((size_t)c * taps_of(&w) + t) * (size_t)o_g + (size_t)o];
                }
            }
        for (size_t i = 0; i < y->count; i++)
            assert_true(fabs((double)SQZ_F32P(y)[i] - want[i]) < 81 * 81 * 6e-8);
        free(want);
        op_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools_of_any_rank_match_their_definitions),
        cmocka_unit_test(test_integer_pools_of_three_axes),
        cmocka_unit_test(test_bytes_without_a_grid_are_numbers),
        cmocka_unit_test(test_unpooling_inverts_pooling),
        cmocka_unit_test(test_unpooling_refuses_what_lies_outside),
        cmocka_unit_test(test_convolutions_of_any_rank_match_their_definition),
        cmocka_unit_test(test_transposed_convolutions_scatter_their_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
