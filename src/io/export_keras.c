/* export_keras.c: numbers of a squeezed model to the weights of a Keras file. The file is imported
 * once more, with every number of a constant remembering where it came from (sqz_keras_place);
 * nodes of both graphs are the same by name. A batch norm that went into the layer before it
 * becomes the identity, with the bias that it left there. */
#include "io/export_keras.h"
#include "io/keras.h"
#include "ir/names.h"
#include <math.h>
#include <string.h>

typedef struct job {
    sqz_ctx *ctx;
    sqz_arena arena;
    const sqz_graph *model; /* squeezed */
    sqz_keras k;            /* the file, tracked */
    sqz_uses uses;          /* of k.g */
    uint32_t *track_of;     /* by value of k.g: index into k.tracked, or SQZ_NONE */
    sqz_keras_dataset *set;
    uint32_t n_set;
    uint32_t norms;
} job;

/* ---- the squeezed model ---- */

static const sqz_node *twin(const job *j, const sqz_node *n)
{
    sqz_nid id = sqz_names_get(j->model->node_names, n->name);
    const sqz_node *t = id == SQZ_NONE ? NULL : sqz_nod(j->model, id);
    return t && !t->dead ? t : NULL;
}

static sqz_status not_constant(const job *j, const sqz_node *n, unsigned slot)
{
    return sqz_fail(
        j->ctx, SQZ_E_UNSUPPORTED,
        "node '%.100s' of the model: input %u is no constant, so there are no weights to "
        "write back",
        n->name, slot);
}

/* The real numbers of a constant input, fresh. */
static sqz_status real(const job *j, const sqz_node *n, unsigned slot, sqz_tensor *out)
{
    sqz_vid v = slot < n->n_in ? n->in[slot] : SQZ_NONE;
    const sqz_value *val = v == SQZ_NONE ? NULL : sqz_val(j->model, v);
    *out = (sqz_tensor){0};
    if (!val)
        return not_constant(j, n, slot);
    if (val->constant && !val->quant)
        return sqz_tensor_cast(j->ctx, val->constant, SQZ_F32, out);
    if (val->constant || val->producer == SQZ_NONE)
        return not_constant(j, n, slot);
    const sqz_node *p = sqz_nod(j->model, val->producer);
    const sqz_value *from = sqz_val(j->model, p->in[0]);
    if (strcmp(p->op->info.name, "dequantize") != 0 || !from->constant)
        return not_constant(j, n, slot);
    SQZ_TRY(sqz_tensor_alloc(j->ctx, SQZ_F32, &val->shape, out));
    const sqz_tensor *in[1] = {from->constant};
    sqz_tensor *to[1] = {out};
    const sqz_quant *in_q[1] = {from->quant}, *out_q[1] = {NULL};
    sqz_status s = sqz_op_run_once(j->ctx, p->op, p->attrs, in, 1, to, 1, in_q, out_q);
    if (s != SQZ_OK)
        sqz_tensor_free(j->ctx, out);
    return s;
}

/* ---- the file's datasets ---- */

static sqz_status set_of(job *j, const sqz_ktrack *t, uint32_t weight, sqz_keras_dataset **out)
{
    if (weight >= t->layer->w.n)
        return sqz_fail(j->ctx, SQZ_E_INTERNAL, "layer '%.100s' has no weight %u", t->layer->name,
                        weight);
    const char *path = t->layer->w.v[weight].path;
    for (uint32_t i = 0; i < j->n_set; i++)
        if (strcmp(j->set[i].path, path) == 0) {
            *out = &j->set[i];
            return SQZ_OK;
        }
    return sqz_fail(j->ctx, SQZ_E_INTERNAL, "dataset '%.200s' was not opened", path);
}

/* Room for every dataset that a constant was made of. */
static sqz_status open_sets(job *j)
{
    uint32_t room = 0;
    for (uint32_t i = 0; i < j->k.n_tracked; i++)
        room += j->k.tracked[i].layer->w.n;
    j->set = sqz_arena_alloc(&j->arena, (size_t)room + 1, sizeof *j->set);
    if (!j->set)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < j->k.n_tracked; i++) {
        const sqz_kweights *w = &j->k.tracked[i].layer->w;
        for (uint32_t k = 0; k < w->n; k++) {
            bool known = false;
            for (uint32_t s = 0; s < j->n_set && !known; s++)
                known = strcmp(j->set[s].path, w->v[k].path) == 0;
            if (!known)
                j->set[j->n_set++].path = w->v[k].path;
        }
    }
    return SQZ_OK;
}

