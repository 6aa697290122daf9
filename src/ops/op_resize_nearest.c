/* resize_nearest: each output element is the nearest input element, along any axes. */
#include "ops/grad.h"
#include "ops/resize.h"
#include "ops/ties.h"

static const sqz_attr schema[] = {
    SQZ_RESIZE_ROWS,
    {.name = "nearest_mode",
     .offset = offsetof(sqz_resize_attrs, near),
     .type = SQZ_A_ENUM,
     .max = SQZ_NEAR_CEIL,
     .names = "round_prefer_floor|round_prefer_ceil|floor|ceil",
     .doc = "which of two neighbors"},
    SQZ_RESIZE_CROP_ROWS,
};

/* Bounded first: scales may lead anywhere. */
static int64_t nearest(int64_t mode, float x, int64_t in)
{
    x = fminf(fmaxf(x, -2.0f), (float)in + 1.0f);
    switch (mode) {
    case SQZ_NEAR_PREFER_CEIL: return (int64_t)floorf(x + 0.5f);
    case SQZ_NEAR_FLOOR: return (int64_t)floorf(x);
    case SQZ_NEAR_CEIL: return (int64_t)ceilf(x);
    default: return (int64_t)ceilf(x - 0.5f);
    }
}

static void map(const void *opts, const sqz_prep *p, int32_t axis, int64_t in, int64_t out,
                int64_t *m)
{
    const sqz_resize_attrs *at = opts;
    sqz_resize_axis all[SQZ_MAX_RANK];
    if (sqz_resize_axes(p->ctx, at, &p->in[0]->shape, all) != SQZ_OK)
        return; /* cannot be: infer has seen them */
    const sqz_resize_axis *a = &all[axis];
    const bool stays = a->scale == 1 && in == out && a->begin == 0 && a->end == 1;
    for (int64_t i = 0; i < out; i++) {
        const float x = sqz_resize_source(at, a, i);
        const int64_t k = stays ? i : SQZ_MIN(SQZ_MAX(nearest(at->near, x, in), 0), in - 1);
        m[i] = !stays && sqz_resize_outside(at, a, x) ? -1 : k;
    }
}
static sqz_status prepare(sqz_prep *p) { return sqz_maps_prepare(p, map); }

/* What lies outside of the input, in the type of the elements. */
static sqz_status run(const sqz_call *c)
{
    const sqz_resize_attrs *at = c->attrs;
    const sqz_quant *q = c->out_q ? c->out_q[0] : NULL;
    const sqz_shape one = {.rank = 0};
    double fill = at->extrapolation;
    unsigned char bytes[16] = {0};
    sqz_tensor t;
    if (q && q->n)
        fill = nearbyint(fill / (double)q->scale[0]) + q->zero[0];
    SQZ_TRY(sqz_tensor_view(c->ctx, c->out[0]->dtype, &one, bytes, &t));
    sqz_tensor_set_f64(&t, 0, fill);
    return sqz_maps_run(c, bytes);
}
static sqz_status write(sqz_export *e) { return sqz_resize_write(e, "nearest"); }

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_maps_grad_prepare(p, prepare); }

static const sqz_case cases[] = {
    {.attrs = "scales=1,2,2,1 coordinate_transformation_mode=asymmetric nearest_mode=floor",
     .n_in = 1,
     .in = {{4, {2, 3, 4, 3}}}},
    {.attrs = "sizes=0,5,3,0", .n_in = 1, .in = {{4, {1, 3, 4, 3}}}},
    {.attrs = "scales=1,1.5,1 coordinate_transformation_mode=align_corners nearest_mode=ceil",
     .n_in = 1,
     .in = {{3, {1, 5, 2}}}},
    {.attrs = "sizes=4,0,6 keep_aspect_ratio_policy=not_larger nearest_mode=floor",
     .n_in = 1,
     .in = {{3, {3, 2, 3}}}},
    {.attrs = "sizes=0,5,4 coordinate_transformation_mode=tf_crop_and_resize "
              "roi=0,-0.5,0.25,1,1.5,0.75 extrapolation_value=2.5",
     .n_in = 1,
     .in = {{3, {1, 4, 4}}}},
};

const sqz_op sqz_op_resize_nearest = {
    .info = {.name = "resize_nearest",
             .doc = "nearest-neighbor resizing",
             .opt_size = sizeof(sqz_resize_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = sqz_resize_infer,
    .run = run,
    .prepare = prepare,
    .cost = sqz_move_cost,
    .grad = sqz_maps_grad,
    .grad_prepare = grad_prepare,
    .ties = sqz_resize_ties,
    .recut = sqz_resize_recut,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Resize",
             .also = "Upsample",
             .since = 1,
             .import = sqz_resize_import,
             .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
