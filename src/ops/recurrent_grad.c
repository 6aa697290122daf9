/* recurrent_grad.c: gradients of lstm, gru and rnn, through time. The run is done once more, for
 * the gates of every step; then each sample goes back through its steps, which leaves the gradients
 * of all gates; those of the weights are sums over all of them: dW = dg^T x,  dR = dr^T h,  dB =
 * sums of dg and dr,  dx = dg W. */
#include "ops/grad.h"
#include "ops/recurrent.h"
#include <string.h>

typedef struct state {
    void *rec;       /* of the run: sqz_rec */
    sqz_tensor y[3]; /* its results once more */
    sqz_tensor *out[3];
    size_t last; /* gates whose weights multiply `fed` instead of h; 0: none */
    /* floats from the begin of the workspace */
    size_t y_at[3], cells, dg, dr, h, fed, dh, dc, dpeep, work, run_at;
} state;

static const sqz_quant *const none[UINT8_MAX]; /* all NULL: float */

static bool take(size_t *used, size_t a, size_t b, size_t *at)
{
    size_t n;
    *at = *used;
    return sqz_mul(a, b, &n) && n < SIZE_MAX / 64 &&
           sqz_add(*used, sqz_scratch_round(n * sizeof(float)) / sizeof(float), used);
}

sqz_status sqz_rec_grad_prepare(sqz_grad_prep *p, sqz_status (*prepare)(sqz_prep *p))
{
    sqz_prep run = sqz_grad_as_prep(p);
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    size_t used = 0;
    if (!s)
        return SQZ_E_NOMEM;
    sqz_tensor *in = sqz_arena_alloc(p->arena, p->n_in + 1u, sizeof *in);
    const sqz_tensor **inp = sqz_arena_alloc(p->arena, p->n_in + 1u, sizeof *inp);
    if (!in || !inp)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < p->n_in; i++) { /* no numbers: weights change from step to step */
        if (p->in[i]) {
            in[i] = *p->in[i];
            in[i].data = NULL;
        }
        inp[i] = p->in[i] ? &in[i] : NULL;
    }
    run.in = inp;
    SQZ_TRY(prepare(&run));
    const sqz_rec *v = run.state;
    const size_t rows = v->steps * v->batch, all = v->dirs * rows;
    const size_t wide = v->kind->gates * v->units, one = v->dirs * v->batch;
    bool fits = true;
    for (size_t i = 0; i < v->dirs * v->kind->n_act; i++)
        if (!sqz_act_has_slope(&v->act[i]))
            return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                            "the gradient of an activation that falls and rises (a negative alpha "
                            "of %g)",
                            (double)v->act[i].alpha);
    s->rec = run.state;
    s->last = v->kind->gates > v->kind->first && !v->at->linear_before_reset
                  ? (v->kind->gates - v->kind->first) * v->units
                  : 0;
    for (unsigned i = 0; i < p->n_out; i++) {
        fits = fits && take(&used, p->out[i]->count, 1, &s->y_at[i]);
        s->y[i] = *p->out[i];
        s->out[i] = &s->y[i];
    }
    fits = fits && take(&used, v->kind->has_cell ? all + one : 0, v->units, &s->cells) &&
           take(&used, all, wide, &s->dg) && take(&used, all, wide, &s->dr) &&
           take(&used, all, v->units, &s->h) && take(&used, s->last ? all : 0, v->units, &s->fed) &&
           take(&used, one, v->units, &s->dh) && take(&used, one, v->units, &s->dc) &&
           take(&used, one, 3 * v->units, &s->dpeep) && take(&used, one, v->units, &s->work);
    s->run_at = used;
    if (!fits || !sqz_add(used * sizeof(float), run.scratch_bytes, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    p->state = s;
    return SQZ_OK;
}

/* ---- one sample back through its steps ---- */

typedef struct job {
    const sqz_grad_call *c;
    const state *s;
    const sqz_rec *v;
    const float *gates; /* of the run */
    float *room;
} job;

static const sqz_tensor *input(const job *j, unsigned slot)
{
    return slot < j->c->n_in ? j->c->in[slot] : NULL;
}

static size_t length(const job *j, size_t b)
{
    const sqz_tensor *lens = input(j, SQZ_REC_LENS);
    return lens ? (size_t)SQZ_S32P(lens)[b] : j->v->steps;
}

/* Row of x, and of the gates, at step `t` of the file. */
static size_t row_of(const job *j, size_t t, size_t b)
{
    return j->v->at->layout ? b * j->v->steps + t : t * j->v->batch + b;
}

/* Step of the file at place k of n in the order of the direction. */
static size_t step_of(const job *j, size_t d, size_t k, size_t n)
{
    return j->v->at->direction == 1 || d == 1 ? n - 1 - k : k;
}

/* Sums over weights begin with zeros also where a sequence is over. */
static void clear(const job *j, size_t d, size_t b)
{
    const size_t wide = j->v->kind->gates * j->v->units, h = j->v->units;
    for (size_t t = 0; t < j->v->steps; t++) {
        const size_t row = d * j->v->steps * j->v->batch + row_of(j, t, b);
        memset(j->room + j->s->dg + row * wide, 0, wide * sizeof(float));
        memset(j->room + j->s->dr + row * wide, 0, wide * sizeof(float));
        memset(j->room + j->s->h + row * h, 0, h * sizeof(float));
        if (j->s->last)
            memset(j->room + j->s->fed + row * h, 0, h * sizeof(float));
    }
}

/* The cells in front of every step, and behind the last, from the gates. */
static float *cells(const job *j, size_t d, size_t b, size_t n)
{
    const sqz_rec *v = j->v;
    const size_t h = v->units, wide = v->kind->gates * h;
    const sqz_tensor *c0 = input(j, SQZ_REC_C0);
    float *c = j->room + j->s->cells + (d * v->batch + b) * (v->steps + 1) * h;
    for (size_t i = 0; i < h; i++)
        c[i] = c0 ? SQZ_F32P(c0)[sqz_rec_state_at(v, d, b) + i] : 0;
    for (size_t k = 0; k < n; k++) {
        const size_t t = step_of(j, d, k, n);
        const float *g = j->gates + (d * v->steps * v->batch + row_of(j, t, b)) * wide;
        for (size_t i = 0; i < h; i++)
            c[(k + 1) * h + i] = g[2 * h + i] * c[k * h + i] + g[i] * g[3 * h + i];
    }
    return c;
}

/* The state in front of place k. */
static const float *state_before(const job *j, size_t d, size_t b, size_t k, size_t n)
{
    const sqz_tensor *h0 = input(j, SQZ_REC_H0);
    if (k > 0)
        return SQZ_F32P(&j->s->y[0]) + sqz_rec_out_at(j->v, step_of(j, d, k - 1, n), d, b);
    return h0 ? SQZ_F32P(h0) + sqz_rec_state_at(j->v, d, b) : NULL;
}

static void add_to(float *to, const float *from, size_t n)
{
    for (size_t i = 0; from && i < n; i++)
        to[i] += from[i];
}

static const float *out_grad(const job *j, unsigned slot, size_t at)
{
    return slot < j->c->n_out && j->c->out_grad[slot] ? j->c->out_grad[slot] + at : NULL;
}

static sqz_rec_back back_of(const job *j, size_t d, size_t b)
{
    const sqz_rec *v = j->v;
    const size_t h = v->units, wide = v->kind->gates * h, one = d * v->batch + b;
    const sqz_tensor *peep = v->kind->has_cell ? input(j, SQZ_REC_PEEP) : NULL;
    const sqz_tensor *bias = input(j, SQZ_REC_B);
    sqz_rec_back k = {.v = v,
                      .kernels = j->c->ctx->kernels,
                      .act = v->act + d * v->kind->n_act,
                      .clip = (float)v->at->clip,
                      .r = SQZ_F32P(j->c->in[SQZ_REC_R]) + d * wide * h,
                      .b = bias ? SQZ_F32P(bias) + (2 * d + 1) * wide : NULL,
                      .peep = peep ? SQZ_F32P(peep) + d * 3 * h : NULL,
                      .dh = j->room + j->s->dh + one * h,
                      .dc = j->room + j->s->dc + one * h,
                      .dpeep = j->room + j->s->dpeep + one * 3 * h,
                      .work = j->room + j->s->work + one * h};
    for (unsigned i = 0; k.clip > 0 && i < v->kind->n_act; i++) {
        k.ends[i][0] = -k.clip;
        k.ends[i][1] = k.clip;
        sqz_act_run(j->c->ctx->kernels, &k.act[i], 0, k.ends[i], 2);
    }
    memset(k.dh, 0, h * sizeof *k.dh);
    memset(k.dc, 0, h * sizeof *k.dc);
    memset(k.dpeep, 0, 3 * h * sizeof *k.dpeep);
    return k;
}

static void walk_back(const job *j, size_t d, size_t b)
{
    const sqz_rec *v = j->v;
    const size_t h = v->units, wide = v->kind->gates * h, n = length(j, b);
    sqz_rec_back k = back_of(j, d, b);
    const float *c = v->kind->has_cell ? cells(j, d, b, n) : NULL;
    clear(j, d, b);
    if (n > 0) { /* an empty sequence has zeros for last states */
        add_to(k.dh, out_grad(j, 1, sqz_rec_state_at(v, d, b)), h);
        add_to(k.dc, out_grad(j, 2, sqz_rec_state_at(v, d, b)), h);
    }
    for (size_t i = n; i-- > 0;) {
        const size_t t = step_of(j, d, i, n);
        const size_t row = d * v->steps * v->batch + row_of(j, t, b);
        const float *before = state_before(j, d, b, i, n);
        float *own = j->room + j->s->h + row * h;
        add_to(own, before, h);
        k.h = own;
        k.c = c ? c + i * h : NULL;
        k.gates = j->gates + row * wide;
        k.dg = j->room + j->s->dg + row * wide;
        k.dr = j->room + j->s->dr + row * wide;
        k.fed = j->s->last ? j->room + j->s->fed + row * h : own;
        add_to(k.dh, out_grad(j, 0, sqz_rec_out_at(v, t, d, b)), h);
        v->kind->back(&k);
    }
}

static sqz_status back_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t i = begin; i < end; i++)
        walk_back(j, i / j->v->batch, i % j->v->batch);
    return SQZ_OK;
}

