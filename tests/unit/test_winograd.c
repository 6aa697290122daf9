/* Winograd's convolution against the definition in double, for every instruction set; its bound
 * comes from the transforms of absolute values. */
#include "kernels/kernels.h"
#include "ops/winograd.h"
#include "sqz_test.h"

enum { SEED = 20161, ROUNDS = 40, T_MOST = SQZ_WINO_T };

typedef struct layer { /* a convolution with everything that it reads */
    sqz_ctx *ctx;
    int64_t pads[4];
    sqz_tensor x, w, b, y, add, more; /* more: the fused bias */
    sqz_fused fused;
    bool has_bias, has_fused, has_more, has_add;
    double *want; /* without bias, residual and clamp */
} layer;

static sqz_tensor random_tensor(sqz_ctx *ctx, int32_t rank, const int64_t *dim, sqz_rng *r)
{
    sqz_shape s = {.rank = rank};
    sqz_tensor t;
    memcpy(s.dim, dim, (size_t)rank * sizeof *dim);
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_F32P(&t)[i] = (float)(2 * sqz_rng_uniform(r) - 1);
    return t;
}

static void define(layer *l)
{
    const int64_t *x = l->x.shape.dim, *y = l->y.shape.dim, c = x[3], n = y[3];
    l->want = calloc(l->y.count, sizeof *l->want);
    assert_non_null(l->want);
    for (int64_t i = 0; i < (int64_t)l->y.count; i++) {
        int64_t o = i % n, ox = i / n % y[2], oy = i / n / y[2] % y[1], img = i / n / y[2] / y[1];
        for (int64_t t = 0; t < 9; t++) {
            int64_t iy = oy + t / 3 - l->pads[0], ix = ox + t % 3 - l->pads[1];
            if (iy < 0 || iy >= x[1] || ix < 0 || ix >= x[2])
                continue;
            const float *in = SQZ_F32P(&l->x) + ((img * x[1] + iy) * x[2] + ix) * c;
            const float *w = SQZ_F32P(&l->w) + (o * 9 + t) * c;
            for (int64_t k = 0; k < c; k++)
                l->want[i] += (double)in[k] * (double)w[k];
        }
    }
}

/* N images of height x width x c to n channels. */
static layer make(sqz_ctx *ctx, const int64_t size[4], int64_t n, const int64_t pads[4], sqz_rng *r)
{
    layer l = {.ctx = ctx, .fused = {.lo = -INFINITY, .hi = INFINITY}};
    const int64_t out[4] = {size[0], size[1] + pads[0] + pads[2] - 2,
                            size[2] + pads[1] + pads[3] - 2, n};
    memcpy(l.pads, pads, sizeof l.pads);
    l.x = random_tensor(ctx, 4, size, r);
    l.w = random_tensor(ctx, 4, (const int64_t[]){n, 3, 3, size[3]}, r);
    l.b = random_tensor(ctx, 1, &n, r);
    l.more = random_tensor(ctx, 1, &n, r);
    l.add = random_tensor(ctx, 4, out, r);
    l.y = random_tensor(ctx, 4, out, r);
    define(&l);
    return l;
}

static void drop(layer *l)
{
    sqz_tensor *all[] = {&l->x, &l->w, &l->b, &l->y, &l->add, &l->more};
    for (size_t i = 0; i < SQZ_COUNT(all); i++)
        sqz_tensor_free(l->ctx, all[i]);
    free(l->want);
}

static bool prepare(layer *l, sqz_arena *a, size_t tile, sqz_prep *p, sqz_winograd **w)
{
    static const sqz_quant *const no_grid[3];
    const sqz_window_attrs at = {.pads = {.n = 4, .v = l->pads}};
    const sqz_conv_shape s = {.attrs = &at, .group = 1};
    sqz_conv v;
    p->ctx = l->ctx;
    p->arena = a;
    p->in_q = p->out_q = no_grid;
    p->fused = l->has_fused ? &l->fused : NULL;
    TEST_OK(l->ctx, sqz_conv_geometry(p, &s, &v));
    if (!sqz_winograd_can(p, &v))
        return false;
    TEST_OK(l->ctx, sqz_winograd_prepare(p, &v, tile, w));
    return true;
}

