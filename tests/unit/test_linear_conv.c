/* conv2d, dwconv2d and conv_transpose: the float form against loops in double, the integer form
 * against the firmware runtime, bit for bit, over random shapes. */
#include "../linear_case.h"
#include "kernels/multiplier.h"
#include "ops/window.h"
#include "runtime/sqz_rt.h"

enum { SEED = 7, ROUNDS = 150 };

typedef struct geometry {
    int64_t n, h, w, c, o, group, k[2], stride[2], dil[2], pad[4], out[2];
    int dims; /* 1: rank 3, everything of H is 1 */
    bool bias;
    char attrs[200];
} geometry;

/* A random convolution whose window fits; group 0 asks for a depthwise one. */
static geometry random_geometry(sqz_rng *r, bool depthwise)
{
    geometry g = {.dims = sqz_rng_below(r, 4) ? 2 : 1, .bias = sqz_rng_below(r, 2)};
    g.n = 1 + (int64_t)sqz_rng_below(r, 3);
    g.group = depthwise ? 0 : 1 + (int64_t)sqz_rng_below(r, 3);
    int64_t per = depthwise ? 1 + (int64_t)sqz_rng_below(r, 40) : 1 + (int64_t)sqz_rng_below(r, 9);
    g.c = depthwise ? per : per * g.group;
    g.o = depthwise ? per * (1 + (int64_t)sqz_rng_below(r, 3))
                    : g.group * (1 + (int64_t)sqz_rng_below(r, 20));
    for (int a = 0; a < 2; a++) {
        bool flat = g.dims == 1 && a == 0;
        bool plain = sqz_rng_below(r, 4) == 0; /* pointwise now and then */
        g.k[a] = flat || plain ? 1 : 1 + (int64_t)sqz_rng_below(r, 4);
        g.stride[a] = flat || plain ? 1 : 1 + (int64_t)sqz_rng_below(r, 3);
        g.dil[a] = flat ? 1 : 1 + (int64_t)sqz_rng_below(r, 2);
        g.pad[a] = flat || plain ? 0 : (int64_t)sqz_rng_below(r, 3);
        g.pad[2 + a] = flat || plain ? 0 : (int64_t)sqz_rng_below(r, 3);
        int64_t size = flat ? 1 : 1 + (int64_t)sqz_rng_below(r, 11);
        while (size + g.pad[a] + g.pad[2 + a] < g.dil[a] * (g.k[a] - 1) + 1)
            size++;
        *(a ? &g.w : &g.h) = size;
        g.out[a] = (size + g.pad[a] + g.pad[2 + a] - g.dil[a] * (g.k[a] - 1) - 1) / g.stride[a] + 1;
    }
    char group[32] = "";
    if (!depthwise)
        (void)snprintf(group, sizeof group, " group=%d", (int)g.group);
    int first = g.dims == 2 ? 0 : 1;
    int n = snprintf(g.attrs, sizeof g.attrs, "strides=");
    for (int a = first; a < 2; a++)
        n += snprintf(g.attrs + n, sizeof g.attrs - (size_t)n, a > first ? ",%d" : "%d",
                      (int)g.stride[a]);
    n += snprintf(g.attrs + n, sizeof g.attrs - (size_t)n, " dilations=");
    for (int a = first; a < 2; a++)
        n += snprintf(g.attrs + n, sizeof g.attrs - (size_t)n, a > first ? ",%d" : "%d",
                      (int)g.dil[a]);
    n += snprintf(g.attrs + n, sizeof g.attrs - (size_t)n, " pads=");
    for (int e = 0; e < 2; e++)
        for (int a = first; a < 2; a++)
            n += snprintf(g.attrs + n, sizeof g.attrs - (size_t)n, e || a > first ? ",%d" : "%d",
                          (int)g.pad[2 * e + a]);
    (void)snprintf(g.attrs + n, sizeof g.attrs - (size_t)n, "%s", group);
    return g;
}

