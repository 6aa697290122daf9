/* roi_align: a fixed number of samples out of each region of an image: x (N,C,H,W), regions (R,4)
 * as x1, y1, x2, y2, and the sample n of each (R) -> (R,C,H',W'). A region is cut into H' x W'
 * cells, and each cell read at `sampling_ratio` x `sampling_ratio` places (0: about one a pixel),
 * between the pixels; the average is taken, or the largest of the weighted pixels (as in ONNX, not
 * of the interpolated values). K. He et al., "Mask R-CNN" (2017). */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/move.h"
#include <string.h>

enum { HALF_PIXEL, OUTPUT_HALF_PIXEL };
enum { AVERAGE, MAXIMUM };

typedef struct attrs {
    int64_t coord, mode, height, width, ratio;
    double scale;
} attrs;
static const sqz_attr schema[] = {
    {.name = "coordinate_transformation_mode",
     .offset = offsetof(attrs, coord),
     .type = SQZ_A_ENUM,
     .max = OUTPUT_HALF_PIXEL,
     .names = "half_pixel|output_half_pixel",
     .doc = "whether pixel centers lie at halves in the coordinates of the regions"},
    {.name = "mode",
     .offset = offsetof(attrs, mode),
     .type = SQZ_A_ENUM,
     .max = MAXIMUM,
     .names = "avg|max",
     .doc = "what is taken of the places of a cell"},
    {.name = "output_height",
     .offset = offsetof(attrs, height),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .doc = "rows of cells"},
    {.name = "output_width",
     .offset = offsetof(attrs, width),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .doc = "columns of cells"},
    {.name = "sampling_ratio",
     .offset = offsetof(attrs, ratio),
     .type = SQZ_A_INT,
     .max = 256,
     .doc = "places in a cell along each axis, 0: as many as there are pixels"},
    {.name = "spatial_scale",
     .offset = offsetof(attrs, scale),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .doc = "pixels of x for one unit of the regions"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape, *r = &q->in[1]->shape, *n = &q->in[2]->shape;
    SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(sqz_need_real(q, 1));
    SQZ_TRY(sqz_need_index(q, 2));
    if (x->rank != 4 || r->rank != 2 || r->dim[1] != 4 || n->rank != 1 || n->dim[0] != r->dim[0])
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "an image of rank %d, regions of rank %d and numbers of rank %d, expected "
                        "(N,C,H,W), (R,4) and (R)",
                        (int)x->rank, (int)r->rank, (int)n->rank);
    q->out[0] = (sqz_shape){4, {r->dim[0], x->dim[1], at->height, at->width}};
    return SQZ_OK;
}

/* ---- running ---- */

typedef struct job {
    const sqz_call *c;
    const attrs *at;
    int64_t channels, height, width; /* of the image */
} job;

typedef struct region { /* in pixels */
    double y, x, cell_h, cell_w;
    int64_t n_y, n_x; /* places in a cell */
} region;

static region region_of(const job *j, size_t r)
{
    const attrs *at = j->at;
    const float *box = SQZ_F32P(j->c->in[1]) + 4 * r;
    const double off = at->coord == HALF_PIXEL ? 0.5 : 0;
    double p[4];
    for (int i = 0; i < 4; i++) /* in float32, as others do: the number of places hangs on it */
        p[i] = (double)(box[i] * (float)at->scale - (float)off);
    double w = p[2] - p[0], h = p[3] - p[1];
    if (at->coord == OUTPUT_HALF_PIXEL) { /* at least one pixel */
        w = fmax(w, 1);
        h = fmax(h, 1);
    }
    region g = {.y = p[1], .x = p[0]};
    g.cell_h = h / (double)at->height;
    g.cell_w = w / (double)at->width;
    /* a place for each pixel of a cell; what no image can have is cut off */
    g.n_y = at->ratio ? at->ratio : (int64_t)ceil(fmin(fmax(g.cell_h, 0), 65536));
    g.n_x = at->ratio ? at->ratio : (int64_t)ceil(fmin(fmax(g.cell_w, 0), 65536));
    return g;
}

