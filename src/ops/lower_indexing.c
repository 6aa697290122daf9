/* lower_indexing.c: Compress, NonZero, CenterCropPad and the experimental DynamicSlice. What makes
 * as many elements as its data say needs these data now: Compress the condition (which makes it a
 * gather), NonZero everything. */
#include "ops/build.h"
#include "ops/move.h"
#include <stdio.h>

/* Constant input `slot`, which decides about a shape. */
static sqz_status deciding(sqz_import *im, unsigned slot, const sqz_tensor **t)
{
    SQZ_TRY(sqz_note(im->g->ctx, sqz_import_const(im, slot, t), "its output size depends on data"));
    return *t ? SQZ_OK : sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", slot);
}

/* Rules are asked for nodes without inputs as well. */
static sqz_status need_data(const sqz_import *im)
{
    if (im->n_in > 0 && im->in[0] != SQZ_NONE)
        return SQZ_OK;
    return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input 0 is missing");
}

/* ---- Compress ---- */

/* Where the condition holds, as a list. */
static sqz_status holds(sqz_import *im, const sqz_tensor *when, int64_t n, sqz_tensor *out)
{
    sqz_shape s = {1, {0}};
    for (size_t i = 0; i < when->count; i++)
        s.dim[0] += sqz_tensor_f64(when, i) != 0;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, SQZ_S64, &s, out));
    for (size_t i = 0, k = 0; i < when->count; i++)
        if (sqz_tensor_f64(when, i) != 0)
            SQZ_S64P(out)[k++] = (int64_t)i;
    if (s.dim[0] == 0 || SQZ_S64P(out)[s.dim[0] - 1] < n)
        return SQZ_OK;
    sqz_tensor_free(im->g->ctx, out);
    return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "a condition for %zu entries, the data have %lld",
                    when->count, (long long)n);
}

static sqz_status compress(sqz_import *im)
{
    sqz_build b = {.im = im};
    const sqz_raw_attr *axis = sqz_import_attr(im, "axis");
    const sqz_tensor *when;
    sqz_tensor list;
    SQZ_TRY(need_data(im));
    SQZ_TRY(deciding(im, 1, &when));
    sqz_vid x = axis ? im->in[0] : sqz_b(&b, "reshape", "shape=-1", 1, im->in[0]);
    SQZ_TRY(b.status);
    const sqz_shape *s = &sqz_val(im->g, x)->shape;
    int32_t a = 0;
    SQZ_TRY(sqz_axis(im->g->ctx, axis ? axis->i : 0, s->rank, &a));
    SQZ_TRY(holds(im, when, s->dim[a], &list));
    const sqz_vid in[2] = {x, sqz_b_tensor(&b, &list)};
    return sqz_b_end(&b, 1, sqz_bf(&b, "gather", in, 2, "axis=%d", (int)a));
}

/* ---- NonZero ---- */

/* (rank, n): coordinates of what is not 0, in row-major order. */
static sqz_status non_zero(sqz_import *im)
{
    const sqz_tensor *x;
    sqz_tensor t;
    sqz_shape s = {2, {0}};
    SQZ_TRY(deciding(im, 0, &x));
    s.dim[0] = x->shape.rank;
    for (size_t i = 0; i < x->count; i++)
        s.dim[1] += sqz_tensor_f64(x, i) != 0;
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, SQZ_S64, &s, &t));
    for (size_t i = 0, k = 0; i < x->count; i++) {
        size_t rest = i;
        if (sqz_tensor_f64(x, i) == 0)
            continue;
        for (int32_t d = x->shape.rank - 1; d >= 0; d--) {
            SQZ_S64P(&t)
            [(size_t)d * (size_t)s.dim[1] + k] = (int64_t)(rest % (size_t)x->shape.dim[d]);
            rest /= (size_t)x->shape.dim[d];
        }
        k++;
    }
    return sqz_graph_constant(im->g, im->out_name[0], &t, &im->out[0]);
}

/* ---- CenterCropPad ---- */

typedef struct crop { /* what happens to each axis */
    int32_t rank;
    int64_t start[SQZ_MAX_RANK], end[SQZ_MAX_RANK], before[SQZ_MAX_RANK], after[SQZ_MAX_RANK];
    bool cuts, pads;
} crop;

