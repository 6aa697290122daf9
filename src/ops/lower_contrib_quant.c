/* lower_contrib_quant.c: what onnxruntime's quantization tools write in its domain com.microsoft:
 * weights of 2, 4 and 8 bits with scales by blocks, dynamic quantization of products, attention on
 * integers. Weights stay packed: a constant on a grid, read through dequantize. */
#include "ir/qgrid.h"
#include "ops/qdq.h"
#include <string.h>

static sqz_ctx *ctx_of(const sqz_import *im) { return im->g->ctx; }

/* ---- packed weights ---- */

typedef struct blocks { /* codes of `bits` bits, low bits first, in bytes of their own per row */
    sqz_tensor codes;   /* u4 or u8 */
    float *scale;
    int32_t *zero;
    sqz_quant q;
} blocks;

static unsigned bits_at(const sqz_tensor *t, size_t byte, size_t i, unsigned bits)
{
    const uint8_t *p = (const uint8_t *)t->data + byte;
    return p[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
}

static sqz_status check_bits(sqz_import *im, int64_t bits)
{
    return bits == 2 || bits == 4 || bits == 8
               ? SQZ_OK
               : sqz_fail(ctx_of(im), SQZ_E_UNSUPPORTED,
                          "weights of %lld bits, supported are 2, 4 and 8", (long long)bits);
}

static sqz_status blocks_begin(sqz_import *im, const sqz_shape *s, int64_t bits, int32_t axis,
                               int64_t block, blocks *w)
{
    uint64_t n;
    *w = (blocks){.q = {.dtype = bits == 8 ? SQZ_U8 : SQZ_U4, .axis = axis}};
    if (block < 1 || block > INT32_MAX)
        return sqz_fail(ctx_of(im), SQZ_E_FORMAT, "block_size is %lld", (long long)block);
    w->q.group = (int32_t)block;
    if (!sqz_quant_blocks(&w->q, s, &n) || n == 0)
        return sqz_fail(ctx_of(im), SQZ_E_LIMIT, "weights without blocks, or with too many");
    w->q.n = (uint32_t)n;
    w->scale = sqz_arena_alloc(&im->g->arena, w->q.n, sizeof *w->scale);
    w->zero = sqz_arena_alloc(&im->g->arena, w->q.n, sizeof *w->zero);
    w->q.scale = w->scale;
    w->q.zero = w->zero;
    if (!w->scale || !w->zero)
        return SQZ_E_NOMEM;
    return sqz_tensor_alloc(ctx_of(im), w->q.dtype, s, &w->codes);
}

/* A block whose scale is 0 is one of zeros: codes at the zero point say the same. */
static void clear_empty_blocks(blocks *w)
{
    for (size_t i = 0, n; i < w->codes.count; i += n) {
        sqz_qrun r = sqz_quant_run(&w->q, &w->codes.shape, i);
        n = SQZ_MIN(r.n, w->codes.count - i);
        for (size_t j = 0, k = r.first; j < n; j++, k += r.step)
            if (w->scale[k] == 0.0f)
                sqz_tensor_set_i64(&w->codes, i + j, w->zero[k]);
    }
    for (uint32_t k = 0; k < w->q.n; k++)
        w->scale[k] = w->scale[k] == 0.0f ? 1.0f : w->scale[k];
}

/* The weights as real numbers: a constant on its grid and its dequantization. Takes over w. */
static sqz_vid blocks_end(sqz_build *b, blocks *w, const char *name)
{
    sqz_vid v = SQZ_NONE;
    clear_empty_blocks(w);
    if (b->status != SQZ_OK) {
        sqz_tensor_free(ctx_of(b->im), &w->codes);
        return SQZ_NONE;
    }
    b->status = sqz_graph_constant(b->im->g, name, &w->codes, &v);
    if (b->status == SQZ_OK)
        b->status = sqz_value_set_grid(b->im->g, v, &w->q);
    return sqz_b(b, "dequantize", NULL, 1, v);
}

/* ---- MatMulNBits: y = a . w^T + bias, w (N,K) in blocks along K ---- */

typedef struct nbits {
    int64_t n, k, block, bits, n_block;
    const sqz_tensor *codes, *scale, *zero; /* constants; zero may be NULL */
} nbits;

static sqz_status nbits_check(sqz_import *im, nbits *p)
{
    const sqz_value *a = sqz_val(im->g, im->in[0]);
    size_t row, total, packed;
    SQZ_TRY(check_bits(im, p->bits));
    if (im->n_in > 4 && im->in[4] != SQZ_NONE)
        return sqz_fail(ctx_of(im), SQZ_E_UNSUPPORTED,
                        "g_idx (groups in another order) is not supported: quantize without "
                        "act-order");
    if (sqz_import_int(im, "weight_prepacked", 0))
        return sqz_fail(ctx_of(im), SQZ_E_UNSUPPORTED,
                        "weights packed for one device are not supported: export without "
                        "weight_prepacked");
    if (p->n < 1 || p->k < 1 || p->n > INT32_MAX || p->k > INT32_MAX || p->block < 16 ||
        p->block > INT32_MAX || (p->block & (p->block - 1)))
        return sqz_fail(ctx_of(im), SQZ_E_FORMAT, "N %lld, K %lld, block_size %lld",
                        (long long)p->n, (long long)p->k, (long long)p->block);
    if (a->shape.rank < 1 || a->shape.dim[a->shape.rank - 1] != p->k)
        return sqz_fail(ctx_of(im), SQZ_E_SHAPE, "rows of A do not have K = %lld numbers",
                        (long long)p->k);
    p->n_block = (p->k + p->block - 1) / p->block;
    row = (size_t)p->n_block * (size_t)(p->block * p->bits / 8);
    total = (size_t)p->n * (size_t)p->n_block;
    packed = (size_t)p->n * (size_t)((p->n_block * p->bits + 7) / 8);
    if (p->codes->dtype != SQZ_U8 || p->codes->bytes != (size_t)p->n * row ||
        !sqz_dtype_is_float(p->scale->dtype) || p->scale->count != total)
        return sqz_fail(ctx_of(im), SQZ_E_SHAPE,
                        "packed weights or scales do not fit N, K and blocks");
    if (p->zero && p->zero->count != (p->zero->dtype == SQZ_U8 ? packed : total))
        return sqz_fail(ctx_of(im), SQZ_E_SHAPE, "%zu zero points do not fit N, K and blocks",
                        p->zero->count);
    return SQZ_OK;
}

/* Zero point of block k of row o; not always a whole number when it is a float. */
static double nbits_zero(const nbits *p, int64_t o, int64_t k)
{
    size_t row = (size_t)((p->n_block * p->bits + 7) / 8);
    if (!p->zero)
        return (double)(1 << (p->bits - 1));
    return p->zero->dtype == SQZ_U8
               ? bits_at(p->zero, (size_t)o * row, (size_t)k, (unsigned)p->bits)
               : sqz_tensor_f64(p->zero, (size_t)(o * p->n_block + k));
}

/* w as (K,N): what matmul wants. *whole: the zero points are codes. */
static sqz_status nbits_unpack(sqz_import *im, const nbits *p, blocks *w, bool *whole)
{
    const sqz_shape s = {2, {p->k, p->n}};
    const size_t row = (size_t)p->n_block * (size_t)(p->block * p->bits / 8);
    *whole = true;
    SQZ_TRY(blocks_begin(im, &s, p->bits, 0, p->block, w));
    for (int64_t o = 0; o < p->n; o++) {
        for (int64_t k = 0; k < p->k; k++)
            sqz_tensor_set_i64(&w->codes, (size_t)(k * p->n + o),
                               bits_at(p->codes, (size_t)o * row, (size_t)k, (unsigned)p->bits));
        for (int64_t k = 0; k < p->n_block; k++) {
            double zero = nbits_zero(p, o, k);
            size_t at = (size_t)(k * p->n + o);
            w->scale[at] = (float)sqz_tensor_f64(p->scale, (size_t)(o * p->n_block + k));
            *whole = *whole && zero >= 0 && zero < (double)(1 << p->bits) && zero == (int32_t)zero;
            w->zero[at] = *whole ? (int32_t)zero : 0;
        }
    }
    return SQZ_OK;
}

/* Zero points that are no codes: the weights as plain numbers. */
static sqz_vid nbits_float(sqz_build *b, const nbits *p, blocks *w)
{
    const sqz_shape s = {2, {p->k, p->n}};
    sqz_tensor t = {0};
    if (b->status == SQZ_OK)
        b->status = sqz_tensor_alloc(ctx_of(b->im), SQZ_F32, &s, &t);
    for (int64_t k = 0; b->status == SQZ_OK && k < p->k; k++)
        for (int64_t o = 0; o < p->n; o++) {
            size_t i = (size_t)(k * p->n + o), at = (size_t)(k / p->block * p->n + o);
            SQZ_F32P(&t)
            [i] = (float)((double)w->scale[at] *
                          ((double)sqz_tensor_i64(&w->codes, i) - nbits_zero(p, o, k / p->block)));
        }
    sqz_tensor_free(ctx_of(b->im), &w->codes);
    return sqz_b_tensor(b, &t);
}

static sqz_status matmul_nbits(sqz_import *im)
{
    sqz_build b = {.im = im};
    nbits p = {.n = sqz_import_int(im, "N", 0),
               .k = sqz_import_int(im, "K", 0),
               .block = sqz_import_int(im, "block_size", 128),
               .bits = sqz_import_int(im, "bits", 4)};
    blocks w;
    bool whole;
    if (im->n_in < 3 || im->in[0] == SQZ_NONE || im->in[1] == SQZ_NONE || im->in[2] == SQZ_NONE)
        return sqz_fail(ctx_of(im), SQZ_E_FORMAT, "has %u inputs, expected at least 3", im->n_in);
    SQZ_TRY(sqz_import_const(im, 1, &p.codes));
    SQZ_TRY(sqz_import_const(im, 2, &p.scale));
    SQZ_TRY(sqz_import_const(im, 3, &p.zero));
    SQZ_TRY(nbits_check(im, &p));
    SQZ_TRY(nbits_unpack(im, &p, &w, &whole));
    const sqz_dtype d = sqz_val(im->g, im->in[0])->dtype;
    sqz_vid v = whole ? blocks_end(&b, &w, sqz_val(im->g, im->in[1])->name)
                      : nbits_float(&b, &p, &w);
    const char *rows = sqz_import_int(im, "accuracy_level", 0) == 4 ? "int8_rows=1" : NULL;
    sqz_vid y = sqz_b(&b, "matmul", rows, 2, sqz_b_cast(&b, im->in[0], SQZ_F32), v);
    if (sqz_b_in(&b, 5) != SQZ_NONE)
        y = sqz_b(&b, "add", NULL, 2, y, sqz_b_cast(&b, im->in[5], SQZ_F32));
    return sqz_b_end(&b, 1, sqz_b_cast(&b, y, d));
}

/* ---- GatherBlockQuantized ---- */

/* Bytes of packed codes along the last axis as codes; uint4 and int4 are codes already. */
static sqz_status gathered_codes(sqz_import *im, const sqz_tensor *t, int64_t bits, sqz_tensor *out)
{
    if (t->dtype != SQZ_U8 || bits == 8) {
        sqz_tensor_share(t, out);
        return SQZ_OK;
    }
    sqz_shape s = t->shape;
    const int64_t each = 8 / bits;
    if (s.rank < 1 || s.dim[s.rank - 1] > INT32_MAX)
        return sqz_fail(ctx_of(im), SQZ_E_SHAPE, "packed codes without a last axis");
    s.dim[s.rank - 1] *= each;
    SQZ_TRY(sqz_tensor_alloc(ctx_of(im), SQZ_U4, &s, out));
    for (size_t i = 0; i < out->count; i++)
        sqz_tensor_set_i64(out, i, bits_at(t, i / (size_t)each, i % (size_t)each, (unsigned)bits));
    return SQZ_OK;
}

static sqz_status zero_codes(sqz_import *im, const sqz_tensor *scale, const sqz_tensor *data,
                             int64_t bits, sqz_tensor *out)
{
    const sqz_tensor *z;
    SQZ_TRY(sqz_import_const(im, 3, &z));
    const sqz_dtype d = data->dtype == SQZ_U8 && bits != 8 ? SQZ_U4 : data->dtype;
    SQZ_TRY(sqz_tensor_alloc(ctx_of(im), d, &scale->shape, out));
    if (!z && data->dtype == SQZ_U8)
        for (size_t i = 0; i < out->count; i++)
            sqz_tensor_set_i64(out, i, 1 << (bits - 1));
    if (!z)
        return SQZ_OK;
    const size_t each = data->dtype == SQZ_U8 ? (size_t)(8 / bits) : 1;
    const size_t last = out->shape.rank ? (size_t)out->shape.dim[out->shape.rank - 1] : 1;
    const size_t row = (last + each - 1) / each;
    if (z->dtype != data->dtype || last == 0 || z->count != out->count / last * row) {
        sqz_tensor_free(ctx_of(im), out);
        return sqz_fail(ctx_of(im), SQZ_E_SHAPE, "zero points do not fit the scales");
    }
    for (size_t i = 0; i < out->count; i++)
        sqz_tensor_set_i64(out, i,
                           each == 1 ? sqz_tensor_i64(z, i)
                                     : bits_at(z, i / last * row, i % last, (unsigned)bits));
    return SQZ_OK;
}

static sqz_status gather_block_quantized(sqz_import *im)
{
    sqz_build b = {.im = im};
    const sqz_tensor *data, *scale;
    sqz_tensor codes, zero;
    const int64_t bits = sqz_import_int(im, "bits", 4);
    if (im->n_in < 3)
        return sqz_fail(ctx_of(im), SQZ_E_FORMAT, "has %u inputs, expected at least 3", im->n_in);
    SQZ_TRY(check_bits(im, bits));
    SQZ_TRY(sqz_import_const(im, 0, &data));
    SQZ_TRY(sqz_import_const(im, 2, &scale));
    if (!data || !scale || im->in[1] == SQZ_NONE)
        return sqz_fail(ctx_of(im), SQZ_E_FORMAT, "data, indices or scales are missing");
    const sqz_dtype d = scale->dtype;
    SQZ_TRY(zero_codes(im, scale, data, bits, &zero));
    sqz_vid z = sqz_b_tensor(&b, &zero);
    SQZ_TRY(b.status);
    SQZ_TRY(gathered_codes(im, data, bits, &codes));
    const sqz_qdq q = {.scale = im->in[2],
                       .zero = z,
                       .axis = sqz_import_int(im, "quantize_axis", 1),
                       .block = sqz_import_int(im, "block_size", 128)};
    sqz_vid w = sqz_b_dequantize(&b, sqz_b_tensor(&b, &codes), &q);
    const sqz_vid in[] = {w, im->in[1]};
    const sqz_raw_attr axis = {
        .name = "axis", .type = 2, .i = sqz_import_int(im, "gather_axis", 0)};
    return sqz_b_end(&b, 1, sqz_b_cast(&b, sqz_b_onnx(&b, "Gather", 13, in, 2, &axis, 1), d));
}

/* ---- products of integers with a real result ---- */

/* scale_a * scale_b * matmul_integer + bias */
static sqz_status to_float(sqz_build *b, const sqz_vid in[4], sqz_vid scale_a, sqz_vid scale_b,
                           sqz_vid bias)
{
    const unsigned n = in[3] != SQZ_NONE ? 4 : in[2] != SQZ_NONE ? 3 : 2;
    const sqz_dtype d = sqz_b_val(b, scale_b)->dtype;
    sqz_vid y = sqz_b_cast(b, sqz_bf(b, "matmul_integer", in, n, "%s", ""), SQZ_F32);
    sqz_vid s = sqz_b(b, "mul", NULL, 2, sqz_b_cast(b, scale_a, SQZ_F32),
                      sqz_b_cast(b, scale_b, SQZ_F32));
    y = sqz_b(b, "mul", NULL, 2, y, s);
    if (bias != SQZ_NONE)
        y = sqz_b(b, "add", NULL, 2, y, sqz_b_cast(b, bias, SQZ_F32));
    return sqz_b_end(b, 1, sqz_b_cast(b, y, d));
}

static sqz_status needs(sqz_import *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (i >= im->n_in || im->in[i] == SQZ_NONE)
            return sqz_fail(ctx_of(im), SQZ_E_FORMAT, "input %u is missing", i);
    return SQZ_OK;
}

/* a, b, scale_a, scale_b, zero_a, zero_b, bias */
static sqz_status matmul_integer_to_float(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(needs(im, 4));
    const sqz_vid in[] = {im->in[0], im->in[1], sqz_b_in(&b, 4), sqz_b_in(&b, 5)};
    return to_float(&b, in, im->in[2], im->in[3], sqz_b_in(&b, 6));
}

/* a (float), b, scale_b, zero_b, bias */
static sqz_status dynamic_quantize_matmul(sqz_import *im)
{
    sqz_build b = {.im = im};
    sqz_vid a[3];
    SQZ_TRY(needs(im, 3));
    sqz_b_multi(&b, "dynamic_quantize", NULL, im->in, 1, a, 3);
    const sqz_vid in[] = {a[0], im->in[1], a[2], sqz_b_in(&b, 3)};
    return to_float(&b, in, a[1], im->in[2], sqz_b_in(&b, 4));
}

/* QAttention is Attention on dequantized input and weights: x, w, bias, scale_x, scale_w, mask,
 * zero_x, zero_w, past. */
static sqz_status attention(sqz_import *im)
{
    sqz_build b = {.im = im};
    bool known;
    const sqz_lower *rule = sqz_lower_find("com.microsoft", "Attention", im->opset, &known);
    SQZ_TRY(needs(im, 5));
    if (!rule)
        return sqz_fail(ctx_of(im), SQZ_E_UNSUPPORTED,
                        "fused attention is not supported: export without fusing attention");
    const sqz_qdq x = {.scale = im->in[3], .zero = sqz_b_in(&b, 6), .axis = -1};
    const sqz_qdq w = {.scale = im->in[4], .zero = sqz_b_in(&b, 7), .axis = 1};
    const sqz_vid in[] = {sqz_b_dequantize(&b, im->in[0], &x), sqz_b_dequantize(&b, im->in[1], &w),
                          im->in[2], sqz_b_in(&b, 5), sqz_b_in(&b, 8)};
    SQZ_TRY(b.status);
    sqz_import sub = *im;
    sub.op_type = "Attention";
    sub.in = in;
    sub.n_in = 5;
    while (sub.in[sub.n_in - 1] == SQZ_NONE)
        sub.n_in--;
    return rule->import(&sub);
}

#define MS(type, fn)                                                                               \
    {                                                                                              \
        .domain = "com.microsoft", .op_type = (type), .since = 1, .import = (fn)                   \
    }
#define REFUSED(type, why)                                                                         \
    {                                                                                              \
        .domain = "com.microsoft", .op_type = (type), .since = 1, .refused = (why)                 \
    }
static const sqz_lower rules[] = {
    MS("MatMulNBits", matmul_nbits),
    MS("GatherBlockQuantized", gather_block_quantized),
    MS("MatMulIntegerToFloat", matmul_integer_to_float),
    MS("DynamicQuantizeMatMul", dynamic_quantize_matmul),
    MS("QAttention", attention),
    REFUSED("DynamicQuantizeLSTM", "export the float LSTM and let squeeze quantize it"),
    REFUSED("QuantizeBFP", "block floating point is not supported: export with int8"),
    REFUSED("DequantizeBFP", "block floating point is not supported: export with int8"),
    REFUSED("MatMulBnb4", "FP4 and NF4 weights are not supported: export with 4-bit integers "
                          "(MatMulNBits)"),
    REFUSED("QMoE", "mixtures of experts are not supported: export the experts as plain products"),
    REFUSED("QEmbedLayerNormalization", "export without fusing the embedding"),
    REFUSED("QOrderedMatMul", "layouts of one device are not supported: export with QLinearMatMul"),
};
const sqz_lower_set sqz_lower_contrib_quant = {rules, SQZ_COUNT(rules)};
