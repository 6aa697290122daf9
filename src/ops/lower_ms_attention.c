/* lower_ms_attention.c: Attention and MultiHeadAttention of ONNX Runtime: projections, masks by
 * lengths or by positions, a bias for the scores, a cache, as ops/attend.h has them. Masks add
 * mask_filter_value (-10000) and not -inf. */
#include "ops/attend.h"
#include <stdio.h>
#include <string.h>

typedef struct node {
    sqz_build b;
    sqz_attend a;
    double filter;
    int64_t heads, past; /* past: keys of the cache */
    bool causal;
} node;

static double number(const sqz_import *im, const char *name, double def)
{
    const sqz_raw_attr *a = sqz_import_attr(im, name);
    return a && a->type == 1 ? (double)a->f : def;
}

static sqz_status begin(node *n, sqz_import *im)
{
    *n = (node){.b = {.im = im}, .a = {.bias = SQZ_NONE, .softmax_type = SQZ_N_DTYPE}};
    n->heads = sqz_import_int(im, "num_heads", 0);
    n->filter = number(im, "mask_filter_value", -10000);
    n->causal = sqz_import_int(im, "unidirectional", 0) != 0;
    n->a.scale = number(im, "scale", 0);
    if (n->heads < 1)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "num_heads is %lld", (long long)n->heads);
    return SQZ_OK;
}

static sqz_status unsupported_input(const sqz_import *im, unsigned slot, const char *what)
{
    if (slot >= im->n_in || im->in[slot] == SQZ_NONE)
        return SQZ_OK;
    return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                    "input %u (%s) is not supported: export the model without it", slot, what);
}

static sqz_status unsupported_attr(const sqz_import *im, const char *name)
{
    if (!sqz_import_int(im, name, 0))
        return SQZ_OK;
    return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                    "attribute '%s' is not supported: export the model without it", name);
}

/* ---- masks ---- */

static int64_t keys(const node *n) { return sqz_b_val(&n->b, n->a.k)->shape.dim[2]; }
static int64_t queries(const node *n) { return sqz_b_val(&n->b, n->a.q)->shape.dim[2]; }

/* 0 where a condition holds, the filter value elsewhere. */
static sqz_vid filter(node *n, sqz_vid condition)
{
    return sqz_b(&n->b, "where", NULL, 3, condition, sqz_b_num(&n->b, 0, n->a.q),
                 sqz_b_num(&n->b, n->filter, n->a.q));
}

/* 0, 1, ... T - 1 in the type of value `like`. */
static sqz_vid key_index(node *n, sqz_vid like)
{
    sqz_build *b = &n->b;
    const sqz_shape s = {.rank = 1, .dim = {keys(n)}};
    sqz_tensor t;
    if (b->status == SQZ_OK)
        b->status = sqz_tensor_alloc(b->im->g->ctx, sqz_b_val(b, like)->dtype, &s, &t);
    if (b->status != SQZ_OK)
        return SQZ_NONE;
    for (size_t i = 0; i < t.count; i++)
        sqz_tensor_set_i64(&t, i, (int64_t)i);
    return sqz_b_tensor(b, &t);
}

/* (B): keys before the length count. (2B): ends, then begins. */
static sqz_vid mask_of_lengths(node *n, sqz_vid m, int64_t batch)
{
    sqz_build *b = &n->b;
    const int64_t len = sqz_b_val(b, m)->shape.dim[0];
    sqz_vid at = key_index(n, m), end = m;
    if (len == 2 * batch)
        end = sqz_bf(b, "slice", &m, 1, "starts=0 ends=%lld axes=0", (long long)batch);
    end = sqz_b(b, "reshape", "shape=-1,1,1,1", 1, end);
    sqz_vid on = sqz_b(b, "less", NULL, 2, at, end);
    if (len == 2 * batch) {
        sqz_vid first = sqz_bf(b, "slice", &m, 1, "starts=%lld ends=%lld axes=0", (long long)batch,
                               (long long)(2 * batch));
        first = sqz_b(b, "reshape", "shape=-1,1,1,1", 1, first);
        on = sqz_b(b, "and", NULL, 2, on, sqz_b(b, "greater_or_equal", NULL, 2, at, first));
    }
    return filter(n, on);
}

