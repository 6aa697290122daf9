/* lower_attention.c: Attention of ONNX (opset 23 on), of 3 and 4 dimensions, with grouped heads,
 * masks, windows, a cache inside (past, present) or outside (nonpad_kv_seqlen), and the scores as
 * an output. */
#include "ops/attend.h"
#include <math.h>

enum { Q, K, V, MASK, PAST_K, PAST_V, NONPAD };

typedef struct node {
    sqz_build b;
    sqz_attend a;
    sqz_window_of window;
    int64_t queries, keys;
} node;

static double number(const sqz_import *im, const char *name, double def)
{
    const sqz_raw_attr *a = sqz_import_attr(im, name);
    return a && a->type == 1 ? (double)a->f : def;
}

static sqz_status check(const sqz_import *im)
{
    sqz_ctx *ctx = im->g->ctx;
    for (unsigned i = 0; i < 3; i++) {
        if (i >= im->n_in || im->in[i] == SQZ_NONE)
            return sqz_fail(ctx, SQZ_E_FORMAT, "input %u is missing", i);
        const sqz_value *v = sqz_val(im->g, im->in[i]), *q = sqz_val(im->g, im->in[0]);
        if ((v->shape.rank != 3 && v->shape.rank != 4) || v->shape.rank != q->shape.rank)
            return sqz_fail(ctx, SQZ_E_SHAPE,
                            "input %u has %d dimensions, expected 3 or 4 like the "
                            "others",
                            i, (int)v->shape.rank);
        if (!sqz_dtype_is_float(v->dtype))
            return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "input %u is %s, expected floats", i,
                            sqz_dtype_name(v->dtype));
    }
    const sqz_build b = {.im = (sqz_import *)(uintptr_t)im};
    if ((sqz_b_in(&b, PAST_K) == SQZ_NONE) != (sqz_b_in(&b, PAST_V) == SQZ_NONE))
        return sqz_fail(ctx, SQZ_E_FORMAT, "past_key and past_value must be given together");
    if (sqz_b_in(&b, PAST_K) != SQZ_NONE && sqz_b_in(&b, NONPAD) != SQZ_NONE)
        return sqz_fail(ctx, SQZ_E_FORMAT, "nonpad_kv_seqlen cannot go with a cache inside");
    return SQZ_OK;
}

/* Heads apart, the cache in front. */
static void operands(node *n)
{
    sqz_build *b = &n->b;
    const sqz_import *im = b->im;
    n->a.q = im->in[Q];
    n->a.k = im->in[K];
    n->a.v = im->in[V];
    if (sqz_b_val(b, n->a.q)->shape.rank == 3) {
        const int64_t heads = sqz_import_int(im, "kv_num_heads", 0);
        n->a.q = sqz_attend_split(b, n->a.q, sqz_import_int(im, "q_num_heads", 0));
        n->a.k = sqz_attend_split(b, n->a.k, heads);
        n->a.v = sqz_attend_split(b, n->a.v, heads);
    }
    if (sqz_b_in(b, PAST_K) != SQZ_NONE) {
        n->window.offset = sqz_b_val(b, im->in[PAST_K])->shape.dim[2];
        n->a.k = sqz_b(b, "concat", "axis=2", 2, im->in[PAST_K], n->a.k);
        n->a.v = sqz_b(b, "concat", "axis=2", 2, im->in[PAST_V], n->a.v);
    }
    n->queries = sqz_b_val(b, n->a.q)->shape.dim[2];
    n->keys = sqz_b_val(b, n->a.k)->shape.dim[2];
}

/* The mask as numbers to add, -inf where it ends before the keys. */
static sqz_vid mask(node *n)
{
    sqz_build *b = &n->b;
    sqz_vid m = sqz_b_in(b, MASK);
    if (m == SQZ_NONE || b->status != SQZ_OK)
        return SQZ_NONE;
    if (sqz_b_val(b, m)->dtype == SQZ_BOOL)
        m = sqz_attend_allow(b, m, n->a.q);
    const sqz_shape s = sqz_b_val(b, m)->shape;
    const long long more = s.rank ? (long long)(n->keys - s.dim[s.rank - 1]) : 0;
    const bool repeats = b->im->opset < 24 && s.rank && s.dim[s.rank - 1] == 1;
    if (more > 0 && s.rank <= 4 && !repeats) {
        static const char *const before[] = {"0", "0,0", "0,0,0", "0,0,0,0"};
        static const char *const after[] = {"", "0,", "0,0,", "0,0,0,"};
        m = sqz_bf(b, "pad", &m, 1, "pads=%s,%s%lld value=-inf", before[s.rank - 1],
                   after[s.rank - 1], more);
    }
    return m;
}

static sqz_vid compare(sqz_build *b, const char *op, sqz_vid x, int64_t with)
{
    return sqz_b(b, op, NULL, 2, x, sqz_attend_ints(b, (sqz_shape){0}, &with));
}

