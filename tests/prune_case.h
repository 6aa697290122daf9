/* prune_case.h: the oracle of pruning, for tests. A graph without some classes must compute, for
 * every value, what the whole graph computes when all indices of those classes are set to zero
 * after each node, cut to the indices that stay. Runs node by node, without the executor. */
#ifndef SQZ_PRUNE_CASE_H
#define SQZ_PRUNE_CASE_H
#include "prune/classes.h"
#include "sqz_test.h"

/* Zero where an index has left. */
static inline void prune_zero(const sqz_classes *c, const bool *gone, sqz_vid v, sqz_tensor *t)
{
    int64_t at[SQZ_MAX_RANK] = {0};
    for (size_t i = 0; i < t->count; i++) {
        bool out = false;
        for (int32_t a = 0; a < t->shape.rank; a++)
            out = out || gone[sqz_class_of(c, v, a, at[a])];
        if (out && sqz_dtype_is_float(t->dtype))
            sqz_tensor_set_f64(t, i, 0);
        else if (out)
            sqz_tensor_set_i64(t, i, 0);
        for (int32_t a = t->shape.rank - 1; a >= 0 && ++at[a] == t->shape.dim[a]; a--)
            at[a] = 0;
    }
}

/* t without the indices that have left. */
static inline sqz_tensor prune_slice(const sqz_classes *c, const bool *gone, sqz_vid v,
                                     const sqz_tensor *t)
{
    sqz_tensor y;
    sqz_shape s = t->shape;
    int64_t at[SQZ_MAX_RANK] = {0};
    size_t to = 0;
    for (int32_t a = 0; a < s.rank; a++) {
        s.dim[a] = 0;
        for (int64_t i = 0; i < t->shape.dim[a]; i++)
            s.dim[a] += !gone[sqz_class_of(c, v, a, i)];
    }
    TEST_OK(c->g->ctx, sqz_tensor_alloc(c->g->ctx, t->dtype, &s, &y));
    for (size_t i = 0; i < t->count; i++) {
        bool out = false;
        for (int32_t a = 0; a < s.rank; a++)
            out = out || gone[sqz_class_of(c, v, a, at[a])];
        if (!out && sqz_dtype_is_float(t->dtype))
            sqz_tensor_set_f64(&y, to++, sqz_tensor_f64(t, i));
        else if (!out)
            sqz_tensor_set_i64(&y, to++, sqz_tensor_i64(t, i));
        for (int32_t a = s.rank - 1; a >= 0 && ++at[a] == t->shape.dim[a]; a--)
            at[a] = 0;
    }
    return y;
}

/* All values of g; zeroed where `gone` (NULL: nowhere) says. in[i]: input i of g, already cut to
 * its shape. */
static inline sqz_tensor *prune_run(const sqz_graph *g, const sqz_tensor *in, const sqz_classes *c,
                                    const bool *gone)
{
    sqz_tensor *t = calloc(g->n_value + 1, sizeof *t);
    assert_non_null(t);
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (!sqz_value_dead(sqz_val(g, v)) && sqz_val(g, v)->constant)
            TEST_OK(g->ctx, sqz_tensor_cast(g->ctx, sqz_val(g, v)->constant,
                                            sqz_val(g, v)->constant->dtype, &t[v]));
    for (uint32_t i = 0; i < g->n_input; i++)
        TEST_OK(g->ctx, sqz_tensor_cast(g->ctx, &in[i], in[i].dtype, &t[g->input[i]]));
    for (sqz_vid v = 0; gone && v < g->n_value; v++)
        if (t[v].data)
            prune_zero(c, gone, v, &t[v]);
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        const sqz_tensor **x = calloc((size_t)n->n_in + 1, sizeof(void *));
        sqz_tensor **y = calloc((size_t)n->n_out + 1, sizeof(void *));
        for (unsigned i = 0; i < n->n_in; i++)
            x[i] = n->in[i] == SQZ_NONE ? NULL : &t[n->in[i]];
        for (unsigned i = 0; i < n->n_out; i++) {
            const sqz_value *v = sqz_val(g, n->out[i]);
            y[i] = &t[n->out[i]];
            TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, v->dtype, &v->shape, y[i]));
        }
        TEST_OK(g->ctx,
                sqz_op_run_once(g->ctx, n->op, n->attrs, x, n->n_in, y, n->n_out, NULL, NULL));
        for (unsigned i = 0; gone && i < n->n_out; i++)
            prune_zero(c, gone, n->out[i], y[i]);
        free(x);
        free(y);
    }
    return t;
}

