/* graph.c: making and changing a graph. */
#include "ir/graph.h"
#include "ir/names.h"
#include "ir/op.h"
#include <math.h>
#include <string.h>

#define MAX_ITEMS 1000000u /* nodes, and values; a documented limit */

/* ---- creation and destruction ---- */

void sqz_graph_free(sqz_graph *g)
{
    if (!g)
        return;
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (sqz_val(g, v)->constant)
            sqz_tensor_free(g->ctx, (sqz_tensor *)(uintptr_t)sqz_val(g, v)->constant);
    sqz_names_free(g->names);
    sqz_names_free(g->node_names);
    sqz_arena_free(&g->arena);
    sqz_free(g->ctx, g);
}

sqz_status sqz_graph_create(sqz_ctx *ctx, sqz_graph **out)
{
    *out = NULL;
    sqz_graph *g = sqz_calloc(ctx, 1, sizeof *g);
    if (!g)
        return SQZ_E_NOMEM;
    g->ctx = g->arena.ctx = ctx;
    g->first = g->last = SQZ_NONE;
    sqz_status s = sqz_names_create(ctx, &g->names);
    if (s == SQZ_OK)
        s = sqz_names_create(ctx, &g->node_names);
    if (s != SQZ_OK) {
        sqz_graph_free(g);
        return s;
    }
    *out = g;
    return SQZ_OK;
}

/* Makes room for item `n` in a table of pages; pages never move. */
static sqz_status page_for(sqz_graph *g, uint32_t n, size_t elem, void ***page, uint32_t *room)
{
    if (n >= MAX_ITEMS)
        return sqz_fail(g->ctx, SQZ_E_LIMIT, "a graph has more than %u nodes or values", MAX_ITEMS);
    uint32_t p = n / SQZ_PAGE;
    if (p >= *room) {
        uint32_t more = *room ? 2 * *room : 4;
        void **grown = sqz_arena_alloc(&g->arena, more, sizeof *grown);
        if (!grown)
            return SQZ_E_NOMEM;
        if (*room)
            memcpy(grown, *page, *room * sizeof *grown);
        *page = grown;
        *room = more;
    }
    if (!(*page)[p])
        (*page)[p] = sqz_arena_alloc(&g->arena, SQZ_PAGE, elem);
    return (*page)[p] ? SQZ_OK : SQZ_E_NOMEM;
}

/* Appends to an id list of the arena; its room is the next power of two. */
static sqz_status append(sqz_graph *g, sqz_vid **list, uint32_t *n, sqz_vid v)
{
    if ((*n & (*n - 1)) == 0) { /* 0, 1, 2, 4, ... are full */
        sqz_vid *grown = sqz_arena_alloc(&g->arena, *n ? 2 * (size_t)*n : 1, sizeof *grown);
        if (!grown)
            return SQZ_E_NOMEM;
        if (*n)
            memcpy(grown, *list, *n * sizeof *grown);
        *list = grown;
    }
    (*list)[(*n)++] = v;
    return SQZ_OK;
}

/* ---- values ---- */

sqz_status sqz_graph_value(sqz_graph *g, const char *name, sqz_dtype d, const sqz_shape *s,
                           sqz_vid *out)
{
    size_t count;
    SQZ_TRY(sqz_note(g->ctx, sqz_shape_count(g->ctx, s, d, &count, NULL), "value '%s'",
                     name ? name : ""));
    SQZ_TRY(page_for(g, g->n_value, sizeof(sqz_value), (void ***)&g->value_page, &g->value_pages));
    const char *own = sqz_names_fresh(g->names, &g->arena, name && *name ? name : "value");
    if (!own)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_names_put(g->names, own, g->n_value));
    *out = g->n_value++;
    *sqz_val(g, *out) = (sqz_value){
        .name = own, .shape = *s, .dtype = d, .producer = SQZ_NONE, .twin = SQZ_NONE};
    return SQZ_OK;
}

sqz_status sqz_graph_input(sqz_graph *g, const char *name, sqz_dtype d, const sqz_shape *s,
                           sqz_vid *out)
{
    SQZ_TRY(sqz_graph_value(g, name, d, s, out));
    sqz_val(g, *out)->role = SQZ_ROLE_INPUT;
    return append(g, &g->input, &g->n_input, *out);
}

