/* scatter_grad.c: gradients of the scatters. Written over (none, min, max): what an element holds
 * in the end came from one place, the data or an update, and that gets its gradient. Added: all get
 * it. Multiplied: each gets it times the product of the others. */
#include "ops/grad.h"
#include "ops/indexing.h"

typedef struct factors { /* the product of what is not 0, and how many zeros there are */
    double product, zeros;
} factors;

static int64_t reduction_of(const void *attrs)
{
    return ((const sqz_scatter_attrs *)attrs)->reduction;
}

sqz_status sqz_scatter_grad_prepare(sqz_grad_prep *p)
{
    const int64_t r = reduction_of(p->attrs);
    const size_t each = r == SQZ_SCATTER_MUL   ? sizeof(factors)
                        : r == SQZ_SCATTER_ADD ? 0
                                               : sizeof(size_t);
    p->reads_in[0] = r == SQZ_SCATTER_MUL || r == SQZ_SCATTER_MIN || r == SQZ_SCATTER_MAX;
    p->reads_in[1] = true;
    if (!sqz_mul(p->in[0]->count, each, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

/* fn of every update, in order: it goes to element `at` of the data. */
typedef void (*visit_fn)(const sqz_grad_call *c, size_t update, size_t at);

static sqz_status each_element(const sqz_grad_call *c, visit_fn fn)
{
    const sqz_tensor *k = c->in[1];
    sqz_elements e;
    SQZ_TRY(sqz_elements_of(c->ctx, c->in[0], k, ((const sqz_scatter_attrs *)c->attrs)->axis, &e));
    for (size_t row = 0; row < e.rows; row++) {
        const size_t base = sqz_elements_base(&e, row);
        for (size_t j = 0; j < e.width; j++) {
            const size_t i = row * e.width + j;
            fn(c, i, base + j * e.step[e.rank - 1] + sqz_index(k, i, e.n) * e.stride);
        }
    }
    return SQZ_OK;
}

static sqz_status each_slice(const sqz_grad_call *c, visit_fn fn)
{
    sqz_tuples t;
    SQZ_TRY(sqz_tuples_of(c->ctx, c->in[0], c->in[1], 0, &t));
    for (size_t i = 0; i < t.n && t.slice; i++) {
        const size_t at = sqz_tuples_at(&t, c->in[1], i);
        for (size_t k = 0; k < t.slice; k++)
            fn(c, i * t.slice + k, at + k);
    }
    return SQZ_OK;
}

/* ---- one source for each element: 0 the data, i + 1 update i ---- */

static float held(const sqz_grad_call *c, size_t at)
{
    const size_t source = ((const size_t *)c->scratch)[at];
    return source ? SQZ_F32P(c->in[2])[source - 1] : SQZ_F32P(c->in[0])[at];
}

static void note_source(const sqz_grad_call *c, size_t update, size_t at)
{
    const int64_t r = reduction_of(c->attrs);
    const float b = SQZ_F32P(c->in[2])[update], a = r == SQZ_SCATTER_NONE ? 0 : held(c, at);
    if (r == SQZ_SCATTER_NONE || (r == SQZ_SCATTER_MIN && b < a) || (r == SQZ_SCATTER_MAX && b > a))
        ((size_t *)c->scratch)[at] = update + 1;
}

static void hand_back(const sqz_grad_call *c)
{
    const size_t *source = c->scratch;
    for (size_t at = 0; at < c->in[0]->count; at++) {
        const unsigned k = source[at] ? 2 : 0;
        if (sqz_grad_wants(c, k))
            c->in_grad[k][k ? source[at] - 1 : at] += c->out_grad[0][at];
    }
}

/* ---- sums and products ---- */

static void take_sum(const sqz_grad_call *c, size_t update, size_t at)
{
    c->in_grad[2][update] += c->out_grad[0][at];
}

static void note_factor(const sqz_grad_call *c, size_t at, float v)
{
    factors *f = (factors *)c->scratch + at;
    f->product *= v == 0 ? 1 : (double)v;
    f->zeros += v == 0;
}
static void note_update(const sqz_grad_call *c, size_t update, size_t at)
{
    note_factor(c, at, SQZ_F32P(c->in[2])[update]);
}

/* g times the product of all factors but v. */
static float others(const sqz_grad_call *c, size_t at, float v)
{
    const factors *f = (const factors *)c->scratch + at;
    if (f->zeros > (v == 0))
        return 0;
    return (float)((double)c->out_grad[0][at] * f->product / (v == 0 ? 1 : (double)v));
}
static void take_product(const sqz_grad_call *c, size_t update, size_t at)
{
    c->in_grad[2][update] += others(c, at, SQZ_F32P(c->in[2])[update]);
}

static sqz_status products(const sqz_grad_call *c,
                           sqz_status (*each)(const sqz_grad_call *, visit_fn))
{
    for (size_t at = 0; at < c->in[0]->count; at++) {
        ((factors *)c->scratch)[at] = (factors){1, 0};
        note_factor(c, at, SQZ_F32P(c->in[0])[at]);
    }
    SQZ_TRY(each(c, note_update));
    for (size_t at = 0; sqz_grad_wants(c, 0) && at < c->in[0]->count; at++)
        c->in_grad[0][at] += others(c, at, SQZ_F32P(c->in[0])[at]);
    return sqz_grad_wants(c, 2) ? each(c, take_product) : SQZ_OK;
}

static sqz_status run(const sqz_grad_call *c, sqz_status (*each)(const sqz_grad_call *, visit_fn))
{
    const int64_t r = reduction_of(c->attrs);
    if (sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    sqz_grad_begin(c, 2);
    if (r == SQZ_SCATTER_MUL)
        return products(c, each);
    if (r != SQZ_SCATTER_ADD) {
        if (c->in[0]->count)
            memset(c->scratch, 0, c->in[0]->count * sizeof(size_t));
        SQZ_TRY(each(c, note_source));
        hand_back(c);
        return SQZ_OK;
    }
    for (size_t at = 0; sqz_grad_wants(c, 0) && at < c->in[0]->count; at++)
        c->in_grad[0][at] += c->out_grad[0][at];
    return sqz_grad_wants(c, 2) ? each(c, take_sum) : SQZ_OK;
}

sqz_status sqz_scatter_elements_grad(const sqz_grad_call *c) { return run(c, each_element); }
sqz_status sqz_scatter_nd_grad(const sqz_grad_call *c) { return run(c, each_slice); }
