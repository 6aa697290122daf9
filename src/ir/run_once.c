/* run_once.c: one operator on plain tensors: what constant folding and tests need. */
#include "ir/op.h"

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
        if (p.scratch_bytes && !(c->scratch = sqz_arena_alloc(a, p.scratch_bytes, 1)))
            return SQZ_E_NOMEM;
    }
    return fn(c);
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
    sqz_status s = sqz_note(ctx, run(&c, op, &a), "%s", op->info.name);
    sqz_arena_free(&a);
    return s;
}
