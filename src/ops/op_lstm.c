/* lstm: long short-term memory (Hochreiter & Schmidhuber 1997), with forget gates and peepholes.
 *   i = f(Wi x + Ri h + bi + pi.c)      f = f(Wf x + Rf h + bf + pf.c)    z = g(Wc x + Rc h + bc)
 *   c' = f.c + i.z                      o = f(Wo x + Ro h + bo + po.c')   h' = o.h(c')
 * Gates stand in the order i, o, f, c; peepholes i, o, f. */
#include "ops/recurrent.h"
#include <string.h>

static const sqz_attr schema[] = {
    SQZ_REC_ROWS,
    {.name = "input_forget",
     .offset = offsetof(sqz_rec_attrs, input_forget),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "the forget gate is 1 - the input gate"},
};

/* gates[j] += p[j] * c[j] */
static void add_peep(float *gates, const float *p, const float *c, size_t n)
{
    for (size_t j = 0; j < n; j++)
        gates[j] += p[j] * c[j];
}

static void cell(const sqz_rec_block *k, float *gates, float *h, float *c)
{
    const size_t n = k->v->units;
    float *i = gates, *o = i + n, *f = o + n, *z = f + n;
    if (k->peep) {
        add_peep(i, k->peep, c, n);
        add_peep(f, k->peep + 2 * n, c, n);
    }
    if (!k->peep && !k->v->at->input_forget) {
        sqz_rec_act(k, 0, gates, 3 * n);
    } else {
        sqz_rec_act(k, 0, i, n);
        if (!k->v->at->input_forget)
            sqz_rec_act(k, 0, f, n);
        for (size_t j = 0; k->v->at->input_forget && j < n; j++)
            f[j] = 1 - i[j];
    }
    sqz_rec_act(k, 1, z, n);
    for (size_t j = 0; j < n; j++)
        h[j] = c[j] = f[j] * c[j] + i[j] * z[j];
    if (k->peep)
        add_peep(o, k->peep + n, c, n);
    if (k->peep || k->v->at->input_forget)
        sqz_rec_act(k, 0, o, n);
    /* the cell is not clipped, as in ONNX Runtime */
    sqz_act_run(k->call->ctx->kernels, &k->act[2], 0, h, n);
    for (size_t j = 0; j < n; j++)
        h[j] *= o[j];
}

static void step(const sqz_rec_block *k)
{
    const size_t n = k->v->units;
    sqz_rec_add(k, k->h, 0);
    for (size_t r = 0; r < k->rows; r++) {
        float *gates = sqz_rec_gates(k, r);
        if (gates)
            cell(k, gates, k->h + r * n, k->c + r * n);
    }
}

static void back_peep(const sqz_rec_back *b, size_t j, float c, float *dc)
{
    const size_t n = b->v->units;
    b->dpeep[j] += b->dg[j] * b->c[j];
    b->dpeep[n + j] += b->dg[n + j] * c;
    b->dpeep[2 * n + j] += b->dg[2 * n + j] * b->c[j];
    *dc += b->dg[j] * b->peep[j] + b->dg[2 * n + j] * b->peep[2 * n + j];
}

static void back(const sqz_rec_back *b)
{
    const size_t n = b->v->units;
    const float *i = b->gates, *o = i + n, *f = o + n, *z = f + n, *after = b->c + n;
    memcpy(b->work, after, n * sizeof *b->work);
    sqz_act_run(b->kernels, &b->act[2], 0, b->work, n); /* h' = o . work */
    for (size_t j = 0; j < n; j++) {
        float dc = b->dc[j] + b->dh[j] * o[j] * sqz_act_slope(&b->act[2], b->work[j]);
        b->dg[n + j] = b->dh[j] * b->work[j] * sqz_rec_slope(b, 0, o[j]);
        dc += b->peep ? b->dg[n + j] * b->peep[n + j] : 0;
        const float di = dc * z[j], df = dc * b->c[j];
        const bool tied = b->v->at->input_forget != 0; /* f = 1 - i */
        b->dg[j] = (tied ? di - df : di) * sqz_rec_slope(b, 0, i[j]);
        b->dg[2 * n + j] = tied ? 0 : df * sqz_rec_slope(b, 0, f[j]);
        b->dg[3 * n + j] = dc * i[j] * sqz_rec_slope(b, 1, z[j]);
        b->dc[j] = dc * f[j];
        if (b->peep)
            back_peep(b, j, after[j], &b->dc[j]);
        b->dh[j] = 0;
    }
    memcpy(b->dr, b->dg, 4 * n * sizeof *b->dr);
    sqz_rec_back_product(b, b->dr, 0, 4 * n, b->dh);
}

static const sqz_rec_kind kind = {.gates = 4,
                                  .first = 4,
                                  .n_act = 3,
                                  .activations = "Sigmoid,Tanh,Tanh",
                                  .has_cell = true,
                                  .step = step,
                                  .back = back};
static sqz_status infer(sqz_infer *q) { return sqz_rec_infer(q, &kind); }
static void cost(const sqz_infer *q, sqz_cost *out) { sqz_rec_cost(q, &kind, out); }
static sqz_status prepare(sqz_prep *p) { return sqz_rec_prepare(p, &kind); }
static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_rec_grad_prepare(p, prepare); }

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 4,
     .constant = 14,
     .in = {{3, {5, 2, 3}}, {3, {1, 16, 3}}, {3, {1, 16, 4}}, {2, {1, 32}}}},
    {.attrs = "direction=bidirectional layout=1 clip=0.8",
     .n_in = 8,
     .constant = 14 | 128,
     .in = {{3, {2, 4, 3}},
            {3, {2, 20, 3}},
            {3, {2, 20, 5}},
            {2, {2, 40}},
            {1, {2}},
            {3, {2, 2, 5}},
            {3, {2, 2, 5}},
            {2, {2, 15}}},
     .lo = 0,
     .hi = 1,
     .dtype = {[4] = SQZ_S32}},
    {.attrs = "direction=reverse activations=HardSigmoid,Elu,Softsign activation_alpha=0.3 "
              "input_forget=1",
     .n_in = 3,
     .constant = 6,
     .in = {{3, {3, 4, 3}}, {3, {1, 8, 3}}, {3, {1, 8, 2}}}},
};

const sqz_op sqz_op_lstm = {
    SQZ_REC_OP("lstm", "long short-term memory over a sequence", "LSTM", 8, 3),
    SQZ_REC_GRAD_COLUMNS,
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
