/* npz_zip.c: the directory of a zip archive (PKWARE APPNOTE 6.3): only what .npz files use. */
#include "io/npz_header.h"
#include <inttypes.h>
#include <string.h>

#define SQZ_ZIP_MEMBERS   65536u
#define SQZ_ZIP_DIRECTORY ((uint64_t)16 << 20)

static uint32_t u16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const unsigned char *p) { return u16(p) | u16(p + 2) << 16; }
static uint64_t u64(const unsigned char *p) { return u32(p) | (uint64_t)u32(p + 4) << 32; }

typedef struct directory {
    uint64_t at, bytes, entries;
} directory;

static sqz_status bad(const sqz_stream *f, uint64_t at, const char *what)
{
    return sqz_fail(f->ctx, SQZ_E_FORMAT,
                    "%s: zip archive, byte %" PRIu64 ": %s; get the file again", f->name, at, what);
}

/* zip64: a locator of 20 bytes stands right before the ordinary end record. */
static sqz_status zip64_end(sqz_stream *f, uint64_t end, directory *d)
{
    unsigned char locator[20], record[56];
    if (end < sizeof locator)
        return bad(f, end, "the zip64 locator is missing");
    SQZ_TRY(sqz_stream_read(f, end - sizeof locator, locator, sizeof locator));
    if (u32(locator) != 0x07064b50)
        return bad(f, end - sizeof locator, "the zip64 locator is missing");
    SQZ_TRY(sqz_stream_read(f, u64(locator + 8), record, sizeof record));
    if (u32(record) != 0x06064b50)
        return bad(f, u64(locator + 8), "the zip64 end record is missing");
    *d = (directory){
        .entries = u64(record + 32), .bytes = u64(record + 40), .at = u64(record + 48)};
    return SQZ_OK;
}

/* The end record is the last one in the file that a comment of at most 65,535 bytes may follow. */
static sqz_status find_end(sqz_stream *f, unsigned char *tail, size_t n, directory *d)
{
    uint64_t from = f->size - n;
    SQZ_TRY(sqz_stream_read(f, from, tail, n));
    for (size_t i = n - 22 + 1; i-- > 0;) {
        const unsigned char *e = tail + i;
        if (u32(e) != 0x06054b50 || u16(e + 20) != n - i - 22)
            continue;
        if (u16(e + 4) != 0 && u16(e + 4) != 0xffff)
            return bad(f, from + i, "archives in several parts are not supported");
        *d = (directory){.entries = u16(e + 10), .bytes = u32(e + 12), .at = u32(e + 16)};
        if (d->entries == 0xffff || d->bytes == 0xffffffff || d->at == 0xffffffff)
            return zip64_end(f, from + i, d);
        return SQZ_OK;
    }
    return bad(f, f->size, "truncated, or no zip archive: no end record");
}

static sqz_status read_end(sqz_stream *f, directory *d)
{
    size_t n = (size_t)SQZ_MIN(f->size, (uint64_t)65535 + 22);
    if (n < 22)
        return bad(f, f->size, "truncated: too short for a zip archive");
    unsigned char *tail = sqz_malloc(f->ctx, n);
    if (!tail)
        return SQZ_E_NOMEM;
    sqz_status st = find_end(f, tail, n, d);
    sqz_free(f->ctx, tail);
    SQZ_TRY(st);
    if (d->at > f->size || d->bytes > f->size - d->at)
        return bad(f, d->at, "truncated: the directory lies outside of the file");
    if (d->bytes > SQZ_ZIP_DIRECTORY || d->entries > SQZ_ZIP_MEMBERS)
        return sqz_fail(f->ctx, SQZ_E_LIMIT,
                        "%s: a directory of %" PRIu64 " entries in %" PRIu64
                        " bytes, at most %u entries and %" PRIu64 " bytes are read",
                        f->name, d->entries, d->bytes, SQZ_ZIP_MEMBERS, SQZ_ZIP_DIRECTORY);
    return SQZ_OK;
}

/* Sizes that do not fit 32 bits stand in extra field 1, in this order, only those that are 2^32-1.
 */
static bool zip64_sizes(const unsigned char *extra, size_t n, uint64_t *const field[3])
{
    while (n >= 4) {
        size_t len = u16(extra + 2);
        if (len > n - 4)
            return false;
        if (u16(extra) == 1) {
            const unsigned char *p = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*field[i] != 0xffffffff)
                    continue;
                if (len < 8)
                    return false;
                *field[i] = u64(p);
                p += 8;
                len -= 8;
            }
            return true;
        }
        extra += 4 + len;
        n -= 4 + len;
    }
    return true;
}

