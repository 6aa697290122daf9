/* source.c: samples held, read one by one, or read in windows: see source.h. */
#include "train/source.h"
#include "train/held.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RUN_BYTES ((size_t)1 << 20) /* of samples that are read together */

typedef enum way { HELD, SINGLE, WINDOWS } way;

typedef struct window {
    bool valid;
    uint64_t epoch;
    size_t index, n, filled; /* samples; the first `filled` of them are there */
    int64_t *place;          /* ascending: the order in which they are read */
    float *x, *y;
} window;

struct sqz_source {
    sqz_source_options o;
    sqz_ctx *ctx;      /* of the caller: for creating and freeing */
    sqz_ctx *own;      /* what reading uses; NULL where nothing is read any more */
    sqz_dataset *data; /* of `own` */
    way way;
    size_t n, used; /* samples; those of whole batches */
    size_t each_x, each_y;
    size_t run, room;  /* samples of a run and of a window */
    int64_t *order[2]; /* of two epochs */
    uint64_t epoch[2];
    bool known[2];
    const float *x; /* HELD as floats; NULL: in `held` */
    sqz_held held;
    float *labels; /* HELD */
    window win[2]; /* SINGLE, and HELD in few bytes, use the first for one sample */
};

size_t sqz_source_x(const sqz_source *s) { return s->each_x; }
size_t sqz_source_y(const sqz_source *s) { return s->each_y; }
const char *sqz_source_error(const sqz_source *s) { return s->own ? sqz_last_error(s->own) : ""; }

/* ---- order ---- */

static const int64_t *order_of(sqz_source *s, uint64_t epoch)
{
    const size_t slot = epoch & 1;
    if (!s->known[slot] || s->epoch[slot] != epoch) {
        const bool runs = s->way == WINDOWS && !s->o.in_order;
        sqz_order_make(s->o.seed, epoch, s->n, runs ? s->run : s->n,
                       s->o.in_order       ? 1
                       : s->way == WINDOWS ? s->room
                                           : s->n,
                       s->order[slot]);
        s->epoch[slot] = epoch;
        s->known[slot] = true;
    }
    return s->order[slot];
}

/* ---- windows ---- */

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void begin_window(sqz_source *s, uint64_t epoch, size_t index, window *w)
{
    const size_t first = index * s->room;
    w->epoch = epoch;
    w->index = index;
    w->n = SQZ_MIN(s->room, s->n - first);
    w->filled = 0;
    memcpy(w->place, order_of(s, epoch) + first, w->n * sizeof *w->place);
    qsort(w->place, w->n, sizeof *w->place, ascending);
    w->valid = true;
}

/* Reads until at least `want` samples are there, whole pieces of what lies together. */
static sqz_status fill(const sqz_source *s, window *w, size_t want)
{
    while (w->filled < want) {
        size_t n = 1;
        const int64_t first = w->place[w->filled];
        while (n < s->run && w->filled + n < w->n && w->place[w->filled + n] == first + (int64_t)n)
            n++;
        SQZ_TRY(sqz_data_read(s->data, first, (int64_t)n, w->x + w->filled * s->each_x,
                              s->each_y ? w->y + w->filled * s->each_y : NULL));
        w->filled += n;
    }
    return SQZ_OK;
}

/* The window with that index, begun if need be: in place of another than `keep`. */
static window *window_of(sqz_source *s, uint64_t epoch, size_t index, const window *keep)
{
    for (size_t i = 0; i < 2; i++)
        if (s->win[i].valid && s->win[i].epoch == epoch && s->win[i].index == index)
            return &s->win[i];
    window *w = &s->win[keep == &s->win[0]];
    begin_window(s, epoch, index, w);
    return w;
}

static sqz_status draw_window(sqz_source *s, uint64_t epoch, size_t at, sqz_drawn *out)
{
    window *w = window_of(s, epoch, at / s->room, NULL);
    SQZ_TRY(fill(s, w, w->n));
    const int64_t *found = bsearch(&out->place, w->place, w->n, sizeof *w->place, ascending);
    const size_t row = (size_t)(found - w->place);
    out->x = w->x + row * s->each_x;
    out->y = s->each_y ? w->y + row * s->each_y : NULL;
    return SQZ_OK;
}

