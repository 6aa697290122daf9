/* augment.h: the table of augmentations: small changes of a sample that leave its label true. One
 * file src/train/augment_<name>.c per row defines one `const sqz_augment sqz_augment_<name>`; the
 * build lists it. A chain of them, "crop(pad=4),flip", is a pure function of (seed, epoch, place of
 * the sample in the set). */
#ifndef SQZ_AUGMENT_H
#define SQZ_AUGMENT_H
#include "base/chain.h"
#include "io/data.h"

/* How the numbers of a sample lie: planes x h x w x group. Channels-first: C planes of groups of 1;
 * channels-last: 1 plane of groups of C; a matrix (H,W): 1 and 1. */
typedef struct sqz_augment_form {
    size_t planes, h, w, group, count;
    const char *no_image; /* why rows and columns are not known; NULL: they are */
} sqz_augment_form;

typedef struct sqz_augment {
    sqz_info info;   /* doc names the paper */
    bool any_sample; /* works on samples without rows and columns */
    /* What the schema cannot know, such as sizes beyond those of the samples; NULL: nothing. */
    sqz_status (*check)(sqz_ctx *ctx, const void *opts, const sqz_augment_form *f);
    /* Draws from r only; `out` is elsewhere than `in` and written wholly. A strength of 0 copies.
     */
    void (*apply)(const void *opts, const sqz_augment_form *f, sqz_rng *r, const float *in,
                  float *out);
} sqz_augment;
extern const sqz_augment *const sqz_augments[];
extern const size_t sqz_n_augments;
const sqz_augment *sqz_augment_find(const char *name); /* NULL: none */

/* ---- a chain ---- */
typedef struct sqz_augment_chain {
    sqz_augment_form form;
    sqz_chain_item *item;
    unsigned n; /* 0: samples stay as they are */
} sqz_augment_chain;
/* `text` for samples of `ds` in `layout` ("nchw", "nhwc"; NULL: what the set says, or the only axis
 * short enough for channels). All options are checked; lists in `a`. */
sqz_status sqz_augment_read(sqz_arena *a, const sqz_dataset *ds, const char *layout,
                            const char *text, sqz_augment_chain *out);
/* One sample; `room`: form.count numbers of scratch, used where n > 1. No two may overlap. */
void sqz_augment_sample(const sqz_augment_chain *c, uint64_t seed, uint64_t epoch, int64_t place,
                        const float *in, float *out, float *room);

/* ---- for rows of the table ---- */
typedef enum sqz_outside { SQZ_OUTSIDE_FILL, SQZ_OUTSIDE_EDGE, SQZ_OUTSIDE_WRAP } sqz_outside;
/* out[y][x] = in[y + dy][x + dx]; beyond the image: `fill`, the nearest pixel, or the other side.
 * |dy| <= h, |dx| <= w. */
void sqz_augment_move(const sqz_augment_form *f, int64_t dy, int64_t dx, sqz_outside outside,
                      float fill, const float *in, float *out);
/* Rows [y0, y1) x columns [x0, x1) become `fill`. */
void sqz_augment_paint(const sqz_augment_form *f, size_t y0, size_t y1, size_t x0, size_t x1,
                       float fill, float *out);
/* Uniform in -most .. most. */
int64_t sqz_augment_offset(sqz_rng *r, int64_t most);
/* The row `fill` of a schema. */
#define SQZ_AUGMENT_FILL(opts)                                                                     \
    {                                                                                              \
        .name = "fill", .offset = offsetof(opts, fill), .type = SQZ_A_FLOAT, .min = -1e30,         \
        .max = 1e30, .doc = "number put where nothing is known, in the units of the samples"       \
    }
/* Sizes beyond this are refused by the schema, whatever the samples. */
#define SQZ_AUGMENT_MOST 65536
#endif
