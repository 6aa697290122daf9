/* qdq.c: see qdq.h. */
#include "ops/qdq.h"
#include "ir/qgrid.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct grid { /* lists are in the arena of the graph: grids keep copies, imports are few */
    sqz_quant q;
    float *scale;
    int32_t *zero;
    bool known;    /* constant, and a grid of ours but for the sign of the scales */
    bool negative; /* some scales are below 0 */
} grid;

static sqz_ctx *ctx_of(const sqz_build *b) { return b->im->g->ctx; }

/* ---- types ---- */

sqz_status sqz_qdq_type(sqz_import *im, int64_t code, sqz_dtype *out)
{
    static const char *const refused[] = {[17] = "float8e4m3fn", [18] = "float8e4m3fnuz",
                                          [19] = "float8e5m2",   [20] = "float8e5m2fnuz",
                                          [23] = "float4e2m1",   [24] = "float8e8m0",
                                          [25] = "uint2",        [26] = "int2"};
    if (code > 0 && code < (int64_t)SQZ_COUNT(refused) && refused[code])
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "codes of type %s are not supported: export with int8, int16 or int4",
                        refused[code]);
    *out = code > 0 && code < 100 ? sqz_dtype_of_onnx((int32_t)code) : SQZ_N_DTYPE;
    if (*out == SQZ_N_DTYPE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "element type %lld does not exist",
                        (long long)code);
    return SQZ_OK;
}

static bool is_code(sqz_dtype d)
{
    return (d >= SQZ_S8 && d <= SQZ_S32) || d == SQZ_S4 || d == SQZ_U4;
}

static void limits(sqz_dtype d, double *lo, double *hi)
{
    unsigned bits = sqz_dtype_bits(d);
    bool is_signed = d == SQZ_S4 || d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32;
    *lo = is_signed ? -ldexp(1, (int)bits - 1) : 0;
    *hi = ldexp(1, (int)bits - is_signed) - 1;
}

sqz_vid sqz_b_cast(sqz_build *b, sqz_vid x, sqz_dtype d)
{
    if (b->status != SQZ_OK || sqz_b_val(b, x)->dtype == d)
        return x;
    return sqz_bf(b, "cast", &x, 1, "to=%d", (int)sqz_dtype_onnx(d));
}

/* ---- another operator of ONNX ---- */

static sqz_status read_as(sqz_import *im, const char *op_type)
{
    bool known;
    const sqz_lower *rule = sqz_lower_find("", op_type, im->opset, &known);
    const sqz_op *op = rule ? NULL : sqz_op_of_onnx(op_type, im->opset, &known);
    if (rule)
        return rule->import(im);
    if (!op)
        return sqz_fail(im->g->ctx, SQZ_E_INTERNAL, "there is no %s at opset %lld", op_type,
                        (long long)im->opset);
    return op->onnx.import ? op->onnx.import(im, op) : sqz_import_node(im, op, NULL, NULL, 0);
}

sqz_vid sqz_b_onnx(sqz_build *b, const char *op_type, int64_t opset, const sqz_vid *in, unsigned n,
                   const sqz_raw_attr *attr, unsigned n_attr)
{
    const char *no_name = NULL;
    sqz_vid out = SQZ_NONE;
    char name[256];
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    while (n && in[n - 1] == SQZ_NONE)
        n--;
    (void)snprintf(name, sizeof name, "%.200s/%s_%u", b->im->name, op_type, b->made++);
    sqz_import im = {.g = b->im->g,
                     .op_type = op_type,
                     .name = name,
                     .opset = opset,
                     .attr = attr,
                     .n_attr = n_attr,
                     .in = in,
                     .n_in = n,
                     .out_name = &no_name,
                     .n_out = 1,
                     .out = &out};
    b->status = read_as(&im, op_type);
    return b->status == SQZ_OK ? out : SQZ_NONE;
}

/* ---- which scale belongs to what ---- */

/* All dimensions of s but one are 1, and that one is x's: -> its index; else -1. */
static int32_t only_axis(const sqz_shape *s, const sqz_shape *x)
{
    int32_t axis = -1;
    for (int32_t i = 0; i < s->rank; i++) {
        if (s->dim[i] == 1)
            continue;
        if (axis >= 0 || s->dim[i] != x->dim[i])
            return -1;
        axis = i;
    }
    return axis;
}

