/* prepare_source.c: where samples come from: arrays of any data format here, folders of images and
 * tables in their own files. Arrays that cannot be read in any order (packed ones, HDF5) are first
 * unpacked to a spool: a file without a name, gone with the process. */
#include "io/numbers.h"
#include "io/prepare.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the spool ---- */
sqz_status sqz_spool_open(sqz_ctx *ctx, const char *folder, size_t x, size_t y, bool bytes,
                          sqz_spool *out)
{
    *out = (sqz_spool){.ctx = ctx, .fd = -1, .x = x, .y = y, .bytes = bytes};
    sqz_str name = {.ctx = ctx};
    sqz_str_addf(&name, "%s/.sqz-spool-XXXXXX", folder);
    sqz_status s = name.status;
    if (s == SQZ_OK && (out->fd = mkostemp(name.data, O_CLOEXEC)) < 0)
        s = sqz_fail(ctx, SQZ_E_IO, "cannot make a temporary file in '%s': %m", folder);
    if (s == SQZ_OK)
        (void)unlink(name.data); /* lives as long as it is open */
    sqz_str_free(&name);
    if (s == SQZ_OK && !(out->record = sqz_malloc(ctx, x * (bytes ? 1 : 4) + 4 * y)))
        s = SQZ_E_NOMEM;
    if (s != SQZ_OK)
        sqz_spool_close(out);
    return s;
}

static size_t record_bytes(const sqz_spool *s) { return s->x * (s->bytes ? 1 : 4) + 4 * s->y; }

sqz_status sqz_spool_put(sqz_spool *s, int64_t i, const float *x, const float *y)
{
    size_t n = record_bytes(s), at = s->bytes ? s->x : s->x * sizeof *x;
    for (size_t k = 0; s->bytes && k < s->x; k++)
        s->record[k] = (unsigned char)x[k];
    if (!s->bytes)
        memcpy(s->record, x, at);
    if (s->y)
        memcpy(s->record + at, y, s->y * sizeof *y);
    for (size_t done = 0; done < n;) {
        ssize_t w = pwrite(s->fd, s->record + done, n - done, (off_t)((uint64_t)i * n + done));
        if (w < 0 && errno != EINTR)
            return sqz_fail(s->ctx, SQZ_E_IO, "cannot write a temporary file beside the set: %m");
        done += w > 0 ? (size_t)w : 0;
    }
    return SQZ_OK;
}

sqz_status sqz_spool_get(sqz_spool *s, int64_t i, float *x, float *y)
{
    size_t n = record_bytes(s), at = s->bytes ? s->x : s->x * sizeof *x;
    for (size_t done = 0; done < n;) {
        ssize_t r = pread(s->fd, s->record + done, n - done, (off_t)((uint64_t)i * n + done));
        if (r == 0 || (r < 0 && errno != EINTR))
            return sqz_fail(s->ctx, SQZ_E_IO, "cannot read a temporary file beside the set");
        done += r > 0 ? (size_t)r : 0;
    }
    for (size_t k = 0; s->bytes && k < s->x; k++)
        x[k] = (float)s->record[k];
    if (!s->bytes)
        memcpy(x, s->record, at);
    if (s->y)
        memcpy(y, s->record + at, s->y * sizeof *y);
    return SQZ_OK;
}

void sqz_spool_close(sqz_spool *s)
{
    if (s->fd >= 0 && s->ctx)
        (void)close(s->fd);
    if (s->ctx)
        sqz_free(s->ctx, s->record);
    *s = (sqz_spool){.fd = -1};
}

/* ---- arrays ---- */
typedef struct arrays {
    sqz_dataset *x, *y; /* y NULL: labels, if any, are in x */
    sqz_spool spool;    /* fd -1: read from the sets themselves */
    size_t n_x, n_y;
    int32_t *class_of; /* where labels are classes */
} arrays;

static sqz_status read_pair(arrays *a, bool labels, int64_t i, int64_t n, float *x, float *y)
{
    SQZ_TRY(sqz_data_read(a->x, i, n, x, labels && !a->y ? y : NULL));
    return labels && a->y ? sqz_data_read(a->y, i, n, y, NULL) : SQZ_OK;
}

static sqz_status read_array(sqz_source *s, int64_t i, sqz_image *img, float *x, float *y)
{
    arrays *a = s->impl;
    (void)img;
    return a->spool.fd >= 0 ? sqz_spool_get(&a->spool, i, x, y)
                            : read_pair(a, s->has_labels, i, 1, x, y);
}

static int32_t class_of_array(const sqz_source *s, int64_t i)
{
    return ((const arrays *)s->impl)->class_of[i];
}

static void close_arrays(sqz_source *s)
{
    arrays *a = s->impl;
    if (!a)
        return;
    sqz_data_close(a->x);
    sqz_data_close(a->y);
    sqz_spool_close(&a->spool);
    sqz_free(s->ctx, a->class_of);
    sqz_free(s->ctx, a);
}

/* One pass: classes into memory, and everything into the spool where there is one. */
static sqz_status first_pass(sqz_source *s, arrays *a, float *x, float *y, int64_t batch)
{
    int64_t classes = 0;
    const char *file = s->spec->y_file ? s->spec->y_file : s->spec->file;
    for (int64_t i = 0; i < s->n;) {
        int64_t n = SQZ_MIN(batch, s->n - i);
        SQZ_TRY(read_pair(a, s->has_labels, i, n, x, y));
        for (int64_t k = 0; k < n; k++) {
            if (a->class_of) {
                double label = (double)y[k];
                SQZ_TRY(sqz_classes_see(s->ctx, file, i + k, &label, 1, &classes));
                a->class_of[i + k] = (int32_t)label;
            }
            if (a->spool.fd >= 0)
                SQZ_TRY(sqz_spool_put(&a->spool, i + k, x + (size_t)k * a->n_x,
                                      y + (size_t)k * a->n_y));
        }
        i += n;
        if (!sqz_progress(s->ctx, "reading", (uint64_t)i, (uint64_t)s->n))
            return sqz_fail(s->ctx, SQZ_E_ARG, "stopped");
    }
    s->classes = SQZ_MAX(s->classes, classes);
    return SQZ_OK;
}

