/* non_max_suppression: of boxes (N,M,4) with scores (N,K,M), for each sample and class the best
 * ones, leaving out those that overlap a better one by more than a threshold (intersection over
 * union): (R,3) of sample, class, box. R depends on the numbers, so they must be constants. */
#include "ops/ew.h"
#include "ops/move.h"
#include <stdlib.h>

typedef struct attrs {
    int64_t center, most;
    double iou, score;
    int64_t scored; /* a score is asked for: 0 is one too */
} attrs;
static const sqz_attr schema[] = {
    {.name = "center_point_box",
     .offset = offsetof(attrs, center),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "boxes are x, y of the center, width, height; else y1, x1, y2, x2"},
    {.name = "max_output_boxes_per_class",
     .offset = offsetof(attrs, most),
     .type = SQZ_A_INT,
     .min = 0,
     .max = 0x1p62,
     .slot = 2,
     .since = 10,
     .doc = "at most so many boxes of a class; 0: none"},
    {.name = "iou_threshold",
     .offset = offsetof(attrs, iou),
     .type = SQZ_A_FLOAT,
     .min = 0,
     .max = 1,
     .slot = 3,
     .since = 10,
     .doc = "boxes that overlap a better one by more are left out"},
    {.name = "score_threshold",
     .offset = offsetof(attrs, score),
     .type = SQZ_A_FLOAT,
     .slot = 4,
     .since = 10,
     .doc = "boxes with a score up to this are left out"},
    {.name = "scored",
     .offset = offsetof(attrs, scored),
     .type = SQZ_A_BOOL,
     .max = 1,
     .flags = SQZ_AF_INTERNAL,
     .doc = "whether there is a score threshold"},
};

typedef struct box {
    float y1, x1, y2, x2, area;
} box;

static box box_of(const float *v, bool center)
{
    box b;
    if (center) {
        b = (box){v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2, 0};
    } else { /* any two opposite corners */
        b = (box){fminf(v[0], v[2]), fminf(v[1], v[3]), fmaxf(v[0], v[2]), fmaxf(v[1], v[3]), 0};
    }
    b.area = (b.y2 - b.y1) * (b.x2 - b.x1);
    return b;
}

static bool overlap(const box *a, const box *b, float most)
{
    const float h = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1);
    const float w = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1);
    if (h <= 0 || w <= 0 || a->area <= 0 || b->area <= 0)
        return false;
    const float both = h * w, all = a->area + b->area - both;
    return all > 0 && both / all > most;
}

typedef struct candidate {
    float score;
    int64_t index;
} candidate;

