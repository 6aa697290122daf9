/* Streaming of layer inputs, cuts of graphs, and moments of sites. */
#include "net.h"
#include "quant/feed.h"

enum { SAMPLES = 22 };

/* conv 3x3 - relu - depthwise 3x3 - grouped 3x3 - add - mean - gemm: all kinds of live values. */
static net make(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 6}});
    sqz_vid a = net_unary(&n, "relu", "r1", "", net_conv(&n, "c1", x, 6, 3));
    sqz_vid w[3] = {a, net_const(&n, "dw.w", (sqz_shape){4, {6, 1, 3, 3}}, 0.4),
                    net_const(&n, "dw.b", (sqz_shape){1, {6}}, 0.1)};
    sqz_vid d = net_node(&n, "dwconv2d", "dw", "pads=1,1,1,1", 3, w);
    sqz_vid gw[3] = {d, net_const(&n, "gr.w", (sqz_shape){4, {6, 3, 3, 3}}, 0.3),
                     net_const(&n, "gr.b", (sqz_shape){1, {6}}, 0.1)};
    sqz_vid g = net_node(&n, "conv2d", "gr", "group=2 pads=1,1,1,1", 3, gw);
    sqz_vid s = net_binary(&n, "add", "sum", a, g);
    sqz_vid p = net_unary(&n, "global_average_pool", "pool", "", s);
    sqz_vid f = net_unary(&n, "flatten", "flat", "", p);
    sqz_vid fw[3] = {f, net_const(&n, "fc.w", (sqz_shape){2, {5, 6}}, 0.5),
                     net_const(&n, "fc.b", (sqz_shape){1, {5}}, 0.1)};
    sqz_vid y = net_node(&n, "gemm", "fc", "", 3, fw);
    net_finish(&n, 1, &y);
    return n;
}

typedef struct pair {
    net n;
    sqz_graph *reference;
    sqz_dataset ds;
    sqz_arena a;
    sqz_site *site;
    uint32_t n_site;
} pair;

static pair quantized(uint64_t seed)
{
    pair p = {.n = make(seed)};
    p.a.ctx = p.n.ctx;
    p.ds = net_data(&p.n, SAMPLES);
    TEST_OK(p.n.ctx, sqz_graph_clone(p.n.g, &p.reference));
    sqz_env env = {.calib = &p.ds};
    TEST_OK(p.n.ctx, sqz_run_recipe(p.n.g, "calib(method=minmax),ptq", &env));
    assert_null(env.reference); /* freed with the recipe */
    TEST_OK(p.n.ctx, sqz_sites(p.reference, p.n.g, &p.a, &p.site, &p.n_site));
    return p;
}

static void pair_end(pair *p)
{
    sqz_arena_free(&p->a);
    net_data_free(&p->ds);
    sqz_graph_free(p->reference);
    net_end(&p->n);
}

/* Value v of g for all samples, one by one, as real numbers. */
static float *all_of(const sqz_graph *g, sqz_dataset *ds, sqz_vid v, size_t *count)
{
    sqz_graph *c;
    float *all = NULL, *x = aligned_alloc(64, 64 * 64);
    void *out = aligned_alloc(64, 64 * 64);
    const void *in = x;
    sqz_exec *e;
    const sqz_exec_options o = {.keep_all = true};
    TEST_OK(g->ctx, sqz_graph_clone(g, &c));
    TEST_OK(g->ctx, sqz_exec_create(c, 1, &o, &e));
    *count = 0;
    for (int64_t i = 0; i < ds->n; i++) {
        sqz_feed f;
        float raw[256];
        TEST_OK(g->ctx, sqz_feed_plan(g->ctx, ds, sqz_val(g, g->input[0]), NULL, &f));
        TEST_OK(g->ctx, sqz_data_read(ds, i, 1, raw, NULL));
        sqz_feed_apply(&f, 1, raw, x);
        TEST_OK(g->ctx, sqz_exec_run(e, &in, &out));
        const sqz_tensor *t = sqz_exec_value(e, v);
        const sqz_quant *q = sqz_val(g, v)->quant;
        all = realloc(all, (*count + t->count) * sizeof *all);
        for (size_t k = 0; k < t->count; k++)
            all[*count + k] = (float)(q ? (double)q->scale[0] * (sqz_tensor_f64(t, k) - q->zero[0])
                                        : sqz_tensor_f64(t, k));
        *count += t->count;
    }
    sqz_exec_free(e);
    sqz_graph_free(c);
    free(out);
    free(x);
    return all;
}