/* fresh: the weights are known when it runs only. */
static void run_with(layer *l, size_t tile, bool fresh)
{
    sqz_tensor shape = l->w;
    shape.data = NULL;
    const sqz_tensor *known[3] = {&l->x, fresh ? &shape : &l->w, &l->b};
    const sqz_tensor *in[3] = {&l->x, &l->w, &l->b}, *const_out[1] = {&l->y};
    sqz_tensor *out[1] = {&l->y};
    sqz_arena a = {.ctx = l->ctx};
    sqz_winograd *w = NULL;
    sqz_prep p = {.n_in = l->has_bias ? 3 : 2, .n_out = 1, .in = known, .out = const_out};
    l->fused.bias = l->has_more ? &l->more : NULL;
    l->fused.add = l->has_add ? &l->add : NULL;
    assert_true(prepare(l, &a, tile, &p, &w));
    sqz_call c = {.ctx = l->ctx,
                  .n_in = p.n_in,
                  .n_out = 1,
                  .in = in,
                  .out = out,
                  .fused = p.fused,
                  .scratch = sqz_malloc_aligned(l->ctx, p.scratch_bytes)};
    assert_non_null(c.scratch);
    memset(l->y.data, 0xA5, l->y.bytes); /* NaN-like rubbish everywhere: nothing is read first */
    memset(c.scratch, 0xFF, p.scratch_bytes);
    TEST_OK(l->ctx, sqz_winograd_run(w, &c));
    sqz_free_aligned(l->ctx, c.scratch);
    sqz_arena_free(&a);
}

static void run(layer *l, size_t tile) { run_with(l, tile, false); }

static void test_weights_that_change_give_the_bytes_of_constant_ones(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {SEED, 77};
    for (int round = 0; round < 12; round++) {
        const int64_t size[4] = {1 + round % 3, 5 + round, 17 - round, 7 * (1 + round % 4)};
        layer l = make(ctx, size, 5 + 9 * (round % 5), (const int64_t[]){1, 1, 1, 1}, &r);
        const size_t tile = round % 2 ? 2 : 4;
        run(&l, tile);
        void *want = malloc(l.y.bytes);
        assert_non_null(want);
        memcpy(want, l.y.data, l.y.bytes);
        run_with(&l, tile, true);
        assert_memory_equal(l.y.data, want, l.y.bytes);
        free(want);
        drop(&l);
    }
    sqz_ctx_free(ctx);
}

/* ---- the bound ----
 * |error| <= roundings * 2^-24 * |A^T| (sum |G||g||G^T| . |B^T||d||B|) |A|: every factor of the
 * sum passes through at most 1 rounding of the weight, 2 + 2 of the input transform, C of the
 * product and 3 + 3 of the output transform, and then those of bias and residual. With |x|, |w| <=
 * 1 and the row sums of the matrices that is a number. */
static double row_sum(const double *m, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += fabs(m[i]);
    return s;
}

/* Largest sum over points i of |A(i,k)| * (row sum of G)(i) * (row sum of B^T)(i), for any k. */
static double amplification(size_t m)
{
    const double a = SQZ_WINO_PA, b = SQZ_WINO_PB, four[5] = {0, a, -a, b, -b}, two[3] = {0, 1, -1};
    const double *at = m == 4 ? four : two;
    double worst = 0;
    for (size_t k = 0; k < m; k++) {
        double sum = 0;
        for (size_t i = 0; i < m + 2; i++) {
            double poly[8] = {1}, f = 1; /* product of (z - other points), ascending powers */
            for (size_t j = 0, degree = 0; j < m + 1; j++) {
                if (j == i)
                    continue;
                degree++;
                for (size_t d = degree; d > 0; d--)
                    poly[d] = poly[d - 1] - at[j] * poly[d];
                poly[0] *= -at[j];
                f *= i <= m ? at[i] - at[j] : 1;
            }
            const double p = i <= m ? at[i] : 0;
            const double g[3] = {i <= m ? 1 / f : 0, p / f, i <= m ? p * p / f : 1};
            const double out = i <= m ? pow(p, (double)k) : (k + 1 == m);
            sum += fabs(out) * row_sum(g, 3) * row_sum(poly, 8);
        }
        worst = fmax(worst, sum);
    }
    return worst;
}