void sqz_rec_back_product(const sqz_rec_back *b, const float *g, size_t from, size_t n, float *d)
{
    const size_t h = b->v->units;
    for (size_t k = from; k < from + n; k++)
        for (size_t i = 0; i < h; i++)
            d[i] += g[k] * b->r[k * h + i];
}

/* ---- sums over all steps ---- */

/* d (row) += sum over all rows of left(.., o) * right(.., n). */
static void outer(const job *j, const float *left, const float *right, size_t o, size_t n, float *d)
{
    const size_t rows = j->v->steps * j->v->batch, wide = j->v->kind->gates * j->v->units;
    for (size_t r = 0; r < rows; r++) {
        const float by = left[r * wide + o];
        for (size_t i = 0; by != 0 && i < n; i++)
            d[i] += by * right[r * n + i];
    }
}

/* Gates begin .. end of all directions: their rows of both weights, and biases. */
static sqz_status weight_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_rec *v = j->v;
    const size_t h = v->units, wide = v->kind->gates * h, rows = v->steps * v->batch;
    for (size_t i = begin; i < end; i++) {
        const size_t d = i / wide, o = i % wide;
        const float *dg = j->room + j->s->dg + d * rows * wide;
        const float *dr = j->room + j->s->dr + d * rows * wide;
        const bool last = j->s->last && o >= wide - j->s->last;
        const float *fed = j->room + (last ? j->s->fed : j->s->h) + d * rows * h;
        if (sqz_grad_wants(j->c, SQZ_REC_W))
            outer(j, dg, SQZ_F32P(j->c->in[SQZ_REC_X]), o, v->in,
                  j->c->in_grad[SQZ_REC_W] + i * v->in);
        if (sqz_grad_wants(j->c, SQZ_REC_R))
            outer(j, dr, fed, o, h, j->c->in_grad[SQZ_REC_R] + i * h);
        if (sqz_grad_wants(j->c, SQZ_REC_B)) {
            float *db = j->c->in_grad[SQZ_REC_B] + 2 * d * wide;
            double of_w = 0, of_r = 0;
            for (size_t r = 0; r < rows; r++) {
                of_w += (double)dg[r * wide + o];
                of_r += (double)dr[r * wide + o];
            }
            db[o] += (float)of_w;
            db[wide + o] += (float)of_r;
        }
    }
    return SQZ_OK;
}

