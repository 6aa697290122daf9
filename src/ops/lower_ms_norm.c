/* lower_ms_norm.c: normalizations as ONNX Runtime's optimizer writes them: LayerNormalization and
 * SimplifiedLayerNormalization (which it puts into ONNX's domain, at any opset), and with a sum in
 * front: SkipLayerNormalization, SkipSimplifiedLayerNormalization, EmbedLayerNormalization. */
#include "ops/build.h"
#include <stdio.h>

static double epsilon_of(const sqz_import *im, double def)
{
    const sqz_raw_attr *e = sqz_import_attr(im, "epsilon");
    return e && e->type == 1 ? (double)e->f : def;
}

static bool wanted(const sqz_import *im, unsigned i) { return i < im->n_out && im->out_name[i]; }

static sqz_status need(const sqz_import *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (i >= im->n_in || im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    return SQZ_OK;
}

/* ---- LayerNormalization of old opsets ---- */

static sqz_status layer(sqz_import *im)
{
    SQZ_TRY(need(im, 2));
    return sqz_import_node(im, sqz_op_find("layer_norm"), NULL, NULL, 0);
}

/* ---- over the last axes by the mean square ---- */

/* 1 / sqrt(mean of x^2 + epsilon) over the axes from `axis` on: only as an output of its own. */
static sqz_vid inverse(sqz_build *b, sqz_vid x, int32_t axis, double epsilon)
{
    static const char axes[] = ",0,1,2,3,4,5,6,7";
    const int32_t rank = sqz_b_val(b, x)->shape.rank;
    sqz_vid v = sqz_b(b, "mul", NULL, 2, x, x);
    v = sqz_bf(b, "reduce_mean", &v, 1, "axes=%.*s", 2 * (rank - axis) - 1, axes + 2 * axis + 1);
    v = sqz_b(b, "sqrt", NULL, 1, sqz_b(b, "add", NULL, 2, v, sqz_b_num(b, epsilon, x)));
    return sqz_b(b, "reciprocal", NULL, 1, v);
}

static sqz_status simplified(sqz_import *im)
{
    sqz_build b = {.im = im};
    int32_t axis = 0;
    sqz_vid inv = SQZ_NONE;
    SQZ_TRY(need(im, 2));
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    SQZ_TRY(sqz_axis(im->g->ctx, sqz_import_int(im, "axis", -1), x->rank, &axis));
    const double epsilon = epsilon_of(im, (double)1e-5f);
    const sqz_vid in[2] = {im->in[0], im->in[1]};
    sqz_vid y = sqz_bf(&b, "rms_norm", in, 2, "axis=%d epsilon=%.9g", (int)axis, epsilon);
    if (wanted(im, 1))
        inv = inverse(&b, im->in[0], axis, epsilon);
    return sqz_b_end(&b, 2, y, inv);
}

/* ---- input + skip (+ bias), normalized; the sum is output 3 ---- */

static sqz_status skip_layer(sqz_import *im)
{
    sqz_build b = {.im = im};
    sqz_vid out[3] = {SQZ_NONE, SQZ_NONE, SQZ_NONE};
    char text[64];
    SQZ_TRY(need(im, 3));
    sqz_vid x = sqz_b(&b, "add", NULL, 2, im->in[0], im->in[1]);
    if (sqz_b_in(&b, 4) != SQZ_NONE)
        x = sqz_b(&b, "add", NULL, 2, x, im->in[4]);
    const sqz_vid in[3] = {x, im->in[2], sqz_b_in(&b, 3)};
    (void)snprintf(text, sizeof text, "epsilon=%.9g", epsilon_of(im, (double)1e-12f));
    sqz_b_multi(&b, "layer_norm", text, in, in[2] == SQZ_NONE ? 2 : 3, out,
                wanted(im, 2)   ? 3
                : wanted(im, 1) ? 2
                                : 1);
    return sqz_b_end(&b, 4, out[0], out[1], out[2], wanted(im, 3) ? x : SQZ_NONE);
}

static sqz_status skip_simplified(sqz_import *im)
{
    sqz_build b = {.im = im};
    sqz_vid inv = SQZ_NONE;
    const double epsilon = epsilon_of(im, (double)1e-12f);
    SQZ_TRY(need(im, 3));
    if (wanted(im, 1))
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "output 1 ('%s') is a mean, which this normalization does not take",
                        im->out_name[1]);
    sqz_vid x = sqz_b(&b, "add", NULL, 2, im->in[0], im->in[1]);
    if (sqz_b_in(&b, 3) != SQZ_NONE)
        x = sqz_b(&b, "add", NULL, 2, x, im->in[3]);
    const sqz_vid in[2] = {x, im->in[2]};
    sqz_vid y = sqz_bf(&b, "rms_norm", in, 2, "epsilon=%.9g", epsilon);
    if (wanted(im, 2) && b.status == SQZ_OK)
        inv = inverse(&b, x, sqz_b_val(&b, x)->shape.rank - 1, epsilon);
    return sqz_b_end(&b, 4, y, SQZ_NONE, inv, wanted(im, 3) ? x : SQZ_NONE);
}