/* A graph only keeps tensors that it owns: borrowed memory is copied. */
static sqz_status own_tensor(sqz_ctx *ctx, sqz_tensor *t)
{
    if (t->own)
        return SQZ_OK;
    sqz_tensor copy;
    SQZ_TRY(sqz_tensor_cast(ctx, t, t->dtype, &copy));
    *t = copy;
    return SQZ_OK;
}

sqz_status sqz_value_set_constant(sqz_graph *g, sqz_vid v, sqz_tensor *t)
{
    sqz_value *val = sqz_val(g, v);
    sqz_status s = own_tensor(g->ctx, t);
    sqz_tensor *kept = (sqz_tensor *)(uintptr_t)val->constant;
    if (s == SQZ_OK && !kept && !(kept = sqz_arena_alloc(&g->arena, 1, sizeof *kept)))
        s = SQZ_E_NOMEM;
    if (s != SQZ_OK) {
        sqz_tensor_free(g->ctx, t);
        return s;
    }
    sqz_tensor_free(g->ctx, kept); /* zeroed when new: nothing to free */
    *kept = *t;
    *t = (sqz_tensor){0};
    val->constant = kept;
    val->role = SQZ_ROLE_CONSTANT;
    val->shape = kept->shape;
    val->dtype = kept->dtype;
    return SQZ_OK;
}

sqz_status sqz_graph_constant(sqz_graph *g, const char *name, sqz_tensor *t, sqz_vid *out)
{
    sqz_status s = sqz_graph_value(g, name && *name ? name : "const", t->dtype, &t->shape, out);
    if (s != SQZ_OK) {
        sqz_tensor_free(g->ctx, t);
        return s;
    }
    return sqz_value_set_constant(g, *out, t);
}

sqz_status sqz_graph_bind_input(sqz_graph *g, sqz_vid v, const sqz_tensor *t)
{
    const sqz_value *val = sqz_val(g, v);
    uint32_t k = 0, n = g->n_input;
    sqz_tensor copy;
    while (k < n && g->input[k] != v)
        k++;
    if (k == n || val->dtype != t->dtype || !sqz_shape_eq(&val->shape, &t->shape)) {
        char want[160], got[160];
        sqz_shape_print(want, &val->shape);
        sqz_shape_print(got, &t->shape);
        return sqz_fail(g->ctx, SQZ_E_SHAPE, "input '%s' is %s %s, its given value is %s %s",
                        val->name, sqz_dtype_name(val->dtype), want, sqz_dtype_name(t->dtype), got);
    }
    SQZ_TRY(sqz_tensor_cast(g->ctx, t, t->dtype, &copy));
    for (; k + 1 < n; k++)
        g->input[k] = g->input[k + 1];
    g->n_input--;
    return sqz_value_set_constant(g, v, &copy);
}

void sqz_graph_remove_value(sqz_graph *g, sqz_vid v)
{
    sqz_value *val = sqz_val(g, v);
    sqz_names_remove(g->names, val->name);
    if (val->constant)
        sqz_tensor_free(g->ctx, (sqz_tensor *)(uintptr_t)val->constant);
    val->constant = NULL;
    val->quant = NULL;
    val->range = NULL;
    val->normal = NULL;
    val->role = SQZ_ROLE_ACTIVATION;
    val->producer = SQZ_NONE;
}

sqz_vid sqz_graph_find(const sqz_graph *g, const char *name)
{
    return sqz_names_get(g->names, name);
}

sqz_status sqz_graph_rename(sqz_graph *g, sqz_vid v, const char *name)
{
    sqz_vid holder = sqz_graph_find(g, name);
    if (holder == v)
        return SQZ_OK;
    if (holder != SQZ_NONE)
        return sqz_fail(g->ctx, SQZ_E_ARG, "cannot rename value '%s' to '%s': the name is taken",
                        sqz_val(g, v)->name, name);
    const char *own = sqz_arena_strdup(&g->arena, name);
    if (!own)
        return SQZ_E_NOMEM;
    sqz_names_remove(g->names, sqz_val(g, v)->name);
    sqz_val(g, v)->name = own;
    return sqz_names_put(g->names, own, v);
}

