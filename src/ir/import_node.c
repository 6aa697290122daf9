/* import_node.c: an ONNX node, as decoded, becomes a node of the graph: attributes are read by the
 * operator's schema, from the file's attributes or from constant inputs. */
#include "ir/op.h"
#include <string.h>

/* The sentence about this node. */
static sqz_status here(const sqz_import *im, sqz_status s)
{
    return sqz_note(im->g->ctx, s, "node '%s' (%s)", im->name ? im->name : "", im->op_type);
}

const sqz_raw_attr *sqz_import_attr(const sqz_import *im, const char *name)
{
    for (unsigned i = 0; i < im->n_attr; i++)
        if (strcmp(im->attr[i].name, name) == 0)
            return &im->attr[i];
    return NULL;
}

int64_t sqz_import_int(const sqz_import *im, const char *name, int64_t def)
{
    const sqz_raw_attr *a = sqz_import_attr(im, name);
    return a && a->type == 2 ? a->i : def;
}

sqz_status sqz_import_const(sqz_import *im, unsigned slot, const sqz_tensor **t)
{
    *t = NULL;
    if (slot >= im->n_in || im->in[slot] == SQZ_NONE)
        return SQZ_OK;
    SQZ_TRY(here(im, sqz_fold_value(im->g, im->in[slot])));
    const sqz_value *v = sqz_val(im->g, im->in[slot]);
    *t = v->constant;
    if (*t)
        return SQZ_OK;
    if (v->role == SQZ_ROLE_INPUT)
        return here(im, sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                                 "input %u ('%s') must be a constant; give its value with --bind "
                                 "'%s=...'",
                                 slot, v->name, v->name));
    return here(im, sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                             "input %u ('%s') must be a constant, it is computed from data; export "
                             "the model with it fixed",
                             slot, v->name));
}

static sqz_status wrong_type(const sqz_import *im, const sqz_attr *at)
{
    return here(im,
                sqz_fail(im->g->ctx, SQZ_E_FORMAT, "attribute '%s' has the wrong type", at->name));
}

/* Index of `text` in an "a|b|c" list, or -1. */
static int64_t enum_index(const char *names, const char *text)
{
    size_t n = strlen(text);
    int64_t i = 0;
    for (const char *p = names; p; p = strchr(p, '|'), i++) {
        p += *p == '|';
        if (strncmp(p, text, n) == 0 && (p[n] == '\0' || p[n] == '|'))
            return i;
    }
    return -1;
}

static sqz_status read_enum(const sqz_import *im, const sqz_attr *at, const char *text,
                            int64_t *field)
{
    *field = enum_index(at->names, text);
    if (*field >= 0)
        return SQZ_OK;
    return here(im, sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "attribute '%s' is '%s', expected %s",
                             at->name, text, at->names));
}

static sqz_status from_attribute(const sqz_import *im, const sqz_attr *at, const sqz_raw_attr *raw,
                                 void *field)
{
    static const int raw_type[] = {
        [SQZ_A_INT] = 2,    [SQZ_A_BOOL] = 2, [SQZ_A_FLOAT] = 1, [SQZ_A_ENUM] = 3,
        [SQZ_A_STRING] = 3, [SQZ_A_INTS] = 7, [SQZ_A_FLOATS] = 6};
    bool index = at->type == SQZ_A_ENUM && raw->type == 2; /* an enum may be spelt as a number */
    if (raw->type != raw_type[at->type] && !index)
        return wrong_type(im, at);
    switch (at->type) {
    case SQZ_A_INT:
    case SQZ_A_BOOL: *(int64_t *)field = raw->i; break;
    case SQZ_A_FLOAT: *(double *)field = (double)raw->f; break;
    case SQZ_A_ENUM:
        if (!index)
            return read_enum(im, at, raw->s ? raw->s : "", field);
        *(int64_t *)field = raw->i;
        break;
    case SQZ_A_STRING: *(const char **)field = raw->s; break;
    case SQZ_A_INTS: *(sqz_ints *)field = raw->ints; break;
    case SQZ_A_FLOATS: *(sqz_floats *)field = raw->floats; break;
    }
    return SQZ_OK;
}

static sqz_status list_from_tensor(sqz_import *im, const sqz_attr *at, const sqz_tensor *t,
                                   void *field)
{
    sqz_arena *a = &im->g->arena;
    if (t->count > UINT32_MAX)
        return wrong_type(im, at);
    if (at->type == SQZ_A_INTS) {
        int64_t *v = sqz_arena_alloc(a, t->count, sizeof *v);
        if (!v)
            return SQZ_E_NOMEM;
        for (size_t i = 0; i < t->count; i++)
            v[i] = sqz_tensor_i64(t, i);
        *(sqz_ints *)field = (sqz_ints){(uint32_t)t->count, v};
    } else {
        float *v = sqz_arena_alloc(a, t->count, sizeof *v);
        if (!v)
            return SQZ_E_NOMEM;
        for (size_t i = 0; i < t->count; i++)
            v[i] = (float)sqz_tensor_f64(t, i);
        *(sqz_floats *)field = (sqz_floats){(uint32_t)t->count, v};
    }
    return SQZ_OK;
}

