/* softmax: y = e^(x - max) / sum(e^(x - max)) along an axis; int8 output on the grid 1/256, -128.
 */
#include "kernels/kernels.h"
#include "ops/softmax.h"
#include "ops/ties.h"

static sqz_status run(const sqz_call *c) { return sqz_softmax_kernel(c, false); }

typedef struct state {
    uint32_t table[256];
    sqz_split3 s;
} state;

static sqz_status prepare(sqz_prep *p)
{
    bool integer = false;
    int32_t axis = 0;
    SQZ_TRY(sqz_need_s8(p, 1, &integer));
    if (!integer)
        return SQZ_OK;
    if (p->out_q[0]->scale[0] != 1.0f / 256 || p->out_q[0]->zero[0] != -128)
        return sqz_fail(p->ctx, SQZ_E_INTERNAL, "output grid %g, %d, expected 1/256, -128",
                        (double)p->out_q[0]->scale[0], (int)p->out_q[0]->zero[0]);
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(
        sqz_axis(p->ctx, ((const sqz_softmax_attrs *)p->attrs)->axis, p->in[0]->shape.rank, &axis));
    s->s = sqz_split_at(&p->in[0]->shape, axis);
    if (s->s.n > INT32_MAX)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "rows of %zu", s->s.n);
    for (int d = 0; d < 256; d++) /* docs/numerics.md */
        s->table[d] = (uint32_t)nearbyint(8388608.0 * exp(-d * (double)p->in_q[0]->scale[0]));
    p->state = s;
    p->scratch_bytes = s->s.inner > 1 ? 2 * s->s.n : 0;
    return SQZ_OK;
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const state *s = c->state;
    c->ctx->kernels->softmax_s8(s->table, SQZ_S8P(c->in[0]) + begin * s->s.n,
                                SQZ_S8P(c->out[0]) + begin * s->s.n, end - begin, s->s.n);
    return SQZ_OK;
}

/* Rows that lie apart go through the scratch. */
static void spread_rows(const sqz_call *c)
{
    const state *s = c->state;
    int8_t *x = c->scratch, *y = x + s->s.n;
    for (size_t r = 0; r < s->s.outer * s->s.inner; r++) {
        const size_t at = r / s->s.inner * s->s.n * s->s.inner + r % s->s.inner;
        for (size_t i = 0; i < s->s.n; i++)
            x[i] = SQZ_S8P(c->in[0])[at + i * s->s.inner];
        c->ctx->kernels->softmax_s8(s->table, x, y, 1, s->s.n);
        for (size_t i = 0; i < s->s.n; i++)
            SQZ_S8P(c->out[0])[at + i * s->s.inner] = y[i];
    }
}

static sqz_status run_int(const sqz_call *c)
{
    const state *s = c->state;
    sqz_call call = *c;
    if (c->out[0]->count && s->s.inner == 1)
        return sqz_parallel(c->ctx, s->s.outer, 1 + 16384 / s->s.n, piece, &call);
    if (c->out[0]->count)
        spread_rows(c);
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {3, 10}}}, .lo = -4, .hi = 4},
    {.attrs = "axis=1", .n_in = 1, .in = {{3, {2, 5, 3}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_softmax = {
    .info = {.name = "softmax",
             .doc = "exponentials along an axis, scaled to sum 1",
             .opt_size = sizeof(sqz_softmax_attrs),
             .opts = sqz_softmax_schema,
             .n_opts = 1},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = sqz_softmax_infer,
    .run = run,
    .cost = sqz_softmax_cost,
    .prepare = prepare,
    .run_int = run_int,
    .grad = sqz_softmax_grad,
    .grad_reads = SQZ_GRAD_OUT,
    .ties = sqz_softmax_ties,
    .quant = {.kind = SQZ_Q_FIXED, .fixed_scale = 1.0f / 256, .fixed_zero = -128},
    .onnx = {.op_type = "Softmax", .since = 1, .import = sqz_softmax_import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
