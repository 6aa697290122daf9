/* calib.h: activation ranges from data, in bounded memory: one histogram per value, no data kept.
 */
#ifndef SQZ_CALIB_H
#define SQZ_CALIB_H
#include "io/data.h"
#include "ir/op.h"

/* Streaming statistics of one value (hist.c). Counters are integers and the range only ever doubles
 * with an exact pairwise merge, so results do not depend on batch size, order of merging or
 * threads.
 *
 * Bins are equal and mirrored at 0: with w = 2 * reach / SQZ_HIST_BINS, bin BINS/2 + k holds
 * [k w, (k+1) w) and bin BINS/2 - 1 - k holds (-(k+1) w, -k w], without +0 and -0, which are in the
 * first. Values that no grid can hold are counted and else ignored: NaN and whatever is above
 * SQZ_HIST_LIMIT in `nonfinite`, what is below -SQZ_HIST_LIMIT (attention masks of -inf, -3.4e38)
 * in `masked`. */
#define SQZ_HIST_BINS  8192
#define SQZ_HIST_LIMIT 1e30f
#define SQZ_HIST_EMA   0.01 /* weight of the newest sample in the moving average */
typedef struct sqz_hist {
    uint64_t bin[SQZ_HIST_BINS];
    float reach;    /* power of two above all magnitudes; 0: nothing seen yet */
    float min, max; /* exact; +inf, -inf while nothing is seen */
    uint64_t count,
        zeros; /* values in the bins (hist.h: not all of large ones); zeros among them */
    uint64_t nonfinite, masked;
    double ema_lo, ema_hi; /* moving sums of per-sample min and max, from 0: see calib_ema.c */
    uint64_t batches;      /* samples seen */
    bool ends_only;        /* bins are not counted, only min, max and totals */
} sqz_hist;
void sqz_hist_begin(sqz_hist *h);
void sqz_hist_see(sqz_hist *h, const float *x, size_t n); /* one sample */
/* `from` counts as seen after `into`. */
void sqz_hist_merge(sqz_hist *into, const sqz_hist *from);
/* Lower edge of bin i; i == SQZ_HIST_BINS: upper edge of the last. */
static inline double sqz_hist_edge(const sqz_hist *h, size_t i)
{
    const double half = SQZ_HIST_BINS / 2.0;
    return ((double)i - half) * ((double)h->reach / half);
}
/* Bins first .. last-1 hold everything that was seen; 0, 0 when nothing was. */
void sqz_hist_span(const sqz_hist *h, size_t *first, size_t *last);
/* Share of what was seen that lies outside of r; within a bin spread evenly. */
double sqz_hist_outside(const sqz_hist *h, sqz_range r);

/* A calibrator turns a histogram into a range: calib_minmax.c ema percentile entropy mse. `levels`
 * of the grid (256 for int8); `symmetric` grids are centred on 0. */
typedef struct sqz_calib {
    sqz_info info;
    /* h holds at least one value. */
    sqz_status (*range)(sqz_ctx *ctx, const sqz_hist *h, const void *opts, unsigned levels,
                        bool symmetric, sqz_range *out);
} sqz_calib;
extern const sqz_calib *const sqz_calibs[];
extern const size_t sqz_n_calibs;
const sqz_calib *sqz_calib_find(const char *name);
/* The range by calibrator c: finite, lo <= hi, inside of what was seen; 0, 0 when nothing was; what
 * was seen when the histogram has its ends only. */
sqz_status sqz_calib_range(sqz_ctx *ctx, const sqz_calib *c, const void *opts, const sqz_hist *h,
                           unsigned levels, bool symmetric, sqz_range *out);

/* "percentile(p=99.9)" -> the entry and its options, in `a`. */
sqz_status sqz_calib_spec(sqz_arena *a, const char *spec, const sqz_calib **c, const void **opts);

/* Histograms of every float activation of a graph over a data set. */
typedef struct sqz_stats {
    sqz_arena arena;
    uint32_t n;
    struct {
        const char *name; /* of the value */
        sqz_vid value;
        /* Views of the same numbers share one. Values that only a clamp reads have ends_only: they
         * take the clamp's grid. */
        sqz_hist *hist;
    } * item;
    uint64_t samples;
    char data_checksum[65];
} sqz_stats;
sqz_status sqz_stats_collect(const sqz_graph *g, sqz_dataset *ds, const char *layout,
                             int64_t samples, int64_t batch, sqz_stats **out);
void sqz_stats_free(sqz_ctx *ctx, sqz_stats *s);

/* Place of sample k of `total` in a set of n: one at random from each of `total` equal pieces. The
 * whole set is seen, and a set whose classes alternate is not met always at the same one. */
int64_t sqz_sample_at(int64_t k, int64_t n, int64_t total);

/* Ranges by value name: what ranges.json holds (docs/quantization.md). People may edit it: lo and
 * hi, or "calibrator", per value. */
typedef struct sqz_ranges {
    sqz_arena arena;
    uint32_t n;
    struct {
        const char *name;
        sqz_range range;  /* what quantization uses; lo NaN: to be computed by `rule` */
        float min, max;   /* seen; NaN: not known */
        double clipped;   /* share of samples outside range; NaN: not known */
        const char *rule; /* "mse", "percentile(p=99.9)", ... or "user" */
    } * item;
    const char *calibrator; /* rule of most values, NULL: not known */
    uint64_t samples;
    char data_checksum[65];
} sqz_ranges;
/* spec: "percentile" or "percentile(p=99.99)". */
sqz_status sqz_ranges_from_stats(sqz_ctx *ctx, const sqz_stats *s, const char *spec,
                                 sqz_ranges **out);
/* The same for activations of other than 8 bits, 2 .. 16. */
sqz_status sqz_ranges_for_bits(sqz_ctx *ctx, const sqz_stats *s, const char *spec, unsigned bits,
                               sqz_ranges **out);
/* Computes what is left to be computed, each value by its own rule. Values that `s` does not have
 * are an error that names them. */
sqz_status sqz_ranges_resolve(sqz_ctx *ctx, sqz_ranges *r, const sqz_stats *s);
bool sqz_ranges_complete(const sqz_ranges *r); /* nothing is left to be computed */
sqz_status sqz_ranges_load(sqz_ctx *ctx, const char *path, sqz_ranges **out);
sqz_status sqz_ranges_parse(sqz_ctx *ctx, const char *name, const char *text, size_t bytes,
                            sqz_ranges **out);
sqz_status sqz_ranges_save(sqz_ctx *ctx, const sqz_ranges *r, const char *path);
sqz_status sqz_ranges_print(const sqz_ranges *r, sqz_str *out); /* what save writes */
void sqz_ranges_free(sqz_ctx *ctx, sqz_ranges *r);              /* NULL is fine */
/* Sets value->range of the values that are named; *unknown (may be NULL): how many names the graph
 * does not have. */
sqz_status sqz_ranges_apply(const sqz_ranges *r, sqz_graph *g, uint32_t *unknown);
#endif
