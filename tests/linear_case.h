/* linear_case.h: one operator on random tensors, for tests/unit/test_linear_*.c. */
#ifndef SQZ_LINEAR_CASE_H
#define SQZ_LINEAR_CASE_H
#include "ir/op.h"
#include "kernels/kernels.h"
#include "sqz_test.h"

enum { CASE_IN = 5 };
typedef struct op_case {
    sqz_ctx *ctx;
    const sqz_op *op;
    sqz_arena arena;
    void *attrs;
    unsigned n_in;
    sqz_tensor in[CASE_IN], out;
    sqz_quant in_q[CASE_IN], out_q;
    bool quant[CASE_IN], out_quant; /* which grids are given */
} op_case;

static inline sqz_ctx *case_ctx(const char *cpu, int threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    o.cpu = cpu;
    o.threads = threads;
    if (sqz_ctx_create(&o, &ctx) != SQZ_OK)
        abort();
    return ctx;
}

static inline void case_begin(op_case *c, sqz_ctx *ctx, const char *op, const char *attrs)
{
    *c = (op_case){.ctx = ctx, .op = sqz_op_find(op), .arena = {.ctx = ctx}};
    assert_non_null(c->op);
    if (c->op->info.opt_size) {
        c->attrs = sqz_arena_alloc(&c->arena, 1, c->op->info.opt_size);
        sqz_opts_default(&c->op->info, c->attrs);
        TEST_OK(ctx, sqz_opts_parse(&c->arena, &c->op->info, attrs, c->attrs));
    }
}

static inline sqz_tensor *case_input(op_case *c, sqz_dtype d, sqz_shape s)
{
    TEST_OK(c->ctx, sqz_tensor_alloc(c->ctx, d, &s, &c->in[c->n_in]));
    return &c->in[c->n_in++];
}

/* Values in +-size, or whole codes in lo .. hi. */
static inline void fill_f32(sqz_rng *r, sqz_tensor *t, double size)
{
    for (size_t i = 0; i < t->count; i++)
        SQZ_F32P(t)[i] = (float)(size * (2 * sqz_rng_uniform(r) - 1));
}
static inline void fill_int(sqz_rng *r, sqz_tensor *t, int64_t lo, int64_t hi)
{
    for (size_t i = 0; i < t->count; i++)
        sqz_tensor_set_i64(t, i, lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo + 1)));
}

/* A grid of n scales in the arena of the case; axis -1 for one. */
static inline sqz_quant case_grid(op_case *c, sqz_dtype d, int32_t axis, uint32_t n)
{
    float *scale = sqz_arena_alloc(&c->arena, n, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(&c->arena, n, sizeof *zero);
    for (uint32_t i = 0; i < n; i++)
        scale[i] = 1;
    return (sqz_quant){.dtype = d, .axis = axis, .n = n, .scale = scale, .zero = zero};
}
static inline float *scales(sqz_quant *q) { return (float *)(uintptr_t)q->scale; }
static inline int32_t *zeros(sqz_quant *q) { return (int32_t *)(uintptr_t)q->zero; }

/* Infers with all tensors channel-last (`last`) or in the file's layout. */
static inline sqz_status case_infer(op_case *c, bool last, sqz_shape *shape, sqz_dtype *dtype)
{
    sqz_value v[CASE_IN];
    const sqz_value *in[CASE_IN] = {0};
    for (unsigned i = 0; i < c->n_in; i++) {
        v[i] = (sqz_value){.name = "x", .shape = c->in[i].shape, .dtype = c->in[i].dtype};
        v[i].channel_last = last && v[i].shape.rank >= 3;
        v[i].quant = c->quant[i] ? &c->in_q[i] : NULL;
        in[i] = c->in[i].data ? &v[i] : NULL;
    }
    *shape = (sqz_shape){0};
    *dtype = c->in[0].dtype;
    sqz_infer q = {c->ctx, c->attrs, in, c->n_in, 1, shape, dtype};
    return c->op->infer(&q);
}

/* Infers, allocates the output (`d`), and runs; out is compared by the caller. */
static inline sqz_status case_run(op_case *c, sqz_dtype d)
{
    sqz_shape shape;
    sqz_dtype inferred;
    const sqz_tensor *in[CASE_IN] = {0};
    const sqz_quant *in_q[CASE_IN] = {0}, *out_q = c->out_quant ? &c->out_q : NULL;
    sqz_tensor *out = &c->out;
    SQZ_TRY(case_infer(c, true, &shape, &inferred));
    if (!c->out.data)
        SQZ_TRY(sqz_tensor_alloc(c->ctx, d, &shape, &c->out));
    for (unsigned i = 0; i < c->n_in; i++) {
        in[i] = c->in[i].data ? &c->in[i] : NULL;
        in_q[i] = c->quant[i] ? &c->in_q[i] : NULL;
    }
    return sqz_op_run_once(c->ctx, c->op, c->attrs, in, c->n_in, &out, 1, in_q, &out_q);
}

static inline void case_end(op_case *c)
{
    for (unsigned i = 0; i < c->n_in; i++)
        sqz_tensor_free(c->ctx, &c->in[i]);
    sqz_tensor_free(c->ctx, &c->out);
    sqz_arena_free(&c->arena);
}

/* Random grids for y = sum(x * w) + b of k terms; weights have scales along `axis` (n of them) or
 * one. Slot 2 is an int32 bias when the case has one. */
static inline void case_linear_grids(op_case *c, sqz_rng *r, int32_t axis, uint32_t n, size_t k)
{
    bool each = sqz_rng_below(r, 2);
    c->in_q[0] = case_grid(c, SQZ_S8, -1, 1);
    c->in_q[1] = case_grid(c, SQZ_S8, each ? axis : -1, each ? n : 1);
    c->in_q[2] = case_grid(c, SQZ_S32, each ? 0 : -1, each ? n : 1);
    c->out_q = case_grid(c, SQZ_S8, -1, 1);
    scales(&c->in_q[0])[0] = (float)exp(-4 * sqz_rng_uniform(r));
    zeros(&c->in_q[0])[0] = (int32_t)sqz_rng_below(r, 256) - 128;
    zeros(&c->out_q)[0] = (int32_t)sqz_rng_below(r, 256) - 128;
    for (uint32_t i = 0; i < c->in_q[1].n; i++) {
        scales(&c->in_q[1])[i] = (float)exp(-5 * sqz_rng_uniform(r));
        scales(&c->in_q[2])[i] = scales(&c->in_q[0])[0] * scales(&c->in_q[1])[i];
    }
    scales(&c->out_q)[0] = scales(&c->in_q[0])[0] * 40.0f * sqrtf((float)k);
    for (unsigned i = 0; i < c->n_in; i++)
        c->quant[i] = true;
    c->out_quant = true;
}
#endif
