/* synthetic.h: samples where there are no data, to calibrate with (Cai et al. 2020, "ZeroQ") or to
 * distill from (Yin et al. 2020, "Dreaming to distill"): inputs under which the network's
 * activations are distributed as its batch norms remember; for distillation such that it is sure of
 * a class, each class in turn, and neighbors are alike. */
#ifndef SQZ_SYNTHETIC_H
#define SQZ_SYNTHETIC_H
#include "io/data.h"

typedef struct sqz_synthetic_options {
    int64_t samples; /* 0: 128 */
    int64_t steps;   /* of each batch of samples; 0: 300 */
    uint64_t seed;
    double one_hot;   /* weight of the cross-entropy with the class; 0: no class */
    double variation; /* weight of the mean squared difference of neighbors; 0: none */
    sqz_str *notes;   /* how well it went, one line; NULL: not wanted */
} sqz_synthetic_options;
/* For a float graph after the canonical recipe, with one float input: means and standard deviations
 * are those that fold_bn keeps (sqz_value.normal). Refuses a network that has none. The set is
 * closed by sqz_data_close. */
sqz_status sqz_synthetic_data(const sqz_graph *g, const sqz_synthetic_options *o,
                              sqz_dataset **out);
#endif