static bool by_blocks(const sqz_shape *s, const sqz_shape *x, int32_t axis, int64_t block)
{
    bool fits = s->rank == x->rank;
    for (int32_t i = 0; fits && i < x->rank; i++)
        fits = s->dim[i] == (i == axis ? (x->dim[i] + block - 1) / block : x->dim[i]);
    return fits;
}

/* Fills axis and group of *out for scales of shape s. *plain: they broadcast against x as they
 * stand, by no axis. */
static sqz_status place(sqz_build *b, const sqz_qdq *q, const sqz_shape *s, const sqz_shape *x,
                        sqz_quant *out, bool *plain)
{
    char have[160], want[160];
    size_t n;
    *plain = false;
    out->axis = -1;
    out->group = 0;
    SQZ_TRY(sqz_shape_count(ctx_of(b), s, SQZ_F32, &n, NULL));
    if (q->block < 0 || q->block > INT32_MAX)
        return sqz_fail(ctx_of(b), SQZ_E_FORMAT, "block_size is %lld", (long long)q->block);
    if (q->block > 0) {
        SQZ_TRY(sqz_axis(ctx_of(b), q->axis, x->rank, &out->axis));
        out->group = (int32_t)q->block;
        if (by_blocks(s, x, out->axis, q->block))
            return SQZ_OK;
    } else if (n == 1) {
        return SQZ_OK;
    } else if (s->rank == 1) {
        SQZ_TRY(sqz_axis(ctx_of(b), q->axis, x->rank, &out->axis));
        if (s->dim[0] == x->dim[out->axis])
            return SQZ_OK;
    } else if (s->rank == x->rank) {
        out->axis = only_axis(s, x);
        *plain = out->axis < 0;
        sqz_shape all;
        if (!*plain ||
            (sqz_shape_broadcast(ctx_of(b), s, x, &all) == SQZ_OK && sqz_shape_eq(&all, x)))
            return SQZ_OK;
    }
    sqz_shape_print(have, s);
    sqz_shape_print(want, x);
    return sqz_fail(ctx_of(b), SQZ_E_SHAPE, "scales of shape %s do not fit %s", have, want);
}

/* ---- grids of constants ---- */

static const sqz_tensor *constant_of(sqz_build *b, sqz_vid v)
{
    if (b->status == SQZ_OK)
        b->status = sqz_fold_value(b->im->g, v);
    return b->status == SQZ_OK ? sqz_val(b->im->g, v)->constant : NULL;
}

static sqz_status fill(sqz_build *b, const sqz_tensor *s, const sqz_tensor *z, grid *r)
{
    r->scale = sqz_arena_alloc(&b->im->g->arena, s->count, sizeof *r->scale);
    r->zero = sqz_arena_alloc(&b->im->g->arena, s->count, sizeof *r->zero);
    if (!r->scale || !r->zero)
        return SQZ_E_NOMEM;
    r->known = true;
    for (size_t i = 0; i < s->count; i++) {
        float v = r->scale[i] = (float)sqz_tensor_f64(s, i);
        int64_t zero = z ? sqz_tensor_i64(z, z->count == 1 ? 0 : i) : 0;
        r->zero[i] = (int32_t)zero;
        r->negative = r->negative || v < 0;
        r->known = r->known && v != 0 && isfinite(v) && zero == r->zero[i];
    }
    r->q.n = (uint32_t)s->count;
    r->q.scale = r->scale;
    r->q.zero = r->zero;
    return SQZ_OK;
}

static sqz_status grid_of(sqz_build *b, const sqz_qdq *q, const sqz_shape *x, sqz_dtype d, grid *r)
{
    const bool has_zero = q->zero != SQZ_NONE;
    bool plain;
    *r = (grid){.q = {.dtype = d}};
    if (q->scale == SQZ_NONE)
        return sqz_fail(ctx_of(b), SQZ_E_FORMAT, "it has no scale");
    const sqz_tensor *s = constant_of(b, q->scale), *z = has_zero ? constant_of(b, q->zero) : NULL;
    SQZ_TRY(b->status);
    const sqz_shape shape = sqz_val(b->im->g, q->scale)->shape;
    const sqz_shape zero = has_zero ? sqz_val(b->im->g, q->zero)->shape : shape;
    size_t n, n_zero;
    SQZ_TRY(place(b, q, &shape, x, &r->q, &plain));
    SQZ_TRY(sqz_shape_count(ctx_of(b), &shape, SQZ_F32, &n, NULL));
    SQZ_TRY(sqz_shape_count(ctx_of(b), &zero, SQZ_F32, &n_zero, NULL));
    if (n_zero != n && n_zero != 1)
        return sqz_fail(ctx_of(b), SQZ_E_SHAPE, "%zu zero points for %zu scales", n_zero, n);
    if (!s || (has_zero && !z) || plain || n == 0 || n > INT32_MAX)
        return SQZ_OK; /* written out */
    SQZ_TRY(fill(b, s, z, r));
    bool wide_zero = false;
    for (uint32_t i = 0; d == SQZ_S32 && i < r->q.n; i++)
        wide_zero = wide_zero || r->zero[i] != 0;
    r->known = r->known && !wide_zero;
    return SQZ_OK;
}

