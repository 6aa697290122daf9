/* export_quant.c: integer values in QDQ form. An operator reads DequantizeLinear and its result
 * goes through QuantizeLinear; runtimes fuse the three. Where a clamp follows that stays on the
 * same grid the pair between is left out, so that they fuse all four. */
#include "io/onnx_export.h"
#include "ir/qgrid.h"
#include <string.h>

/* ---- grids as initializers ---- */

/* The grid of a value as the file has it: its axis, and blocks, in the file's layout. */
static sqz_status file_grid(sqz_onnx_export *e, const sqz_value *v, sqz_quant *q, sqz_shape *shape)
{
    const sqz_shape file = sqz_value_file_shape(v);
    if (!v->quant) /* a graph as text may leave it out */
        return sqz_fail(e->ctx, SQZ_E_UNSUPPORTED, "value '%s' of type %s has no grid", v->name,
                        sqz_dtype_name(v->dtype));
    int perm[SQZ_MAX_RANK];
    for (int32_t i = 0; i < v->shape.rank; i++)
        perm[i] = v->channel_last ? sqz_axis_to_last(i, v->shape.rank) : i;
    SQZ_TRY(sqz_quant_permute(&e->arena, v->quant, &v->shape, perm, q));
    *shape = sqz_quant_shape(q, &file);
    return SQZ_OK;
}

static sqz_status zeros(sqz_onnx_export *e, const sqz_value *v, const sqz_quant *q,
                        const sqz_shape *s, const char **out)
{
    bool u8 = v->was_u8 && v->dtype == SQZ_S8;
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(e->ctx, u8 ? SQZ_U8 : v->dtype, s, &t));
    for (uint32_t i = 0; i < q->n; i++)
        sqz_tensor_set_i64(&t, i, (int64_t)q->zero[i] + (u8 ? 128 : 0));
    sqz_status st = sqz_onnx_share(e, t.dtype, s, t.data, t.bytes, out);
    sqz_tensor_free(e->ctx, &t);
    return st;
}

/* 0 is what a reader assumes, and the type is that of the integers. Pairs around activations keep
 * theirs: QuantizeLinear needs it for the type, and runtimes compare the two. */
static bool zero_is_clear(const sqz_value *v)
{
    for (uint32_t i = 0; i < v->quant->n; i++)
        if (v->quant->zero[i])
            return false;
    return v->constant && !v->was_u8;
}

/* ONNX Runtime makes an integer product of Gemm only where the zero point of the weights is there.
 */
static bool weighs_gemm(const sqz_onnx_export *e, sqz_vid root)
{
    for (uint32_t i = e->uses.first[root]; i < e->uses.first[root + 1]; i++) {
        sqz_nid reader = e->uses.node[i];
        if (reader != SQZ_NONE && strcmp(sqz_nod(e->g, reader)->op->info.name, "gemm") == 0 &&
            sqz_val(e->g, root)->dtype != SQZ_S32)
            return true;
    }
    return false;
}

bool sqz_onnx_same_grid(const sqz_value *a, const sqz_value *b)
{
    const sqz_quant *p = a->quant, *q = b->quant;
    return p && q && a->dtype == b->dtype && a->was_u8 == b->was_u8 && p->axis < 0 && q->axis < 0 &&
           p->scale[0] == q->scale[0] && p->zero[0] == q->zero[0];
}

sqz_status sqz_onnx_grid(sqz_onnx_export *e, sqz_vid v, const char **scale, const char **zero)
{
    const sqz_value *val = sqz_val(e->g, sqz_onnx_root(e->g, v));
    sqz_quant q;
    sqz_shape shape, one = {0};
    SQZ_TRY(file_grid(e, val, &q, &shape));
    SQZ_TRY(sqz_onnx_share(e, SQZ_F32, &shape, q.scale, (size_t)q.n * sizeof *q.scale, scale));
    bool same = true;
    for (uint32_t i = 0; i < q.n; i++)
        same = same && q.zero[i] == q.zero[0];
    q.n = same ? 1 : q.n;
    return zeros(e, val, &q, same ? &one : &shape, zero);
}

/* QuantizeLinear or DequantizeLinear with the grid of `root`. */
static sqz_status pair_node(sqz_onnx_export *e, bool quantize, sqz_vid root, const char *node,
                            const char *in, const char *out)
{
    const sqz_value *v = sqz_val(e->g, root);
    Onnx__NodeProto *n;
    const char *scale, *zero = NULL;
    sqz_quant q;
    sqz_shape shape;
    SQZ_TRY(file_grid(e, v, &q, &shape));
    SQZ_TRY(sqz_onnx_share(e, SQZ_F32, &shape, q.scale, (size_t)q.n * sizeof *q.scale, &scale));
    if (quantize || !zero_is_clear(v) || weighs_gemm(e, root))
        SQZ_TRY(zeros(e, v, &q, &shape, &zero));
    SQZ_TRY(sqz_onnx_new_node(e, quantize ? "QuantizeLinear" : "DequantizeLinear", node,
                              zero ? 3 : 2, 1, &n));
    n->input[0] = (char *)(uintptr_t)in;
    n->input[1] = (char *)(uintptr_t)scale;
    if (zero)
        n->input[2] = (char *)(uintptr_t)zero;
    n->output[0] = (char *)(uintptr_t)out;
    if (q.axis >= 0 && q.axis != 1)
        SQZ_TRY(sqz_onnx_set_int(e, n, "axis", q.axis));
    return q.group ? sqz_onnx_set_int(e, n, "block_size", q.group) : SQZ_OK;
}

