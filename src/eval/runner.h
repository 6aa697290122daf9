/* runner.h: streams a data set through one or two graphs, batch by batch. */
#ifndef SQZ_RUNNER_H
#define SQZ_RUNNER_H
#include "exec/exec.h"
#include "io/data.h"

typedef struct sqz_runner_batch {
    int64_t first, n;
    const float *data, *label;             /* as the set has them; label NULL: none */
    const float *output;                   /* n x row of the first graph output */
    const float *reference;                /* of the reference graph, or NULL */
    const sqz_exec *exec, *reference_exec; /* for sqz_exec_value when keep_all */
} sqz_runner_batch;

typedef struct sqz_runner {
    const sqz_graph *graph, *reference; /* reference may be NULL */
    const float *reference_output; /* samples x row, in place of running a reference; or NULL */
    sqz_dataset *ds;
    const char *layout, *what; /* what: for progress */
    int64_t limit, batch;      /* 0: all, chosen */
    bool keep_all;
    sqz_profile *profile; /* to add to; NULL: not wanted */
    sqz_status (*see)(void *user, const sqz_runner_batch *b);
    void *user;
    /* filled */
    int64_t samples;
    size_t row;
    double seconds; /* spent in `graph` alone */
} sqz_runner;
sqz_status sqz_runner_run(sqz_runner *r);
#endif