/* Best first; of equals the first. */
static int better(const void *pa, const void *pb)
{
    const candidate *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

typedef struct work {
    const attrs *at;
    candidate *list; /* room for all boxes */
    box *kept;
    int64_t *out; /* triples; NULL: only counted */
    int64_t n_out;
} work;

static void one_class(work *w, const float *boxes, const float *scores, int64_t n_boxes,
                      int64_t sample, int64_t class)
{
    size_t n = 0;
    int64_t kept = 0;
    for (int64_t i = 0; i < n_boxes; i++)
        if (!isnan(scores[i]) && (!w->at->scored || scores[i] > (float)w->at->score))
            w->list[n++] = (candidate){scores[i], i};
    qsort(w->list, n, sizeof *w->list, better);
    for (size_t i = 0; i < n && kept < w->at->most; i++) {
        const box b = box_of(boxes + 4 * w->list[i].index, w->at->center);
        bool free = true;
        for (int64_t k = 0; k < kept && free; k++)
            free = !overlap(&b, &w->kept[k], (float)w->at->iou);
        if (!free)
            continue;
        w->kept[kept++] = b;
        if (w->out) {
            int64_t *row = w->out + 3 * w->n_out;
            row[0] = sample;
            row[1] = class;
            row[2] = w->list[i].index;
        }
        w->n_out++;
    }
}

/* NOLINTBEGIN(readability-non-const-parameter): `out` is written through the work */
static sqz_status select_boxes(sqz_ctx *ctx, const attrs *at, const sqz_tensor *boxes,
                               const sqz_tensor *scores, int64_t *out, int64_t *n_out)
/* NOLINTEND(readability-non-const-parameter) */
{
    const int64_t n = boxes->shape.dim[0], m = boxes->shape.dim[1], k = scores->shape.dim[1];
    sqz_arena a = {.ctx = ctx};
    *n_out = 0;
    if (boxes->count == 0 || scores->count == 0)
        return SQZ_OK;
    work w = {.at = at, .out = out};
    w.list = sqz_arena_alloc(&a, (size_t)m, sizeof *w.list);
    w.kept = sqz_arena_alloc(&a, (size_t)m, sizeof *w.kept);
    for (int64_t i = 0; w.list && w.kept && i < n * k; i++)
        one_class(&w, SQZ_F32P(boxes) + i / k * m * 4, SQZ_F32P(scores) + i * m, m, i / k, i % k);
    *n_out = w.n_out;
    const bool ok = w.list && w.kept;
    sqz_arena_free(&a);
    return ok ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status infer(sqz_infer *q)
{
    const sqz_value *b = q->in[0], *s = q->in[1];
    int64_t n = 0;
    SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(sqz_need_real(q, 1));
    if (b->shape.rank != 3 || s->shape.rank != 3 || b->shape.dim[2] != 4 ||
        b->shape.dim[0] != s->shape.dim[0] || b->shape.dim[1] != s->shape.dim[2])
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "boxes of rank %d and scores of rank %d, expected (N,M,4) and (N,K,M)",
                        (int)b->shape.rank, (int)s->shape.rank);
    if (!b->constant || !s->constant)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                        "its output size depends on data: boxes and scores must be constants");
    if (b->dtype != SQZ_F32 || s->dtype != SQZ_F32)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "boxes of %s and scores of %s, expected f32",
                        sqz_dtype_name(b->dtype), sqz_dtype_name(s->dtype));
    SQZ_TRY(select_boxes(q->ctx, q->attrs, b->constant, s->constant, NULL, &n));
    q->out[0] = (sqz_shape){2, {n, 3}};
    q->out_dtype[0] = SQZ_S64;
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    int64_t n;
    return select_boxes(c->ctx, c->attrs, c->in[0], c->in[1], SQZ_S64P(c->out[0]), &n);
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_tensor *t = NULL;
    attrs at;
    if (im->n_in < 2 || im->in[1] == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "the scores are missing");
    for (unsigned i = 0; i < 2; i++)
        SQZ_TRY(
            sqz_note(im->g->ctx, sqz_import_const(im, i, &t), "its output size depends on data"));
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    SQZ_TRY(sqz_import_const(im, 4, &t));
    at.scored = t != NULL;
    return sqz_import_node(im, op, &at, im->in, 2);
}

/* A threshold of 0 is written, where it was one. */
static sqz_status write(sqz_export *e)
{
    const attrs *at = e->attrs;
    float *score = sqz_arena_alloc(e->arena, 1, sizeof *score);
    if (!score)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_export_schema(e));
    if (!at->scored)
        return SQZ_OK;
    for (unsigned i = e->n_in; i < 4; i++)
        e->in[i].value = SQZ_NONE;
    *score = (float)at->score;
    e->in[4].value = SQZ_NONE;
    e->in[4].is_const = e->in[4].is_float = true;
    e->in[4].scalar = false;
    e->in[4].floats = (sqz_floats){1, score};
    e->n_in = 5;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "max_output_boxes_per_class=3 iou_threshold=0.3",
     .n_in = 2,
     .in = {{3, {2, 6, 4}}, {3, {2, 2, 6}}},
     .constant = 3,
     .lo = 0,
     .hi = 1},
    {.attrs = "center_point_box=1 max_output_boxes_per_class=9 score_threshold=0.5 scored=1",
     .n_in = 2,
     .in = {{3, {1, 8, 4}}, {3, {1, 1, 8}}},
     .constant = 3,
     .lo = 0,
     .hi = 1},
};

const sqz_op sqz_op_non_max_suppression = {
    .info = {.name = "non_max_suppression",
             .doc = "the best of overlapping boxes",
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
    .no_grad = "its results are indices",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "NonMaxSuppression", .since = 10, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