static double bound(const layer *l, size_t m)
{
    const double c = (double)l->x.shape.dim[3], amp = amplification(m);
    return (c + 1 + 4 + 6 + 4) * 0x1p-24 * (c * amp * amp + 3);
}

static void check(const layer *l, size_t tile, const char *isa)
{
    const int64_t *y = l->y.shape.dim, n = y[3];
    const double most = bound(l, tile);
    for (size_t i = 0; i < l->y.count; i++) {
        const size_t o = i % (size_t)n;
        double want = l->want[i] + (l->has_bias ? (double)SQZ_F32P(&l->b)[o] : 0);
        if (l->has_fused)
            want += (l->fused.bias ? (double)SQZ_F32P(&l->more)[o] : 0) +
                    (l->fused.add ? (double)SQZ_F32P(&l->add)[i] : 0);
        want = fmin(fmax(want, (double)l->fused.lo), (double)l->fused.hi);
        if (!(fabs((double)SQZ_F32P(&l->y)[i] - want) <= most))
            fail_msg("%s, tile %zu, %dx%dx%dx%d -> %d at %zu: %.9g, expected %.9g within %g", isa,
                     tile, (int)y[0], (int)y[1], (int)y[2], (int)l->x.shape.dim[3], (int)n, i,
                     (double)SQZ_F32P(&l->y)[i], want, most);
    }
}

static layer random_layer(sqz_ctx *ctx, sqz_rng *r)
{
    int64_t size[4] = {1 + (int64_t)sqz_rng_below(r, 4), 3 + (int64_t)sqz_rng_below(r, 14),
                       3 + (int64_t)sqz_rng_below(r, 40), 1 + (int64_t)sqz_rng_below(r, 40)};
    int64_t pads[4];
    for (int i = 0; i < 4; i++)
        pads[i] = (int64_t)sqz_rng_below(r, 3); /* 2 is more than a kernel needs */
    layer l = make(ctx, size, 1 + (int64_t)sqz_rng_below(r, 90), pads, r);
    l.has_bias = sqz_rng_below(r, 2);
    l.has_fused = sqz_rng_below(r, 2);
    l.has_more = sqz_rng_below(r, 2);
    l.has_add = sqz_rng_below(r, 2);
    if (l.has_fused && sqz_rng_below(r, 2)) {
        l.fused.lo = -0.25f;
        l.fused.hi = 1.5f;
    }
    return l;
}

/* ---- tests ---- */

static void test_equals_the_definition_within_the_bound_and_on_every_isa(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {SEED, 0};
    for (int round = 0; round < ROUNDS; round++) {
        layer l = random_layer(ctx, &r);
        float *first = NULL;
        const size_t tile = round % 2 ? 2 : 4;
        for (int isa = 0; isa < SQZ_N_ISA; isa++) {
            if (!sqz_isa_supported((sqz_isa)isa))
                continue;
            sqz_kernels_select(ctx->kernels, (sqz_isa)isa);
            run(&l, tile);
            check(&l, tile, sqz_isa_name((sqz_isa)isa));
            if (first)
                assert_memory_equal(l.y.data, first, l.y.bytes); /* one order of operations */
            else
                first = memcpy(malloc(l.y.bytes), l.y.data, l.y.bytes);
        }
        free(first);
        drop(&l);
    }
    sqz_ctx_free(ctx);
}

/* The points are chosen for this: with 0, +-1, +-2 the ratio is near 4. */
static void test_loses_at_most_a_bit_and_a_half_against_direct_float(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {SEED, 1 << 20};
    const size_t tiles[] = {4, 2};
    for (size_t k = 0; k < SQZ_COUNT(tiles); k++) {
        layer l = make(ctx, (const int64_t[]){1, 16, 16, 64}, 32, (const int64_t[]){1, 1, 1, 1},
                       &r);
        double error = 0, direct = 0;
        run(&l, tiles[k]);
        for (size_t i = 0; i < l.y.count; i++) {
            const size_t o = i % 32, x = i / 32 % 16, y = i / 32 / 16;
            float sum = 0; /* one chain of float, as the product of the direct form */
            for (size_t t = 0; t < 9; t++)
                for (size_t c = 0; c < 64 && y + t / 3 - 1 < 16 && x + t % 3 - 1 < 16; c++)
                    sum = fmaf(SQZ_F32P(&l.x)[((y + t / 3 - 1) * 16 + x + t % 3 - 1) * 64 + c],
                               SQZ_F32P(&l.w)[(o * 9 + t) * 64 + c], sum);
            error += pow((double)SQZ_F32P(&l.y)[i] - l.want[i], 2);
            direct += pow((double)sum - l.want[i], 2);
        }
        assert_true(direct > 0);
        const double ratio = sqrt(error / direct);
        if (ratio > 2.8)
            fail_msg("tile %zu: error %.3g times that of direct float", tiles[k], ratio);
        drop(&l);
    }
    sqz_ctx_free(ctx);
}