static inline void prune_run_free(const sqz_graph *g, sqz_tensor *t)
{
    for (sqz_vid v = 0; v < g->n_value; v++)
        sqz_tensor_free(g->ctx, &t[v]);
    free(t);
}

/* A random part of each family, at least one class of it stays. Returns how many leave; *shifts:
 * one of them changes what stays. */
static inline uint32_t prune_draw(const sqz_classes *c, sqz_rng *r, double share, bool *gone,
                                  bool *shifts)
{
    uint32_t n = 0;
    *shifts = false;
    memset(gone, 0, c->n_class * sizeof *gone);
    for (uint32_t f = 0; f < c->n_family; f++) {
        const sqz_family *x = &c->family[f];
        const uint32_t stays = (uint32_t)sqz_rng_below(r, x->n);
        for (uint32_t i = 0; i < x->n; i++)
            if (i != stays && sqz_rng_uniform(r) < share) {
                gone[c->member[x->first + i]] = true;
                *shifts |= x->shifts;
                n++;
            }
    }
    return n;
}

/* How much of the claim of the header holds: all; shapes, and that both run; that it can be cut. */
enum { PRUNE_EXACT, PRUNE_SHAPES, PRUNE_CUT };
/* Checks it for one choice. Returns the largest error relative to the largest number of its value.
 */
static inline double prune_check(const sqz_classes *c, const bool *gone, const sqz_tensor *in,
                                 int claim)
{
    const sqz_graph *g = c->g;
    sqz_graph *h;
    double worst = 0;
    TEST_OK(g->ctx, sqz_prune_cut(c, gone, &h));
    if (claim == PRUNE_CUT) {
        sqz_graph_free(h);
        return 0;
    }
    sqz_tensor *cut = calloc(g->n_input + 1, sizeof *cut);
    for (uint32_t i = 0; i < g->n_input; i++)
        cut[i] = prune_slice(c, gone, g->input[i], &in[i]);
    sqz_tensor *want = prune_run(g, in, c, gone), *got = prune_run(h, cut, NULL, NULL);
    for (sqz_vid v = 0; v < g->n_value; v++) {
        double size = 0, error = 0;
        if (!want[v].data)
            continue;
        sqz_tensor w = prune_slice(c, gone, v, &want[v]);
        assert_true(sqz_shape_eq(&w.shape, &got[v].shape));
        assert_string_equal(sqz_val(g, v)->name, sqz_val(h, v)->name);
        for (size_t i = 0; claim == PRUNE_EXACT && i < w.count; i++) {
            const double a = sqz_tensor_f64(&w, i), b = sqz_tensor_f64(&got[v], i);
            if (a == b || (isnan(a) && isnan(b)))
                continue;
            size = fmax(size, fabs(a));
            error = fmax(error, isfinite(a - b) ? fabs(a - b) : 1e30);
        }
        sqz_tensor_free(g->ctx, &w);
        if (error > 1e-5 * fmax(size, 1))
            fail_msg("'%s' differs by %g of %g from the graph with zeros", sqz_val(g, v)->name,
                     error, size);
        worst = fmax(worst, error / fmax(size, 1));
    }
    for (uint32_t i = 0; i < g->n_input; i++)
        sqz_tensor_free(g->ctx, &cut[i]);
    free(cut);
    prune_run_free(g, want);
    prune_run_free(h, got);
    sqz_graph_free(h);
    return worst;
}
#endif
