/* weight_grad.c: dw(o,k) = sum over rows of g(row,o) * x(row,k), and the sums of g for the bias.
 * Rows are read where they lie, those of a convolution through bands of lines with their padding in
 * place: there is no im2col. Sums are made in parts that depend on the sizes only. */
#include "ops/linear_grad.h"
#include <string.h>

enum {
    MOST_PARTS = 8,
    PART_WORK = 4000000,         /* products that are worth a part */
    SUM_BYTES = 4 * 1024 * 1024, /* of all parts together */
    ROWS = 128,                  /* of a kernel call: what it reads stays in the caches */
    WIDE = 64                    /* outputs that are worth a piece of work */
};

/* ---- preparing ---- */

/* Which side is read number by number (a), which by vectors (b). As the weights lie, rows of
 * outputs, b is x: no use where the terms of a segment fill their vectors worse than outputs. */
static bool is_swapped(const sqz_weight_grad *w)
{
    const size_t n = w->n / w->groups, vector = SQZ_PANEL;
    const size_t rows = n * ((w->len + vector - 1) / vector);
    const size_t columns = w->len * ((n + vector - 1) / vector);
    return !w->turned && columns < rows && (w->v || rows > 2 * columns);
}

static void divide(sqz_weight_grad *w)
{
    const size_t weights = SQZ_MAX(w->n * w->k, (size_t)1);
    const double work = (double)w->rows * (double)weights;
    size_t wanted = work / PART_WORK < MOST_PARTS ? (size_t)(work / PART_WORK) : MOST_PARTS;
    wanted = SQZ_MAX(wanted, (size_t)1);
    w->parts = SQZ_MIN(wanted, SQZ_MAX(SUM_BYTES / sizeof(float) / weights, (size_t)1));
    w->parts = SQZ_MAX(SQZ_MIN(w->parts, w->units / SQZ_MAX(w->chunk, (size_t)1)), (size_t)1);
    w->part = (w->units + w->parts - 1) / w->parts;
    w->blocks = w->groups == 1 ? SQZ_MIN(wanted / w->parts, (w->n + WIDE - 1) / WIDE) : 1;
    w->blocks = SQZ_MAX(w->blocks, (size_t)1);
    w->block = ((w->n + w->blocks - 1) / w->blocks + SQZ_PANEL - 1) / SQZ_PANEL * SQZ_PANEL;
}

/* Units are rows. */
static void plain(sqz_weight_grad *w)
{
    w->units = w->rows;
    w->chunk = ROWS;
    w->len = w->k;
    w->n_seg = 1;
}

/* Units are planes of output; or lines of them, where a plane is more than a chunk. */
static sqz_status image(sqz_grad_prep *p, sqz_weight_grad *w)
{
    const sqz_window *win = &w->v->w;
    const size_t width = SQZ_MAX((size_t)win->out[SQZ_AXIS_W], (size_t)1);
    const size_t height = SQZ_MAX((size_t)win->out[SQZ_AXIS_H], (size_t)1);
    const bool whole = w->groups == 1 && (win->dil[SQZ_AXIS_W] == 1 || win->k[SQZ_AXIS_W] == 1);
    const size_t lines = SQZ_MIN((ROWS + width - 1) / width, height);
    w->planes = lines == height ? SQZ_MAX(ROWS / (width * height), (size_t)1) : 1;
    if (win->in[SQZ_AXIS_D] != 1 || win->out[SQZ_AXIS_D] != 1 || win->k[SQZ_AXIS_D] != 1)
        w->planes = 1; /* they do not lie at one distance */
    w->chunk = w->planes * (lines == height ? height : lines);
    w->units = w->v->pixels / width;
    SQZ_TRY(sqz_band_make(p->ctx, win, w->v->c_in * sizeof(float), (int64_t)lines, 0, 0, false,
                          &w->band, &w->each));
    w->each = sqz_scratch_round(w->each);
    w->seg = sqz_arena_alloc(p->arena, w->v->taps, sizeof *w->seg);
    if (!w->seg)
        return SQZ_E_NOMEM;
    w->n_seg = sqz_band_segments(&w->band, whole, w->seg);
    w->len = w->k / w->n_seg;
    return SQZ_OK;
}