static sqz_shape shape4(const geometry *g, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return g->dims == 2 ? (sqz_shape){4, {a, b, c, d}} : (sqz_shape){3, {a, c, d}};
}

static void make(op_case *c, sqz_ctx *ctx, const geometry *g, sqz_dtype d)
{
    int64_t depth = g->group ? g->c / g->group : 1;
    case_begin(c, ctx, g->group ? "conv2d" : "dwconv2d", g->attrs);
    case_input(c, d, shape4(g, g->n, g->h, g->w, g->c));
    case_input(c, d, shape4(g, g->o, g->k[0], g->k[1], depth));
    if (g->bias)
        case_input(c, d == SQZ_S8 ? SQZ_S32 : d, (sqz_shape){1, {g->o}});
}

/* y at (n, oy, ox, o) and the sum of the sizes of its terms, straight from the definition. */
static double naive(const op_case *c, const geometry *g, int64_t n, int64_t oy, int64_t ox,
                    int64_t o, double *size)
{
    const float *x = SQZ_F32P(&c->in[0]), *w = SQZ_F32P(&c->in[1]);
    int64_t groups = g->group ? g->group : g->c, depth = g->c / groups;
    double sum = g->bias ? SQZ_F32P(&c->in[2])[o] : 0;
    *size = fabs(sum);
    for (int64_t ky = 0; ky < g->k[0]; ky++)
        for (int64_t kx = 0; kx < g->k[1]; kx++)
            for (int64_t i = 0; i < depth; i++) {
                int64_t iy = oy * g->stride[0] - g->pad[0] + ky * g->dil[0];
                int64_t ix = ox * g->stride[1] - g->pad[1] + kx * g->dil[1];
                if (iy < 0 || ix < 0 || iy >= g->h || ix >= g->w)
                    continue;
                int64_t from = o / (g->o / groups) * depth + i;
                double term = (double)x[((n * g->h + iy) * g->w + ix) * g->c + from] *
                              w[((o * g->k[0] + ky) * g->k[1] + kx) * depth + i];
                sum += term;
                *size += fabs(term);
            }
    return sum;
}

