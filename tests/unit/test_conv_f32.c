/* Float conv2d, gemm and matmul against sums in double: random windows, groups and axes, shapes
 * large enough to be divided by lines and by outputs, any number of threads, and what is fused. */
#include "net.h"
#include "ops/window.h"
#include "ops_test.h"

enum { SEED = 20241106 };

typedef struct window_case { /* spatial axes D, H, W of size 1 where there are fewer */
    int32_t axes;
    int64_t batch, groups, depth, out; /* channels of a group: input, output */
    int64_t in[3], k[3], stride[3], dil[3], begin[3], end[3];
} window_case;

static int64_t below(sqz_rng *r, uint64_t n) { return (int64_t)sqz_rng_below(r, n); }

static window_case random_case(sqz_rng *r)
{
    window_case c = {.axes = 1 + (int32_t)below(r, 3), .batch = 1 + below(r, 3)};
    c.groups = 1 + (sqz_rng_below(r, 3) == 0 ? below(r, 4) : 0);
    c.depth = 1 + below(r, 9);
    c.out = 1 + below(r, 20);
    for (int a = 0; a < 3; a++) {
        c.in[a] = c.k[a] = c.stride[a] = c.dil[a] = 1;
        if (a < 3 - c.axes)
            continue;
        c.k[a] = 1 + below(r, 4);
        c.stride[a] = 1 + below(r, 3);
        c.dil[a] = sqz_rng_below(r, 3) ? 1 : 1 + below(r, 2);
        c.begin[a] = sqz_rng_below(r, 2) ? below(r, 3) : 0;
        c.end[a] = sqz_rng_below(r, 2) ? below(r, 3) : 0;
        c.in[a] = (c.k[a] - 1) * c.dil[a] + 1 + below(r, 7); /* some window fits */
    }
    return c;
}

static void print_list(char *to, size_t size, const char *name, const int64_t *v, int32_t axes)
{
    size_t at = strlen(to);
    at += (size_t)snprintf(to + at, size - at, "%s=", name);
    for (int32_t a = 3 - axes; a < 3; a++)
        at += (size_t)snprintf(to + at, size - at, "%s%d", a == 3 - axes ? "" : ",", (int)v[a]);
}

static void attrs_of(const window_case *c, char out[256])
{
    out[0] = 0;
    print_list(out, 256, "strides", c->stride, c->axes);
    print_list(out, 256, " dilations", c->dil, c->axes);
    print_list(out, 256, " pads", c->begin, c->axes);
    for (int32_t a = 3 - c->axes; a < 3; a++)
        (void)snprintf(out + strlen(out), 256 - strlen(out), ",%d", (int)c->end[a]);
    (void)snprintf(out + strlen(out), 256 - strlen(out), " group=%d", (int)c->groups);
}

/* (first, spatial axes, last) */
static sqz_shape shape_of(const window_case *c, int64_t first, const int64_t *size, int64_t last)
{
    sqz_shape s = {.rank = c->axes + 2};
    s.dim[0] = first;
    for (int32_t a = 0; a < c->axes; a++)
        s.dim[1 + a] = size[3 - c->axes + a];
    s.dim[s.rank - 1] = last;
    return s;
}

/* Tap of output pixel o (D, H, W) as flat pixel of the image, or -1 in the padding. */
static int64_t tap(const window_case *c, const int64_t *o, const int64_t *t)
{
    int64_t at = 0;
    for (int a = 0; a < 3; a++) {
        const int64_t i = o[a] * c->stride[a] - c->begin[a] + t[a] * c->dil[a];
        if (i < 0 || i >= c->in[a])
            return -1;
        at = at * c->in[a] + i;
    }
    return at;
}