static sqz_status input_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_rec *v = j->v;
    const size_t wide = v->kind->gates * v->units, rows = v->steps * v->batch;
    for (size_t r = begin; r < end; r++)
        for (size_t d = 0; d < v->dirs; d++) {
            const float *g = j->room + j->s->dg + (d * rows + r) * wide;
            const float *w = SQZ_F32P(j->c->in[SQZ_REC_W]) + d * wide * v->in;
            float *dx = j->c->in_grad[SQZ_REC_X] + r * v->in;
            for (size_t o = 0; o < wide; o++)
                for (size_t i = 0; g[o] != 0 && i < v->in; i++)
                    dx[i] += g[o] * w[o * v->in + i];
        }
    return SQZ_OK;
}

/* First states, and peepholes, which all samples share. */
static void few(const job *j)
{
    const sqz_rec *v = j->v;
    const size_t h = v->units;
    for (size_t i = 0; i < v->dirs * v->batch; i++) {
        const size_t d = i / v->batch, at = sqz_rec_state_at(v, d, i % v->batch);
        if (sqz_grad_wants(j->c, SQZ_REC_H0))
            add_to(j->c->in_grad[SQZ_REC_H0] + at, j->room + j->s->dh + i * h, h);
        if (sqz_grad_wants(j->c, SQZ_REC_C0))
            add_to(j->c->in_grad[SQZ_REC_C0] + at, j->room + j->s->dc + i * h, h);
        if (sqz_grad_wants(j->c, SQZ_REC_PEEP))
            add_to(j->c->in_grad[SQZ_REC_PEEP] + d * 3 * h, j->room + j->s->dpeep + i * 3 * h,
                   3 * h);
    }
}