/* The local header repeats the name; its own extra field decides where the data begins. */
static sqz_status local_header(sqz_stream *f, uint64_t at, const char *name, size_t n_name,
                               sqz_zip_member *m)
{
    unsigned char head[30], again[256];
    SQZ_TRY(sqz_stream_read(f, at, head, sizeof head));
    if (u32(head) != 0x04034b50 || u16(head + 26) != n_name)
        return bad(f, at, "the local header of a member does not agree with the directory");
    SQZ_TRY(sqz_stream_read(f, at + sizeof head, again, n_name));
    if (memcmp(again, name, n_name) != 0)
        return bad(f, at, "the name of a member does not agree with the directory");
    m->begin = at + sizeof head + n_name + u16(head + 28);
    if (m->begin > f->size || m->packed > f->size - m->begin)
        return bad(f, m->begin, "truncated: a member lies outside of the file");
    return SQZ_OK;
}

/* One directory entry at p, of at most n bytes; *used is its length. */
static sqz_status entry(sqz_arena *a, sqz_stream *f, const unsigned char *p, size_t n, uint64_t at,
                        sqz_zip_member *m, size_t *used)
{
    if (n < 46 || u32(p) != 0x02014b50)
        return bad(f, at, "a directory entry is damaged");
    size_t n_name = u16(p + 28), n_extra = u16(p + 30);
    *used = 46 + n_name + n_extra + u16(p + 32);
    if (*used > n || n_name == 0 || n_name > 255 || memchr(p + 46, 0, n_name))
        return bad(f, at, "a directory entry is damaged");
    uint64_t where = u32(p + 42);
    m->size = u32(p + 24);
    m->packed = u32(p + 20);
    m->crc = u32(p + 16);
    if (!zip64_sizes(p + 46 + n_name, n_extra, (uint64_t *const[]){&m->size, &m->packed, &where}))
        return bad(f, at, "a zip64 field is damaged");
    const char *name = (const char *)p + 46;
    if (u16(p + 8) & 1)
        return sqz_fail(f->ctx, SQZ_E_UNSUPPORTED, "%s: member '%.*s' is encrypted", f->name,
                        (int)n_name, name);
    uint32_t method = u16(p + 10);
    if (method != 0 && method != 8)
        return sqz_fail(f->ctx, SQZ_E_UNSUPPORTED,
                        "%s: member '%.*s' is packed by method %u, expected stored or deflate",
                        f->name, (int)n_name, name, method);
    m->pack = method ? SQZ_PACK_DEFLATE : SQZ_PACK_NONE;
    if (where > f->size)
        return bad(f, at, "truncated: a member lies outside of the file");
    SQZ_TRY(local_header(f, where, name, n_name, m));
    bool npy = n_name > 4 && memcmp(name + n_name - 4, ".npy", 4) == 0;
    m->name = sqz_arena_strndup(a, name, npy ? n_name - 4 : n_name);
    return m->name ? SQZ_OK : SQZ_E_NOMEM;
}

const sqz_zip_member *sqz_zip_find(const sqz_zip *z, const char *name)
{
    for (size_t i = 0; i < z->n; i++)
        if (strcmp(z->member[i].name, name) == 0)
            return &z->member[i];
    return NULL;
}

static sqz_status entries(sqz_arena *a, sqz_stream *f, const directory *d,
                          const unsigned char *text, sqz_zip *out)
{
    size_t at = 0, used = 0;
    for (out->n = 0; out->n < d->entries; out->n++, at += used) {
        sqz_zip_member m = {0};
        SQZ_TRY(entry(a, f, text + at, (size_t)d->bytes - at, d->at + at, &m, &used));
        if (sqz_zip_find(out, m.name))
            return sqz_fail(f->ctx, SQZ_E_FORMAT, "%s: two members are called '%s'", f->name,
                            m.name);
        out->member[out->n] = m;
    }
    return SQZ_OK;
}

sqz_status sqz_zip_open(sqz_arena *a, sqz_stream *file, sqz_zip *out)
{
    directory d = {0};
    *out = (sqz_zip){0};
    SQZ_TRY(read_end(file, &d));
    if (d.entries == 0 || d.bytes / 46 < d.entries)
        return bad(file, d.at, d.entries ? "the directory is too short" : "the archive is empty");
    out->member = sqz_arena_alloc(a, (size_t)d.entries, sizeof *out->member);
    unsigned char *text = out->member ? sqz_malloc(file->ctx, (size_t)d.bytes) : NULL;
    if (!text)
        return SQZ_E_NOMEM;
    sqz_status st = sqz_stream_read(file, d.at, text, (size_t)d.bytes);
    if (st == SQZ_OK)
        st = entries(a, file, &d, text, out);
    sqz_free(file->ctx, text);
    return st;
}