static sqz_status read_sets(job *j)
{
    for (uint32_t i = 0; i < j->n_set; i++) {
        sqz_keras_dataset *s = &j->set[i];
        SQZ_TRY(sqz_h5_read_f32(j->ctx, j->k.weights, s->path, j->k.file_bytes, &s->num));
        s->set = sqz_arena_alloc(&j->arena, s->num.count + 1, 1);
        if (!s->set)
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

/* Biases of a layer that is used several times lie on a grid for each use: within `near` they are
 * the same, and the first stays. */
static sqz_status put_one(job *j, const sqz_ktrack *t, int64_t place, float v, float near,
                          const char *by)
{
    sqz_keras_dataset *s = NULL;
    size_t e = sqz_keras_place_element(place);
    SQZ_TRY(set_of(j, t, sqz_keras_place_weight(place), &s));
    if (e >= s->num.count)
        return sqz_fail(j->ctx, SQZ_E_INTERNAL, "dataset '%.200s' has no element %zu", s->path, e);
    float *at = SQZ_F32P(&s->num) + e;
    if (s->set[e] && !(fabsf(*at - v) <= near))
        return sqz_fail(j->ctx, SQZ_E_UNSUPPORTED,
                        "layer '%.100s' is used several times, with different weights in the model "
                        "(nodes '%.80s' and '%.80s'): a Keras file has one set",
                        t->layer->name, s->by, by);
    if (!s->set[e])
        *at = v;
    s->set[e] = 1;
    s->by = by;
    return SQZ_OK;
}

/* Import hooks may add and drop axes of length 1. */
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

/* The numbers of a constant to where they came from. */
static sqz_status put(job *j, const sqz_ktrack *t, const sqz_tensor *num, const char *by)
{
    if (!same_but_ones(&num->shape, &t->idx.shape)) {
        char have[160], want[160];
        sqz_shape_print(have, &num->shape);
        sqz_shape_print(want, &t->idx.shape);
        return sqz_fail(
            j->ctx, SQZ_E_SHAPE,
            "layer '%.100s': the model has weights of shape %s, the Keras file's make %s: "
            "a model whose layers were made smaller has no place in it",
            t->layer->name, have, want);
    }
    float near = 0;
    for (size_t i = 0; i < num->count; i++)
        near = fmaxf(near, 1e-3f * fabsf(SQZ_F32P(num)[i]));
    for (size_t i = 0; i < num->count; i++) {
        int64_t place = SQZ_S64P(&t->idx)[i];
        if (place)
            SQZ_TRY(put_one(j, t, place, SQZ_F32P(num)[i], near, by));
        else if (fabsf(SQZ_F32P(num)[i]) > 0)
            return sqz_fail(
                j->ctx, SQZ_E_UNSUPPORTED,
                "layer '%.100s': number %zu of an input of node '%.80s' is not 0, and the "
                "Keras file has no weight for it",
                t->layer->name, i, by);
    }
    return SQZ_OK;
}

static const sqz_ktrack *tracked(const job *j, sqz_vid v)
{
    uint32_t t = v == SQZ_NONE ? SQZ_NONE : j->track_of[v];
    return t == SQZ_NONE ? NULL : &j->k.tracked[t];
}

static bool fills(const sqz_ktrack *t)
{
    for (size_t i = 0; t && i < t->idx.count; i++)
        if (SQZ_S64P(&t->idx)[i])
            return true;
    return false;
}

/* ---- what went into another node ---- */

static bool is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

/* Of conv2d, dwconv2d, conv_transpose, gemm. */
static bool has_bias_slot(const sqz_node *n)
{
    return n->op->quant.bias == 2 || is_op(n, "conv_transpose");
}

/* The layer that took over node n: the first before it that the model still has. */
static const sqz_node *taker(const job *j, const sqz_node *n, bool *next)
{
    *next = true;
    for (int i = 0; i < 8; i++) {
        sqz_nid p = sqz_val(j->k.g, n->in[0])->producer;
        if (p == SQZ_NONE)
            return NULL;
        n = sqz_nod(j->k.g, p);
        if (twin(j, n))
            return has_bias_slot(n) || is_op(n, "matmul") ? n : NULL;
        *next = false;
    }
    return NULL;
}

static sqz_status lost(const job *j, const sqz_node *n)
{
    return sqz_fail(
        j->ctx, SQZ_E_UNSUPPORTED,
        "node '%.100s' (%.40s) of the Keras file is not in the model under its name: only "
        "what squeeze made of this file can be written back",
        n->name, n->op->info.name);
}

/* Bias of the twin of `p` that Keras' layer has no place for, fresh; zeros when there is none. */
static sqz_status left_bias(const job *j, const sqz_node *p, const sqz_shape *s, sqz_tensor *out)
{
    const sqz_node *t = twin(j, p);
    bool own = p->n_in > 2 && p->in[2] != SQZ_NONE;
    if (!own && t->n_in > 2 && t->in[2] != SQZ_NONE)
        return real(j, t, 2, out);
    return sqz_tensor_alloc(j->ctx, SQZ_F32, s, out);
}

static sqz_status put_filled(job *j, sqz_vid v, double value, const float *each, double sign,
                             const char *by)
{
    const sqz_ktrack *t = tracked(j, v);
    sqz_tensor num;
    if (!fills(t))
        return SQZ_OK;
    SQZ_TRY(sqz_tensor_alloc(j->ctx, SQZ_F32, &t->idx.shape, &num));
    for (size_t i = 0; i < num.count; i++)
        SQZ_F32P(&num)[i] = (float)(value + (each ? sign * (double)each[i] : 0));
    sqz_status s = put(j, t, &num, by);
    sqz_tensor_free(j->ctx, &num);
    return s;
}

/* gamma 1, variance 1 - epsilon; the bias is beta, or where the layer has none -mean. */
static sqz_status identity(job *j, const sqz_node *n, const sqz_tensor *bias)
{
    double eps = 1e-3;
    bool beta = fills(tracked(j, n->in[2]));
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, "epsilon") == 0)
            eps = *(const double *)sqz_opt_field(&n->op->info.opts[i], n->attrs);
    const float *b = SQZ_F32P(bias);
    SQZ_TRY(put_filled(j, n->in[1], 1, NULL, 0, n->name));
    SQZ_TRY(put_filled(j, n->in[2], 0, b, 1, n->name));
    SQZ_TRY(put_filled(j, n->in[3], 0, beta ? NULL : b, -1, n->name));
    SQZ_TRY(put_filled(j, n->in[4], 1 - eps, NULL, 0, n->name));
    j->norms++;
    return SQZ_OK;
}