static sqz_vid mask(node *n, unsigned slot)
{
    sqz_build *b = &n->b;
    sqz_vid m = sqz_b_in(b, slot);
    if (m == SQZ_NONE || b->status != SQZ_OK)
        return SQZ_NONE;
    const sqz_shape s = sqz_b_val(b, m)->shape;
    const int64_t batch = sqz_b_val(b, n->a.q)->shape.dim[0];
    if (s.rank == 1 && (s.dim[0] == batch || s.dim[0] == 2 * batch))
        return mask_of_lengths(n, m, batch);
    if (s.rank == 2 && s.dim[1] == keys(n)) {
        m = sqz_b(b, "unsqueeze", "axes=1,2", 1, m);
    } else if (s.rank == 3 && s.dim[1] == queries(n) && s.dim[2] == keys(n)) {
        m = sqz_b(b, "unsqueeze", "axes=1", 1, m);
    } else if (s.rank == 4 && s.dim[1] == 1 && s.dim[2] >= keys(n) && s.dim[3] >= keys(n)) {
        m = sqz_bf(b, "slice", &m, 1, "starts=%lld,0 ends=%lld,%lld axes=2,3", (long long)n->past,
                   (long long)(n->past + queries(n)), (long long)keys(n));
    } else {
        char text[160];
        sqz_shape_print(text, &s);
        b->status = sqz_fail(b->im->g->ctx, SQZ_E_UNSUPPORTED,
                             "a mask of shape %s for %lld samples, %lld queries and %lld keys",
                             text, (long long)batch, (long long)queries(n), (long long)keys(n));
        return SQZ_NONE;
    }
    if (sqz_b_val(b, m)->dtype != SQZ_BOOL)
        m = sqz_b(b, "greater", NULL, 2, m, sqz_b_num(b, 0, m));
    return filter(n, m);
}

/* Later keys are not looked at. */
static sqz_vid future(node *n)
{
    const sqz_window_of w = {.causal = n->causal, .left = -1, .right = -1, .offset = n->past};
    if (!n->causal || n->b.status != SQZ_OK)
        return SQZ_NONE;
    return sqz_attend_window(&n->b, &w, queries(n), keys(n), n->a.q);
}

static sqz_vid finish(node *n, unsigned mask_slot, unsigned bias_slot)
{
    sqz_build *b = &n->b;
    n->a.bias = sqz_attend_both(b, mask(n, mask_slot), future(n));
    n->a.bias = sqz_attend_both(b, n->a.bias, sqz_b_in(b, bias_slot));
    return sqz_attend_join(b, sqz_attend_run(b, &n->a));
}

/* ---- Attention: input, weights of all projections, bias, mask, past (2,B,H,P,D), bias of scores
 * ---- */

static sqz_vid columns(sqz_build *b, sqz_vid x, int64_t from, int64_t n)
{
    return sqz_bf(b, "slice", &x, 1, "starts=%lld ends=%lld axes=-1", (long long)from,
                  (long long)(from + n));
}

/* Widths of queries, keys and values. */
static sqz_status widths(const sqz_import *im, int64_t size[3])
{
    const sqz_raw_attr *a = sqz_import_attr(im, "qkv_hidden_sizes");
    const sqz_shape *w = &sqz_val(im->g, im->in[1])->shape;
    int64_t sum = 0;
    for (uint32_t i = 0; i < 3; i++) {
        size[i] = a && a->ints.n == 3 ? a->ints.v[i] : w->dim[1] / 3;
        if (size[i] < 1 || size[i] > w->dim[1])
            return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "a projection to %lld numbers",
                            (long long)size[i]);
        sum += size[i];
    }
    if (sum != w->dim[1])
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "weights have %lld columns, expected %lld",
                        (long long)w->dim[1], (long long)sum);
    return SQZ_OK;
}

