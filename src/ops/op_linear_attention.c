/* linear_attention: a state S (Dk,Dv) for each sample and head of keys goes through the steps:
 *   S = exp(g) S;  u = v, or with the delta rule b (v - S^T k);  S = S + k u^T;  o = scale S^T q
 * where the decay g (one number or Dk of them) and the rate b belong to some update rules only
 * (Yang et al. 2024). Heads of queries that share keys share the state. Packed: query (N,T,Hq*Dk),
 * key (N,T,H*Dk), value (N,T,H*Dv), past (N,H,Dk,Dv), decay (N,T,H or H*Dk), beta (N,T,H or 1). */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/linear.h"
#include <string.h>

enum { QUERY, KEY, VALUE, PAST, DECAY, BETA };
enum { LINEAR, GATED, DELTA, GATED_DELTA };

typedef struct attrs {
    int64_t q_num_heads, kv_num_heads, chunk_size, rule;
    double scale;
} attrs;
static const sqz_attr schema[] = {
    {.name = "q_num_heads",
     .offset = offsetof(attrs, q_num_heads),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .flags = SQZ_AF_REQUIRED,
     .doc = "heads of queries"},
    {.name = "kv_num_heads",
     .offset = offsetof(attrs, kv_num_heads),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .flags = SQZ_AF_REQUIRED,
     .doc = "heads of keys and values"},
    {.name = "chunk_size",
     .offset = offsetof(attrs, chunk_size),
     .type = SQZ_A_INT,
     .def = 64,
     .doc = "a hint for other runtimes; has no effect"},
    {.name = "update_rule",
     .offset = offsetof(attrs, rule),
     .type = SQZ_A_ENUM,
     .names = "linear|gated|delta|gated_delta",
     .def = GATED_DELTA,
     .max = GATED_DELTA,
     .doc = "which of decay and rate there are"},
    {.name = "scale",
     .offset = offsetof(attrs, scale),
     .type = SQZ_A_FLOAT,
     .doc = "of the output; 0: 1 / sqrt(numbers in a key)"},
};

static bool is_gated(const attrs *at) { return at->rule == GATED || at->rule == GATED_DELTA; }
static bool is_delta(const attrs *at) { return at->rule == DELTA || at->rule == GATED_DELTA; }

/* ---- shapes ---- */

static const sqz_value *given(const sqz_infer *q, unsigned slot)
{
    return slot < q->n_in ? q->in[slot] : NULL;
}

/* Rows of input `slot`: one for each sample and step, of a or b numbers. */
static sqz_status rows(const sqz_infer *q, unsigned slot, const char *what, int64_t a, int64_t b)
{
    const sqz_shape *x = &q->in[QUERY]->shape, *s = &q->in[slot]->shape;
    if (s->rank == 3 && s->dim[0] == x->dim[0] && s->dim[1] == x->dim[1] &&
        (s->dim[2] == a || s->dim[2] == b))
        return SQZ_OK;
    char found[160];
    sqz_shape_print(found, s);
    return sqz_fail(q->ctx, SQZ_E_SHAPE, "the %s is %s, expected %lldx%lldx%lld", what, found,
                    (long long)x->dim[0], (long long)x->dim[1], (long long)a);
}

