/* data.h: data sets. A reader per format in data_<name>.c; all stream, none keeps the whole set. */
#ifndef SQZ_DATA_H
#define SQZ_DATA_H
#include "ir/graph.h"

typedef enum sqz_layout { SQZ_LAYOUT_UNKNOWN, SQZ_LAYOUT_NCHW, SQZ_LAYOUT_NHWC } sqz_layout;

typedef struct sqz_dataset {
    sqz_ctx *ctx;
    const struct sqz_data_format *format;
    const char *path, *split; /* split NULL: the format has none */
    int64_t n;                /* samples */
    sqz_shape shape;          /* of one sample, without the batch axis */
    sqz_layout layout;        /* when the file says it */
    bool has_labels;
    int64_t classes;       /* labels are 0..classes-1; 0: not classes (label_shape floats each) */
    sqz_shape label_shape; /* rank 0: one number */
    char checksum[65];     /* sha256 of what is in the set, "" until sqz_data_checksum */
    sqz_dtype stored;      /* element type of the samples, before they become float */
    bool seekable;         /* reading in any order costs the same; false: forwards is cheaper */
    bool rewinds;          /* going back starts again at the beginning (gzip, deflate) */
    const char *x_name, *y_name; /* arrays to use; NULL: x, and y when there is one */
    struct sqz_dataset **part;   /* joined set: one set for each input of a model, whose samples lie
                                    side by side in one of this */
    uint32_t n_part;             /* 0: no joined set */
    void *impl;
} sqz_dataset;

typedef struct sqz_data_format {
    sqz_info info;
    /* By content (first bytes), not by extension. */
    bool (*probe)(const char *path, const unsigned char *head, size_t n);
    sqz_status (*open)(sqz_dataset *ds); /* path and split set; fills the rest */
    /* Samples first .. first+n-1 as float32 into x; labels (n x label elements, float; class
     * numbers exact) into y when not NULL. */
    sqz_status (*read)(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y);
    void (*close)(sqz_dataset *ds);
    /* NULL: the format has no splits. */
    bool (*has_split)(sqz_ctx *ctx, const char *path, const char *split);
} sqz_data_format;
extern const sqz_data_format *const sqz_data_formats[];
extern const size_t sqz_n_data_formats;

/* split NULL: the whole file, or for a prepared set its `train`. */
sqz_status sqz_data_open(sqz_ctx *ctx, const char *path, const char *split, sqz_dataset **out);
/* The same with the names of the arrays (NPZ, HDF5) given; y_name "": no labels. */
sqz_status sqz_data_open_named(sqz_ctx *ctx, const char *path, const char *split,
                               const char *x_name, const char *y_name, sqz_dataset **out);
/* One set of n arrays of a file (joined.c), of equally many samples each, by name: what a model
 * with several inputs is fed with. Labels are the array y, if there is one. */
sqz_status sqz_data_open_joined(sqz_ctx *ctx, const char *path, const char *split,
                                const char *const *name, uint32_t n, sqz_dataset **out);
/* Fills ds from its parts; ds->format reads and closes them. */
sqz_status sqz_data_join(sqz_dataset *ds);
bool sqz_data_has_split(sqz_ctx *ctx, const char *path, const char *split);
/* A set of n samples that lie in memory one behind the other, without labels: takes over `x`
 * (sqz_malloc), also on failure. `name` stands for the path in messages. */
sqz_status sqz_data_in_memory(sqz_ctx *ctx, const char *name, const sqz_shape *shape,
                              sqz_layout layout, int64_t n, float *x, sqz_dataset **out);
const float *sqz_data_memory(const sqz_dataset *ds); /* its samples; NULL: it is none of these */
void sqz_data_close(sqz_dataset *ds);
/* Range checked; any order. */
sqz_status sqz_data_read(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y);
/* Over the header text "squeeze data n=.. shape=.. labels=.. classes=..\n", then per sample the
 * float32 numbers of x and the labels, little endian: the same for the same samples in any format.
 * A prepared set carries it as an attribute, which is returned as it is. */
sqz_status sqz_data_checksum(sqz_dataset *ds);
/* The same for samples that are being written. */
typedef struct sqz_data_sum {
    sqz_sha256 sha;
    size_t x, y; /* floats per sample */
} sqz_data_sum;
sqz_status sqz_data_sum_begin(sqz_ctx *ctx, sqz_data_sum *s, const sqz_dataset *like);
void sqz_data_sum_add(sqz_data_sum *s, size_t n, const float *x, const float *y);
void sqz_data_sum_end(sqz_data_sum *s, char hex[65]);

/* How samples must be reordered to feed input value `v` of a graph (feed.c): by shape; `layout`
 * ("nchw", "nhwc", NULL) decides where both fit; an ambiguous shape without it is an error that
 * asks for --layout. Also adds or drops axes of length 1 ("28x28" feeds "1x28x28"). */
typedef struct sqz_feed {
    size_t elements; /* per sample */
    bool permute;
    int perm[SQZ_MAX_RANK]; /* of the sample axes */
    sqz_shape from, to;     /* sample shapes */
    const char *note; /* "data is channels-last, model wants channels-first: reordered", or NULL */
} sqz_feed;
sqz_status sqz_feed_plan(sqz_ctx *ctx, const sqz_dataset *ds, const sqz_value *v,
                         const char *layout, sqz_feed *out);
/* n samples of `in` into `out` (may not overlap). */
void sqz_feed_apply(const sqz_feed *f, int64_t n, const float *in, float *out);

/* All inputs of a graph: one from a plain set, several from a joined one. Lists in an arena. An
 * input whose first dimension is not that of input 0 is taken whole from each sample; numbers are
 * converted to the type of the input. */
typedef struct sqz_feeds {
    sqz_ctx *ctx;
    uint32_t n;
    sqz_feed *feed;
    sqz_dtype *dtype;
    size_t elements; /* of a sample of the set */
} sqz_feeds;
sqz_status sqz_feeds_plan(sqz_arena *a, const sqz_dataset *ds, const sqz_graph *g,
                          const char *layout, sqz_feeds *out);
/* Memory for every input at a batch, aligned and to be freed by sqz_feeds_free. */
sqz_status sqz_feeds_memory(const sqz_feeds *f, int64_t batch, void **in);
void sqz_feeds_free(const sqz_feeds *f, void **in);
sqz_status sqz_feeds_apply(const sqz_feeds *f, int64_t n, const float *samples, void *const *in);

/* Named arrays of an .npz or one .npy (data_npy.c), for `squeeze run` and tests. */
typedef struct sqz_array {
    const char *name;
    sqz_tensor t;
} sqz_array;
sqz_status sqz_npz_read(sqz_arena *names, const char *path, sqz_array **out,
                        size_t *n); /* tensors owned */
sqz_status sqz_npz_write(sqz_ctx *ctx, const char *path, const sqz_array *a, size_t n);
void sqz_arrays_free(sqz_ctx *ctx, sqz_array *a,
                     size_t n); /* the tensors; the array is the arena's */

/* squeeze prepare (prepare.c): spec YAML -> HDF5 set; docs/data.md has the format of both. */
struct cJSON;
sqz_status sqz_prepare_run(sqz_ctx *ctx, const char *spec_path, const char *out_path, bool dry_run,
                           struct cJSON *report);
#endif
