/* text_print.c: a graph as text. docs/ir.md has the grammar. */
#include "ir/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_quoted(sqz_str *out, const char *text)
{
    sqz_str_add(out, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            sqz_str_addf(out, "\\%c", *p);
        else if ((unsigned char)*p < 32 || *p == 127)
            sqz_str_addf(out, "\\x%02x", (unsigned char)*p);
        else
            sqz_str_addn(out, p, 1);
    }
    sqz_str_add(out, "\"");
}

static void print_name(sqz_str *out, const char *name)
{
    bool plain = *name != '\0' && *name != '-';
    for (const char *p = name; *p; p++)
        plain = plain && sqz_text_plain(*p);
    for (size_t i = 0; i < SQZ_COUNT(sqz_text_words); i++)
        plain = plain && strcmp(name, sqz_text_words[i]) != 0;
    if (plain)
        sqz_str_add(out, name);
    else
        print_quoted(out, name);
}

static void print_quant(sqz_str *out, const sqz_quant *q)
{
    sqz_str_addf(out, " quant %s", sqz_dtype_name(q->dtype));
    if (q->bits)
        sqz_str_addf(out, " bits=%u", (unsigned)q->bits);
    sqz_str_addf(out, " axis=%d group=%d [", (int)q->axis, (int)q->group);
    for (uint32_t i = 0; i < q->n; i++) {
        char scale[32];
        sqz_print_f32(scale, q->scale[i]);
        sqz_str_addf(out, "%s%s@%d", i ? " " : "", scale, (int)q->zero[i]);
    }
    sqz_str_add(out, "]");
}

static void print_normal(sqz_str *out, const sqz_normal *n)
{
    sqz_str_add(out, " normal [");
    for (uint32_t i = 0; i < n->n; i++) {
        char mean[32], sd[32];
        sqz_print_f32(mean, n->mean[i]);
        sqz_print_f32(sd, n->sd[i]);
        sqz_str_addf(out, "%s%s@%s", i ? " " : "", mean, sd);
    }
    sqz_str_add(out, "]");
}

/* name, type, shape, and what else is known */
static void print_value(const sqz_graph *g, sqz_vid id, sqz_str *out)
{
    const sqz_value *v = sqz_val(g, id);
    char shape[160];
    sqz_shape_print(shape, &v->shape);
    print_name(out, v->name);
    sqz_str_addf(out, " %s %s", sqz_dtype_name(v->dtype), shape);
    if (v->channel_last)
        sqz_str_add(out, " last");
    if (v->was_u8)
        sqz_str_add(out, " was_u8");
    if (v->twin != SQZ_NONE) {
        sqz_str_add(out, " twin ");
        print_name(out, sqz_val(g, v->twin)->name);
    }
    if (v->range) {
        char lo[32], hi[32];
        sqz_print_f32(lo, v->range->lo);
        sqz_print_f32(hi, v->range->hi);
        sqz_str_addf(out, " range [%s %s]", lo, hi);
    }
    if (v->normal)
        print_normal(out, v->normal);
    if (v->quant)
        print_quant(out, v->quant);
}

static void print_number(sqz_str *out, const sqz_tensor *t, size_t i)
{
    char text[32];
    if (t->dtype == SQZ_U64)
        (void)snprintf(text, sizeof text, "%" PRIu64, ((const uint64_t *)t->data)[i]);
    else if (!sqz_dtype_is_float(t->dtype))
        (void)snprintf(text, sizeof text, "%" PRId64, sqz_tensor_i64(t, i));
    else if (t->dtype == SQZ_F64)
        sqz_print_f64(text, sqz_tensor_f64(t, i));
    else /* the 16-bit floats are floats, too */
        sqz_print_f32(text, (float)sqz_tensor_f64(t, i));
    sqz_str_addf(out, " %s", text);
}

static void print_constant(const sqz_graph *g, sqz_vid id, size_t max_numbers, sqz_str *out)
{
    const sqz_tensor *t = sqz_val(g, id)->constant;
    sqz_str_add(out, "const ");
    print_value(g, id, out);
    sqz_str_add(out, " =");
    if (t->count > max_numbers) {
        char hex[65];
        sqz_sha256 h;
        sqz_sha256_begin(&h);
        sqz_sha256_add(&h, t->data, t->bytes);
        sqz_sha256_end(&h, hex);
        sqz_str_addf(out, " sha256:%s", hex);
    } else {
        for (size_t i = 0; i < t->count; i++)
            print_number(out, t, i);
    }
    sqz_str_add(out, "\n");
}

static void print_node(const sqz_graph *g, const sqz_node *n, sqz_str *out)
{
    for (unsigned i = 0; i < n->n_out; i++) {
        sqz_str_add(out, i ? ", " : "");
        print_value(g, n->out[i], out);
    }
    sqz_str_addf(out, " = %s(", n->op->info.name);
    for (unsigned i = 0; i < n->n_in; i++) {
        sqz_str_add(out, i ? ", " : "");
        if (n->in[i] == SQZ_NONE)
            sqz_str_add(out, "_");
        else
            print_name(out, sqz_val(g, n->in[i])->name);
    }
    sqz_str_add(out, ") @");
    print_name(out, n->name);
    if (n->layout)
        sqz_str_add(out, " layout");
    if (n->op->info.opt_size) {
        sqz_str attrs = {.ctx = g->ctx};
        sqz_opts_print(&attrs, &n->op->info, n->attrs);
        if (attrs.status != SQZ_OK)
            out->status = attrs.status;
        else if (attrs.len)
            sqz_str_addf(out, " %s", attrs.data);
        sqz_str_free(&attrs);
    }
    sqz_str_add(out, "\n");
}

static void print_head(const sqz_graph *g, sqz_str *out)
{
    sqz_str_add(out, "graph ");
    print_quoted(out, g->name ? g->name : "");
    if (g->producer) {
        sqz_str_add(out, " producer ");
        print_quoted(out, g->producer);
    }
    if (g->opset)
        sqz_str_addf(out, " opset %lld", (long long)g->opset);
    if (g->batch_free)
        sqz_str_add(out, " batch_free");
    if (g->batch_name) {
        sqz_str_add(out, " batch ");
        print_quoted(out, g->batch_name);
    }
    for (size_t i = 0; i < SQZ_COUNT(sqz_have_names); i++)
        if (g->have & sqz_have_names[i].bit)
            sqz_str_addf(out, " %s", sqz_have_names[i].name);
    sqz_str_add(out, "\n");
    for (const sqz_meta *m = g->meta; m; m = m->next) {
        sqz_str_add(out, "meta ");
        print_quoted(out, m->key);
        sqz_str_add(out, " ");
        print_quoted(out, m->value);
        sqz_str_add(out, "\n");
    }
}

sqz_status sqz_graph_print(const sqz_graph *g, size_t max_numbers, sqz_str *out)
{
    print_head(g, out);
    for (uint32_t i = 0; i < g->n_input; i++) {
        sqz_str_add(out, "input ");
        print_value(g, g->input[i], out);
        sqz_str_add(out, "\n");
    }
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (sqz_val(g, v)->constant)
            print_constant(g, v, max_numbers, out);
    SQZ_EACH_NODE(g, n) { print_node(g, sqz_nod(g, n), out); }
    sqz_str_add(out, "output");
    for (uint32_t i = 0; i < g->n_output; i++) {
        sqz_str_add(out, i ? ", " : " ");
        print_name(out, sqz_val(g, g->output[i])->name);
    }
    sqz_str_add(out, "\n");
    return out->status;
}
