/* norm_rows.c: see norm.h, rows. */
#include "ops/norm.h"

const sqz_attr sqz_row_norm_schema[3] = {
    {.name = "axis",
     .offset = offsetof(sqz_row_norm_attrs, axis),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS,
     .doc = "first axis that is normalized, with all behind it"},
    {.name = "epsilon",
     .offset = offsetof(sqz_row_norm_attrs, epsilon),
     .type = SQZ_A_FLOAT,
     .def = 1e-5f,
     .min = 0,
     .max = 1e30,
     .doc = "added to the mean square"},
    {.name = "stash_type",
     .offset = offsetof(sqz_row_norm_attrs, stash_type),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = 16,
     .doc = "ONNX number of the float type of the statistics"},
};

/* ---- shapes ---- */

static sqz_status broadcasts(const sqz_infer *q, unsigned slot)
{
    const sqz_shape *x = &q->in[0]->shape, *s = &q->in[slot]->shape;
    char a[160], b[160];
    sqz_shape both;
    if (sqz_shape_broadcast(q->ctx, x, s, &both) == SQZ_OK && sqz_shape_eq(&both, x))
        return SQZ_OK;
    sqz_shape_print(a, x);
    sqz_shape_print(b, s);
    return sqz_fail(q->ctx, SQZ_E_SHAPE, "input %u of shape %s does not broadcast to %s", slot, b,
                    a);
}

sqz_status sqz_row_norm_infer(sqz_infer *q)
{
    const sqz_row_norm_attrs *at = q->attrs;
    sqz_dtype stash = sqz_dtype_of_onnx((int32_t)at->stash_type);
    int32_t axis = 0;
    for (unsigned i = 0; i < q->n_in; i++) {
        if (!q->in[i])
            continue;
        SQZ_TRY(sqz_need_real(q, i));
        SQZ_TRY(broadcasts(q, i));
    }
    if (stash == SQZ_N_DTYPE || !sqz_dtype_is_float(stash))
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "stash_type %lld is no float type",
                        (long long)at->stash_type);
    q->out[0] = q->in[0]->shape;
    SQZ_TRY(sqz_axis(q->ctx, at->axis, q->out[0].rank, &axis));
    for (unsigned i = 1; i < q->n_out; i++) {
        q->out[i] = q->out[0];
        for (int32_t d = axis; d < q->out[0].rank; d++)
            q->out[i].dim[d] = 1;
        q->out_dtype[i] = stash;
    }
    return SQZ_OK;
}

void sqz_row_norm_ties(sqz_ties *t)
{
    const sqz_row_norm_attrs *at = t->attrs;
    const int32_t rank = t->in[0]->shape.rank;
    int32_t axis = 0;
    if (sqz_axis(t->ctx, at->axis, rank, &axis) != SQZ_OK)
        return;
    for (unsigned k = 0; k < t->n_out; k++)
        if (t->out[k])
            sqz_ties_axes(t, k, 0);
    sqz_ties_params(t);
    for (int32_t i = axis; i < rank; i++) {
        const sqz_tie_end end = SQZ_TIE_IN(0, i);
        t->shift(t, &end, "is normalized over");
    }
}

/* Sum, difference, square, sum, two products and a sum. */
void sqz_row_norm_cost(const sqz_infer *q, sqz_cost *out)
{
    sqz_move_cost(q, out);
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops *= 7;
}

/* ---- running ---- */

typedef struct param { /* scale or bias, broadcast to x: its number for element i of row r is
                          data[step of r along the outer axes + inner[i]] */
    bool given, plain; /* plain: one row, in order */
    size_t *inner;
    size_t step[SQZ_MAX_RANK]; /* of the outer axes; 0 where it is repeated */
} param;

typedef struct state {
    int32_t axis;
    size_t rows, n;
    param p[2]; /* scale, bias */
} state;

/* Distance of neighbors along each axis of x in the parameter. */
static void steps(const sqz_shape *x, const sqz_shape *s, size_t *step)
{
    size_t at = 1;
    for (int32_t d = x->rank - 1, k = s->rank - 1; d >= 0; d--, k--) {
        step[d] = k < 0 || s->dim[k] == 1 ? 0 : at;
        at *= k < 0 ? 1 : (size_t)s->dim[k];
    }
}

