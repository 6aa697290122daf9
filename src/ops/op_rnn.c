/* rnn: Elman network: h' = f(W x + R h + b). */
#include "ops/recurrent.h"
#include <string.h>

static const sqz_attr schema[] = {SQZ_REC_ROWS};

static void step(const sqz_rec_block *k)
{
    const size_t n = k->v->units;
    sqz_rec_add(k, k->h, 0);
    for (size_t row = 0; row < k->rows; row++) {
        float *gates = sqz_rec_gates(k, row);
        if (!gates)
            continue;
        sqz_rec_act(k, 0, gates, n);
        memcpy(k->h + row * n, gates, n * sizeof *gates);
    }
}

static void back(const sqz_rec_back *b)
{
    const size_t n = b->v->units;
    for (size_t j = 0; j < n; j++) {
        b->dg[j] = b->dr[j] = b->dh[j] * sqz_rec_slope(b, 0, b->gates[j]);
        b->dh[j] = 0;
    }
    sqz_rec_back_product(b, b->dr, 0, n, b->dh);
}

static const sqz_rec_kind kind = {
    .gates = 1, .first = 1, .n_act = 1, .activations = "Tanh", .step = step, .back = back};
static sqz_status infer(sqz_infer *q) { return sqz_rec_infer(q, &kind); }
static void cost(const sqz_infer *q, sqz_cost *out) { sqz_rec_cost(q, &kind, out); }
static sqz_status prepare(sqz_prep *p) { return sqz_rec_prepare(p, &kind); }
static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_rec_grad_prepare(p, prepare); }

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 4,
     .constant = 14,
     .in = {{3, {5, 2, 3}}, {3, {1, 4, 3}}, {3, {1, 4, 4}}, {2, {1, 8}}}},
    {.attrs = "direction=bidirectional activations=Relu,ScaledTanh activation_alpha=1.5 "
              "activation_beta=0.5",
     .n_in = 3,
     .constant = 6,
     .in = {{3, {2, 4, 3}}, {3, {2, 5, 3}}, {3, {2, 5, 5}}}},
};

const sqz_op sqz_op_rnn = {
    SQZ_REC_OP("rnn", "plain recurrent units over a sequence", "RNN", 6, 2),
    SQZ_REC_GRAD_COLUMNS,
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
