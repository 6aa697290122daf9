/* lower_rotary.c: RotaryEmbedding of ONNX (opset 23) and of ONNX Runtime (Su et al. 2021): pairs of
 * numbers of each head are turned by an angle that grows with the position,
 *   a' = cos a - sin b,  b' = sin a + cos b,
 * where a and b are the halves of what is turned, or with `interleaved` neighbors. */
#include "ops/attend.h"
#include <limits.h>

typedef struct node {
    sqz_build b;
    sqz_vid x;               /* (B,S,H,D) or (B,H,S,D) */
    sqz_vid cos, sin;        /* broadcast to it */
    long long turned, width; /* numbers of a head that are turned, of all */
    bool interleaved;
} node;

static sqz_vid cut(node *n, long long from, long long to, int step)
{
    return sqz_bf(&n->b, "slice", &n->x, 1, "starts=%lld ends=%lld axes=3 steps=%d", from, to,
                  step);
}

static sqz_vid mix(node *n, const char *op, sqz_vid a, sqz_vid ca, sqz_vid b, sqz_vid cb)
{
    return sqz_b(&n->b, op, NULL, 2, sqz_b(&n->b, "mul", NULL, 2, a, ca),
                 sqz_b(&n->b, "mul", NULL, 2, b, cb));
}

/* x turned, same shape. */
static sqz_vid turn(node *n)
{
    sqz_build *b = &n->b;
    const long long half = n->turned / 2;
    sqz_vid a = n->interleaved ? cut(n, 0, n->turned, 2) : cut(n, 0, half, 1);
    sqz_vid c = n->interleaved ? cut(n, 1, n->turned, 2) : cut(n, half, n->turned, 1);
    sqz_vid y[3] = {mix(n, "sub", a, n->cos, c, n->sin), mix(n, "add", a, n->sin, c, n->cos)};
    unsigned parts = 2;
    if (n->interleaved) {
        const sqz_vid pair[2] = {sqz_b(b, "unsqueeze", "axes=4", 1, y[0]),
                                 sqz_b(b, "unsqueeze", "axes=4", 1, y[1])};
        y[0] = sqz_bf(b, "concat", pair, 2, "axis=4");
        y[0] = sqz_bf(b, "reshape", &y[0], 1, "shape=0,0,0,%lld", n->turned);
        parts = 1;
    }
    if (n->turned < n->width)
        y[parts++] = cut(n, n->turned, n->width, 1);
    return parts == 1 ? y[0] : sqz_bf(b, "concat", y, parts, "axis=3");
}

/* Cosines or sines, by position where positions are given, as (B,S,1,D/2) or (B,1,S,D/2). */
static sqz_vid angles(node *n, sqz_vid cache, sqz_vid positions, int head_axis)
{
    sqz_build *b = &n->b;
    if (positions != SQZ_NONE)
        cache = sqz_b(b, "gather", "axis=0", 2, cache, positions);
    if (b->status == SQZ_OK && sqz_b_val(b, cache)->shape.rank != 3)
        b->status = sqz_fail(b->im->g->ctx, SQZ_E_SHAPE,
                             "cosines and sines of rank %d, expected samples, steps and numbers",
                             (int)sqz_b_val(b, cache)->shape.rank);
    return sqz_bf(b, "unsqueeze", &cache, 1, "axes=%d", head_axis);
}

typedef struct slots { /* where the inputs are */
    unsigned positions, cos, sin;
} slots;

static sqz_status check(const sqz_import *im, const slots *at)
{
    const unsigned need[] = {0, at->cos, at->sin};
    for (size_t i = 0; i < SQZ_COUNT(need); i++)
        if (need[i] >= im->n_in || im->in[need[i]] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", need[i]);
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const sqz_shape *c = &sqz_val(im->g, im->in[at->cos])->shape;
    if ((x->rank != 3 && x->rank != 4) || c->rank < 2)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "data of %d dimensions, angles of %d",
                        (int)x->rank, (int)c->rank);
    return SQZ_OK;
}

