/* opts.h: reading the command line by the table of flags. */
#ifndef SQZ_CLI_OPTS_H
#define SQZ_CLI_OPTS_H
#include "cmd.h"

typedef enum cli_type {
    CLI_TEXT,
    CLI_INT,
    CLI_SMALL,
    CLI_UINT,
    CLI_REAL,
    CLI_ON,
    CLI_MORE,
    CLI_LIST
} cli_type;
typedef struct cli_flag {
    const char *name;
    char letter; /* 0: none */
    cli_type type;
    size_t offset; /* in cli_args */
    int64_t low, high;
    const char *metavar; /* NULL: takes no value */
    const char *doc;
} cli_flag;
extern const cli_flag cli_flags[CLI_END];
/* What every command takes besides its own; ends with CLI_END. */
extern const cli_flag_id cli_common[];

/* Reads argv[0..argc) for `cmd` into `a`, which the caller has set to its defaults. false: the
 * sentence is on stderr. --help ends the reading, so that it works whatever else is missing. */
bool cli_parse(const sqz_cmd *cmd, int argc, char **argv, cli_args *a);
/* The name nearest to `name` among `n`, or NULL when none is near enough to be meant. */
const char *cli_nearest(const char *name, const char *const *names, size_t n);
#endif