sqz_status sqz_source_ahead(sqz_source *s, uint64_t epoch, int64_t at)
{
    if (s->way != WINDOWS || at <= 0)
        return SQZ_OK;
    const size_t index = ((size_t)at - 1) / s->room, done = (size_t)at - index * s->room;
    const window *now = window_of(s, epoch, index, NULL);
    const bool last = index == (s->used - 1) / s->room;
    window *next = window_of(s, last ? epoch + 1 : epoch, last ? 0 : index + 1, now);
    const size_t of = SQZ_MIN(s->room, s->used - index * s->room);
    return fill(s, next, SQZ_MIN(next->n, next->n * done / of + 1));
}

sqz_status sqz_source_draw(sqz_source *s, uint64_t epoch, int64_t at, sqz_drawn *out)
{
    out->place = order_of(s, epoch)[at];
    const size_t place = (size_t)out->place;
    switch (s->way) {
    case HELD:
        out->x = s->x ? s->x + place * s->each_x : s->win[0].x;
        out->y = s->each_y ? s->labels + place * s->each_y : NULL;
        if (!s->x)
            sqz_held_take(&s->held, place * s->each_x, s->each_x, s->win[0].x);
        return SQZ_OK;
    case SINGLE:
        out->x = s->win[0].x;
        out->y = s->each_y ? s->win[0].y : NULL;
        return sqz_data_read(s->data, out->place, 1, s->win[0].x, s->each_y ? s->win[0].y : NULL);
    default: return draw_window(s, epoch, (size_t)at, out);
    }
}

/* ---- creating ---- */

static void close_own(sqz_source *s)
{
    sqz_data_close(s->data);
    if (s->own)
        sqz_ctx_free(s->own);
    s->data = NULL;
    s->own = NULL;
}

static sqz_status open_again(sqz_ctx *own, const sqz_dataset *ds, sqz_dataset **out)
{
    if (!ds->n_part)
        return sqz_data_open_named(own, ds->path, ds->split, ds->x_name, ds->y_name, out);
    const char **name = sqz_calloc(own, ds->n_part, sizeof *name);
    if (!name)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < ds->n_part; i++)
        name[i] = ds->part[i]->x_name;
    const sqz_status s = sqz_data_open_joined(own, ds->path, ds->split, name, ds->n_part, out);
    sqz_free(own, name);
    return s;
}

/* A context belongs to one thread, and so does what is opened in it: the set is opened once more in
 * a context of its own. That one uses malloc, as nobody promised that the caller's allocator may be
 * called by two threads. */
static sqz_status open_own(sqz_source *s)
{
    const sqz_dataset *ds = s->o.data;
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = 1;
    if (sqz_ctx_create(&o, &s->own) != SQZ_OK)
        return sqz_fail(s->ctx, SQZ_E_NOMEM, "out of memory: a context for reading %s", ds->path);
    const sqz_status st = open_again(s->own, ds, &s->data);
    if (st != SQZ_OK)
        return sqz_fail(s->ctx, st, "%s", sqz_last_error(s->own));
    if (s->data->n != ds->n || s->data->has_labels != ds->has_labels ||
        !sqz_shape_eq(&s->data->shape, &ds->shape) ||
        !sqz_shape_eq(&s->data->label_shape, &ds->label_shape))
        return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: has changed since it was opened", ds->path);
    return SQZ_OK;
}

static bool can_open_again(const sqz_dataset *ds)
{
    for (size_t i = 0; i < sqz_n_data_formats; i++)
        if (ds->format == sqz_data_formats[i])
            return true;
    return ds->n_part > 0;
}

