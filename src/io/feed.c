/* feed.c: from the axes of a sample to the axes that a graph input wants. Only three things are
 * ever done: axes of length 1 come and go, the channel axis moves between first and last, and an
 * image of one channel becomes a vector. What fits in more than one way is asked for, not guessed.
 */
#include "io/data.h"
#include <string.h>

typedef enum move { KEEP, LAST_TO_FIRST, FIRST_TO_LAST } move;

static sqz_shape without_ones(const sqz_shape *s)
{
    sqz_shape out = {0};
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dim[i] != 1)
            out.dim[out.rank++] = s->dim[i];
    return out;
}

static void permutation(move m, int32_t rank, int perm[SQZ_MAX_RANK])
{
    for (int32_t i = 0; i < rank; i++)
        perm[i] = m == KEEP ? i : m == FIRST_TO_LAST ? (i + 1) % rank : (i + rank - 1) % rank;
}

static bool fits(move m, const sqz_shape *from, const sqz_shape *to)
{
    int perm[SQZ_MAX_RANK];
    if (from->rank != to->rank || (m != KEEP && from->rank < 2))
        return false;
    permutation(m, from->rank, perm);
    for (int32_t i = 0; i < from->rank; i++)
        if (to->dim[i] != from->dim[perm[i]])
            return false;
    return true;
}

/* Moving an axis past axes of length 1, or an axis of length 1, leaves the numbers where they are.
 */
static bool moves_nothing(move m, const sqz_shape *s)
{
    int32_t first = m == FIRST_TO_LAST ? 0 : s->rank - 1;
    sqz_shape wide = without_ones(s);
    return m == KEEP || wide.rank < 2 || s->dim[first] == 1;
}

static sqz_status parse_layout(sqz_ctx *ctx, const char *text, sqz_layout *out)
{
    if (!text)
        return SQZ_OK;
    *out = strcmp(text, "nchw") == 0   ? SQZ_LAYOUT_NCHW
           : strcmp(text, "nhwc") == 0 ? SQZ_LAYOUT_NHWC
                                       : SQZ_LAYOUT_UNKNOWN;
    return *out != SQZ_LAYOUT_UNKNOWN
               ? SQZ_OK
               : sqz_fail(ctx, SQZ_E_ARG, "layout '%s': expected nchw or nhwc", text);
}

/* The move that turns data of `layout` into what v wants. A value that the layout pass moved is
 * channel-last; one as the file has it is channel-first unless only the other way fits. */
static move wanted(const sqz_value *v, sqz_layout layout)
{
    if (v->channel_last)
        return layout == SQZ_LAYOUT_NHWC ? KEEP : FIRST_TO_LAST;
    return layout == SQZ_LAYOUT_NHWC ? LAST_TO_FIRST : KEEP;
}

/* Which moves fit by shape? One: that one. Several: the layout decides. */
static sqz_status choose(sqz_ctx *ctx, const sqz_dataset *ds, const sqz_value *v, sqz_layout layout,
                         const sqz_shape *from, const sqz_shape *to, move *out, bool *found)
{
    move fit[3];
    int n = 0;
    for (move m = KEEP; m <= FIRST_TO_LAST; m++)
        if (fits(m, from, to) && !(m != KEEP && moves_nothing(m, from) && n > 0))
            fit[n++] = m;
    *found = n > 0;
    *out = n ? fit[0] : KEEP;
    if (n < 2)
        return SQZ_OK;
    if (v->shape.dim[1] == 1 || v->shape.dim[v->shape.rank - 1] == 1)
        return SQZ_OK; /* one channel, whose axis is not in `to`: nothing to move */
    if (layout == SQZ_LAYOUT_UNKNOWN && from->rank == 2)
        layout = SQZ_LAYOUT_NCHW; /* a square table: in the order of the file, as people save it */
    *out = wanted(v, layout);
    if (layout != SQZ_LAYOUT_UNKNOWN && fits(*out, from, to))
        return SQZ_OK;
    char shape[160];
    sqz_shape_print(shape, from);
    return sqz_fail(ctx, SQZ_E_SHAPE,
                    "%s: samples of %s fit input '%s' both channels-first and channels-last: say "
                    "which with --layout nchw or --layout nhwc",
                    ds->path, shape, v->name);
}

