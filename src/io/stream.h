/* stream.h: the bytes of a file, or of a part of it, at any offset: plain, gzip or raw deflate.
 * A packed stream is unpacked as it is read and never kept: going on is cheap, going back starts
 * again at the beginning. Memory is about 180 KiB however long the stream is. */
#ifndef SQZ_STREAM_H
#define SQZ_STREAM_H
#include "base/base.h"

typedef enum sqz_pack { SQZ_PACK_NONE, SQZ_PACK_GZIP, SQZ_PACK_DEFLATE } sqz_pack;

typedef struct sqz_stream {
    sqz_ctx *ctx;
    char *name; /* for messages: the path, and the member in brackets */
    int fd;
    sqz_pack pack;
    uint64_t begin, packed; /* the part of the file: first byte and length */
    uint64_t size;          /* bytes once unpacked; UINT64_MAX: not known (gzip before verify) */
    struct sqz_inflate *z;  /* state of unpacking; NULL for plain bytes */
} sqz_stream;

#define SQZ_STREAM_CLOSED                                                                          \
    (sqz_stream) { .fd = -1 }
/* Deflate cannot shrink by more than 1032:1, so nothing that claims more is believed. */
#define SQZ_DEFLATE_RATIO 1032u

/* The whole file; gzip is recognised by its first bytes. Only regular files. */
sqz_status sqz_stream_open(sqz_ctx *ctx, const char *path, sqz_stream *out);
/* Makes a stream of the whole file one of `packed` bytes at `begin` (a member of an archive). */
sqz_status sqz_stream_part(sqz_stream *s, const char *member, sqz_pack pack, uint64_t begin,
                           uint64_t packed, uint64_t size);
/* Exactly n bytes at `offset`. Past the end is an error that says how long the data is. */
sqz_status sqz_stream_read(sqz_stream *s, uint64_t offset, void *out, size_t n);
/* One pass over everything: the packed data is sound, `size` is right (or becomes known) and the
 * CRC-32 is `crc` (NULL: none is known; gzip carries its own). More than `limit` bytes fail. */
sqz_status sqz_stream_verify(sqz_stream *s, uint64_t limit, const uint32_t *crc);
/* Cheap and at random: a packed stream must be read forwards. */
static inline bool sqz_stream_seekable(const sqz_stream *s) { return s->pack == SQZ_PACK_NONE; }
void sqz_stream_close(sqz_stream *s); /* also after a failed open; twice is fine */
#endif
