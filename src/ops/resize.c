/* resize.c: see resize.h. */
#include "ops/resize.h"
#include <string.h>

static const char *const coord_word[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                         "asymmetric", "half_pixel_symmetric"};
static const char *const near_word[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};

/* ---- shapes and coordinates ---- */

sqz_status sqz_resize_infer(sqz_infer *q)
{
    const sqz_resize_attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    const uint32_t n = at->sizes.n ? at->sizes.n : at->scales.n;
    const int32_t c = sqz_axis_c(q->in[0]);
    SQZ_TRY(sqz_need_bytes(q, 0));
    if (x->rank < 3 || n != (uint32_t)x->rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "%u scales or sizes for an input of rank %d, expected one for each axis",
                        (unsigned)n, (int)x->rank);
    q->out[0] = *x;
    for (int32_t i = 0; i < x->rank; i++) {
        double scale = at->sizes.n ? 1 : (double)at->scales.v[i];
        double length = floor((double)x->dim[i] * scale);
        if (at->sizes.n && at->sizes.v[i])
            length = (double)at->sizes.v[i];
        if (!(scale > 0) || !(length >= 1 && length <= INT32_MAX) || x->dim[i] < 1)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "axis %d of %lld becomes %g long", (int)i,
                            (long long)x->dim[i], length);
        q->out[0].dim[i] = (int64_t)length;
        if ((i == 0 || i == c) && q->out[0].dim[i] != x->dim[i])
            return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                            "the batch or the channels change from %lld to %lld",
                            (long long)x->dim[i], (long long)q->out[0].dim[i]);
    }
    return SQZ_OK;
}

/* In float32, in the order of ONNX's formulas: ties between two neighbors fall as elsewhere. */
float sqz_resize_source(const sqz_resize_attrs *at, int32_t axis, int64_t i, int64_t in,
                        int64_t out)
{
    const float x = (float)i, n = (float)in, m = (float)out;
    const float s = at->sizes.n ? m / n : at->scales.v[axis];
    switch (at->coord) {
    case SQZ_RESIZE_PYTORCH_HALF_PIXEL: return out > 1 ? (x + 0.5f) / s - 0.5f : 0.0f;
    case SQZ_RESIZE_ALIGN_CORNERS: return out > 1 ? x * (n - 1.0f) / (m - 1.0f) : 0.0f;
    case SQZ_RESIZE_ASYMMETRIC: return x / s;
    case SQZ_RESIZE_HALF_PIXEL_SYMMETRIC:
        return n / 2.0f * (1.0f - m / (s * n)) + (x + 0.5f) / s - 0.5f;
    default: return (x + 0.5f) / s - 0.5f;
    }
}

/* ---- import ---- */

static const char *text_of(const sqz_import *im, const char *name, const char *def)
{
    const sqz_raw_attr *r = sqz_import_attr(im, name);
    return r && r->s ? r->s : def;
}

/* Index of a word in a table of words, or an error that lists what there is. */
static sqz_status pick(const sqz_import *im, const char *name, const char *def,
                       const char *const *word, size_t n, int64_t *out)
{
    const char *text = text_of(im, name, def);
    for (size_t i = 0; i < n; i++)
        if (strcmp(word[i], text) == 0) {
            *out = (int64_t)i;
            return SQZ_OK;
        }
    return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "%s '%s' is not supported", name, text);
}

static sqz_status refuse(const sqz_import *im)
{
    if (sqz_import_int(im, "antialias", 0))
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "antialias is not supported");
    if (sqz_import_int(im, "exclude_outside", 0))
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "exclude_outside is not supported");
    const char *policy = text_of(im, "keep_aspect_ratio_policy", "stretch");
    if (strcmp(policy, "stretch") != 0)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "keep_aspect_ratio_policy '%s' is not supported", policy);
    return SQZ_OK;
}

static sqz_status modes(sqz_import *im, sqz_resize_attrs *at, bool *linear)
{
    static const char *const mode[] = {"nearest", "linear", "bilinear"};
    int64_t m = 0;
    SQZ_TRY(pick(im, "mode", "nearest", mode, SQZ_COUNT(mode), &m));
    *linear = m != 0;
    at->coord = SQZ_RESIZE_ASYMMETRIC;
    at->near = SQZ_NEAR_FLOOR;
    if (im->opset < 11)
        return SQZ_OK;
    SQZ_TRY(pick(im, "coordinate_transformation_mode", "half_pixel", coord_word,
                 SQZ_COUNT(coord_word), &at->coord));
    return pick(im, "nearest_mode", "round_prefer_floor", near_word, SQZ_COUNT(near_word),
                &at->near);
}

/* Place of list entry i: itself, or what the attribute axes (opset 18) says. */
static sqz_status axis_of(const sqz_import *im, uint32_t i, uint32_t n, int32_t rank, int32_t *axis)
{
    const sqz_raw_attr *axes = sqz_import_attr(im, "axes");
    if (n != (axes ? axes->ints.n : (uint32_t)rank))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%u scales or sizes, expected %u", (unsigned)n,
                        axes ? (unsigned)axes->ints.n : (unsigned)rank);
    return sqz_axis(im->g->ctx, axes ? axes->ints.v[i] : i, rank, axis);
}