/* Heads of a row of `width`; 0: cannot be told. */
static int64_t heads_of(const sqz_import *im, int64_t width, int64_t half)
{
    int64_t heads = sqz_import_int(im, "num_heads", 0);
    if (heads == 0 && half > 0 && sqz_import_int(im, "rotary_embedding_dim", 0) == 0)
        heads = width / (2 * half);
    return heads > 0 && width % heads == 0 ? heads : 0;
}

static sqz_status rotary(sqz_import *im, const slots *at, sqz_vid positions)
{
    node n = {.b = {.im = im}, .x = im->in[0]};
    sqz_ctx *ctx = im->g->ctx;
    const sqz_shape x = sqz_val(im->g, n.x)->shape, c = sqz_val(im->g, im->in[at->cos])->shape;
    const bool packed = x.rank == 3;
    const int64_t heads = packed ? heads_of(im, x.dim[2], c.dim[c.rank - 1]) : 1;
    if (heads == 0)
        return sqz_fail(ctx, SQZ_E_SHAPE, "rows of %lld: num_heads does not fit",
                        (long long)x.dim[2]);
    n.width = packed ? x.dim[2] / heads : x.dim[3];
    n.turned = sqz_import_int(im, "rotary_embedding_dim", 0);
    n.turned = n.turned ? n.turned : n.width;
    n.interleaved = sqz_import_int(im, "interleaved", 0) != 0;
    if (n.turned < 2 || n.turned % 2 || n.turned > n.width || c.dim[c.rank - 1] != n.turned / 2)
        return sqz_fail(ctx, SQZ_E_SHAPE, "%lld of %lld numbers are turned by %lld angles",
                        n.turned, n.width, (long long)c.dim[c.rank - 1]);
    if (packed)
        n.x = sqz_bf(&n.b, "reshape", &n.x, 1, "shape=0,0,%lld,%lld", (long long)heads, n.width);
    n.cos = angles(&n, im->in[at->cos], positions, packed ? 2 : 1);
    n.sin = angles(&n, im->in[at->sin], positions, packed ? 2 : 1);
    sqz_vid y = turn(&n);
    if (packed)
        y = sqz_bf(&n.b, "reshape", &y, 1, "shape=0,0,%lld", (long long)x.dim[2]);
    return sqz_b_end(&n.b, 1, y);
}

static sqz_status onnx(sqz_import *im)
{
    const slots at = {3, 1, 2};
    SQZ_TRY(check(im, &at));
    return rotary(im, &at, im->n_in > 3 ? im->in[3] : SQZ_NONE);
}

/* ONNX Runtime: one position is that of the first step. */
static sqz_status microsoft(sqz_import *im)
{
    const slots at = {1, 2, 3};
    SQZ_TRY(check(im, &at));
    sqz_build b = {.im = im};
    sqz_vid positions = sqz_b_in(&b, 1);
    if (positions == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input 1 (positions) is missing");
    if (sqz_import_int(im, "is_packed_batching", 0))
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "is_packed_batching is 1: export the model "
                        "with one sample for each row of the batch");
    const sqz_shape *p = &sqz_val(im->g, positions)->shape;
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const int64_t steps = x->dim[x->rank == 3 ? 1 : 2];
    if (p->rank < 2) {
        sqz_arena temp = {.ctx = im->g->ctx};
        int64_t *i = sqz_arena_alloc(&temp, (size_t)steps + 1, sizeof *i);
        for (int64_t k = 0; i && k < steps; k++)
            i[k] = k;
        if (!i)
            return SQZ_E_NOMEM;
        positions = sqz_b(&b, "add", NULL, 2, positions,
                          sqz_attend_ints(&b, (sqz_shape){2, {1, steps}}, i));
        sqz_arena_free(&temp);
        SQZ_TRY(b.status);
    }
    return rotary(im, &at, positions);
}

static const sqz_lower rules[] = {
    {.domain = "",
     .op_type = "RotaryEmbedding",
     .since = 23,
     .import = onnx,
     .attrs = "interleaved|num_heads|rotary_embedding_dim"},
    {.domain = "com.microsoft",
     .op_type = "RotaryEmbedding",
     .since = 1,
     .import = microsoft,
     .attrs = "interleaved|is_packed_batching|num_heads|rotary_embedding_dim|scale"},
};
const sqz_lower_set sqz_lower_rotary = {rules, SQZ_COUNT(rules)};