sqz_status sqz_value_set_grid(sqz_graph *g, sqz_vid v, const sqz_quant *from)
{
    uint32_t n = from->n;
    if (!n)
        return sqz_fail(g->ctx, SQZ_E_ARG, "value '%s': a grid needs a scale", sqz_val(g, v)->name);
    bool constant = sqz_val(g, v)->constant != NULL;
    for (uint32_t i = 0; i < n; i++)
        if (from->scale[i] == 0.0f || !isfinite(from->scale[i]) ||
            (from->scale[i] < 0.0f && !constant))
            return sqz_fail(g->ctx, SQZ_E_ARG,
                            "value '%s': scale %u is %g, it must be positive and finite",
                            sqz_val(g, v)->name, i, (double)from->scale[i]);
    sqz_quant *q = sqz_arena_alloc(&g->arena, 1, sizeof *q);
    float *scale = sqz_arena_alloc(&g->arena, n, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(&g->arena, n, sizeof *zero);
    if (!q || !scale || !zero)
        return SQZ_E_NOMEM;
    memcpy(scale, from->scale, n * sizeof *scale);
    memcpy(zero, from->zero, n * sizeof *zero);
    *q = *from;
    q->scale = scale;
    q->zero = zero;
    sqz_val(g, v)->quant = q;
    return SQZ_OK;
}

sqz_status sqz_value_set_quant(sqz_graph *g, sqz_vid v, sqz_dtype d, int32_t axis, uint32_t n,
                               const float *scale, const int32_t *zero)
{
    const sqz_quant q = {.dtype = d, .axis = axis, .n = n, .scale = scale, .zero = zero};
    return sqz_value_set_grid(g, v, &q);
}

sqz_status sqz_value_set_normal(sqz_graph *g, sqz_vid v, uint32_t n, const float *mean,
                                const float *sd)
{
    sqz_value *val = sqz_val(g, v);
    const int32_t rank = val->shape.rank;
    if (!n || rank < 1 || val->shape.dim[rank - 1] != n)
        return sqz_fail(g->ctx, SQZ_E_SHAPE,
                        "value '%s': %u means and deviations, its last dimension is %lld",
                        val->name, n, rank < 1 ? 0LL : (long long)val->shape.dim[rank - 1]);
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(mean[i]) || !isfinite(sd[i]) || sd[i] < 0.0f)
            return sqz_fail(g->ctx, SQZ_E_ARG,
                            "value '%s': mean %g and standard deviation %g of channel %u",
                            val->name, (double)mean[i], (double)sd[i], i);
    sqz_normal *to = sqz_arena_alloc(&g->arena, 1, sizeof *to);
    float *both = sqz_arena_alloc(&g->arena, 2 * (size_t)n, sizeof *both);
    if (!to || !both)
        return SQZ_E_NOMEM;
    memcpy(both, mean, n * sizeof *both);
    memcpy(both + n, sd, n * sizeof *both);
    *to = (sqz_normal){n, both, both + n};
    val->normal = to;
    return SQZ_OK;
}

sqz_status sqz_graph_set_outputs(sqz_graph *g, const sqz_vid *v, uint32_t n)
{
    g->n_output = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i] >= g->n_value)
            return sqz_fail(g->ctx, SQZ_E_ARG, "graph output %u names no value", i);
        SQZ_TRY(append(g, &g->output, &g->n_output, v[i]));
    }
    return SQZ_OK;
}

/* ---- nodes ---- */

static void link_before(sqz_graph *g, sqz_nid n, sqz_nid before)
{
    sqz_node *nd = sqz_nod(g, n);
    nd->next = before;
    nd->prev = before == SQZ_NONE ? g->last : sqz_nod(g, before)->prev;
    if (nd->prev == SQZ_NONE)
        g->first = n;
    else
        sqz_nod(g, nd->prev)->next = n;
    if (before == SQZ_NONE)
        g->last = n;
    else
        sqz_nod(g, before)->prev = n;
}

