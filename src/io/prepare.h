/* prepare.h: the parts of squeeze prepare. A spec (YAML) names a source and what to do with its
 * samples; prepare.c reads the labels once, deals the samples out to splits, then reads, transforms
 * and writes them one at a time. What is kept per sample is its place in the order, its class and,
 * for images, its file name: about 20 bytes and the name. */
#ifndef SQZ_PREPARE_H
#define SQZ_PREPARE_H
#include "base/yaml.h"
#include "io/data.h"
#include "io/image.h"
#include <cjson/cJSON.h>

/* ---- the spec (prepare_spec.c) ---- */
enum { SQZ_SPLIT_TRAIN, SQZ_SPLIT_VALID, SQZ_SPLIT_TEST, SQZ_SPLIT_CALIB, SQZ_N_SPLIT };
extern const char *const sqz_split_name[SQZ_N_SPLIT];

typedef struct sqz_source_spec {
    const sqz_yaml *node; /* for messages; NULL: no such source */
    const char *kind;     /* "images", "idx", "npy", "npz", "hdf5", "csv" */
    const char *file;     /* path as it can be opened; images: the folder */
    const char *y_file;   /* idx, npy: labels, or NULL */
    const char *x, *y;    /* npz, hdf5: names, or NULL; csv: y is a column, or NULL */
    const char *const *columns;
    size_t n_columns; /* csv: columns of x; 0: all but y */
    bool header;
    char separator;
    bool values; /* csv: whole numbers in y are values, not classes */
    sqz_layout layout;
} sqz_source_spec;

typedef struct sqz_transform {
    int64_t height, width; /* resize; 0: none; width 0: the shorter side becomes `height` */
    int64_t crop_height, crop_width;
    bool cover, antialias, bgr;
    int channels; /* 1, 3; 0: as they come */
    double divide, *mean, *stddev;
    size_t n_mean, n_std; /* 0: none */
} sqz_transform;

typedef struct sqz_amount { /* of samples */
    const sqz_yaml *node;   /* NULL: not given */
    bool share;
    double value;
} sqz_amount;

typedef struct sqz_prepare_spec {
    sqz_yaml_doc doc;
    sqz_source_spec source, test;
    sqz_transform transform;
    sqz_layout layout;
    sqz_amount split[SQZ_N_SPLIT];
    bool shuffle, stratify;
    int64_t seed;
    const char *store; /* "auto", "u8", "f32" */
    const char *const *class_names;
    size_t n_class_names;
} sqz_prepare_spec;
sqz_status sqz_prepare_parse(sqz_arena *a, const char *path, sqz_prepare_spec *out);

/* ---- sources: prepare_source.c, prepare_images.c, prepare_csv.c ---- */
typedef struct sqz_source {
    sqz_ctx *ctx;
    sqz_arena arena; /* class names and the like */
    const sqz_source_spec *spec;
    int64_t n;
    sqz_shape shape; /* of a sample; images: height, width, channels of the first one */
    bool is_image;   /* samples are H x W x C bytes of their own size */
    bool bytes;      /* numbers are whole and 0..255 */
    bool has_labels;
    int64_t classes;
    sqz_shape label_shape;
    const char **class_names; /* `classes` of them, or NULL */
    /* Sample i: an image (its pixels belong to the caller), or numbers into x. y: labels. */
    sqz_status (*read)(struct sqz_source *s, int64_t i, sqz_image *img, float *x, float *y);
    /* The class of sample i, without reading the sample. */
    int32_t (*class_of)(const struct sqz_source *s, int64_t i);
    /* For messages; NULL: samples have numbers only. */
    const char *(*name_of)(const struct sqz_source *s, int64_t i);
    void (*close)(struct sqz_source *s);
    void *impl;
} sqz_source;
/* `like`: the source of training, whose class names count; NULL: none. scratch: a folder for
 * temporary files; NULL: a dry run, only the numbers are wanted. */
sqz_status sqz_source_open(sqz_ctx *ctx, const sqz_prepare_spec *spec, const sqz_source_spec *from,
                           const sqz_source *like, const char *scratch, sqz_source *out);