static void check_conv(const window_case *c, const op_run *r, const sqz_tensor *y)
{
    const float *x = SQZ_F32P(&r->in[0]), *w = SQZ_F32P(&r->in[1]), *b = SQZ_F32P(&r->in[2]);
    const int64_t taps = c->k[0] * c->k[1] * c->k[2], pixels = c->in[0] * c->in[1] * c->in[2];
    const int64_t c_in = c->depth * c->groups, c_out = c->out * c->groups;
    int64_t size[3] = {1, 1, 1};
    for (int32_t a = 0; a < c->axes; a++)
        size[3 - c->axes + a] = y->shape.dim[1 + a];
    for (int64_t i = 0; i < (int64_t)y->count; i++) {
        const int64_t j = i % c_out, p = i / c_out, g = j / c->out;
        const int64_t o[3] = {p / size[2] / size[1] % size[0], p / size[2] % size[1], p % size[2]};
        const int64_t n = p / size[2] / size[1] / size[0];
        double sum = b[j], all = fabs(sum);
        for (int64_t t = 0; t < taps; t++) {
            const int64_t at = tap(
                c, o, (int64_t[]){t / c->k[2] / c->k[1], t / c->k[2] % c->k[1], t % c->k[2]});
            for (int64_t d = 0; at >= 0 && d < c->depth; d++) {
                const double v = (double)x[(n * pixels + at) * c_in + g * c->depth + d] *
                                 (double)w[(j * taps + t) * c->depth + d];
                sum += v;
                all += fabs(v);
            }
        }
        /* one rounding of 2^-24 for each term, of at most the sum of all sizes */
        if (!(fabs(SQZ_F32P(y)[i] - sum) <= (double)(taps * c->depth + 1) * 6e-8 * all))
            fail_msg("at %lld: %g, expected %g", (long long)i, (double)SQZ_F32P(y)[i], sum);
    }
}

static void try_conv(const window_case *c, sqz_rng *rng)
{
    char attrs[256];
    op_run r;
    op_begin(&r);
    attrs_of(c, attrs);
    (void)op_random(&r, SQZ_F32, shape_of(c, c->batch, c->in, c->depth * c->groups), -1, 1, rng);
    (void)op_random(&r, SQZ_F32, shape_of(c, c->out * c->groups, c->k, c->depth), -1, 1, rng);
    (void)op_random(&r, SQZ_F32, SHAPE(c->out * c->groups), -1, 1, rng);
    check_conv(c, &r, op_run_ok(&r, "conv2d", attrs));
    op_end(&r);
}

static void test_conv_is_the_sum_for_random_windows_groups_and_axes(void **state)
{
    (void)state;
    sqz_rng rng = {SEED, 0};
    for (int round = 0; round < 200; round++) {
        const window_case c = random_case(&rng);
        try_conv(&c, &rng);
    }
}

