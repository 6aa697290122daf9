/* affine.c: (x . w + b) * scale + shift = x . (w * scale) + (b * scale + shift). */
#include "canon/affine.h"
#include <math.h>
#include <string.h>

static const struct linear { /* slots and, for the weights, the axis of the output channels */
    const char *op;
    unsigned weight, bias;
    int axis; /* negative: from the end */
} linear_row[] = {
    {"conv2d", 1, 2, 0},          /* (O,Kh,Kw,I/g) */
    {"dwconv2d", 1, 2, 0},        /* (O,Kh,Kw,1) */
    {"conv_transpose", 1, 2, -1}, /* (I,Kh,Kw,O/g) */
    {"gemm", 1, 2, 0},            /* (O,I) */
    {"matmul", 1, 2, -1},         /* (I,O) */
};

static const struct linear *find_linear(const sqz_op *op)
{
    for (size_t i = 0; i < SQZ_COUNT(linear_row); i++)
        if (strcmp(linear_row[i].op, op->info.name) == 0)
            return &linear_row[i];
    return NULL;
}

sqz_status sqz_folder_begin(sqz_graph *g, sqz_arena *a, sqz_folder *out)
{
    sqz_uses u;
    *out = (sqz_folder){.g = g, .a = a, .n_value = g->n_value};
    SQZ_TRY(sqz_uses_build(g, a, &u));
    out->uses = sqz_arena_alloc(a, (size_t)g->n_value + 1, sizeof *out->uses);
    if (!out->uses)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++)
        out->uses[v] = sqz_n_uses(&u, v);
    return SQZ_OK;
}

/* What this pass makes itself has one user. */
static bool used_once(const sqz_folder *f, sqz_vid v) { return v >= f->n_value || f->uses[v] == 1; }

static bool plain_constant(const sqz_value *v)
{
    return v->constant && v->dtype == SQZ_F32 && !v->quant;
}

/* ---- may it be folded ---- */

/* Scales per output channel fit the weights: one for each index of the channel axis, or, with
 * groups that share it (transposed convolutions), one for each group and index. */
static bool weights_fit(const struct linear *l, const sqz_value *w, size_t n)
{
    int32_t axis = l->axis < 0 ? w->shape.rank + l->axis : l->axis;
    if (w->shape.rank < 2 || !plain_constant(w))
        return false;
    size_t own = (size_t)w->shape.dim[axis];
    if (own == n)
        return true;
    return l->axis < 0 && axis > 0 && own && n % own == 0 &&
           (size_t)w->shape.dim[0] % (n / own) == 0;
}

static bool is_finite(const sqz_affine *k)
{
    for (size_t i = 0; i < k->n; i++)
        if ((k->scale && !isfinite(k->scale[i])) || !isfinite(k->shift[i]))
            return false;
    return true;
}

static bool shifts(const sqz_affine *k)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->shift[i] != 0)
            return true;
    return false;
}

static bool has_input(const sqz_node *p, unsigned slot)
{
    return slot && slot < p->n_in && p->in[slot] != SQZ_NONE;
}

static bool is_matmul(const struct linear *l) { return strcmp(l->op, "matmul") == 0; }

static bool can_fold(const sqz_folder *f, const sqz_node *p, const struct linear *l, sqz_vid y,
                     const sqz_affine *k)
{
    const sqz_value *x = sqz_val(f->g, p->out[0]), *w = sqz_val(f->g, p->in[l->weight]);
    const sqz_shape *s = &x->shape;
    if (!k->n || !is_finite(k) || !used_once(f, p->out[0]) || x->quant || x->dtype != SQZ_F32 ||
        !sqz_shape_eq(s, &sqz_val(f->g, y)->shape) || s->rank < 1 ||
        (size_t)s->dim[s->rank - 1] != k->n || !weights_fit(l, w, k->n))
        return false;
    if (is_matmul(l) && w->shape.rank != 2 && shifts(k))
        return false; /* one bias for many right sides */
    if (!has_input(p, l->bias))
        return true;
    const sqz_value *b = sqz_val(f->g, p->in[l->bias]);
    return plain_constant(b) && b->constant->count == k->n;
}

