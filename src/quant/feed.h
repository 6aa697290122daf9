/* feed.h: inputs of layers, streamed in bounded memory. Both networks, the float one and the
 * quantized one as it stands so far, run over the calibration samples piece by piece: what is live
 * at the present cut is kept (in memory up to a limit, else in temporary files without a name), and
 * going on runs the nodes in between only. So whoever refines layers in execution order computes
 * every node once, and sees each layer's input behind the layers that are refined already. */
#ifndef SQZ_QUANT_FEED_H
#define SQZ_QUANT_FEED_H
#include "io/data.h"
#include "quant/site.h"

typedef enum sqz_flow_side { SQZ_FLOAT_SIDE, SQZ_QUANT_SIDE, SQZ_N_SIDE } sqz_flow_side;

typedef struct sqz_flow_options {
    sqz_dataset *ds;
    const char *layout; /* of the data; NULL: by shape */
    int64_t samples;    /* at most; taken evenly from the set; 0: 512 */
    int64_t batch;      /* 0: chosen by the shapes */
    size_t memory;      /* bytes of live values before files are used; 0: 128 MiB */
} sqz_flow_options;

typedef struct sqz_flow sqz_flow;
/* The cut lies in front of the first node. The graphs are read at each advance: codes that were
 * changed count from then on. quantized may be NULL: one side only. */
sqz_status sqz_flow_open(const sqz_graph *reference, const sqz_graph *quantized,
                         const sqz_flow_options *o, sqz_flow **out);
void sqz_flow_close(sqz_flow *f); /* NULL is fine */
/* Moves the cut in front of `node` (SQZ_NONE: behind the last one), which both graphs have. Never
 * backwards. */
sqz_status sqz_flow_advance(sqz_flow *f, sqz_nid node);
size_t sqz_flow_batches(const sqz_flow *f);
int64_t sqz_flow_batch(const sqz_flow *f); /* samples of each batch: all are whole */
/* Value v of a side, with the shape it has for a batch; NULL: it is not live at the cut. */
const sqz_value *sqz_flow_value(const sqz_flow *f, sqz_flow_side side, sqz_vid v);
size_t sqz_flow_count(const sqz_flow *f, sqz_flow_side side, sqz_vid v); /* numbers of a batch */
/* Real numbers of value v in batch i: sqz_flow_count of them; codes by their grid. */
sqz_status sqz_flow_read(sqz_flow *f, sqz_flow_side side, sqz_vid v, size_t i, float *out);
/* The same bytes as they are: codes stay codes. */
sqz_status sqz_flow_read_raw(sqz_flow *f, sqz_flow_side side, sqz_vid v, size_t i, void *out);

/* ---- patches: what the rows of a site are multiplied with ---- */
/* Patches (output pixels, or rows of a matrix) of a batch of the site at the cut. */
size_t sqz_patches(const sqz_flow *f, const sqz_site *s);
/* Patches at[0] .. at[n-1] of group g of the site's input x (a batch): n x cols. Padding gives 0.
 */
void sqz_patches_gather(const sqz_site *s, const float *x, size_t g, const size_t *at, size_t n,
                        float *out);

/* Means over patches of the site at the cut, with x of the float and x^ of the quantized network.
 * `centered`: of what is left once the means are taken off, as where the bias is free to move:
 * covariances. */
typedef struct sqz_site_moments {
    size_t groups, cols, rows;
    uint64_t n;      /* patches of each group */
    double *h;       /* groups x cols x cols: E[x^ x^^T], symmetric */
    double *t;       /* rows x cols: E[(W x) x^^T], W the float weights */
    double *yy;      /* rows: E[(W x)^2] */
    double *mx, *mq; /* groups x cols: E[x], E[x^] */
    double *my;      /* rows: E[W x] */
    bool centered;
} sqz_site_moments;
typedef struct sqz_moment_options {
    uint64_t patches; /* at most, spread evenly over the samples; 0: all */
    bool centered;
    bool means_only; /* h, t and yy stay NULL */
    uint64_t seed;
} sqz_moment_options;
/* Of the site whose node the cut lies in front of; memory in `a`. Sums of blocks in float, totals
 * in double, in an order that no thread changes. */
sqz_status sqz_site_measure(sqz_flow *f, const sqz_site *s, const float *weights,
                            const sqz_moment_options *o, sqz_arena *a, sqz_site_moments *out);
/* Mean over patches of (W x - W~ x^)^2 for each row, W~ = scale * (codes - zero) given as floats.
 */
void sqz_site_errors(const sqz_site_moments *m, const float *w, double *error);
#endif
