/* allreduce.h: training on several processes (MPI, where the build has it: SQUEEZE_MPI). Each takes
 * its part of every batch; statistics of batch norms (sqz_tape_options.team) and gradients are of
 * the whole batch, so that all of them stay at the same numbers. */
#ifndef SQZ_ALLREDUCE_H
#define SQZ_ALLREDUCE_H
#include "ops/team.h"
#include "train/tape.h"

/* The processes that mpirun has started; a team of one without MPI or mpirun. */
sqz_status sqz_team_join(sqz_ctx *ctx, sqz_team **out);
void sqz_team_leave(sqz_ctx *ctx, sqz_team *t); /* all of them; NULL is fine */
/* v[i] becomes the mean over the team. */
sqz_status sqz_team_mean(const sqz_team *t, float *v, size_t n);
/* After backward: the gradients of n wanted values become those of the whole batch, for losses that
 * are a mean over the batch. */
sqz_status sqz_team_gradients(const sqz_team *t, const sqz_tape *tape, const sqz_vid *want,
                              uint32_t n);
#endif