static sqz_status scan(sqz_source *s, arrays *a, const char *scratch)
{
    bool seekable = a->x->seekable && (!a->y || a->y->seekable);
    if (!seekable && scratch)
        SQZ_TRY(sqz_spool_open(s->ctx, scratch, a->n_x, a->n_y, s->bytes, &a->spool));
    if (s->classes && !(a->class_of = sqz_calloc(s->ctx, (size_t)s->n, sizeof *a->class_of)))
        return SQZ_E_NOMEM;
    if (!a->class_of && a->spool.fd < 0)
        return SQZ_OK;
    int64_t batch = (int64_t)SQZ_MAX((size_t)1, ((size_t)1 << 16) / (a->n_x + a->n_y));
    float *block = sqz_calloc(s->ctx, (size_t)batch * (a->n_x + a->n_y), sizeof *block);
    if (!block)
        return SQZ_E_NOMEM;
    sqz_status st = first_pass(s, a, block, block + (size_t)batch * a->n_x, batch);
    sqz_free(s->ctx, block);
    return st;
}

/* Labels from a file of their own: its samples are our labels. */
static sqz_status join_labels(sqz_source *s, arrays *a)
{
    if (a->y->n != a->x->n)
        return sqz_fail(s->ctx, SQZ_E_SHAPE,
                        "%s: %" PRId64 " labels for the %" PRId64 " samples of %s", s->spec->y_file,
                        a->y->n, a->x->n, s->spec->file);
    s->has_labels = true;
    s->label_shape = a->y->shape;
    if (s->label_shape.rank == 1 && s->label_shape.dim[0] == 1)
        s->label_shape.rank = 0;
    s->classes = s->label_shape.rank == 0 && !sqz_dtype_is_float(a->y->stored) ? 1 : 0;
    return SQZ_OK;
}

static sqz_status open_pair(sqz_source *s, arrays *a)
{
    const sqz_source_spec *f = s->spec;
    SQZ_TRY(sqz_data_open_named(s->ctx, f->file, NULL, f->x, f->y, &a->x));
    if (strcmp(a->x->format->info.name, f->kind) != 0)
        return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: is %s, the spec says %s", f->file,
                        a->x->format->info.name, f->kind);
    s->n = a->x->n;
    s->shape = a->x->shape;
    s->bytes = a->x->stored == SQZ_U8;
    s->has_labels = a->x->has_labels;
    s->classes = a->x->classes;
    s->label_shape = a->x->label_shape;
    if (!f->y_file)
        return SQZ_OK;
    SQZ_TRY(sqz_data_open(s->ctx, f->y_file, NULL, &a->y));
    return join_labels(s, a);
}

static sqz_status open_arrays(sqz_source *s, const char *scratch)
{
    size_t bytes;
    arrays *a = s->impl = sqz_calloc(s->ctx, 1, sizeof *a);
    if (!a)
        return SQZ_E_NOMEM;
    a->spool.fd = -1;
    s->read = read_array;
    s->class_of = class_of_array;
    s->close = close_arrays;
    SQZ_TRY(open_pair(s, a));
    SQZ_TRY(sqz_shape_count(s->ctx, &s->shape, SQZ_F32, &a->n_x, &bytes));
    SQZ_TRY(sqz_shape_count(s->ctx, &s->label_shape, SQZ_F32, &a->n_y, &bytes));
    if (!s->has_labels)
        a->n_y = 0;
    return scan(s, a, scratch);
}

/* Names from the spec, one per class. */
static sqz_status name_classes(sqz_source *s, const sqz_prepare_spec *spec)
{
    if (!spec->n_class_names || s->class_names)
        return SQZ_OK;
    if ((int64_t)spec->n_class_names < s->classes)
        return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: %zu class_names for %" PRId64 " classes",
                        spec->doc.file, spec->n_class_names, s->classes);
    s->classes = (int64_t)spec->n_class_names;
    s->class_names = sqz_arena_alloc(&s->arena, spec->n_class_names, sizeof *s->class_names);
    if (!s->class_names)
        return SQZ_E_NOMEM;
    memcpy(s->class_names, spec->class_names, spec->n_class_names * sizeof *s->class_names);
    return SQZ_OK;
}

sqz_status sqz_source_open(sqz_ctx *ctx, const sqz_prepare_spec *spec, const sqz_source_spec *from,
                           const sqz_source *like, const char *scratch, sqz_source *out)
{
    *out = (sqz_source){.ctx = ctx, .arena = {.ctx = ctx}, .spec = from};
    sqz_status s = strcmp(from->kind, "images") == 0 ? sqz_source_images(out, like)
                   : strcmp(from->kind, "csv") == 0  ? sqz_source_csv(out, like, scratch)
                                                     : open_arrays(out, scratch);
    if (s == SQZ_OK && out->n > INT32_MAX)
        s = sqz_fail(ctx, SQZ_E_LIMIT, "%s: more than 2^31 samples", from->file);
    if (s == SQZ_OK && out->classes)
        s = name_classes(out, spec);
    if (s != SQZ_OK)
        sqz_source_close(out);
    return s;
}

void sqz_source_close(sqz_source *s)
{
    if (s->close)
        s->close(s);
    if (s->ctx)
        sqz_arena_free(&s->arena);
    *s = (sqz_source){0};
}
