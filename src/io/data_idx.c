/* idx: the format of MNIST, plain or gzipped: 0 0 type rank, the dimensions (32 bits, big endian),
 * then the numbers, big endian. One array, so samples without labels. A gzipped file is unpacked
 * once when it is opened, to check it whole. */
#include "io/numbers.h"
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

static sqz_dtype type_of(unsigned char code)
{
    switch (code) {
    case 0x08: return SQZ_U8;
    case 0x09: return SQZ_S8;
    case 0x0b: return SQZ_S16;
    case 0x0c: return SQZ_S32;
    case 0x0d: return SQZ_F32;
    case 0x0e: return SQZ_F64;
    default: return SQZ_N_DTYPE;
    }
}

static bool is_idx(const unsigned char *head, size_t n)
{
    return n >= 4 && head[0] == 0 && head[1] == 0 && type_of(head[2]) != SQZ_N_DTYPE &&
           head[3] >= 1 && head[3] <= SQZ_MAX_RANK;
}

/* The first four bytes inside of a gzip file. */
static bool gzip_idx(const unsigned char *head, size_t n)
{
    unsigned char inner[4];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)head,
                  .avail_in = (unsigned)n,
                  .next_out = inner,
                  .avail_out = sizeof inner};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return false;
    (void)inflate(&z, Z_SYNC_FLUSH);
    (void)inflateEnd(&z);
    return z.avail_out == 0 && is_idx(inner, sizeof inner);
}

static bool probe(const char *path, const unsigned char *head, size_t n)
{
    (void)path;
    return is_idx(head, n) || (n >= 3 && memcmp(head, "\x1f\x8b\x08", 3) == 0 && gzip_idx(head, n));
}

static sqz_status read_header(sqz_numbers *a)
{
    unsigned char head[4 + 4 * SQZ_MAX_RANK];
    SQZ_TRY(sqz_stream_read(&a->s, 0, head, 4));
    if (!is_idx(head, 4))
        return sqz_fail(a->s.ctx, SQZ_E_FORMAT,
                        "%s: not an IDX file: begins with %02x %02x %02x %02x", a->s.name, head[0],
                        head[1], head[2], head[3]);
    a->begin = 4 + 4 * (uint64_t)head[3];
    a->type = type_of(head[2]);
    a->swap = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    a->shape.rank = head[3];
    SQZ_TRY(sqz_stream_read(&a->s, 4, head + 4, 4 * (size_t)head[3]));
    for (int32_t i = 0; i < a->shape.rank; i++) {
        const unsigned char *p = head + 4 + 4 * (size_t)i;
        a->shape.dim[i] = (int64_t)p[0] << 24 | (int64_t)p[1] << 16 | (int64_t)p[2] << 8 | p[3];
    }
    return SQZ_OK;
}

static sqz_status open_set(sqz_dataset *ds)
{
    sqz_columns *c;
    size_t count, bytes;
    SQZ_TRY(sqz_columns_new(ds, &c));
    sqz_numbers *a = &c->x;
    SQZ_TRY(sqz_stream_open(ds->ctx, ds->path, &a->s));
    SQZ_TRY(read_header(a));
    if (!sqz_stream_seekable(&a->s)) {
        SQZ_TRY(sqz_note(ds->ctx, sqz_shape_count(ds->ctx, &a->shape, a->type, &count, &bytes),
                         "%s", ds->path));
        SQZ_TRY(sqz_stream_verify(&a->s, a->begin + bytes, NULL));
    }
    SQZ_TRY(sqz_numbers_check(a));
    return sqz_columns_describe(ds);
}

const sqz_data_format sqz_data_format_idx = {
    .info = {.name = "idx", .doc = "IDX and IDX.gz, as of MNIST: samples without labels"},
    .probe = probe,
    .open = open_set,
    .read = sqz_columns_read,
    .close = sqz_columns_close,
};