void sqz_source_close(sqz_source *s);
sqz_status sqz_source_images(sqz_source *s, const sqz_source *like);
sqz_status sqz_source_csv(sqz_source *s, const sqz_source *like, const char *scratch);

/* Records of floats in a file without a name: for sources that cannot be read in any order. */
typedef struct sqz_spool {
    sqz_ctx *ctx;
    int fd;
    size_t x, y; /* floats per record */
    bool bytes;  /* x is kept as bytes */
    unsigned char *record;
} sqz_spool;
sqz_status sqz_spool_open(sqz_ctx *ctx, const char *folder, size_t x, size_t y, bool bytes,
                          sqz_spool *out);
sqz_status sqz_spool_put(sqz_spool *s, int64_t i, const float *x, const float *y);
sqz_status sqz_spool_get(sqz_spool *s, int64_t i, float *x, float *y);
void sqz_spool_close(sqz_spool *s);

/* ---- dealing out (prepare_split.c) ---- */
typedef struct sqz_deal {
    uint32_t *item[SQZ_N_SPLIT]; /* sample numbers in the order of the split; sqz_free */
    int64_t n[SQZ_N_SPLIT];
} sqz_deal;
/* want[train, valid, test] of n samples (the rest is left out), and want[calib] out of train.
 * class_of[i] NULL: not stratified. */
sqz_status sqz_deal_out(sqz_ctx *ctx, int64_t n, const int32_t *class_of, int64_t classes,
                        const int64_t want[SQZ_N_SPLIT], bool shuffle, uint64_t seed,
                        sqz_deal *out);
void sqz_deal_free(sqz_ctx *ctx, sqz_deal *d);

/* ---- one sample (prepare_transform.c) ---- */
typedef struct sqz_shaper {
    sqz_ctx *ctx;
    const sqz_prepare_spec *spec;
    bool image_like; /* rows, columns, channels; else the shape stays */
    size_t h, w, c;  /* after resize and crop */
    sqz_shape shape; /* of a finished sample */
    size_t elements;
    bool bytes;             /* numbers before scaling are whole and 0..255 */
    int channel_axis;       /* of shape; -1: one mean and std for all */
    size_t channels, inner; /* channel of element i: i / inner % channels */
    float *work[2];
} sqz_shaper;
sqz_status sqz_shaper_open(sqz_ctx *ctx, const sqz_prepare_spec *spec, const sqz_source *src,
                           sqz_shaper *out);
/* Unscaled numbers of a finished sample, in its layout. img is freed. `what` names the sample. */
sqz_status sqz_shaper_apply(sqz_shaper *s, const sqz_source *src, sqz_image *img, const float *x,
                            const char *what, float *out);
/* (v / divide - mean) / std, in double, rounded once. */
void sqz_shaper_scale(const sqz_shaper *s, const float *in, float *out);
void sqz_shaper_close(sqz_shaper *s);

/* ---- the file (prepare_write.c) ---- */
typedef struct sqz_set_writer sqz_set_writer;
typedef struct sqz_set_info {
    const sqz_shaper *shaper;
    const sqz_source *source;
    bool store_bytes;
} sqz_set_info;
sqz_status sqz_set_create(sqz_ctx *ctx, const char *path, const sqz_set_info *info,
                          sqz_set_writer **out);
sqz_status sqz_set_begin_split(sqz_set_writer *w, const char *name, int64_t n);
sqz_status sqz_set_add(sqz_set_writer *w, const float *unscaled, const float *y);
/* hex: the checksum of the split. */
sqz_status sqz_set_end_split(sqz_set_writer *w, char hex[65]);
/* Writes the recipe and the checksum of all splits, closes, syncs and renames. *bytes: file size.
 */
sqz_status sqz_set_commit(sqz_set_writer *w, const char *recipe, char hex[65], uint64_t *bytes);
void sqz_set_free(sqz_set_writer *w); /* without commit: nothing is left behind */
#endif
