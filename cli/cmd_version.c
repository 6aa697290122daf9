/* squeeze version. */
#include "cmd.h"
#include <stdio.h>

static int run(const sqz_cmd *cmd, const cli_args *a)
{
    (void)cmd;
    (void)printf(a->json ? "{\n\t\"squeeze_report\": 1,\n\t\"command\": \"version\",\n"
                           "\t\"version\": \"%s\"\n}\n"
                         : "squeeze %s\n",
                 sqz_version());
    return CLI_EXIT_DONE;
}

static const cli_flag_id flags[] = {CLI_END};
const sqz_cmd sqz_cmd_version = {
    .name = "version",
    .summary = "the version",
    .usage = "version",
    .doc = "Prints the version; every report and every model that squeeze writes carries it.",
    .example = "  squeeze version",
    .flags = flags,
    .run = run,
};