static sqz_status absorbed(job *j, const sqz_node *n)
{
    bool next;
    const sqz_node *p = taker(j, n, &next);
    sqz_tensor bias;
    const sqz_ktrack *c = is_op(n, "batch_norm") ? tracked(j, n->in[3]) : tracked(j, n->in[1]);
    if (!p || !c || !(is_op(n, "batch_norm") || is_op(n, "add")))
        return lost(j, n);
    if (next)
        SQZ_TRY(left_bias(j, p, &c->idx.shape, &bias));
    else
        SQZ_TRY(sqz_tensor_alloc(j->ctx, SQZ_F32, &c->idx.shape, &bias));
    sqz_status s = !sqz_shape_eq(&bias.shape, &c->idx.shape) ? lost(j, n)
                   : is_op(n, "add")                         ? put(j, c, &bias, n->name)
                                                             : identity(j, n, &bias);
    sqz_tensor_free(j->ctx, &bias);
    return s;
}

/* The only reader of the output of n in the Keras graph; NULL: none or several. */
static const sqz_node *reader(const job *j, const sqz_node *n)
{
    sqz_vid v = n->out[0];
    sqz_nid r = sqz_n_uses(&j->uses, v) == 1 ? j->uses.node[j->uses.first[v]] : SQZ_NONE;
    return r == SQZ_NONE ? NULL : sqz_nod(j->k.g, r);
}

/* A bias that neither the layer nor a batch norm behind it can hold. */
static sqz_status stray_bias(const job *j, const sqz_node *n, const sqz_node *t)
{
    sqz_tensor b;
    const sqz_node *r = reader(j, n);
    bool own = n->n_in > 2 && n->in[2] != SQZ_NONE, other = t->n_in > 2 && t->in[2] != SQZ_NONE;
    if (!has_bias_slot(n) || own || !other || (r && !twin(j, r) && is_op(r, "batch_norm")))
        return SQZ_OK;
    SQZ_TRY(real(j, t, 2, &b));
    bool zero = true;
    for (size_t i = 0; i < b.count; i++)
        zero = zero && SQZ_F32P(&b)[i] == 0;
    sqz_tensor_free(j->ctx, &b);
    return zero ? SQZ_OK
                : sqz_fail(
                      j->ctx, SQZ_E_UNSUPPORTED,
                      "layer '%.100s' has no bias in the Keras file, and the model gives it one",
                      n->name);
}

/* ---- all nodes ---- */

static bool any_tracked(const job *j, const sqz_node *n)
{
    for (unsigned i = 0; i < n->n_in; i++)
        if (fills(tracked(j, n->in[i])))
            return true;
    return false;
}

