/* stream.c: reading plain, gzip (RFC 1952) and raw deflate (RFC 1951) bytes by offset. */
#include "io/stream.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define SQZ_STREAM_BLOCK 65536

struct sqz_inflate {
    z_stream z;
    uint64_t taken; /* packed bytes handed to zlib, of s->packed */
    uint64_t given; /* unpacked bytes so far: the position */
    bool ended;
    unsigned char in[SQZ_STREAM_BLOCK], skip[SQZ_STREAM_BLOCK];
};

static void *z_alloc(void *ctx, unsigned count, unsigned size)
{
    return sqz_calloc(ctx, count, size);
}
static void z_free(void *ctx, void *p) { sqz_free(ctx, p); }

static char *copy_name(sqz_ctx *ctx, const char *path, const char *member)
{
    size_t a = strlen(path), b = member ? strlen(member) + 3 : 0;
    char *name = sqz_malloc(ctx, a + b + 1);
    if (!name)
        return NULL;
    memcpy(name, path, a + 1);
    if (member) {
        memcpy(name + a, " (", 2);
        memcpy(name + a + 2, member, b - 3);
        memcpy(name + a + b - 1, ")", 2);
    }
    return name;
}

/* n bytes of the file at `at` into out; the caller has checked that they should be there. */
static sqz_status read_file(const sqz_stream *s, uint64_t at, void *out, size_t n)
{
    unsigned char *to = out;
    while (n) {
        ssize_t got = pread(s->fd, to, SQZ_MIN(n, (size_t)1 << 30), (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sqz_fail(s->ctx, SQZ_E_IO, "%s: cannot read byte %" PRIu64 ": %m", s->name, at);
        if (got == 0)
            return sqz_fail(s->ctx, SQZ_E_IO,
                            "%s: the file became shorter while it was read (byte %" PRIu64 ")",
                            s->name, at);
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return SQZ_OK;
}

static sqz_status start_inflate(sqz_stream *s)
{
    struct sqz_inflate *z = sqz_calloc(s->ctx, 1, sizeof *z);
    if (!z)
        return SQZ_E_NOMEM;
    z->z.zalloc = z_alloc;
    z->z.zfree = z_free;
    z->z.opaque = s->ctx;
    if (inflateInit2(&z->z, s->pack == SQZ_PACK_GZIP ? 15 + 16 : -15) != Z_OK) {
        sqz_free(s->ctx, z);
        return sqz_fail(s->ctx, SQZ_E_NOMEM, "%s: no memory to unpack it", s->name);
    }
    s->z = z;
    return SQZ_OK;
}

static void rewind_inflate(sqz_stream *s)
{
    (void)inflateReset(&s->z->z);
    s->z->taken = s->z->given = 0;
    s->z->z.avail_in = 0;
    s->z->ended = false;
}

static sqz_status damaged(const sqz_stream *s, const char *what)
{
    uint64_t at = s->begin + s->z->taken - s->z->z.avail_in;
    return sqz_fail(s->ctx, SQZ_E_FORMAT,
                    "%s: damaged near byte %" PRIu64 " of the file: %s; get the file again",
                    s->name, at, what ? what : "the packed data is not valid");
}

static sqz_status refill(sqz_stream *s)
{
    struct sqz_inflate *z = s->z;
    uint64_t left = s->packed - z->taken;
    if (left == 0)
        return sqz_fail(s->ctx, SQZ_E_FORMAT,
                        "%s: truncated: the packed data stops at byte %" PRIu64
                        " of the file, after %" PRIu64 " unpacked bytes; get the file again",
                        s->name, s->begin + s->packed, z->given);
    size_t n = (size_t)SQZ_MIN(left, (uint64_t)sizeof z->in);
    SQZ_TRY(read_file(s, s->begin + z->taken, z->in, n));
    z->taken += n;
    z->z.next_in = z->in;
    z->z.avail_in = (unsigned)n;
    return SQZ_OK;
}

/* At the end of a gzip member another may follow; anything else after the end is not ours. */
static sqz_status end_of_member(sqz_stream *s)
{
    struct sqz_inflate *z = s->z;
    bool more = z->z.avail_in || z->taken < s->packed;
    if (!more) {
        z->ended = true;
        return SQZ_OK;
    }
    if (s->pack == SQZ_PACK_DEFLATE)
        return damaged(s, "bytes follow the end of the packed data");
    if (inflateReset(&z->z) != Z_OK)
        return damaged(s, NULL);
    return SQZ_OK;
}

/* Up to n bytes from the present position; *got == 0 only at the end. */
static sqz_status inflate_some(sqz_stream *s, unsigned char *out, size_t n, size_t *got)
{
    struct sqz_inflate *z = s->z;
    *got = 0;
    while (*got < n && !z->ended) {
        size_t room = SQZ_MIN(n - *got, (size_t)1 << 30);
        z->z.next_out = out + *got;
        z->z.avail_out = (unsigned)room;
        int r = inflate(&z->z, Z_NO_FLUSH);
        size_t made = room - z->z.avail_out;
        *got += made;
        z->given += made;
        if (r == Z_STREAM_END)
            SQZ_TRY(end_of_member(s));
        else if (r == Z_BUF_ERROR && z->z.avail_in == 0) /* not before: zlib may hold the end */
            SQZ_TRY(refill(s));
        else if (r == Z_MEM_ERROR)
            return sqz_fail(s->ctx, SQZ_E_NOMEM, "%s: no memory to unpack it", s->name);
        else if (r != Z_OK)
            return damaged(s, z->z.msg);
    }
    return SQZ_OK;
}

/* The last member's trailer may not be read yet when the last byte of data is; a read of nothing
 * at the end takes care of it. */
static sqz_status skip_to(sqz_stream *s, uint64_t offset)
{
    struct sqz_inflate *z = s->z;
    if (offset < z->given)
        rewind_inflate(s);
    while (z->given < offset) {
        size_t want = (size_t)SQZ_MIN(offset - z->given, (uint64_t)sizeof z->skip), got;
        SQZ_TRY(inflate_some(s, z->skip, want, &got));
        if (got == 0)
            break;
    }
    return SQZ_OK;
}

static sqz_status too_short(const sqz_stream *s, uint64_t offset, size_t n, uint64_t size)
{
    return sqz_fail(s->ctx, SQZ_E_FORMAT,
                    "%s: truncated: %zu bytes at byte %" PRIu64
                    " are needed, but there are only %" PRIu64 " bytes in all",
                    s->name, n, offset, size);
}

sqz_status sqz_stream_read(sqz_stream *s, uint64_t offset, void *out, size_t n)
{
    if (s->size != UINT64_MAX && (offset > s->size || n > s->size - offset))
        return too_short(s, offset, n, s->size);
    if (s->pack == SQZ_PACK_NONE)
        return read_file(s, s->begin + offset, out, n);
    SQZ_TRY(skip_to(s, offset));
    size_t got = 0;
    if (s->z->given == offset)
        SQZ_TRY(inflate_some(s, out, n, &got));
    return got == n ? SQZ_OK : too_short(s, offset, n, s->z->given);
}

/* The next block for sqz_stream_verify. */
static sqz_status next_block(sqz_stream *s, uint64_t at, unsigned char *block, size_t n,
                             size_t *got)
{
    if (s->pack != SQZ_PACK_NONE)
        return inflate_some(s, block, n, got);
    *got = (size_t)SQZ_MIN((uint64_t)n, s->packed - at);
    return read_file(s, s->begin + at, block, *got);
}

static sqz_status verify(sqz_stream *s, uint64_t limit, const uint32_t *crc, unsigned char *block)
{
    uint64_t at = 0;
    uLong sum = crc32(0, NULL, 0);
    if (s->z)
        rewind_inflate(s);
    for (size_t got;; at += got) {
        SQZ_TRY(next_block(s, at, block, SQZ_STREAM_BLOCK, &got));
        if (got == 0)
            break;
        if (got > limit - at)
            return sqz_fail(s->ctx, SQZ_E_FORMAT,
                            "%s: longer than the %" PRIu64
                            " bytes that its header tells; the header or the file is damaged",
                            s->name, limit);
        sum = crc32(sum, block, (unsigned)got);
    }
    if (s->size != UINT64_MAX && at != s->size)
        return sqz_fail(s->ctx, SQZ_E_FORMAT,
                        "%s: %" PRIu64 " bytes unpacked, but the archive promises %" PRIu64,
                        s->name, at, s->size);
    if (crc && sum != *crc)
        return sqz_fail(s->ctx, SQZ_E_FORMAT,
                        "%s: damaged: checksum (CRC-32) %08lx, expected %08" PRIx32
                        "; get the file again",
                        s->name, sum, *crc);
    s->size = at;
    return SQZ_OK;
}

sqz_status sqz_stream_verify(sqz_stream *s, uint64_t limit, const uint32_t *crc)
{
    unsigned char *block = sqz_malloc(s->ctx, SQZ_STREAM_BLOCK);
    if (!block)
        return SQZ_E_NOMEM;
    sqz_status st = verify(s, limit, crc, block);
    sqz_free(s->ctx, block);
    if (s->z)
        rewind_inflate(s);
    return st;
}

static sqz_status open_plain(sqz_stream *s)
{
    struct stat info;
    s->fd = open(s->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (s->fd < 0)
        return sqz_fail(s->ctx, errno == ENOENT ? SQZ_E_NOTFOUND : SQZ_E_IO, "%s: cannot open: %m",
                        s->name);
    if (fstat(s->fd, &info) != 0)
        return sqz_fail(s->ctx, SQZ_E_IO, "%s: cannot read its size: %m", s->name);
    if (!S_ISREG(info.st_mode))
        return sqz_fail(s->ctx, SQZ_E_ARG, "%s: is %s, expected a file", s->name,
                        S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    s->packed = s->size = (uint64_t)info.st_size;
    return SQZ_OK;
}

sqz_status sqz_stream_open(sqz_ctx *ctx, const char *path, sqz_stream *out)
{
    static const unsigned char magic[3] = {0x1f, 0x8b, 8};
    unsigned char head[3];
    *out = (sqz_stream){.ctx = ctx, .fd = -1, .name = copy_name(ctx, path, NULL)};
    if (!out->name)
        return SQZ_E_NOMEM;
    SQZ_TRY(open_plain(out));
    if (out->size < sizeof head)
        return SQZ_OK;
    SQZ_TRY(sqz_stream_read(out, 0, head, sizeof head));
    if (memcmp(head, magic, sizeof magic) != 0)
        return SQZ_OK;
    out->pack = SQZ_PACK_GZIP;
    out->size = UINT64_MAX;
    return start_inflate(out);
}

sqz_status sqz_stream_part(sqz_stream *s, const char *member, sqz_pack pack, uint64_t begin,
                           uint64_t packed, uint64_t size)
{
    if (begin > s->packed || packed > s->packed - begin)
        return sqz_fail(s->ctx, SQZ_E_FORMAT,
                        "%s: truncated: '%s' takes %" PRIu64 " bytes at byte %" PRIu64
                        ", but the file has %" PRIu64,
                        s->name, member, packed, begin, s->packed);
    char *name = copy_name(s->ctx, s->name, member);
    if (!name)
        return SQZ_E_NOMEM;
    sqz_free(s->ctx, s->name);
    s->name = name;
    if (packed < size / SQZ_DEFLATE_RATIO || (pack == SQZ_PACK_NONE && packed != size))
        return sqz_fail(s->ctx, SQZ_E_FORMAT,
                        "%s: %" PRIu64 " packed bytes cannot hold the %" PRIu64 " that it promises",
                        s->name, packed, size);
    s->pack = pack;
    s->begin = begin;
    s->packed = packed;
    s->size = size;
    return pack == SQZ_PACK_NONE ? SQZ_OK : start_inflate(s);
}

void sqz_stream_close(sqz_stream *s)
{
    if (s->z) {
        (void)inflateEnd(&s->z->z);
        sqz_free(s->ctx, s->z);
    }
    if (s->fd >= 0 && s->ctx)
        (void)close(s->fd);
    if (s->ctx)
        sqz_free(s->ctx, s->name);
    *s = SQZ_STREAM_CLOSED;
}
