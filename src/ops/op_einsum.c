/* einsum: the sum over all indices that are not in the output of the product of the operands:
 * "ii->i", "abc,cd,de->abe". Directly from the definition, at a cost of every combination of
 * indices; the import hook writes what it can as matrix products, sums and transposes instead. */
#include "ops/einsum.h"
#include "ops/grad.h"

typedef struct attrs {
    const char *equation;
} attrs;
static const sqz_attr schema[] = {{.name = "equation",
                                   .offset = offsetof(attrs, equation),
                                   .type = SQZ_A_STRING,
                                   .flags = SQZ_AF_REQUIRED,
                                   .doc = "indices of the operands and of the result"}};

static sqz_status parse(sqz_ctx *ctx, const void *at, const sqz_shape *const *shape, unsigned n,
                        sqz_einsum *e)
{
    const char *text = ((const attrs *)at)->equation;
    if (!text)
        return sqz_fail(ctx, SQZ_E_FORMAT, "no equation");
    return sqz_einsum_parse(ctx, text, shape, n, e);
}

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *shape[SQZ_EINSUM_IN] = {NULL};
    sqz_einsum e = {0};
    for (unsigned i = 0; i < q->n_in && i < SQZ_EINSUM_IN; i++) {
        if (!q->in[i] || q->in[i]->dtype != q->in[0]->dtype || q->in[i]->dtype == SQZ_BOOL ||
            sqz_dtype_bits(q->in[i]->dtype) < 8)
            return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                            "operand %u is %s, expected numbers of one type", i,
                            q->in[i] ? sqz_dtype_name(q->in[i]->dtype) : "missing");
        shape[i] = &q->in[i]->shape;
    }
    SQZ_TRY(parse(q->ctx, q->attrs, shape, q->n_in, &e));
    q->out[0].rank = e.out_rank;
    for (int32_t i = 0; i < e.out_rank; i++)
        q->out[0].dim[i] = e.dim[e.out[i]];
    return SQZ_OK;
}

/* ---- running ---- */

typedef struct sweep { /* the indices that are summed, and the step of every index in the operands
                        */
    const sqz_call *c;
    sqz_einsum e;
    uint8_t sum[SQZ_EINSUM_LABELS];
    int n_sum;
    size_t combinations;
    size_t step[SQZ_EINSUM_IN][SQZ_EINSUM_LABELS];
} sweep;

static void steps_of(sweep *w, unsigned i)
{
    const sqz_shape *s = &w->c->in[i]->shape;
    size_t step = 1;
    for (int32_t d = s->rank - 1; d >= 0; d--) {
        if (s->dim[d] != 1) /* 1 goes with any length; a repeated index is a diagonal */
            w->step[i][w->e.label[i][d]] += step;
        step *= (size_t)s->dim[d];
    }
}

static bool in_output(const sqz_einsum *e, int label)
{
    for (int32_t i = 0; i < e->out_rank; i++)
        if (e->out[i] == label)
            return true;
    return false;
}

/* Places in the operands for one combination of the indices that are summed. */
static bool next(const sweep *w, int64_t *at, size_t *place)
{
    for (int k = w->n_sum - 1; k >= 0; k--) {
        const int label = w->sum[k];
        const bool carry = ++at[k] == w->e.dim[label];
        for (unsigned i = 0; i < w->e.n_in; i++)
            place[i] += carry ? 0 - w->step[i][label] * (size_t)(at[k] - 1) : w->step[i][label];
        if (!carry)
            return true;
        at[k] = 0;
    }
    return false;
}

static double product_real(const sweep *w, const size_t *place)
{
    double v = 1;
    for (unsigned i = 0; i < w->e.n_in; i++)
        v *= sqz_tensor_f64(w->c->in[i], place[i]);
    return v;
}

/* Integers wrap around: their low bits do not depend on the upper ones. */
static uint64_t product_whole(const sweep *w, const size_t *place)
{
    uint64_t v = 1;
    for (unsigned i = 0; i < w->e.n_in; i++)
        v *= w->c->in[i]->dtype == SQZ_U64 ? ((const uint64_t *)w->c->in[i]->data)[place[i]]
                                           : (uint64_t)sqz_tensor_i64(w->c->in[i], place[i]);
    return v;
}

static void put_low_bits(sqz_tensor *y, size_t i, uint64_t v)
{
    switch (sqz_dtype_bits(y->dtype)) {
    case 8: ((uint8_t *)y->data)[i] = (uint8_t)v; break;
    case 16: ((uint16_t *)y->data)[i] = (uint16_t)v; break;
    case 32: ((uint32_t *)y->data)[i] = (uint32_t)v; break;
    default: ((uint64_t *)y->data)[i] = v; break;
    }
}