static sqz_status check_given(const sqz_infer *q)
{
    const attrs *at = q->attrs;
    for (unsigned i = 0; i < q->n_in; i++)
        if (q->in[i])
            SQZ_TRY(sqz_need_real(q, i));
    for (unsigned i = QUERY; i <= VALUE; i++)
        if (!given(q, i) || q->in[i]->shape.rank != 3)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "input %u must have three dimensions", i);
    if (is_gated(at) != (given(q, DECAY) != NULL) || is_delta(at) != (given(q, BETA) != NULL))
        return sqz_fail(q->ctx, SQZ_E_FORMAT, "this update rule has %s decay and %s beta",
                        is_gated(at) ? "a" : "no", is_delta(at) ? "a" : "no");
    if (at->q_num_heads % at->kv_num_heads != 0)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld heads of queries, %lld of keys: no multiple",
                        (long long)at->q_num_heads, (long long)at->kv_num_heads);
    return SQZ_OK;
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    SQZ_TRY(check_given(q));
    const int64_t h = at->kv_num_heads, *x = q->in[QUERY]->shape.dim;
    const int64_t dk = x[2] / at->q_num_heads, dv = q->in[VALUE]->shape.dim[2] / h;
    if (dk < 1 || dk * at->q_num_heads != x[2] || dv * h != q->in[VALUE]->shape.dim[2])
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "rows of %lld and %lld are no %lld and %lld heads",
                        (long long)x[2], (long long)q->in[VALUE]->shape.dim[2],
                        (long long)at->q_num_heads, (long long)h);
    SQZ_TRY(rows(q, KEY, "key", h * dk, h * dk));
    SQZ_TRY(rows(q, VALUE, "value", h * dv, h * dv));
    if (given(q, DECAY))
        SQZ_TRY(rows(q, DECAY, "decay", h, h * dk));
    if (given(q, BETA))
        SQZ_TRY(rows(q, BETA, "beta", h, 1));
    const sqz_shape state = {.rank = 4, .dim = {x[0], h, dk, dv}};
    if (given(q, PAST) && !sqz_shape_eq(&q->in[PAST]->shape, &state))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "the past state does not fit the heads");
    q->out[0] = q->in[QUERY]->shape;
    if (__builtin_mul_overflow(at->q_num_heads, dv, &q->out[0].dim[2]))
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "%lld heads of %lld", (long long)at->q_num_heads,
                        (long long)dv);
    if (q->n_out > 1) {
        q->out[1] = state;
        q->out_dtype[1] = given(q, PAST) ? q->in[PAST]->dtype : q->out_dtype[0];
    }
    return SQZ_OK;
}

/* The state is read by each head of queries, written once, and read once more by the delta rule. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    const attrs *at = q->attrs;
    const int64_t *x = q->in[QUERY]->shape.dim, *v = q->in[VALUE]->shape.dim;
    out->kind = SQZ_COST_FC;
    out->macs = (uint64_t)x[0] * (uint64_t)x[1] * (uint64_t)(x[2] / at->q_num_heads) *
                (uint64_t)(v[2] / at->kv_num_heads) *
                (uint64_t)(at->q_num_heads + (is_delta(at) ? 2 : 1) * at->kv_num_heads);
}

/* ---- running ---- */

typedef struct job {
    const sqz_call *c;
    const attrs *at;
    size_t steps, heads, share, dk, dv; /* share: heads of queries for one of keys */
    float scale;
} job;

