/* data.c: the table of data formats; opening by content, checked reading, the checksum of a set. */
#include "io/data.h"
#include "io/stream.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* sqz_data_list.inc is generated from the file names src/io/data_<name>.c */
#define SQZ_ENTRY(name) extern const sqz_data_format sqz_data_format_##name;
#include "sqz_data_list.inc"
#undef SQZ_ENTRY
const sqz_data_format *const sqz_data_formats[] = {
#define SQZ_ENTRY(name) &sqz_data_format_##name,
#include "sqz_data_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_data_formats = SQZ_COUNT(sqz_data_formats);

#define SQZ_DATA_HEAD 4096 /* bytes that a probe sees */

typedef struct handle { /* the data set and the texts that it points at */
    sqz_dataset ds;
    sqz_arena arena;
} handle;

static sqz_status read_head(sqz_ctx *ctx, const char *path, unsigned char *head, size_t *n)
{
    sqz_stream s = SQZ_STREAM_CLOSED;
    sqz_status st = sqz_stream_open(ctx, path, &s);
    if (st == SQZ_OK) {
        s.pack = SQZ_PACK_NONE; /* the bytes of the file, packed or not */
        s.size = s.packed;
        *n = (size_t)SQZ_MIN(s.size, (uint64_t)SQZ_DATA_HEAD);
        st = sqz_stream_read(&s, 0, head, *n);
    }
    sqz_stream_close(&s);
    return st;
}

/* What people hand to a command in place of a data set. */
static sqz_status unknown(sqz_ctx *ctx, const char *path, const unsigned char *head, size_t n)
{
    static const struct {
        const char *magic, *what;
        size_t n;
    } known[] = {{"\xff\xd8\xff", "a JPEG image; make a set of a folder of images", 3},
                 {"\x89PNG", "a PNG image; make a set of a folder of images", 4},
                 {"RIFF", "a WAV file; make a set of it", 4},
                 {"\x1f\x8b", "a gzip file that holds no IDX array; unpack it, or make a set", 2},
                 {"squeeze_data:", "the description of a data set; make the set", 13},
                 {"\x80", "a Python pickle; save arrays with np.savez, or make a set", 1}};
    if (n == 0)
        return sqz_fail(ctx, SQZ_E_FORMAT, "%s: the file is empty", path);
    for (size_t i = 0; i < SQZ_COUNT(known); i++)
        if (n >= known[i].n && memcmp(head, known[i].magic, known[i].n) == 0)
            return sqz_fail(ctx, SQZ_E_FORMAT, "%s: is %s with squeeze prepare", path,
                            known[i].what);
    return sqz_fail(ctx, SQZ_E_FORMAT,
                    "%s: not a data set: begins with bytes %02x %02x %02x %02x, expected HDF5, "
                    "NPZ, NPY or IDX; other data becomes a set with squeeze prepare",
                    path, head[0], n > 1 ? head[1] : 0, n > 2 ? head[2] : 0, n > 3 ? head[3] : 0);
}

static sqz_status find_format(sqz_ctx *ctx, const char *path, const sqz_data_format **out)
{
    unsigned char head[SQZ_DATA_HEAD];
    size_t n;
    *out = NULL;
    SQZ_TRY(read_head(ctx, path, head, &n));
    for (size_t i = 0; i < sqz_n_data_formats && !*out; i++)
        if (sqz_data_formats[i]->probe(path, head, n))
            *out = sqz_data_formats[i];
    return *out ? SQZ_OK : unknown(ctx, path, head, n);
}

static const char *keep(handle *h, const char *text, bool *failed)
{
    char *copy = text ? sqz_arena_strdup(&h->arena, text) : NULL;
    *failed = *failed || (text && !copy);
    return copy;
}

static sqz_status open_set(handle *h, const char *split)
{
    sqz_dataset *ds = &h->ds;
    SQZ_TRY(find_format(ds->ctx, ds->path, &ds->format));
    if (split && !ds->format->has_split)
        return sqz_fail(ds->ctx, SQZ_E_NOTFOUND,
                        "%s: no split '%s': %s files have no splits; leave --split out, or make a "
                        "set with squeeze prepare",
                        ds->path, split, ds->format->info.name);
    SQZ_TRY(ds->format->open(ds));
    return ds->n > 0 ? SQZ_OK : sqz_fail(ds->ctx, SQZ_E_FORMAT, "%s: no samples", ds->path);
}

sqz_status sqz_data_open_named(sqz_ctx *ctx, const char *path, const char *split,
                               const char *x_name, const char *y_name, sqz_dataset **out)
{
    bool failed = false;
    *out = NULL;
    handle *h = sqz_calloc(ctx, 1, sizeof *h);
    if (!h)
        return SQZ_E_NOMEM;
    h->arena.ctx = h->ds.ctx = ctx;
    h->ds.stored = SQZ_F32;
    h->ds.path = keep(h, path, &failed);
    h->ds.split = keep(h, split, &failed);
    h->ds.x_name = keep(h, x_name, &failed);
    h->ds.y_name = keep(h, y_name, &failed);
    sqz_status s = failed ? SQZ_E_NOMEM : open_set(h, split);
    if (s != SQZ_OK) {
        sqz_data_close(&h->ds);
        return s;
    }
    *out = &h->ds;
    return SQZ_OK;
}

/* ---- in memory ---- */

static sqz_status memory_read(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    size_t one, bytes;
    (void)y;
    SQZ_TRY(sqz_shape_count(ds->ctx, &ds->shape, SQZ_F32, &one, &bytes));
    memcpy(x, (const float *)ds->impl + (size_t)first * one, (size_t)n * bytes);
    return SQZ_OK;
}
static void memory_close(sqz_dataset *ds) { sqz_free(ds->ctx, ds->impl); }
static const sqz_data_format memory_format = {
    .info = {.name = "memory", .doc = "samples in memory"},
    .read = memory_read,
    .close = memory_close,
};

sqz_status sqz_data_in_memory(sqz_ctx *ctx, const char *name, const sqz_shape *shape,
                              sqz_layout layout, int64_t n, float *x, sqz_dataset **out)
{
    bool failed = false;
    handle *h = sqz_calloc(ctx, 1, sizeof *h);
    *out = NULL;
    if (!h) {
        sqz_free(ctx, x);
        return SQZ_E_NOMEM;
    }
    h->arena.ctx = h->ds.ctx = ctx;
    h->ds.stored = SQZ_F32;
    h->ds.seekable = true;
    h->ds.format = &memory_format;
    h->ds.impl = x;
    h->ds.n = n;
    h->ds.shape = *shape;
    h->ds.layout = layout;
    h->ds.path = keep(h, name, &failed);
    if (failed) {
        sqz_data_close(&h->ds);
        return SQZ_E_NOMEM;
    }
    *out = &h->ds;
    return SQZ_OK;
}

const float *sqz_data_memory(const sqz_dataset *ds)
{
    return ds->format == &memory_format ? ds->impl : NULL;
}

static sqz_status open_parts(handle *h, const char *const *name, uint32_t n)
{
    sqz_dataset *ds = &h->ds;
    ds->part = sqz_arena_alloc(&h->arena, n, sizeof(sqz_dataset *));
    if (!ds->part)
        return SQZ_E_NOMEM;
    for (; ds->n_part < n; ds->n_part++) {
        const char *y = ds->n_part ? "" : NULL;
        SQZ_TRY(sqz_note(ds->ctx,
                         sqz_data_open_named(ds->ctx, ds->path, ds->split, name[ds->n_part], y,
                                             &ds->part[ds->n_part]),
                         "the model has %u inputs, each wants an array of its name", n));
    }
    return sqz_data_join(ds);
}

sqz_status sqz_data_open_joined(sqz_ctx *ctx, const char *path, const char *split,
                                const char *const *name, uint32_t n, sqz_dataset **out)
{
    bool failed = false;
    *out = NULL;
    handle *h = sqz_calloc(ctx, 1, sizeof *h);
    if (!h)
        return SQZ_E_NOMEM;
    h->arena.ctx = h->ds.ctx = ctx;
    h->ds.stored = SQZ_F32;
    h->ds.path = keep(h, path, &failed);
    h->ds.split = keep(h, split, &failed);
    sqz_status s = failed ? SQZ_E_NOMEM : open_parts(h, name, n);
    if (s == SQZ_OK)
        *out = &h->ds;
    else
        sqz_data_close(&h->ds);
    return s;
}

sqz_status sqz_data_open(sqz_ctx *ctx, const char *path, const char *split, sqz_dataset **out)
{
    return sqz_data_open_named(ctx, path, split, NULL, NULL, out);
}

bool sqz_data_has_split(sqz_ctx *ctx, const char *path, const char *split)
{
    const sqz_data_format *f;
    return find_format(ctx, path, &f) == SQZ_OK && f->has_split && f->has_split(ctx, path, split);
}

void sqz_data_close(sqz_dataset *ds)
{
    if (!ds)
        return;
    handle *h = (handle *)ds; /* ds is its first member */
    for (uint32_t i = 0; i < ds->n_part; i++)
        sqz_data_close(ds->part[i]);
    if (ds->format && !ds->n_part)
        ds->format->close(ds);
    sqz_arena_free(&h->arena);
    sqz_free(ds->ctx, h);
}

sqz_status sqz_data_read(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    if (first < 0 || n < 0 || first > ds->n || n > ds->n - first)
        return sqz_fail(ds->ctx, SQZ_E_ARG,
                        "%s: samples %" PRId64 " to %" PRId64 " asked for, there are %" PRId64,
                        ds->path, first, first + n, ds->n);
    if (y && !ds->has_labels)
        return sqz_fail(ds->ctx, SQZ_E_ARG, "%s: has no labels", ds->path);
    return n ? ds->format->read(ds, first, n, x, y) : SQZ_OK;
}

/* ---- checksum ---- */
sqz_status sqz_data_sum_begin(sqz_ctx *ctx, sqz_data_sum *s, const sqz_dataset *like)
{
    char x[160], y[160], head[512];
    size_t bytes;
    SQZ_TRY(sqz_shape_count(ctx, &like->shape, SQZ_F32, &s->x, &bytes));
    SQZ_TRY(sqz_shape_count(ctx, &like->label_shape, SQZ_F32, &s->y, &bytes));
    sqz_shape_print(x, &like->shape);
    sqz_shape_print(y, &like->label_shape);
    if (!like->has_labels)
        s->y = 0;
    int n = snprintf(head, sizeof head,
                     "squeeze data n=%" PRId64 " shape=%s labels=%s classes=%" PRId64 "\n", like->n,
                     x, like->has_labels ? y : "none", like->classes);
    sqz_sha256_begin(&s->sha);
    sqz_sha256_add(&s->sha, head, (size_t)n);
    return SQZ_OK;
}

static void add_floats(sqz_sha256 *sha, const float *v, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    sqz_sha256_add(sha, v, n * sizeof *v);
#else
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, v + i, sizeof u);
        u = __builtin_bswap32(u);
        sqz_sha256_add(sha, &u, sizeof u);
    }