/* Flat index over axes [from, to) of x to an offset in the parameter. */
static size_t offset(const sqz_shape *x, const size_t *step, int32_t from, int32_t to, size_t i)
{
    size_t at = 0;
    for (int32_t d = to - 1; d >= from; d--) {
        at += i % (size_t)x->dim[d] * step[d];
        i /= (size_t)x->dim[d];
    }
    return at;
}

static sqz_status param_of(const sqz_prep *p, const state *s, unsigned slot, param *out)
{
    const sqz_shape *x = &p->in[0]->shape;
    out->given = slot < p->n_in && p->in[slot];
    if (!out->given || s->n == 0)
        return SQZ_OK;
    steps(x, &p->in[slot]->shape, out->step);
    out->plain = p->in[slot]->count == s->n &&
                 offset(x, out->step, s->axis, x->rank, s->n - 1) == s->n - 1;
    for (int32_t d = 0; d < s->axis; d++)
        out->plain = out->plain && out->step[d] == 0;
    if (out->plain)
        return SQZ_OK;
    out->inner = sqz_arena_alloc(p->arena, s->n, sizeof *out->inner);
    if (!out->inner)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < s->n; i++)
        out->inner[i] = offset(x, out->step, s->axis, x->rank, i);
    return SQZ_OK;
}

sqz_status sqz_row_norm_prepare(sqz_prep *p)
{
    const sqz_row_norm_attrs *at = p->attrs;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_axis(p->ctx, at->axis, p->in[0]->shape.rank, &s->axis));
    s->n = 1;
    for (int32_t d = s->axis; d < p->in[0]->shape.rank; d++)
        s->n *= (size_t)p->in[0]->shape.dim[d]; /* a part of a count that was checked */
    s->rows = s->n ? p->in[0]->count / s->n : 0;
    SQZ_TRY(param_of(p, s, 1, &s->p[0]));
    SQZ_TRY(param_of(p, s, 2, &s->p[1]));
    p->state = s;
    return SQZ_OK;
}

typedef struct job {
    const sqz_call *c;
    bool centered, plain; /* plain: scale and bias are one row each, or missing */
    double epsilon;
} job;

static double number(const sqz_call *c, unsigned k, size_t base, size_t i)
{
    const param *p = &((const state *)c->state)->p[k];
    return (double)SQZ_F32P(c->in[k + 1])[p->plain ? i : base + p->inner[i]];
}

/* y holds a normalized row: parameters of any form. */
static void put(const sqz_call *c, size_t row, float *y)
{
    const state *s = c->state;
    size_t base[2] = {0, 0};
    for (unsigned k = 0; k < 2; k++)
        if (s->p[k].given && !s->p[k].plain)
            base[k] = offset(&c->in[0]->shape, s->p[k].step, 0, s->axis, row);
    for (size_t i = 0; i < s->n; i++) {
        const double v = (double)y[i] * (s->p[0].given ? number(c, 0, base[0], i) : 1);
        y[i] = (float)(v + (s->p[1].given ? number(c, 1, base[1], i) : 0));
    }
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_call *c = j->c;
    const state *s = c->state;
    sqz_row_norm p = {.n = s->n, .epsilon = j->epsilon, .centered = j->centered};
    if (j->plain && s->p[0].given)
        p.scale = SQZ_F32P(c->in[1]);
    if (j->plain && s->p[1].given)
        p.bias = SQZ_F32P(c->in[2]);
    c->ctx->kernels->norm_f32(&p, end - begin, SQZ_F32P(c->in[0]) + begin * s->n,
                              SQZ_F32P(c->out[0]) + begin * s->n,
                              c->n_out > 1 && c->out[1] ? SQZ_F32P(c->out[1]) + begin : NULL,
                              c->n_out > 2 && c->out[2] ? SQZ_F32P(c->out[2]) + begin : NULL);
    for (size_t r = begin; r < end && !j->plain; r++)
        put(c, r, SQZ_F32P(c->out[0]) + r * s->n);
    return SQZ_OK;
}

sqz_status sqz_row_norm_run(const sqz_call *c, bool centered)
{
    const state *s = c->state;
    job j = {c, centered, true, ((const sqz_row_norm_attrs *)c->attrs)->epsilon};
    for (unsigned k = 0; k < 2; k++)
        j.plain = j.plain && (!s->p[k].given || s->p[k].plain);
    return s->n ? sqz_parallel(c->ctx, s->rows, 16384 / s->n + 1, chunk, &j) : SQZ_OK;
}