/* ---- the two faces ---- */

sqz_status sqz_onnx_ints(sqz_onnx_export *e, sqz_vid v, const char **out)
{
    sqz_vid root = sqz_onnx_root(e->g, v);
    const sqz_value *val = sqz_val(e->g, root);
    sqz_onnx_face *f = &e->face[root];
    if (!f->ints && val->role == SQZ_ROLE_ACTIVATION)
        return sqz_fail(e->ctx, SQZ_E_INTERNAL, "value '%s' is read before it is written",
                        val->name);
    if (!f->ints) {
        f->ints = sqz_onnx_name(e, root);
        if (!f->ints)
            return SQZ_E_NOMEM;
        if (val->constant)
            SQZ_TRY(sqz_onnx_add_constant(e, root, f->ints));
    }
    *out = f->ints;
    return SQZ_OK;
}

sqz_status sqz_onnx_real(sqz_onnx_export *e, sqz_vid v, const char **out)
{
    sqz_vid root = sqz_onnx_root(e->g, v);
    const sqz_value *val = sqz_val(e->g, root);
    sqz_onnx_face *f = &e->face[root];
    const char *ints;
    if (!f->real && sqz_onnx_is_ints(val)) {
        SQZ_TRY(sqz_onnx_ints(e, root, &ints));
        const char *name = sqz_onnx_fresh(e);
        if (!name)
            return SQZ_E_NOMEM;
        SQZ_TRY(pair_node(e, false, root, NULL, ints, name));
        f->real = name;
    } else if (!f->real) { /* a float constant or input, or integers of another kind */
        f->real = sqz_onnx_name(e, root);
        if (!f->real)
            return SQZ_E_NOMEM;
        if (val->constant)
            SQZ_TRY(sqz_onnx_add_constant(e, root, f->real));
    }
    *out = f->real;
    return SQZ_OK;
}

/* Only reader of `root` is a clamp on the same grid: it needs no pair before it. */
static bool clamped_next(const sqz_onnx_export *e, sqz_vid root)
{
    const sqz_value *v = sqz_val(e->g, root);
    const sqz_qkind kind = sqz_nod(e->g, v->producer)->op->quant.kind;
    if ((kind != SQZ_Q_LINEAR && kind != SQZ_Q_REALIGN) || sqz_n_uses(&e->uses, root) != 1 ||
        e->form.kind == SQZ_ONNX_QOPERATOR) /* clamps read integers there */
        return false;
    sqz_nid reader = e->uses.node[e->uses.first[root]];
    if (reader == SQZ_NONE)
        return false;
    const sqz_node *n = sqz_nod(e->g, reader);
    return (n->op->traits & SQZ_T_RELU_LIKE) && n->n_out == 1 &&
           sqz_onnx_root(e->g, n->in[0]) == root && sqz_onnx_same_grid(v, sqz_val(e->g, n->out[0]));
}

sqz_status sqz_onnx_before(sqz_onnx_export *e, sqz_vid root, const char **out)
{
    bool shown = sqz_onnx_is_ints(sqz_val(e->g, root)) && sqz_onnx_is_output(e, root);
    *out = shown ? sqz_onnx_fresh(e) : sqz_onnx_name(e, root);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

sqz_status sqz_onnx_after(sqz_onnx_export *e, sqz_vid root, const char *written)
{
    const sqz_value *v = sqz_val(e->g, root);
    sqz_onnx_face *f = &e->face[root];
    if (!sqz_onnx_is_ints(v) || clamped_next(e, root)) {
        f->real = written;
        return SQZ_OK;
    }
    const char *ints = sqz_onnx_is_output(e, root) ? v->name : sqz_onnx_fresh(e);
    if (!ints)
        return SQZ_E_NOMEM;
    SQZ_TRY(pair_node(e, true, root, NULL, written, ints));
    f->ints = ints;
    return SQZ_OK;
}

/* ---- quantize, requantize and dequantize nodes of the graph ---- */

sqz_status sqz_onnx_quantize(sqz_onnx_export *e, const sqz_node *n)
{
    const char *in, *out = sqz_onnx_name(e, n->out[0]);
    if (!out)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_real(e, n->in[0], &in));
    SQZ_TRY(pair_node(e, true, n->out[0], n->name, in, out));
    e->face[n->out[0]].ints = out;
    return SQZ_OK;
}

sqz_status sqz_onnx_dequantize(sqz_onnx_export *e, const sqz_node *n)
{
    const char *in = NULL, *out = sqz_onnx_name(e, n->out[0]);
    sqz_vid from = sqz_onnx_root(e->g, n->in[0]);
    if (!out)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_ints(e, from, &in));
    SQZ_TRY(pair_node(e, false, from, n->name, in, out));
    e->face[n->out[0]].real = out;
    return SQZ_OK;
}
