/* lp_pool: the p-norm of the elements under each window, (sum |x|^p)^(1/p), (N,H,W,C); also (N,W,C)
 * and (N,D,H,W,C). Padding counts as 0. */
#include "ops/grad.h"
#include "ops/pool.h"
#include "ops/ties.h"
#include <math.h>

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

/* ---- gradient: dx = g sign(x) (|x| / y)^(p-1) ---- */

typedef struct grad_state {
    sqz_window w;
    size_t channels;
} grad_state;

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    const sqz_shape *x = &p->in[0]->shape;
    grad_state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    s->channels = (size_t)x->dim[x->rank - 1];
    p->state = s;
    return sqz_pool_window(p->ctx, p->attrs, x, 1, &s->w);
}

/* One output pixel and one pixel under its window. */
static void grad_tap(const sqz_grad_call *c, size_t out, size_t in)
{
    const double p = ((const sqz_pool_attrs *)c->attrs)->p;
    const size_t n = ((const grad_state *)c->state)->channels;
    for (size_t k = 0; k < n; k++) {
        const double x = (double)SQZ_F32P(c->in[0])[in * n + k];
        const double y = (double)SQZ_F32P(c->out[0])[out * n + k];
        const double slope = y > 0 && x != 0 ? pow(fabs(x) / y, p - 1) : 0;
        c->in_grad[0][in * n + k] += c->out_grad[0][out * n + k] * (float)copysign(slope, x);
    }
}

static void grad_window(const sqz_grad_call *c, size_t out, size_t image, const int64_t *o)
{
    const sqz_window *w = &((const grad_state *)c->state)->w;
    int64_t lo[SQZ_WINDOW_AXES], hi[SQZ_WINDOW_AXES];
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        sqz_window_taps(w, a, o[a], &lo[a], &hi[a]);
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++) {
                const int64_t row = sqz_window_input(w, 0, o[0], z) * w->in[1] +
                                    sqz_window_input(w, 1, o[1], y);
                grad_tap(c, out,
                         image + (size_t)(row * w->in[2] + sqz_window_input(w, 2, o[2], x)));
            }
}

static sqz_status grad_samples(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const sqz_window *w = &((const grad_state *)c->state)->w;
    int64_t o[SQZ_WINDOW_AXES];
    size_t out = begin * sqz_volume(w->out);
    for (size_t n = begin; n < end; n++)
        for (o[0] = 0; o[0] < w->out[0]; o[0]++)
            for (o[1] = 0; o[1] < w->out[1]; o[1]++)
                for (o[2] = 0; o[2] < w->out[2]; o[2]++)
                    grad_window(c, out++, n * sqz_volume(w->in), o);
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    return sqz_parallel(c->ctx, (size_t)c->in[0]->shape.dim[0], 1, grad_samples, &call);
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
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_OUT,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LpPool", .since = 1, .import = sqz_pool_import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