static sqz_status from_tensor(sqz_import *im, const sqz_attr *at, const sqz_tensor *t, void *field)
{
    if (at->type == SQZ_A_INTS || at->type == SQZ_A_FLOATS)
        return list_from_tensor(im, at, t, field);
    if (t->count != 1)
        return here(im, sqz_fail(im->g->ctx, SQZ_E_FORMAT,
                                 "input %d ('%s') has %zu elements, expected one number", at->slot,
                                 at->name, t->count));
    switch (at->type) {
    case SQZ_A_INT: *(int64_t *)field = sqz_tensor_i64(t, 0); break;
    case SQZ_A_BOOL: *(int64_t *)field = sqz_tensor_i64(t, 0) != 0; break;
    case SQZ_A_FLOAT: *(double *)field = sqz_tensor_f64(t, 0); break;
    default: return wrong_type(im, at);
    }
    return SQZ_OK;
}

/* Whether this opset passes the attribute as an input. */
static bool is_input(const sqz_attr *at, int64_t opset) { return at->slot && opset >= at->since; }

static sqz_status read_attr(sqz_import *im, const sqz_attr *at, void *field)
{
    const sqz_raw_attr *raw = sqz_import_attr(im, at->name);
    const sqz_tensor *t = NULL;
    if (at->flags & SQZ_AF_INTERNAL)
        return SQZ_OK;
    if (is_input(at, im->opset)) {
        SQZ_TRY(sqz_import_const(im, (unsigned)at->slot, &t));
        if (t)
            return from_tensor(im, at, t, field);
    } else if (raw) {
        return from_attribute(im, at, raw, field);
    }
    if (at->flags & SQZ_AF_REQUIRED)
        return here(im, sqz_fail(im->g->ctx, SQZ_E_FORMAT, "attribute '%s' is missing", at->name));
    return SQZ_OK;
}

sqz_status sqz_import_attrs(sqz_import *im, const sqz_op *op, void *attrs)
{
    const sqz_info *info = &op->info;
    if (info->opt_size)
        sqz_opts_default(info, attrs);
    for (unsigned i = 0; i < info->n_opts; i++)
        SQZ_TRY(read_attr(im, &info->opts[i], sqz_opt_field(&info->opts[i], attrs)));
    for (unsigned i = 0; i < im->n_attr; i++) {
        bool known = false;
        for (unsigned k = 0; k < info->n_opts; k++)
            known = known || strcmp(info->opts[k].name, im->attr[i].name) == 0;
        if (!known)
            SQZ_WARN(im->g->ctx, "node '%s' (%s): attribute '%s' is not known and has no effect",
                     im->name ? im->name : "", im->op_type, im->attr[i].name);
    }
    return info->opt_size ? here(im, sqz_opts_check(im->g->ctx, info, attrs)) : SQZ_OK;
}

/* The inputs that are not attributes in disguise, in order, without absent ones at the end. */
static unsigned data_inputs(const sqz_import *im, const sqz_op *op, sqz_vid *out)
{
    unsigned n = 0, used = 0;
    for (unsigned i = 0; i < im->n_in; i++) {
        bool attr = false;
        for (unsigned k = 0; k < op->info.n_opts; k++)
            attr = attr ||
                   ((unsigned)op->info.opts[k].slot == i && is_input(&op->info.opts[k], im->opset));
        if (attr)
            continue;
        out[n++] = im->in[i];
        used = im->in[i] == SQZ_NONE ? used : n;
    }
    return used;
}

static sqz_status add_node(sqz_import *im, const sqz_op *op, const void *attrs, const sqz_vid *in,
                           unsigned n_in, sqz_arena *temp)
{
    unsigned n_out = im->n_out;
    while (n_out > op->n_out_min && !im->out_name[n_out - 1])
        n_out--;
    n_out = SQZ_MAX(n_out, op->n_out_min);
    const char **name = sqz_arena_alloc(temp, n_out, sizeof *name);
    sqz_vid *made = sqz_arena_alloc(temp, n_out, sizeof *made);
    if (!name || !made)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < n_out && i < im->n_out; i++)
        name[i] = im->out_name[i];
    SQZ_TRY(sqz_graph_node(im->g, op, im->name, attrs, in, n_in, name, n_out, SQZ_NONE, made));
    for (unsigned i = 0; i < im->n_out; i++)
        im->out[i] = i < n_out ? made[i] : SQZ_NONE;
    return SQZ_OK;
}

static sqz_status import_node(sqz_import *im, const sqz_op *op, const void *attrs,
                              const sqz_vid *in, unsigned n_in, sqz_arena *temp)
{
    if (attrs || !op->info.opt_size) {
        sqz_vid *own = in ? NULL : sqz_arena_alloc(temp, im->n_in + 1u, sizeof *own);
        if (!in && !own)
            return SQZ_E_NOMEM;
        return in ? add_node(im, op, attrs, in, n_in, temp)
                  : add_node(im, op, attrs, own, data_inputs(im, op, own), temp);
    }
    void *read = sqz_arena_alloc(temp, 1, op->info.opt_size);
    sqz_vid *own = sqz_arena_alloc(temp, im->n_in + 1u, sizeof *own);
    if (!read || !own)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_import_attrs(im, op, read));
    unsigned n = data_inputs(im, op, own);
    return add_node(im, op, read, in ? in : own, in ? n_in : n, temp);
}

sqz_status sqz_import_node(sqz_import *im, const sqz_op *op, const void *attrs, const sqz_vid *in,
                           unsigned n_in)
{
    sqz_arena temp = {.ctx = im->g->ctx};
    sqz_status s = import_node(im, op, attrs, in, n_in, &temp);
    sqz_arena_free(&temp);
    return s;
}
