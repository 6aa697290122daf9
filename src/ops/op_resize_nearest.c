/* resize_nearest: each output element is the nearest input element, (N,H,W,C). */
#include "ops/resize.h"

static const sqz_attr schema[] = {
    SQZ_RESIZE_ROWS,
    {.name = "nearest_mode",
     .offset = offsetof(sqz_resize_attrs, near),
     .type = SQZ_A_ENUM,
     .max = SQZ_NEAR_CEIL,
     .names = "round_prefer_floor|round_prefer_ceil|floor|ceil",
     .doc = "which of two neighbors"},
};

static int64_t nearest(int64_t mode, float x)
{
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
    const bool stays = axis == 0 || axis == p->in[0]->shape.rank - 1;
    for (int64_t i = 0; i < out; i++) {
        int64_t k = stays ? i : nearest(at->near, sqz_resize_source(at, axis, i, in, out));
        m[i] = SQZ_MIN(SQZ_MAX(k, 0), in - 1);
    }
}
static sqz_status prepare(sqz_prep *p) { return sqz_maps_prepare(p, map); }
static sqz_status write(sqz_export *e) { return sqz_resize_write(e, "nearest"); }

static const sqz_case cases[] = {
    {.attrs = "scales=1,2,2,1 coordinate_transformation_mode=asymmetric nearest_mode=floor",
     .n_in = 1,
     .in = {{4, {2, 3, 4, 3}}}},
    {.attrs = "sizes=0,5,3,0", .n_in = 1, .in = {{4, {1, 3, 4, 3}}}},
    {.attrs = "scales=1,1.5,1 coordinate_transformation_mode=align_corners nearest_mode=ceil",
     .n_in = 1,
     .in = {{3, {1, 5, 2}}}},
};

const sqz_op sqz_op_resize_nearest = {
    .info = {.name = "resize_nearest",
             .doc = "nearest-neighbor resizing of the spatial axes",
             .opt_size = sizeof(sqz_resize_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_CHANNELS,
    .infer = sqz_resize_infer,
    .run = sqz_maps_run_plain,
    .prepare = prepare,
    .cost = sqz_move_cost,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Resize",
             .also = "Upsample",
             .since = 7,
             .import = sqz_resize_import,
             .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