/* ---- word + position (+ segment) embeddings, normalized ---- */

enum { IDS, SEGMENTS, WORD, POSITION, SEGMENT, GAMMA, BETA, MASK, POSITIONS };

/* Embeddings of the positions: those given, or the first S. */
static sqz_vid positions(sqz_build *b)
{
    const sqz_import *im = b->im;
    if (sqz_b_in(b, POSITIONS) != SQZ_NONE)
        return sqz_b(b, "gather", "axis=0", 2, im->in[POSITION], im->in[POSITIONS]);
    sqz_vid table = im->in[POSITION];
    return sqz_bf(b, "slice", &table, 1, "starts=0 ends=%lld axes=0",
                  (long long)sqz_b_val(b, im->in[IDS])->shape.dim[1]);
}

/* How many entries of each row of the mask are 1; without a mask 0. */
static sqz_vid mask_index(sqz_build *b)
{
    const sqz_import *im = b->im;
    const bool given = sqz_b_in(b, MASK) != SQZ_NONE;
    sqz_vid m = given ? im->in[MASK] : im->in[IDS];
    m = given ? sqz_b(b, "equal", NULL, 2, m, sqz_b_num(b, 1, m)) : sqz_b(b, "less", NULL, 2, m, m);
    m = sqz_b(b, "cast", "to=6", 1, m);
    return sqz_b(b, "reduce_sum", "axes=1 keepdims=0", 1, m);
}

static sqz_status embed(sqz_import *im)
{
    sqz_build b = {.im = im};
    for (unsigned i = 0; i < 7; i++)
        if ((i >= im->n_in || im->in[i] == SQZ_NONE) && i != SEGMENTS && i != SEGMENT)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    if (sqz_val(im->g, im->in[IDS])->shape.rank != 2)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "ids of %d dimensions, expected 2",
                        (int)sqz_val(im->g, im->in[IDS])->shape.rank);
    sqz_vid sum = sqz_b(&b, "gather", "axis=0", 2, im->in[WORD], im->in[IDS]);
    sum = sqz_b(&b, "add", NULL, 2, sum, positions(&b));
    if (sqz_b_in(&b, SEGMENTS) != SQZ_NONE && sqz_b_in(&b, SEGMENT) != SQZ_NONE)
        sum = sqz_b(&b, "add", NULL, 2, sum,
                    sqz_b(&b, "gather", "axis=0", 2, im->in[SEGMENT], im->in[SEGMENTS]));
    const sqz_vid in[3] = {sum, im->in[GAMMA], im->in[BETA]};
    sqz_vid y = sqz_bf(&b, "layer_norm", in, 3, "epsilon=%.9g", epsilon_of(im, (double)1e-12f));
    return sqz_b_end(&b, 3, y, wanted(im, 1) ? mask_index(&b) : SQZ_NONE,
                     wanted(im, 2) ? sum : SQZ_NONE);
}

#define MS "com.microsoft"
static const sqz_lower rules[] = {
    {.domain = "",
     .op_type = "LayerNormalization",
     .since = 1,
     .until = 16,
     .import = layer,
     .attrs = "axis|epsilon|stash_type"},
    {.domain = "",
     .op_type = "SimplifiedLayerNormalization",
     .since = 1,
     .import = simplified,
     .attrs = "axis|epsilon|stash_type"},
    {.domain = MS,
     .op_type = "LayerNormalization",
     .since = 1,
     .import = layer,
     .attrs = "axis|epsilon|stash_type"},
    {.domain = MS,
     .op_type = "SimplifiedLayerNormalization",
     .since = 1,
     .import = simplified,
     .attrs = "axis|epsilon|stash_type"},
    {.domain = MS,
     .op_type = "SkipLayerNormalization",
     .since = 1,
     .import = skip_layer,
     .attrs = "epsilon"},
    {.domain = MS,
     .op_type = "SkipSimplifiedLayerNormalization",
     .since = 1,
     .import = skip_simplified,
     .attrs = "epsilon"},
    {.domain = MS,
     .op_type = "EmbedLayerNormalization",
     .since = 1,
     .import = embed,
     .attrs = "epsilon|mask_index_type"},
};
const sqz_lower_set sqz_lower_ms_norm = {rules, SQZ_COUNT(rules)};