static bool same_grid(const sqz_quant *a, const sqz_quant *b)
{
    return a->dtype == b->dtype && a->axis == b->axis && a->n == b->n && a->group == b->group &&
           memcmp(a->scale, b->scale, a->n * sizeof *a->scale) == 0 &&
           memcmp(a->zero, b->zero, a->n * sizeof *a->zero) == 0;
}

/* ---- the node with a grid ---- */

static sqz_vid node(sqz_build *b, const char *op, const char *attrs, sqz_vid x, bool whole)
{
    sqz_vid out = SQZ_NONE;
    if (!whole)
        return sqz_b(b, op, attrs, 1, x);
    const sqz_op *o = sqz_op_find(op);
    sqz_arena temp = {.ctx = ctx_of(b)};
    void *opts = sqz_arena_alloc(&temp, 1, o->info.opt_size + 1u);
    char *text = sqz_arena_strdup(&temp, attrs);
    if (!opts || !text)
        b->status = SQZ_E_NOMEM;
    if (b->status == SQZ_OK && o->info.opt_size) {
        sqz_opts_default(&o->info, opts);
        b->status = sqz_opts_parse(&temp, &o->info, text, opts);
    }
    if (b->status == SQZ_OK)
        b->status = sqz_graph_node(b->im->g, o, b->im->name, opts, &x, 1, b->im->out_name, 1,
                                   SQZ_NONE, &out);
    sqz_arena_free(&temp);
    return out;
}

/* ---- written out ---- */

/* Scales by blocks, each repeated for the entries of its block. */
static sqz_vid repeat(sqz_build *b, sqz_vid v, const sqz_quant *p, const sqz_shape *x)
{
    sqz_shape s = sqz_b_val(b, v)->shape;
    char tall[160] = "", flat[160] = "";
    size_t at = 0, to = 0;
    for (int32_t i = 0; i < s.rank;
         i++) { /* (.., blocks, 1, ..) tiled, then (.., blocks*group, ..) */
        const char *comma = i ? "," : "";
        at += (size_t)snprintf(tall + at, sizeof tall - at, "%s1%s", comma,
                               i == p->axis ? "," : "");
        if (i == p->axis)
            at += (size_t)snprintf(tall + at, sizeof tall - at, "%d", p->group);
        to += (size_t)snprintf(flat + to, sizeof flat - to, "%s%lld", comma,
                               (long long)s.dim[i] * (i == p->axis ? p->group : 1));
    }
    v = sqz_bf(b, "unsqueeze", &v, 1, "axes=%d", p->axis + 1);
    v = sqz_bf(b, "tile", &v, 1, "repeats=%s", tall);
    v = sqz_bf(b, "reshape", &v, 1, "shape=%s", flat);
    return sqz_bf(b, "slice", &v, 1, "starts=0 ends=%lld axes=%d", (long long)x->dim[p->axis],
                  p->axis);
}

/* A scale or zero point in a shape that broadcasts against x. */
static sqz_vid spread(sqz_build *b, sqz_vid v, const sqz_quant *p, const sqz_shape *x)
{
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    const sqz_shape s = sqz_b_val(b, v)->shape;
    if (p->group && s.rank == x->rank)
        return repeat(b, v, p, x);
    if (s.rank > x->rank) /* (1) for a scalar */
        return sqz_b(b, "squeeze", "axes=0", 1, v);
    if (s.rank != 1 || s.dim[0] == 1 || p->axis < 0)
        return v;
    char shape[160];
    size_t at = (size_t)snprintf(shape, sizeof shape, "shape=%lld", (long long)s.dim[0]);
    for (int32_t i = p->axis + 1; i < x->rank; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, ",1");
    return sqz_b(b, "reshape", shape, 1, v);
}

