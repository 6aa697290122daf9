/* eval.h: runs a float graph node by node, without plan or executor, also before the layout pass:
 * convolutions by a naive loop over (N,C,H,W), other channel-last operators through permutations.
 */
#ifndef SQZ_TEST_EVAL_H
#define SQZ_TEST_EVAL_H
#include "ir/op.h"
#include "sqz_test.h"

static inline const void *eval_opt(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return sqz_opt_field(&n->op->info.opts[i], n->attrs);
    fail_msg("operator %s has no option %s", n->op->info.name, name);
    return NULL;
}

static inline int64_t eval_int(const sqz_node *n, const char *name, uint32_t i, int64_t def)
{
    const sqz_ints *l = eval_opt(n, name);
    return i < l->n ? l->v[i] : def;
}

/* y(N,O,H,W) = x(N,I,H,W) * w(O,I/g,Kh,Kw) + b(O), in double. */
static inline void eval_conv(const sqz_node *n, const sqz_tensor *const *in, sqz_tensor *y)
{
    const sqz_tensor *x = in[0], *w = in[1], *b = n->n_in > 2 ? in[2] : NULL;
    const int64_t *xd = x->shape.dim, *wd = w->shape.dim, *yd = y->shape.dim;
    int64_t group = strcmp(n->op->info.name, "dwconv2d") == 0
                        ? xd[1]
                        : *(const int64_t *)eval_opt(n, "group");
    int64_t sh = eval_int(n, "strides", 0, 1), sw = eval_int(n, "strides", 1, 1);
    int64_t dh = eval_int(n, "dilations", 0, 1), dw = eval_int(n, "dilations", 1, 1);
    int64_t pt = eval_int(n, "pads", 0, 0), pl = eval_int(n, "pads", 1, 0);
    size_t at = 0;
    for (int64_t s = 0; s < yd[0]; s++)
        for (int64_t o = 0; o < yd[1]; o++)
            for (int64_t i = 0; i < yd[2]; i++)
                for (int64_t j = 0; j < yd[3]; j++) {
                    double sum = b ? (double)SQZ_F32P(b)[o] : 0;
                    for (int64_t c = 0; c < wd[1]; c++)
                        for (int64_t p = 0; p < wd[2]; p++)
                            for (int64_t q = 0; q < wd[3]; q++) {
                                int64_t h = i * sh + p * dh - pt, v = j * sw + q * dw - pl;
                                int64_t ch = o / (yd[1] / group) * wd[1] + c;
                                if (h >= 0 && h < xd[2] && v >= 0 && v < xd[3])
                                    sum += (double)SQZ_F32P(
                                               x)[((s * xd[1] + ch) * xd[2] + h) * xd[3] + v] *
                                           (double)SQZ_F32P(
                                               w)[((o * wd[1] + c) * wd[2] + p) * wd[3] + q];
                            }
                    SQZ_F32P(y)[at++] = (float)sum;
                }
}

static inline void eval_perm(int32_t rank, bool to_last, int *perm)
{
    for (int32_t i = 0; i < rank; i++)
        perm[i] = to_last ? sqz_axis_to_file(i, rank) : sqz_axis_to_last(i, rank);
}

/* A channel-last operator on tensors of the file's layout. */
static inline void eval_channels(sqz_ctx *ctx, const sqz_node *n, const sqz_tensor *const *in,
                                 sqz_tensor *y)
{
    sqz_tensor turned[8] = {0}, out, back;
    const sqz_tensor *p[8] = {0};
    int perm[SQZ_MAX_RANK];
    for (unsigned i = 0; i < n->n_in; i++) {
        if (!in[i])
            continue;
        p[i] = in[i];
        if (in[i]->shape.rank < 3)
            continue;
        eval_perm(in[i]->shape.rank, true, perm);
        TEST_OK(ctx, sqz_tensor_permute(ctx, in[i], perm, &turned[i]));
        p[i] = &turned[i];
    }
    sqz_arena a = {.ctx = ctx};
    void *attrs;
    TEST_OK(ctx, sqz_attrs_renumber(ctx, &a, n->op, n->attrs, in[0]->shape.rank, true, &attrs));
    sqz_shape s = y->shape;
    eval_perm(s.rank, true, perm);
    for (int32_t i = 0; i < s.rank && s.rank >= 3; i++)
        s.dim[i] = y->shape.dim[perm[i]];
    TEST_OK(ctx, sqz_tensor_alloc(ctx, y->dtype, &s, &out));
    sqz_tensor *op = &out;
    TEST_OK(ctx, sqz_op_run_once(ctx, n->op, attrs, p, n->n_in, &op, 1, NULL, NULL));
    eval_perm(s.rank, false, perm);
    for (int32_t i = 0; s.rank < 3 && i < s.rank; i++)
        perm[i] = i;
    TEST_OK(ctx, sqz_tensor_permute(ctx, &out, perm, &back));
    if (y->bytes)
        memcpy(y->data, back.data, y->bytes);
    sqz_tensor_free(ctx, &back);
    sqz_tensor_free(ctx, &out);
    for (unsigned i = 0; i < 8; i++)
        sqz_tensor_free(ctx, &turned[i]);
    sqz_arena_free(&a);
}

