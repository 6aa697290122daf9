/* gemm: y(M,O) = x(M,I) . w(O,I)^T + b(O): the fully connected layer. ONNX's Gemm with its
 * transpositions and factors is brought to this form at import. */
#include "ir/qgrid.h"
#include "ops/build.h"
#include "ops/coded.h"
#include "ops/fc.h"
#include "ops/linear_grad.h"
#include "ops/product.h"
#include "ops/ties.h"
#include <math.h>
#include <string.h>

typedef struct attrs {
    int64_t trans_b;
} attrs;
static const sqz_attr schema[] = {
    {.name = "trans_b",
     .offset = offsetof(attrs, trans_b),
     .type = SQZ_A_BOOL,
     .max = 1,
     .flags = SQZ_AF_INTERNAL,
     .doc = "the weights are (I,O); set by the executor, for weights that stay codes"},
};
static bool is_turned(const void *opts) { return ((const attrs *)opts)->trans_b != 0; }

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *x = &q->in[0]->shape, *w = &q->in[1]->shape;
    SQZ_TRY(sqz_check_types(q));
    if (x->rank != 2 || w->rank != 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "operands of rank %d and %d, expected two matrices",
                        (int)x->rank, (int)w->rank);
    const sqz_shape turned = {2, {w->dim[1], w->dim[0]}};
    w = is_turned(q->attrs) ? &turned : w;
    if (x->dim[1] != w->dim[1])
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "rows of %lld numbers, but the weights take %lld",
                        (long long)x->dim[1], (long long)w->dim[1]);
    if (w->dim[0] > INT32_MAX || w->dim[1] > INT32_MAX || w->dim[0] < 1)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "weights of %lld x %lld", (long long)w->dim[0],
                        (long long)w->dim[1]);
    if (q->n_in > 2 && q->in[2] &&
        (q->in[2]->shape.rank != 1 || q->in[2]->shape.dim[0] != w->dim[0]))
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "the bias must have one number for each of %lld "
                        "outputs",
                        (long long)w->dim[0]);
    q->out[0] = (sqz_shape){2, {x->dim[0], w->dim[0]}};
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    return sqz_call_is_coded(c) ? sqz_coded_run(c) : sqz_matrix_run(c, c->state);
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    out->kind = SQZ_COST_FC;
    out->macs = (uint64_t)q->out[0].dim[0] * (uint64_t)q->in[1]->shape.dim[0] *
                (uint64_t)q->in[1]->shape.dim[1];
}

static sqz_status prepare(sqz_prep *p)
{
    const size_t i = sqz_dim(p->in[1], 1);
    const sqz_weights w = {.n = sqz_dim(p->in[1], 0),
                           .k = i,
                           .ld_n = i,
                           .ld_k = 1,
                           .groups = 1,
                           .channel_axis = 0,
                           .slot = 1,
                           .bias = 2};
    if (sqz_is_coded(p))
        return sqz_coded_prepare(
            p, &(sqz_coded_options){.axis = is_turned(p->attrs) ? 0 : 1, .bias = 2});
    if (is_turned(p->attrs))
        return sqz_fail(p->ctx, SQZ_E_INTERNAL, "trans_b is for weights that stay codes");
    if (sqz_is_integer(p))
        return sqz_fc_prepare(p, &w);
    sqz_matrix *m = sqz_arena_alloc(p->arena, 1, sizeof *m);
    if (!m)
        return SQZ_E_NOMEM;
    p->state = m;
    return sqz_matrix_prepare(p, &w, sqz_dim(p->in[0], 0), i * sizeof(float), m);
}

/* ---- ONNX: y = alpha * op(A) . op(B) + beta * C ---- */

typedef struct form {  /* the node while it is brought to our form */
    sqz_vid x, w, b;   /* b: SQZ_NONE, or a vector of one number for each output */
    sqz_vid rest;      /* a C that is no such vector: added afterwards */
    float alpha, beta; /* what is still to multiply with: the product, rest */
} form;

