/* keras_join.c: weights of a Keras file into an ONNX graph of the same model, matched by the names
 * that tf2onnx gives (layer names are parts of the names of nodes and initializers) and by shape.
 * Every weight must find one place, and every weighted node must get its weights. */
#include "io/keras.h"
#include <string.h>

typedef struct place { /* a constant operand of a node */
    sqz_nid node;
    unsigned slot;
    sqz_vid v;
    bool filled;
} place;

typedef struct join {
    sqz_keras k;
    sqz_arena arena;
    place *at;
    uint32_t n_at;
} join;

/* ---- places ---- */

static const struct row { /* operators with weights, and what stands at slots 0 to 4 */
    const char *op;
    const char *names[5]; /* of Keras' weights, "a|b" */
} rows[] = {
    {"conv2d", {NULL, "kernel|pointwise_kernel|W", "bias|b"}},
    {"dwconv2d", {NULL, "depthwise_kernel", "bias|b"}},
    {"conv_transpose", {NULL, "kernel|W", "bias|b"}},
    {"gemm", {NULL, "kernel|W", "bias|b"}},
    {"matmul", {NULL, "kernel|W"}},
    {"add", {"bias|b", "bias|b"}},
    {"batch_norm",
     {NULL, "gamma", "beta", "moving_mean|running_mean", "moving_variance|running_std"}},
    {"gather", {"embeddings|W"}},
    {"prelu", {NULL, "alpha|alphas"}},
};

static const struct row *row_of(const sqz_node *n)
{
    for (size_t i = 0; i < SQZ_COUNT(rows); i++)
        if (strcmp(rows[i].op, n->op->info.name) == 0)
            return &rows[i];
    return NULL;
}

static sqz_status find_places(join *j)
{
    const sqz_graph *g = j->k.g;
    j->at = sqz_arena_alloc(&j->arena, 5 * (size_t)g->n_node + 1, sizeof *j->at);
    if (!j->at)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        const struct row *r = row_of(n);
        for (unsigned i = 0; r && i < 5 && i < n->n_in; i++) {
            const sqz_value *v = n->in[i] == SQZ_NONE ? NULL : sqz_val(g, n->in[i]);
            if (r->names[i] && v && v->constant && v->dtype == SQZ_F32 && !v->quant)
                j->at[j->n_at++] = (place){id, i, n->in[i], false};
        }
    }
    return SQZ_OK;
}

/* ---- names ---- */

static bool border(char c) { return c == 0 || c == '/' || c == ';' || c == ':'; }

/* 2: something in the layer's scope, "model/layer/Conv2D"; 1: the layer itself, at the end of the
 * name; 0: not it. */
static int in_scope(const char *name, const char *layer)
{
    size_t n = strlen(layer);
    int best = 0;
    for (const char *at = n ? strstr(name, layer) : NULL; at; at = strstr(at + 1, layer))
        if ((at == name || border(at[-1])) && border(at[n]))
            best = SQZ_MAX(best, at[n] == '/' ? 2 : 1);
    return best;
}

/* "a/b/kernel:0" is "a/b" and "kernel"; Keras 1's "b_W:0" is "b" and "W". */
static sqz_status split(join *j, const char *weight, const char **scope, const char **base)
{
    const char *last = strrchr(weight, '/');
    const char *cut = last ? last : strrchr(weight, '_');
    if (!cut)
        cut = weight;
    *scope = sqz_arena_strndup(&j->arena, weight, (size_t)(cut - weight));
    const char *own = cut + (cut != weight || last);
    *base = sqz_arena_strndup(&j->arena, own, strcspn(own, ":"));
    return *scope && *base ? SQZ_OK : SQZ_E_NOMEM;
}

/* ---- numbers ---- */

static bool same_but_ones(const sqz_shape *a, const sqz_shape *b)
{
    int32_t i = 0, k = 0;
    for (;; i++, k++) {
        while (i < a->rank && a->dim[i] == 1)
            i++;
        while (k < b->rank && b->dim[k] == 1)
            k++;
        if (i >= a->rank || k >= b->rank)
            return i >= a->rank && k >= b->rank;
        if (a->dim[i] != b->dim[k])
            return false;
    }
}

/* Order of Keras' axes in the operator's weights; false: as they are. */
static bool order_of(const sqz_node *n, unsigned slot, int32_t rank, int *perm)
{
    const char *op = n->op->info.name;
    bool keep = slot != 1 || rank < 2 || strcmp(op, "matmul") == 0 || strcmp(op, "prelu") == 0;
    if (keep || rank > SQZ_MAX_RANK)
        return false;
    bool depthwise = strcmp(op, "dwconv2d") == 0; /* (k..., C, M) to (C, M, k...) */
    perm[0] = depthwise ? rank - 2 : rank - 1;
    perm[1] = depthwise ? rank - 1 : rank - 2;
    for (int32_t i = 2; i < rank; i++)
        perm[i] = i - 2;
    return true;
}

/* The shape that the weight has in the operator's order; depthwise channels are one axis there. */
static sqz_shape shape_in(const sqz_node *n, unsigned slot, const sqz_shape *s)
{
    int perm[SQZ_MAX_RANK];
    sqz_shape out = *s;
    if (!order_of(n, slot, s->rank, perm))
        return out;
    for (int32_t i = 0; i < s->rank; i++)
        out.dim[i] = s->dim[perm[i]];
    if (strcmp(n->op->info.name, "dwconv2d") == 0 && s->rank > 2) {
        out.dim[0] *= out.dim[1];
        out.dim[1] = 1;
    }
    return out;
}