static void check_flow(size_t memory, int64_t batch)
{
    pair p = quantized(3);
    sqz_ctx *ctx = p.n.ctx;
    sqz_flow *f;
    const sqz_flow_options o = {.ds = &p.ds, .batch = batch, .memory = memory};
    TEST_OK(ctx, sqz_flow_open(p.reference, p.n.g, &o, &f));
    assert_true(sqz_flow_batches(f) * (size_t)sqz_flow_batch(f) >= SAMPLES - SAMPLES % 8);
    assert_int_equal(p.n_site, 4);
    for (uint32_t i = 0; i < p.n_site; i++) {
        const sqz_site *s = &p.site[i];
        TEST_OK(ctx, sqz_flow_advance(f, s->node));
        for (int side = 0; side < SQZ_N_SIDE; side++) {
            const sqz_vid v = side == SQZ_FLOAT_SIDE ? s->x : s->qx;
            size_t count, n = sqz_flow_count(f, side, v);
            float *want = all_of(side == SQZ_FLOAT_SIDE ? p.reference : p.n.g, &p.ds, v, &count);
            float *got = malloc(n * sizeof *got);
            for (size_t b = 0; b < sqz_flow_batches(f); b++) {
                TEST_OK(ctx, sqz_flow_read(f, side, v, b, got));
                assert_memory_equal(got, want + b * n, n * sizeof *got);
            }
            free(got);
            free(want);
        }
    }
    TEST_OK(ctx, sqz_flow_advance(f, SQZ_NONE));
    assert_int_equal(sqz_flow_count(f, SQZ_FLOAT_SIDE, p.reference->output[0]),
                     5 * sqz_flow_batch(f));
    TEST_FAILS(ctx, sqz_flow_advance(f, p.site[0].node), SQZ_E_INTERNAL, "cannot go to node");
    sqz_flow_close(f);
    pair_end(&p);
}

static void test_inputs_of_every_site_are_those_of_a_whole_run(void **state)
{
    (void)state;
    check_flow(0, 0);
    check_flow(0, 4);
    check_flow(0, 1);
}

static void test_files_hold_what_memory_does_not(void **state)
{
    (void)state;
    check_flow(1, 4);    /* everything */
    check_flow(9000, 4); /* some */
}

/* The network is the sum of its pieces, wherever it is cut. */
static void test_pieces_in_a_row_are_the_graph(void **state)
{
    (void)state;
    net n = make(8);
    sqz_arena a = {.ctx = n.ctx};
    SQZ_EACH_NODE(n.g, cut)
    {
        sqz_graph *front, *back;
        sqz_vid *live;
        uint32_t n_live;
        TEST_OK(n.ctx, sqz_graph_piece(n.g, n.g->first, cut, NULL, 0, &front));
        TEST_OK(n.ctx, sqz_graph_piece(n.g, cut, SQZ_NONE, NULL, 0, &back));
        TEST_OK(n.ctx, sqz_graph_live(n.g, &a, cut, &live, &n_live));
        TEST_OK(n.ctx, sqz_graph_verify(back));
        if (front->first != SQZ_NONE)
            TEST_OK(n.ctx, sqz_graph_verify(front));
        assert_int_equal(back->n_input, n_live);
        assert_memory_equal(back->input, live, n_live * sizeof *live);
        uint32_t count = 0;
        SQZ_EACH_NODE(front, k) { count++; }
        SQZ_EACH_NODE(back, k) { count++; }
        SQZ_EACH_NODE(n.g, k) { count--; }
        assert_int_equal(count, 0);
        sqz_graph_free(front);
        sqz_graph_free(back);
    }
    sqz_arena_free(&a);
    net_end(&n);
}