#endif
}

void sqz_data_sum_add(sqz_data_sum *s, size_t n, const float *x, const float *y)
{
    for (size_t i = 0; i < n; i++) {
        add_floats(&s->sha, x + i * s->x, s->x);
        if (s->y)
            add_floats(&s->sha, y + i * s->y, s->y);
    }
}

void sqz_data_sum_end(sqz_data_sum *s, char hex[65]) { sqz_sha256_end(&s->sha, hex); }

static sqz_status sum(sqz_dataset *ds, sqz_data_sum *s, int64_t batch, float *block)
{
    float *y = block + (size_t)batch * s->x;
    for (int64_t i = 0; i < ds->n; i += batch) {
        int64_t n = SQZ_MIN(batch, ds->n - i);
        SQZ_TRY(sqz_data_read(ds, i, n, block, s->y ? y : NULL));
        sqz_data_sum_add(s, (size_t)n, block, y);
        if (!sqz_progress(ds->ctx, "checksum", (uint64_t)(i + n), (uint64_t)ds->n))
            return sqz_fail(ds->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

sqz_status sqz_data_checksum(sqz_dataset *ds)
{
    sqz_data_sum s;
    size_t row, all;
    if (ds->checksum[0])
        return SQZ_OK;
    SQZ_TRY(sqz_data_sum_begin(ds->ctx, &s, ds));
    if (!sqz_add(s.x, s.y, &row))
        return sqz_fail(ds->ctx, SQZ_E_LIMIT, "%s: a sample is too large", ds->path);
    int64_t batch = (int64_t)SQZ_MAX((size_t)1, ((size_t)1 << 18) / SQZ_MAX(row, (size_t)1));
    batch = SQZ_MIN(batch, ds->n);
    if (!sqz_mul((size_t)batch, row, &all))
        return sqz_fail(ds->ctx, SQZ_E_LIMIT, "%s: a sample is too large", ds->path);
    float *block = sqz_calloc(ds->ctx, SQZ_MAX(all, (size_t)1), sizeof *block);
    if (!block)
        return SQZ_E_NOMEM;
    sqz_status st = sum(ds, &s, batch, block);
    sqz_free(ds->ctx, block);
    if (st == SQZ_OK)
        sqz_data_sum_end(&s, ds->checksum);
    return st;
}
