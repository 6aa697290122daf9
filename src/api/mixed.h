/* mixed.h: bits of weights, layer by layer: what each costs, what it does to the outputs, and the
 * choice that does least under limits. */
#ifndef SQZ_API_MIXED_H
#define SQZ_API_MIXED_H
#include "api/api_fit.h"
#include "search/knapsack.h"

enum { SQZ_MIX_BITS = 4 };                               /* 8, 4, 3, 2 */
enum { SQZ_MIX_BYTES, SQZ_MIX_SECONDS, SQZ_MIX_JOULES }; /* costs */

typedef struct sqz_mix_layer {
    sqz_nid node;
    uint64_t weights;
    double loss[SQZ_MIX_BITS];  /* what these bits, in this layer alone, add to the distance */
    double proxy[SQZ_MIX_BITS]; /* noise that they put on its own output, relative to the signal */
    double cost[SQZ_MIX_BITS][SQZ_KNAPSACK_COSTS];
    unsigned pick; /* of the last choice */
} sqz_mix_layer;

typedef struct sqz_mix {
    sqz_fit_state *f;
    sqz_recipe base; /* weights of 8 bits, without refinements */
    unsigned n_bits;
    int bits[SQZ_MIX_BITS];
    sqz_mix_layer *layer;
    uint32_t n;
    double fixed[SQZ_KNAPSACK_COSTS]; /* what all else costs */
    double distance;                  /* of base */
    bool measured;                    /* losses are; else they are proxies */
    double loss, bound;               /* of the last choice */
    bool feasible;
    struct sqz_mix_choice *choices; /* what was chosen for each trial */
} sqz_mix;

/* Costs and losses of every layer of `r` with weights; losses on calibration data. */
sqz_status sqz_mix_open(sqz_mix *m, sqz_fit_state *f, const sqz_recipe *r);
/* The choice of least loss whose costs, all else included, keep the limits (INFINITY: none), as
 * `r` with the option bits. */
sqz_status sqz_mix_choose(sqz_mix *m, const double limit[SQZ_KNAPSACK_COSTS], const sqz_recipe *r,
                          sqz_recipe *out);
/* Bytes of all constants when every layer has bits[k]. */
double sqz_mix_bytes(const sqz_mix *m, unsigned k);
/* Keeps the last choice as that of a trial; goes back to that of a trial (none: all of 8
 * bits). */
sqz_status sqz_mix_keep(sqz_mix *m, const sqz_trial *t);
void sqz_mix_recall(sqz_mix *m, const sqz_trial *t);
void sqz_describe_mix(const sqz_mix *m);

/* ---- choosing by itself (auto.c) ---- */
/* Tries int8, then fewer and fewer bytes as long as the accuracy asked for holds; int8 with layers
 * float when even that does not hold. *best: the cheapest that does, NULL: none. */
sqz_status sqz_auto_cheapest(sqz_fit_state *f, const sqz_recipe *r, sqz_mix *m,
                             const sqz_trial **best);
/* Limits on the costs: of the device, and --target-size; INFINITY: none. */
sqz_status sqz_auto_limits(const sqz_fit_state *f, double limit[SQZ_KNAPSACK_COSTS]);
/* Bits that keep these limits, verified on the model that was made. */
sqz_status sqz_auto_within(sqz_fit_state *f, const sqz_recipe *r, const double *limit, sqz_mix *m,
                           const sqz_trial **best);
#endif