/* Scratch: a state for every sample and head, and a row of values for each. */
static sqz_status prepare(sqz_prep *p)
{
    const attrs *at = p->attrs;
    size_t n = sqz_dim(p->in[QUERY], 0), dk = sqz_dim(p->in[QUERY], 2) / (size_t)at->q_num_heads;
    if (!sqz_mul(n, sqz_dim(p->in[VALUE], 2), &n) || !sqz_mul(n, dk + 1, &n) ||
        !sqz_mul(n, sizeof(float), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "a state of %zux%zu for each head: too large", dk,
                        sqz_dim(p->in[VALUE], 2));
    return SQZ_OK;
}

static void decay(const job *j, size_t row, size_t head, float *s)
{
    const sqz_tensor *t = j->c->in[DECAY];
    const size_t wide = sqz_dim(t, 2);
    const float *g = SQZ_F32P(t) + row * wide;
    const bool each = wide != j->heads; /* a number for each of the Dk */
    for (size_t i = 0; i < j->dk; i++) {
        float f = expf(each ? g[head * j->dk + i] : g[head]);
        for (size_t k = 0; k < j->dv; k++)
            s[i * j->dv + k] *= f;
    }
}

/* u = b (v - S^T k) */
static void correct(const job *j, size_t row, size_t head, const float *s, float *u)
{
    const sqz_tensor *t = j->c->in[BETA];
    const size_t wide = sqz_dim(t, 2);
    const float beta = SQZ_F32P(t)[row * wide + (wide == 1 ? 0 : head)];
    const float *key = SQZ_F32P(j->c->in[KEY]) + (row * j->heads + head) * j->dk;
    for (size_t i = 0; i < j->dk; i++)
        for (size_t k = 0; k < j->dv; k++)
            u[k] -= key[i] * s[i * j->dv + k];
    for (size_t k = 0; k < j->dv; k++)
        u[k] *= beta;
}

/* row: sample and step. */
static void step(const job *j, size_t row, size_t head, float *s, float *u)
{
    const float *key = SQZ_F32P(j->c->in[KEY]) + (row * j->heads + head) * j->dk;
    memcpy(u, SQZ_F32P(j->c->in[VALUE]) + (row * j->heads + head) * j->dv, j->dv * sizeof *u);
    if (is_gated(j->at))
        decay(j, row, head, s);
    if (is_delta(j->at))
        correct(j, row, head, s, u);
    for (size_t i = 0; i < j->dk; i++)
        for (size_t k = 0; k < j->dv; k++)
            s[i * j->dv + k] += key[i] * u[k];
    for (size_t g = 0; g < j->share; g++) {
        const size_t at = row * j->heads * j->share + head * j->share + g;
        const float *q = SQZ_F32P(j->c->in[QUERY]) + at * j->dk;
        float *y = SQZ_F32P(j->c->out[0]) + at * j->dv;
        memset(y, 0, j->dv * sizeof *y);
        for (size_t i = 0; i < j->dk; i++)
            for (size_t k = 0; k < j->dv; k++)
                y[k] += q[i] * s[i * j->dv + k];
        for (size_t k = 0; k < j->dv; k++)
            y[k] *= j->scale;
    }
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t size = j->dk * j->dv;
    const sqz_tensor *past = sqz_input(j->c, PAST);
    for (size_t i = begin; i < end; i++) {
        float *s = (float *)j->c->scratch + i * (size + j->dv), *u = s + size;
        if (past)
            memcpy(s, SQZ_F32P(past) + i * size, size * sizeof *s);
        else
            memset(s, 0, size * sizeof *s);
        for (size_t t = 0; t < j->steps; t++)
            step(j, i / j->heads * j->steps + t, i % j->heads, s, u);
        if (j->c->n_out > 1)
            memcpy(SQZ_F32P(j->c->out[1]) + i * size, s, size * sizeof *s);
    }
    return SQZ_OK;
}

static job job_of(const sqz_call *c)
{
    const attrs *at = c->attrs;
    job j = {.c = c,
             .at = at,
             .steps = sqz_dim(c->in[QUERY], 1),
             .heads = (size_t)at->kv_num_heads,
             .share = (size_t)(at->q_num_heads / at->kv_num_heads),
             .dk = sqz_dim(c->in[QUERY], 2) / (size_t)at->q_num_heads,
             .dv = sqz_dim(c->in[VALUE], 2) / (size_t)at->kv_num_heads};
    j.scale = at->scale != 0 ? (float)at->scale : (float)(1 / sqrt((double)j.dk));
    return j;
}

static sqz_status run(const sqz_call *c)
{
    job j = job_of(c);
    return j.dv ? sqz_parallel(c->ctx, sqz_dim(c->in[QUERY], 0) * j.heads, 1, chunk, &j) : SQZ_OK;
}

/* ---- gradient: the states of all steps once more, then back through them. With D the gradient of
 * the state: o gives dq = scale S do, D += scale q do^T; u gives du = D^T k, dk = D u; the delta
 * rule dv = b du, db = du . (v - S^T k), dk -= b S du, D -= k (b du)^T; the decay D *= exp(g) and
 * dg = sum of D S. ---- */

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    const attrs *at = p->attrs;
    size_t n = sqz_dim(p->in[QUERY], 0), dk = sqz_dim(p->in[QUERY], 2) / (size_t)at->q_num_heads;
    /* for each sample and column of values: dk of 2 states for each step and one more, and a row */
    if (!sqz_mul(n, sqz_dim(p->in[VALUE], 2), &n) ||
        !sqz_mul(n, (2 * sqz_dim(p->in[QUERY], 1) + 1) * dk + 2, &n) ||
        !sqz_mul(n, sizeof(float), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

typedef struct back { /* one sample and head */
    const job *j;
    const sqz_grad_call *g;
    size_t row, head;
    const float *before; /* the state after its decay, before the step adds to it */
    const float *after;
    float *d; /* gradient of the state */
    float *u, *du;
} back;

static float *wanted(const back *b, unsigned slot, size_t at)
{
    return sqz_grad_wants(b->g, slot) ? b->g->in_grad[slot] + at : NULL;
}

static void back_queries(const back *b)
{
    const job *j = b->j;
    for (size_t g = 0; g < j->share; g++) {
        const size_t at = b->row * j->heads * j->share + b->head * j->share + g;
        const float *q = SQZ_F32P(j->c->in[QUERY]) + at * j->dk;
        const float *o = b->g->out_grad[0] ? b->g->out_grad[0] + at * j->dv : NULL;
        float *dq = wanted(b, QUERY, at * j->dk);
        for (size_t i = 0; o && i < j->dk; i++)
            for (size_t k = 0; k < j->dv; k++) {
                b->d[i * j->dv + k] += j->scale * q[i] * o[k];
                if (dq)
                    dq[i] += j->scale * b->after[i * j->dv + k] * o[k];
            }
    }
}

/* du from D, and what the key gets by its product with u. */
static void back_update(const back *b, const float *key, float *dkey)
{
    const job *j = b->j;
    memset(b->du, 0, j->dv * sizeof *b->du);
    for (size_t i = 0; i < j->dk; i++)
        for (size_t k = 0; k < j->dv; k++) {
            b->du[k] += b->d[i * j->dv + k] * key[i];
            if (dkey)
                dkey[i] += b->d[i * j->dv + k] * b->u[k];
        }
}

static void back_delta(const back *b, const float *key, const float *value, float *dkey)
{
    const job *j = b->j;
    const sqz_tensor *t = j->c->in[BETA];
    const size_t wide = sqz_dim(t, 2), at = b->row * wide + (wide == 1 ? 0 : b->head);
    const float beta = SQZ_F32P(t)[at];
    float *dbeta = wanted(b, BETA, at), sum = 0;
    for (size_t k = 0; k < j->dv; k++) {
        float rest = value[k];
        for (size_t i = 0; i < j->dk; i++)
            rest -= key[i] * b->before[i * j->dv + k];
        sum += b->du[k] * rest;
        b->du[k] *= beta;
    }
    if (dbeta)
        *dbeta += sum;
    for (size_t i = 0; i < j->dk; i++)
        for (size_t k = 0; k < j->dv; k++) {
            if (dkey)
                dkey[i] -= b->before[i * j->dv + k] * b->du[k];
            b->d[i * j->dv + k] -= key[i] * b->du[k];
        }
}

static void back_decay(const back *b)
{
    const job *j = b->j;
    const sqz_tensor *t = j->c->in[DECAY];
    const size_t wide = sqz_dim(t, 2);
    const bool each = wide != j->heads;
    for (size_t i = 0; i < j->dk; i++) {
        const size_t at = b->row * wide + (each ? b->head * j->dk + i : b->head);
        const float f = expf(SQZ_F32P(t)[at]);
        float *dg = wanted(b, DECAY, at), sum = 0;
        for (size_t k = 0; k < j->dv; k++) {
            sum += b->d[i * j->dv + k] * b->before[i * j->dv + k];
            b->d[i * j->dv + k] *= f;
        }
        if (dg)
            *dg += sum;
    }
}

/* u of this step, as the run had it. */
static void update_of(const back *b, const float *value)
{
    const job *j = b->j;
    memcpy(b->u, value, j->dv * sizeof *b->u);
    if (is_delta(j->at))
        correct(j, b->row, b->head, b->before, b->u);
}

static void back_step(const back *b)
{
    const job *j = b->j;
    const size_t at = b->row * j->heads + b->head;
    const float *key = SQZ_F32P(j->c->in[KEY]) + at * j->dk;
    const float *value = SQZ_F32P(j->c->in[VALUE]) + at * j->dv;
    float *dkey = wanted(b, KEY, at * j->dk), *dvalue = wanted(b, VALUE, at * j->dv);
    update_of(b, value);
    back_queries(b);
    back_update(b, key, dkey);
    if (is_delta(j->at))
        back_delta(b, key, value, dkey);
    for (size_t k = 0; dvalue && k < j->dv; k++)
        dvalue[k] += b->du[k];
    if (is_gated(j->at))
        back_decay(b);
}

/* Head `head` of sample n: its states forward, then back. */
static void back_head(const job *j, const sqz_grad_call *g, size_t n, size_t head, float *room)
{
    const size_t size = j->dk * j->dv, i = n * j->heads + head;
    const sqz_tensor *past = sqz_input(j->c, PAST);
    float *d = room, *states = d + size, *u = states + 2 * j->steps * size;
    const float *last = past ? SQZ_F32P(past) + i * size : NULL;
    back b = {.j = j, .g = g, .head = head, .d = d, .u = u, .du = u + j->dv};
    for (size_t t = 0; t < j->steps; t++) {
        float *before = states + 2 * t * size, *after = before + size;
        b.row = n * j->steps + t;
        const size_t at = b.row * j->heads + head;
        const float *key = SQZ_F32P(j->c->in[KEY]) + at * j->dk;
        for (size_t k = 0; k < size; k++)
            before[k] = last ? last[k] : 0;
        if (is_gated(j->at))
            decay(j, b.row, head, before);
        b.before = before;
        update_of(&b, SQZ_F32P(j->c->in[VALUE]) + at * j->dv);
        for (size_t k = 0; k < size; k++)
            after[k] = before[k] + key[k / j->dv] * u[k % j->dv];
        last = after;
    }
    for (size_t k = 0; k < size; k++)
        d[k] = g->n_out > 1 && g->out_grad[1] ? g->out_grad[1][i * size + k] : 0;
    for (size_t t = j->steps; t-- > 0;) {
        b.row = n * j->steps + t;
        b.before = states + 2 * t * size;
        b.after = b.before + size;
        back_step(&b);
    }
    for (size_t k = 0; sqz_grad_wants(g, PAST) && k < size; k++)
        g->in_grad[PAST][i * size + k] += d[k];
}

typedef struct grad_job {
    job j;
    const sqz_grad_call *g;
} grad_job;

/* By samples: heads may share a rate. */
static sqz_status grad_samples(void *arg, size_t begin, size_t end)
{
    const grad_job *w = arg;
    const job *j = &w->j;
    const size_t each = (2 * j->steps + 1) * j->dk * j->dv + 2 * j->dv;
    for (size_t n = begin; n < end; n++)
        for (size_t head = 0; head < j->heads; head++)
            back_head(j, w->g, n, head, (float *)w->g->scratch + (n * j->heads + head) * each);
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const sqz_call call = {
        .ctx = c->ctx, .attrs = c->attrs, .n_in = c->n_in, .n_out = c->n_out, .in = c->in};
    grad_job w = {job_of(&call), c};
    if (sqz_grad_none(c))
        return SQZ_OK;
    for (unsigned k = 0; k < c->n_in; k++)
        sqz_grad_begin(c, k);
    return w.j.dv ? sqz_parallel(c->ctx, sqz_dim(c->in[QUERY], 0), 1, grad_samples, &w) : SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "q_num_heads=2 kv_num_heads=2",
     .n_in = 6,
     .in = {{3, {2, 4, 6}},
            {3, {2, 4, 6}},
            {3, {2, 4, 4}},
            {4, {2, 2, 3, 2}},
            {3, {2, 4, 2}},
            {3, {2, 4, 2}}}},
    {.attrs = "q_num_heads=4 kv_num_heads=2 update_rule=gated scale=0.5",
     .n_in = 5,
     .in = {{3, {2, 3, 12}}, {3, {2, 3, 6}}, {3, {2, 3, 4}}, {.rank = -1}, {3, {2, 3, 6}}}},
    {.attrs = "update_rule=linear",
     .n_in = 3,
     .in = {{3, {1, 3, 4}}, {3, {1, 3, 4}}, {3, {1, 3, 2}}}},
};

const sqz_op sqz_op_linear_attention = {
    .info = {.name = "linear_attention",
             .doc = "attention by a state that goes through the steps",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 3,
    .n_in_max = 6,
    .n_out_min = 1,
    .n_out_max = 2,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LinearAttention", .since = 27},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