sqz_status sqz_weight_grad_prepare(sqz_grad_prep *p, sqz_weight_grad *w)
{
    sqz_prep run = sqz_grad_as_prep(p);
    size_t each, all;
    if (!(p->want >> w->slot & 1) && !(w->bias && p->want >> w->bias & 1))
        return SQZ_OK;
    if (w->v && w->v->pointwise && w->groups == 1) {
        w->v = NULL;
        w->step = w->k;
    }
    if (w->v)
        SQZ_TRY(image(p, w));
    else
        plain(w);
    divide(w);
    w->swapped = is_swapped(w);
    w->own = w->parts > 1 || w->swapped;
    w->room = w->own ? sqz_scratch_round(w->n * w->k * sizeof(float)) : 0;
    w->sums = w->room + sqz_scratch_round(w->n * sizeof(double));
    if (!sqz_mul(w->each, SQZ_MAX(w->planes, (size_t)1), &each))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    SQZ_TRY(sqz_scratch_all(&run, each));
    if (!sqz_mul(w->sums, w->parts, &all) || !sqz_add(all, run.scratch_bytes, &all) ||
        !sqz_add(all, p->scratch_bytes, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

/* ---- weights ---- */

typedef struct job {
    const sqz_grad_call *c;
    const sqz_weight_grad *w;
    const float *x, *g;
    char *sums, *bands; /* of the parts, of the workers */
} job;

/* Where a part's sums stand: in the gradient itself when there is but one. */
static float *weight_sums(const job *j, size_t part)
{
    return j->w->own ? (float *)(void *)(j->sums + part * j->w->sums) : j->c->in_grad[j->w->slot];
}
static double *bias_sums(const job *j, size_t part)
{
    return (double *)(void *)(j->sums + part * j->w->sums + j->w->room);
}

typedef struct span { /* rows of one kernel call, their place in g, and outputs */
    size_t row, o0, o1;
    sqz_outer o; /* with what is known of x in b */
} span;

/* One segment of one group: x lies at `x`, terms from `term` on. */
static void multiply(const job *j, const span *s, size_t group, const float *x, size_t term,
                     float *sum)
{
    const sqz_weight_grad *w = j->w;
    const size_t n = w->n / w->groups, first = group * n;
    const size_t o0 = w->groups == 1 ? s->o0 : 0, o1 = w->groups == 1 ? s->o1 : n;
    sqz_outer o = s->o;
    const bool by_term = w->turned || w->swapped; /* rows of the sums are terms */
    o.a = j->g + s->row * w->n + first + o0;
    o.step_a = w->n;
    o.line_a = o.width * w->n;
    o.plane_a = o.height * o.line_a;
    o.m = o1 - o0;
    o.b = x;
    o.n = w->len;
    o.ld = w->k;
    o.sum = sum + (first + o0) * w->k + term;
    if (by_term) {
        const sqz_outer t = o;
        o.a = t.b;
        o.step_a = t.step_b;
        o.line_a = t.line_b;
        o.plane_a = t.plane_b;
        o.m = t.n;
        o.b = t.a;
        o.step_b = t.step_a;
        o.line_b = t.line_a;
        o.plane_b = t.plane_a;
        o.n = t.m;
        o.ld = n;
        o.sum = sum + first * w->k + term * n + o0;
    }
    j->c->ctx->kernels->outer_f32(&o);
}

/* Rows [begin, end) of a matrix. */
static void rows(const job *j, size_t begin, size_t end, span *s, float *sum)
{
    const sqz_weight_grad *w = j->w;
    s->row = begin;
    s->o.planes = s->o.height = 1;
    s->o.width = end - begin;
    s->o.step_b = w->step;
    for (size_t g = 0; g < w->groups; g++)
        multiply(j, s, g, j->x + begin * w->step + g * w->depth, 0, sum);
}

/* Lines [begin, end) of images: some of one plane, or some whole planes. */
static void lines(const job *j, size_t begin, size_t end, span *s, float *sum)
{
    const sqz_weight_grad *w = j->w;
    const sqz_window *win = &w->v->w;
    const size_t height = (size_t)win->out[SQZ_AXIS_H], depth = (size_t)win->out[SQZ_AXIS_D];
    const size_t width = (size_t)win->out[SQZ_AXIS_W], y = begin % height;
    const size_t tall = SQZ_MIN(height - y, end - begin), planes = (end - begin) / tall;
    char *own = j->bands + (size_t)sqz_worker_index() * w->each * SQZ_MAX(w->planes, (size_t)1);
    const char *x = NULL;
    for (size_t i = planes; i-- > 0;) { /* the first one last: x stays with it */
        const size_t plane = begin / height + i;
        x = sqz_band_at(&w->band, j->x, plane / depth, (int64_t)(plane % depth), (int64_t)y,
                        (int64_t)(y + tall), own + i * w->each);
    }
    s->row = begin * width;
    s->o.planes = planes;
    s->o.height = tall;
    s->o.width = width;
    s->o.step_b = (size_t)win->stride[SQZ_AXIS_W] * w->band.pixel / sizeof(float);
    s->o.line_b = (size_t)win->stride[SQZ_AXIS_H] * w->band.line / sizeof(float);
    s->o.plane_b = w->band.direct ? sqz_volume(win->in) * w->v->c_in : w->each / sizeof(float);
    for (size_t g = 0; g < w->groups; g++)
        for (size_t t = 0; t < w->n_seg; t++)
            multiply(j, s, g, (const float *)(const void *)(x + w->seg[t]) + g * w->v->depth,
                     t * w->len, sum);
}

static sqz_status weights_part(void *arg, size_t first, size_t last)
{
    const job *j = arg;
    const sqz_weight_grad *w = j->w;
    const size_t height = w->v ? (size_t)w->v->w.out[SQZ_AXIS_H] : 1;
    for (size_t i = first; i < last; i++) {
        const size_t part = i / w->blocks;
        span s = {.o0 = i % w->blocks * w->block};
        s.o1 = SQZ_MIN(s.o0 + w->block, w->n);
        s.o.fresh = w->own || !sqz_grad_adds(j->c, w->slot);
        const size_t end = SQZ_MIN((part + 1) * w->part, w->units);
        for (size_t u = part * w->part; u < end && s.o0 < s.o1;) {
            size_t next = SQZ_MIN(u + w->chunk, end);
            if (u % height || next - u < height) /* within a plane */
                next = SQZ_MIN(next, u - u % height + height);
            else
                next -= next % height;
            if (w->v)
                lines(j, u, next, &s, weight_sums(j, part));
            else
                rows(j, u, next, &s, weight_sums(j, part));
            s.o.fresh = 0;
            u = next;
        }
    }
    return SQZ_OK;
}

/* The parts one after the other, and terms x outputs of each group turned. */
static sqz_status add_parts(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_weight_grad *w = j->w;
    const size_t n = w->n / w->groups;
    float *d = j->c->in_grad[w->slot];
    const bool add = sqz_grad_adds(j->c, w->slot);
    for (size_t i = begin; i < end; i++) {
        const size_t o = i / w->k, k = i % w->k;
        const size_t at = w->swapped ? o / n * n * w->k + k * n + o % n : i;
        float sum = weight_sums(j, 0)[at];
        for (size_t p = 1; p < w->parts; p++)
            sum += weight_sums(j, p)[at];
        d[i] = add ? d[i] + sum : sum;
    }
    return SQZ_OK;
}

/* ---- bias ---- */

/* Blocks of 64 rows in float, their sums in double. */
static sqz_status bias_part(void *arg, size_t first, size_t last)
{
    enum { BLOCK = 64, COLUMNS = 256 };
    const job *j = arg;
    const sqz_weight_grad *w = j->w;
    const size_t each = (w->rows + w->parts - 1) / w->parts;
    float part[COLUMNS];
    for (size_t i = first; i < last; i++) {
        const size_t end = SQZ_MIN((i + 1) * each, w->rows);
        double *sum = bias_sums(j, i);
        memset(sum, 0, w->n * sizeof *sum);
        for (size_t r = i * each; r < end; r += BLOCK)
            for (size_t o = 0; o < w->n; o += COLUMNS) {
                const size_t wide = SQZ_MIN(w->n - o, (size_t)COLUMNS);
                j->c->ctx->kernels->moments_f32(SQZ_MIN(end - r, (size_t)BLOCK), wide, w->n,
                                                j->g + r * w->n + o, NULL, part, NULL);
                for (size_t t = 0; t < wide; t++)
                    sum[o + t] += (double)part[t];
            }
    }
    return SQZ_OK;
}

/* ---- all of it ---- */

static sqz_status weights(job *j)
{
    const sqz_weight_grad *w = j->w;
    if (w->units == 0) {
        sqz_grad_begin(j->c, w->slot);
        return SQZ_OK;
    }
    SQZ_TRY(sqz_parallel(j->c->ctx, w->parts * w->blocks, 1, weights_part, j));
    return w->own ? sqz_parallel(j->c->ctx, w->n * w->k, 16384, add_parts, j) : SQZ_OK;
}

sqz_status sqz_weight_grad_run(const sqz_grad_call *c, const sqz_weight_grad *w, const float *x,
                               const float *g, char *scratch)
{
    job j = {c, w, x, g, scratch, scratch + w->parts * w->sums};
    if (sqz_grad_wants(c, w->slot))
        SQZ_TRY(weights(&j));
    if (!w->bias || !sqz_grad_wants(c, w->bias))
        return SQZ_OK;
    SQZ_TRY(sqz_parallel(c->ctx, w->parts, 1, bias_part, &j));
    float *d = c->in_grad[w->bias];
    for (size_t o = 0; o < w->n; o++) {
        double sum = 0;
        for (size_t p = 0; p < w->parts; p++)
            sum += bias_sums(&j, p)[o];
        d[o] = sqz_grad_adds(c, w->bias) ? d[o] + (float)sum : (float)sum;
    }
    return SQZ_OK;
}
