/* npz.c: named arrays of an .npz or one .npy, whole, for `squeeze run` and tests. */
#include "io/npz_header.h"
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

/* ---- reading ---- */
static void swap_bytes(unsigned char *p, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++, p += width)
        for (size_t j = 0; j < width / 2; j++) {
            unsigned char t = p[j];
            p[j] = p[width - 1 - j];
            p[width - 1 - j] = t;
        }
}

/* Fortran order is C order of the reversed shape. */
static sqz_status to_c_order(sqz_ctx *ctx, const sqz_shape *shape, sqz_tensor *t)
{
    int perm[SQZ_MAX_RANK];
    sqz_tensor out = {0};
    for (int32_t i = 0; i < shape->rank; i++)
        perm[i] = shape->rank - 1 - i;
    SQZ_TRY(sqz_tensor_permute(ctx, t, perm, &out));
    sqz_tensor_free(ctx, t);
    *t = out;
    return SQZ_OK;
}

static sqz_status read_array(sqz_stream *s, sqz_tensor *out)
{
    sqz_npy head;
    size_t count, bytes;
    SQZ_TRY(sqz_npy_parse(s, &head));
    SQZ_TRY(sqz_note(s->ctx, sqz_shape_count(s->ctx, &head.shape, head.type, &count, &bytes), "%s",
                     s->name));
    if (s->size < head.header || s->size - head.header != bytes)
        return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: %s: %zu bytes of data expected, found %" PRIu64,
                        s->name, s->size < head.header + bytes ? "truncated" : "too long", bytes,
                        s->size < head.header ? 0 : s->size - head.header);
    sqz_shape order = head.shape;
    for (int32_t i = 0; head.fortran && i < order.rank; i++)
        order.dim[i] = head.shape.dim[order.rank - 1 - i];
    SQZ_TRY(sqz_tensor_alloc(s->ctx, head.type, &order, out));
    if (bytes)
        SQZ_TRY(sqz_stream_read(s, head.header, out->data, bytes));
    if (head.swap && count)
        swap_bytes(out->data, count, bytes / count);
    return head.fortran ? to_c_order(s->ctx, &head.shape, out) : SQZ_OK;
}

static sqz_status read_member(sqz_ctx *ctx, const char *path, const sqz_zip_member *m,
                              sqz_tensor *out)
{
    sqz_stream s = SQZ_STREAM_CLOSED;
    sqz_status st = sqz_stream_open(ctx, path, &s);
    if (st == SQZ_OK)
        st = sqz_stream_part(&s, m->name, m->pack, m->begin, m->packed, m->size);
    if (st == SQZ_OK)
        st = sqz_stream_verify(&s, m->size, &m->crc);
    if (st == SQZ_OK)
        st = read_array(&s, out);
    sqz_stream_close(&s);
    return st;
}