static sqz_status read_scales(sqz_import *im, const sqz_tensor *t, const sqz_shape *x,
                              sqz_resize_attrs *at)
{
    const sqz_raw_attr *r = sqz_import_attr(im, "scales"); /* Upsample before opset 9 */
    const uint32_t n = t ? (uint32_t)SQZ_MIN(t->count, (size_t)99) : r ? r->floats.n : 0;
    float *v = sqz_arena_alloc(&im->g->arena, SQZ_MAX_RANK, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    for (int32_t i = 0; i < x->rank; i++)
        v[i] = 1.0f;
    for (uint32_t i = 0; i < n; i++) {
        int32_t a = 0;
        SQZ_TRY(axis_of(im, i, n, x->rank, &a));
        v[a] = t ? (float)sqz_tensor_f64(t, i) : r->floats.v[i];
    }
    at->scales = (sqz_floats){n ? (uint32_t)x->rank : 0, v};
    return SQZ_OK;
}

static sqz_status read_sizes(sqz_import *im, const sqz_tensor *t, const sqz_shape *x,
                             sqz_resize_attrs *at)
{
    const uint32_t n = (uint32_t)SQZ_MIN(t->count, (size_t)99);
    int64_t *v;
    SQZ_TRY(sqz_ints_new(&im->g->arena, SQZ_MAX_RANK, &at->sizes, &v));
    at->sizes.n = (uint32_t)x->rank;
    for (uint32_t i = 0; i < n; i++) {
        int32_t a = 0;
        SQZ_TRY(axis_of(im, i, n, x->rank, &a));
        v[a] = sqz_tensor_i64(t, i);
        if (v[a] < 1)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "size %lld of axis %d", (long long)v[a],
                            (int)a);
        v[a] = v[a] == x->dim[a] ? 0 : v[a]; /* a size that stays is no number: the batch is free */
    }
    return SQZ_OK;
}

/* Opset 10 and Upsample leave open which neighbor is meant; the practice is floor when enlarging,
 * ceil when shrinking. */
static sqz_status old_nearest(sqz_import *im, sqz_resize_attrs *at)
{
    bool up = false, down = false;
    for (uint32_t i = 0; i < at->scales.n; i++) {
        up = up || at->scales.v[i] > 1.0f;
        down = down || at->scales.v[i] < 1.0f;
    }
    if (up && down)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "enlarging one axis and shrinking another before opset 11");
    at->near = down ? SQZ_NEAR_CEIL : SQZ_NEAR_FLOOR;
    return SQZ_OK;
}

sqz_status sqz_resize_import(sqz_import *im, const sqz_op *op)
{
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const sqz_tensor *scales = NULL, *sizes = NULL;
    sqz_resize_attrs at = {0};
    bool linear;
    (void)op;
    SQZ_TRY(refuse(im));
    SQZ_TRY(modes(im, &at, &linear));
    SQZ_TRY(sqz_import_const(im, im->opset < 11 ? 1 : 2, &scales));
    if (im->opset >= 11)
        SQZ_TRY(sqz_import_const(im, 3, &sizes));
    if (sizes && sizes->count)
        SQZ_TRY(read_sizes(im, sizes, x, &at));
    else
        SQZ_TRY(read_scales(im, scales, x, &at));
    if (im->opset < 11)
        SQZ_TRY(old_nearest(im, &at));
    return sqz_import_node(im, sqz_op_find(linear ? "resize_linear" : "resize_nearest"), &at,
                           im->in, 1);
}

/* ---- export ---- */

static void attribute(sqz_export *e, const char *name, const char *text)
{
    e->attr[e->n_attr++] = (sqz_export_attr){.name = name, .type = 3, .s = text};
}

static void floats_input(sqz_export *e, unsigned slot, sqz_floats v)
{
    e->in[slot].value = SQZ_NONE;
    e->in[slot].is_const = e->in[slot].is_float = true;
    e->in[slot].scalar = false;
    e->in[slot].floats = v;
    e->in[slot].ints.n = 0;
    e->n_in = slot + 1;
}

/* Sizes in full: those that stay are the input's. */
static sqz_status sizes_input(sqz_export *e, const sqz_resize_attrs *at)
{
    const sqz_value *x = sqz_val(e->g, e->node->in[0]);
    int64_t *v;
    SQZ_TRY(sqz_ints_new(e->arena, at->sizes.n, &e->in[3].ints, &v));
    for (uint32_t i = 0; i < at->sizes.n; i++) {
        int32_t a = x->channel_last ? sqz_axis_to_last((int)i, x->shape.rank) : (int32_t)i;
        v[i] = at->sizes.v[i] ? at->sizes.v[i] : x->shape.dim[a];
    }
    e->in[3].value = SQZ_NONE;
    e->in[3].is_const = true;
    e->in[3].is_float = e->in[3].scalar = false;
    e->n_in = 4;
    return SQZ_OK;
}

sqz_status sqz_resize_write(sqz_export *e, const char *mode)
{
    const sqz_resize_attrs *at = e->attrs;
    const bool old = e->opset < 11;
    if (old && (at->sizes.n || at->coord != SQZ_RESIZE_ASYMMETRIC))
        return sqz_fail(
            e->ctx, SQZ_E_UNSUPPORTED,
            "node '%s': this form of Resize needs opset 11, the file is written in %lld",
            e->node->name, (long long)e->opset);
    e->op_type = e->opset < 10 ? "Upsample" : "Resize";
    attribute(e, "mode", mode);
    if (e->opset < 9)
        e->attr[e->n_attr++] = (sqz_export_attr){.name = "scales", .type = 6, .floats = at->scales};
    else if (old)
        floats_input(e, 1, at->scales);
    if (old)
        return SQZ_OK;
    attribute(e, "coordinate_transformation_mode", coord_word[at->coord]);
    if (mode[0] == 'n')
        attribute(e, "nearest_mode", near_word[at->near]);
    if (e->opset < 13) /* roi and scales may be empty there, but not absent */
        floats_input(e, 1, (sqz_floats){0, NULL});
    else
        e->in[1].value = SQZ_NONE;
    floats_input(e, 2, at->scales);
    e->in[2].is_const = at->scales.n || e->opset < 13;
    return at->sizes.n ? sizes_input(e, at) : SQZ_OK;
}