/* Few channels: threads take groups of tiles; many: they share a group. */
static const int64_t widths[][2] = {{20, 70}, {60, 130}};

static void try_threads(size_t tile, const int64_t width[2])
{
    const int threads[] = {1, 2, 5};
    float *first = NULL;
    for (size_t k = 0; k < SQZ_COUNT(threads); k++) {
        sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
        sqz_ctx *ctx;
        sqz_rng r = {SEED, 2 << 20};
        o.threads = threads[k];
        assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
        layer l = make(ctx, (const int64_t[]){3, 16, 11, width[0]}, width[1],
                       (const int64_t[]){1, 1, 1, 1}, &r);
        run(&l, tile);
        if (first)
            assert_memory_equal(l.y.data, first, l.y.bytes);
        else
            first = memcpy(malloc(l.y.bytes), l.y.data, l.y.bytes);
        drop(&l);
        sqz_ctx_free(ctx);
    }
    free(first);
}
static void test_threads_do_not_change_results(void **state)
{
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(widths); i++) {
        try_threads(4, widths[i]);
        try_threads(2, widths[i]);
    }
}

/* An image in a batch of any size, and at any place in it, gives the bytes that it gives alone. */
static void test_the_batch_does_not_change_results(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    const int64_t pads[4] = {1, 1, 1, 1};
    for (size_t tile = 2; tile <= 4; tile += 2) {
        sqz_rng r = {SEED, 3 << 20};
        layer many = make(ctx, (const int64_t[]){5, 7, 9, 33}, 24, pads, &r);
        run(&many, tile);
        for (size_t i = 0; i < 5; i++) {
            layer one = make(ctx, (const int64_t[]){1, 7, 9, 33}, 24, pads, &r);
            memcpy(one.x.data, SQZ_F32P(&many.x) + i * one.x.count, one.x.bytes);
            memcpy(one.w.data, many.w.data, one.w.bytes);
            run(&one, tile);
            assert_memory_equal(one.y.data, SQZ_F32P(&many.y) + i * one.y.count, one.y.bytes);
            drop(&one);
        }
        drop(&many);
    }
    sqz_ctx_free(ctx);
}

/* ---- what follows in the chain of fused nodes ---- */

typedef struct seen {
    float *y;
    unsigned char *times;
} seen;
static sqz_status count_and_negate(const sqz_call *c, size_t begin, size_t end)
{
    const seen *s = c->state;
    for (size_t i = begin; i < end; i++) {
        s->times[i]++;
        s->y[i] = -s->y[i];
    }
    return SQZ_OK;
}

static void try_then(sqz_ctx *ctx, size_t tile, const int64_t width[2])
{
    sqz_rng r = {SEED, 4 << 20};
    layer l = make(ctx, (const int64_t[]){2, 13, 11, width[0]}, width[1],
                   (const int64_t[]){0, 1, 1, 1}, &r);
    seen s = {SQZ_F32P(&l.y), calloc(l.y.count, 1)};
    const sqz_call call = {.state = &s};
    const sqz_then then = {count_and_negate, &call};
    run(&l, tile);
    float *plain = memcpy(malloc(l.y.bytes), l.y.data, l.y.bytes);
    l.has_fused = true;
    l.fused.then = &then;
    l.fused.n_then = 1;
    run(&l, tile);
    for (size_t i = 0; i < l.y.count; i++)
        if (s.times[i] != 1 || SQZ_F32P(&l.y)[i] != -plain[i])
            fail_msg("tile %zu: output %zu was seen %d times", tile, i, s.times[i]);
    free(plain);
    free(s.times);
    drop(&l);
}
static void test_fused_nodes_see_every_stored_output_once(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t i = 0; i < SQZ_COUNT(widths); i++) {
        try_then(ctx, 4, widths[i]);
        try_then(ctx, 2, widths[i]);
    }
    sqz_ctx_free(ctx);
}

