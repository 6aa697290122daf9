/* source.h: samples of a data set by their place in the order of an epoch. Three ways, by what the
 * set allows:
 *   held      the set fits into `memory` (or lies there already): read once, any order;
 *   single    larger, and reading in any order costs the same: each sample is read when it is due;
 *   windows   larger, and going forwards is cheaper: a window of samples is held, the next is read
 *             little by little meanwhile. What is shuffled is the order of runs of samples that lie
 *             one behind the other, and the samples within a window; where going back starts at the
 *             beginning (gzip), only the latter. */
#ifndef SQZ_SOURCE_H
#define SQZ_SOURCE_H
#include "io/data.h"

/* ---- order (order.c) ---- */
/* place[n]: 0 .. n-1 in runs of `run` (the runs in random order), then shuffled within each window
 * of `window` places. run >= n keeps the order of runs, window <= 1 that of samples; run 1 or
 * window >= n is a uniform permutation. */
void sqz_order_make(uint64_t seed, uint64_t epoch, size_t n, size_t run, size_t window,
                    int64_t *place);
/* Fisher, Yates. */
void sqz_order_shuffle(sqz_rng *r, size_t n, int64_t *place);

/* ---- source ---- */
typedef struct sqz_source sqz_source;
typedef struct sqz_source_options {
    sqz_dataset *data;
    uint64_t seed;
    bool in_order;
    size_t memory; /* bytes of samples and labels that are held at most, but two batches */
    int64_t batch;
} sqz_source_options;
typedef struct sqz_drawn {
    int64_t place;  /* in the set */
    const float *x; /* its numbers */
    const float *y; /* its labels as the set has them; NULL: none */
} sqz_drawn;
/* Everything that needs the context of `data` happens here; afterwards a source uses one of its own
 * and may be used by another thread. */
sqz_status sqz_source_create(const sqz_source_options *o, sqz_source **out);
void sqz_source_free(sqz_source *s); /* NULL is fine; by the thread that created it */
/* Sample number `at` of the order of an epoch; what `out` points at is valid until the next call.
 */
sqz_status sqz_source_draw(sqz_source *s, uint64_t epoch, int64_t at, sqz_drawn *out);
/* The samples up to `at` of that order have been drawn: reads a share of what comes next. */
sqz_status sqz_source_ahead(sqz_source *s, uint64_t epoch, int64_t at);
/* The sentence of the last failure of draw and ahead. */
const char *sqz_source_error(const sqz_source *s);
/* Numbers of a sample and of its labels. */
size_t sqz_source_x(const sqz_source *s);
size_t sqz_source_y(const sqz_source *s);
#endif