/* Two pixels along an axis and the weight of the second. false: too far outside. */
static bool between(double v, int64_t n, int64_t *lo, int64_t *hi, double *weight)
{
    if (!(v >= -1 && v <= (double)n))
        return false;
    v = fmax(v, 0);
    *lo = SQZ_MIN((int64_t)v, n - 1);
    *hi = SQZ_MIN(*lo + 1, n - 1);
    *weight = *lo == n - 1 ? 0 : v - (double)*lo;
    return true;
}

/* Places k of cell number c along an axis that may lie on the image: the others add nothing, and a
 * region may be far larger. */
static void on_image(double start, double size, int64_t c, int64_t places, int64_t n, int64_t *lo,
                     int64_t *hi)
{
    const double step = size / (double)places, first = start + (double)c * size + step / 2;
    *lo = 0;
    *hi = places;
    if (!(step > 0)) /* a region without extent, or the other way around */
        return;
    *lo = (int64_t)fmin(fmax(floor((-1 - first) / step) - 1, 0), (double)places);
    *hi = (int64_t)fmin(fmax(ceil(((double)n - first) / step) + 2, 0), (double)places);
}

/* One cell of one channel. */
static float cell(const job *j, const region *g, const float *x, int64_t cy, int64_t cx)
{
    const bool max = j->at->mode == MAXIMUM;
    int64_t y_lo, y_hi, x_lo, x_hi;
    const int64_t places = g->n_y * g->n_x;
    if (places == 0)
        return 0;
    on_image(g->y, g->cell_h, cy, g->n_y, j->height, &y_lo, &y_hi);
    on_image(g->x, g->cell_w, cx, g->n_x, j->width, &x_lo, &x_hi);
    const bool all = y_lo == 0 && x_lo == 0 && y_hi == g->n_y && x_hi == g->n_x;
    double sum = 0, top = all ? -INFINITY : 0;
    for (int64_t i = y_lo; i < y_hi; i++)
        for (int64_t k = x_lo; k < x_hi; k++) {
            const double y = g->y + ((double)cy + ((double)i + 0.5) / (double)g->n_y) * g->cell_h;
            const double z = g->x + ((double)cx + ((double)k + 0.5) / (double)g->n_x) * g->cell_w;
            int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;
            double u = 0, v = 0;
            if (!between(y, j->height, &y0, &y1, &v) || !between(z, j->width, &x0, &x1, &u)) {
                top = fmax(top, 0);
                continue;
            }
            const double p[] = {(1 - v) * (1 - u) * (double)x[y0 * j->width + x0],
                                (1 - v) * u * (double)x[y0 * j->width + x1],
                                v * (1 - u) * (double)x[y1 * j->width + x0],
                                v * u * (double)x[y1 * j->width + x1]};
            sum += p[0] + p[1] + p[2] + p[3];
            top = fmax(top, fmax(fmax(p[0], p[1]), fmax(p[2], p[3])));
        }
    return (float)(max ? top : sum / (double)places);
}

