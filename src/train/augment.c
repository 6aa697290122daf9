/* augment.c: the table of augmentations, chains of them, and what several share. */
#include "train/augment.h"
#include "base/draw.h"
#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_augment sqz_augment_##name;
#include "sqz_augment_list.inc"
#undef SQZ_ENTRY
const sqz_augment *const sqz_augments[] = {
#define SQZ_ENTRY(name) &sqz_augment_##name,
#include "sqz_augment_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_augments = SQZ_COUNT(sqz_augments);

const sqz_augment *sqz_augment_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_augments; i++)
        if (strcmp(sqz_augments[i]->info.name, name) == 0)
            return sqz_augments[i];
    return NULL;
}

/* ---- shared ---- */

static void put(float *out, size_t n, float v)
{
    for (size_t i = 0; i < n; i++)
        out[i] = v;
}

/* Position i of an axis of n, moved: -1: nothing is there. */
static int64_t from_where(int64_t i, int64_t n, sqz_outside outside)
{
    if (i >= 0 && i < n)
        return i;
    if (outside == SQZ_OUTSIDE_EDGE)
        return i < 0 ? 0 : n - 1;
    return outside == SQZ_OUTSIDE_WRAP ? (i + n) % n : -1;
}

static void move_row(const sqz_augment_form *f, int64_t dx, sqz_outside outside, float fill,
                     const float *in, float *out)
{
    const int64_t w = (int64_t)f->w, first = SQZ_MAX(0, -dx), last = SQZ_MIN(w, w - dx);
    const size_t g = f->group;
    if (first < last) /* what stays inside is one piece */
        memcpy(out + (size_t)first * g, in + (size_t)(first + dx) * g,
               (size_t)(last - first) * g * sizeof *out);
    for (int64_t x = 0; x < w; x++) {
        if (x == first && first < last)
            x = last;
        if (x == w)
            break;
        const int64_t from = from_where(x + dx, w, outside);
        if (from < 0)
            put(out + (size_t)x * g, g, fill);
        else
            memcpy(out + (size_t)x * g, in + (size_t)from * g, g * sizeof *out);
    }
}

void sqz_augment_move(const sqz_augment_form *f, int64_t dy, int64_t dx, sqz_outside outside,
                      float fill, const float *in, float *out)
{
    const size_t row = f->w * f->group;
    for (size_t p = 0; p < f->planes; p++)
        for (size_t y = 0; y < f->h; y++) {
            const int64_t from = from_where((int64_t)y + dy, (int64_t)f->h, outside);
            float *to = out + (p * f->h + y) * row;
            if (from < 0)
                put(to, row, fill);
            else
                move_row(f, dx, outside, fill, in + (p * f->h + (size_t)from) * row, to);
        }
}

void sqz_augment_paint(const sqz_augment_form *f, size_t y0, size_t y1, size_t x0, size_t x1,
                       float fill, float *out)
{
    for (size_t p = 0; p < f->planes; p++)
        for (size_t y = y0; y < y1; y++)
            put(out + ((p * f->h + y) * f->w + x0) * f->group, (x1 - x0) * f->group, fill);
}

int64_t sqz_augment_offset(sqz_rng *r, int64_t most)
{
    return (int64_t)sqz_rng_below(r, 2 * (uint64_t)most + 1) - most;
}

/* ---- chains ---- */

#define CHANNELS 4 /* an axis up to this may be one of channels where nobody says */

/* Which axis of a sample (a, b, c) has the channels: 0, 2, or -1: not known. */
static int channel_axis(const sqz_dataset *ds, const char *layout)
{
    const bool first = ds->shape.dim[0] <= CHANNELS, last = ds->shape.dim[2] <= CHANNELS;
    if (layout)
        return strcmp(layout, "nchw") == 0 ? 0 : 2;
    if (ds->layout != SQZ_LAYOUT_UNKNOWN)
        return ds->layout == SQZ_LAYOUT_NCHW ? 0 : 2;
    return first == last ? -1 : first ? 0 : 2;
}

static sqz_status form_of(const sqz_dataset *ds, const char *layout, sqz_augment_form *f)
{
    const int64_t *dim = ds->shape.dim;
    size_t bytes;
    *f = (sqz_augment_form){.planes = 1, .h = 1, .w = 1, .group = 1};
    if (layout && strcmp(layout, "nchw") != 0 && strcmp(layout, "nhwc") != 0)
        return sqz_fail(ds->ctx, SQZ_E_ARG, "layout '%s': expected nchw or nhwc", layout);
    SQZ_TRY(sqz_shape_count(ds->ctx, &ds->shape, SQZ_F32, &f->count, &bytes));
    f->w = f->count;
    if (ds->n_part > 1) {
        f->no_image = "each holds what several inputs are fed with";
    } else if (ds->shape.rank == 2) {
        f->h = (size_t)dim[0];
        f->w = (size_t)dim[1];
    } else if (ds->shape.rank != 3) {
        f->no_image = "they are not images (rows and columns, with or without channels)";
    } else if (channel_axis(ds, layout) < 0) {
        f->no_image = "their channels may be the first axis or the last: say which with --layout";
    } else {
        const size_t axis = (size_t)channel_axis(ds, layout), spatial = axis ? 0 : 1;
        *(axis ? &f->group : &f->planes) = (size_t)dim[axis];
        f->h = (size_t)dim[spatial];
        f->w = (size_t)dim[spatial + 1];
    }
    return SQZ_OK;
}

static const sqz_info *info_of(size_t i) { return &sqz_augments[i]->info; }

static sqz_status check(const sqz_dataset *ds, const sqz_augment_chain *c)
{
    char shape[160];
    sqz_shape_print(shape, &ds->shape);
    for (unsigned i = 0; i < c->n; i++) {
        const sqz_augment *a = sqz_augments[c->item[i].entry];
        if (ds->n_part > 1 || (c->form.no_image && !a->any_sample))
            return sqz_fail(ds->ctx, SQZ_E_UNSUPPORTED,
                            "augmentation '%s' does not fit samples of shape %s: %s", a->info.name,
                            shape, c->form.no_image);
        if (a->check)
            SQZ_TRY(sqz_note(ds->ctx, a->check(ds->ctx, c->item[i].opts, &c->form),
                             "augmentation '%s', samples of shape %s", c->item[i].text, shape));
    }
    return SQZ_OK;
}

sqz_status sqz_augment_read(sqz_arena *a, const sqz_dataset *ds, const char *layout,
                            const char *text, sqz_augment_chain *out)
{
    const sqz_chain_table table = {"augmentation", "row", sqz_n_augments, info_of};
    *out = (sqz_augment_chain){0};
    SQZ_TRY(form_of(ds, layout, &out->form));
    if (text)
        SQZ_TRY(sqz_chain_read(a, &table, text, &out->item, &out->n));
    return check(ds, out);
}

void sqz_augment_sample(const sqz_augment_chain *c, uint64_t seed, uint64_t epoch, int64_t place,
                        const float *in, float *out, float *room)
{
    if (c->n == 0)
        memcpy(out, in, c->form.count * sizeof *out);
    for (unsigned i = 0; i < c->n; i++) { /* to and fro such that the last writes `out` */
        float *to = (c->n - i) % 2 ? out : room;
        sqz_rng r = {.seed = sqz_rng_key(seed, epoch, i, (uint64_t)place)};
        sqz_augments[c->item[i].entry]->apply(c->item[i].opts, &c->form, &r, in, to);
        in = to;
    }
}
