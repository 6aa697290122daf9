/* export_qlinear.c: operators on integers whose grids are inputs: QLinearConv, QLinearMatMul of
 * ONNX, QGemm, QLinearAdd and others of com.microsoft. Operators that only hand codes on read the
 * codes, clamps are a Clip of them, or nothing where the grid ends there. What has no such form is
 * left to pairs. */
#include "io/onnx_export.h"
#include "ir/qround.h"
#include <string.h>

#define OPSET 13 /* whose attributes the operators of com.microsoft have */

typedef enum kind {
    CODES,  /* as it is, on codes */
    UNARY,  /* x, its grid, y's grid */
    BINARY, /* a, its grid, b, its grid, y's grid */
    CONV,   /* x, w, y's grid, bias */
    PRODUCT /* a, b, bias, y's grid; QLinearMatMul: a, b, y's grid */
} kind;

static const struct form {
    const char *op, *type;
    kind kind;
} forms[] = {
    {"conv2d", "QLinearConv", CONV},
    {"dwconv2d", "QLinearConv", CONV},
    {"gemm", "QGemm", PRODUCT},
    {"matmul", "QGemm", PRODUCT},
    {"add", "QLinearAdd", BINARY},
    {"mul", "QLinearMul", BINARY},
    {"average_pool", "QLinearAveragePool", UNARY},
    {"global_average_pool", "QLinearGlobalAveragePool", UNARY},
    {"sigmoid", "QLinearSigmoid", UNARY},
    {"leaky_relu", "QLinearLeakyRelu", UNARY},
    {"softmax", "QLinearSoftmax", UNARY},
    {"max_pool", NULL, CODES},
    {"concat", NULL, CODES},
    {"reshape", NULL, CODES},
    {"flatten", NULL, CODES},
    {"squeeze", NULL, CODES},
    {"unsqueeze", NULL, CODES},
    {"transpose", NULL, CODES},
    {"slice", NULL, CODES},
    {"split", NULL, CODES},
    {"gather", NULL, CODES},
    {"resize_nearest", NULL, CODES},
    {"identity", NULL, CODES},
};

/* ---- which nodes ---- */

static const struct form *form_of(const sqz_node *n)
{
    for (size_t i = 0; i < SQZ_COUNT(forms); i++)
        if (strcmp(forms[i].op, n->op->info.name) == 0)
            return &forms[i];
    return NULL;
}

/* An int8 value with one scale. */
static bool is_activation(const sqz_value *v)
{
    return v->dtype == SQZ_S8 && v->quant && v->quant->axis < 0;
}

static bool is_data(const sqz_node *n, unsigned k)
{
    const sqz_qrule *q = &n->op->quant;
    if (q->data_inputs)
        return k < 32 && q->data_inputs >> k & 1;
    return k == 0 || ((q->kind == SQZ_Q_SAME || q->kind == SQZ_Q_REALIGN));
}

/* Data and results are int8 and of one type in the file; `one`: of one grid. */
static bool on_codes(const sqz_graph *g, const sqz_node *n, bool one)
{
    const sqz_value *y = sqz_val(g, n->out[0]);
    for (unsigned i = 0; i < (unsigned)n->n_in + n->n_out; i++) {
        const sqz_vid v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        if (v == SQZ_NONE || (i < n->n_in && !is_data(n, i)))
            continue;
        const sqz_value *x = sqz_val(g, v);
        if (!is_activation(x) || x->was_u8 != y->was_u8 || (one && !sqz_onnx_same_grid(x, y)))
            return false;
    }
    return n->n_in > 0;
}

/* Weights without a zero point, in int8; a bias in int32. */
static bool linear_fits(const sqz_graph *g, const sqz_node *n)
{
    if (n->n_in < 2 || n->in[1] == SQZ_NONE)
        return false;
    const sqz_value *w = sqz_val(g, n->in[1]);
    const sqz_value *b = n->n_in > 2 && n->in[2] != SQZ_NONE ? sqz_val(g, n->in[2]) : NULL;
    if (!w->constant || !w->quant || w->quant->group || w->was_u8 ||
        (w->dtype != SQZ_S8 && w->dtype != SQZ_S4))
        return false;
    for (uint32_t i = 0; i < w->quant->n; i++)
        if (w->quant->zero[i])
            return false;
    return !b || (b->constant && b->dtype == SQZ_S32);
}

