/* main.c: the table of commands, one file each, and the choice among them. */
#include "cmd.h"
#include "help.h"
#include "opts.h"
#include "out.h"
#include <stdio.h>
#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_cmd sqz_cmd_##name;
#include "sqz_cmd_list.inc"
#undef SQZ_ENTRY
const sqz_cmd *const cli_cmds[] = {
#define SQZ_ENTRY(name) &sqz_cmd_##name,
#include "sqz_cmd_list.inc"
#undef SQZ_ENTRY
};
const size_t cli_n_cmds = CLI_COUNT(cli_cmds);

const sqz_cmd *cli_find(const char *name)
{
    for (size_t i = 0; i < cli_n_cmds; i++)
        if (!strcmp(cli_cmds[i]->name, name))
            return cli_cmds[i];
    return NULL;
}

static int no_command(const char *name)
{
    const char *names[CLI_COUNT(cli_cmds)];
    for (size_t i = 0; i < cli_n_cmds; i++)
        names[i] = cli_cmds[i]->name;
    const char *near = cli_nearest(name, names, cli_n_cmds);
    if (near)
        cli_error(NULL, "no command '%s'; did you mean '%s'?", name, near);
    else
        cli_error(NULL, "no command '%s'; `squeeze help` lists what there is", name);
    return CLI_EXIT_INPUT;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        cli_help(stderr);
        return CLI_EXIT_INPUT;
    }
    const char *name = argv[1];
    name = !strcmp(name, "--help") || !strcmp(name, "-h") ? "help" : name;
    name = !strcmp(name, "--version") ? "version" : name;
    const sqz_cmd *cmd = cli_find(name);
    if (!cmd)
        return no_command(name);
    cli_args a = {.job = SQZ_JOB_INIT};
    if (!cli_parse(cmd, argc - 2, argv + 2, &a))
        return CLI_EXIT_INPUT;
    if (a.help) {
        cli_help_command(stdout, cmd);
        return CLI_EXIT_DONE;
    }
    return cmd->call ? cli_work(cmd, &a) : cmd->run(cmd, &a);
}

int main(int argc, char **argv) { return cli_finish(dispatch(argc, argv)); }
