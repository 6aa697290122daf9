/* lossless.h: channels that can leave without a change. */
#ifndef SQZ_LOSSLESS_H
#define SQZ_LOSSLESS_H
#include "prune/student.h"

typedef struct sqz_lossless {
    uint32_t unread;   /* classes that weights of zero read, or nothing that stays */
    uint32_t constant; /* classes that are one number, the same on all samples, wherever they are
                          read: what they add is in the biases behind */
    uint64_t before, after; /* numbers in constants */
} sqz_lossless;
/* Takes classes of indices out of a float graph where that changes no output: those that nothing
 * reads, and, with env->data, those that are constant on its samples (at most `samples`, 0: 512).
 * On other data a channel that was constant may not have been: the more samples the better. */
sqz_status sqz_prune_lossless(const sqz_graph *g, const sqz_student_env *env, int64_t samples,
                              sqz_lossless *found, sqz_graph **out);
#endif