static inline void eval_node(const sqz_graph *g, const sqz_node *n, sqz_tensor *t)
{
    const sqz_tensor *in[64] = {0};
    sqz_tensor *out[64];
    assert_true(n->n_in <= 64 && n->n_out <= 64);
    for (unsigned i = 0; i < n->n_in; i++)
        in[i] = n->in[i] == SQZ_NONE             ? NULL
                : sqz_val(g, n->in[i])->constant ? sqz_val(g, n->in[i])->constant
                                                 : &t[n->in[i]];
    for (unsigned i = 0; i < n->n_out; i++) {
        const sqz_value *v = sqz_val(g, n->out[i]);
        TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, v->dtype, &v->shape, &t[n->out[i]]));
        out[i] = &t[n->out[i]];
    }
    bool conv = strcmp(n->op->info.name, "conv2d") == 0 ||
                strcmp(n->op->info.name, "dwconv2d") == 0;
    if (g->have & SQZ_HAS_LAYOUT || n->op->layout != SQZ_L_CHANNELS)
        TEST_OK(g->ctx,
                sqz_op_run_once(g->ctx, n->op, n->attrs, in, n->n_in, out, n->n_out, NULL, NULL));
    else if (conv && in[0]->shape.rank == 4)
        eval_conv(n, in, out[0]);
    else
        eval_channels(g->ctx, n, in, out[0]);
}

/* Inputs filled in the file's layout with numbers of `seed`; outputs come back in order, to be
 * freed. The same seed gives the same numbers to a graph before and after its layout changes. */
static inline sqz_tensor *eval_graph(const sqz_graph *g, uint64_t seed)
{
    sqz_tensor *t = calloc(g->n_value + 1u, sizeof *t);
    sqz_tensor *out = calloc(g->n_output + 1u, sizeof *out);
    sqz_rng r = {.seed = seed};
    assert_true(t && out);
    for (uint32_t i = 0; i < g->n_input; i++) {
        const sqz_value *v = sqz_val(g, g->input[i]);
        int perm[SQZ_MAX_RANK];
        sqz_tensor file;
        sqz_shape s = v->shape;
        eval_perm(s.rank, false, perm);
        for (int32_t k = 0; v->channel_last && k < s.rank; k++)
            s.dim[k] = v->shape.dim[perm[k]];
        TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, v->dtype, &s, &file));
        for (size_t k = 0; k < file.count; k++)
            sqz_tensor_set_f64(&file, k, 2 * sqz_rng_uniform(&r) - 1);
        if (v->channel_last) {
            eval_perm(s.rank, true, perm);
            TEST_OK(g->ctx, sqz_tensor_permute(g->ctx, &file, perm, &t[g->input[i]]));
            sqz_tensor_free(g->ctx, &file);
        } else {
            t[g->input[i]] = file;
        }
    }
    SQZ_EACH_NODE(g, n) { eval_node(g, sqz_nod(g, n), t); }
    for (uint32_t i = 0; i < g->n_output; i++) {
        const sqz_value *v = sqz_val(g, g->output[i]);
        assert_false(v->channel_last); /* outputs are in the file's layout */
        sqz_tensor_share(v->constant ? v->constant : &t[g->output[i]], &out[i]);
    }
    for (sqz_vid v = 0; v < g->n_value; v++)
        sqz_tensor_free(g->ctx, &t[v]);
    free(t);
    return out;
}

static inline void eval_free(const sqz_graph *g, sqz_tensor *out)
{
    for (uint32_t i = 0; i < g->n_output; i++)
        sqz_tensor_free(g->ctx, &out[i]);
    free(out);
}

/* The same outputs: shapes equal, numbers within `tol` of the largest one of the output (float32
 * sums in another order differ by some units in the last place of their terms). */
static inline void eval_same(const sqz_graph *a, const sqz_graph *b, uint64_t seed, double tol)
{
    sqz_tensor *x = eval_graph(a, seed), *y = eval_graph(b, seed);
    assert_int_equal(a->n_output, b->n_output);
    for (uint32_t i = 0; i < a->n_output; i++) {
        assert_true(sqz_shape_eq(&x[i].shape, &y[i].shape));
        double most = 1e-3;
        for (size_t k = 0; k < x[i].count; k++)
            most = fmax(most, fabs(sqz_tensor_f64(&x[i], k)));
        for (size_t k = 0; k < x[i].count; k++) {
            double p = sqz_tensor_f64(&x[i], k), q = sqz_tensor_f64(&y[i], k);
            if (!(fabs(p - q) <= tol * most))
                fail_msg("output %u element %zu: %.9g and %.9g", i, k, p, q);
        }
    }
    eval_free(a, x);
    eval_free(b, y);
}
#endif
