/* grid_sample: reads an image at places given by a grid, (N,C,H,W) at (N,H',W',2) -> (N,C,H',W');
 * also over one or three axes. The last axis of the grid has (x, y), for three axes (x, y, z), from
 * -1 to 1 across the image: between the centers of its border pixels (align_corners), or between
 * their outer edges. M. Jaderberg et al., "Spatial transformer networks" (2015). */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/sample.h"
#include <string.h>

typedef struct attrs {
    int64_t mode, padding, align_corners;
} attrs;
static const sqz_attr schema[] = {
    {.name = "mode",
     .offset = offsetof(attrs, mode),
     .type = SQZ_A_ENUM,
     .max = SQZ_SAMPLE_CUBIC,
     .names = "linear|nearest|cubic",
     .doc = "which pixels around a place count"},
    {.name = "padding_mode",
     .offset = offsetof(attrs, padding),
     .type = SQZ_A_ENUM,
     .max = SQZ_SAMPLE_REFLECTION,
     .names = "zeros|border|reflection",
     .doc = "what lies outside of the image"},
    {.name = "align_corners",
     .offset = offsetof(attrs, align_corners),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "-1 and 1 are the centers of the border pixels"},
};

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *x = &q->in[0]->shape, *g = &q->in[1]->shape;
    SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(sqz_need_real(q, 1));
    if (x->rank < 3 || x->rank > 2 + SQZ_SAMPLE_AXES || g->rank != x->rank)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                        "an image of rank %d and a grid of rank %d, expected both 3, 4 or 5",
                        (int)x->rank, (int)g->rank);
    if (g->dim[0] != x->dim[0] || g->dim[g->rank - 1] != x->rank - 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "a grid of %lld samples with %lld coordinates, expected %lld with %d",
                        (long long)g->dim[0], (long long)g->dim[g->rank - 1], (long long)x->dim[0],
                        (int)x->rank - 2);
    q->out[0] = *x;
    for (int32_t i = 2; i < x->rank; i++) {
        q->out[0].dim[i] = g->dim[i - 1];
        if (x->dim[i] < 1)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "the image is empty");
    }
    return SQZ_OK;
}

typedef struct job {
    sqz_sampler sampler;
    size_t c, in, out; /* channels; pixels of a plane */
    const float *x, *grid;
    float *y;
} job;

/* From -1 .. 1 to pixels. */
static float pixel_of(const sqz_sampler *s, int axis, float v)
{
    const float n = (float)s->size[axis];
    return s->align_corners ? (v + 1.0f) / 2.0f * (n - 1.0f) : ((v + 1.0f) * n - 1.0f) / 2.0f;
}

/* Output pixels begin .. end of all samples. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t axes = (size_t)j->sampler.n;
    for (size_t i = begin; i < end; i++) {
        const size_t n = i / j->out, o = i % j->out;
        const float *place = j->grid + i * axes, *x = j->x + n * j->c * j->in;
        float *y = j->y + n * j->c * j->out + o, at[SQZ_SAMPLE_AXES];
        sqz_samples t;
        for (size_t a = 0; a < axes; a++) /* the last axis comes first in the grid */
            at[a] = pixel_of(&j->sampler, (int)a, place[axes - 1 - a]);
        sqz_sample(&j->sampler, at, &t);
        for (size_t c = 0; c < j->c; c++) {
            float sum = 0;
            for (unsigned k = 0; k < t.n; k++)
                sum += t.weight[k] * x[c * j->in + t.at[k]];
            y[c * j->out] = sum;
        }
    }
    return SQZ_OK;
}

static job job_of(const void *opts, const sqz_tensor *const *in, const sqz_tensor *out)
{
    const attrs *at = opts;
    const sqz_shape *x = &in[0]->shape, *y = &out->shape;
    job j = {.sampler = {.n = x->rank - 2,
                         .mode = (sqz_sample_mode)at->mode,
                         .padding = (sqz_sample_padding)at->padding,
                         .align_corners = at->align_corners != 0},
             .c = (size_t)x->dim[1],
             .in = 1,
             .out = 1,
             .x = SQZ_F32P(in[0]),
             .grid = SQZ_F32P(in[1]),
             .y = SQZ_F32P(out)};
    for (int32_t i = 2; i < x->rank; i++) {
        j.sampler.size[i - 2] = x->dim[i];
        j.in *= (size_t)x->dim[i];
        j.out *= (size_t)y->dim[i];
    }
    return j;
}

static sqz_status run(const sqz_call *c)
{
    if (c->out[0]->count == 0)
        return SQZ_OK;
    job j = job_of(c->attrs, c->in, c->out[0]);
    return sqz_parallel(c->ctx, (size_t)c->in[0]->shape.dim[0] * j.out, 1 + 2048 / j.c, piece, &j);
}

/* One output pixel: its gradient goes to the pixels that it was mixed of, and to the place it was
 * read at, which moves the weights. */
