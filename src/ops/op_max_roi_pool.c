/* max_roi_pool: the largest elements of regions of an image: x (N,C,H,W), regions (R,5) as number
 * of the sample, x1, y1, x2, y2 -> (R,C,H',W'). A region is rounded to whole pixels, both ends
 * included, and cut into H' x W' cells, which may share pixels. A cell beside the image is 0.
 * R. Girshick, "Fast R-CNN" (2015). */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/move.h"

typedef struct attrs {
    sqz_ints shape;
    double scale;
} attrs;
static const sqz_attr schema[] = {
    {.name = "pooled_shape",
     .offset = offsetof(attrs, shape),
     .type = SQZ_A_INTS,
     .min = 1,
     .max = INT32_MAX,
     .flags = SQZ_AF_REQUIRED,
     .doc = "rows and columns of cells"},
    {.name = "spatial_scale",
     .offset = offsetof(attrs, scale),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .doc = "pixels of x for one unit of the regions"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape, *r = &q->in[1]->shape;
    SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(sqz_need_real(q, 1));
    if (x->rank != 4 || r->rank != 2 || r->dim[1] != 5 || at->shape.n != 2)
        return sqz_fail(
            q->ctx, SQZ_E_SHAPE,
            "an image of rank %d, regions of rank %d and a pooled_shape of %u, expected "
            "(N,C,H,W), (R,5) and 2",
            (int)x->rank, (int)r->rank, (unsigned)at->shape.n);
    q->out[0] = (sqz_shape){4, {r->dim[0], x->dim[1], at->shape.v[0], at->shape.v[1]}};
    return SQZ_OK;
}

typedef struct job {
    const sqz_call *c;
    int64_t channels, size[2], cells[2]; /* of the image, of a region: rows, columns */
    float scale;
} job;

/* Pixels [*lo, *hi) of cell k along axis a (0: rows) of the region `box`. */
static void cell_of(const job *j, const float *box, int a, int64_t k, int64_t *lo, int64_t *hi)
{
    const double most = 0x1p40; /* any float is a region */
    const double from = fmin(fmax(round((double)(box[2 - a] * j->scale)), -most), most);
    const double to = fmin(fmax(round((double)(box[4 - a] * j->scale)), -most), most);
    const double cell = fmax(to - from + 1, 1) / (double)j->cells[a], n = (double)j->size[a];
    *lo = (int64_t)fmin(fmax(from + floor((double)k * cell), 0), n);
    *hi = (int64_t)fmin(fmax(from + ceil((double)(k + 1) * cell), 0), n);
}

/* Channels begin .. end of all regions. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t cells = (size_t)(j->cells[0] * j->cells[1]);
    for (size_t i = begin; i < end; i++) {
        const float *box = SQZ_F32P(j->c->in[1]) + i / (size_t)j->channels * 5;
        const int64_t plane = (int64_t)box[0] * j->channels + (int64_t)(i % (size_t)j->channels);
        const float *x = SQZ_F32P(j->c->in[0]) + plane * j->size[0] * j->size[1];
        for (size_t k = 0; k < cells; k++) {
            int64_t y0, y1, x0, x1;
            cell_of(j, box, 0, (int64_t)k / j->cells[1], &y0, &y1);
            cell_of(j, box, 1, (int64_t)k % j->cells[1], &x0, &x1);
            float top = y0 < y1 && x0 < x1 ? -INFINITY : 0;
            for (int64_t y = y0; y < y1; y++)
                for (int64_t z = x0; z < x1; z++)
                    top = fmaxf(top, x[y * j->size[1] + z]);
            SQZ_F32P(j->c->out[0])[i * cells + k] = top;
        }
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const attrs *at = c->attrs;
    const sqz_shape *x = &c->in[0]->shape;
    job j = {.c = c,
             .channels = x->dim[1],
             .size = {x->dim[2], x->dim[3]},
             .cells = {at->shape.v[0], at->shape.v[1]},
             .scale = (float)at->scale};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    const size_t regions = (size_t)c->out[0]->shape.dim[0];
    for (size_t r = 0; r < regions; r++) {
        const float n = SQZ_F32P(c->in[1])[5 * r];
        if (!(n >= 0 && n < (float)x->dim[0]))
            return sqz_fail(c->ctx, SQZ_E_ARG, "region %zu is of sample %g, there are %lld", r,
                            (double)n, (long long)x->dim[0]);
    }
    return sqz_parallel(c->ctx, regions * (size_t)j.channels, 4, piece, &j);
}

/* The largest element of a cell, the first of equal ones, gets its gradient; regions are rounded,
 * which is flat. In order, as regions overlap. */
static void grad_cell(const job *j, size_t i, size_t k, const float *g, float *d)
{
    const float *box = SQZ_F32P(j->c->in[1]) + i / (size_t)j->channels * 5;
    const int64_t plane = (int64_t)box[0] * j->channels + (int64_t)(i % (size_t)j->channels);
    const int64_t first = plane * j->size[0] * j->size[1];
    const float *x = SQZ_F32P(j->c->in[0]) + first;
    int64_t y0, y1, x0, x1, best = -1;
    cell_of(j, box, 0, (int64_t)k / j->cells[1], &y0, &y1);
    cell_of(j, box, 1, (int64_t)k % j->cells[1], &x0, &x1);
    for (int64_t y = y0; y < y1; y++)
        for (int64_t z = x0; z < x1; z++)
            if (best < 0 || x[y * j->size[1] + z] > x[best])
                best = y * j->size[1] + z;
    if (best >= 0)
        d[first + best] += *g;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const attrs *at = c->attrs;
    const sqz_shape *x = &c->in[0]->shape;
    const sqz_call call = {.in = c->in};
    const job j = {.c = &call,
                   .channels = x->dim[1],
                   .size = {x->dim[2], x->dim[3]},
                   .cells = {at->shape.v[0], at->shape.v[1]},
                   .scale = (float)at->scale};
    const size_t cells = (size_t)(j.cells[0] * j.cells[1]);
    if (sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    sqz_grad_begin(c, 1);
    for (size_t k = 0; sqz_grad_wants(c, 0) && k < c->out[0]->count; k++)
        grad_cell(&j, k / cells, k % cells, c->out_grad[0] + k, c->in_grad[0]);
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "pooled_shape=2,3 spatial_scale=4",
     .n_in = 2,
     .in = {{4, {1, 3, 6, 7}}, {2, {4, 5}}},
     .lo = 0.1,
     .hi = 0.9},
};

const sqz_op sqz_op_max_roi_pool = {
    .info = {.name = "max_roi_pool",
             .doc = "largest elements of regions of an image",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .infer = infer,
    .run = run,
    .cost = sqz_move_cost,
    .grad = grad,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "MaxRoiPool", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