/* ---- inputs ---- */

typedef struct list {
    const char *name[16];
    unsigned n;
} list;

static sqz_status add_grid(sqz_onnx_export *e, list *in, sqz_vid v)
{
    SQZ_TRY(sqz_onnx_grid(e, v, &in->name[in->n], &in->name[in->n + 1]));
    in->n += 2;
    return SQZ_OK;
}

/* The zero points of weights, which are all 0: one, or `n` of them where the operator wants as many
 * as there are scales. */
static sqz_status add_scales(sqz_onnx_export *e, list *in, sqz_vid v, size_t n)
{
    const sqz_shape s = {n > 1, {(int64_t)n}};
    void *nought = sqz_arena_alloc(&e->arena, n + 1, 1);
    const char *unused;
    if (!nought)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_grid(e, v, &in->name[in->n], &unused));
    SQZ_TRY(sqz_onnx_share(e, SQZ_S8, &s, nought, n, &in->name[in->n + 1]));
    in->n += 2;
    return SQZ_OK;
}

static sqz_status add_value(sqz_onnx_export *e, list *in, sqz_vid v)
{
    SQZ_TRY(sqz_onnx_ints(e, v, &in->name[in->n]));
    in->n++;
    return add_grid(e, in, v);
}

/* Weights of 4 bits are written with their codes in 8: no integer operator takes less. */
static sqz_status add_codes(sqz_onnx_export *e, list *in, sqz_vid v)
{
    const sqz_value *w = sqz_val(e->g, v);
    int perm[SQZ_MAX_RANK];
    sqz_tensor wide, t;
    if (w->dtype == SQZ_S8)
        return sqz_onnx_ints(e, v, &in->name[in->n++]);
    for (int32_t i = 0; i < w->shape.rank; i++)
        perm[i] = w->channel_last ? sqz_axis_to_last(i, w->shape.rank) : i;
    SQZ_TRY(sqz_tensor_cast(e->ctx, w->constant, SQZ_S8, &wide));
    sqz_status s = sqz_tensor_permute(e->ctx, &wide, perm, &t);
    sqz_tensor_free(e->ctx, &wide);
    return s == SQZ_OK ? sqz_onnx_add_tensor(e, &t, &in->name[in->n++]) : s;
}

static bool has_bias(const sqz_node *n) { return n->n_in > 2 && n->in[2] != SQZ_NONE; }

static sqz_status add_bias(sqz_onnx_export *e, const sqz_node *n, list *in)
{
    in->name[in->n++] = NULL;
    return has_bias(n) ? sqz_onnx_ints(e, n->in[2], &in->name[in->n - 1]) : SQZ_OK;
}

/* QGemm has a bias and takes matrices only; QLinearMatMul the other way round. */
static bool is_matmul(const sqz_graph *g, const sqz_node *n)
{
    return sqz_val(g, n->in[0])->shape.rank != 2 && !has_bias(n);
}

/* x: name of the first operand's codes; NULL: its own. */
static sqz_status gather(sqz_onnx_export *e, const sqz_node *n, kind k, const char *x, list *in)
{
    SQZ_TRY(add_value(e, in, n->in[0]));
    in->name[0] = x ? x : in->name[0];
    if (k == CONV || k == PRODUCT) {
        SQZ_TRY(add_codes(e, in, n->in[1]));
        SQZ_TRY(add_scales(e, in, n->in[1], k == CONV ? 1 : sqz_val(e->g, n->in[1])->quant->n));
    }
    if (k == BINARY)
        SQZ_TRY(add_value(e, in, n->in[1]));
    if (k == PRODUCT && !is_matmul(e->g, n))
        SQZ_TRY(add_bias(e, n, in));
    SQZ_TRY(add_grid(e, in, n->out[0]));
    if (k == CONV)
        SQZ_TRY(add_bias(e, n, in));
    while (!in->name[in->n - 1])
        in->n--;
    return SQZ_OK;
}

/* ---- results ---- */

/* The name under which a node writes codes. */
static sqz_status result(sqz_onnx_export *e, sqz_vid v, Onnx__NodeProto *p, unsigned k)
{
    const sqz_vid root = sqz_onnx_root(e->g, v);
    const char *name = sqz_onnx_name(e, root);
    if (!name)
        return SQZ_E_NOMEM;
    p->output[k] = (char *)(uintptr_t)name;
    e->face[root].ints = name;
    return SQZ_OK;
}

