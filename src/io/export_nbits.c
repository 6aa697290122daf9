/* export_nbits.c: products of floats by integer weights as MatMulNBits of com.microsoft:
 *
 *     y = x . w^T + bias,  w (N,K): rows in blocks along K, each block bytes of its own
 *
 * B (N, blocks, block * bits / 8), codes low bits first; scales (N, blocks); zero points packed in
 * the same way (N, bytes), left out where all are the middle code. */
#include "io/onnx_export.h"
#include "ir/qgrid.h"
#include <string.h>

#define BLOCK_LEAST 16
#define BLOCK_MOST  128 /* of weights that have one scale for each output */

typedef struct weights {
    const sqz_value *w;
    int32_t terms; /* axis along which the product adds up */
    size_t n, k, block, n_block;
    unsigned bits;
} weights;

/* ---- which nodes ---- */

static bool is_named(const sqz_node *n, const char *name)
{
    return n && strcmp(n->op->info.name, name) == 0;
}

static const sqz_node *maker(const sqz_graph *g, sqz_vid v)
{
    const sqz_nid p = v == SQZ_NONE ? SQZ_NONE : sqz_val(g, v)->producer;
    return p == SQZ_NONE ? NULL : sqz_nod(g, p);
}

/* A transpose of two axes: with two, any that is not the identity. */
static bool is_swap(const sqz_graph *g, const sqz_node *n)
{
    if (!is_named(n, "transpose") || sqz_val(g, n->in[0])->shape.rank != 2)
        return false;
    const sqz_ints *perm = sqz_opt_field(&n->op->info.opts[0], n->attrs);
    return perm->n == 0 || perm->v[0] == 1;
}

static size_t block_of(const sqz_quant *q, size_t k)
{
    size_t block = BLOCK_LEAST;
    if (q->group)
        return (size_t)q->group;
    while (block < BLOCK_MOST && block < k)
        block *= 2;
    return block;
}

static bool zeros_are_codes(const sqz_quant *q, unsigned bits, bool is_signed)
{
    const int32_t lo = is_signed ? -(1 << (bits - 1)) : 0;
    for (uint32_t i = 0; i < q->n; i++)
        if (q->zero[i] < lo || q->zero[i] >= lo + (1 << bits))
            return false;
    return true;
}

/* The weights of a product, where they have this form. */
static bool find(const sqz_graph *g, const sqz_node *n, weights *w)
{
    if ((!is_named(n, "gemm") && !is_named(n, "matmul")) || n->n_in < 2 || n->in[0] == SQZ_NONE)
        return false;
    const sqz_value *x = sqz_val(g, n->in[0]), *y = sqz_val(g, n->out[0]);
    const sqz_node *d = maker(g, n->in[1]);
    const bool turned = d && is_swap(g, d);
    if (turned)
        d = maker(g, d->in[0]);
    if (!is_named(d, "dequantize") || x->dtype != SQZ_F32 || x->quant || y->quant)
        return false;
    *w = (weights){.w = sqz_val(g, d->in[0])};
    const sqz_quant *q = w->w->quant;
    const sqz_dtype t = w->w->dtype;
    if (!w->w->constant || !q || w->w->shape.rank != 2 ||
        (t != SQZ_S4 && t != SQZ_U4 && t != SQZ_S8 && t != SQZ_U8))
        return false;
    w->terms = (n->op->quant.channel_axis == 0 ? 1 : 0) ^ turned; /* gemm (O,I), matmul (K,N) */
    w->k = (size_t)w->w->shape.dim[w->terms];
    w->n = (size_t)w->w->shape.dim[1 - w->terms];
    w->bits = sqz_dtype_bits(t);
    w->block = block_of(q, w->k);
    w->n_block = (w->k + w->block - 1) / w->block;
    if (w->k == 0 || w->n == 0 || w->block < BLOCK_LEAST || (w->block & (w->block - 1)))
        return false;
    return (q->axis < 0 || q->axis == (q->group ? w->terms : 1 - w->terms)) &&
           zeros_are_codes(q, w->bits, t == SQZ_S4 || t == SQZ_S8);
}

/* Every reader of v takes it as weights that it has already, or hands it on to such. */
static bool only_nbits_read(const sqz_onnx_export *e, sqz_vid v)
{
    const sqz_uses *u = &e->uses;
    for (uint32_t i = u->first[v]; i < u->first[v + 1]; i++) {
        const sqz_nid id = u->node[i];
        if (id == SQZ_NONE || !(e->silent[id] || (e->nbits[id] && sqz_nod(e->g, id)->in[0] != v)))
            return false;
    }
    return sqz_n_uses(u, v) > 0;
}

sqz_status sqz_onnx_plan_nbits(sqz_onnx_export *e)
{
    const sqz_graph *g = e->g;
    weights w;
    e->nbits = sqz_arena_alloc(&e->arena, g->n_node + 1u, sizeof *e->nbits);
    e->silent = sqz_arena_alloc(&e->arena, g->n_node + 1u, sizeof *e->silent);
    if (!e->nbits || !e->silent)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id) { e->nbits[id] = find(g, sqz_nod(g, id), &w); }
    for (sqz_nid id = g->last; id != SQZ_NONE; id = sqz_nod(g, id)->prev) { /* readers first */
        const sqz_node *n = sqz_nod(g, id);
        const bool swap = is_swap(g, n) && is_named(maker(g, n->in[0]), "dequantize");
        const bool codes = is_named(n, "dequantize") && sqz_val(g, n->in[0])->constant;
        e->silent[id] = (swap || codes) && only_nbits_read(e, n->out[0]);
    }
    return SQZ_OK;
}