/* Channels begin .. end of all regions. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t cells = (size_t)(j->at->height * j->at->width);
    for (size_t i = begin; i < end; i++) {
        const size_t r = i / (size_t)j->channels, ch = i % (size_t)j->channels;
        const region g = region_of(j, r);
        const int64_t n = sqz_tensor_i64(j->c->in[2], r);
        const float *x = SQZ_F32P(j->c->in[0]) +
                         (n * j->channels + (int64_t)ch) * j->height * j->width;
        for (size_t k = 0; k < cells; k++)
            SQZ_F32P(j->c->out[0])
        [i * cells + k] = cell(j, &g, x, (int64_t)k / j->at->width, (int64_t)k % j->at->width);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_shape *x = &c->in[0]->shape;
    const size_t regions = (size_t)c->out[0]->shape.dim[0];
    job j = {c, c->attrs, x->dim[1], x->dim[2], x->dim[3]};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    if (c->in[0]->count == 0)
        return sqz_fail(c->ctx, SQZ_E_SHAPE, "the image is empty");
    for (size_t r = 0; r < regions; r++) {
        const int64_t n = sqz_tensor_i64(c->in[2], r);
        if (n < 0 || n >= x->dim[0])
            return sqz_fail(c->ctx, SQZ_E_ARG, "region %zu is of sample %lld, there are %lld", r,
                            (long long)n, (long long)x->dim[0]);
    }
    return sqz_parallel(c->ctx, regions * (size_t)j.channels, 4, piece, &j);
}

/* Four products at each place. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    const int64_t ratio = ((const attrs *)q->attrs)->ratio;
    sqz_move_cost(q, out);
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops *= 4 * (uint64_t)(ratio ? ratio * ratio : 4);
}

/* Before opset 16 there was no mode, and what there was has become the other one. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (im->opset < 16)
        at.coord = OUTPUT_HALF_PIXEL;
    return sqz_import_node(im, op, &at, im->in, im->n_in);
}

static sqz_status write(sqz_export *e)
{
    const attrs *at = e->attrs;
    SQZ_TRY(sqz_export_schema(e));
    if (e->opset >= 16)
        return SQZ_OK;
    if (at->coord == HALF_PIXEL)
        return sqz_fail(e->ctx, SQZ_E_UNSUPPORTED,
                        "half_pixel needs opset 16, the file is written in %lld",
                        (long long)e->opset);
    unsigned n = 0;
    for (unsigned i = 0; i < e->n_attr; i++)
        if (strcmp(e->attr[i].name, "coordinate_transformation_mode") != 0)
            e->attr[n++] = e->attr[i];
    e->n_attr = n;
    return SQZ_OK;
}

/* ---- gradient: of the pixels, by their weights; of the regions, as these move the weights. With
 * the number of places as it is. ---- */

typedef struct spot { /* a place between four pixels */
    int64_t at[4];
    double weight[4], by_y[4], by_x[4]; /* weights, and how they change with the place */
    double part_y, part_x;              /* how far along the region it lies, 0 .. 1 */
} spot;

/* Place (i, k) of a cell; false: too far outside. Up to the first pixel coordinates stand still. */
static bool spot_of(const job *j, const region *g, int64_t row, int64_t col, spot *s)
{
    s->part_y = ((double)(row / g->n_y) + ((double)(row % g->n_y) + 0.5) / (double)g->n_y) /
                (double)j->at->height;
    s->part_x = ((double)(col / g->n_x) + ((double)(col % g->n_x) + 0.5) / (double)g->n_x) /
                (double)j->at->width;
    const double y = g->y + s->part_y * g->cell_h * (double)j->at->height;
    const double x = g->x + s->part_x * g->cell_w * (double)j->at->width;
    int64_t y0, y1, x0, x1;
    double u, v;
    if (!between(y, j->height, &y0, &y1, &v) || !between(x, j->width, &x0, &x1, &u))
        return false;
    const double dv = y > 0 && y0<j->height - 1, du = x> 0 && x0 < j->width - 1;
    const int64_t at[4] = {y0 * j->width + x0, y0 * j->width + x1, y1 * j->width + x0,
                           y1 * j->width + x1};
    for (int k = 0; k < 4; k++) {
        const double wy = k < 2 ? 1 - v : v, wx = k % 2 ? u : 1 - u;
        s->at[k] = at[k];
        s->weight[k] = wy * wx;
        s->by_y[k] = (k < 2 ? -dv : dv) * wx;
        s->by_x[k] = (k % 2 ? du : -du) * wy;
    }
    return true;
}