static sqz_status check_call(sqz_graph *g, const sqz_op *op, const char *name, const sqz_vid *in,
                             unsigned n_in, unsigned n_out)
{
    if (n_in < op->n_in_min || n_in > op->n_in_max || n_out < op->n_out_min ||
        n_out > op->n_out_max)
        return sqz_fail(g->ctx, SQZ_E_ARG,
                        "node '%s' (%s): %u inputs and %u outputs, expected %u to %u and %u to %u",
                        name, op->info.name, n_in, n_out, op->n_in_min, op->n_in_max, op->n_out_min,
                        op->n_out_max);
    for (unsigned i = 0; i < n_in; i++)
        if ((in[i] == SQZ_NONE && i < op->n_in_min) ||
            (in[i] != SQZ_NONE && (in[i] >= g->n_value || sqz_value_dead(sqz_val(g, in[i])))))
            return sqz_fail(g->ctx, SQZ_E_ARG, "node '%s' (%s): input %u is missing", name,
                            op->info.name, i);
    return SQZ_OK;
}

/* Default attributes when `attrs` is NULL; a checked copy in the graph's arena either way. */
static sqz_status own_attrs(sqz_graph *g, const sqz_op *op, const char *name, const void *attrs,
                            const void **out)
{
    void *own = NULL;
    *out = NULL;
    if (!op->info.opt_size)
        return SQZ_OK;
    if (attrs) {
        SQZ_TRY(sqz_opts_copy(&g->arena, &op->info, attrs, &own));
    } else {
        own = sqz_arena_alloc(&g->arena, 1, op->info.opt_size);
        if (!own)
            return SQZ_E_NOMEM;
        sqz_opts_default(&op->info, own);
    }
    *out = own;
    return sqz_note(g->ctx, sqz_opts_check(g->ctx, &op->info, own), "node '%s' (%s)", name,
                    op->info.name);
}

/* After the layout pass, what an operator makes is channel-last when the operator works so, or when
 * it takes any layout and an operand of the same rank is. */
static bool makes_channel_last(const sqz_graph *g, const sqz_node *n, int32_t rank)
{
    if (!(g->have & SQZ_HAS_LAYOUT) || rank < 3 || n->op->layout == SQZ_L_FILE)
        return false;
    if (n->op->layout == SQZ_L_CHANNELS)
        return true;
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE && sqz_val(g, n->in[i])->shape.rank == rank &&
            sqz_val(g, n->in[i])->channel_last)
            return true;
    return false;
}

static sqz_status add_output(sqz_graph *g, const sqz_node *n, const char *name,
                             const sqz_shape *shape, sqz_dtype d, sqz_vid *out)
{
    if (name) {
        SQZ_TRY(sqz_graph_value(g, name, d, shape, out));
    } else {
        sqz_str s = {.ctx = g->ctx};
        sqz_str_addf(&s, "%s_out", n->name);
        sqz_status st = s.status == SQZ_OK ? sqz_graph_value(g, s.data, d, shape, out) : s.status;
        sqz_str_free(&s);
        SQZ_TRY(st);
    }
    sqz_val(g, *out)->channel_last = makes_channel_last(g, n, shape->rank);
    return SQZ_OK;
}