/* The window of each sample, whose queries end where its keys end: (B,1,S,T). */
static sqz_vid moving_window(node *n, sqz_vid lengths)
{
    sqz_build *b = &n->b;
    const sqz_window_of *w = &n->window;
    sqz_arena temp = {.ctx = b->im->g->ctx};
    sqz_vid bias = SQZ_NONE;
    size_t count;
    if (b->status != SQZ_OK || !sqz_mul((size_t)n->queries, (size_t)n->keys, &count))
        return SQZ_NONE;
    int64_t *back = sqz_arena_alloc(&temp, count + 1, sizeof *back);
    if (!back) {
        b->status = SQZ_E_NOMEM;
        return SQZ_NONE;
    }
    for (size_t i = 0; i < count; i++)
        back[i] = (int64_t)i / n->keys - n->queries - (int64_t)i % n->keys;
    sqz_vid from = sqz_b(b, "add", NULL, 2, lengths,
                         sqz_attend_ints(b, (sqz_shape){2, {n->queries, n->keys}}, back));
    sqz_arena_free(&temp);
    if (w->causal)
        bias = sqz_attend_allow(b, compare(b, "greater_or_equal", from, 0), n->a.q);
    if (w->left >= 0)
        bias = sqz_attend_both(
            b, bias, sqz_attend_allow(b, compare(b, "less_or_equal", from, w->left), n->a.q));
    if (w->right >= 0)
        bias = sqz_attend_both(
            b, bias, sqz_attend_allow(b, compare(b, "greater_or_equal", from, -w->right), n->a.q));
    return bias;
}

/* Keys behind the length of a sample do not count: (B,1,1,T). */
static sqz_vid padding(node *n, sqz_vid lengths)
{
    sqz_build *b = &n->b;
    sqz_arena temp = {.ctx = b->im->g->ctx};
    int64_t *index = sqz_arena_alloc(&temp, (size_t)n->keys + 1, sizeof *index);
    if (!index) {
        b->status = SQZ_E_NOMEM;
        return SQZ_NONE;
    }
    for (int64_t i = 0; i < n->keys; i++)
        index[i] = i;
    sqz_vid at = sqz_attend_ints(b, (sqz_shape){1, {n->keys}}, index);
    sqz_arena_free(&temp);
    return sqz_attend_allow(b, sqz_b(b, "less", NULL, 2, at, lengths), n->a.q);
}

static void bias(node *n)
{
    sqz_build *b = &n->b;
    const sqz_window_of *w = &n->window;
    const bool windowed = w->causal || w->left >= 0 || w->right >= 0;
    n->a.bias = mask(n);
    if (sqz_b_in(b, NONPAD) != SQZ_NONE && b->status == SQZ_OK) {
        sqz_vid lengths = sqz_b(b, "reshape", "shape=-1,1,1,1", 1, sqz_b_in(b, NONPAD));
        if (windowed)
            n->a.bias = sqz_attend_both(b, n->a.bias, moving_window(n, lengths));
        n->a.bias = sqz_attend_both(b, n->a.bias, padding(n, lengths));
    } else if (windowed && b->status == SQZ_OK) {
        sqz_vid fixed = sqz_attend_window(b, w, n->queries, n->keys, n->a.q);
        n->a.bias = sqz_attend_both(b, n->a.bias, fixed);
    }
}

static sqz_status attention(sqz_import *im)
{
    node n = {.b = {.im = im}, .a = {.bias = SQZ_NONE, .softmax_type = SQZ_N_DTYPE}};
    const int64_t precision = sqz_import_int(im, "softmax_precision", 0);
    const int64_t mode = sqz_import_int(im, "qk_matmul_output_mode", 0);
    SQZ_TRY(check(im));
    n.a.scale = number(im, "scale", 0);
    n.a.softcap = number(im, "softcap", 0);
    n.a.softmax_type = precision ? sqz_dtype_of_onnx((int32_t)precision) : SQZ_N_DTYPE;
    if (precision && (n.a.softmax_type == SQZ_N_DTYPE || !sqz_dtype_is_float(n.a.softmax_type)))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "softmax_precision %lld is no float type",
                        (long long)precision);
    if (mode < 0 || mode >= SQZ_N_SCORES)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "qk_matmul_output_mode is %lld, expected 0 .. 3",
                        (long long)mode);
    n.window.causal = sqz_import_int(im, "is_causal", 0) != 0;
    n.window.left = sqz_import_int(im, "left_window_size", -1);
    n.window.right = sqz_import_int(im, "right_window_size", -1);
    operands(&n);
    bias(&n);
    sqz_vid y = sqz_attend_run(&n.b, &n.a);
    if (sqz_val(im->g, im->in[Q])->shape.rank == 3)
        y = sqz_attend_join(&n.b, y);
    return sqz_b_end(&n.b, 4, y, n.a.k, n.a.v, n.a.scores[mode]);
}

static const sqz_lower rules[] = {
    {.domain = "",
     .op_type = "Attention",
     .since = 23,
     .import = attention,
     .attrs = "is_causal|kv_num_heads|left_window_size|q_num_heads|qk_matmul_output_mode|right_"
              "window_size|scale|softcap|softmax_precision"},
};
const sqz_lower_set sqz_lower_attention = {rules, SQZ_COUNT(rules)};