static sqz_status put(join *j, const place *p, sqz_tensor *t)
{
    sqz_graph *g = j->k.g;
    const sqz_node *n = sqz_nod(g, p->node);
    int perm[SQZ_MAX_RANK];
    sqz_tensor turned;
    if (order_of(n, p->slot, t->shape.rank, perm)) {
        sqz_status s = sqz_tensor_permute(g->ctx, t, perm, &turned);
        sqz_tensor_free(g->ctx, t);
        SQZ_TRY(s);
        *t = turned;
    }
    t->shape = sqz_val(g, p->v)->shape; /* the same but for axes of length 1 */
    return sqz_value_set_constant(g, p->v, t);
}

/* ---- one weight ---- */

/* How a place belongs to a layer: by the names of its node, of its result, and of the constants
 * that the node has. */
static int belongs(const join *j, const place *p, const char *scope)
{
    const sqz_graph *g = j->k.g;
    const sqz_node *n = sqz_nod(g, p->node);
    int how = SQZ_MAX(in_scope(n->name, scope), in_scope(sqz_val(g, n->out[0])->name, scope));
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE && sqz_val(g, n->in[i])->constant)
            how = SQZ_MAX(how, in_scope(sqz_val(g, n->in[i])->name, scope));
    return how;
}

static void candidates(const join *j, const char *scope, const char *base, const sqz_tensor *t,
                       int least, uint32_t *n, uint32_t *which)
{
    const sqz_graph *g = j->k.g;
    *n = 0;
    for (uint32_t i = 0; i < j->n_at; i++) {
        const place *p = &j->at[i];
        const sqz_node *nd = sqz_nod(g, p->node);
        const sqz_value *v = sqz_val(g, p->v);
        sqz_shape want = shape_in(nd, p->slot, &t->shape);
        if (belongs(j, p, scope) < least || !sqz_kc_is(row_of(nd)->names[p->slot], base) ||
            !same_but_ones(&want, &v->shape) || (*n && j->at[*which].v == p->v))
            continue;
        *which = i;
        ++*n;
    }
}

static sqz_status join_weight(join *j, const sqz_kweight *w)
{
    const char *scope, *base;
    uint32_t n = 0, which = 0;
    sqz_tensor t;
    SQZ_TRY(split(j, w->name, &scope, &base));
    SQZ_TRY(sqz_h5_read_f32(j->k.ctx, j->k.weights, w->path, j->k.file_bytes, &t));
    for (int least = 2; least > 0 && n == 0; least--)
        candidates(j, scope, base, &t, least, &n, &which);
    if (n == 1 && !j->at[which].filled) {
        for (uint32_t i = 0; i < j->n_at; i++)
            j->at[i].filled = j->at[i].filled || j->at[i].v == j->at[which].v;
        return put(j, &j->at[which], &t);
    }
    char shape[160];
    sqz_shape_print(shape, &t.shape);
    sqz_refuse(&j->k.no, SQZ_E_SHAPE, "weight '%.100s' (%s): %s", w->name, shape,
               n == 0 ? "the graph has no initializer for it; a graph whose batch norms are folded "
                        "has none for theirs"
               : n == 1 ? "its initializer has got other weights already"
                        : "several initializers of the graph could be it");
    sqz_tensor_free(j->k.ctx, &t);
    return SQZ_OK;
}

/* Matrices and kernels that kept the numbers they had. */
static void check_filled(join *j)
{
    for (uint32_t i = 0; i < j->n_at; i++) {
        const place *p = &j->at[i];
        const sqz_node *n = sqz_nod(j->k.g, p->node);
        if (!p->filled && p->slot == 1 && n->op->quant.kind == SQZ_Q_LINEAR)
            sqz_refuse(&j->k.no, SQZ_E_SHAPE,
                       "node '%.100s' (%s): the file has no weights for '%.100s'", n->name,
                       n->op->info.name, sqz_val(j->k.g, p->v)->name);
    }
}

static sqz_status join_file(join *j, hid_t f)
{
    SQZ_TRY(sqz_keras_open_weights(&j->k, f));
    if (j->k.theano)
        return sqz_fail(j->k.ctx, SQZ_E_UNSUPPORTED,
                        "weights of the Theano backend are not joined to an ONNX graph");
    SQZ_TRY(find_places(j));
    for (uint32_t i = 0; i < j->k.n_layer_names; i++) {
        sqz_kweights w;
        bool found;
        SQZ_TRY(sqz_keras_group(&j->k, j->k.layer_names[i], &w, &found));
        for (uint32_t e = 0; e < w.n; e++)
            SQZ_TRY(join_weight(j, &w.v[e]));
    }
    check_filled(j);
    SQZ_TRY(j->k.no.lines->status);
    return sqz_refuse_all(&j->k.no);
}

sqz_status sqz_keras_join(sqz_graph *g, const char *weights)
{
    sqz_str lines = {.ctx = g->ctx};
    join j = {.k = {.ctx = g->ctx, .g = g, .weights = -1, .no = {.ctx = g->ctx, .lines = &lines}},
              .arena = {.ctx = g->ctx}};
    sqz_h5_guard guard;
    hid_t f;
    j.k.arena.ctx = g->ctx;
    SQZ_TRY(sqz_h5_size(g->ctx, weights, &j.k.file_bytes));
    sqz_h5_enter(&guard);
    sqz_status s = sqz_h5_open(g->ctx, weights, &f);
    if (s == SQZ_OK) {
        s = join_file(&j, f);
        (void)H5Fclose(f);
    }
    sqz_h5_leave(&guard);
    sqz_arena_free(&j.k.arena);
    sqz_arena_free(&j.arena);
    sqz_str_free(&lines);
    return sqz_note(g->ctx, s, "%s", weights);
}