static sqz_status no_fit(sqz_ctx *ctx, const sqz_dataset *ds, const sqz_value *v,
                         const sqz_shape *to)
{
    char have[160], want[160];
    sqz_shape_print(have, &ds->shape);
    sqz_shape_print(want, to);
    bool flat = to->rank == 1;
    return sqz_fail(ctx, SQZ_E_SHAPE,
                    "%s: samples are %s, input '%s' wants %s%s: prepare the data in that shape",
                    ds->path, have, v->name, want,
                    flat ? " (only a sample of one channel is flattened)" : "");
}

/* What the move means to somebody who knows the model as its file has it: a channel-last value was
 * channels-first there. */
static const char *note_of(move m, const sqz_value *v, const sqz_shape *from, const sqz_shape *to)
{
    bool moved = !moves_nothing(m, from);
    if (v->channel_last ? m == KEEP && !moves_nothing(LAST_TO_FIRST, to)
                        : m == LAST_TO_FIRST && moved)
        return "data is channels-last, model wants channels-first: reordered";
    if (m == FIRST_TO_LAST && moved && !v->channel_last)
        return "data is channels-first, model wants channels-last: reordered";
    return NULL;
}

sqz_status sqz_feed_plan(sqz_ctx *ctx, const sqz_dataset *ds, const sqz_value *v,
                         const char *layout, sqz_feed *out)
{
    size_t bytes;
    bool found;
    move m;
    sqz_layout told = ds->layout;
    SQZ_TRY(parse_layout(ctx, layout, &told));
    if (v->shape.rank < 1)
        return sqz_fail(ctx, SQZ_E_SHAPE, "input '%s' has no batch axis: data cannot be fed to it",
                        v->name);
    sqz_shape from = ds->shape, to = sqz_shape_of(v->shape.rank - 1, v->shape.dim + 1);
    *out = (sqz_feed){.to = to};
    SQZ_TRY(sqz_shape_count(ctx, &to, SQZ_F32, &out->elements, &bytes));
    SQZ_TRY(choose(ctx, ds, v, told, &from, &to, &m, &found));
    if (!found) { /* again without axes of length 1 */
        sqz_shape narrow = without_ones(&to);
        from = without_ones(&from);
        SQZ_TRY(choose(ctx, ds, v, told, &from, &narrow, &m, &found));
        if (!found && narrow.rank == 1 && from.rank == 2 &&
            from.dim[0] <= narrow.dim[0] / from.dim[1] &&
            from.dim[0] * from.dim[1] == narrow.dim[0]) {
            m = KEEP;
            found = true;
            out->note = "samples are flattened row by row";
        }
    }
    if (!found)
        return no_fit(ctx, ds, v, &to);
    out->from = from;
    out->permute = !moves_nothing(m, &from);
    permutation(out->permute ? m : KEEP, from.rank, out->perm);
    if (!out->note)
        out->note = note_of(m, v, &from, &to);
    return SQZ_OK;
}

void sqz_feed_apply(const sqz_feed *f, int64_t n, const float *in, float *out)
{
    size_t c, rest;
    if (!f->permute) {
        memcpy(out, in, (size_t)n * f->elements * sizeof *out);
        return;
    }
    /* One axis moves from an end to the other: a matrix transposed, (rest, c) or (c, rest). */
    bool last_to_first = f->perm[0] != 1 || f->from.rank == 2;
    c = (size_t)f->from.dim[last_to_first ? f->from.rank - 1 : 0];
    rest = f->elements / c;
    size_t rows = last_to_first ? rest : c, columns = f->elements / rows;
    for (int64_t s = 0; s < n; s++, in += f->elements, out += f->elements)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < columns; j++)
                out[j * rows + i] = in[i * columns + j];
}
