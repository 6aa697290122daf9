/* Gradients of convolutions, depthwise ones and products on random shapes large enough for every
 * way that they are computed, against the definition in double; the same bytes for any threads. */
#include "ir/op.h"
#include "sqz_test.h"
#include <math.h>

enum { SEED = 20261125, ROUNDS = 60 };

typedef struct layer { /* y = conv(x, w) + b, group 0: depthwise */
    sqz_ctx *ctx;
    int64_t stride[2], pads[4], dil[2], group;
    sqz_tensor x, w, b, y, g, dx, dw, db;
    double *want_x, *want_w, *want_b, *size_x, *size_w; /* size: sums of magnitudes */
} layer;

static sqz_tensor numbers(sqz_ctx *ctx, int32_t rank, const int64_t *dim, sqz_rng *r)
{
    const sqz_shape s = sqz_shape_of(rank, dim);
    sqz_tensor t;
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_F32P(&t)[i] = (float)(2 * sqz_rng_uniform(r) - 1);
    return t;
}

static double *zeros(size_t n)
{
    double *p = calloc(n + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

/* One product of the convolution: sums of both gradients. */
static void term(layer *l, int64_t at_y, int64_t at_x, int64_t at_w)
{
    const double g = (double)SQZ_F32P(&l->g)[at_y];
    const double x = g * (double)SQZ_F32P(&l->w)[at_w], w = g * (double)SQZ_F32P(&l->x)[at_x];
    l->want_x[at_x] += x;
    l->size_x[at_x] += fabs(x);
    l->want_w[at_w] += w;
    l->size_w[at_w] += fabs(w);
}

static void define(layer *l)
{
    const int64_t *x = l->x.shape.dim, *w = l->w.shape.dim, *y = l->y.shape.dim;
    const int64_t groups = l->group ? l->group : x[3], wide = y[3] / groups;
    for (int64_t i = 0; i < (int64_t)l->y.count; i++) {
        const int64_t o = i % y[3], ox = i / y[3] % y[2], oy = i / y[3] / y[2] % y[1];
        const int64_t n = i / y[3] / y[2] / y[1];
        l->want_b[o] += (double)SQZ_F32P(&l->g)[i];
        for (int64_t t = 0; t < w[1] * w[2]; t++) {
            const int64_t iy = oy * l->stride[0] + t / w[2] * l->dil[0] - l->pads[0];
            const int64_t ix = ox * l->stride[1] + t % w[2] * l->dil[1] - l->pads[1];
            if (iy < 0 || iy >= x[1] || ix < 0 || ix >= x[2])
                continue;
            for (int64_t c = 0; c < w[3]; c++)
                term(l, i, ((n * x[1] + iy) * x[2] + ix) * x[3] + o / wide * w[3] + c,
                     (o * w[1] * w[2] + t) * w[3] + c);
        }
    }
}

static layer make(sqz_ctx *ctx, sqz_rng *r, bool depthwise)
{
    static const int64_t widths[] = {1, 3, 8, 10, 16, 17, 32, 40, 64, 70};
    layer l = {.ctx = ctx};
    int64_t x[4], w[4], y[4];
    const bool simple = sqz_rng_below(r, 2); /* 3x3, "same": what networks have */
    for (int a = 0; a < 2; a++) {
        l.stride[a] = 1 + (int64_t)sqz_rng_below(r, 2);
        l.dil[a] = simple || sqz_rng_below(r, 4) ? 1 : 2;
        w[1 + a] = simple ? 3 : 1 + (int64_t)sqz_rng_below(r, 5);
        x[1 + a] = 9 + (int64_t)sqz_rng_below(r, 20);
        l.pads[a] = simple ? 1 : (int64_t)sqz_rng_below(r, (uint64_t)w[1 + a]);
        l.pads[2 + a] = simple ? 1 : (int64_t)sqz_rng_below(r, (uint64_t)w[1 + a]);
    }
    if (simple)
        l.stride[1] = l.stride[0];
    x[0] = 1 + (int64_t)sqz_rng_below(r, 5);
    const int64_t group = depthwise || sqz_rng_below(r, 5) ? 1 : 2;
    x[3] = group * widths[sqz_rng_below(r, SQZ_COUNT(widths))];
    w[3] = depthwise ? 1 : x[3] / group;
    w[0] = depthwise ? x[3] * (1 + (int64_t)(sqz_rng_below(r, 4) == 0))
                     : group * widths[sqz_rng_below(r, SQZ_COUNT(widths))];
    l.group = depthwise ? 0 : group;
    y[0] = x[0];
    y[3] = w[0];
    for (int a = 0; a < 2; a++)
        y[1 + a] = (x[1 + a] + l.pads[a] + l.pads[2 + a] - l.dil[a] * (w[1 + a] - 1) - 1) /
                       l.stride[a] +
                   1;
    l.x = numbers(ctx, 4, x, r);
    l.w = numbers(ctx, 4, w, r);
    l.b = numbers(ctx, 1, w, r);
    l.y = numbers(ctx, 4, y, r);
    l.g = numbers(ctx, 4, y, r);
    l.dx = numbers(ctx, 4, x, r);
    l.dw = numbers(ctx, 4, w, r);
    l.db = numbers(ctx, 1, w, r);
    l.want_x = zeros(l.x.count);
    l.size_x = zeros(l.x.count);
    l.want_w = zeros(l.w.count);
    l.size_w = zeros(l.w.count);
    l.want_b = zeros(l.b.count);
    define(&l);
    return l;
}

static void drop(layer *l)
{
    sqz_tensor *all[] = {&l->x, &l->w, &l->b, &l->y, &l->g, &l->dx, &l->dw, &l->db};
    for (size_t i = 0; i < SQZ_COUNT(all); i++)
        sqz_tensor_free(l->ctx, all[i]);
    free(l->want_x);
    free(l->want_w);
    free(l->want_b);
    free(l->size_x);
    free(l->size_w);
}

static void gradients(layer *l, sqz_ctx *ctx, uint64_t add)
{
    sqz_arena a = {.ctx = ctx};
    char text[256];
    const sqz_op *op = sqz_op_find(l->group ? "conv2d" : "dwconv2d");
    const sqz_tensor *in[3] = {&l->x, &l->w, &l->b}, *out[1] = {&l->y};
    float *d[3] = {l->dx.data, l->dw.data, l->db.data};
    const float *g[1] = {l->g.data};
    void *attrs = sqz_arena_alloc(&a, 1, op->info.opt_size);
    int n = snprintf(text, sizeof text, "strides=%d,%d pads=%d,%d,%d,%d dilations=%d,%d",
                     (int)l->stride[0], (int)l->stride[1], (int)l->pads[0], (int)l->pads[1],
                     (int)l->pads[2], (int)l->pads[3], (int)l->dil[0], (int)l->dil[1]);
    if (l->group)
        snprintf(text + n, sizeof text - (size_t)n, " group=%d", (int)l->group);
    TEST_OK(ctx, sqz_opts_parse(&a, &op->info, text, attrs));
    sqz_grad_prep p = {.ctx = ctx,
                       .arena = &a,
                       .attrs = attrs,
                       .n_in = 3,
                       .n_out = 1,
                       .in = in,
                       .out = out,
                       .want = 7};
    TEST_OK(ctx, sqz_grad_prepare(op, &p));
    void *scratch = sqz_arena_alloc(&a, p.scratch_bytes + 1, 1);
    memset(scratch, 0xa5, p.scratch_bytes);
    TEST_OK(ctx, op->grad(&(sqz_grad_call){.ctx = ctx,
                                           .attrs = attrs,
                                           .n_in = 3,
                                           .n_out = 1,
                                           .in = in,
                                           .out = out,
                                           .out_grad = g,
                                           .in_grad = d,
                                           .add = add,
                                           .state = p.state,
                                           .scratch = scratch}));
    sqz_arena_free(&a);
}

/* Chains of float additions, and Winograd's transforms: a few units of the sum of magnitudes. */
static void compare(const layer *l, const char *what, const sqz_tensor *t, const double *want,
                    const double *size)
{
    for (size_t i = 0; i < t->count; i++) {
        const double off = fabs((double)SQZ_F32P(t)[i] - want[i]);
        if (!(off <= 2e-6 * (1 + (size ? size[i] : 400))))
            fail_msg("%s[%zu] of %s %lldx%lldx%lldx%lld, kernel %lldx%lld to %lld: %.9g, "
                     "expected %.9g",
                     what, i, l->group ? "conv" : "dwconv", (long long)l->x.shape.dim[0],
                     (long long)l->x.shape.dim[1], (long long)l->x.shape.dim[2],
                     (long long)l->x.shape.dim[3], (long long)l->w.shape.dim[1],
                     (long long)l->w.shape.dim[2], (long long)l->w.shape.dim[0],
                     (double)SQZ_F32P(t)[i], want[i]);
    }
}

static void check(bool depthwise)
{
    sqz_ctx *one = test_ctx(), *three;
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_rng r = {SEED, depthwise};
    o.threads = 3;
    assert_int_equal(sqz_ctx_create(&o, &three), SQZ_OK);
    for (int round = 0; round < ROUNDS; round++) {
        layer l = make(one, &r, depthwise);
        float *first = malloc((l.x.bytes + l.w.bytes + l.b.bytes));
        assert_non_null(first);
        gradients(&l, one, 0);
        compare(&l, "dx", &l.dx, l.want_x, l.size_x);
        compare(&l, "dw", &l.dw, l.want_w, l.size_w);
        compare(&l, "db", &l.db, l.want_b, NULL);
        memcpy(first, l.dx.data, l.x.bytes);
        memcpy(first + l.x.count, l.dw.data, l.w.bytes);
        memcpy(first + l.x.count + l.w.count, l.db.data, l.b.bytes);
        gradients(&l, three, 0);
        assert_memory_equal(first, l.dx.data, l.x.bytes);
        assert_memory_equal(first + l.x.count, l.dw.data, l.w.bytes);
        assert_memory_equal(first + l.x.count + l.w.count, l.db.data, l.b.bytes);
        gradients(&l, three, 7); /* twice as much */
        for (size_t i = 0; i < l.x.count; i++)
            l.want_x[i] *= 2;
        for (size_t i = 0; i < l.w.count; i++)
            l.want_w[i] *= 2;
        compare(&l, "2 dx", &l.dx, l.want_x, l.size_x);
        compare(&l, "2 dw", &l.dw, l.want_w, l.size_w);
        free(first);
        drop(&l);
    }
    sqz_ctx_free(three);
    sqz_ctx_free(one);
}

static void test_convolutions(void **state)
{
    (void)state;
    check(false);
}
static void test_depthwise_convolutions(void **state)
{
    (void)state;
    check(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_depthwise_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
