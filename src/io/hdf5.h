/* hdf5.h: what every use of libhdf5 goes through. Debian's library is not thread safe and keeps its
 * state in the process, so there is one lock around it: enter, call, leave. Its error printing is
 * off in between (and as the host program had it after). */
#ifndef SQZ_HDF5_H
#define SQZ_HDF5_H
#include "ir/graph.h"
#include <hdf5.h>

typedef struct sqz_h5_guard {
    H5E_auto2_t print;
    void *user;
} sqz_h5_guard;
/* Before the first use of the library, in a program that does nothing else: no exit handler of
 * libhdf5 (it complains about damaged files), and files are tried in a child process before they
 * are opened (sqz_h5_try). */
void sqz_h5_own_process(void);
/* E_FORMAT when a child process that reads in the file dies of it. Between enter and leave.
 * `access`: how to open it, H5P_DEFAULT for a file on disk. */
sqz_status sqz_h5_try(sqz_ctx *ctx, const char *path, hid_t access);
void sqz_h5_enter(sqz_h5_guard *g);
void sqz_h5_leave(const sqz_h5_guard *g);

/* The sentence, followed by the innermost message of libhdf5. Only between enter and leave. */
SQZ_PRINTF(3, 4) sqz_status sqz_h5_fail(sqz_ctx *ctx, sqz_status s, const char *fmt, ...);
bool sqz_h5_signature(const unsigned char *head, size_t n);
/* Bytes of a file as its superblock tells, checked against those that it has. Without libhdf5. */
sqz_status sqz_h5_size(sqz_ctx *ctx, const char *path, uint64_t *out);
/* Opens for reading; before libhdf5 sees the file, its superblock is checked against its size.
 * Closing the file closes every object in it. */
sqz_status sqz_h5_open(sqz_ctx *ctx, const char *path, hid_t *out);
/* The same for a file that is in memory: its bytes are copied, and no other file is touched. `name`
 * is for messages. */
sqz_status sqz_h5_open_bytes(sqz_ctx *ctx, const char *name, const void *bytes, size_t n,
                             hid_t *out);
/* The same for a copy in memory that is changed; H5Fget_file_image has the new bytes. */
sqz_status sqz_h5_edit_bytes(sqz_ctx *ctx, const char *name, const void *bytes, size_t n,
                             hid_t *out);
/* Only real objects of this file: a path through a soft or external link has none. */
bool sqz_h5_exists(hid_t at, const char *path);
/* *found false: no such attribute. Wrong kind or too long: an error. */
sqz_status sqz_h5_get_text(sqz_ctx *ctx, hid_t object, const char *name, char *out, size_t room,
                           bool *found);
/* Up to `room` numbers of an attribute; *n 0: no such attribute. */
sqz_status sqz_h5_get_f64(sqz_ctx *ctx, hid_t object, const char *name, double *out, size_t room,
                          size_t *n);
/* ---- hdf5_text.c: attributes of text of either kind, variable or fixed length, in `a` ---- */
sqz_status sqz_h5_get_string(sqz_ctx *ctx, sqz_arena *a, hid_t object, const char *name,
                             size_t limit, const char **out); /* *out NULL: no such attribute */
/* A list; Keras splits long ones over the attributes name0, name1, ... An attribute without
 * elements may have any type. *found false: no such attribute. */
sqz_status sqz_h5_get_strings(sqz_ctx *ctx, sqz_arena *a, hid_t object, const char *name,
                              const char ***out, uint32_t *n, bool *found);

/* ---- hdf5_array.c ---- */
/* A dataset of numbers as float32, whatever its type. What could reach outside of the file,
 * promises more than file_bytes can hold, or needs a filter that is not HDF5's own is refused. */
sqz_status sqz_h5_read_f32(sqz_ctx *ctx, hid_t at, const char *path, uint64_t file_bytes,
                           sqz_tensor *out);
#endif
