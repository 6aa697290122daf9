/* ops_test.h: one operator on a few tensors, for the tests of operators. */
#ifndef OPS_TEST_H
#define OPS_TEST_H
#include "ir/op.h"
#include "sqz_test.h"

typedef struct op_run {
    sqz_ctx *ctx;
    sqz_tensor in[4], out[4];
    unsigned n_in, n_out;
    sqz_quant in_q[4], out_q; /* n 0: float */
    float scale[5];
    int32_t zero[5];
    sqz_graph *g;
} op_run;

static inline void op_begin(op_run *r)
{
    memset(r, 0, sizeof *r);
    r->ctx = test_ctx();
    r->n_out = 1;
}
static inline sqz_tensor *op_in(op_run *r, sqz_dtype d, sqz_shape s)
{
    TEST_OK(r->ctx, sqz_tensor_alloc(r->ctx, d, &s, &r->in[r->n_in]));
    return &r->in[r->n_in++];
}
/* Uniform in lo .. hi; whole numbers for integers. */
static inline sqz_tensor *op_random(op_run *r, sqz_dtype d, sqz_shape s, double lo, double hi,
                                    sqz_rng *rng)
{
    sqz_tensor *t = op_in(r, d, s);
    for (size_t i = 0; i < t->count; i++) {
        double u = lo + (hi - lo) * sqz_rng_uniform(rng);
        sqz_tensor_set_f64(t, i, sqz_dtype_is_float(d) ? u : floor(u + 0.5));
    }
    return t;
}
static inline void op_grid(op_run *r, int which, float scale, int32_t zero) /* -1: output */
{
    int k = which < 0 ? 4 : which;
    r->scale[k] = scale;
    r->zero[k] = zero;
    *(which < 0 ? &r->out_q : &r->in_q[which]) = (sqz_quant){
        .dtype = SQZ_S8, .axis = -1, .n = 1, .scale = &r->scale[k], .zero = &r->zero[k]};
}

/* Builds the node on graph inputs (channel-last where the operator wants it), infers, runs. */
static inline sqz_status op_try(op_run *r, const char *name, const char *attrs)
{
    const sqz_op *op = sqz_op_find(name);
    const sqz_tensor *in[4];
    sqz_tensor *out[4];
    const sqz_quant *in_q[4] = {0}, *out_q[4] = {0};
    sqz_vid v[4];
    sqz_arena a = {.ctx = r->ctx};
    assert_non_null(op);
    SQZ_TRY(sqz_graph_create(r->ctx, &r->g));
    for (unsigned i = 0; i < r->n_in; i++) {
        in[i] = &r->in[i];
        in_q[i] = r->in_q[i].n ? &r->in_q[i] : NULL;
        SQZ_TRY(sqz_graph_input(r->g, NULL, in[i]->dtype, &in[i]->shape, &v[i]));
        sqz_val(r->g, v[i])->channel_last = op->layout == SQZ_L_CHANNELS && in[i]->shape.rank >= 3;
        if (in_q[i])
            SQZ_TRY(sqz_value_set_quant(r->g, v[i], SQZ_S8, -1, 1, in_q[i]->scale, in_q[i]->zero));
    }
    out_q[0] = r->out_q.n ? &r->out_q : NULL;
    void *opts = sqz_arena_alloc(&a, 1, SQZ_MAX(op->info.opt_size, (size_t)1));
    sqz_opts_default(&op->info, opts);
    sqz_status s = sqz_opts_parse(&a, &op->info, attrs, opts);
    sqz_vid made[4];
    if (s == SQZ_OK)
        s = sqz_graph_node(r->g, op, "node", op->info.opt_size ? opts : NULL, v, r->n_in, NULL,
                           r->n_out, SQZ_NONE, made);
    for (unsigned i = 0; s == SQZ_OK && i < r->n_out; i++) {
        const sqz_value *y = sqz_val(r->g, made[i]);
        out[i] = &r->out[i];
        s = sqz_tensor_alloc(r->ctx, y->dtype, &y->shape, out[i]);
        if (s == SQZ_OK && out[i]->bytes)
            memset(out[i]->data, 0xA5, out[i]->bytes); /* nothing may be left from before */
    }
    if (s == SQZ_OK)
        s = sqz_op_run_once(r->ctx, op, op->info.opt_size ? opts : NULL, in, r->n_in, out, r->n_out,
                            in_q, out_q);
    sqz_arena_free(&a);
    return s;
}
static inline void op_end(op_run *r)
{
    sqz_graph_free(r->g);
    for (int i = 0; i < 4; i++) {
        sqz_tensor_free(r->ctx, &r->in[i]);
        sqz_tensor_free(r->ctx, &r->out[i]);
    }
    sqz_ctx_free(r->ctx);
}
static inline const sqz_tensor *op_run_ok(op_run *r, const char *name, const char *attrs)
{
    TEST_OK(r->ctx, op_try(r, name, attrs));
    return &r->out[0];
}
/* An input is a float tensor of this shape; the operator refuses with this sentence. */
static inline void op_refuses(const char *name, const char *attrs, sqz_shape s, sqz_dtype d,
                              sqz_status want, const char *part)
{
    op_run r;
    op_begin(&r);
    op_in(&r, d, s);
    TEST_FAILS(r.ctx, op_try(&r, name, attrs), want, part);
    op_end(&r);
}

/* Coordinates of flat index i in shape s, and back. */
static inline void coords(const sqz_shape *s, size_t i, int64_t *at)
{
    for (int32_t d = s->rank - 1; d >= 0; d--) {
        at[d] = (int64_t)(i % (size_t)s->dim[d]);
        i /= (size_t)s->dim[d];
    }
}
static inline size_t flat(const sqz_shape *s, const int64_t *at)
{
    size_t i = 0;
    for (int32_t d = 0; d < s->rank; d++)
        i = i * (size_t)s->dim[d] + (size_t)at[d];
    return i;
}
static inline void assert_shape(const sqz_tensor *t, sqz_shape want)
{
    char a[160], b[160];
    sqz_shape_print(a, &t->shape);
    sqz_shape_print(b, &want);
    assert_string_equal(a, b);
}
#define SHAPE(...)                                                                                 \
    ((sqz_shape){(int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#endif