static void grad_pixel(const job *j, const sqz_grad_call *c, size_t i)
{
    const size_t n = i / j->out, o = i % j->out, axes = (size_t)j->sampler.n;
    const float *place = j->grid + i * axes, *g = c->out_grad[0] + n * j->c * j->out + o;
    float at[SQZ_SAMPLE_AXES];
    sqz_sample_slopes t;
    for (size_t a = 0; a < axes; a++)
        at[a] = pixel_of(&j->sampler, (int)a, place[axes - 1 - a]);
    sqz_sample_grad(&j->sampler, at, &t);
    for (unsigned k = 0; k < t.s.n; k++) {
        double gx = 0;
        for (size_t ch = 0; ch < j->c; ch++) {
            const size_t from = (n * j->c + ch) * j->in + t.s.at[k];
            if (sqz_grad_wants(c, 0))
                c->in_grad[0][from] += t.s.weight[k] * g[ch * j->out];
            if (sqz_grad_wants(c, 1))
                gx += (double)g[ch * j->out] * (double)j->x[from];
        }
        for (size_t a = 0; sqz_grad_wants(c, 1) && a < axes; a++) {
            const float pixels = pixel_of(&j->sampler, (int)a, 1) -
                                 pixel_of(&j->sampler, (int)a, 0);
            c->in_grad[1][i * axes + axes - 1 - a] += (float)(gx *
                                                              (double)(t.slope[k][a] * pixels));
        }
    }
}

typedef struct grad_job {
    job j;
    const sqz_grad_call *c;
} grad_job;

static sqz_status grad_samples(void *arg, size_t begin, size_t end)
{
    const grad_job *g = arg;
    for (size_t i = begin * g->j.out; i < end * g->j.out; i++)
        grad_pixel(&g->j, g->c, i);
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    if (sqz_grad_none(c))
        return SQZ_OK;
    grad_job g = {job_of(c->attrs, c->in, c->out[0]), c};
    sqz_grad_begin(c, 0);
    sqz_grad_begin(c, 1);
    return sqz_parallel(c->ctx, (size_t)c->in[0]->shape.dim[0], 1, grad_samples, &g);
}
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    p->reads_in[0] = p->want & 2;
    return SQZ_OK;
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    const int64_t mode = ((const attrs *)q->attrs)->mode;
    *out = (sqz_cost){.kind = SQZ_COST_ELEMENTWISE, .ops = 1};
    for (int32_t i = 0; i < q->out[0].rank; i++)
        out->ops *= (uint64_t)q->out[0].dim[i];
    for (int32_t i = 2; i < q->out[0].rank; i++)
        out->ops *= mode == SQZ_SAMPLE_CUBIC ? 4 : mode == SQZ_SAMPLE_LINEAR ? 2 : 1;
}

/* ---- ONNX: other words for the modes before opset 20 ---- */

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    sqz_raw_attr own[8];
    sqz_import copy = *im;
    if (im->n_attr > SQZ_COUNT(own))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "has %u attributes", im->n_attr);
    for (unsigned i = 0; i < im->n_attr; i++) {
        own[i] = im->attr[i];
        if (own[i].s && strcmp(own[i].s, "bilinear") == 0)
            own[i].s = "linear";
        if (own[i].s && strcmp(own[i].s, "bicubic") == 0)
            own[i].s = "cubic";
    }
    copy.attr = own;
    SQZ_TRY(sqz_import_attrs(&copy, op, &at));
    return sqz_import_node(im, op, &at, im->in, im->n_in);
}

static sqz_status write(sqz_export *e)
{
    static const char *const old[] = {"bilinear", "nearest", "bicubic"};
    SQZ_TRY(sqz_export_schema(e));
    for (unsigned i = 0; i < e->n_attr && e->opset < 20; i++)
        if (strcmp(e->attr[i].name, "mode") == 0)
            e->attr[i].s = old[((const attrs *)e->attrs)->mode];
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 5, 4}}, {4, {2, 3, 6, 2}}}, .lo = -1.3, .hi = 1.3},
    {.attrs = "mode=cubic padding_mode=reflection",
     .n_in = 2,
     .in = {{4, {1, 2, 5, 4}}, {4, {1, 3, 3, 2}}},
     .lo = -2.5,
     .hi = 2.5},
    {.attrs = "mode=nearest padding_mode=border align_corners=1",
     .n_in = 2,
     .in = {{3, {2, 2, 5}}, {3, {2, 4, 1}}},
     .lo = -1.5,
     .hi = 1.5},
    {.attrs = "padding_mode=reflection align_corners=1",
     .n_in = 2,
     .in = {{5, {1, 2, 3, 4, 5}}, {5, {1, 2, 3, 2, 3}}},
     .lo = -2.5,
     .hi = 2.5},
};

const sqz_op sqz_op_grid_sample = {
    .info = {.name = "grid_sample",
             .doc = "reads an image at the places of a grid",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .infer = infer,
    .run = run,
    .cost = cost,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "GridSample", .since = 16, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
