/* cmd.h: what a command is. One file per command, cmd_<name>.c, defines `sqz_cmd_<name>`; the build
 * lists them from the file names. The command line sees the public header and nothing else of ours.
 */
#ifndef SQZ_CMD_H
#define SQZ_CMD_H
#include "squeeze/squeeze.h"
#include <stdbool.h>
#include <stddef.h>

#define CLI_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Exit codes are part of the interface. */
enum {
    CLI_EXIT_DONE = 0,    /* every limit holds */
    CLI_EXIT_BROKEN = 1,  /* done, and a limit is broken */
    CLI_EXIT_INPUT = 2,   /* what the user gave is wrong */
    CLI_EXIT_MACHINE = 3, /* no memory, no disk, internal error */
    CLI_EXIT_BUDGET = 4,  /* the budget ran out with nothing that fits */
    CLI_EXIT_SIGNAL = 128 /* plus the number of the signal that stopped it */
};

typedef struct cli_list { /* of an option that may be given several times */
    const char *item[8];
    int32_t n;
} cli_list;

/* Everything that can be given on the command line. */
typedef struct cli_args {
    sqz_job job;
    cli_list teacher;                    /* job.teachers, once all is read */
    const char *table;                   /* list */
    const char *topic;                   /* help */
    const char *junit, *markdown, *html; /* files that get the report as well */
    int32_t github, json, quiet, verbose, help, version;
    int32_t markdown_all, bash; /* help: the whole reference; completion */
    int32_t threads;            /* 0: $SQZ_THREADS, else one per core */
} cli_args;

typedef enum cli_flag_id {
#define CLI_FLAG(id, name, letter, type, field, low, high, metavar, doc) CLI_##id,
#include "flags.def"
#undef CLI_FLAG
    CLI_END /* ends the list of a command */
} cli_flag_id;

typedef struct sqz_cmd {
    const char *name;
    const char *summary; /* half a line, for `squeeze help` */
    const char *usage;   /* what follows "squeeze " */
    const char *doc;     /* paragraphs, lines under 80 columns */
    const char *example; /* a command that works as it is written, then what it does */
    struct {             /* the argument without a dash; metavar NULL: takes none */
        const char *metavar;
        size_t offset; /* of a `const char *` in cli_args */
        bool required;
    } arg;
    const cli_flag_id *flags;                                               /* ends with CLI_END */
    sqz_status (*call)(sqz_ctx *ctx, const sqz_job *job, sqz_report **out); /* either this ... */
    int (*run)(const struct sqz_cmd *cmd,
               const cli_args *a); /* ... or this; hands back exit code */
} sqz_cmd;

extern const sqz_cmd *const cli_cmds[]; /* by name */
extern const size_t cli_n_cmds;
const sqz_cmd *cli_find(const char *name); /* NULL: none */

/* The arguments every model command takes. */
#define CLI_ARG_MODEL                                                                              \
    {                                                                                              \
        "MODEL", offsetof(cli_args, job.model), true                                               \
    }

/* work.c: a context for `a`, its warnings and progress on stderr. Exit code, CLI_EXIT_DONE: *out is
 * set.
 */
int cli_open(const sqz_cmd *cmd, const cli_args *a, sqz_ctx **out);
/* Runs cmd->call and shows its report. */
int cli_work(const sqz_cmd *cmd, const cli_args *a);
int cli_exit_code(sqz_status s, const char *sentence);
#endif