static sqz_status finish(sqz_onnx_export *e, const sqz_node *n, const char *const *in,
                         Onnx__NodeProto *p)
{
    for (size_t i = 0; i < p->n_input; i++)
        p->input[i] = (char *)(uintptr_t)(in[i] ? in[i] : "");
    for (unsigned k = 0; k < n->n_out; k++)
        SQZ_TRY(result(e, n->out[k], p, k));
    return SQZ_OK;
}

/* ---- the kinds ---- */

static sqz_status on_grids(sqz_onnx_export *e, const sqz_node *n, const struct form *f,
                           const char *first, sqz_export *x, Onnx__NodeProto **out)
{
    list in = {.n = 0};
    const bool matmul = f->kind == PRODUCT && is_matmul(e->g, n);
    SQZ_TRY(sqz_onnx_spell(e, n, OPSET, x));
    x->op_type = matmul ? "QLinearMatMul" : f->type;
    x->domain = matmul || f->kind == CONV ? "" : "com.microsoft";
    SQZ_TRY(gather(e, n, f->kind, first, &in));
    SQZ_TRY(sqz_onnx_spelled_node(e, n, x, in.n, out));
    if (strcmp(n->op->info.name, "softmax") == 0)
        SQZ_TRY(sqz_onnx_set_int(e, *out, "opset", OPSET));
    return finish(e, n, in.name, *out);
}

/* Reshape of codes, to a shape whose first dimension is what is left. */
static sqz_status reshape(sqz_onnx_export *e, const sqz_node *n, const char *suffix, const char *in,
                          const sqz_shape *to, const char *out)
{
    const sqz_shape axes = {1, {to->rank}};
    const char *name = sqz_arena_printf(&e->arena, "%s_%s", n->name, suffix), *shape;
    int64_t dim[SQZ_MAX_RANK];
    Onnx__NodeProto *p;
    if (!name)
        return SQZ_E_NOMEM;
    memcpy(dim, to->dim, sizeof dim);
    dim[0] = -1;
    SQZ_TRY(sqz_onnx_share(e, SQZ_S64, &axes, dim, (size_t)to->rank * sizeof *dim, &shape));
    SQZ_TRY(sqz_onnx_new_node(e, "Reshape", name, 2, 1, &p));
    p->input[0] = (char *)(uintptr_t)in;
    p->input[1] = (char *)(uintptr_t)shape;
    p->output[0] = (char *)(uintptr_t)out;
    return SQZ_OK;
}

/* Rows of any shape times a matrix, plus a bias: as one matrix of rows. */
static sqz_status of_rows(sqz_onnx_export *e, const sqz_node *n, const struct form *f,
                          sqz_export *x)
{
    const sqz_vid y = sqz_onnx_root(e->g, n->out[0]);
    const sqz_shape a = sqz_val(e->g, n->in[0])->shape;
    const sqz_shape rows = {2, {-1, a.dim[a.rank - 1]}};
    const char *from, *flat = sqz_onnx_fresh(e), *product = sqz_onnx_fresh(e), *made;
    Onnx__NodeProto *p;
    if (!flat || !product)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_ints(e, n->in[0], &from));
    SQZ_TRY(reshape(e, n, "rows", from, &rows, flat));
    SQZ_TRY(on_grids(e, n, f, flat, x, &p));
    made = p->output[0];
    p->output[0] = (char *)(uintptr_t)product;
    return reshape(e, n, "shape", product, &sqz_val(e->g, y)->shape, made);
}

static sqz_status on_codes_only(sqz_onnx_export *e, const sqz_node *n, sqz_export *x)
{
    Onnx__NodeProto *p;
    const char **in = sqz_arena_alloc(&e->arena, SQZ_EXPORT_INPUTS, sizeof *in);
    if (!in)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_spell(e, n, e->opset, x));
    SQZ_TRY(sqz_onnx_input_names(e, x, true, in));
    SQZ_TRY(sqz_onnx_spelled_node(e, n, x, x->n_in, &p));
    return finish(e, n, in, p);
}

/* ---- clamps ---- */

