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
/* E_FORMAT when a child process that reads in the file dies of it. Between enter and leave. */
sqz_status sqz_h5_try(sqz_ctx *ctx, const char *path);
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
/* Only real objects of this file: a path through a soft or external link has none. */
bool sqz_h5_exists(hid_t at, const char *path);
/* *found false: no such attribute. Wrong kind or too long: an error. */
sqz_status sqz_h5_get_text(sqz_ctx *ctx, hid_t object, const char *name, char *out, size_t room,
                           bool *found);
/* Up to `room` numbers of an attribute; *n 0: no such attribute. */
sqz_status sqz_h5_get_f64(sqz_ctx *ctx, hid_t object, const char *name, double *out, size_t room,
                          size_t *n);
#endif