/* ---- when it is used ---- */

typedef struct choice {
    int64_t side, c, n;
    size_t tile;
} choice;
static const choice
    choices[] =
        {
            {56, 64, 64, 4},  {28, 128, 128, 4}, {14, 256, 256, 4}, {7, 512, 512, 2},
            {32, 16, 16, 4},  {16, 32, 32, 4},   {8, 64, 64, 4},    {224, 3, 32, 0},
            {4, 512, 512, 0}, /* weights four times as large for one tile */
};

static void test_is_chosen_by_the_shapes_of_one_image(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    static float constant;
    for (size_t i = 0; i < SQZ_COUNT(choices); i++)
        for (int64_t batch = 1; batch <= 64; batch *= 64) {
            const choice *q = &choices[i];
            int64_t pads[4] = {1, 1, 1, 1};
            const sqz_tensor x = {.shape = {4, {batch, q->side, q->side, q->c}}},
                             w = {.shape = {4, {q->n, 3, 3, q->c}}, .data = &constant},
                             y = {.shape = {4, {batch, q->side, q->side, q->n}},
                                  .count = (size_t)(batch * q->side * q->side * q->n)};
            const sqz_window_attrs at = {.pads = {.n = 4, .v = pads}};
            sqz_conv v;
            const sqz_prep p = {.ctx = ctx,
                                .n_in = 2,
                                .in = (const sqz_tensor *const[]){&x, &w},
                                .out = (const sqz_tensor *const[]){&y}};
            TEST_OK(ctx, sqz_conv_geometry(&p, &(sqz_conv_shape){.attrs = &at, .group = 1}, &v));
            if (sqz_winograd_tile(&p, &v, false) != q->tile)
                fail_msg("%d x %d -> %d: tile %zu, expected %zu", (int)q->side, (int)q->c,
                         (int)q->n, sqz_winograd_tile(&p, &v, false), q->tile);
        }
    sqz_ctx_free(ctx);
}

static void test_other_convolutions_are_left_alone(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    static float constant;
    int64_t two[2] = {2, 2}, pads[4] = {0};
    const struct {
        sqz_window_attrs at;
        int64_t group, kernel;
    } other[] = {
        {{.strides = {.n = 2, .v = two}}, 1, 3},
        {{.dilations = {.n = 2, .v = two}}, 1, 3},
        {{.pads = {.n = 4, .v = pads}}, 2, 3},
        {{.pads = {.n = 4, .v = pads}}, 1, 5},
    };
    for (size_t i = 0; i < SQZ_COUNT(other); i++) {
        const int64_t c = 64 / other[i].group, k = other[i].kernel;
        const sqz_tensor x = {.shape = {4, {1, 29, 29, 64}}},
                         w = {.shape = {4, {64, k, k, c}}, .data = &constant},
                         y = {.shape = {4, {1, 27, 27, 64}}, .count = (size_t)27 * 27 * 64};
        const sqz_prep p = {.ctx = ctx,
                            .n_in = 2,
                            .in = (const sqz_tensor *const[]){&x, &w},
                            .out = (const sqz_tensor *const[]){&y}};
        const sqz_conv_shape s = {.attrs = &other[i].at, .group = other[i].group};
        sqz_conv v;
        TEST_OK(ctx, sqz_conv_geometry(&p, &s, &v));
        if (sqz_winograd_can(&p, &v) || sqz_winograd_tile(&p, &v, false))
            fail_msg("case %zu is taken", i);
    }
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_that_change_give_the_bytes_of_constant_ones),
        cmocka_unit_test(test_equals_the_definition_within_the_bound_and_on_every_isa),
        cmocka_unit_test(test_loses_at_most_a_bit_and_a_half_against_direct_float),
        cmocka_unit_test(test_threads_do_not_change_results),
        cmocka_unit_test(test_the_batch_does_not_change_results),
        cmocka_unit_test(test_fused_nodes_see_every_stored_output_once),
        cmocka_unit_test(test_is_chosen_by_the_shapes_of_one_image),
        cmocka_unit_test(test_other_convolutions_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