static float number(const sqz_import *im, const char *name, float def)
{
    const sqz_raw_attr *r = sqz_import_attr(im, name);
    return r ? r->f : def;
}

/* A float constant without a grid: its numbers may be rewritten. NULL: none. */
static const sqz_tensor *plain(const sqz_graph *g, sqz_vid v)
{
    const sqz_value *x = sqz_val(g, v);
    return x->constant && x->dtype == SQZ_F32 && !x->quant ? x->constant : NULL;
}

/* A new constant beside `v`: `t` times `factor`. Takes over t. */
static sqz_status scaled(sqz_graph *g, sqz_vid v, sqz_tensor *t, float factor, sqz_vid *out)
{
    for (size_t i = 0; i < t->count; i++)
        SQZ_F32P(t)[i] *= factor;
    return sqz_graph_constant(g, sqz_val(g, v)->name, t, out);
}

static const int swap[] = {1, 0}, keep[] = {0, 1};

/* The constant on a grid whose dequantization `v` is; NULL: it is none. */
static const sqz_value *codes_of(const sqz_graph *g, sqz_vid v)
{
    const sqz_nid id = sqz_val(g, v)->producer;
    if (id == SQZ_NONE || strcmp(sqz_nod(g, id)->op->info.name, "dequantize") != 0)
        return NULL;
    const sqz_value *c = sqz_val(g, sqz_nod(g, id)->in[0]);
    return c->constant && c->quant ? c : NULL;
}

/* Codes are turned, not what becomes of them: a transpose would stand between them and the product.
 */
static sqz_status turn_codes(sqz_graph *g, const sqz_value *c, sqz_vid *w)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_quant q;
    sqz_tensor t;
    sqz_vid v;
    sqz_status s = sqz_quant_permute(&a, c->quant, &c->shape, swap, &q);
    if (s == SQZ_OK)
        s = sqz_tensor_permute(g->ctx, c->constant, swap, &t);
    if (s == SQZ_OK)
        s = sqz_graph_constant(g, c->name, &t, &v);
    if (s == SQZ_OK)
        s = sqz_value_set_grid(g, v, &q);
    sqz_arena_free(&a);
    return s == SQZ_OK ? sqz_graph_node_text(g, "dequantize", NULL, "", &v, 1, SQZ_NONE, w) : s;
}

static sqz_status weights(sqz_import *im, bool trans_b, form *f)
{
    const sqz_tensor *t = plain(im->g, f->w);
    const sqz_value *codes = codes_of(im->g, f->w);
    sqz_tensor fresh;
    if (trans_b && f->alpha == 1)
        return SQZ_OK;
    if (codes && !trans_b)
        return turn_codes(im->g, codes, &f->w);
    if (!t)
        return trans_b ? SQZ_OK
                       : sqz_graph_node_text(im->g, "transpose", NULL, "perm=1,0", &f->w, 1,
                                             SQZ_NONE, &f->w);
    SQZ_TRY(sqz_tensor_permute(im->g->ctx, t, trans_b ? keep : swap, &fresh));
    float factor = f->alpha;
    f->alpha = 1;
    return scaled(im->g, f->w, &fresh, factor, &f->w);
}

/* C as a vector of one number for each of n outputs, if it can be one. */
static sqz_status bias(sqz_import *im, sqz_vid c, int64_t n, form *f)
{
    const sqz_value *v = sqz_val(im->g, c);
    const sqz_tensor *t = plain(im->g, c);
    const sqz_shape want = {1, {n}};
    sqz_tensor fresh;
    bool vector = sqz_shape_eq(&v->shape, &want);
    f->rest = f->alpha == 1 && f->beta == 1 && vector ? SQZ_NONE : c;
    f->b = f->rest == SQZ_NONE ? c : SQZ_NONE;
    int64_t rows = v->shape.rank == 2 ? v->shape.dim[0] : 1;
    if (f->b != SQZ_NONE || !t || f->alpha != 1 || rows != 1 || v->shape.rank > 2 ||
        (t->count != 1 && t->count != (size_t)n))
        return SQZ_OK;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, SQZ_F32, &want, &fresh));
    for (size_t i = 0; i < fresh.count; i++)
        SQZ_F32P(&fresh)[i] = SQZ_F32P(t)[t->count == 1 ? 0 : i];
    f->rest = SQZ_NONE;
    return scaled(im->g, c, &fresh, f->beta, &f->b);
}

