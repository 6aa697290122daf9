/* hist.h: the two halves of sqz_hist_see, for collectors that spread one value over threads.
 *
 * scan (any thread) -> combine the parts of a sample in order -> take (one thread, samples in
 * order) -> fill (any thread, into counters of its own) -> drain (one thread). What fits the reach
 * that the histogram has already may be filled at once, and drained before the take. */
#ifndef SQZ_HIST_H
#define SQZ_HIST_H
#include "calib/calib.h"
#include "kernels/kernels.h"

/* Of a value with many numbers in a sample, ends are looked for in all, but no more are counted
 * than a histogram has use for: every n-th block or so, the same ones in every sample. */
#define SQZ_HIST_BLOCK  1024
#define SQZ_HIST_ENOUGH 32768 /* numbers of a sample */
typedef struct sqz_hist_pick {
    size_t first, every; /* block that a stretch begins with; 1: all are counted */
} sqz_hist_pick;
static inline size_t sqz_hist_every(size_t n) { return SQZ_MAX(n / SQZ_HIST_ENOUGH, 1u); }

typedef struct sqz_hist_part { /* totals of a stretch of numbers */
    float min, max;            /* +inf, -inf: none */
    uint64_t count, zeros;     /* of the blocks that are picked */
    uint64_t nonfinite, masked;
} sqz_hist_part;

/* Counters of one thread: two, used in turn, so that a run of equal numbers (zeros after a ReLU)
 * does not wait for its own last increment. Zero between uses. */
typedef struct sqz_hist_bins {
    uint32_t n[2][SQZ_HIST_BINS];
} sqz_hist_bins;
#define SQZ_HIST_STRETCH 65536 /* numbers that one scan or fill gets: far from 2^32 */

void sqz_hist_scan(sqz_scan_f32_fn scan, const float *x, size_t n, sqz_hist_pick pick,
                   sqz_hist_part *out);
void sqz_hist_combine(sqz_hist_part *a, const sqz_hist_part *b);
/* One whole sample: widens the histogram to hold it and adds the totals. */
void sqz_hist_take(sqz_hist *h, const sqz_hist_part *p);
/* Everything in the part fits this reach. */
static inline bool sqz_hist_fits(const sqz_hist_part *p, float reach)
{
    return !(p->min <= p->max) || (p->min > -reach && p->max < reach);
}
/* Counts what `part` was scanned from; `reach` is the histogram's after all takes. */
void sqz_hist_fill(const float *x, size_t n, const sqz_hist_part *part, float reach,
                   sqz_hist_pick pick, sqz_hist_bins *bins);
/* Adds the counters of bins that numbers of [lo, hi] within the reach can have touched, and clears
 * them. */
void sqz_hist_drain(sqz_hist *h, float lo, float hi, sqz_hist_bins *bins);
/* sqz_hist_see with a scan of the machine's. */
void sqz_hist_see_by(sqz_scan_f32_fn scan, sqz_hist *h, const float *x, size_t n);
#endif
