/* synthetic.h: calibration samples where there are no data: inputs under which the network's
 * activations are distributed as its batch norms remember (Cai et al. 2020, "ZeroQ"). */
#ifndef SQZ_SYNTHETIC_H
#define SQZ_SYNTHETIC_H
#include "io/data.h"

typedef struct sqz_synthetic_options {
    int64_t samples; /* 0: 128 */
    int64_t steps;   /* of each batch of samples; 0: 300 */
    uint64_t seed;
    sqz_str *notes; /* how well it went, one line; NULL: not wanted */
} sqz_synthetic_options;
/* For a float graph after the canonical recipe, with one float input: means and standard deviations
 * are those that fold_bn keeps (sqz_value.normal). Refuses a network that has none. The set is
 * closed by sqz_data_close. */
sqz_status sqz_synthetic_data(const sqz_graph *g, const sqz_synthetic_options *o,
                              sqz_dataset **out);
#endif