/* ---- numbers ---- */

/* Input `slot` of node `id` becomes `t`: in place when nobody else reads the constant, else as a
 * copy. Takes over t. */
static sqz_status put_constant(sqz_folder *f, sqz_nid id, unsigned slot, sqz_tensor *t)
{
    sqz_node *p = sqz_nod(f->g, id);
    sqz_vid v = p->in[slot];
    if (!used_once(f, v)) {
        bool last = sqz_val(f->g, v)->channel_last;
        SQZ_TRY(sqz_graph_constant(f->g, sqz_val(f->g, v)->name, t, &p->in[slot]));
        sqz_val(f->g, p->in[slot])->channel_last = last;
        f->uses[v]--;
        return SQZ_OK;
    }
    for (sqz_vid k = 0; k < f->g->n_value; k++) /* a copy in the other layout is one no more */
        if (sqz_val(f->g, k)->twin == v)
            sqz_val(f->g, k)->twin = SQZ_NONE;
    sqz_val(f->g, v)->twin = SQZ_NONE;
    return sqz_value_set_constant(f->g, v, t);
}

static sqz_status scale_weights(sqz_folder *f, sqz_nid id, const struct linear *l,
                                const sqz_affine *k)
{
    const sqz_tensor *w = sqz_val(f->g, sqz_nod(f->g, id)->in[l->weight])->constant;
    int32_t axis = l->axis < 0 ? w->shape.rank + l->axis : l->axis;
    size_t own = (size_t)w->shape.dim[axis], inner = 1;
    sqz_tensor t;
    for (int32_t i = axis + 1; i < w->shape.rank; i++)
        inner *= (size_t)w->shape.dim[i];
    if (used_once(f, sqz_nod(f->g, id)->in[l->weight]) && sqz_tensor_alone(w))
        sqz_tensor_share(w, &t); /* in place: no other graph, no other node */
    else
        SQZ_TRY(sqz_tensor_room(f->g->ctx, SQZ_F32, &w->shape, &t));
    /* groups lie one after another along axis 0; with one group this is `k->scale` by channel */
    const size_t per_group = t.count / (k->n / own);
    for (size_t i = 0; i < t.count; i += inner) {
        const double scale = k->scale[i / per_group * own + i / inner % own];
        const float *from = SQZ_F32P(w) + i;
        float *to = SQZ_F32P(&t) + i;
        for (size_t j = 0; j < inner; j++)
            to[j] = (float)((double)from[j] * scale);
    }
    return put_constant(f, id, l->weight, &t);
}

/* A bias of zeros where there is none. */
static sqz_status need_bias(sqz_folder *f, sqz_nid id, unsigned slot, size_t n)
{
    sqz_node *p = sqz_nod(f->g, id);
    const sqz_shape s = {1, {(int64_t)n}};
    sqz_tensor t;
    if (has_input(p, slot))
        return SQZ_OK;
    if (slot >= p->n_in) {
        sqz_vid *in = sqz_arena_alloc(&f->g->arena, slot + 1u, sizeof *in);
        if (!in)
            return SQZ_E_NOMEM;
        memcpy(in, p->in, p->n_in * sizeof *in);
        for (unsigned i = p->n_in; i <= slot; i++)
            in[i] = SQZ_NONE;
        p->in = in;
        p->n_in = (uint16_t)(slot + 1);
    }
    char *name = sqz_arena_printf(f->a, "%s_bias", p->name);
    if (!name)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_tensor_alloc(f->g->ctx, SQZ_F32, &s, &t));
    return sqz_graph_constant(f->g, name, &t, &p->in[slot]);
}