/* Everything of the new node but its place in the order; `made` is complete on success. */
static sqz_status build_node(sqz_graph *g, sqz_node *made, const void *attrs, const sqz_vid *in,
                             const char *const *out_name, sqz_arena *temp)
{
    sqz_node n = *made;
    sqz_shape *shape = sqz_arena_alloc(temp, n.n_out, sizeof *shape);
    sqz_dtype *dtype = sqz_arena_alloc(temp, n.n_out, sizeof *dtype);
    n.in = n.n_in ? sqz_arena_alloc(&g->arena, n.n_in, sizeof *n.in) : NULL;
    n.out = sqz_arena_alloc(&g->arena, n.n_out, sizeof *n.out);
    if (!shape || !dtype || !n.out || (n.n_in && !n.in))
        return SQZ_E_NOMEM;
    if (n.n_in)
        memcpy(n.in, in, n.n_in * sizeof *in);
    SQZ_TRY(own_attrs(g, n.op, n.name, attrs, &n.attrs));
    SQZ_TRY(sqz_node_infer(g, &n, shape, dtype));
    SQZ_TRY(page_for(g, g->n_node, sizeof(sqz_node), (void ***)&g->node_page, &g->node_pages));
    for (unsigned i = 0; i < n.n_out; i++)
        SQZ_TRY(add_output(g, &n, out_name ? out_name[i] : NULL, &shape[i], dtype[i], &n.out[i]));
    SQZ_TRY(sqz_names_put(g->node_names, n.name, g->n_node));
    *made = n;
    return SQZ_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are a node */
sqz_status sqz_graph_node(sqz_graph *g, const sqz_op *op, const char *name, const void *attrs,
                          const sqz_vid *in, unsigned n_in, const char *const *out_name,
                          unsigned n_out, sqz_nid before, sqz_vid *out)
{
    SQZ_TRY(check_call(g, op, name ? name : "", in, n_in, n_out));
    sqz_node n = {.op = op, .n_in = (uint16_t)n_in, .n_out = (uint16_t)n_out};
    n.name = sqz_names_fresh(g->node_names, &g->arena, name && *name ? name : op->info.name);
    if (!n.name)
        return SQZ_E_NOMEM;
    sqz_arena temp = {.ctx = g->ctx};
    sqz_status s = build_node(g, &n, attrs, in, out_name, &temp);
    sqz_arena_free(&temp);
    SQZ_TRY(s);
    for (unsigned i = 0; i < n_out; i++) {
        sqz_val(g, n.out[i])->producer = g->n_node;
        if (out)
            out[i] = n.out[i];
    }
    *sqz_nod(g, g->n_node) = n;
    link_before(g, g->n_node++, before);
    return SQZ_OK;
}

static sqz_status read_attrs(sqz_arena *temp, const sqz_op *op, const char *text, void **out)
{
    *out = op->info.opt_size ? sqz_arena_alloc(temp, 1, op->info.opt_size) : NULL;
    if (op->info.opt_size && !*out)
        return SQZ_E_NOMEM;
    if (*out)
        sqz_opts_default(&op->info, *out);
    return text && *text ? sqz_opts_parse(temp, &op->info, text, *out) : SQZ_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are a node */
sqz_status sqz_graph_node_text(sqz_graph *g, const char *op, const char *name, const char *attrs,
                               const sqz_vid *in, unsigned n_in, sqz_nid before, sqz_vid *out)
{
    const sqz_op *o = sqz_op_find(op);
    if (!o)
        return sqz_fail(g->ctx, SQZ_E_NOTFOUND, "no operator is called '%s'", op);
    sqz_arena temp = {.ctx = g->ctx};
    void *opts;
    sqz_status s = sqz_note(g->ctx, read_attrs(&temp, o, attrs, &opts), "node '%s' (%s)",
                            name ? name : "", op);
    if (s == SQZ_OK)
        s = sqz_graph_node(g, o, name, opts, in, n_in, NULL, o->n_out_min, before, out);
    sqz_arena_free(&temp);
    return s;
}

void sqz_graph_remove(sqz_graph *g, sqz_nid n)
{
    sqz_node *nd = sqz_nod(g, n);
    if (nd->prev == SQZ_NONE)
        g->first = nd->next;
    else
        sqz_nod(g, nd->prev)->next = nd->next;
    if (nd->next == SQZ_NONE)
        g->last = nd->prev;
    else
        sqz_nod(g, nd->next)->prev = nd->prev;
    nd->dead = true;
    sqz_names_remove(g->node_names, nd->name);
    for (unsigned i = 0; i < nd->n_out; i++)
        sqz_graph_remove_value(g, nd->out[i]);
}

void sqz_graph_replace_uses(sqz_graph *g, sqz_vid from, sqz_vid to)
{
    SQZ_EACH_NODE(g, n)
    {
        sqz_node *nd = sqz_nod(g, n);
        for (unsigned i = 0; i < nd->n_in; i++)
            if (nd->in[i] == from)
                nd->in[i] = to;
    }
    for (uint32_t i = 0; i < g->n_output; i++)
        if (g->output[i] == from)
            g->output[i] = to;
}

sqz_status sqz_node_set_attrs(sqz_graph *g, sqz_nid n, const void *attrs)
{
    const sqz_node *nd = sqz_nod(g, n);
    const void *own;
    SQZ_TRY(own_attrs(g, nd->op, nd->name, attrs, &own));
    sqz_nod(g, n)->attrs = own;
    return SQZ_OK;
}

/* ---- shapes again ---- */

static sqz_status infer_all(sqz_graph *g, sqz_shape *shape, sqz_dtype *dtype)
{
    SQZ_EACH_NODE(g, n)
    {
        const sqz_node *nd = sqz_nod(g, n);
        SQZ_TRY(sqz_node_infer(g, nd, shape, dtype));
        for (unsigned i = 0; i < nd->n_out; i++) {
            sqz_val(g, nd->out[i])->shape = shape[i];
            sqz_val(g, nd->out[i])->dtype = dtype[i];
        }
    }
    return SQZ_OK;
}

sqz_status sqz_graph_infer(sqz_graph *g)
{
    sqz_arena temp = {.ctx = g->ctx};
    sqz_shape *shape = sqz_arena_alloc(&temp, UINT8_MAX, sizeof *shape);
    sqz_dtype *dtype = sqz_arena_alloc(&temp, UINT8_MAX, sizeof *dtype);
    sqz_status s = shape && dtype ? infer_all(g, shape, dtype) : SQZ_E_NOMEM;
    sqz_arena_free(&temp);
    return s;
}

/* Every output must be the old one with another dimension 0: else samples got mixed. */
static sqz_status check_outputs(const sqz_graph *g, const sqz_shape *old, int64_t batch)
{
    for (uint32_t i = 0; i < g->n_output; i++) {
        const sqz_value *v = sqz_val(g, g->output[i]);
        sqz_shape want = old[g->output[i]];
        if (want.rank)
            want.dim[0] = batch;
        if (!sqz_shape_eq(&v->shape, &want))
            return sqz_fail(g->ctx, SQZ_E_SHAPE,
                            "output '%s' does not follow the batch: the model fixes it", v->name);
    }
    return SQZ_OK;
}

static sqz_status set_batch(sqz_graph *g, int64_t batch, const sqz_shape *old)
{
    bool changes = false;
    for (uint32_t i = 0; i < g->n_input; i++) {
        sqz_value *v = sqz_val(g, g->input[i]);
        if (v->shape.rank) {
            changes = changes || v->shape.dim[0] != batch;
            v->shape.dim[0] = batch;
        }
    }
    SQZ_TRY(sqz_graph_infer(g));
    return changes ? check_outputs(g, old, batch) : SQZ_OK;
}

sqz_status sqz_graph_set_batch(sqz_graph *g, int64_t batch)
{
    if (batch < 1)
        return sqz_fail(g->ctx, SQZ_E_ARG, "batch %lld: it must be at least 1", (long long)batch);
    if (!g->n_value)
        return SQZ_OK;
    sqz_shape *old = sqz_calloc(g->ctx, g->n_value, sizeof *old);
    if (!old)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++)
        old[v] = sqz_val(g, v)->shape;
    sqz_status s = set_batch(g, batch, old);
    for (sqz_vid v = 0; s != SQZ_OK && v < g->n_value; v++)
        sqz_val(g, v)->shape = old[v];
    sqz_free(g->ctx, old);
    return sqz_note(g->ctx, s, "batch %lld", (long long)batch);
}

/* ---- metadata ---- */

sqz_status sqz_graph_add_meta(sqz_graph *g, const char *key, const char *value)
{
    sqz_meta **at = &g->meta;
    while (*at && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    const char *own = sqz_arena_strdup(&g->arena, value);
    if (!own)
        return SQZ_E_NOMEM;
    if (!*at) {
        sqz_meta *m = sqz_arena_alloc(&g->arena, 1, sizeof *m);
        if (!m || !(m->key = sqz_arena_strdup(&g->arena, key)))
            return SQZ_E_NOMEM;
        *at = m;
    }
    (*at)->value = own;
    return SQZ_OK;
}

const char *sqz_graph_get_meta(const sqz_graph *g, const char *key)
{
    for (const sqz_meta *m = g->meta; m; m = m->next)
        if (strcmp(m->key, key) == 0)
            return m->value;
    return NULL;
}
