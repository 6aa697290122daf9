/* squeeze help: texts made from the tables of commands and flags. */
#include "cmd.h"
#include "help.h"
#include "out.h"

static int run(const sqz_cmd *cmd, const cli_args *a)
{
    const sqz_cmd *topic = a->topic ? cli_find(a->topic) : NULL;
    if (a->topic && !topic) {
        cli_error(cmd->name, "no command '%s'; `squeeze help` lists what there is", a->topic);
        return CLI_EXIT_INPUT;
    }
    if (a->markdown_all)
        cli_help_markdown();
    else if (a->bash)
        cli_help_bash();
    else if (topic)
        cli_help_command(stdout, topic);
    else
        cli_help(stdout);
    return CLI_EXIT_DONE;
}

static const cli_flag_id flags[] = {CLI_MARKDOWN_ALL, CLI_BASH, CLI_END};
const sqz_cmd sqz_cmd_help = {
    .name = "help",
    .summary = "what there is, and how to use it",
    .usage = "help [COMMAND] [OPTIONS]",
    .doc = "Shows the commands, or one command with its options and an example.",
    .example = "  squeeze help fit",
    .arg = {"COMMAND", offsetof(cli_args, topic), false},
    .flags = flags,
    .run = run,
};