static sqz_status move_bias(sqz_folder *f, sqz_nid id, unsigned slot, const sqz_affine *k)
{
    SQZ_TRY(need_bias(f, id, slot, k->n));
    const sqz_tensor *b = sqz_val(f->g, sqz_nod(f->g, id)->in[slot])->constant;
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(f->g->ctx, SQZ_F32, &b->shape, &t));
    for (size_t i = 0; i < k->n; i++)
        SQZ_F32P(&t)
    [i] = (float)((double)SQZ_F32P(b)[i] * (k->scale ? k->scale[i] : 1) + k->shift[i]);
    return put_constant(f, id, slot, &t);
}

/* matmul (M,I).(I,O) with a bias is gemm with the transposed weights, which runtimes know better.
 */
static sqz_status become_gemm(sqz_folder *f, sqz_nid id)
{
    static const int swap[] = {1, 0};
    sqz_tensor t;
    SQZ_TRY(
        sqz_tensor_permute(f->g->ctx, sqz_val(f->g, sqz_nod(f->g, id)->in[1])->constant, swap, &t));
    SQZ_TRY(put_constant(f, id, 1, &t));
    sqz_nod(f->g, id)->op = sqz_op_find("gemm");
    return sqz_node_set_attrs(f->g, id, NULL);
}

/* ---- structure ---- */

/* The output of `id` becomes that of `p`: no user has to be told, and it keeps its name. */
static void take_output(sqz_folder *f, sqz_nid p, sqz_nid id, sqz_vid x)
{
    sqz_node *nd = sqz_nod(f->g, id);
    sqz_vid y = nd->out[0];
    for (unsigned i = 0; i < nd->n_in; i++)
        if (nd->in[i] != SQZ_NONE && nd->in[i] < f->n_value)
            f->uses[nd->in[i]]--;
    nd->n_out = 0; /* y outlives the node */
    sqz_graph_remove(f->g, id);
    sqz_nod(f->g, p)->out[0] = y;
    sqz_val(f->g, y)->producer = p;
    sqz_graph_remove_value(f->g, x);
}

/* What batch norms said of x holds for y, scaled and shifted. Not finite: nothing is said. */
static sqz_status move_normal(sqz_folder *f, sqz_vid x, sqz_vid y, const sqz_affine *k)
{
    const sqz_normal *from = sqz_val(f->g, x)->normal;
    if (!from || sqz_val(f->g, y)->normal) /* a batch norm knows its own output best */
        return SQZ_OK;
    float *mean = sqz_arena_alloc(f->a, from->n, sizeof *mean);
    float *sd = sqz_arena_alloc(f->a, from->n, sizeof *sd);
    if (!mean || !sd)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < from->n; i++) {
        const double scale = k->scale ? k->scale[i] : 1;
        mean[i] = (float)((double)from->mean[i] * scale + k->shift[i]);
        sd[i] = (float)((double)from->sd[i] * fabs(scale));
        if (!isfinite(mean[i]) || !isfinite(sd[i]))
            return SQZ_OK;
    }
    return sqz_value_set_normal(f->g, y, from->n, mean, sd);
}

sqz_status sqz_fold_affine(sqz_folder *f, sqz_nid id, sqz_vid x, const sqz_affine *k, bool *done)
{
    sqz_nid p = sqz_val(f->g, x)->producer;
    const struct linear *l = p == SQZ_NONE ? NULL : find_linear(sqz_nod(f->g, p)->op);
    *done = l && can_fold(f, sqz_nod(f->g, p), l, sqz_nod(f->g, id)->out[0], k);
    if (!*done)
        return SQZ_OK;
    if (k->scale)
        SQZ_TRY(scale_weights(f, p, l, k));
    if (is_matmul(l) && shifts(k) && sqz_val(f->g, sqz_nod(f->g, p)->in[0])->shape.rank == 2) {
        SQZ_TRY(become_gemm(f, p));
        l = find_linear(sqz_nod(f->g, p)->op);
    }
    if (shifts(k) || has_input(sqz_nod(f->g, p), l->bias))
        SQZ_TRY(move_bias(f, p, l->bias, k));
    SQZ_TRY(move_normal(f, x, sqz_nod(f->g, id)->out[0], k));
    take_output(f, p, id, x);
    return SQZ_OK;
}
