/* help.h: the texts of help, all made from the tables of commands and flags. */
#ifndef SQZ_CLI_HELP_H
#define SQZ_CLI_HELP_H
#include "cmd.h"
#include <stdio.h>

void cli_help(FILE *f);                             /* squeeze help */
void cli_help_command(FILE *f, const sqz_cmd *cmd); /* squeeze help COMMAND */
void cli_help_markdown(void);                       /* docs/cli.md, on stdout */
void cli_help_bash(void);                           /* completion, on stdout */
#endif
