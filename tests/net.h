/* net.h: small networks and data sets in memory, for tests. Networks are built in the file's layout
 * (N,C,H,W) with random weights, then made canonical. */
#ifndef SQZ_TEST_NET_H
#define SQZ_TEST_NET_H
#include "exec/exec.h"
#include "io/data.h"
#include "ir/pass.h"
#include "sqz_test.h"

typedef struct net {
    sqz_ctx *ctx;
    sqz_graph *g;
    sqz_rng r;
} net;

static inline net net_begin(uint64_t seed)
{
    net n = {.ctx = test_ctx(), .r = {.seed = seed}};
    TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
    return n;
}

static inline void net_end(net *n)
{
    sqz_graph_free(n->g);
    sqz_ctx_free(n->ctx);
}

static inline sqz_vid net_input(net *n, sqz_shape s)
{
    sqz_vid v;
    TEST_OK(n->ctx, sqz_graph_input(n->g, "x", SQZ_F32, &s, &v));
    return v;
}

/* Normal numbers of that size. */
static inline sqz_vid net_const(net *n, const char *name, sqz_shape s, double size)
{
    sqz_tensor t;
    sqz_vid v;
    TEST_OK(n->ctx, sqz_tensor_alloc(n->ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_F32P(&t)[i] = (float)(size * sqz_rng_normal(&n->r));
    TEST_OK(n->ctx, sqz_graph_constant(n->g, name, &t, &v));
    return v;
}

static inline float *net_numbers(const net *n, const char *constant)
{
    return SQZ_F32P(sqz_val(n->g, sqz_graph_find(n->g, constant))->constant);
}

/* One node with one output, called by the node's name. */
static inline sqz_vid net_node(net *n, const char *op, const char *name, const char *attrs,
                               unsigned n_in, const sqz_vid *in)
{
    sqz_vid v;
    sqz_arena a = {.ctx = n->ctx};
    const sqz_op *o = sqz_op_find(op);
    if (!o)
        fail_msg("no operator '%s'", op);
    void *opts = sqz_arena_alloc(&a, 1, o->info.opt_size ? o->info.opt_size : 1);
    sqz_opts_default(&o->info, opts);
    TEST_OK(n->ctx, sqz_opts_parse(&a, &o->info, attrs, opts));
    TEST_OK(n->ctx, sqz_graph_node(n->g, o, name, opts, in, n_in, &name, 1, SQZ_NONE, &v));
    sqz_arena_free(&a);
    return v;
}

static inline sqz_vid net_unary(net *n, const char *op, const char *name, const char *attrs,
                                sqz_vid x)
{
    return net_node(n, op, name, attrs, 1, &x);
}

static inline sqz_vid net_binary(net *n, const char *op, const char *name, sqz_vid a, sqz_vid b)
{
    return net_node(n, op, name, "", 2, (sqz_vid[2]){a, b});
}

/* k x k convolution that keeps the size, with bias; weights named NAME.w, NAME.b. */
static inline sqz_vid net_conv(net *n, const char *name, sqz_vid x, int64_t out, int64_t k)
{
    int64_t in = sqz_val(n->g, x)->shape.dim[1], p = k / 2;
    char w[64], b[64], attrs[64];
    (void)snprintf(w, sizeof w, "%s.w", name);
    (void)snprintf(b, sizeof b, "%s.b", name);
    (void)snprintf(attrs, sizeof attrs, "pads=%d,%d,%d,%d", (int)p, (int)p, (int)p, (int)p);
    sqz_vid v[3] = {
        x, net_const(n, w, (sqz_shape){4, {out, in, k, k}}, sqrt(2.0 / (double)(in * k * k))),
        net_const(n, b, (sqz_shape){1, {out}}, 0.1)};
    return net_node(n, "conv2d", name, attrs, 3, v);
}

static inline void net_finish(net *n, unsigned n_out, const sqz_vid *out)
{
    TEST_OK(n->ctx, sqz_graph_set_outputs(n->g, out, n_out));
    TEST_OK(n->ctx, sqz_run_recipe(n->g, "fold_const,layout,dce", NULL));
}

/* ---- data ---- */

static inline sqz_status net_read(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    size_t one = 1;
    (void)y;
    for (int32_t i = 0; i < ds->shape.rank; i++)
        one *= (size_t)ds->shape.dim[i];
    memcpy(x, (const float *)ds->impl + (size_t)first * one, (size_t)n * one * sizeof *x);
    return SQZ_OK;
}
static const sqz_data_format net_format = {.info = {.name = "memory"}, .read = net_read};

/* A set of `n` samples for the network's input; free with net_data_free. */
static inline sqz_dataset net_data(net *n, int64_t samples)
{
    const sqz_value *x = sqz_val(n->g, n->g->input[0]);
    sqz_dataset ds = {.ctx = n->ctx, .format = &net_format, .path = "memory", .n = samples};
    size_t count = (size_t)samples;
    ds.shape.rank = x->shape.rank - 1;
    for (int32_t i = 0; i < ds.shape.rank; i++)
        count *= (size_t)(ds.shape.dim[i] = x->shape.dim[i + 1]);
    ds.layout = SQZ_LAYOUT_NCHW;
    float *p = malloc(count * sizeof *p);
    for (size_t i = 0; i < count; i++)
        p[i] = (float)sqz_rng_normal(&n->r);
    ds.impl = p;
    return ds;
}
static inline void net_data_free(sqz_dataset *ds) { free(ds->impl); }

/* ---- running ---- */

/* Output `k` for the samples of ds, one after another; *count numbers, to be freed. */
static inline float *net_run(const sqz_graph *g, sqz_dataset *ds, unsigned k, size_t *count)
{
    sqz_ctx *ctx = g->ctx;
    sqz_exec *e;
    void *out[8];
    size_t bytes[8], one = 0;
    assert_true(g->n_output <= 8);
    for (uint32_t i = 0; i < g->n_output; i++) {
        const sqz_value *v = sqz_val(g, g->output[i]);
        assert_int_equal(v->dtype, SQZ_F32);
        TEST_OK(ctx, sqz_shape_count(ctx, &v->shape, v->dtype, NULL, &bytes[i]));
        out[i] = aligned_alloc(SQZ_ALIGN, (bytes[i] + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN);
    }
    for (int32_t i = 0; i < ds->shape.rank; i++)
        one = (one ? one : 1) * (size_t)ds->shape.dim[i];
    float *x = aligned_alloc(SQZ_ALIGN, (one * 4 + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN);
    float *all = malloc((size_t)ds->n * bytes[k]);
    TEST_OK(ctx, sqz_exec_create(g, 1, NULL, &e));
    for (int64_t s = 0; s < ds->n; s++) {
        const void *in = x;
        TEST_OK(ctx, sqz_data_read(ds, s, 1, x, NULL));
        TEST_OK(ctx, sqz_exec_run(e, &in, out));
        memcpy((char *)all + (size_t)s * bytes[k], out[k], bytes[k]);
    }
    sqz_exec_free(e);
    for (uint32_t i = 0; i < g->n_output; i++)
        free(out[i]);
    free(x);
    *count = (size_t)ds->n * bytes[k] / sizeof *all;
    return all;
}

/* Signal to noise of b against a, in dB. */
static inline double net_snr(const float *a, const float *b, size_t n)
{
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        signal += (double)a[i] * (double)a[i];
        noise += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    }
    return noise > 0 ? 10 * log10(signal / noise) : 999;
}

/* How near the recipe leaves the network to itself in dB, on `fresh` samples that are not among the
 * `calib` ones; *sum: of the bytes of all constants. Ends the network. */
static inline double net_snr_after(net *n, const char *recipe, int64_t calib, int64_t fresh,
                                   uint64_t *sum)
{
    sqz_dataset seen = net_data(n, calib), test = net_data(n, fresh);
    sqz_env env = {.calib = &seen};
    size_t count;
    float *want = net_run(n->g, &test, 0, &count);
    TEST_OK(n->ctx, sqz_run_recipe(n->g, recipe, &env));
    float *got = net_run(n->g, &test, 0, &count);
    const double snr = net_snr(want, got, count);
    *sum = 0;
    for (sqz_vid v = 0; v < n->g->n_value; v++) {
        const sqz_tensor *t = sqz_val(n->g, v)->constant;
        for (size_t i = 0; t && i < t->bytes; i++)
            *sum = *sum * 31 + ((const unsigned char *)t->data)[i];
    }
    free(want);
    free(got);
    net_data_free(&seen);
    net_data_free(&test);
    net_end(n);
    return snr;
}
#endif
