/* order.c: the order of samples in an epoch, a function of (seed, epoch). */
#include "base/draw.h"
#include "train/source.h"

#define ORDER 0x6f72646572u /* keeps these draws apart from those of others with the same seed */

void sqz_order_shuffle(sqz_rng *r, size_t n, int64_t *place)
{
    for (size_t i = n; i > 1; i--) {
        const size_t k = sqz_rng_below(r, i);
        const int64_t t = place[k];
        place[k] = place[i - 1];
        place[i - 1] = t;
    }
}

/* Runs in random order. The list of runs is shuffled in place[] and then spread, last run first:
 * as no run is empty, run i of the list begins at or after i, where nothing is needed any more. */
static void spread(sqz_rng *r, size_t n, size_t run, int64_t *place)
{
    const size_t runs = n / run + (n % run != 0), rest = n - (runs - 1) * run;
    for (size_t i = 0; i < runs; i++)
        place[i] = (int64_t)i;
    sqz_order_shuffle(r, runs, place);
    size_t end = n;
    for (size_t i = runs; i-- > 0;) {
        const int64_t which = place[i];
        const size_t count = (size_t)which == runs - 1 ? rest : run;
        for (size_t k = count; k-- > 0;)
            place[--end] = which * (int64_t)run + (int64_t)k;
    }
}

void sqz_order_make(uint64_t seed, uint64_t epoch, size_t n, size_t run, size_t window,
                    int64_t *place)
{
    sqz_rng r = {.seed = sqz_rng_key(seed, epoch, ORDER, 0)};
    window = SQZ_MAX(window, 1);
    if (run >= n || window >= n) /* one window mixes everything, whatever the runs */
        for (size_t i = 0; i < n; i++)
            place[i] = (int64_t)i;
    else
        spread(&r, n, run, place);
    for (size_t i = 0; i < n; i += window)
        sqz_order_shuffle(&r, SQZ_MIN(window, n - i), place + i);
}