static sqz_status read_zip(sqz_arena *a, sqz_stream *file, const char *path, sqz_array **out,
                           size_t *n)
{
    sqz_zip zip;
    SQZ_TRY(sqz_zip_open(a, file, &zip));
    *out = sqz_arena_alloc(a, zip.n, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    for (; *n < zip.n; ++*n) {
        (*out)[*n].name = zip.member[*n].name;
        sqz_status st = read_member(a->ctx, path, &zip.member[*n], &(*out)[*n].t);
        if (st != SQZ_OK) {
            sqz_tensor_free(a->ctx, &(*out)[*n].t);
            return st;
        }
    }
    return SQZ_OK;
}

/* One .npy is called after its file: "inputs/image.npy" -> "image". */
static const char *stem(sqz_arena *a, const char *path)
{
    const char *base = strrchr(path, '/'), *dot;
    base = base ? base + 1 : path;
    dot = strrchr(base, '.');
    return sqz_arena_strndup(a, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static sqz_status read_any(sqz_arena *a, sqz_stream *s, const char *path, sqz_array **out,
                           size_t *n)
{
    char magic[6] = "";
    SQZ_TRY(sqz_stream_read(s, 0, magic, (size_t)SQZ_MIN(s->size, sizeof magic)));
    if (memcmp(magic, "PK\3\4", 4) == 0 || memcmp(magic, "PK\5\6", 4) == 0)
        return read_zip(a, s, path, out, n);
    if (memcmp(magic, "\x93NUMPY", 6) != 0)
        return sqz_fail(a->ctx, SQZ_E_FORMAT, "%s: neither an .npz archive nor an .npy array",
                        path);
    *out = sqz_arena_alloc(a, 1, sizeof **out);
    if (!*out || !((*out)[0].name = stem(a, path)))
        return SQZ_E_NOMEM;
    *n = 1;
    return read_array(s, &(*out)[0].t);
}

sqz_status sqz_npz_read(sqz_arena *names, const char *path, sqz_array **out, size_t *n)
{
    sqz_stream s = SQZ_STREAM_CLOSED;
    *out = NULL;
    *n = 0;
    sqz_status st = sqz_stream_open(names->ctx, path, &s);
    if (st == SQZ_OK)
        st = read_any(names, &s, path, out, n);
    sqz_stream_close(&s);
    if (st != SQZ_OK) {
        sqz_arrays_free(names->ctx, *out, *n);
        *out = NULL;
        *n = 0;
    }
    return st;
}

void sqz_arrays_free(sqz_ctx *ctx, sqz_array *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sqz_tensor_free(ctx, &a[i].t);
}

/* ---- writing: members are stored, with a fixed date, so the same arrays give the same file ----
 */
typedef struct placed {
    uint32_t crc, size, at;
} placed;

static void put(sqz_str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8) {
        char c = (char)(v & 255);
        sqz_str_addn(s, &c, 1);
    }
}

/* Version needed, flags (UTF-8 names), method, time, date (1 January 1980), CRC, sizes, lengths. */
static void common_fields(sqz_str *s, const placed *p, size_t n_name)
{
    put(s, 20, 2);
    put(s, 0x0800, 2);
    put(s, 0, 4);
    put(s, 0x21, 2);
    put(s, p->crc, 4);
    put(s, p->size, 4);
    put(s, p->size, 4);
    put(s, n_name, 2);
    put(s, 0, 2);
}

static const char *descr_of(sqz_dtype d)
{
    switch (d) {
    case SQZ_F16: return "<f2";
    case SQZ_F32: return "<f4";
    case SQZ_F64: return "<f8";
    case SQZ_S8: return "|i1";
    case SQZ_U8: return "|u1";
    case SQZ_S16: return "<i2";
    case SQZ_U16: return "<u2";
    case SQZ_S32: return "<i4";
    case SQZ_U32: return "<u4";
    case SQZ_S64: return "<i8";
    case SQZ_U64: return "<u8";
    case SQZ_BOOL: return "|b1";
    default: return NULL;
    }
}

static sqz_status write_member(sqz_outfile *f, const sqz_array *a, const sqz_tensor *t,
                               uint64_t *at, placed *p)
{
    sqz_str head = {.ctx = f->ctx}, local = {.ctx = f->ctx};
    sqz_status st = sqz_npy_header(&head, descr_of(t->dtype), &t->shape);
    uint64_t size = (uint64_t)head.len + t->bytes;
    if (st == SQZ_OK && (size > UINT32_MAX || *at > UINT32_MAX || strlen(a->name) > 250))
        st = sqz_fail(f->ctx, SQZ_E_LIMIT,
                      "%s: array '%s' of %zu bytes does not fit an .npz of at most 4 GiB", f->path,
                      a->name, t->bytes);
    if (st == SQZ_OK) {
        uLong crc = crc32(0, (const unsigned char *)head.data, (unsigned)head.len);
        crc = t->bytes ? crc32(crc, t->data, (unsigned)t->bytes) : crc;
        *p = (placed){.crc = (uint32_t)crc, .size = (uint32_t)size, .at = (uint32_t)*at};
        put(&local, 0x04034b50, 4);
        common_fields(&local, p, strlen(a->name) + 4);
        sqz_str_addf(&local, "%s.npy", a->name);
        st = local.status;
    }
    *at += local.len + size;
    if (st == SQZ_OK)
        st = sqz_out_write(f, local.data, local.len);
    if (st == SQZ_OK)
        st = sqz_out_write(f, head.data, head.len);
    if (st == SQZ_OK && t->bytes)
        st = sqz_out_write(f, t->data, t->bytes);
    sqz_str_free(&local);
    sqz_str_free(&head);
    return st;
}

/* Types that NumPy lacks go out as the next larger one that holds them exactly. */
static sqz_status write_array(sqz_outfile *f, const sqz_array *a, uint64_t *at, placed *p)
{
    if (descr_of(a->t.dtype))
        return write_member(f, a, &a->t, at, p);
    sqz_tensor wide = {0};
    sqz_status st = sqz_tensor_cast(f->ctx, &a->t, a->t.dtype == SQZ_BF16 ? SQZ_F32 : SQZ_S8,
                                    &wide);
    if (st == SQZ_OK)
        st = write_member(f, a, &wide, at, p);
    sqz_tensor_free(f->ctx, &wide);
    return st;
}

static sqz_status write_directory(sqz_outfile *f, const sqz_array *a, const placed *p, size_t n,
                                  uint64_t at)
{
    sqz_str d = {.ctx = f->ctx};
    for (size_t i = 0; i < n; i++) {
        put(&d, 0x02014b50, 4);
        put(&d, 20, 2);
        common_fields(&d, &p[i], strlen(a[i].name) + 4);
        put(&d, 0, 10); /* comment length, disk, attributes */
        put(&d, p[i].at, 4);
        sqz_str_addf(&d, "%s.npy", a[i].name);
    }
    size_t bytes = d.len;
    put(&d, 0x06054b50, 4);
    put(&d, 0, 4);
    put(&d, n, 2);
    put(&d, n, 2);
    put(&d, bytes, 4);
    put(&d, at, 4);
    put(&d, 0, 2);
    sqz_status st = d.status;
    if (st == SQZ_OK && (at > UINT32_MAX || bytes > UINT32_MAX))
        st = sqz_fail(f->ctx, SQZ_E_LIMIT, "%s: more than 4 GiB in one .npz", f->path);
    if (st == SQZ_OK)
        st = sqz_out_write(f, d.data, d.len);
    sqz_str_free(&d);
    return st;
}

static sqz_status write_all(sqz_outfile *f, const sqz_array *a, placed *p, size_t n)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++)
        SQZ_TRY(write_array(f, &a[i], &at, &p[i]));
    SQZ_TRY(write_directory(f, a, p, n, at));
    return sqz_out_commit(f);
}

sqz_status sqz_npz_write(sqz_ctx *ctx, const char *path, const sqz_array *a, size_t n)
{
    sqz_outfile f = {0};
    if (n == 0 || n > 65534)
        return sqz_fail(ctx, SQZ_E_ARG, "%s: %zu arrays to write, expected 1 to 65534", path, n);
    placed *p = sqz_calloc(ctx, n, sizeof *p);
    if (!p)
        return SQZ_E_NOMEM;
    sqz_status st = sqz_out_begin(ctx, path, &f);
    if (st == SQZ_OK) {
        st = write_all(&f, a, p, n);
        sqz_out_abort(&f);
    }
    sqz_free(ctx, p);
    return st;
}
