/* numbers.h: an array of numbers in a stream (NPY, NPZ member, IDX), read as float a few samples at
 * a time; and the reader that two such arrays, x and y, make. */
#ifndef SQZ_NUMBERS_H
#define SQZ_NUMBERS_H
#include "io/data.h"
#include "io/stream.h"

/* Class numbers must be exact in float32. */
#define SQZ_CLASS_LIMIT 16777216.0

typedef struct sqz_numbers {
    sqz_stream s;
    uint64_t begin; /* of the first number, in the stream */
    sqz_dtype type;
    bool swap;       /* the bytes of a number stand the other way round */
    sqz_shape shape; /* axis 0 counts samples */
    size_t row;      /* numbers in a sample; set by sqz_numbers_check, as `each` */
    size_t each;     /* bytes of a sample */
} sqz_numbers;

/* n numbers of a type as float or double; `in` may be unaligned. */
void sqz_numbers_f32(sqz_dtype type, bool swap, const void *in, size_t n, float *out);
void sqz_numbers_f64(sqz_dtype type, bool swap, const void *in, size_t n, double *out);

/* The array fits the stream exactly: fills row and each. Needs stream, begin, type and shape. */
sqz_status sqz_numbers_check(sqz_numbers *a);
sqz_status sqz_numbers_read(sqz_numbers *a, int64_t first, int64_t n, float *out);
/* Integers, one per sample, are class numbers: *classes = largest + 1, found in one pass of bounded
 * memory. Anything else: *classes = 0. */
sqz_status sqz_numbers_classes(sqz_numbers *a, int64_t *classes);

/* A data set of x and perhaps y; what data_npy.c, data_npz.c and data_idx.c keep in `impl`. */
typedef struct sqz_columns {
    sqz_numbers x, y;
    bool has_y;
} sqz_columns;
/* ds->impl = a fresh, empty sqz_columns. */
sqz_status sqz_columns_new(sqz_dataset *ds, sqz_columns **out);
/* Fills the rest of ds from x and y, which have been checked. */
sqz_status sqz_columns_describe(sqz_dataset *ds);
sqz_status sqz_columns_read(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y);
void sqz_columns_close(sqz_dataset *ds);
/* Labels of `shape` (axis 0: samples) into ds; `what` names the array in messages. */
sqz_status sqz_labels_describe(sqz_dataset *ds, const char *what, const sqz_shape *shape,
                               int64_t classes);
/* Reads of one block of labels: is the largest class number so far still a class number? */
sqz_status sqz_classes_see(sqz_ctx *ctx, const char *what, int64_t first, const double *label,
                           size_t n, int64_t *classes);
#endif
