/* npz_header.h: the header of an .npy array and the directory of a zip archive of them (.npz). */
#ifndef SQZ_NPZ_HEADER_H
#define SQZ_NPZ_HEADER_H
#include "io/numbers.h"

/* NPY versions 1 to 3: magic, version, length, then a Python dict with exactly the keys descr,
 * fortran_order and shape. Longer headers than this are not made by anybody. */
#define SQZ_NPY_HEADER_MAX 65536u

typedef struct sqz_npy {
    sqz_dtype type;
    bool swap, fortran;
    sqz_shape shape;
    size_t header; /* bytes before the first number */
} sqz_npy;
/* From the first bytes of a stream; messages begin with the stream's name. */
sqz_status sqz_npy_parse(sqz_stream *s, sqz_npy *out);
/* The header for a C-ordered array: a multiple of 64 bytes. */
sqz_status sqz_npy_header(sqz_str *out, const char *descr, const sqz_shape *shape);
/* An open stream that begins with an NPY header -> numbers to read sample by sample. */
sqz_status sqz_npy_numbers(sqz_numbers *a);

typedef struct sqz_zip_member {
    const char *name; /* without the ending ".npy" */
    sqz_pack pack;
    uint64_t begin, packed, size; /* of the data, after the local header */
    uint32_t crc;
} sqz_zip_member;
typedef struct sqz_zip {
    sqz_zip_member *member; /* in the arena, in the order of the directory */
    size_t n;
} sqz_zip;
/* Reads the directory and every local header; zip64 too. Encrypted members, methods other than
 * stored and deflate, repeated names and members outside of the file are refused. */
sqz_status sqz_zip_open(sqz_arena *a, sqz_stream *file, sqz_zip *out);
/* NULL: no such member. */
const sqz_zip_member *sqz_zip_find(const sqz_zip *z, const char *name);
#endif