static sqz_vid dequantize_open(sqz_build *b, sqz_vid x, const sqz_qdq *q, const sqz_quant *p)
{
    const sqz_value *val = sqz_b_val(b, x);
    const sqz_shape shape = val->shape;
    const bool wide = val->dtype == SQZ_S32; /* differences of 32 bits are not exact as floats */
    sqz_vid v = wide ? x : sqz_b_cast(b, x, SQZ_F32);
    if (q->zero != SQZ_NONE) {
        sqz_vid zero = wide ? q->zero : sqz_b_cast(b, q->zero, SQZ_F32);
        v = sqz_b(b, "sub", NULL, 2, v, spread(b, zero, p, &shape));
    }
    sqz_vid scale = spread(b, sqz_b_cast(b, q->scale, SQZ_F32), p, &shape);
    return sqz_b(b, "mul", NULL, 2, sqz_b_cast(b, v, SQZ_F32), scale);
}

static sqz_vid quantize_open(sqz_build *b, sqz_vid x, const sqz_qdq *q, const sqz_quant *p)
{
    const sqz_shape shape = sqz_b_val(b, x)->shape;
    double lo, hi;
    limits(p->dtype, &lo, &hi);
    sqz_vid scale = spread(b, sqz_b_cast(b, q->scale, SQZ_F32), p, &shape);
    sqz_vid v = sqz_b(b, "round", NULL, 1, sqz_b(b, "div", NULL, 2, x, scale));
    if (q->zero != SQZ_NONE)
        v = sqz_b(b, "add", NULL, 2, v, spread(b, sqz_b_cast(b, q->zero, SQZ_F32), p, &shape));
    v = sqz_bf(b, "clip", &v, 1, "min=%.9g max=%.9g", lo, hi);
    return sqz_b_cast(b, v, p->dtype);
}

/* ---- DequantizeLinear ---- */

/* scale * (q - zero) = (-scale) * (-q + zero): integers of negative scales change their sign, so
 * that all scales are positive. Converters from other formats leave such weights behind. false:
 * some code has no opposite. */
static bool turn_around(const sqz_quant *q, sqz_tensor *t)
{
    const int64_t lowest = t->dtype == SQZ_S8 ? -127 : -INT32_MAX;
    bool fits = t->dtype == SQZ_S8 || t->dtype == SQZ_S32;
    for (size_t i = 0, n; fits && i < t->count; i += n) {
        sqz_qrun r = sqz_quant_run(q, &t->shape, i);
        n = SQZ_MIN(r.n, t->count - i);
        for (size_t j = 0, k = r.first; j < n; j++, k += r.step) {
            int64_t v = sqz_tensor_i64(t, i + j);
            if (q->scale[k] < 0.0f) {
                fits = fits && v >= lowest && q->zero[k] == 0;
                sqz_tensor_set_i64(t, i + j, -v);
            }
        }
    }
    return fits;
}

/* A constant with the signs of its codes and scales turned. */
static sqz_status turned(sqz_build *b, grid *r, sqz_vid *x)
{
    sqz_graph *g = b->im->g;
    const sqz_value *val = sqz_val(g, *x);
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_cast(g->ctx, val->constant, val->dtype, &t));
    if (!turn_around(&r->q, &t)) { /* stays as it is, to be dequantized */
        sqz_tensor_free(g->ctx, &t);
        return SQZ_OK;
    }
    for (uint32_t i = 0; i < r->q.n; i++)
        r->scale[i] = fabsf(r->scale[i]);
    return sqz_graph_constant(g, val->name, &t, x);
}

/* The codes of x mean what a grid says: nothing made them with another meaning. */
static bool may_carry(const sqz_graph *g, const sqz_value *x)
{
    const sqz_op *op = x->producer == SQZ_NONE ? NULL : sqz_nod(g, x->producer)->op;
    return !op || op->traits & (SQZ_T_MOVES | SQZ_T_VIEW | SQZ_T_TYPES) ||
           op->quant.kind == SQZ_Q_SAME || strcmp(op->info.name, "quantize") == 0;
}

/* Weights of 3 and 2 bits have no type of their own in the file: codes of 4 bits that all fit
 * fewer. 0: they need all. */
static uint8_t bits_needed(const sqz_value *x, const sqz_quant *q)
{
    int64_t most = 0;
    if (!x->constant || x->dtype != SQZ_S4)
        return 0;
    for (uint32_t i = 0; i < q->n; i++)
        if (q->zero[i] != 0)
            return 0;
    for (size_t i = 0; i < x->constant->count && most <= 3; i++) {
        const int64_t code = sqz_tensor_i64(x->constant, i);
        most = SQZ_MAX(most, code < 0 ? -code : code);
    }
    return most <= 1 ? 2 : most <= 3 ? 3 : 0;
}