static sqz_status reserve(sqz_source *s, size_t n, float **x, float **y)
{
    size_t nx, ny;
    if (!sqz_mul(n, s->each_x, &nx) || !sqz_mul(n, s->each_y, &ny))
        return sqz_fail(s->ctx, SQZ_E_LIMIT, "%s: a sample is too large", s->o.data->path);
    *x = sqz_calloc(s->ctx, SQZ_MAX(nx, (size_t)1), sizeof **x);
    *y = ny ? sqz_calloc(s->ctx, ny, sizeof **y) : NULL;
    return *x && (*y || !ny) ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status hold(sqz_source *s)
{
    sqz_dataset *ds = s->o.data;
    size_t n_x, n_y;
    s->way = HELD;
    s->x = sqz_data_memory(ds);
    if (s->x)
        return SQZ_OK;
    if (!sqz_mul(s->n, s->each_x, &n_x) || !sqz_mul(s->n, s->each_y, &n_y))
        return sqz_fail(s->ctx, SQZ_E_LIMIT, "%s: too large", ds->path);
    SQZ_TRY(sqz_held_create(s->ctx, n_x, &s->held));
    if (n_y && !(s->labels = sqz_calloc(s->ctx, n_y, sizeof *s->labels)))
        return SQZ_E_NOMEM;
    s->run = SQZ_MIN(s->run, s->n);
    SQZ_TRY(reserve(s, s->run, &s->win[0].x, &s->win[0].y));
    for (size_t i = 0; i < s->n; i += s->run) {
        const size_t n = SQZ_MIN(s->run, s->n - i);
        SQZ_TRY(sqz_data_read(ds, (int64_t)i, (int64_t)n, s->win[0].x,
                              n_y ? s->labels + i * s->each_y : NULL));
        SQZ_TRY(sqz_held_add(&s->held, s->win[0].x, n * s->each_x));
        if (!sqz_progress(s->ctx, "reading", i + n, s->n))
            return sqz_fail(s->ctx, SQZ_E_ARG, "stopped");
    }
    s->x = sqz_held_floats(&s->held);
    return SQZ_OK;
}

/* Two windows of half the memory each, of at least a batch; of many runs, so that they mix. */
static sqz_status prepare_windows(sqz_source *s, size_t sample_bytes)
{
    s->way = WINDOWS;
    s->room = SQZ_MAX(s->o.memory / 2 / sample_bytes, (size_t)s->o.batch);
    s->room = SQZ_MIN(s->room, s->n);
    s->run = s->o.data->rewinds ? s->n : SQZ_MAX((size_t)1, SQZ_MIN(s->run, s->room / 16));
    for (size_t i = 0; i < 2; i++) {
        window *w = &s->win[i];
        SQZ_TRY(reserve(s, s->room, &w->x, &w->y));
        w->place = sqz_calloc(s->ctx, s->room, sizeof *w->place);
        if (!w->place)
            return SQZ_E_NOMEM;
    }
    return open_own(s);
}

static sqz_status prepare(sqz_source *s)
{
    const sqz_dataset *ds = s->o.data;
    size_t x_bytes, y_bytes = 0, sample_bytes, all;
    SQZ_TRY(sqz_shape_count(s->ctx, &ds->shape, SQZ_F32, &s->each_x, &x_bytes));
    if (ds->has_labels)
        SQZ_TRY(sqz_shape_count(s->ctx, &ds->label_shape, SQZ_F32, &s->each_y, &y_bytes));
    if (!sqz_add(x_bytes, y_bytes, &sample_bytes) || sample_bytes == 0)
        return sqz_fail(s->ctx, SQZ_E_LIMIT, "%s: samples are empty or too large", ds->path);
    s->n = (size_t)ds->n;
    s->used = s->n / (size_t)s->o.batch * (size_t)s->o.batch;
    s->run = SQZ_MAX((size_t)1, RUN_BYTES / sample_bytes);
    for (size_t i = 0; i < 2; i++)
        if (!(s->order[i] = sqz_calloc(s->ctx, s->n, sizeof(int64_t))))
            return SQZ_E_NOMEM;
    const bool fits = sqz_mul(s->n, sample_bytes, &all) && all <= s->o.memory;
    if (fits || sqz_data_memory(ds) || !can_open_again(ds))
        return hold(s);
    if (!ds->seekable)
        return prepare_windows(s, sample_bytes);
    s->way = SINGLE;
    SQZ_TRY(reserve(s, 1, &s->win[0].x, &s->win[0].y));
    return open_own(s);
}

sqz_status sqz_source_create(const sqz_source_options *o, sqz_source **out)
{
    sqz_ctx *ctx = o->data->ctx;
    *out = NULL;
    sqz_source *s = sqz_calloc(ctx, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    s->o = *o;
    s->ctx = ctx;
    const sqz_status st = prepare(s);
    if (st == SQZ_OK)
        *out = s;
    else
        sqz_source_free(s);
    return st;
}

void sqz_source_free(sqz_source *s)
{
    if (!s)
        return;
    close_own(s);
    for (size_t i = 0; i < 2; i++) {
        sqz_free(s->ctx, s->order[i]);
        sqz_free(s->ctx, s->win[i].place);
        sqz_free(s->ctx, s->win[i].x);
        sqz_free(s->ctx, s->win[i].y);
    }
    if (s->held.ctx)
        sqz_held_free(&s->held);
    sqz_free(s->ctx, s->labels);
    sqz_free(s->ctx, s);
}