/* Patches by the definition of a convolution over whole images (N,H,W,C). */
static double tap(const sqz_site *s, const float *x, size_t patch, size_t g, size_t col)
{
    if (!s->window_op)
        return (double)x[patch * s->cols + col];
    const sqz_window *w = &s->window;
    const int64_t h = w->in[1], wd = w->in[2], oh = w->out[1], ow = w->out[2];
    const int64_t n = (int64_t)patch / (oh * ow), y = (int64_t)patch / ow % oh,
                  xx = (int64_t)patch % ow;
    const int64_t t = (int64_t)(col / s->depth), c = (int64_t)(g * s->depth + col % s->depth);
    const int64_t iy = y * w->stride[1] - w->begin[1] + t / w->k[2] * w->dil[1],
                  ix = xx * w->stride[2] - w->begin[2] + t % w->k[2] * w->dil[2];
    if (iy < 0 || iy >= h || ix < 0 || ix >= wd)
        return 0;
    return (double)x[((n * h + iy) * wd + ix) * (int64_t)s->c_in + c];
}

static void check_moments(const pair *p, const sqz_site *s, const sqz_site_moments *m,
                          const float *w, bool centered)
{
    size_t count;
    float *x = all_of(p->reference, (sqz_dataset *)(uintptr_t)&p->ds, s->x, &count);
    float *xq = all_of(p->n.g, (sqz_dataset *)(uintptr_t)&p->ds, s->qx, &count);
    const size_t k = s->cols;
    for (size_t r = 0; r < s->rows; r++) {
        const size_t g = sqz_site_group(s, r);
        double yy = 0, my = 0, *t = calloc(k, sizeof *t), *mq = calloc(k, sizeof *mq),
               *h = calloc(k * k, sizeof *h);
        for (size_t i = 0; i < m->n; i++) {
            double y = 0;
            for (size_t c = 0; c < k; c++)
                y += (double)w[r * k + c] * tap(s, x, i, g, c);
            yy += y * y;
            my += y;
            for (size_t c = 0; c < k; c++) {
                const double q = tap(s, xq, i, g, c);
                t[c] += y * q;
                mq[c] += q;
                for (size_t d = 0; d < k; d++)
                    h[c * k + d] += q * tap(s, xq, i, g, d);
            }
        }
        const double n = (double)m->n, size = 1 + yy / n;
        TEST_NEAR(m->my[r], my / n, 1e-4 * size);
        TEST_NEAR(m->yy[r], yy / n - (centered ? my / n * my / n : 0), 1e-4 * size);
        for (size_t c = 0; c < k; c++) {
            const double off = centered ? my / n * mq[c] / n : 0;
            TEST_NEAR(m->mq[g * k + c], mq[c] / n, 1e-4 * size);
            TEST_NEAR(m->t[r * k + c], t[c] / n - off, 2e-4 * size);
            for (size_t d = 0; d < k; d++)
                TEST_NEAR(m->h[(g * k + c) * k + d],
                          h[c * k + d] / n - (centered ? mq[c] / n * mq[d] / n : 0), 2e-4 * size);
        }
        free(t);
        free(mq);
        free(h);
    }
    free(x);
    free(xq);
}

