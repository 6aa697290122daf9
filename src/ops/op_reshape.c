/* reshape: the same elements under another shape. Entries of the target: 0 copies the dimension of
 * the input at that place (unless allowzero), one -1 takes what is left. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct attrs {
    sqz_ints shape;
    int64_t allowzero;
} attrs;
static const sqz_attr schema[] = {
    {.name = "shape",
     .offset = offsetof(attrs, shape),
     .type = SQZ_A_INTS,
     .min = -1,
     .max = 0x1p62,
     .slot = 1,
     .since = 5,
     .doc = "target; 0: as in the input, -1: the rest"},
    {.name = "allowzero",
     .offset = offsetof(attrs, allowzero),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "0 in the target means an empty dimension"},
};

static sqz_status mismatch(sqz_infer *q)
{
    char text[160];
    sqz_shape_print(text, &q->in[0]->shape);
    sqz_status s = sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of shape %s does not fit the target",
                            text);
    const sqz_ints *t = &((const attrs *)q->attrs)->shape;
    for (uint32_t i = t->n; i-- > 0;)
        s = sqz_note(q->ctx, s, "%lld", (long long)t->v[i]);
    return sqz_note(q->ctx, s, "reshape to");
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    sqz_shape *y = &q->out[0];
    int32_t rest = -1;
    size_t known = 1, n;
    if (at->shape.n > SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "reshape to %u dimensions, at most %d are supported",
                        (unsigned)at->shape.n, SQZ_MAX_RANK);
    y->rank = (int32_t)at->shape.n;
    for (int32_t i = 0; i < y->rank; i++) {
        int64_t d = at->shape.v[i];
        if (d == 0 && !at->allowzero && i >= x->rank)
            return mismatch(q);
        y->dim[i] = d == 0 && !at->allowzero ? x->dim[i] : d;
        if (d == -1 && rest >= 0)
            return mismatch(q);
        if (d == -1)
            rest = i;
        else if (y->dim[i] < 0 || !sqz_mul(known, (size_t)y->dim[i], &known))
            return mismatch(q);
    }
    SQZ_TRY(sqz_shape_count(q->ctx, x, q->in[0]->dtype, &n, NULL));
    if (rest >= 0 && known != 0 && n % known == 0)
        y->dim[rest] = (int64_t)(n / known);
    else if (rest >= 0 || known != n)
        return mismatch(q);
    return SQZ_OK;
}

/* A constant target often carries the batch of the export as its first entry. Where that equals the
 * first dimension of the data, the entry becomes 0, so that the batch stays free. With allowzero a
 * 0 would mean something else: the entry stays. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    int64_t *v;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    if (!at.allowzero && at.shape.n && x->rank && at.shape.v[0] == x->dim[0]) {
        const sqz_ints file = at.shape;
        SQZ_TRY(sqz_ints_new(&im->g->arena, file.n, &at.shape, &v));
        for (uint32_t i = 0; i < file.n; i++)
            v[i] = i ? file.v[i] : 0;
    }
    return sqz_import_node(im, op, &at, im->in, 1);
}

/* Entries that name a dimension name the new one; 0 and -1 go on to mean what they meant, where the
 * dimension that 0 copies has changed in the same way. */
static sqz_status recut(sqz_recut *c)
{
    attrs *at = c->attrs;
    const sqz_ints old = at->shape;
    int64_t *v;
    SQZ_TRY(sqz_ints_new(c->arena, old.n, &at->shape, &v));
    for (uint32_t i = 0; i < old.n; i++) {
        const sqz_tie_end to = SQZ_TIE_OUT(0, (int32_t)i), from = SQZ_TIE_IN(0, (int32_t)i);
        const int64_t n = c->kept(c, &to);
        v[i] = old.v[i];
        if (old.v[i] > 0 || (old.v[i] == 0 && !at->allowzero && c->kept(c, &from) != n))
            v[i] = n;
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "shape=0,-1", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "shape=3,2,5", .n_in = 1, .in = {{2, {6, 5}}}},
};

const sqz_op sqz_op_reshape = {
    .info = {.name = "reshape",
             .doc = "the same elements under another shape",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_VIEW | SQZ_T_MOVES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = sqz_view_run,
    .cost = sqz_view_cost,
    .grad = sqz_grad_copy,
    .ties = sqz_ties_view,
    .recut = recut,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Reshape", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