sqz_status sqz_rec_grad(const sqz_grad_call *c)
{
    state *s = c->state;
    const sqz_rec *v = s->rec;
    job j = {.c = c, .s = s, .v = v, .room = c->scratch};
    if (sqz_grad_none(c))
        return SQZ_OK;
    for (unsigned k = 0; k < c->n_in; k++)
        sqz_grad_begin(c, k);
    if (v->batch == 0 || v->steps == 0)
        return SQZ_OK;
    for (unsigned i = 0; i < c->n_out; i++)
        s->y[i].data = j.room + s->y_at[i];
    const sqz_call run = {.ctx = c->ctx,
                          .attrs = c->attrs,
                          .n_in = c->n_in,
                          .n_out = c->n_out,
                          .in = c->in,
                          .out = s->out,
                          .in_q = none,
                          .out_q = none,
                          .state = s->rec,
                          .scratch = j.room + s->run_at};
    SQZ_TRY(sqz_rec_run(&run));
    j.gates = (const float *)run.scratch + v->gates;
    SQZ_TRY(sqz_parallel(c->ctx, v->dirs * v->batch, 1, back_piece, &j));
    SQZ_TRY(sqz_parallel(c->ctx, v->dirs * v->kind->gates * v->units, 4, weight_piece, &j));
    few(&j);
    return sqz_grad_wants(c, SQZ_REC_X)
               ? sqz_parallel(c->ctx, v->steps * v->batch, 4, input_piece, &j)
               : SQZ_OK;
}
