/* view.c: which nodes move no byte. */
#include "exec/exec.h"
#include <math.h>
#include <string.h>

static const sqz_attr *find_opt(const sqz_op *op, const char *name)
{
    for (unsigned i = 0; i < op->info.n_opts; i++)
        if (strcmp(op->info.opts[i].name, name) == 0)
            return &op->info.opts[i];
    return NULL;
}

/* Axes of length 1 may go anywhere; the others must stay in order. */
static bool is_view_transpose(const sqz_graph *g, const sqz_node *n)
{
    const sqz_attr *view = find_opt(n->op, "view"), *perm = find_opt(n->op, "perm");
    if (view && *(const int64_t *)sqz_opt_field(view, n->attrs))
        return true;
    const sqz_ints *p = perm ? sqz_opt_field(perm, n->attrs) : NULL;
    const sqz_shape *x = &sqz_val(g, n->in[0])->shape;
    if (!p || p->n != (uint32_t)x->rank)
        return false;
    int64_t last = -1;
    for (uint32_t i = 0; i < p->n; i++) {
        if (x->dim[p->v[i]] == 1)
            continue;
        if (p->v[i] < last)
            return false;
        last = p->v[i];
    }
    return true;
}

/* A clamp is the identity on an int8 grid when it leaves both ends of the grid where they are. */
static bool is_identity_clamp(const sqz_graph *g, const sqz_node *n)
{
    const sqz_value *x = sqz_val(g, n->in[0]), *y = sqz_val(g, n->out[0]);
    if (!x->quant || !y->quant || x->dtype != SQZ_S8 || y->dtype != SQZ_S8 || x->quant->n != 1 ||
        y->quant->n != 1 || x->quant->scale[0] != y->quant->scale[0] ||
        x->quant->zero[0] != y->quant->zero[0])
        return false;
    float scale = x->quant->scale[0];
    float end[2] = {(float)(-128 - x->quant->zero[0]) * scale,
                    (float)(127 - x->quant->zero[0]) * scale},
          got[2];
    const sqz_shape two = {1, {2}};
    sqz_tensor in, out;
    if (sqz_tensor_view(g->ctx, SQZ_F32, &two, end, &in) != SQZ_OK ||
        sqz_tensor_view(g->ctx, SQZ_F32, &two, got, &out) != SQZ_OK)
        return false;
    const sqz_tensor *const ins[1] = {&in};
    sqz_tensor *const outs[1] = {&out};
    const sqz_call c = {
        .ctx = g->ctx, .attrs = n->attrs, .n_in = 1, .n_out = 1, .in = ins, .out = outs};
    if (n->op->run(&c) != SQZ_OK)
        return false;
    /* half a step of slack: clip(0, 6) on a grid that ends at 5.9999999 or 6.0000001 */
    return fabsf(got[0] - end[0]) < 0.5f * scale && fabsf(got[1] - end[1]) < 0.5f * scale;
}

bool sqz_node_is_view(const sqz_graph *g, const sqz_node *n)
{
    if (n->op->traits & SQZ_T_VIEW)
        return true;
    if (strcmp(n->op->info.name, "transpose") == 0)
        return is_view_transpose(g, n);
    return (n->op->traits & SQZ_T_RELU_LIKE) && n->n_in >= 1 && is_identity_clamp(g, n);
}

/* Nothing but ones in front of the axis. */
static bool axis_is_outermost(const sqz_graph *g, const sqz_node *n, sqz_vid whole)
{
    const sqz_attr *axis = find_opt(n->op, "axis");
    const sqz_shape *s = &sqz_val(g, whole)->shape;
    int32_t a;
    if (!axis ||
        sqz_axis(g->ctx, *(const int64_t *)sqz_opt_field(axis, n->attrs), s->rank, &a) != SQZ_OK)
        return false;
    for (int32_t i = 0; i < a; i++)
        if (s->dim[i] != 1)
            return false;
    return sqz_dtype_bits(sqz_val(g, whole)->dtype) >= 8;
}

bool sqz_node_joins(const sqz_graph *g, const sqz_node *n)
{
    return strcmp(n->op->info.name, "concat") == 0 && axis_is_outermost(g, n, n->out[0]);
}

bool sqz_node_cuts(const sqz_graph *g, const sqz_node *n)
{
    return strcmp(n->op->info.name, "split") == 0 && axis_is_outermost(g, n, n->in[0]);
}