static void check_float(bool depthwise)
{
    sqz_rng r = {SEED + depthwise, 0};
    sqz_ctx *ctx = test_ctx();
    for (int round = 0; round < ROUNDS; round++) {
        geometry g = random_geometry(&r, depthwise);
        op_case c;
        make(&c, ctx, &g, SQZ_F32);
        for (unsigned i = 0; i < c.n_in; i++)
            fill_f32(&r, &c.in[i], 1);
        TEST_OK(ctx, case_run(&c, SQZ_F32));
        assert_int_equal(c.out.count, g.n * g.out[0] * g.out[1] * g.o);
        const float *y = c.out.data;
        for (int64_t n = 0; n < g.n; n++)
            for (int64_t oy = 0; oy < g.out[0]; oy++)
                for (int64_t ox = 0; ox < g.out[1]; ox++)
                    for (int64_t o = 0; o < g.o; o++, y++) {
                        double size, want = naive(&c, &g, n, oy, ox, o, &size);
                        /* at most 4*4*9 + 1 roundings of 2^-24 each, of sums below `size` */
                        if (!(fabs(*y - want) <= 150 * 6e-8 * size))
                            fail_msg("%s: %g, expected %g", g.attrs, (double)*y, want);
                    }
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}
static void test_conv2d_is_the_sum_over_taps(void **state)
{
    (void)state;
    check_float(false);
}
static void test_dwconv2d_is_the_sum_over_taps(void **state)
{
    (void)state;
    check_float(true);
}

/* The runtime on the same codes. */
static void runtime(const op_case *c, const geometry *g, int8_t *y)
{
    int32_t mult[128], shift[128];
    double sx = c->in_q[0].scale[0], sy = c->out_q.scale[0];
    for (int64_t o = 0; o < g->o; o++)
        sqz_multiplier(sx * c->in_q[1].scale[c->in_q[1].n == 1 ? 0 : o] / sy, &mult[o], &shift[o]);
    sqz_rt_conv p = {.n = (int32_t)g->n,
                     .in_h = (int32_t)g->h,
                     .in_w = (int32_t)g->w,
                     .in_c = (int32_t)g->c,
                     .out_h = (int32_t)g->out[0],
                     .out_w = (int32_t)g->out[1],
                     .out_c = (int32_t)g->o,
                     .k_h = (int32_t)g->k[0],
                     .k_w = (int32_t)g->k[1],
                     .stride_h = (int32_t)g->stride[0],
                     .stride_w = (int32_t)g->stride[1],
                     .dil_h = (int32_t)g->dil[0],
                     .dil_w = (int32_t)g->dil[1],
                     .pad_top = (int32_t)g->pad[0],
                     .pad_left = (int32_t)g->pad[1],
                     .groups = (int32_t)g->group,
                     .in_zero = c->in_q[0].zero[0],
                     .out_zero = c->out_q.zero[0],
                     .act_min = -128,
                     .act_max = 127,
                     .mult = mult,
                     .shift = shift};
    const int32_t *bias = g->bias ? SQZ_S32P(&c->in[2]) : NULL;
    if (g->group) {
        sqz_rt_conv_s8(&p, c->in[0].data, c->in[1].data, bias, y);
        return;
    }
    int8_t *w = malloc(c->in[1].count); /* the runtime takes (Kh,Kw,O) */
    int64_t taps = g->k[0] * g->k[1];
    for (int64_t o = 0; o < g->o; o++)
        for (int64_t t = 0; t < taps; t++)
            w[t * g->o + o] = SQZ_S8P(&c->in[1])[o * taps + t];
    sqz_rt_dwconv_s8(&p, c->in[0].data, w, bias, y);
    free(w);
}

static void check_int(bool depthwise)
{
    static const char *const cpu[] = {"scalar", "avx2", "avx512vnni"}; /* caps: fine anywhere */
    for (size_t isa = 0; isa < SQZ_COUNT(cpu); isa++) {
        sqz_rng r = {SEED + 2 + depthwise, 0};
        sqz_ctx *ctx = case_ctx(cpu[isa], isa == 2 ? 4 : 1);
        for (int round = 0; round < ROUNDS; round++) {
            geometry g = random_geometry(&r, depthwise);
            op_case c;
            make(&c, ctx, &g, SQZ_S8);
            fill_int(&r, &c.in[0], -128, 127);
            fill_int(&r, &c.in[1], -127, 127);
            if (g.bias)
                fill_int(&r, &c.in[2], -20000, 20000);
            case_linear_grids(&c, &r, 0, (uint32_t)g.o, c.in[1].count / (size_t)g.o);
            TEST_OK(ctx, case_run(&c, SQZ_S8));
            int8_t *want = malloc(c.out.count);
            runtime(&c, &g, want);
            for (size_t i = 0; i < c.out.count; i++)
                if (SQZ_S8P(&c.out)[i] != want[i])
                    fail_msg("%s, %s: element %zu is %d, the runtime says %d", cpu[isa], g.attrs, i,
                             SQZ_S8P(&c.out)[i], want[i]);
            free(want);
            case_end(&c);
        }
        sqz_ctx_free(ctx);
    }
}
static void test_integer_conv2d_is_the_runtimes(void **state)
{
    (void)state;
    check_int(false);
}
static void test_integer_dwconv2d_is_the_runtimes(void **state)
{
    (void)state;
    check_int(true);
}

/* Float weights on a grid, int4 codes and a float bias give what their int8 codes give. */
static void test_weights_may_come_as_floats_or_int4(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 9 << 20};
    sqz_ctx *ctx = test_ctx();
    geometry g = {.n = 1, .h = 4, .w = 5, .c = 3, .o = 4, .group = 1, .k = {3, 2}, .dims = 2};
    g.bias = true;
    op_case c[3];
    const sqz_dtype type[3] = {SQZ_S8, SQZ_F32, SQZ_S4};
    for (int i = 0; i < 3; i++) {
        case_begin(&c[i], ctx, "conv2d", "");
        case_input(&c[i], SQZ_S8, shape4(&g, 1, 4, 5, 3));
        case_input(&c[i], type[i], shape4(&g, 4, 3, 2, 3));
        case_input(&c[i], i == 1 ? SQZ_F32 : SQZ_S32, (sqz_shape){1, {4}});
        if (i == 0) {
            fill_int(&r, &c[0].in[0], -128, 127);
            fill_int(&r, &c[0].in[1], -7, 7);
            fill_int(&r, &c[0].in[2], -900, 900);
        }
        sqz_rng same = {SEED, 10 << 20};
        case_linear_grids(&c[i], &same, 0, 4, 18);
        c[i].in_q[1].dtype = i == 2 ? SQZ_S4 : SQZ_S8;
        c[i].quant[2] = i != 1;
        for (unsigned k = 0; i && k < 3; k++)
            for (size_t e = 0; e < c[i].in[k].count; e++) {
                const sqz_quant *q = &c[i].in_q[k];
                double unit = i == 1 && k ? q->scale[q->n == 1 ? 0 : e / (k == 1 ? 18 : 1)] : 1;
                sqz_tensor_set_f64(&c[i].in[k], e, unit * sqz_tensor_f64(&c[0].in[k], e));
            }
        TEST_OK(ctx, case_run(&c[i], SQZ_S8));
        assert_memory_equal(c[i].out.data, c[0].out.data, c[0].out.bytes);
    }
    for (int i = 0; i < 3; i++)
        case_end(&c[i]);
    sqz_ctx_free(ctx);
}