static bool any_constant(const job *j, const sqz_node *n)
{
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE && sqz_val(j->k.g, n->in[i])->constant)
            return true;
    return false;
}

static sqz_status node(job *j, const sqz_node *n)
{
    const sqz_node *t = twin(j, n);
    bool arithmetic = is_op(n, "mul") || is_op(n, "add") || is_op(n, "sub") || is_op(n, "div");
    if (!t)
        return any_tracked(j, n)                  ? absorbed(j, n)
               : arithmetic && any_constant(j, n) ? lost(j, n)
                                                  : SQZ_OK;
    SQZ_TRY(stray_bias(j, n, t));
    for (unsigned i = 0; i < n->n_in; i++) {
        const sqz_ktrack *c = tracked(j, n->in[i]);
        sqz_tensor num;
        if (!fills(c))
            continue;
        SQZ_TRY(real(j, t, i, &num));
        sqz_status s = put(j, c, &num, n->name);
        sqz_tensor_free(j->ctx, &num);
        SQZ_TRY(s);
    }
    return SQZ_OK;
}

static sqz_status match(job *j)
{
    SQZ_TRY(sqz_uses_build(j->k.g, &j->arena, &j->uses));
    j->track_of = sqz_arena_alloc(&j->arena, (size_t)j->k.g->n_value + 1, sizeof *j->track_of);
    if (!j->track_of)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < j->k.g->n_value; v++)
        j->track_of[v] = SQZ_NONE;
    for (uint32_t i = 0; i < j->k.n_tracked; i++)
        j->track_of[j->k.tracked[i].v] = i;
    SQZ_EACH_NODE(j->k.g, n) { SQZ_TRY(node(j, sqz_nod(j->k.g, n))); }
    return SQZ_OK;
}

/* Every number of every dataset is there. */
static sqz_status check_sets(const job *j)
{
    for (uint32_t i = 0; i < j->n_set; i++) {
        const sqz_keras_dataset *s = &j->set[i];
        size_t n = 0;
        for (size_t e = 0; e < s->num.count; e++)
            n += s->set[e];
        if (n != s->num.count)
            return sqz_fail(j->ctx, SQZ_E_UNSUPPORTED,
                            "dataset '%.200s': the model has %zu of its %zu numbers", s->path, n,
                            s->num.count);
    }
    return SQZ_OK;
}

static sqz_status with_weights(job *j, hid_t f, sqz_keras_export *out)
{
    SQZ_TRY(sqz_keras_open_weights(&j->k, f));
    SQZ_TRY(read_sets(j));
    SQZ_TRY(match(j));
    out->written = j->n_set;
    out->norms = j->norms;
    return check_sets(j);
}

static sqz_status export_it(job *j, const void *original, size_t n, sqz_keras_export *out)
{
    hid_t f;
    sqz_h5_guard guard;
    SQZ_TRY(sqz_keras_load(&j->k, original, n));
    SQZ_TRY(sqz_refuse_all(&j->k.no));
    SQZ_TRY(open_sets(j));
    sqz_h5_enter(&guard);
    sqz_status s = sqz_h5_open_bytes(j->ctx, "the Keras file", original, n, &f);
    if (s == SQZ_OK) {
        s = with_weights(j, f, out);
        (void)H5Fclose(f); /* libhdf5 has one file in memory at a time */
    }
    if (s == SQZ_OK)
        s = sqz_keras_rewrite(j->ctx, original, n, j->set, j->n_set, j->model->meta, &out->bytes,
                              &out->n);
    sqz_h5_leave(&guard);
    return s;
}

sqz_status sqz_export_keras(sqz_ctx *ctx, const sqz_graph *model, const void *original, size_t n,
                            const char *shape, sqz_keras_export *out)
{
    sqz_str lines = {.ctx = ctx};
    const sqz_import_options opt = {.shape = shape};
    job j = {.ctx = ctx,
             .arena = {.ctx = ctx},
             .model = model,
             .k = {.ctx = ctx, .opt = &opt, .track = true, .no = {.lines = &lines}}};
    *out = (sqz_keras_export){0};
    sqz_status s = sqz_h5_signature(original, n)
                       ? export_it(&j, original, n, out)
                       : sqz_fail(ctx, SQZ_E_FORMAT, "the Keras file must be HDF5, with weights");
    for (uint32_t i = 0; i < j.n_set; i++)
        sqz_tensor_free(ctx, &j.set[i].num);
    sqz_keras_close(&j.k);
    sqz_arena_free(&j.arena);
    sqz_str_free(&lines);
    return s;
}
