/* resize.c: see resize.h. */
#include "ops/resize.h"
#include "ops/build.h"
#include <string.h>

static const char *const coord_word[SQZ_N_RESIZE_COORD] = {
    "half_pixel",           "pytorch_half_pixel", "align_corners",       "asymmetric",
    "half_pixel_symmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn"};
static const char *const near_word[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
static const char *const policy_word[] = {"stretch", "not_larger", "not_smaller"};

/* ---- shapes and coordinates ---- */

/* The one scale of all axes that have a size. */
static double common_scale(const sqz_resize_attrs *at, const sqz_shape *x)
{
    const bool largest = at->policy == SQZ_RESIZE_NOT_SMALLER;
    double best = largest ? 0 : INFINITY;
    for (uint32_t i = 0; i < at->sizes.n; i++) {
        double s = (double)at->sizes.v[i] / (double)x->dim[i];
        if (at->sizes.v[i] && (largest ? s > best : s < best))
            best = s;
    }
    return best;
}

static double length_of(const sqz_resize_attrs *at, int32_t i, sqz_resize_axis *a, double common)
{
    const int64_t size = at->sizes.n ? at->sizes.v[i] : 0;
    if (!at->sizes.n) {
        a->scale = at->scales.v[i];
        return floor((double)a->in * (double)a->scale);
    }
    if (size && at->policy != SQZ_RESIZE_STRETCH) {
        a->scale = (float)common;
        return floor((double)a->in * common + 0.5);
    }
    a->scale = size ? (float)size / (float)a->in : 1;
    return (double)(size ? size : a->in);
}

sqz_status sqz_resize_axes(sqz_ctx *ctx, const sqz_resize_attrs *at, const sqz_shape *x,
                           sqz_resize_axis axis[SQZ_MAX_RANK])
{
    const uint32_t n = at->sizes.n ? at->sizes.n : at->scales.n;
    if (x->rank < 1 || n != (uint32_t)x->rank)
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "%u scales or sizes for an input of rank %d, expected one for each axis",
                        (unsigned)n, (int)x->rank);
    if (at->roi.n && at->roi.n != 2 * n)
        return sqz_fail(ctx, SQZ_E_SHAPE, "roi has %u entries, expected %u", (unsigned)at->roi.n,
                        2 * (unsigned)n);
    const double common = common_scale(at, x);
    for (int32_t i = 0; i < x->rank; i++) {
        sqz_resize_axis *a = &axis[i];
        *a = (sqz_resize_axis){.in = x->dim[i], .end = 1};
        const double length = a->in < 1 ? 0 : length_of(at, i, a, common);
        if (at->roi.n) {
            a->begin = at->roi.v[i];
            a->end = at->roi.v[(uint32_t)i + n];
        }
        if (!(length >= 1 && length <= INT32_MAX) || !(a->scale > 0) ||
            !isfinite(a->end - a->begin))
            return sqz_fail(ctx, SQZ_E_SHAPE, "axis %d of %lld becomes %g long", (int)i,
                            (long long)a->in, length);
        a->out = (int64_t)length;
    }
    return SQZ_OK;
}

sqz_status sqz_resize_infer(sqz_infer *q)
{
    sqz_resize_axis axis[SQZ_MAX_RANK] = {0};
    SQZ_TRY(sqz_need_bytes(q, 0));
    SQZ_TRY(sqz_resize_axes(q->ctx, q->attrs, &q->in[0]->shape, axis));
    q->out[0] = q->in[0]->shape;
    for (int32_t i = 0; i < q->out[0].rank; i++)
        q->out[0].dim[i] = axis[i].out;
    return SQZ_OK;
}

void sqz_resize_ties(sqz_ties *t)
{
    const sqz_resize_attrs *at = t->attrs;
    const sqz_shape *x = &t->in[0]->shape;
    sqz_resize_axis axis[SQZ_MAX_RANK] = {{0}};
    uint32_t moved = 0;
    if (at->coord == SQZ_RESIZE_CROP || at->policy != SQZ_RESIZE_STRETCH ||
        sqz_resize_axes(t->ctx, at, x, axis) != SQZ_OK)
        return;
    for (int32_t i = 0; i < x->rank; i++)
        if (axis[i].in != axis[i].out || axis[i].scale != 1)
            moved |= 1u << i;
    sqz_ties_axes(t, 0, moved);
}