static void test_integer_conv_refuses_by_name(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 11 << 20};
    sqz_ctx *ctx = test_ctx();
    geometry g = {.n = 1, .h = 3, .w = 3, .c = 2, .o = 2, .group = 1, .k = {1, 1}, .dims = 2};
    for (int fault = 0; fault < 6; fault++) {
        op_case c;
        make(&c, ctx, &g, SQZ_S8);
        case_input(&c, SQZ_S32, (sqz_shape){1, {2}});
        fill_int(&r, &c.in[1], 100, 127);
        case_linear_grids(&c, &r, 0, 2, 2);
        static const char *const part[] = {"zero point 3",   "u8",      "per group", "32 bits",
                                           "bias of output", "constant"};
        switch (fault) {
        case 0: zeros(&c.in_q[1])[0] = 3; break;
        case 1: c.in_q[0].dtype = SQZ_U8; break;
        case 2: c.in_q[1].group = 32; break;
        case 3: SQZ_S32P(&c.in[2])[1] = INT32_MAX - 1000; break;
        case 4: scales(&c.in_q[2])[0] *= 1.01f; break;
        default: c.quant[1] = false; break;
        }
        sqz_status s = fault == 3 ? SQZ_E_LIMIT : SQZ_E_UNSUPPORTED;
        if (fault == 5) /* int8 weights without a grid are not understood at all */
            TEST_FAILS(ctx, case_run(&c, SQZ_S8), s, "expected floats");
        else
            TEST_FAILS(ctx, case_run(&c, SQZ_S8), s, part[fault]);
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}