static void test_moments_are_the_means_over_all_patches(void **state)
{
    (void)state;
    pair p = quantized(5);
    sqz_ctx *ctx = p.n.ctx;
    for (int centered = 0; centered < 2; centered++) {
        sqz_flow *f;
        const sqz_flow_options o = {.ds = &p.ds, .batch = 11};
        TEST_OK(ctx, sqz_flow_open(p.reference, p.n.g, &o, &f));
        for (uint32_t i = 0; i < p.n_site; i++) {
            const sqz_site *s = &p.site[i];
            sqz_site_moments m, means;
            float *w = malloc(s->rows * s->cols * sizeof *w);
            TEST_OK(ctx, sqz_flow_advance(f, s->node));
            TEST_OK(ctx, sqz_site_weights(p.reference, s, w));
            TEST_OK(ctx, sqz_site_measure(f, s, w, &(sqz_moment_options){.centered = centered},
                                          &p.a, &m));
            TEST_OK(ctx, sqz_site_measure(f, s, w, &(sqz_moment_options){.means_only = true}, &p.a,
                                          &means));
            check_moments(&p, s, &m, w, centered);
            for (size_t r = 0; r < s->rows; r++)
                TEST_NEAR(means.my[r], m.my[r], 1e-4);
            free(w);
        }
        sqz_flow_close(f);
    }
    pair_end(&p);
}

static void test_codes_and_biases_are_read_as_they_are_written(void **state)
{
    (void)state;
    pair p = quantized(6);
    sqz_ctx *ctx = p.n.ctx;
    for (uint32_t i = 0; i < p.n_site; i++) {
        sqz_site *s = &p.site[i];
        const size_t n = s->rows * s->cols;
        int8_t *q = malloc(n), *back = malloc(n);
        float *w = malloc(n * sizeof *w), *scale = malloc(n * sizeof *scale);
        int32_t *zero = malloc(n * sizeof *zero);
        double *b = malloc(s->rows * sizeof *b), *c = malloc(s->rows * sizeof *c);
        TEST_OK(ctx, sqz_site_codes(p.n.g, s, q));
        TEST_OK(ctx, sqz_site_grid(p.n.g, s, scale, zero));
        TEST_OK(ctx, sqz_site_weights(p.reference, s, w));
        for (size_t k = 0; k < n; k++) /* what ptq did: nearest */
            TEST_NEAR((double)scale[k] * q[k], (double)w[k], 0.5001 * (double)scale[k]);
        for (size_t k = 0; k < n; k++)
            q[k] = (int8_t)((int)(k * 7 % 255) - 127);
        TEST_OK(ctx, sqz_site_set_codes(p.n.g, s, q));
        TEST_OK(ctx, sqz_site_codes(p.n.g, s, back));
        assert_memory_equal(q, back, n);
        TEST_OK(ctx, sqz_site_bias(p.reference, s, b));
        TEST_OK(ctx, sqz_site_bias(p.n.g, s, c));
        for (size_t r = 0; r < s->rows; r++)
            TEST_NEAR(c[r], b[r], 1e-3);
        for (size_t r = 0; r < s->rows; r++)
            b[r] += 0.25;
        TEST_OK(ctx, sqz_site_set_bias(p.n.g, s, b, NULL));
        TEST_OK(ctx, sqz_site_bias(p.n.g, s, c));
        for (size_t r = 0; r < s->rows; r++)
            TEST_NEAR(c[r], b[r], 1e-3);
        q[0] = -128;
        TEST_FAILS(ctx, sqz_site_set_codes(p.n.g, s, q), SQZ_E_INTERNAL, "outside of -127 .. 127");
        free(q);
        free(back);
        free(w);
        free(scale);
        free(zero);
        free(b);
        free(c);
    }
    pair_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs_of_every_site_are_those_of_a_whole_run),
        cmocka_unit_test(test_files_hold_what_memory_does_not),
        cmocka_unit_test(test_pieces_in_a_row_are_the_graph),
        cmocka_unit_test(test_moments_are_the_means_over_all_patches),
        cmocka_unit_test(test_codes_and_biases_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