/* What pixel k of a place adds to a cell with gradient g. */
static void grad_tap(const job *j, const sqz_grad_call *c, size_t r, int64_t plane, const spot *s,
                     int k, double g)
{
    const attrs *at = j->at;
    const float *box = SQZ_F32P(j->c->in[1]) + 4 * r;
    if (sqz_grad_wants(c, 0))
        c->in_grad[0][plane + s->at[k]] += (float)(g * s->weight[k]);
    if (!sqz_grad_wants(c, 1))
        return;
    const double x = g * (double)SQZ_F32P(j->c->in[0])[plane + s->at[k]] * (double)(float)at->scale;
    const bool grown = at->coord == OUTPUT_HALF_PIXEL; /* to one pixel: its size stands still */
    const bool wide = !grown || (box[2] - box[0]) * (float)at->scale > 1;
    const bool high = !grown || (box[3] - box[1]) * (float)at->scale > 1;
    float *d = c->in_grad[1] + 4 * r;
    d[0] += (float)(x * s->by_x[k] * (wide ? 1 - s->part_x : 1));
    d[1] += (float)(x * s->by_y[k] * (high ? 1 - s->part_y : 1));
    d[2] += (float)(x * s->by_x[k] * (wide ? s->part_x : 0));
    d[3] += (float)(x * s->by_y[k] * (high ? s->part_y : 0));
}

static void grad_cell(const job *j, const sqz_grad_call *c, size_t r, int64_t plane, size_t cell,
                      double g)
{
    const region box = region_of(j, r);
    const int64_t cy = (int64_t)cell / j->at->width, cx = (int64_t)cell % j->at->width;
    const double places = (double)(box.n_y * box.n_x);
    const bool max = j->at->mode == MAXIMUM;
    spot s, top = {.at = {-1, -1, -1, -1}};
    double best = -INFINITY;
    int which = -1;
    for (int64_t i = 0; i < box.n_y; i++)
        for (int64_t k = 0; k < box.n_x; k++) {
            if (!spot_of(j, &box, cy * box.n_y + i, cx * box.n_x + k, &s)) {
                which = best < 0 ? -1 : which;
                best = fmax(best, 0);
                continue;
            }
            for (int t = 0; t < 4; t++) {
                const double v = s.weight[t] * (double)SQZ_F32P(j->c->in[0])[plane + s.at[t]];
                if (!max)
                    grad_tap(j, c, r, plane, &s, t, g / places);
                else if (v > best) {
                    best = v;
                    which = t;
                    top = s;
                }
            }
        }
    if (max && which >= 0)
        grad_tap(j, c, r, plane, &top, which, g);
}

/* In order, as regions overlap. */
static sqz_status grad(const sqz_grad_call *c)
{
    const sqz_shape *x = &c->in[0]->shape;
    const sqz_call call = {.in = c->in};
    const job j = {&call, c->attrs, x->dim[1], x->dim[2], x->dim[3]};
    const size_t cells = (size_t)(j.at->height * j.at->width);
    if (sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    sqz_grad_begin(c, 1);
    for (size_t i = 0; i < c->out[0]->count; i++) {
        const size_t r = i / cells / (size_t)j.channels, ch = i / cells % (size_t)j.channels;
        const int64_t n = sqz_tensor_i64(c->in[2], r);
        grad_cell(&j, c, r, (n * j.channels + (int64_t)ch) * j.height * j.width, i % cells,
                  (double)c->out_grad[0][i]);
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "output_height=3 output_width=2 sampling_ratio=2 spatial_scale=0.5",
     .n_in = 3,
     .in = {{4, {2, 3, 6, 7}}, {2, {4, 4}}, {1, {4}}},
     .dtype = {SQZ_F32, SQZ_F32, SQZ_S64},
     .lo = 0,
     .hi = 1},
    {.attrs = "mode=max output_height=2 output_width=2 "
              "coordinate_transformation_mode=output_half_pixel spatial_scale=4",
     .n_in = 3,
     .in = {{4, {2, 2, 6, 7}}, {2, {3, 4}}, {1, {3}}},
     .dtype = {SQZ_F32, SQZ_F32, SQZ_S32},
     .lo = 0,
     .hi = 1},
};

const sqz_op sqz_op_roi_align = {
    .info = {.name = "roi_align",
             .doc = "regions of an image, each at a fixed size",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .infer = infer,
    .run = run,
    .cost = cost,
    .grad = grad,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "RoiAlign", .since = 10, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
