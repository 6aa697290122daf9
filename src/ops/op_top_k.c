/* top_k: the k largest (or smallest) elements along an axis, in order, and where they were. Equal
 * ones come in the order of their indices; NaN is larger than every number. */
#include "ops/grad.h"
#include "ops/indexing.h"
#include "ops/linear.h"
#include <string.h>

typedef struct attrs {
    int64_t k, axis, largest, sorted;
} attrs;
static const sqz_attr schema[] = {
    {.name = "k",
     .offset = offsetof(attrs, k),
     .type = SQZ_A_INT,
     .max = 0x1p53,
     .flags = SQZ_AF_REQUIRED,
     .slot = 1,
     .since = 10,
     .doc = "how many"},
    {.name = "axis",
     .offset = offsetof(attrs, axis),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS,
     .doc = "axis along which elements are compared"},
    {.name = "largest",
     .offset = offsetof(attrs, largest),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "the largest ones; else the smallest"},
    {.name = "sorted",
     .offset = offsetof(attrs, sorted),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "the order matters; they are in order either way"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    int32_t axis;
    SQZ_TRY(sqz_axis(q->ctx, at->axis, q->in[0]->shape.rank, &axis));
    if (at->k > q->in[0]->shape.dim[axis])
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "the top %lld of %lld elements", (long long)at->k,
                        (long long)q->in[0]->shape.dim[axis]);
    for (unsigned i = 0; i < q->n_out; i++) {
        q->out[i] = q->in[0]->shape;
        q->out[i].dim[axis] = at->k;
    }
    q->out_dtype[0] = q->in[0]->dtype;
    if (q->n_out > 1)
        q->out_dtype[1] = SQZ_S64;
    return SQZ_OK;
}

typedef struct entry {
    uint64_t key; /* small is wanted */
    uint64_t at;
} entry;

static bool before(entry a, entry b) { return a.key < b.key || (a.key == b.key && a.at < b.at); }

/* Heap of n entries with the last one in order on top: moves entry i down to its place. */
static void sink(entry *h, size_t n, size_t i)
{
    const entry e = h[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && before(h[child], h[child + 1]);
        if (!before(e, h[child]))
            break;
        h[i] = h[child];
    }
    h[i] = e;
}

typedef struct job {
    const sqz_call *c;
    sqz_split3 s;
    size_t k, each; /* bytes of scratch for a thread */
    uint64_t flip;  /* all ones: the largest */
} job;

/* The first k of n entries in order, in h. */
static void select_first(const job *j, size_t base, entry *h)
{
    const sqz_tensor *x = j->c->in[0];
    for (size_t i = 0; i < j->s.n; i++) {
        const entry e = {sqz_order_key(x, base + i * j->s.inner) ^ j->flip, i};
        if (i < j->k) {
            h[i] = e;
            for (size_t p = i + 1 == j->k ? j->k / 2 : 0; p-- > 0;)
                sink(h, j->k, p);
        } else if (before(e, h[0])) {
            h[0] = e;
            sink(h, j->k, 0);
        }
    }
    for (size_t n = j->k; n-- > 1;) {
        const entry last = h[0];
        h[0] = h[n];
        h[n] = last;
        sink(h, n, 0);
    }
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_call *c = j->c;
    const size_t elem = sqz_elem(c->in[0]);
    entry *h = (entry *)(void *)((char *)c->scratch + (size_t)sqz_worker_index() * j->each);
    const unsigned char *x = c->in[0]->data;
    unsigned char *y = c->out[0]->data;
    for (size_t row = begin; row < end; row++) {
        const size_t outer = row / j->s.inner, inner = row % j->s.inner;
        const size_t base = outer * j->s.n * j->s.inner + inner;
        select_first(j, base, h);
        for (size_t i = 0; i < j->k; i++) {
            const size_t to = (outer * j->k + i) * j->s.inner + inner;
            memcpy(y + to * elem, x + (base + h[i].at * j->s.inner) * elem, elem);
            if (c->n_out > 1 && c->out[1])
                SQZ_S64P(c->out[1])[to] = (int64_t)h[i].at;
        }
    }
    return SQZ_OK;
}

static size_t bytes_each(int64_t k) { return sqz_scratch_round((size_t)k * sizeof(entry)); }

static sqz_status prepare(sqz_prep *p)
{
    SQZ_TRY(sqz_scratch_all(p, bytes_each(((const attrs *)p->attrs)->k)));
    return sqz_move_prepare(p);
}

static sqz_status select_all(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    int32_t axis;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, c->in[0]->shape.rank, &axis));
    job j = {.c = c,
             .s = sqz_split_at(&c->in[0]->shape, axis),
             .k = (size_t)at->k,
             .each = bytes_each(at->k),
             .flip = at->largest ? UINT64_MAX : 0};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, j.s.outer * j.s.inner, 8192 / SQZ_MIN(j.s.n, (size_t)8192), piece,
                        &j);
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, select_all, c->attrs); }

/* About one comparison for each element, and those of the heap. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_shape *x = &q->in[0]->shape;
    *out = (sqz_cost){.kind = SQZ_COST_MOVE, .ops = 1};
    for (int32_t i = 0; i < x->rank; i++)
        out->ops *= (uint64_t)x->dim[i];
}

/* Output 1 says where each element was. */
static sqz_status grad(const sqz_grad_call *c)
{
    const int64_t *place = SQZ_S64P(c->out[1]);
    int32_t axis;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    SQZ_TRY(sqz_axis(c->ctx, ((const attrs *)c->attrs)->axis, c->in[0]->shape.rank, &axis));
    const sqz_split3 s = sqz_split_at(&c->in[0]->shape, axis);
    const size_t k = (size_t)((const attrs *)c->attrs)->k;
    sqz_grad_begin(c, 0);
    for (size_t i = 0; i < c->out[0]->count; i++) {
        const size_t outer = i / s.inner / k;
        c->in_grad[0][(outer * s.n + (size_t)place[i]) * s.inner + i % s.inner] +=
            c->out_grad[0][i];
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "k=3", .n_in = 1, .in = {{2, {4, 9}}}},
    {.attrs = "k=2 axis=1 largest=0", .n_in = 1, .in = {{3, {2, 5, 4}}}},
    {.attrs = "k=4 axis=0 sorted=0",
     .n_in = 1,
     .in = {{1, {4}}},
     .lo = -2,
     .hi = 2,
     .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_top_k = {
    .info = {.name = "top_k",
             .doc = "the largest or smallest elements along an axis, and where they are",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 2,
    .n_out_max = 2,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .prepare = prepare,
    .cost = cost,
    .grad = grad,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "TopK", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