/* `v` times a number, as a node. */
static sqz_status times(sqz_import *im, sqz_vid v, float factor, const char *const *name,
                        sqz_vid *out)
{
    const sqz_shape scalar = {0};
    sqz_tensor t;
    sqz_vid in[2] = {v, SQZ_NONE};
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, sqz_val(im->g, v)->dtype, &scalar, &t));
    sqz_tensor_set_f64(&t, 0, (double)factor);
    SQZ_TRY(sqz_graph_constant(im->g, NULL, &t, &in[1]));
    return sqz_graph_node(im->g, sqz_op_find("mul"), NULL, NULL, in, 2, name, 1, SQZ_NONE, out);
}

static sqz_status nodes(sqz_import *im, const sqz_op *op, form *f)
{
    const sqz_vid in[3] = {f->x, f->w, f->b};
    bool more = f->rest != SQZ_NONE, factor = f->alpha != 1;
    sqz_vid y;
    SQZ_TRY(sqz_graph_node(im->g, op, im->name, NULL, in, f->b == SQZ_NONE ? 2 : 3,
                           more || factor ? NULL : im->out_name, 1, SQZ_NONE, &y));
    if (factor)
        SQZ_TRY(times(im, y, f->alpha, more ? NULL : im->out_name, &y));
    if (more) {
        sqz_vid sum[2] = {y, f->rest};
        if (f->beta != 1)
            SQZ_TRY(times(im, f->rest, f->beta, NULL, &sum[1]));
        SQZ_TRY(sqz_graph_node(im->g, sqz_op_find("add"), NULL, NULL, sum, 2, im->out_name, 1,
                               SQZ_NONE, &y));
    }
    im->out[0] = y;
    return SQZ_OK;
}

/* Integers without a grid: a matrix product of plain numbers, for factors that are such numbers. */
static sqz_status whole(sqz_import *im)
{
    const float alpha = number(im, "alpha", 1), beta = number(im, "beta", 1);
    sqz_build b = {.im = im};
    sqz_vid x = im->in[0], w = im->in[1], c = sqz_b_in(&b, 2);
    if (alpha != truncf(alpha) || beta != truncf(beta) || fabsf(alpha) > 0x1p24f ||
        fabsf(beta) > 0x1p24f)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "factors %g and %g of integers, expected whole numbers", (double)alpha,
                        (double)beta);
    if (sqz_import_int(im, "transA", 0))
        x = sqz_b(&b, "transpose", "perm=1,0", 1, x);
    if (sqz_import_int(im, "transB", 0))
        w = sqz_b(&b, "transpose", "perm=1,0", 1, w);
    sqz_vid y = sqz_b(&b, "matmul", NULL, 2, x, w);
    if (alpha != 1)
        y = sqz_b(&b, "mul", NULL, 2, y, sqz_b_num(&b, (double)alpha, im->in[0]));
    if (c != SQZ_NONE && beta != 1)
        c = sqz_b(&b, "mul", NULL, 2, c, sqz_b_num(&b, (double)beta, im->in[0]));
    if (c != SQZ_NONE)
        y = sqz_b(&b, "add", NULL, 2, y, c);
    return sqz_b_end(&b, 1, y);
}