/* The integer value to read: x with the grid; a constant that has another one is copied. */
static sqz_status with_grid(sqz_build *b, grid *r, sqz_vid *x)
{
    sqz_graph *g = b->im->g;
    const sqz_value *val = sqz_val(g, *x);
    if (val->quant && same_grid(val->quant, &r->q))
        return SQZ_OK;
    if (val->quant && val->constant) {
        sqz_tensor t;
        sqz_tensor_share(val->constant, &t);
        SQZ_TRY(sqz_graph_constant(g, val->name, &t, x));
    } else if (val->quant || !may_carry(g, val)) {
        r->known = false;
        return SQZ_OK;
    }
    r->q.bits = bits_needed(sqz_val(g, *x), &r->q);
    return sqz_value_set_grid(g, *x, &r->q);
}

static sqz_status dequantize(sqz_build *b, sqz_vid x, const sqz_qdq *q, sqz_vid *out)
{
    sqz_graph *g = b->im->g;
    const sqz_value *val = sqz_val(g, x);
    const sqz_shape shape = val->shape;
    grid r;
    if (!is_code(val->dtype))
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "its input is %s, expected integers of 4 to 16 bits or int32",
                        sqz_dtype_name(val->dtype));
    if (q->zero != SQZ_NONE && sqz_val(g, q->zero)->dtype != val->dtype)
        return sqz_fail(g->ctx, SQZ_E_FORMAT, "its input is %s, its zero point %s",
                        sqz_dtype_name(val->dtype), sqz_dtype_name(sqz_val(g, q->zero)->dtype));
    SQZ_TRY(grid_of(b, q, &shape, val->dtype, &r));
    if (r.known && r.negative) {
        r.known = val->constant != NULL;
        if (r.known)
            SQZ_TRY(turned(b, &r, &x));
    }
    if (r.known)
        SQZ_TRY(with_grid(b, &r, &x));
    *out = r.known ? node(b, "dequantize", "", x, q->whole) : dequantize_open(b, x, q, &r.q);
    return b->status;
}

sqz_vid sqz_b_dequantize(sqz_build *b, sqz_vid x, const sqz_qdq *q)
{
    sqz_vid out = SQZ_NONE;
    if (b->status == SQZ_OK)
        b->status = dequantize(b, x, q, &out);
    return b->status == SQZ_OK ? out : SQZ_NONE;
}

/* ---- QuantizeLinear ---- */

static sqz_status quantize(sqz_build *b, sqz_vid x, const sqz_qdq *q, sqz_dtype d, sqz_vid *out)
{
    sqz_graph *g = b->im->g;
    char attrs[32];
    grid r;
    if (q->zero != SQZ_NONE)
        d = sqz_val(g, q->zero)->dtype;
    if (!is_code(d))
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "its codes are %s, expected integers of 4 to 16 bits", sqz_dtype_name(d));
    if (sqz_val(g, x)->dtype == SQZ_BOOL)
        return sqz_fail(g->ctx, SQZ_E_FORMAT, "its input is bool");
    x = sqz_b_cast(b, x, SQZ_F32);
    SQZ_TRY(b->status);
    const sqz_shape shape = sqz_val(g, x)->shape;
    SQZ_TRY(grid_of(b, q, &shape, d, &r));
    if (!r.known || r.negative) {
        *out = quantize_open(b, x, q, &r.q);
        return b->status;
    }
    (void)snprintf(attrs, sizeof attrs, "dtype=%s", sqz_dtype_name(d));
    *out = node(b, "quantize", attrs, x, q->whole);
    SQZ_TRY(b->status);
    SQZ_TRY(sqz_value_set_grid(g, *out, &r.q));
    const sqz_nid maker = sqz_val(g, *out)->producer;
    if (sqz_node_foldable(g, sqz_nod(g, maker))) /* a constant on its grid, computed now */
        SQZ_TRY(sqz_fold_node(g, maker));
    return SQZ_OK;
}

sqz_vid sqz_b_quantize(sqz_build *b, sqz_vid x, const sqz_qdq *q, sqz_dtype d)
{
    sqz_vid out = SQZ_NONE;
    if (b->status == SQZ_OK)
        b->status = quantize(b, x, q, d, &out);
    return b->status == SQZ_OK ? out : SQZ_NONE;
}