/* ---- packing ---- */

static size_t index_of(const weights *w, size_t o, size_t k)
{
    return w->terms == 1 ? o * w->k + k : k * w->n + o;
}

/* Codes count from 0 in the file. */
static int64_t middle(const weights *w)
{
    return w->w->dtype == SQZ_S4 || w->w->dtype == SQZ_S8 ? 1 << (w->bits - 1) : 0;
}

static size_t scale_of(const weights *w, size_t o, size_t block)
{
    return sqz_quant_run(w->w->quant, &w->w->shape, index_of(w, o, block * w->block)).first;
}

static void put(uint8_t *row, size_t i, unsigned bits, int64_t code)
{
    row[i * bits / 8] |= (uint8_t)((uint64_t)code << (i * bits % 8));
}

static sqz_status codes(sqz_onnx_export *e, const weights *w, const char **out)
{
    const size_t bytes = w->block * w->bits / 8, row = w->n_block * bytes;
    const sqz_shape s = {3, {(int64_t)w->n, (int64_t)w->n_block, (int64_t)bytes}};
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(e->ctx, SQZ_U8, &s, &t));
    for (size_t o = 0; o < w->n; o++)
        for (size_t k = 0; k < w->n_block * w->block; k++) { /* what is left over means 0 */
            int64_t code = k < w->k ? sqz_tensor_i64(w->w->constant, index_of(w, o, k))
                                    : w->w->quant->zero[scale_of(w, o, w->n_block - 1)];
            put((uint8_t *)t.data + o * row, k, w->bits, code + middle(w));
        }
    return sqz_onnx_add_tensor(e, &t, out);
}

static sqz_status scales(sqz_onnx_export *e, const weights *w, const char **out)
{
    const sqz_shape s = {2, {(int64_t)w->n, (int64_t)w->n_block}};
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(e->ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_F32P(&t)[i] = w->w->quant->scale[scale_of(w, i / w->n_block, i % w->n_block)];
    return sqz_onnx_add_tensor(e, &t, out);
}

/* *out NULL: all are the middle code, which is what readers assume. */
static sqz_status zeros(sqz_onnx_export *e, const weights *w, const char **out)
{
    const size_t row = (w->n_block * w->bits + 7) / 8;
    const sqz_shape s = {2, {(int64_t)w->n, (int64_t)row}};
    bool assumed = true;
    sqz_tensor t;
    *out = NULL;
    for (uint32_t i = 0; i < w->w->quant->n; i++)
        assumed = assumed && w->w->quant->zero[i] + middle(w) == 1 << (w->bits - 1);
    if (assumed)
        return SQZ_OK;
    SQZ_TRY(sqz_tensor_alloc(e->ctx, SQZ_U8, &s, &t));
    for (size_t o = 0; o < w->n; o++)
        for (size_t b = 0; b < w->n_block; b++)
            put((uint8_t *)t.data + o * row, b, w->bits,
                w->w->quant->zero[scale_of(w, o, b)] + middle(w));
    return sqz_onnx_add_tensor(e, &t, out);
}

/* ---- the node ---- */

/* The file asked for int8 rows itself (matmul's attribute of that name), or the user does. */
static int64_t level(const sqz_onnx_export *e, const sqz_node *n)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, "int8_rows") == 0 && !e->form.accuracy_level)
            return *(const int64_t *)sqz_opt_field(&n->op->info.opts[i], n->attrs) ? 4 : 0;
    return e->form.accuracy_level;
}

static sqz_status attributes(sqz_onnx_export *e, const sqz_node *n, const weights *w,
                             Onnx__NodeProto *p)
{
    const int64_t accuracy = level(e, n);
    SQZ_TRY(sqz_onnx_set_int(e, p, "K", (int64_t)w->k));
    SQZ_TRY(sqz_onnx_set_int(e, p, "N", (int64_t)w->n));
    SQZ_TRY(sqz_onnx_set_int(e, p, "bits", w->bits));
    SQZ_TRY(sqz_onnx_set_int(e, p, "block_size", (int64_t)w->block));
    return accuracy ? sqz_onnx_set_int(e, p, "accuracy_level", accuracy) : SQZ_OK;
}

sqz_status sqz_onnx_nbits(sqz_onnx_export *e, const sqz_node *n)
{
    static const sqz_export form = {.op_type = "MatMulNBits", .domain = "com.microsoft"};
    const bool bias = n->n_in > 2 && n->in[2] != SQZ_NONE;
    const char *in[6] = {0}, *made;
    Onnx__NodeProto *p;
    weights w;
    (void)find(e->g, n, &w); /* it did when this was planned */
    SQZ_TRY(sqz_onnx_real(e, n->in[0], &in[0]));
    SQZ_TRY(codes(e, &w, &in[1]));
    SQZ_TRY(scales(e, &w, &in[2]));
    SQZ_TRY(zeros(e, &w, &in[3]));
    if (bias)
        SQZ_TRY(sqz_onnx_real(e, n->in[2], &in[5]));
    SQZ_TRY(sqz_onnx_before(e, n->out[0], &made));
    SQZ_TRY(sqz_onnx_spelled_node(e, n, &form, bias ? 6 : in[3] ? 4 : 3, &p));
    for (size_t i = 0; i < p->n_input; i++)
        p->input[i] = (char *)(uintptr_t)(in[i] ? in[i] : "");
    p->output[0] = (char *)(uintptr_t)made;
    SQZ_TRY(attributes(e, n, &w, p));
    return sqz_onnx_after(e, n->out[0], made);
}