/* Attribute broadcast of opsets before 7 allows what is always allowed since. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    if (im->n_in < 2 || im->in[0] == SQZ_NONE || im->in[1] == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "an operand is missing");
    form f = {
        im->in[0], im->in[1], SQZ_NONE, SQZ_NONE, number(im, "alpha", 1), number(im, "beta", 1)};
    if (sqz_val(im->g, f.x)->shape.rank != 2 || sqz_val(im->g, f.w)->shape.rank != 2)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "the operands must be matrices");
    const sqz_value *a = sqz_val(im->g, f.x);
    if (!sqz_dtype_is_float(a->dtype) && !a->quant)
        return whole(im);
    if (sqz_import_int(im, "transA", 0))
        SQZ_TRY(sqz_graph_node_text(im->g, "transpose", NULL, "perm=1,0", &f.x, 1, SQZ_NONE, &f.x));
    SQZ_TRY(weights(im, sqz_import_int(im, "transB", 0) != 0, &f));
    if (im->n_in > 2 && im->in[2] != SQZ_NONE)
        SQZ_TRY(bias(im, im->in[2], sqz_val(im->g, f.w)->shape.dim[0], &f));
    return nodes(im, op, &f);
}

static sqz_status write(sqz_export *e)
{
    e->attr[e->n_attr++] = (sqz_export_attr){.name = "transB", .type = 2, .i = 1};
    return SQZ_OK;
}

typedef struct grads {
    sqz_weight_grad w;
    size_t room; /* in the scratch, for the gradient of x */
} grads;

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    grads *t = sqz_arena_alloc(p->arena, 1, sizeof *t);
    if (!t)
        return SQZ_E_NOMEM;
    sqz_weight_grad *w = &t->w;
    if (is_turned(p->attrs))
        return sqz_fail(p->ctx, SQZ_E_INTERNAL, "trans_b is for weights that stay codes");
    *w = (sqz_weight_grad){.rows = sqz_dim(p->in[0], 0),
                           .n = sqz_dim(p->in[1], 0),
                           .k = sqz_dim(p->in[1], 1),
                           .groups = 1,
                           .step = sqz_dim(p->in[1], 1),
                           .slot = 1,
                           .bias = 2};
    p->state = t;
    sqz_grad_product_reads(p);
    SQZ_TRY(sqz_weight_grad_prepare(p, w));
    return p->want & 1 ? sqz_data_grad_prepare(p, w->n, w->k, &t->room) : SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const grads *t = c->state;
    const sqz_weight_grad *w = &t->w;
    if (sqz_grad_none(c))
        return SQZ_OK;
    SQZ_TRY(sqz_weight_grad_run(c, w, c->in[0]->data, c->out_grad[0], c->scratch));
    if (!sqz_grad_wants(c, 0))
        return SQZ_OK;
    const sqz_data_grad d = {.rows = w->rows,
                             .n = w->n,
                             .k = w->k,
                             .add = sqz_grad_adds(c, 0),
                             .g = c->out_grad[0],
                             .w = c->in[1]->data,
                             .dx = c->in_grad[0],
                             .room = (char *)c->scratch + t->room};
    return sqz_data_grad_run(c->ctx, &d);
}

static void ties(sqz_ties *t)
{
    const int32_t o = is_turned(t->attrs) ? 1 : 0;
    sqz_tie_same(t, SQZ_TIE_IN(0, 0), SQZ_TIE_OUT(0, 0));
    sqz_tie_same(t, SQZ_TIE_IN(1, 1 - o), SQZ_TIE_IN(0, 1));
    sqz_tie_same(t, SQZ_TIE_IN(1, o), SQZ_TIE_OUT(0, 1));
    if (t->n_in > 2 && t->in[2])
        sqz_tie_same(t, SQZ_TIE_IN(2, 0), SQZ_TIE_OUT(0, 1));
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 3, .in = {{2, {3, 7}}, {2, {5, 7}}, {1, {5}}}, .constant = 6},
    {.attrs = "", .n_in = 2, .in = {{2, {1, 20}}, {2, {17, 20}}}, .constant = 2},
    {.attrs = "", .n_in = 2, .in = {{2, {4, 1}}, {2, {1, 1}}}, .constant = 2},
};

const sqz_op sqz_op_gemm = {
    .info = {.name = "gemm",
             .doc = "fully connected: x . transposed weights + bias",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_FUSES | SQZ_T_CODED,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .run_int = sqz_fc_run_s8,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .ties = ties,
    .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .bias = 2, .channel_axis = 0},
    .onnx = {.op_type = "Gemm", .since = 1, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
