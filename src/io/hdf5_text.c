/* hdf5_text.c: attributes that hold text: one or a list, of fixed or variable length, as the
 * versions of h5py wrote them. */
#include "io/hdf5.h"
#include <stdio.h>
#include <string.h>

#define TEXTS  ((hssize_t)1 << 20) /* entries of a list */
#define ENTRY  ((size_t)1 << 16)   /* bytes of an entry of a list */
#define PIECES 10000               /* attributes of a list that is split */

typedef struct reader {
    sqz_ctx *ctx;
    sqz_arena *a;
    hid_t attr, type, space;
    const char *name;
    hssize_t count;
    size_t limit; /* bytes of one text */
} reader;

static sqz_status damaged(const reader *r)
{
    return sqz_h5_fail(r->ctx, SQZ_E_FORMAT,
                       "attribute '%s' is damaged, or no text of at most %zu bytes", r->name,
                       r->limit);
}

static void close_reader(const reader *r)
{
    if (r->type >= 0)
        (void)H5Tclose(r->type);
    if (r->space >= 0)
        (void)H5Sclose(r->space);
    if (r->attr >= 0)
        (void)H5Aclose(r->attr);
}

static sqz_status open_reader(reader *r, hid_t object)
{
    r->type = r->space = -1;
    r->attr = H5Aopen(object, r->name, H5P_DEFAULT);
    if (r->attr >= 0) {
        r->type = H5Aget_type(r->attr);
        r->space = H5Aget_space(r->attr);
    }
    r->count = r->space < 0 ? -1 : H5Sget_simple_extent_npoints(r->space);
    if (r->type < 0 || r->count < 0 || r->count > TEXTS)
        return damaged(r);
    return SQZ_OK;
}

/* Variable length: libhdf5 allocates each text. */
static sqz_status read_variable(reader *r, const char **out)
{
    size_t n = (size_t)r->count;
    char **text = sqz_arena_alloc(r->a, n, sizeof *text);
    if (!text)
        return SQZ_E_NOMEM;
    hid_t memory = H5Tcopy(r->type);
    bool ok = memory >= 0 && H5Aread(r->attr, memory, text) >= 0;
    sqz_status s = ok ? SQZ_OK : damaged(r);
    for (size_t i = 0; ok && s == SQZ_OK && i < n; i++) {
        size_t len = text[i] ? strnlen(text[i], r->limit + 1) : 0;
        if (len > r->limit)
            s = damaged(r);
        else if (!(out[i] = sqz_arena_strndup(r->a, text[i] ? text[i] : "", len)))
            s = SQZ_E_NOMEM;
    }
    if (ok)
        (void)H5Dvlen_reclaim(memory, r->space, H5P_DEFAULT, text);
    if (memory >= 0)
        (void)H5Tclose(memory);
    return s;
}

static sqz_status read_fixed(reader *r, const char **out)
{
    size_t n = (size_t)r->count, each = H5Tget_size(r->type), bytes;
    if (each == 0 || each > r->limit || !sqz_mul(n, each, &bytes) ||
        bytes > H5Aget_storage_size(r->attr))
        return damaged(r);
    char *all = sqz_malloc(r->ctx, bytes);
    if (!all)
        return SQZ_E_NOMEM;
    sqz_status s = H5Aread(r->attr, r->type, all) >= 0 ? SQZ_OK : damaged(r);
    for (size_t i = 0; s == SQZ_OK && i < n; i++) {
        out[i] = sqz_arena_strndup(r->a, all + i * each, strnlen(all + i * each, each));
        s = out[i] ? SQZ_OK : SQZ_E_NOMEM;
    }
    sqz_free(r->ctx, all);
    return s;
}

/* Every entry into *out. */
static sqz_status read_all(reader *r, hid_t object, const char ***out)
{
    *out = NULL;
    sqz_status s = open_reader(r, object);
    if (s == SQZ_OK && r->count > 0) {
        bool text = H5Tget_class(r->type) == H5T_STRING;
        *out = text ? sqz_arena_alloc(r->a, (size_t)r->count, sizeof **out) : NULL;
        s = !text                             ? damaged(r)
            : !*out                           ? SQZ_E_NOMEM
            : H5Tis_variable_str(r->type) > 0 ? read_variable(r, *out)
                                              : read_fixed(r, *out);
    }
    close_reader(r);
    return s;
}

sqz_status sqz_h5_get_string(sqz_ctx *ctx, sqz_arena *a, hid_t object, const char *name,
                             size_t limit, const char **out)
{
    reader r = {.ctx = ctx, .a = a, .name = name, .limit = limit};
    const char **list;
    *out = NULL;
    if (H5Aexists(object, name) <= 0)
        return SQZ_OK;
    SQZ_TRY(read_all(&r, object, &list));
    if (r.count != 1)
        return damaged(&r);
    *out = list[0];
    return SQZ_OK;
}

sqz_status sqz_h5_get_strings(sqz_ctx *ctx, sqz_arena *a, hid_t object, const char *name,
                              const char ***out, uint32_t *n, bool *found)
{
    char piece[96];
    reader r = {.ctx = ctx, .a = a, .name = name, .limit = ENTRY};
    *n = 0;
    *out = NULL;
    *found = H5Aexists(object, name) > 0;
    if (*found) {
        SQZ_TRY(read_all(&r, object, out));
        *n = (uint32_t)r.count;
        return SQZ_OK;
    }
    r.name = piece;
    for (int i = 0; i < PIECES; i++) {
        const char **part, **all;
        (void)snprintf(piece, sizeof piece, "%.80s%d", name, i);
        if (H5Aexists(object, piece) <= 0)
            break;
        *found = true;
        SQZ_TRY(read_all(&r, object, &part));
        if (r.count > TEXTS - (hssize_t)*n)
            return damaged(&r);
        if (r.count == 0)
            continue;
        all = sqz_arena_alloc(a, *n + (size_t)r.count, sizeof *all);
        if (!all)
            return SQZ_E_NOMEM;
        if (*n)
            memcpy(all, *out, *n * sizeof *all);
        memcpy(all + *n, part, (size_t)r.count * sizeof *all);
        *out = all;
        *n += (uint32_t)r.count;
    }
    return SQZ_OK;
}