/* Part k of the cache, (B,H,P,D), in front of x. */
static sqz_vid with_past(node *n, int k, sqz_vid x)
{
    sqz_build *b = &n->b;
    sqz_vid past = sqz_b_in(b, 4);
    if (past == SQZ_NONE)
        return x;
    past = sqz_bf(b, "slice", &past, 1, "starts=%d ends=%d axes=0", k, k + 1);
    past = sqz_b(b, "squeeze", "axes=0", 1, past);
    return sqz_b(b, "concat", "axis=2", 2, past, x);
}

/* Keys and values on top of each other: (2,B,H,T,D). */
static sqz_vid present(node *n)
{
    sqz_build *b = &n->b;
    if (b->im->n_out < 2 || !b->im->out_name[1])
        return SQZ_NONE;
    return sqz_b(b, "concat", "axis=0", 2, sqz_b(b, "unsqueeze", "axes=0", 1, n->a.k),
                 sqz_b(b, "unsqueeze", "axes=0", 1, n->a.v));
}

static sqz_status check_attention(const sqz_import *im)
{
    for (unsigned i = 0; i < 2; i++)
        if (i >= im->n_in || im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    if (sqz_val(im->g, im->in[0])->shape.rank != 3 || sqz_val(im->g, im->in[1])->shape.rank != 2)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE,
                        "data of %d dimensions and weights of %d, expected "
                        "3 and 2",
                        (int)sqz_val(im->g, im->in[0])->shape.rank,
                        (int)sqz_val(im->g, im->in[1])->shape.rank);
    SQZ_TRY(unsupported_input(im, 6, "past_sequence_length"));
    SQZ_TRY(unsupported_attr(im, "past_present_share_buffer"));
    return unsupported_attr(im, "do_rotary");
}

static sqz_status attention(sqz_import *im)
{
    node n;
    int64_t size[3];
    SQZ_TRY(check_attention(im));
    SQZ_TRY(begin(&n, im));
    SQZ_TRY(widths(im, size));
    sqz_vid x = sqz_b(&n.b, "matmul", NULL, 2, im->in[0], im->in[1]);
    if (sqz_b_in(&n.b, 2) != SQZ_NONE)
        x = sqz_b(&n.b, "add", NULL, 2, x, im->in[2]);
    n.a.q = sqz_attend_split(&n.b, columns(&n.b, x, 0, size[0]), n.heads);
    n.a.k = sqz_attend_split(&n.b, columns(&n.b, x, size[0], size[1]), n.heads);
    n.a.v = sqz_attend_split(&n.b, columns(&n.b, x, size[0] + size[1], size[2]), n.heads);
    if (sqz_b_in(&n.b, 4) != SQZ_NONE) {
        const sqz_shape *p = &sqz_val(im->g, im->in[4])->shape;
        if (p->rank != 5 || p->dim[0] != 2)
            return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "the cache must have shape (2,B,H,P,D)");
        n.past = p->dim[3];
        n.a.k = with_past(&n, 0, n.a.k);
        n.a.v = with_past(&n, 1, n.a.v);
    }
    sqz_vid y = finish(&n, 3, 5);
    return sqz_b_end(&n.b, 2, y, present(&n));
}

/* ---- MultiHeadAttention: query, key, value, bias, mask, bias of scores, past key and value ----
 */

/* Part `index` of packed heads (B,S,H,parts,D): (B,H,S,D). */
static sqz_vid packed(sqz_build *b, sqz_vid x, int index)
{
    x = sqz_bf(b, "slice", &x, 1, "starts=%d ends=%d axes=3", index, index + 1);
    x = sqz_b(b, "squeeze", "axes=3", 1, x);
    return sqz_b(b, "transpose", "perm=0,2,1,3", 1, x);
}

