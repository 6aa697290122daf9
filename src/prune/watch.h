/* watch.h: what a float graph computes on samples. */
#ifndef SQZ_WATCH_H
#define SQZ_WATCH_H
#include "exec/exec.h"
#include "prune/student.h"

/* Runs at most `samples` samples, spread evenly over env->data, one after another; `hook` sees
 * every value of each. Ids are those of g. */
sqz_status sqz_watch(const sqz_graph *g, const sqz_student_env *env, int64_t samples,
                     sqz_exec_hook hook, void *user);
#endif
