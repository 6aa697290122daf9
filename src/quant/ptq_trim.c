/* ptq_trim.c: values that only functions of one number read need a grid only where these functions
 * change: hard-swish is 0 from -3 down, sigmoid is 1 from 7 up. What lies further out is clipped,
 * which changes no result by more than a quarter of a step of it, and no level is spent on it. */
#include "quant/ptq.h"
#include <math.h>
#include <string.h>

#define POINTS 4096

typedef struct curve { /* a function at POINTS numbers, the range's ends included */
    sqz_tensor x, y;
    float part; /* of a step of the result: nobody can tell */
} curve;

static bool is_function(const sqz_node *n)
{
    return n->op->quant.kind == SQZ_Q_LUT && n->op->traits & SQZ_T_UNARY && n->n_in == 1 &&
           n->n_out == 1 && !(n->op->traits & SQZ_T_RELU_LIKE);
}

/* All readers are integer functions of one number. */
static bool only_functions_read(const sqz_ptq *p, sqz_vid v)
{
    for (uint32_t u = p->uses.first[v]; u < p->uses.first[v + 1]; u++) {
        const sqz_nid id = p->uses.node[u];
        if (id == SQZ_NONE || !p->integer[id] || !is_function(sqz_nod(p->g, id)))
            return false;
    }
    return sqz_n_uses(&p->uses, v) > 0;
}

static float at(sqz_range r, size_t i)
{
    return i == POINTS - 1 ? r.hi : r.lo + (r.hi - r.lo) * ((float)i / (POINTS - 1));
}

static sqz_status evaluate(const sqz_ptq *p, const sqz_node *n, sqz_range r, curve *c)
{
    const sqz_range *to = p->range[n->out[0]];
    const float fixed = n->op->quant.fixed_scale;
    const sqz_tensor *in = &c->x;
    sqz_tensor *out = &c->y;
    c->part = 0.25f * (fixed != 0.0f ? fixed : to ? (to->hi - to->lo) / 255.0f : 0.0f);
    for (size_t i = 0; i < POINTS; i++)
        SQZ_F32P(&c->x)[i] = at(r, i);
    return sqz_op_run_once(p->g->ctx, n->op, n->attrs, &in, 1, &out, 1, NULL, NULL);
}

/* The part of r outside of which the function is as at its ends; 0 stays inside. */
static sqz_range changes(const curve *c, sqz_range r)
{
    const float *y = SQZ_F32P(&c->y);
    size_t lo = 0, hi = POINTS - 1;
    while (lo < hi && fabsf(y[lo + 1] - y[0]) <= c->part && at(r, lo + 1) < 0.0f)
        lo++;
    while (hi > lo && fabsf(y[hi - 1] - y[POINTS - 1]) <= c->part && at(r, hi - 1) > 0.0f)
        hi--;
    return (sqz_range){at(r, lo), at(r, hi)};
}

static sqz_status trim(sqz_ptq *p, sqz_vid v, curve *c)
{
    const sqz_range r = *p->range[v];
    sqz_range most = {INFINITY, -INFINITY};
    for (uint32_t u = p->uses.first[v]; u < p->uses.first[v + 1]; u++) {
        SQZ_TRY(evaluate(p, sqz_nod(p->g, p->uses.node[u]), r, c));
        const sqz_range one = changes(c, r);
        most.lo = fminf(most.lo, one.lo);
        most.hi = fmaxf(most.hi, one.hi);
    }
    if (most.hi - most.lo > 0.98f * (r.hi - r.lo))
        return SQZ_OK;
    sqz_range *own = sqz_arena_alloc(p->a, 1, sizeof *own);
    if (!own)
        return SQZ_E_NOMEM;
    *own = most;
    p->range[v] = own;
    return SQZ_OK;
}

sqz_status sqz_ptq_trim(sqz_ptq *p)
{
    const sqz_shape s = {1, {POINTS}};
    curve c = {.part = 0.0f};
    SQZ_TRY(sqz_tensor_alloc(p->g->ctx, SQZ_F32, &s, &c.x));
    sqz_status status = sqz_tensor_alloc(p->g->ctx, SQZ_F32, &s, &c.y);
    for (sqz_vid v = 0; v < p->n_value && status == SQZ_OK; v++)
        if (p->range[v] && p->range[v]->lo > -1e30f && p->range[v]->hi > p->range[v]->lo &&
            sqz_val(p->g, v)->dtype == SQZ_F32 && only_functions_read(p, v))
            status = trim(p, v, &c);
    sqz_tensor_free(p->g->ctx, &c.x);
    sqz_tensor_free(p->g->ctx, &c.y);
    return status;
}