sqz_status sqz_resize_recut(sqz_recut *c)
{
    sqz_resize_attrs *at = c->attrs;
    const sqz_ints old = at->sizes;
    int64_t *v;
    SQZ_TRY(sqz_ints_new(c->arena, old.n, &at->sizes, &v));
    for (uint32_t i = 0; i < old.n; i++) {
        const sqz_tie_end to = SQZ_TIE_OUT(0, (int32_t)i);
        v[i] = old.v[i] ? c->kept(c, &to) : 0;
    }
    return SQZ_OK;
}

/* In float32, in the order of ONNX's formulas: ties between two neighbors fall as elsewhere. The
 * resized length is not rounded where only a scale is given, as in ONNX's reference. */
float sqz_resize_source(const sqz_resize_attrs *at, const sqz_resize_axis *a, int64_t i)
{
    const float x = (float)i, n = (float)a->in, s = a->scale;
    const bool fixed = at->sizes.n && at->policy == SQZ_RESIZE_STRETCH;
    const float m = fixed ? (float)a->out : s * n;
    switch (at->coord) {
    case SQZ_RESIZE_PYTORCH_HALF_PIXEL: return m > 1 ? (x + 0.5f) / s - 0.5f : 0.0f;
    case SQZ_RESIZE_ALIGN_CORNERS: return m != 1 ? x * (n - 1.0f) / (m - 1.0f) : 0.0f;
    case SQZ_RESIZE_ASYMMETRIC: return x / s;
    case SQZ_RESIZE_HALF_PIXEL_SYMMETRIC:
        return n / 2.0f * (1.0f - (float)a->out / (s * n)) + (x + 0.5f) / s - 0.5f;
    case SQZ_RESIZE_CROP:
        return m != 1 ? a->begin * (n - 1.0f) + x * (a->end - a->begin) * (n - 1.0f) / (m - 1.0f)
                      : 0.5f * (a->begin + a->end) * (n - 1.0f);
    case SQZ_RESIZE_TF_NEAREST: return (x + 0.5f) / s;
    default: return (x + 0.5f) / s - 0.5f;
    }
}

/* ---- import ---- */

static const char *text_of(const sqz_import *im, const char *name, const char *def)
{
    const sqz_raw_attr *r = sqz_import_attr(im, name);
    return r && r->s && *r->s ? r->s : def;
}

/* Index of a word in a table of words. */
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

static double number(const sqz_import *im, const char *name, double def)
{
    const sqz_raw_attr *r = sqz_import_attr(im, name);
    return r && r->type == 1 ? (double)r->f : def;
}

typedef enum kind { NEAREST, LINEAR, CUBIC } kind;

static sqz_status modes(sqz_import *im, sqz_resize_attrs *at, kind *k)
{
    static const char *const mode[] = {"nearest", "linear", "cubic", "bilinear"};
    int64_t m = 0;
    SQZ_TRY(pick(im, "mode", "nearest", mode, SQZ_COUNT(mode), &m));
    *k = m == 3 ? LINEAR : (kind)m;
    at->mode = *k == CUBIC ? SQZ_RESIZE_CUBIC : SQZ_RESIZE_LINEAR;
    at->coord = SQZ_RESIZE_ASYMMETRIC;
    at->near = SQZ_NEAR_FLOOR;
    at->cubic_a = number(im, "cubic_coeff_a", -0.75);
    at->extrapolation = number(im, "extrapolation_value", 0);
    at->exclude_outside = sqz_import_int(im, "exclude_outside", 0) != 0;
    at->antialias = sqz_import_int(im, "antialias", 0) != 0;
    if (*k == NEAREST && at->antialias)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT,
                        "antialias and mode 'nearest' exclude each other");
    if (im->opset < 11)
        return SQZ_OK;
    SQZ_TRY(pick(im, "coordinate_transformation_mode", "half_pixel", coord_word,
                 SQZ_COUNT(coord_word), &at->coord));
    SQZ_TRY(pick(im, "keep_aspect_ratio_policy", "stretch", policy_word, SQZ_COUNT(policy_word),
                 &at->policy));
    SQZ_TRY(
        pick(im, "nearest_mode", "round_prefer_floor", near_word, SQZ_COUNT(near_word), &at->near));
    if (at->coord == SQZ_RESIZE_TF_NEAREST && *k == NEAREST && at->near == SQZ_NEAR_FLOOR) {
        at->coord = SQZ_RESIZE_HALF_PIXEL; /* the same, spelt as newer opsets have it */
        at->near = SQZ_NEAR_PREFER_CEIL;
    }
    return SQZ_OK;
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