static void test_conv_is_the_sum_where_lines_and_outputs_are_divided(void **state)
{
    (void)state;
    static const window_case large[] = {
        {2, 1, 1, 64, 192, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
        {2, 9, 1, 64, 130, {1, 3, 3}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
        {2, 2, 1, 3, 20, {1, 61, 57}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},
        {1, 2, 1, 16, 40, {1, 1, 900}, {1, 1, 5}, {1, 1, 1}, {1, 1, 2}, {0, 0, 4}, {0, 0, 4}},
        {2, 1, 1, 300, 300, {1, 4, 5}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
        {3, 2, 1, 8, 24, {9, 10, 11}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
        {2, 1, 4, 24, 24, {1, 20, 20}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    };
    sqz_rng rng = {SEED, 1 << 20};
    for (size_t i = 0; i < SQZ_COUNT(large); i++)
        try_conv(&large[i], &rng);
}

/* x(M,K) . w, stored as (N,K) with a bias for gemm, as (K,N) for matmul. */
static void try_matrix(const char *op, int64_t m, int64_t n, int64_t k, sqz_rng *rng)
{
    const bool rows = strcmp(op, "gemm") == 0;
    op_run r;
    op_begin(&r);
    (void)op_random(&r, SQZ_F32, SHAPE(m, k), -1, 1, rng);
    (void)op_random(&r, SQZ_F32, rows ? SHAPE(n, k) : SHAPE(k, n), -1, 1, rng);
    if (rows)
        (void)op_random(&r, SQZ_F32, SHAPE(n), -1, 1, rng);
    const float *y = SQZ_F32P(op_run_ok(&r, op, "")), *x = SQZ_F32P(&r.in[0]);
    const float *w = SQZ_F32P(&r.in[1]);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = rows ? SQZ_F32P(&r.in[2])[j] : 0, all = fabs(sum);
            for (int64_t t = 0; t < k; t++) {
                const double v = (double)x[i * k + t] * w[rows ? j * k + t : t * n + j];
                sum += v;
                all += fabs(v);
            }
            if (!(fabs(y[i * n + j] - sum) <= (double)(k + 1) * 6e-8 * all))
                fail_msg("%s %dx%d by %d: at (%d,%d) %g, expected %g", op, (int)m, (int)k, (int)n,
                         (int)i, (int)j, (double)y[i * n + j], sum);
        }
    op_end(&r);
}

static void test_gemm_and_matmul_are_sums_where_rows_and_outputs_are_divided(void **state)
{
    (void)state;
    static const int64_t size[][3] = {{1, 1000, 700}, {1, 7, 3},     {5, 129, 300}, {300, 20, 120},
                                      {64, 130, 96},  {13, 517, 90}, {700, 3, 5},   {2, 2, 1}};
    sqz_rng rng = {SEED, 2 << 20};
    for (size_t i = 0; i < SQZ_COUNT(size); i++) {
        try_matrix("gemm", size[i][0], size[i][1], size[i][2], &rng);
        try_matrix("matmul", size[i][0], size[i][1], size[i][2], &rng);
    }
}

/* y = sigmoid(relu(conv(x) + row + conv2(x))) by an executor. */
static void run_net(int threads, const char *cpu, bool no_fuse, int64_t c_in, int64_t size,
                    float *y, size_t count)
{
    net n = {.r = {.seed = SEED}};
    const sqz_ctx_options o = {.struct_size = sizeof o, .threads = threads, .cpu = cpu};
    if (sqz_ctx_create(&o, &n.ctx) != SQZ_OK)
        abort();
    TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
    sqz_vid x = net_input(&n, SHAPE(2, c_in, size, size));
    sqz_vid a = net_conv(&n, "a", x, 72, 1), b = net_conv(&n, "b", x, 72, 3);
    sqz_vid row = net_const(&n, "row", SHAPE(72, 1, 1), 1);
    b = net_binary(&n, "add", "b1", b, row);
    b = net_unary(&n, "relu", "b3", "", net_binary(&n, "add", "b2", b, a));
    b = net_unary(&n, "sigmoid", "b4", "", b);
    net_finish(&n, 1, &b);
    sqz_exec *e;
    TEST_OK(n.ctx, sqz_exec_create(n.g, 2, &(sqz_exec_options){.no_fuse = no_fuse}, &e));
    float *in = malloc((size_t)(2 * c_in * size * size) * sizeof *in);
    sqz_rng r = {SEED, 7};
    for (int64_t i = 0; i < 2 * c_in * size * size; i++)
        in[i] = (float)sqz_rng_normal(&r);
    assert_int_equal(count, 2 * 72 * size * size);
    TEST_OK(n.ctx, sqz_exec_run(e, (const void *const[]){in}, (void *const[]){y}));
    free(in);
    sqz_exec_free(e);
    net_end(&n);
}

static void test_bytes_are_the_same_fused_or_not_for_any_number_of_threads(void **state)
{
    (void)state;
    enum { SIZE = 9, COUNT = 2 * 72 * SIZE * SIZE };
    static float want[COUNT], y[COUNT];
    run_net(1, NULL, true, 96, SIZE, want, COUNT);
    for (int threads = 1; threads < 5; threads++)
        for (int no_fuse = 0; no_fuse < 2; no_fuse++) {
            memset(y, 0xA5, sizeof y);
            run_net(threads, NULL, no_fuse, 96, SIZE, y, COUNT);
            assert_memory_equal(y, want, sizeof y);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_is_the_sum_for_random_windows_groups_and_axes),
        cmocka_unit_test(test_conv_is_the_sum_where_lines_and_outputs_are_divided),
        cmocka_unit_test(test_gemm_and_matmul_are_sums_where_rows_and_outputs_are_divided),
        cmocka_unit_test(test_bytes_are_the_same_fused_or_not_for_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