/* What a clamp does to each code: the float operator on real numbers, and back. */
static sqz_status table(sqz_onnx_export *e, const sqz_node *n, int8_t out[256])
{
    const sqz_quant *q = sqz_val(e->g, n->out[0])->quant;
    const sqz_shape s = {1, {256}};
    const sqz_tensor *in[4] = {NULL};
    sqz_tensor x, y = {0}, *to = &y;
    if (n->n_in > SQZ_COUNT(in))
        return sqz_fail(e->ctx, SQZ_E_INTERNAL, "a clamp of %u inputs", n->n_in);
    for (unsigned i = 1; i < n->n_in; i++)
        in[i] = n->in[i] == SQZ_NONE ? NULL : sqz_val(e->g, n->in[i])->constant;
    SQZ_TRY(sqz_tensor_alloc(e->ctx, SQZ_F32, &s, &x));
    sqz_status status = sqz_tensor_alloc(e->ctx, SQZ_F32, &s, &y);
    for (int c = -128; c < 128; c++)
        SQZ_F32P(&x)[c + 128] = q->scale[0] * (float)(c - q->zero[0]);
    in[0] = &x;
    if (status == SQZ_OK)
        status = sqz_op_run_once(e->ctx, n->op, n->attrs, in, n->n_in, &to, 1, NULL, NULL);
    for (int c = 0; status == SQZ_OK && c < 256; c++)
        out[c] = (int8_t)sqz_qround(SQZ_F32P(&y)[c], q->scale[0], q->zero[0], -128, 127);
    sqz_tensor_free(e->ctx, &x);
    sqz_tensor_free(e->ctx, &y);
    return status;
}

/* The codes between which the table changes nothing; false: it is no clamp of codes. */
static bool limits(const int8_t t[256], int *lo, int *hi)
{
    *lo = t[0];
    *hi = t[255];
    for (int c = -128; c < 128; c++)
        if (t[c + 128] != SQZ_MIN(SQZ_MAX(c, *lo), *hi))
            return false;
    return true;
}

static sqz_status limit(sqz_onnx_export *e, const sqz_value *y, int code, const char **out)
{
    const sqz_shape scalar = {0};
    const int8_t c = (int8_t)(y->was_u8 ? code + 128 : code);
    return sqz_onnx_share(e, y->was_u8 ? SQZ_U8 : SQZ_S8, &scalar, &c, 1, out);
}

static sqz_status clamp(sqz_onnx_export *e, const sqz_node *n, bool *done)
{
    const sqz_vid y = sqz_onnx_root(e->g, n->out[0]);
    const sqz_export clip = {.op_type = "Clip", .domain = ""};
    const char *in[3];
    int8_t t[256];
    int lo, hi;
    Onnx__NodeProto *p;
    SQZ_TRY(table(e, n, t));
    *done = limits(t, &lo, &hi);
    if (!*done)
        return SQZ_OK;
    SQZ_TRY(sqz_onnx_ints(e, n->in[0], &in[0]));
    if (lo == -128 && hi == 127 && !sqz_onnx_is_output(e, y)) {
        e->face[y].ints = in[0];
        return SQZ_OK;
    }
    SQZ_TRY(limit(e, sqz_val(e->g, y), lo, &in[1]));
    SQZ_TRY(limit(e, sqz_val(e->g, y), hi, &in[2]));
    SQZ_TRY(sqz_onnx_spelled_node(e, n, &clip, 3, &p));
    return finish(e, n, in, p);
}

sqz_status sqz_onnx_qlinear(sqz_onnx_export *e, const sqz_node *n, sqz_export *x, bool *done)
{
    const struct form *f = form_of(n);
    *done = false;
    if (n->op->traits & SQZ_T_RELU_LIKE && n->n_out == 1 && on_codes(e->g, n, true))
        return clamp(e, n, done);
    if (!f || !on_codes(e->g, n, f->kind == CODES))
        return SQZ_OK;
    if ((f->kind == CONV || f->kind == PRODUCT) && !linear_fits(e->g, n))
        return SQZ_OK;
    Onnx__NodeProto *unused;
    *done = true;
    if (f->kind == CODES)
        return on_codes_only(e, n, x);
    if (f->kind == PRODUCT && has_bias(n) && sqz_val(e->g, n->in[0])->shape.rank != 2)
        return of_rows(e, n, f, x);
    return on_grids(e, n, f, NULL, x, &unused);
}
