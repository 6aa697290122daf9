/* pass_fold_bn.c: batch norms, and multiplications and additions with a constant per channel, go
 * into the convolution or matrix product before them. Nodes are visited in order, so that chains
 * such as conv, mul, add fold one by one. Dropout becomes the identity that it is here. */
#include "canon/affine.h"
#include "ir/pass.h"
#include <math.h>
#include <string.h>

static bool is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

static double option(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return *(const double *)sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return 0;
}

/* A float constant without a grid; NULL: none. */
static const sqz_tensor *constant(const sqz_graph *g, sqz_vid v)
{
    const sqz_value *val = v == SQZ_NONE ? NULL : sqz_val(g, v);
    return val && val->constant && val->dtype == SQZ_F32 && !val->quant ? val->constant : NULL;
}

/* Over the training data x has this mean and variance, so y has mean `bias` and deviation
 * |scale| sqrt(variance / (variance + epsilon)). t: x, scale, bias, mean, variance. Numbers that
 * are not finite say nothing. */
static sqz_status keep_statistics(const sqz_folder *f, const sqz_node *n,
                                  const sqz_tensor *const *t, double epsilon)
{
    const sqz_shape *s = &sqz_val(f->g, n->out[0])->shape;
    const size_t c = t[1]->count;
    if (!c || (size_t)s->dim[s->rank - 1] != c)
        return SQZ_OK;
    float *sd = sqz_arena_alloc(f->a, c, sizeof *sd);
    if (!sd)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < c; i++) {
        const double v = (double)SQZ_F32P(t[4])[i];
        sd[i] = (float)(fabs((double)SQZ_F32P(t[1])[i]) * sqrt(v / (v + epsilon)));
        if (!isfinite(sd[i]) || !isfinite(SQZ_F32P(t[2])[i]))
            return SQZ_OK;
    }
    return sqz_value_set_normal(f->g, n->out[0], (uint32_t)c, SQZ_F32P(t[2]), sd);
}

/* y = (x - mean) / sqrt(variance + epsilon) * scale + bias */
static sqz_status fold_batch_norm(sqz_folder *f, sqz_nid id, bool *done)
{
    const sqz_node *n = sqz_nod(f->g, id);
    const sqz_tensor *t[5] = {NULL};
    double epsilon = option(n, "epsilon");
    *done = false;
    for (unsigned i = 1; i < 5; i++) {
        t[i] = constant(f->g, n->in[i]);
        if (!t[i] || t[i]->count != t[1]->count)
            return SQZ_OK;
    }
    size_t c = t[1]->count;
    double *scale = sqz_arena_alloc(f->a, c, sizeof *scale);
    double *shift = sqz_arena_alloc(f->a, c, sizeof *shift);
    if (!scale || !shift)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < c; i++) {
        scale[i] = (double)SQZ_F32P(t[1])[i] / sqrt((double)SQZ_F32P(t[4])[i] + epsilon);
        shift[i] = (double)SQZ_F32P(t[2])[i] - (double)SQZ_F32P(t[3])[i] * scale[i];
    }
    SQZ_TRY(keep_statistics(f, n, t, epsilon));
    return sqz_fold_affine(f, id, n->in[0], &(sqz_affine){scale, shift, c}, done);
}

/* The constant as c numbers, one for each index of the last axis of x; NULL: it is not of that
 * form. */
static double *per_channel(sqz_arena *a, const sqz_tensor *t, const sqz_shape *x, size_t c)
{
    if (t->count != 1 && (t->count != c || t->shape.rank > x->rank || t->shape.rank < 1 ||
                          (size_t)t->shape.dim[t->shape.rank - 1] != c))
        return NULL;
    double *v = sqz_arena_alloc(a, c, sizeof *v);
    for (size_t i = 0; v && i < c; i++)
        v[i] = (double)SQZ_F32P(t)[t->count == 1 ? 0 : i];
    return v;
}

/* x * k, x + k, x - k, k - x, x / k */
static sqz_status fold_arithmetic(sqz_folder *f, sqz_nid id, bool *done)
{
    const sqz_node *n = sqz_nod(f->g, id);
    const sqz_tensor *k0 = constant(f->g, n->in[0]), *k = k0 ? k0 : constant(f->g, n->in[1]);
    sqz_vid x = n->in[k0 ? 1 : 0];
    const sqz_shape *s = &sqz_val(f->g, x)->shape;
    *done = false;
    if (!k || s->rank < 1 || s->dim[s->rank - 1] < 1 || (k0 && is_op(n, "div")))
        return SQZ_OK;
    size_t c = (size_t)s->dim[s->rank - 1];
    double *v = per_channel(f->a, k, s, c), *zero = sqz_arena_alloc(f->a, c, sizeof *zero);
    double *minus = sqz_arena_alloc(f->a, c, sizeof *minus);
    if (!v || !zero || !minus)
        return !v && zero && minus ? SQZ_OK : SQZ_E_NOMEM;
    for (size_t i = 0; i < c; i++) {
        minus[i] = -1;
        v[i] = is_op(n, "div") ? 1 / v[i] : is_op(n, "sub") && !k0 ? -v[i] : v[i];
    }
    sqz_affine by = {is_op(n, "sub") && k0 ? minus : NULL, v, c};
    if (is_op(n, "mul") || is_op(n, "div"))
        by = (sqz_affine){v, zero, c};
    return sqz_fold_affine(f, id, x, &by, done);
}

/* Nobody trains what this pass has been through. */
static void forget_dropout(sqz_node *n)
{
    n->op = sqz_op_find("identity");
    n->attrs = NULL;
}

static sqz_status fold(sqz_graph *g, sqz_arena *a)
{
    sqz_folder f;
    unsigned folded = 0;
    SQZ_TRY(sqz_folder_begin(g, a, &f));
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        bool done = false;
        if (is_op(n, "batch_norm"))
            SQZ_TRY(fold_batch_norm(&f, id, &done));
        else if (is_op(n, "mul") || is_op(n, "add") || is_op(n, "sub") || is_op(n, "div"))
            SQZ_TRY(fold_arithmetic(&f, id, &done));
        else if (is_op(n, "dropout"))
            forget_dropout(sqz_nod(g, id));
        folded += done;
    }
    if (folded)
        SQZ_INFO(g->ctx, "folded %u nodes into the weights before them", folded);
    return SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    (void)env;
    sqz_arena a = {.ctx = g->ctx};
    sqz_status s = fold(g, &a);
    sqz_arena_free(&a);
    return s;
}

const sqz_pass sqz_pass_fold_bn = {
    .info = {.name = "fold_bn",
             .doc = "folds batch norms and per-channel arithmetic into the weights before them"},
    .needs = SQZ_HAS_LAYOUT,
    .gives = SQZ_HAS_FOLDED,
    .exact = true,
    .run = run,
};
