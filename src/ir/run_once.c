/* run_once.c: one operator on plain tensors: what constant folding and tests need. */
#include "ir/op.h"
#include <string.h>

static sqz_status run(sqz_call *c, const sqz_op *op, sqz_arena *a)
{
    bool integer = c->n_in && c->in_q[0] && c->out_q[0];
    sqz_status (*fn)(const sqz_call *) = integer && op->run_int ? op->run_int : op->run;
    if (integer && !op->run_int && !(op->traits & (SQZ_T_MOVES | SQZ_T_VIEW)))
        return sqz_fail(c->ctx, SQZ_E_UNSUPPORTED, "operator '%s' has no integer form",
                        op->info.name);
    if (op->prepare) {
        sqz_prep p = {.ctx = c->ctx,
                      .arena = a,
                      .attrs = c->attrs,
                      .n_in = c->n_in,
                      .n_out = c->n_out,
                      .in = c->in,
                      .out = (const sqz_tensor *const *)c->out,
                      .in_q = c->in_q,
                      .out_q = c->out_q};
        SQZ_TRY(op->prepare(&p));
        c->state = p.state;
        c->scratch = sqz_arena_alloc(a, SQZ_MAX(p.scratch_bytes, (size_t)1), 1);
        if (!c->scratch)
            return SQZ_E_NOMEM;
    }
    return fn(c);
}

/* Operators that take float64 take one type at a time: with others beside it, all become f32. */
static bool is_mixed(const sqz_call *c)
{
    sqz_dtype one = SQZ_N_DTYPE;
    for (unsigned i = 0; i < c->n_in; i++) {
        const sqz_tensor *t = c->in[i];
        if (!t || !sqz_dtype_is_float(t->dtype))
            continue;
        if (one != SQZ_N_DTYPE && one != t->dtype)
            return true;
        one = t->dtype;
    }
    return false;
}

static bool is_wide(const sqz_op *op, const sqz_tensor *t, bool mixed)
{
    if (t && mixed && !sqz_op_takes_all(op) && sqz_dtype_is_float(t->dtype))
        return t->dtype == SQZ_F32;
    return !t || sqz_op_run_type(op, t->dtype) == t->dtype;
}

/* Runs on f32 copies of the tensors whose type the operator cannot take; `wide` has room for one
 * tensor for each input and output. */
static sqz_status run_widened(sqz_call *c, const sqz_op *op, sqz_arena *a, sqz_tensor *wide)
{
    const sqz_tensor **in = sqz_arena_alloc(a, c->n_in + 1u, sizeof *in);
    sqz_tensor **out = sqz_arena_alloc(a, c->n_out + 1u, sizeof *out), *narrow = &wide[c->n_in];
    sqz_tensor *const *result = c->out;
    const bool mixed = is_mixed(c);
    if (!in || !out)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < c->n_in; i++) {
        in[i] = is_wide(op, c->in[i], mixed) ? c->in[i] : &wide[i];
        if (in[i] != c->in[i])
            SQZ_TRY(sqz_tensor_cast(c->ctx, c->in[i], SQZ_F32, &wide[i]));
    }
    for (unsigned i = 0; i < c->n_out; i++) {
        out[i] = is_wide(op, result[i], mixed) ? result[i] : &narrow[i];
        if (out[i] != result[i])
            SQZ_TRY(sqz_tensor_alloc(c->ctx, SQZ_F32, &result[i]->shape, &narrow[i]));
    }
    c->in = in;
    c->out = out;
    SQZ_TRY(run(c, op, a));
    for (unsigned i = 0; i < c->n_out; i++) {
        sqz_tensor t;
        if (out[i] == result[i])
            continue;
        SQZ_TRY(sqz_tensor_cast(c->ctx, out[i], result[i]->dtype, &t));
        memcpy(result[i]->data, t.data, t.bytes);
        sqz_tensor_free(c->ctx, &t);
    }
    return SQZ_OK;
}

static sqz_status run_any(sqz_call *c, const sqz_op *op, sqz_arena *a)
{
    const unsigned n = c->n_in + c->n_out;
    const bool mixed = is_mixed(c);
    bool wide = true;
    for (unsigned i = 0; i < n; i++)
        wide = wide && is_wide(op, i < c->n_in ? c->in[i] : c->out[i - c->n_in], mixed);
    if (wide)
        return run(c, op, a);
    sqz_tensor *copy = sqz_arena_alloc(a, n, sizeof *copy);
    sqz_status s = copy ? run_widened(c, op, a, copy) : SQZ_E_NOMEM;
    for (unsigned i = 0; copy && i < n; i++)
        sqz_tensor_free(c->ctx, &copy[i]);
    return s;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are a node */
sqz_status sqz_op_run_once(sqz_ctx *ctx, const sqz_op *op, const void *attrs,
                           const sqz_tensor *const *in, unsigned n_in, sqz_tensor *const *out,
                           unsigned n_out, const sqz_quant *const *in_q,
                           const sqz_quant *const *out_q)
{
    static const sqz_quant *const none[UINT8_MAX]; /* all NULL: float */
    sqz_arena a = {.ctx = ctx};
    sqz_call c = {.ctx = ctx,
                  .attrs = attrs,
                  .n_in = n_in,
                  .n_out = n_out,
                  .in = in,
                  .out = out,
                  .in_q = in_q ? in_q : none,
                  .out_q = out_q ? out_q : none};
    sqz_status s = sqz_note(ctx, run_any(&c, op, &a), "%s", op->info.name);
    sqz_arena_free(&a);
    return s;
}
