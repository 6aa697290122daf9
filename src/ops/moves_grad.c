/* moves_grad.c: the gradient of whatever only moves elements. The operator runs on the numbers of
 * places instead of on elements, 1, 2, ... through all data inputs: what comes out says where each
 * element came from (0: a new one), and there the gradient goes back to. */
#include "ops/grad.h"
#include "ops/linear.h"
#include "ops/move.h"

typedef struct moves {
    sqz_status (*run)(const sqz_call *c);
    void *state;   /* of the run */
    uint32_t data; /* bit k: input k is moved; the others say where to */
    sqz_tensor *place, from;
    const sqz_tensor **in;
    sqz_tensor **out;
    size_t at; /* bytes of the scratch in front of that of the run */
} moves;

static const sqz_quant *const none[UINT8_MAX]; /* all NULL: float */

static bool is_data(const moves *m, unsigned k, const sqz_tensor *t)
{
    return t && k < 32 && m->data >> k & 1;
}

/* A tensor of this shape with a number for each element; *bytes grows by what it takes. */
static sqz_status numbered(sqz_ctx *ctx, const sqz_tensor *like, sqz_tensor *t, size_t *bytes)
{
    SQZ_TRY(sqz_tensor_view(ctx, SQZ_S32, &like->shape, NULL, t));
    if (*bytes < SIZE_MAX / 4 && t->bytes < SIZE_MAX / 4) {
        *bytes += sqz_scratch_round(t->bytes);
        return SQZ_OK;
    }
    return sqz_fail(ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
}

static sqz_status lay_out(sqz_grad_prep *p, moves *m)
{
    size_t all = 0;
    for (unsigned k = 0; k < p->n_in; k++) {
        m->in[k] = p->in[k];
        if (!is_data(m, k, p->in[k]))
            continue;
        SQZ_TRY(numbered(p->ctx, p->in[k], &m->place[k], &m->at));
        m->in[k] = &m->place[k];
        all += p->in[k]->count;
    }
    SQZ_TRY(numbered(p->ctx, p->out[0], &m->from, &m->at));
    m->out[0] = &m->from;
    if (all >= INT32_MAX)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the gradient of %zu elements, expected fewer than %d",
                        all, INT32_MAX);
    return SQZ_OK;
}

sqz_status sqz_moves_grad_prepare(sqz_grad_prep *p, sqz_status (*run)(const sqz_call *c),
                                  sqz_status (*prepare)(sqz_prep *p), uint32_t data)
{
    moves *m = sqz_arena_alloc(p->arena, 1, sizeof *m);
    if (!m)
        return SQZ_E_NOMEM;
    *m = (moves){.run = run, .data = data};
    m->place = sqz_arena_alloc(p->arena, p->n_in + 1u, sizeof *m->place);
    m->in = sqz_arena_alloc(p->arena, p->n_in + 1u, sizeof *m->in);
    m->out = sqz_arena_alloc(p->arena, p->n_out + 1u, sizeof *m->out);
    if (!m->place || !m->in || !m->out)
        return SQZ_E_NOMEM;
    SQZ_TRY(lay_out(p, m));
    sqz_prep run_prep = sqz_grad_as_prep(p);
    run_prep.in = m->in;
    run_prep.out = (const sqz_tensor *const *)m->out;
    if (prepare)
        SQZ_TRY(prepare(&run_prep));
    m->state = run_prep.state;
    p->reads_in[0] = !(data & 1);
    p->reads_in[1] = p->n_in > 1 && !(data & 2);
    p->state = m;
    if (!sqz_add(m->at, run_prep.scratch_bytes, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

/* Numbers for all elements, and the run on them. */
static sqz_status trace(const sqz_grad_call *c, moves *m)
{
    char *at = c->scratch;
    int32_t number = 1;
    for (unsigned k = 0; k < c->n_in; k++) {
        m->in[k] = c->in[k];
        if (!is_data(m, k, c->in[k]))
            continue;
        m->place[k].data = at;
        at += sqz_scratch_round(m->place[k].bytes);
        for (size_t i = 0; i < m->place[k].count; i++)
            SQZ_S32P(&m->place[k])[i] = number++;
        m->in[k] = &m->place[k];
    }
    m->from.data = at;
    const sqz_call call = {.ctx = c->ctx,
                           .attrs = c->attrs,
                           .n_in = c->n_in,
                           .n_out = 1,
                           .in = m->in,
                           .out = m->out,
                           .in_q = none,
                           .out_q = none,
                           .state = m->state,
                           .scratch = (char *)c->scratch + m->at};
    return m->run(&call);
}

/* In order, as several outputs may come from one element. */
sqz_status sqz_moves_grad(const sqz_grad_call *c)
{
    moves *m = c->state;
    if (sqz_grad_none(c))
        return SQZ_OK;
    for (unsigned k = 0; k < c->n_in; k++)
        sqz_grad_begin(c, k);
    SQZ_TRY(trace(c, m));
    size_t first = 1;
    for (unsigned k = 0; k < c->n_in; k++) {
        if (!is_data(m, k, c->in[k]))
            continue;
        const size_t n = c->in[k]->count;
        const int32_t *from = SQZ_S32P(&m->from);
        for (size_t i = 0; sqz_grad_wants(c, k) && i < m->from.count; i++)
            if ((size_t)from[i] - first < n)
                c->in_grad[k][(size_t)from[i] - first] += c->out_grad[0][i];
        first += n;
    }
    return SQZ_OK;
}