/* Rows (B,S,H*D) plus their part of the bias, which starts at *from: (B,H,S,D). Operands of four
 * dimensions are ready. */
static sqz_vid rows(node *n, sqz_vid x, int64_t *from)
{
    sqz_build *b = &n->b;
    const sqz_shape s = sqz_b_val(b, x)->shape;
    if (s.rank == 4)
        return x;
    if (b->status == SQZ_OK && s.rank != 3)
        b->status = sqz_fail(b->im->g->ctx, SQZ_E_UNSUPPORTED,
                             "an operand of %d dimensions, expected 3 or 4", (int)s.rank);
    if (sqz_b_in(b, 3) != SQZ_NONE)
        x = sqz_b(b, "add", NULL, 2, x, columns(b, sqz_b_in(b, 3), *from, s.dim[2]));
    *from += s.dim[2];
    return sqz_attend_split(b, x, n->heads);
}

static void operands(node *n)
{
    sqz_build *b = &n->b;
    sqz_vid q = sqz_b_in(b, 0), k = sqz_b_in(b, 1), v = sqz_b_in(b, 2);
    int64_t from = 0;
    if (sqz_b_val(b, q)->shape.rank == 5 && k == SQZ_NONE) {
        n->a.q = packed(b, q, 0);
        n->a.k = packed(b, q, 1);
        n->a.v = packed(b, q, 2);
        return;
    }
    n->a.q = rows(n, q, &from);
    if (k != SQZ_NONE && v == SQZ_NONE && sqz_b_val(b, k)->shape.rank == 5) {
        n->a.k = packed(b, k, 0);
        n->a.v = packed(b, k, 1);
    } else if (k != SQZ_NONE && v != SQZ_NONE) {
        n->a.k = rows(n, k, &from);
        n->a.v = rows(n, v, &from);
    } else if (b->status == SQZ_OK) {
        b->status = sqz_fail(b->im->g->ctx, SQZ_E_FORMAT, "keys or values are missing");
    }
}

static sqz_status multi_head(sqz_import *im)
{
    node n;
    if (im->n_in < 1 || im->in[0] == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input 0 is missing");
    SQZ_TRY(unsupported_input(im, 8, "past_sequence_length"));
    SQZ_TRY(unsupported_input(im, 9, "cache_indirection"));
    SQZ_TRY(begin(&n, im));
    operands(&n);
    const sqz_vid past[2] = {sqz_b_in(&n.b, 6), sqz_b_in(&n.b, 7)};
    if (past[0] != SQZ_NONE && past[1] != SQZ_NONE) {
        n.past = sqz_val(im->g, past[0])->shape.dim[2];
        n.a.k = sqz_b(&n.b, "concat", "axis=2", 2, past[0], n.a.k);
        n.a.v = sqz_b(&n.b, "concat", "axis=2", 2, past[1], n.a.v);
    }
    sqz_vid y = finish(&n, 4, 5);
    return sqz_b_end(&n.b, 4, y, n.a.k, n.a.v, n.a.scores[SQZ_SCORES_PRODUCT]);
}

#define MS "com.microsoft"
static const sqz_lower rules[] = {
    {.domain = MS,
     .op_type = "Attention",
     .since = 1,
     .import = attention,
     .attrs = "do_rotary|mask_filter_value|num_heads|past_present_share_buffer|qkv_hidden_sizes|"
              "rotary_embedding_dim|scale|unidirectional"},
    {.domain = MS,
     .op_type = "MultiHeadAttention",
     .since = 1,
     .import = multi_head,
     .attrs = "mask_filter_value|num_heads|scale|unidirectional"},
};
const sqz_lower_set sqz_lower_ms_attention = {rules, SQZ_COUNT(rules)};
