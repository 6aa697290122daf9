/* progress.h: how far a long job is, on standard error. */
#ifndef SQZ_CLI_PROGRESS_H
#define SQZ_CLI_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

typedef struct cli_progress {
    bool quiet, terminal; /* a terminal gets a bar, a file or pipe a line now and then */
    bool shown;           /* the bar is on the screen */
    double begin, last;   /* of this step; of the last thing written */
    uint64_t first;       /* `done` at `begin` */
    char what[64];        /* the step */
} cli_progress;

void cli_progress_begin(cli_progress *p, bool quiet);
/* A sqz_progress_fn. Non-zero once a signal has asked to stop. */
int cli_progress_show(void *progress, const char *what, uint64_t done, uint64_t total);
/* Takes the bar off the screen, before anything else is written there. */
void cli_progress_clear(cli_progress *p);

/* From now on the first Ctrl-C (or termination) is seen by cli_progress_show, a second one kills.
 */
void cli_signals(void);
int cli_signal(void); /* the signal that came, or 0 */
#endif