/* The attributes of Upsample in opset 1: the last two of four axes. */
static sqz_status read_height_and_width(sqz_import *im, const sqz_shape *x, sqz_resize_attrs *at)
{
    float *v = sqz_arena_alloc(&im->g->arena, 4, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    if (x->rank != 4)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "the input has rank %d, expected 4",
                        (int)x->rank);
    v[0] = v[1] = 1;
    v[2] = (float)number(im, "height_scale", 0);
    v[3] = (float)number(im, "width_scale", 0);
    at->scales = (sqz_floats){4, v};
    return SQZ_OK;
}

static sqz_status read_scales(sqz_import *im, const sqz_tensor *t, const sqz_shape *x,
                              sqz_resize_attrs *at)
{
    const sqz_raw_attr *r = sqz_import_attr(im, "scales"); /* Upsample before opset 9 */
    const uint32_t n = t ? (uint32_t)SQZ_MIN(t->count, (size_t)99) : r ? r->floats.n : 0;
    if (!n && sqz_import_attr(im, "height_scale"))
        return read_height_and_width(im, x, at);
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
        /* a size that stays is no number: the batch is free */
        v[a] = v[a] == x->dim[a] && at->policy == SQZ_RESIZE_STRETCH ? 0 : v[a];
    }
    return SQZ_OK;
}

static sqz_status read_roi(sqz_import *im, const sqz_shape *x, sqz_resize_attrs *at)
{
    const sqz_tensor *t = NULL;
    const uint32_t rank = (uint32_t)x->rank;
    float *v = sqz_arena_alloc(&im->g->arena, 2 * (size_t)SQZ_MAX_RANK, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_import_const(im, 1, &t));
    if (!t || t->count % 2 || t->count > 2 * (size_t)SQZ_MAX_RANK)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "roi has %zu numbers, expected two for each axis",
                        t ? t->count : (size_t)0);
    for (uint32_t i = 0; i < rank; i++)
        v[rank + i] = 1;
    for (uint32_t i = 0, n = (uint32_t)t->count / 2; i < n; i++) {
        int32_t a = 0;
        SQZ_TRY(axis_of(im, i, n, x->rank, &a));
        v[a] = (float)sqz_tensor_f64(t, i);
        v[rank + (uint32_t)a] = (float)sqz_tensor_f64(t, i + n);
    }
    at->roi = (sqz_floats){2 * rank, v};
    return SQZ_OK;
}

/* ---- one ONNX node, one to four of ours ---- */

/* Linear resizing of rows or images only: the operator for which that is fast, and has int8. */
static bool is_plain_linear(const sqz_resize_attrs *at, const sqz_shape *x)
{
    bool still = x->rank == 3 || x->rank == 4;
    for (int32_t i = 0; i < 2 && still; i++)
        still = at->sizes.n ? !at->sizes.v[i] : at->scales.v[i] == 1;
    return still && !at->antialias && at->coord != SQZ_RESIZE_CROP;
}

/* A node with `in`, in the middle of a composition. */
static sqz_status inner(sqz_import *im, const char *op, const sqz_resize_attrs *at, sqz_vid in,
                        sqz_vid *out)
{
    const char *none = NULL;
    sqz_import part = *im;
    part.out_name = &none;
    part.n_out = 1;
    part.out = out;
    return sqz_import_node(&part, sqz_op_find(op), at, &in, 1);
}

/* Opset 10 and Upsample leave open which neighbor is meant; the practice is floor where an axis
 * grows, ceil where it shrinks. With both, one after the other. */
