/* pass_widen.c: float16, bfloat16 and float64 values become float32, so that every operator has one
 * float type to compute in. Inputs and outputs of the graph keep their type: a cast stands behind
 * or before them. A cast between float types inside the graph is dropped: rounding to fewer bits on
 * the way is a loss that the model does not need. Operators that look at the bits themselves
 * (bit_cast) keep their input. Where everything that touches float64 computes in it, it stays. */
#include "canon/layout.h"
#include "ir/pass.h"
#include <stdio.h>
#include <string.h>

/* A type that goes. */
static bool narrow(sqz_dtype d, bool keep_f64)
{
    return sqz_dtype_is_float(d) && d != SQZ_F32 && !(keep_f64 && d == SQZ_F64);
}

static bool reads_bits(const sqz_node *n) { return strcmp(n->op->info.name, "bit_cast") == 0; }

static sqz_status cast(sqz_graph *g, sqz_vid v, sqz_dtype to, sqz_nid before, sqz_vid *out)
{
    char attrs[32];
    (void)snprintf(attrs, sizeof attrs, "to=%d", (int)sqz_dtype_onnx(to));
    return sqz_graph_node_text(g, "cast", NULL, attrs, &v, 1, before, out);
}

static sqz_status widen_constant(sqz_graph *g, sqz_vid v)
{
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_cast(g->ctx, sqz_val(g, v)->constant, SQZ_F32, &t));
    return sqz_value_set_constant(g, v, &t);
}

/* Readers of `v` among the nodes from `first` on read `wide`, but those that read bits. */
static void redirect(sqz_graph *g, sqz_nid first, sqz_vid v, sqz_vid wide)
{
    for (sqz_nid n = first; n != SQZ_NONE; n = sqz_nod(g, n)->next) {
        sqz_node *nd = sqz_nod(g, n);
        for (unsigned i = 0; i < nd->n_in && !reads_bits(nd); i++)
            if (nd->in[i] == v)
                nd->in[i] = wide;
    }
}

static sqz_status widen_input(sqz_graph *g, sqz_vid v)
{
    sqz_nid first = g->first;
    sqz_vid wide;
    if (first == SQZ_NONE)
        return SQZ_OK;
    SQZ_TRY(cast(g, v, SQZ_F32, first, &wide));
    redirect(g, first, v, wide);
    return SQZ_OK;
}

/* Types anew, as the inputs are wide now. What is still narrow (a cast, a bit_cast) gets a wide
 * copy for its readers. */
static sqz_status widen_node(sqz_graph *g, sqz_nid n, bool keep_f64)
{
    sqz_node *nd = sqz_nod(g, n);
    sqz_shape shape[UINT8_MAX];
    sqz_dtype d[UINT8_MAX];
    const bool is_cast = strcmp(nd->op->info.name, "cast") == 0;
    SQZ_TRY(sqz_node_infer(g, nd, shape, d));
    for (unsigned i = 0; i < nd->n_out; i++) {
        sqz_value *v = sqz_val(g, nd->out[i]);
        sqz_vid wide;
        if (!v->quant)
            v->dtype = d[i];
        if (is_cast && v->dtype == sqz_val(g, nd->in[0])->dtype)
            redirect(g, nd->next, nd->out[i], nd->in[0]);
        if (!narrow(v->dtype, keep_f64) || nd->next == SQZ_NONE)
            continue;
        if (is_cast && sqz_val(g, nd->in[0])->dtype == SQZ_F32) {
            redirect(g, nd->next, nd->out[i], nd->in[0]);
            continue;
        }
        SQZ_TRY(cast(g, nd->out[i], SQZ_F32, nd->next, &wide));
        redirect(g, sqz_nod(g, sqz_val(g, wide)->producer)->next, nd->out[i], wide);
    }
    return SQZ_OK;
}

/* An output that became wide keeps its name and its type in the file. */
static sqz_status narrow_output(sqz_graph *g, uint32_t k, sqz_dtype was)
{
    const sqz_vid v = g->output[k];
    sqz_vid out;
    if (sqz_val(g, v)->dtype == was)
        return SQZ_OK;
    const char *name = sqz_val(g, v)->name;
    char *inner = sqz_arena_printf(&g->arena, "%s_f32", name);
    if (!inner)
        return SQZ_E_NOMEM;
    SQZ_TRY(cast(g, v, was, SQZ_NONE, &out));
    while (sqz_graph_find(g, inner) != SQZ_NONE)
        if (!(inner = sqz_arena_printf(&g->arena, "%s_", inner)))
            return SQZ_E_NOMEM;
    SQZ_TRY(sqz_graph_rename(g, v, inner));
    SQZ_TRY(sqz_graph_rename(g, out, name));
    for (uint32_t i = k; i < g->n_output; i++) /* the same value may be an output twice */
        if (g->output[i] == v)
            g->output[i] = out;
    return SQZ_OK;
}

static sqz_status widen(sqz_graph *g, const sqz_dtype *was, bool keep_f64)
{
    const uint32_t n_value = g->n_value;
    for (uint32_t i = 0; i < g->n_input; i++)
        if (narrow(sqz_val(g, g->input[i])->dtype, keep_f64))
            SQZ_TRY(widen_input(g, g->input[i]));
    for (sqz_vid v = 0; v < n_value; v++)
        if (sqz_val(g, v)->constant && narrow(sqz_val(g, v)->dtype, keep_f64))
            SQZ_TRY(widen_constant(g, v));
    SQZ_EACH_NODE(g, n) { SQZ_TRY(widen_node(g, n, keep_f64)); }
    for (uint32_t i = 0; i < g->n_output; i++)
        SQZ_TRY(narrow_output(g, i, was[i]));
    return SQZ_OK;
}

/* A node with an operand or result of float64 computes in it, and has no other floats beside it. */
static bool takes_f64(const sqz_graph *g, const sqz_node *n)
{
    bool touches = false, others = false;
    for (unsigned i = 0; i < n->n_in + n->n_out; i++) {
        const sqz_vid v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        const sqz_dtype d = v == SQZ_NONE ? SQZ_BOOL : sqz_val(g, v)->dtype;
        touches = touches || d == SQZ_F64;
        others = others || (sqz_dtype_is_float(d) && d != SQZ_F64);
    }
    return !touches ||
           (sqz_op_run_type(n->op, SQZ_F64) == SQZ_F64 && (!others || n->op->traits & SQZ_T_TYPES));
}

static bool all_take_f64(const sqz_graph *g)
{
    SQZ_EACH_NODE(g, n)
    {
        if (!takes_f64(g, sqz_nod(g, n)))
            return false;
    }
    return true;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const bool keep_f64 = all_take_f64(g);
    bool any = false;
    (void)opts;
    (void)env;
    SQZ_TRY(sqz_layout_known(g));
    for (sqz_vid v = 0; v < g->n_value; v++)
        any = any || (!sqz_value_dead(sqz_val(g, v)) && narrow(sqz_val(g, v)->dtype, keep_f64));
    if (!any)
        return SQZ_OK;
    sqz_dtype *was = sqz_calloc(g->ctx, (size_t)g->n_output + 1, sizeof *was);
    if (!was)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < g->n_output; i++)
        was[i] = sqz_val(g, g->output[i])->dtype;
    sqz_status s = widen(g, was, keep_f64);
    sqz_free(g->ctx, was);
    return s;
}

const sqz_pass sqz_pass_widen = {
    .info = {.name = "widen", .doc = "float16, bfloat16 and float64 values become float32"},
    .exact = false,
    .run = run,
};