static void test_shapes_are_refused_with_a_sentence(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    static const struct {
        const char *attrs, *part;
        sqz_shape x, w, b;
    } row[] = {
        {"", "rank 6", {6, {1, 2, 2, 2, 2, 2}}, {6, {1, 1, 1, 1, 1, 2}}, {0}},
        {"", "weights of rank 3", {4, {1, 2, 2, 2}}, {3, {1, 1, 2}}, {0}},
        {"", "larger than the padded input", {4, {1, 2, 2, 2}}, {4, {1, 3, 3, 2}}, {0}},
        {"", "3 input channels", {4, {1, 2, 2, 3}}, {4, {1, 1, 1, 2}}, {0}},
        {"group=2", "in 2 groups", {4, {1, 2, 2, 2}}, {4, {3, 1, 1, 1}}, {0}},
        {"", "the bias", {4, {1, 2, 2, 2}}, {4, {3, 1, 1, 2}}, {1, {2}}},
        {"strides=1", "strides has 1 entries", {4, {1, 2, 2, 2}}, {4, {3, 1, 1, 2}}, {0}},
        {"pads=1,1", "pads has 2 entries", {4, {1, 2, 2, 2}}, {4, {3, 1, 1, 2}}, {0}},
    };
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        op_case c;
        sqz_shape shape;
        sqz_dtype d;
        case_begin(&c, ctx, "conv2d", row[i].attrs);
        case_input(&c, SQZ_F32, row[i].x);
        case_input(&c, SQZ_F32, row[i].w);
        if (row[i].b.rank)
            case_input(&c, SQZ_F32, row[i].b);
        sqz_status s = case_infer(&c, true, &shape, &d);
        if (s == SQZ_OK || !strstr(sqz_last_error(ctx), row[i].part))
            fail_msg("row %zu: status %d, '%s'", i, (int)s, sqz_last_error(ctx));
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}

/* SAME padding: the output has ceil(in / stride) elements, and UPPER and LOWER differ by where an
 * odd element goes. */
static void test_same_padding_gives_ceil_of_the_size(void **state)
{
    (void)state;
    for (int64_t in = 1; in < 20; in++)
        for (int64_t k = 1; k < 6; k++)
            for (int64_t stride = 1; stride < 4; stride++)
                for (int64_t dil = 1; dil < 3; dil++) {
                    int64_t b, e, lb, le;
                    sqz_window_same(in, k, stride, dil, true, &b, &e);
                    sqz_window_same(in, k, stride, dil, false, &lb, &le);
                    int64_t room = in + b + e - dil * (k - 1) - 1;
                    if (b + e > 0)
                        assert_int_equal(room / stride + 1, (in + stride - 1) / stride);
                    assert_true(e - b == 0 || e - b == 1);
                    assert_true(lb == e && le == b);
                }
}

static void test_taps_inside_the_image_are_exactly_those(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 12 << 20};
    for (int round = 0; round < 2000; round++) {
        sqz_window w = {.in = {1 + (int64_t)sqz_rng_below(&r, 9), 1},
                        .k = {1 + (int64_t)sqz_rng_below(&r, 6), 1},
                        .stride = {1 + (int64_t)sqz_rng_below(&r, 3), 1},
                        .dil = {1 + (int64_t)sqz_rng_below(&r, 3), 1},
                        .begin = {(int64_t)sqz_rng_below(&r, 12), 0}};
        int64_t o = (int64_t)sqz_rng_below(&r, 10), lo, hi;
        sqz_window_taps(&w, 0, o, &lo, &hi);
        assert_true(0 <= lo && lo <= hi && hi <= w.k[0]);
        for (int64_t t = 0; t < w.k[0]; t++) {
            int64_t at = o * w.stride[0] - w.begin[0] + t * w.dil[0];
            assert_int_equal(at >= 0 && at < w.in[0], t >= lo && t < hi);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv2d_is_the_sum_over_taps),
        cmocka_unit_test(test_dwconv2d_is_the_sum_over_taps),
        cmocka_unit_test(test_integer_conv2d_is_the_runtimes),
        cmocka_unit_test(test_integer_dwconv2d_is_the_runtimes),
        cmocka_unit_test(test_weights_may_come_as_floats_or_int4),
        cmocka_unit_test(test_integer_conv_refuses_by_name),
        cmocka_unit_test(test_shapes_are_refused_with_a_sentence),
        cmocka_unit_test(test_same_padding_gives_ceil_of_the_size),
        cmocka_unit_test(test_taps_inside_the_image_are_exactly_those),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
