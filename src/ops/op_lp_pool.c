/* lp_pool: the p-norm of the elements under each window, (sum |x|^p)^(1/p), (N,H,W,C); also (N,W,C)
 * and (N,D,H,W,C). Padding counts as 0. */
#include "ops/pool.h"
#include "ops/ties.h"

static const sqz_attr schema[] = {
    SQZ_POOL_ROWS,
    {.name = "p",
     .offset = offsetof(sqz_pool_attrs, p),
     .type = SQZ_A_FLOAT,
     .def = 2,
     .min = 0x1p-20,
     .max = 0x1p20,
     .doc = "which norm"},
};

/* p is an integer since opset 2; a root of another degree has no spelling there. */
static sqz_status write(sqz_export *e)
{
    const sqz_pool_attrs *at = e->attrs;
    const int64_t p = (int64_t)at->p;
    SQZ_TRY(sqz_export_schema(e));
    if ((double)p != at->p)
        return sqz_fail(e->ctx, SQZ_E_UNSUPPORTED, "p is %g, ONNX has whole numbers only", at->p);
    for (unsigned i = 0; i < e->n_attr; i++)
        if (e->attr[i].type == 1) /* the only float */
            e->attr[i] = (sqz_export_attr){.name = "p", .type = 2, .i = p};
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "kernel_shape=2,2 strides=2,2", .n_in = 1, .in = {{4, {2, 6, 5, 4}}}},
    {.attrs = "kernel_shape=3,2 p=3 pads=1,0,0,1 ceil_mode=1",
     .n_in = 1,
     .in = {{4, {1, 6, 7, 3}}}},
    {.attrs = "kernel_shape=2,2,2 p=1 dilations=1,2,1", .n_in = 1, .in = {{5, {1, 3, 4, 3, 2}}}},
};

const sqz_op sqz_op_lp_pool = {
    .info = {.name = "lp_pool",
             .doc = "p-norm of the elements under each window",
             .opt_size = sizeof(sqz_pool_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = sqz_pool_infer,
    .run = sqz_pool_run_lp,
    .cost = sqz_pool_cost,
    .prepare = sqz_pool_prepare,
    .ties = sqz_ties_channels,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LpPool", .since = 1, .import = sqz_pool_import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