static sqz_status old_nearest(sqz_import *im, sqz_resize_attrs *at)
{
    const uint32_t n = at->scales.n;
    float *up = sqz_arena_alloc(&im->g->arena, 2 * (size_t)n + 1, sizeof *up), *down = up + n;
    bool ups = false, downs = false;
    sqz_vid in = im->in[0];
    if (!up)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        up[i] = SQZ_MAX(at->scales.v[i], 1.0f);
        down[i] = SQZ_MIN(at->scales.v[i], 1.0f);
        ups = ups || up[i] > 1.0f;
        downs = downs || down[i] < 1.0f;
    }
    if (ups && downs) {
        at->scales.v = up;
        SQZ_TRY(inner(im, "resize_nearest", at, in, &in));
    }
    at->scales.v = downs ? down : up;
    at->near = downs ? SQZ_NEAR_CEIL : SQZ_NEAR_FLOOR;
    return sqz_import_node(im, sqz_op_find("resize_nearest"), at, &in, 1);
}

/* Numbers between two integers are rounded, and what overshoots (cubic) ends at the type's limits.
 */
static sqz_status integers(sqz_import *im, const char *op, const sqz_resize_attrs *at)
{
    sqz_build b = {.im = im};
    const sqz_dtype d = sqz_val(im->g, im->in[0])->dtype;
    const int bits = (int)sqz_dtype_bits(d);
    const bool sign = d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32 || d == SQZ_S64;
    const double top = ldexp(1, sign ? bits - 1 : bits), low = sign ? -top : 0;
    sqz_vid y = sqz_b(&b, "cast", "to=1", 1, im->in[0]);
    if (b.status == SQZ_OK)
        b.status = inner(im, op, at, y, &y);
    y = sqz_b(&b, "round", NULL, 1, y);
    if (bits < 32) { /* no float32 above is both a limit and whole */
        y = sqz_b(&b, "min", NULL, 2, y, sqz_b_num(&b, top - 1, y));
        y = sqz_b(&b, "max", NULL, 2, y, sqz_b_num(&b, low, y));
    }
    y = sqz_bf(&b, "cast", &y, 1, "to=%d", (int)sqz_dtype_onnx(d));
    return sqz_b_end(&b, 1, y);
}

sqz_status sqz_resize_import(sqz_import *im, const sqz_op *op)
{
    const sqz_value *v = sqz_val(im->g, im->in[0]);
    const sqz_tensor *scales = NULL, *sizes = NULL;
    sqz_resize_attrs at = {0};
    kind k = NEAREST;
    (void)op;
    SQZ_TRY(modes(im, &at, &k));
    SQZ_TRY(sqz_import_const(im, im->opset < 11 ? 1 : 2, &scales));
    if (im->opset >= 11)
        SQZ_TRY(sqz_import_const(im, 3, &sizes));
    if (sizes && sizes->count)
        SQZ_TRY(read_sizes(im, sizes, &v->shape, &at));
    else
        SQZ_TRY(read_scales(im, scales, &v->shape, &at));
    if (!at.sizes.n && !at.scales.n)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "neither scales nor sizes are given");
    if (at.coord == SQZ_RESIZE_CROP)
        SQZ_TRY(read_roi(im, &v->shape, &at));
    if (k == NEAREST && im->opset < 11)
        return old_nearest(im, &at);
    const char *name = k == NEAREST                                     ? "resize_nearest"
                       : k == LINEAR && is_plain_linear(&at, &v->shape) ? "resize_linear"
                                                                        : "resize";
    if (k != NEAREST && !sqz_dtype_is_float(v->dtype) && !v->quant)
        return integers(im, name, &at);
    return sqz_import_node(im, sqz_op_find(name), &at, im->in, 1);
}

/* ---- export ---- */

