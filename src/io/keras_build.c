/* keras_build.c: nodes, constants and views of tensors for the layers of a Keras model. Nodes are
 * made by the import hooks of ONNX operators. Errors stick to the layer. */
#include "io/keras.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sqz_keras_fail(sqz_klayer *l, sqz_status s, const char *fmt, ...)
{
    char text[sizeof l->k->ctx->error];
    va_list ap;
    if (l->status != SQZ_OK)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    l->status = sqz_fail(l->k->ctx, s, "%s", text);
}

/* ---- nodes ---- */

/* Attributes as the file's would be: by the hook of the operator, or by its schema. */
static sqz_status make(sqz_import *im)
{
    bool known;
    const sqz_lower *rule = sqz_lower_find("", im->op_type, im->opset, &known);
    const sqz_op *op = rule ? NULL : sqz_op_of_onnx(im->op_type, im->opset, &known);
    if (rule)
        return rule->import(im);
    if (op)
        return op->onnx.import ? op->onnx.import(im, op) : sqz_import_node(im, op, NULL, NULL, 0);
    return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "the operator %s is not supported", im->op_type);
}

/* Constants that became attributes are nobody's. */
static void drop_unused(sqz_graph *g, sqz_nid from, const sqz_vid *in, unsigned n_in)
{
    for (unsigned i = 0; i < n_in; i++) {
        const sqz_value *v = in[i] == SQZ_NONE ? NULL : sqz_val(g, in[i]);
        bool used = !v || !v->constant || v->dtype != SQZ_S64;
        for (sqz_nid n = from; n < g->n_node && !used; n++)
            for (unsigned k = 0; k < sqz_nod(g, n)->n_in; k++)
                used = used || sqz_nod(g, n)->in[k] == in[i];
        if (!used)
            sqz_graph_remove_value(g, in[i]);
    }
}

void sqz_keras_nodes(sqz_klayer *l, const char *type, int64_t opset, const char *suffix,
                     const sqz_raw_attr *attr, unsigned n_attr, const sqz_vid *in, unsigned n_in,
                     sqz_vid *out, unsigned n_out)
{
    sqz_keras *k = l->k;
    const char *name[SQZ_KERAS_OUTS] = {NULL};
    for (unsigned i = 0; i < n_out; i++)
        out[i] = SQZ_NONE;
    if (l->status != SQZ_OK)
        return;
    sqz_import im = {.g = k->g,
                     .op_type = type,
                     .opset = opset ? opset : SQZ_KERAS_OPSET,
                     .attr = attr,
                     .n_attr = n_attr,
                     .in = in,
                     .n_in = n_in,
                     .out_name = name,
                     .n_out = n_out,
                     .out = out};
    im.name = suffix ? sqz_arena_printf(&k->arena, "%s/%s", l->label, suffix) : l->label;
    for (unsigned i = 0; im.name && i < n_out; i++) {
        name[i] = i ? sqz_arena_printf(&k->arena, "%s:%u", im.name, i) : im.name;
        if (!name[i])
            im.name = NULL;
    }
    if (!im.name) {
        l->status = SQZ_E_NOMEM;
        return;
    }
    while (im.n_in && in[im.n_in - 1] == SQZ_NONE)
        im.n_in--;
    sqz_nid from = k->g->n_node;
    l->status = make(&im);
    for (unsigned i = 0; i < n_out && l->status == SQZ_OK; i++)
        if (out[i] == SQZ_NONE)
            sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "output %u of %s is not supported", i, type);
    if (l->status == SQZ_OK)
        drop_unused(k->g, from, in, n_in);
}

sqz_vid sqz_keras_node(sqz_klayer *l, const char *type, const char *suffix,
                       const sqz_raw_attr *attr, unsigned n_attr, const sqz_vid *in, unsigned n_in)
{
    sqz_vid out;
    sqz_keras_nodes(l, type, 0, suffix, attr, n_attr, in, n_in, &out, 1);
    return out;
}

/* ---- constants ---- */

static sqz_vid plain_const(sqz_klayer *l, const char *suffix, sqz_tensor *t)
{
    sqz_vid v = SQZ_NONE;
    const char *name = sqz_arena_printf(&l->k->arena, "%s/%s", l->name, suffix);
    if (!name) {
        sqz_tensor_free(l->k->ctx, t);
        l->status = SQZ_E_NOMEM;
        return SQZ_NONE;
    }
    l->status = sqz_graph_constant(l->k->g, name, t, &v);
    return v;
}

static bool grow(sqz_klayer *l, void **list, uint32_t n, uint32_t *room, size_t elem)
{
    if (n < *room)
        return true;
    uint32_t more = *room ? *room * 2 : 8;
    void *fresh = sqz_arena_alloc(&l->k->arena, more, elem);
    if (!fresh) {
        l->status = SQZ_E_NOMEM;
        return false;
    }
    if (n)
        memcpy(fresh, *list, n * elem);
    *list = fresh;
    *room = more;
    return true;
}

static void track(sqz_klayer *l, sqz_vid v, sqz_tensor *idx)
{
    sqz_keras *k = l->k;
    void *list = k->tracked;
    if (!grow(l, &list, k->n_tracked, &k->room_tracked, sizeof *k->tracked))
        return;
    k->tracked = list;
    k->tracked[k->n_tracked++] = (sqz_ktrack){v, l, *idx};
    *idx = (sqz_tensor){0};
}