/* Places for output element o, where the other indices begin. */
static void first_of(const sweep *w, size_t o, size_t *place)
{
    for (int32_t d = w->e.out_rank - 1; d >= 0; d--) {
        const int label = w->e.out[d];
        const size_t n = (size_t)w->e.dim[label];
        for (unsigned i = 0; i < w->e.n_in; i++)
            place[i] += o % n * w->step[i][label];
        o /= n;
    }
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sweep *w = arg;
    sqz_tensor *y = w->c->out[0];
    const bool real = sqz_dtype_is_float(y->dtype);
    for (size_t o = begin; o < end; o++) {
        int64_t at[SQZ_EINSUM_LABELS] = {0};
        size_t place[SQZ_EINSUM_IN] = {0};
        double sum = 0;
        uint64_t whole = 0;
        first_of(w, o, place);
        bool more = w->combinations > 0;
        for (; more; more = next(w, at, place)) {
            if (real)
                sum += product_real(w, place);
            else
                whole += product_whole(w, place);
        }
        if (real)
            sqz_tensor_set_f64(y, o, sum);
        else
            put_low_bits(y, o, whole);
    }
    return SQZ_OK;
}

static sqz_status make_sweep(sweep *w)
{
    const sqz_call *c = w->c;
    const sqz_shape *shape[SQZ_EINSUM_IN] = {NULL};
    for (unsigned i = 0; i < c->n_in; i++)
        shape[i] = &c->in[i]->shape;
    SQZ_TRY(parse(c->ctx, c->attrs, shape, c->n_in, &w->e));
    for (unsigned i = 0; i < c->n_in; i++)
        steps_of(w, i);
    for (int label = 0; label < SQZ_EINSUM_LABELS; label++)
        if (w->e.dim[label] >= 0 && !in_output(&w->e, label)) {
            w->sum[w->n_sum++] = (uint8_t)label;
            if (!sqz_mul(w->combinations, (size_t)w->e.dim[label], &w->combinations))
                return sqz_fail(c->ctx, SQZ_E_LIMIT, "too many combinations of indices");
        }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    sweep w = {.c = c, .combinations = 1};
    SQZ_TRY(make_sweep(&w));
    const size_t work = SQZ_MIN(SQZ_MAX(w.combinations, (size_t)1), (size_t)8192);
    return sqz_parallel(c->ctx, c->out[0]->count, 8192 / work, piece, &w);
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_shape *shape[SQZ_EINSUM_IN] = {NULL};
    sqz_einsum e = {0};
    *out = (sqz_cost){.kind = SQZ_COST_FC, .macs = 1};
    for (unsigned i = 0; i < q->n_in && i < SQZ_EINSUM_IN; i++)
        shape[i] = &q->in[i]->shape;
    if (parse(q->ctx, q->attrs, shape, q->n_in, &e) != SQZ_OK)
        return;
    for (int label = 0; label < SQZ_EINSUM_LABELS; label++)
        if (e.dim[label] >= 0 &&
            __builtin_mul_overflow(out->macs, (uint64_t)e.dim[label], &out->macs))
            out->macs = UINT64_MAX;
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    bool done;
    attrs at;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    SQZ_TRY(sqz_einsum_lower(im, at.equation, &done));
    return done ? SQZ_OK : sqz_import_node(im, op, &at, im->in, im->n_in);
}

/* Every combination of all indices: its product without one operand is what that one gets. In
 * order, as elements meet. */
static void hand_back(const sqz_grad_call *c, const sweep *w, size_t o, const size_t *place)
{
    for (unsigned i = 0; i < w->e.n_in; i++) {
        double v = (double)c->out_grad[0][o];
        if (!sqz_grad_wants(c, i))
            continue;
        for (unsigned k = 0; k < w->e.n_in; k++)
            v *= k == i ? 1 : (double)SQZ_F32P(c->in[k])[place[k]];
        c->in_grad[i][place[i]] += (float)v;
    }
}

static sqz_status grad(const sqz_grad_call *c)
{
    const sqz_call call = {.ctx = c->ctx, .attrs = c->attrs, .n_in = c->n_in, .in = c->in};
    sweep w = {.c = &call, .combinations = 1};
    if (sqz_grad_none(c))
        return SQZ_OK;
    SQZ_TRY(make_sweep(&w));
    for (unsigned i = 0; i < c->n_in; i++)
        sqz_grad_begin(c, i);
    for (size_t o = 0; o < c->out[0]->count; o++) {
        int64_t at[SQZ_EINSUM_LABELS] = {0};
        size_t place[SQZ_EINSUM_IN] = {0};
        first_of(&w, o, place);
        for (bool more = w.combinations > 0; more; more = next(&w, at, place))
            hand_back(c, &w, o, place);
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "equation=bii->bi", .n_in = 1, .in = {{3, {2, 3, 3}}}},
    {.attrs = "equation=ab,bc,cd->da", .n_in = 3, .in = {{2, {2, 3}}, {2, {3, 4}}, {2, {4, 2}}}},
    {.attrs = "equation=...ij,...jk->...ik", .n_in = 2, .in = {{4, {2, 1, 2, 3}}, {3, {4, 3, 2}}}},
    {.attrs = "equation=ij,j",
     .n_in = 2,
     .in = {{2, {2, 3}}, {1, {3}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S32, SQZ_S32}},
};

const sqz_op sqz_op_einsum = {
    .info = {.name = "einsum",
             .doc = "sums of products over named indices",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = SQZ_EINSUM_IN,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_TYPES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = cost,
    .grad = grad,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Einsum", .since = 12, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
