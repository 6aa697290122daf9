/* gru: gated recurrent unit (Cho et al. 2014).
 *   z = f(Wz x + Rz h + bz)   r = f(Wr x + Rr h + br)   h' = (1 - z).n + z.h
 *   n = g(Wh x + Rh (r.h) + bh), or with linear_before_reset n = g(Wh x + r.(Rh h + brh) + bwh)
 * Gates stand in the order z, r, h. */
#include "ops/recurrent.h"
#include <string.h>

static const sqz_attr schema[] = {
    SQZ_REC_ROWS,
    {.name = "linear_before_reset",
     .offset = offsetof(sqz_rec_attrs, linear_before_reset),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "the reset gate multiplies the product, not what goes into it"},
};

/* Gates z and r of all rows; `reset` becomes r.h. */
static void open_gates(const sqz_rec_block *k)
{
    const size_t n = k->v->units;
    for (size_t row = 0; row < k->rows; row++) {
        float *gates = sqz_rec_gates(k, row), *h = k->h + row * n, *to = k->reset + row * n;
        memcpy(to, h, n * sizeof *to); /* something where the sequence is over */
        if (!gates)
            continue;
        sqz_rec_act(k, 0, gates, 2 * n);
        for (size_t j = 0; j < n; j++)
            to[j] *= gates[n + j];
    }
}

static void update(const sqz_rec_block *k, const float *rec, float *gates, float *h)
{
    const size_t n = k->v->units;
    const float *z = gates, *r = z + n;
    float *m = gates + 2 * n;
    if (k->v->at->linear_before_reset)
        for (size_t j = 0; j < n; j++)
            m[j] += r[j] * rec[2 * n + j];
    sqz_rec_act(k, 1, m, n);
    for (size_t j = 0; j < n; j++)
        h[j] = (1 - z[j]) * m[j] + z[j] * h[j];
}

static void step(const sqz_rec_block *k)
{
    const size_t n = k->v->units;
    const bool before = k->v->at->linear_before_reset;
    sqz_rec_add(k, k->h, 0);
    if (before)
        sqz_rec_product(k, k->h, 1);
    open_gates(k);
    if (!before)
        sqz_rec_add(k, k->reset, 1);
    for (size_t row = 0; row < k->rows; row++) {
        float *gates = sqz_rec_gates(k, row);
        if (gates)
            update(k, k->rec + row * 3 * n, gates, k->h + row * n);
    }
}

/* What the reset gate gets, and what comes back to the state, through the last gates. */
static void back_reset(const sqz_rec_back *b, size_t j, float product)
{
    const size_t n = b->v->units;
    const float r = b->gates[n + j];
    if (b->v->at->linear_before_reset) { /* product: of the state with the weights */
        b->dr[2 * n + j] = b->dg[2 * n + j] * r;
        b->dr[n + j] = b->dg[n + j] = b->dg[2 * n + j] * product * sqz_rec_slope(b, 0, r);
        return;
    } /* product: of the gradient with the weights */
    b->dr[n + j] = b->dg[n + j] = product * b->h[j] * sqz_rec_slope(b, 0, r);
    b->dh[j] += product * r;
    b->fed[j] = r * b->h[j];
}

static void back(const sqz_rec_back *b)
{
    const size_t n = b->v->units;
    const float *z = b->gates, *m = z + 2 * n;
    for (size_t j = 0; j < n; j++) {
        const float dz = b->dh[j] * (b->h[j] - m[j]), dm = b->dh[j] * (1 - z[j]);
        b->dr[j] = b->dg[j] = dz * sqz_rec_slope(b, 0, z[j]);
        b->dr[2 * n + j] = b->dg[2 * n + j] = dm * sqz_rec_slope(b, 1, m[j]);
        b->dh[j] *= z[j];
    }
    if (b->v->at->linear_before_reset) {
        for (size_t j = 0; j < n; j++) {
            float product = b->b ? b->b[2 * n + j] : 0;
            for (size_t i = 0; i < n; i++)
                product += b->r[(2 * n + j) * n + i] * b->h[i];
            back_reset(b, j, product);
        }
        sqz_rec_back_product(b, b->dr, 0, 3 * n, b->dh);
        return;
    }
    memset(b->work, 0, n * sizeof *b->work);
    sqz_rec_back_product(b, b->dr, 2 * n, n, b->work);
    for (size_t j = 0; j < n; j++)
        back_reset(b, j, b->work[j]);
    sqz_rec_back_product(b, b->dr, 0, 2 * n, b->dh);
}

static const sqz_rec_kind kind = {
    .gates = 3, .first = 2, .n_act = 2, .activations = "Sigmoid,Tanh", .step = step, .back = back};
static sqz_status infer(sqz_infer *q) { return sqz_rec_infer(q, &kind); }
static void cost(const sqz_infer *q, sqz_cost *out) { sqz_rec_cost(q, &kind, out); }
static sqz_status prepare(sqz_prep *p) { return sqz_rec_prepare(p, &kind); }
static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_rec_grad_prepare(p, prepare); }

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 4,
     .constant = 14,
     .in = {{3, {5, 2, 3}}, {3, {1, 12, 3}}, {3, {1, 12, 4}}, {2, {1, 24}}}},
    {.attrs = "direction=bidirectional linear_before_reset=1 layout=1",
     .n_in = 6,
     .constant = 14,
     .in =
         {{3, {2, 4, 3}}, {3, {2, 15, 3}}, {3, {2, 15, 5}}, {2, {2, 30}}, {1, {2}}, {3, {2, 2, 5}}},
     .lo = 0,
     .hi = 1,
     .dtype = {[4] = SQZ_S32}},
};

const sqz_op sqz_op_gru = {
    SQZ_REC_OP("gru", "gated recurrent units over a sequence", "GRU", 6, 2),
    SQZ_REC_GRAD_COLUMNS,
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