bool sqz_keras_cached(sqz_klayer *l, sqz_vid *out)
{
    *out = SQZ_NONE;
    if (l->status != SQZ_OK || l->at_made >= l->n_made)
        return false;
    *out = l->made[l->at_made++];
    return true;
}

sqz_vid sqz_keras_const(sqz_klayer *l, const char *suffix, sqz_karray *a)
{
    sqz_vid v = SQZ_NONE;
    void *list = l->made;
    if (l->status == SQZ_OK && l->at_made < l->n_made) {
        v = l->made[l->at_made++];
    } else if (l->status == SQZ_OK && grow(l, &list, l->n_made, &l->room_made, sizeof *l->made)) {
        l->made = list;
        v = plain_const(l, suffix, &a->num);
        a->num = (sqz_tensor){0};
        if (l->status == SQZ_OK && a->idx.data)
            track(l, v, &a->idx);
        if (l->status == SQZ_OK) {
            l->made[l->n_made++] = v;
            l->at_made = l->n_made;
        }
    }
    sqz_karray_free(l, a);
    return v;
}

sqz_vid sqz_keras_ints(sqz_klayer *l, uint32_t n, const int64_t *v)
{
    const sqz_shape s = {1, {n}};
    sqz_tensor t;
    if (l->status == SQZ_OK)
        l->status = sqz_tensor_alloc(l->k->ctx, SQZ_S64, &s, &t);
    if (l->status != SQZ_OK)
        return SQZ_NONE;
    for (uint32_t i = 0; i < n; i++)
        SQZ_S64P(&t)[i] = v[i];
    return plain_const(l, "list", &t);
}

sqz_vid sqz_keras_number(sqz_klayer *l, double v)
{
    const sqz_shape s = {0};
    sqz_tensor t;
    if (l->status == SQZ_OK)
        l->status = sqz_tensor_alloc(l->k->ctx, SQZ_F32, &s, &t);
    if (l->status != SQZ_OK)
        return SQZ_NONE;
    SQZ_F32P(&t)[0] = (float)v;
    return plain_const(l, "number", &t);
}

/* ---- views ---- */

/* Channels last to first: (0, r-1, 1, ..., r-2); back: (0, 2, ..., r-1, 1). */
static sqz_vid turn(sqz_klayer *l, sqz_vid v, bool to_first)
{
    if (l->status != SQZ_OK || v == SQZ_NONE)
        return SQZ_NONE;
    const sqz_value *val = sqz_val(l->k->g, v);
    int32_t r = val->shape.rank;
    int64_t perm[SQZ_MAX_RANK];
    for (int32_t i = 0; i < r; i++)
        perm[i] = i == 0 ? 0 : to_first ? (i == 1 ? r - 1 : i - 1) : (i == r - 1 ? 1 : i + 1);
    const char *label = l->label;
    l->label = val->name; /* called after what it turns, as others may use it */
    sqz_vid out = sqz_keras_node(l, "Transpose", to_first ? "nchw" : "nhwc",
                                 SQZ_KA(SQZ_K_INTS("perm", (uint32_t)r, perm)), SQZ_KI(v));
    l->label = label;
    return out;
}

sqz_vid sqz_keras_plain(sqz_klayer *l, sqz_kval *v)
{
    if (v->plain == SQZ_NONE && v->first != SQZ_NONE)
        v->plain = turn(l, v->first, false);
    return v->plain;
}

sqz_vid sqz_keras_first(sqz_klayer *l, sqz_kval *v)
{
    if (v->first == SQZ_NONE && v->plain != SQZ_NONE && sqz_val(l->k->g, v->plain)->shape.rank >= 3)
        v->first = turn(l, v->plain, true);
    return v->first != SQZ_NONE ? v->first : v->plain;
}

sqz_vid sqz_keras_any(sqz_klayer *l, sqz_kval *v, bool *first)
{
    (void)l;
    *first = v->first != SQZ_NONE;
    return *first ? v->first : v->plain;
}

sqz_shape sqz_keras_shape(const sqz_klayer *l, const sqz_kval *v)
{
    if (v->plain != SQZ_NONE)
        return sqz_val(l->k->g, v->plain)->shape;
    if (v->first == SQZ_NONE)
        return (sqz_shape){0};
    sqz_shape s = sqz_val(l->k->g, v->first)->shape, out = s;
    for (int32_t i = 1; i < s.rank; i++)
        out.dim[i] = s.dim[i + 1 < s.rank ? i + 1 : 1];
    return out;
}

int64_t sqz_keras_axis(sqz_klayer *l, int64_t axis, int32_t rank, bool first)
{
    int64_t at = axis < 0 ? axis + rank : axis;
    if (at < 0 || at >= rank) {
        sqz_keras_fail(l, SQZ_E_FORMAT, "axis %lld of a tensor with %d axes", (long long)axis,
                       (int)rank);
        return 0;
    }
    return !first || at == 0 ? at : at == rank - 1 ? 1 : at + 1;
}

void sqz_keras_out(sqz_klayer *l, sqz_vid v, bool first)
{
    if (l->status != SQZ_OK || v == SQZ_NONE || l->n_out == SQZ_KERAS_OUTS)
        return;
    first = first && sqz_val(l->k->g, v)->shape.rank >= 3;
    l->out[l->n_out++] = (sqz_kval){.plain = first ? SQZ_NONE : v, .first = first ? v : SQZ_NONE};
}
