/* build.c: the builder of compositions. */
#include "ops/build.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static sqz_status add(sqz_build *b, const char *op, const char *attrs, const sqz_vid *in,
                      unsigned n, sqz_vid *out, unsigned n_out)
{
    sqz_graph *g = b->im->g;
    char name[256], *text = NULL;
    sqz_arena temp = {.ctx = g->ctx};
    const sqz_op *o = sqz_op_find(op);
    if (!o)
        return sqz_fail(g->ctx, SQZ_E_INTERNAL, "there is no operator '%s'", op);
    void *read = sqz_arena_alloc(&temp, 1, o->info.opt_size + 1);
    sqz_status s = read ? SQZ_OK : SQZ_E_NOMEM;
    if (s == SQZ_OK && o->info.opt_size) {
        sqz_opts_default(&o->info, read);
        text = sqz_arena_strdup(&temp, attrs ? attrs : "");
        s = text ? sqz_opts_parse(&temp, &o->info, text, read) : SQZ_E_NOMEM;
    }
    (void)snprintf(name, sizeof name, "%.200s/%s_%u", b->im->name, op, b->made++);
    if (s == SQZ_OK)
        s = sqz_graph_node(g, o, name, read, in, n, NULL, n_out, SQZ_NONE, out);
    sqz_arena_free(&temp);
    return s;
}

void sqz_b_multi(sqz_build *b, const char *op, const char *attrs, const sqz_vid *in, unsigned n,
                 sqz_vid *out, unsigned n_out)
{
    for (unsigned i = 0; i < n_out; i++)
        out[i] = SQZ_NONE;
    if (b->status == SQZ_OK)
        b->status = add(b, op, attrs, in, n, out, n_out);
}

sqz_vid sqz_b(sqz_build *b, const char *op, const char *attrs, unsigned n, ...)
{
    sqz_vid in[16] = {0}, out;
    va_list ap;
    va_start(ap, n);
    for (unsigned i = 0; i < n && i < SQZ_COUNT(in); i++)
        in[i] = va_arg(ap, sqz_vid);
    va_end(ap);
    sqz_b_multi(b, op, attrs, in, SQZ_MIN(n, SQZ_COUNT(in)), &out, 1);
    return out;
}

sqz_vid sqz_bf(sqz_build *b, const char *op, const sqz_vid *in, unsigned n, const char *attrs, ...)
{
    char text[512];
    sqz_vid out;
    va_list ap;
    va_start(ap, attrs);
    int len = vsnprintf(text, sizeof text, attrs, ap);
    va_end(ap);
    if (b->status == SQZ_OK && (len < 0 || (size_t)len >= sizeof text))
        b->status = sqz_fail(b->im->g->ctx, SQZ_E_LIMIT, "%s: too many attributes", op);
    sqz_b_multi(b, op, text, in, n, &out, 1);
    return out;
}

sqz_vid sqz_b_tensor(sqz_build *b, sqz_tensor *t)
{
    sqz_vid v = SQZ_NONE;
    if (b->status == SQZ_OK)
        b->status = sqz_graph_constant(b->im->g, NULL, t, &v);
    else
        sqz_tensor_free(b->im->g->ctx, t);
    return b->status == SQZ_OK ? v : SQZ_NONE;
}

sqz_vid sqz_b_num(sqz_build *b, double v, sqz_vid like)
{
    const sqz_shape scalar = {0};
    sqz_tensor t;
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    b->status = sqz_tensor_alloc(b->im->g->ctx, sqz_val(b->im->g, like)->dtype, &scalar, &t);
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    sqz_tensor_set_f64(&t, 0, v);
    return sqz_b_tensor(b, &t);
}

const sqz_value *sqz_b_val(const sqz_build *b, sqz_vid v)
{
    static const sqz_value none = {.producer = SQZ_NONE, .twin = SQZ_NONE};
    return v == SQZ_NONE ? &none : sqz_val(b->im->g, v);
}

/* Gives a value the name of the ONNX node's output, if it can carry it. */
static sqz_status name_it(const sqz_build *b, unsigned i, sqz_vid v)
{
    sqz_graph *g = b->im->g;
    const char *name = i < b->im->n_out ? b->im->out_name[i] : NULL;
    const sqz_value *val = sqz_val(g, v);
    bool own = val->producer != SQZ_NONE &&
               strncmp(sqz_nod(g, val->producer)->name, b->im->name, strlen(b->im->name)) == 0;
    for (unsigned k = 0; k < b->im->n_in; k++)
        own = own && b->im->in[k] != v;
    if (!name || !own || sqz_graph_find(g, name) != SQZ_NONE)
        return SQZ_OK; /* the import names outputs that are another value's second name */
    return sqz_graph_rename(g, v, name);
}

sqz_status sqz_b_end(sqz_build *b, unsigned n, ...)
{
    va_list ap;
    va_start(ap, n);
    for (unsigned i = 0; i < n; i++) {
        sqz_vid v = va_arg(ap, sqz_vid);
        if (b->status == SQZ_OK && v != SQZ_NONE)
            b->status = name_it(b, i, v);
        if (i < b->im->n_out)
            b->im->out[i] = b->status == SQZ_OK ? v : SQZ_NONE;
    }
    va_end(ap);
    return b->status;
}