static void attribute(sqz_export *e, const char *name, const char *text)
{
    e->attr[e->n_attr++] = (sqz_export_attr){.name = name, .type = 3, .s = text};
}
static void flag(sqz_export *e, const char *name, int64_t v)
{
    if (v)
        e->attr[e->n_attr++] = (sqz_export_attr){.name = name, .type = 2, .i = v};
}
static void real(sqz_export *e, const char *name, double v, double def)
{
    if (v != def)
        e->attr[e->n_attr++] = (sqz_export_attr){.name = name, .type = 1, .f = (float)v};
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

/* Sizes in full: those that stay are the input's. With a policy, only the axes that have a size
 * count, and they are named. */
static sqz_status sizes_input(sqz_export *e, const sqz_resize_attrs *at)
{
    const sqz_value *x = sqz_val(e->g, e->node->in[0]);
    const bool named = at->policy != SQZ_RESIZE_STRETCH;
    int64_t *v, *axis;
    sqz_ints axes;
    uint32_t n = 0;
    SQZ_TRY(sqz_ints_new(e->arena, at->sizes.n, &e->in[3].ints, &v));
    SQZ_TRY(sqz_ints_new(e->arena, at->sizes.n, &axes, &axis));
    for (uint32_t i = 0; i < at->sizes.n; i++) {
        int32_t a = x->channel_last ? sqz_axis_to_last((int)i, x->shape.rank) : (int32_t)i;
        if (named && !at->sizes.v[i])
            continue;
        axis[n] = i;
        v[n++] = at->sizes.v[i] ? at->sizes.v[i] : x->shape.dim[a];
    }
    e->in[3].ints.n = axes.n = n;
    e->in[3].value = SQZ_NONE;
    e->in[3].is_const = true;
    e->in[3].is_float = e->in[3].scalar = false;
    e->n_in = 4;
    if (!named)
        return SQZ_OK;
    if (at->roi.n) {
        float *roi = sqz_arena_alloc(e->arena, 2 * (size_t)n, sizeof *roi);
        if (!roi)
            return SQZ_E_NOMEM;
        for (uint32_t i = 0; i < 2 * n; i++)
            roi[i] = at->roi.v[i < n ? axis[i] : (int64_t)at->sizes.n + axis[i - n]];
        e->in[1].floats = (sqz_floats){2 * n, roi};
    }
    attribute(e, "keep_aspect_ratio_policy", policy_word[at->policy]);
    e->attr[e->n_attr++] = (sqz_export_attr){.name = "axes", .type = 7, .ints = axes};
    return SQZ_OK;
}

/* Before opset 11 there are scales only, with the coordinates that were usual. */
static sqz_status write_old(sqz_export *e, const sqz_resize_attrs *at)
{
    if (at->sizes.n || at->coord != SQZ_RESIZE_ASYMMETRIC)
        return sqz_fail(
            e->ctx, SQZ_E_UNSUPPORTED,
            "node '%s': this form of Resize needs opset 11, the file is written in %lld",
            e->node->name, (long long)e->opset);
    if (e->opset < 9)
        e->attr[e->n_attr++] = (sqz_export_attr){.name = "scales", .type = 6, .floats = at->scales};
    else
        floats_input(e, 1, at->scales);
    return SQZ_OK;
}

sqz_status sqz_resize_write(sqz_export *e, const char *mode)
{
    const sqz_resize_attrs *at = e->attrs;
    e->op_type = e->opset < 10 ? "Upsample" : "Resize";
    attribute(e, "mode", mode);
    if (e->opset < 11)
        return write_old(e, at);
    attribute(e, "coordinate_transformation_mode", coord_word[at->coord]);
    if (mode[0] == 'n') {
        attribute(e, "nearest_mode", near_word[at->near]);
    } else {
        flag(e, "exclude_outside", at->exclude_outside);
        flag(e, "antialias", at->antialias);
    }
    if (mode[0] == 'c')
        real(e, "cubic_coeff_a", at->cubic_a, -0.75);
    real(e, "extrapolation_value", at->extrapolation, 0);
    e->in[1].value = SQZ_NONE;
    if (e->opset < 13 || at->coord == SQZ_RESIZE_CROP) /* may be empty there, but not absent */
        floats_input(e, 1, at->roi);
    floats_input(e, 2, at->scales);
    e->in[2].is_const = at->scales.n || e->opset < 13;
    return at->sizes.n ? sizes_input(e, at) : SQZ_OK;
}
