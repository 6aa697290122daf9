/* linear_attention: a state S (Dk,Dv) for each sample and head of keys goes through the steps:
 *   S = exp(g) S;  u = v, or with the delta rule b (v - S^T k);  S = S + k u^T;  o = scale S^T q
 * where the decay g (one number or Dk of them) and the rate b belong to some update rules only
 * (Yang et al. 2024). Heads of queries that share keys share the state. Packed: query (N,T,Hq*Dk),
 * key (N,T,H*Dk), value (N,T,H*Dv), past (N,H,Dk,Dv), decay (N,T,H or H*Dk), beta (N,T,H or 1). */
#include "ops/ew.h"
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

static sqz_status run(const sqz_call *c)
{
    const attrs *at = c->attrs;
    const size_t n = sqz_dim(c->in[QUERY], 0);
    job j = {.c = c,
             .at = at,
             .steps = sqz_dim(c->in[QUERY], 1),
             .heads = (size_t)at->kv_num_heads,
             .share = (size_t)(at->q_num_heads / at->kv_num_heads),
             .dk = sqz_dim(c->in[QUERY], 2) / (size_t)at->q_num_heads,
             .dv = sqz_dim(c->in[VALUE], 2) / (size_t)at->kv_num_heads};
    j.scale = at->scale != 0 ? (float)at->scale : (float)(1 / sqrt((double)j.dk));
    return j.dv ? sqz_parallel(c->ctx, n * j.heads, 1, chunk, &j) : SQZ_OK;
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
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LinearAttention", .since = 27},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