static sqz_status plan_axis(sqz_import *im, crop *c, int32_t a, int64_t n, int64_t want)
{
    if (want < 0 || want > INT32_MAX)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "a target of %lld for axis %d", (long long)want,
                        (int)a);
    if (want < n) {
        c->start[a] = (n - want) / 2;
        c->end[a] = c->start[a] + want;
        c->cuts = true;
    } else if (want > n) {
        c->before[a] = (want - n) / 2;
        c->after[a] = want - n - c->before[a];
        c->pads = true;
    }
    return SQZ_OK;
}

static sqz_status plan(sqz_import *im, crop *c)
{
    const sqz_raw_attr *axes = sqz_import_attr(im, "axes");
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const sqz_tensor *target;
    uint32_t mask = 0;
    SQZ_TRY(deciding(im, 1, &target));
    *c = (crop){.rank = x->rank};
    for (int32_t i = 0; i < x->rank; i++)
        c->end[i] = x->dim[i];
    if (axes)
        SQZ_TRY(sqz_axes_mask(im->g->ctx, &axes->ints, x->rank, &mask));
    if (target->count != (axes ? axes->ints.n : (uint32_t)x->rank))
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "%zu target lengths for %u axes", target->count,
                        axes ? (unsigned)axes->ints.n : (unsigned)x->rank);
    for (size_t i = 0; i < target->count; i++) {
        int32_t a;
        SQZ_TRY(sqz_axis(im->g->ctx, axes ? axes->ints.v[i] : (int64_t)i, x->rank, &a));
        SQZ_TRY(plan_axis(im, c, a, x->dim[a], sqz_tensor_i64(target, i)));
    }
    return SQZ_OK;
}

/* "name=1,2,3 " */
static void list(sqz_str *s, const char *name, const int64_t *v, const int64_t *more, int32_t n)
{
    sqz_str_add(s, name);
    for (int32_t i = 0; i < (more ? 2 * n : n); i++)
        sqz_str_addf(s, "%s%lld", i ? "," : "=", (long long)(i < n ? v[i] : more[i - n]));
    sqz_str_add(s, " ");
}

static sqz_status center_crop_pad(sqz_import *im)
{
    static const int64_t axes[SQZ_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    sqz_build b = {.im = im};
    sqz_str cut = {.ctx = im->g->ctx}, pad = {.ctx = im->g->ctx};
    sqz_vid y = sqz_b_in(&b, 0);
    crop c;
    SQZ_TRY(need_data(im));
    SQZ_TRY(plan(im, &c));
    list(&cut, "starts", c.start, NULL, c.rank);
    list(&cut, "ends", c.end, NULL, c.rank);
    list(&cut, "axes", axes, NULL, c.rank);
    list(&pad, "pads", c.before, c.after, c.rank);
    b.status = cut.status == SQZ_OK ? pad.status : cut.status;
    if (c.cuts)
        y = sqz_b(&b, "slice", cut.data, 1, y);
    if (c.pads)
        y = sqz_b(&b, "pad", pad.data, 1, y);
    if (!c.cuts && !c.pads)
        y = sqz_b(&b, "identity", NULL, 1, y);
    sqz_str_free(&cut);
    sqz_str_free(&pad);
    return sqz_b_end(&b, 1, y);
}

/* ---- DynamicSlice: what became Slice of opset 10 ---- */

static sqz_status dynamic_slice(sqz_import *im)
{
    const sqz_op *op = sqz_op_find("slice");
    sqz_import later = *im;
    later.opset = 10;
    SQZ_TRY(need_data(im));
    return op->onnx.import(&later, op);
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "CenterCropPad", .since = 18, .import = center_crop_pad},
    {.domain = "", .op_type = "Compress", .since = 9, .import = compress},
    {.domain = "", .op_type = "DynamicSlice", .since = 1, .import = dynamic_slice},
    {.domain = "", .op_type = "NonZero", .since = 9, .import = non_zero},
};
const sqz_lower_set sqz_lower_indexing = {rules, SQZ_COUNT(rules)};
