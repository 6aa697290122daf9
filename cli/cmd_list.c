/* squeeze list: the entries of the library's tables. */
#include "cmd.h"
#include "out.h"
#include <stdio.h>
#include <string.h>

static const char *const tables[] = {"op",     "pass",    "method",    "recipe",  "calib",
                                     "metric", "device",  "importer",  "data",    "kernel",
                                     "loss",   "augment", "optimizer", "schedule"};

/* `text`: lines of "name<TAB>what it does". */
static void show_text(const char *text)
{
    while (*text) {
        int name = (int)strcspn(text, "\t\n"), line = (int)strcspn(text, "\n");
        (void)printf("%-20.*s %.*s\n", name, text, line > name ? line - name - 1 : 0,
                     text + name + (line > name));
        text += line + (text[line] == '\n');
    }
}

static void json_part(const char *text, size_t n)
{
    char part[1024];
    (void)snprintf(part, sizeof part, "%.*s", (int)n, text);
    cli_json_text(part);
}

static void show_json(const char *table, const char *text)
{
    (void)printf("{\n\t\"squeeze_report\": 1,\n\t\"command\": \"list\",\n\t\"version\": \"%s\",\n"
                 "\t\"table\": \"%s\",\n\t\"entries\": [",
                 sqz_version(), table);
    for (const char *comma = ""; *text; comma = ",") {
        size_t name = strcspn(text, "\t\n"), line = strcspn(text, "\n");
        (void)printf("%s\n\t\t{\"name\": ", comma);
        json_part(text, name);
        (void)printf(", \"doc\": ");
        json_part(text + name + (line > name), line > name ? line - name - 1 : 0);
        (void)printf("}");
        text += line + (text[line] == '\n');
    }
    (void)printf("\n\t]\n}\n");
}

static int list_tables(bool json)
{
    if (json)
        (void)printf("{\n\t\"squeeze_report\": 1,\n\t\"command\": \"list\",\n\t\"version\": "
                     "\"%s\",\n\t\"tables\": [",
                     sqz_version());
    for (size_t i = 0; i < CLI_COUNT(tables); i++)
        (void)(json ? printf("%s\"%s\"", i ? ", " : "", tables[i]) : printf("%s\n", tables[i]));
    if (json)
        (void)printf("]\n}\n");
    return CLI_EXIT_DONE;
}

static int run(const sqz_cmd *cmd, const cli_args *a)
{
    sqz_ctx *ctx;
    const char *text;
    if (!a->table)
        return list_tables(a->json);
    int code = cli_open(cmd, a, &ctx);
    if (code != CLI_EXIT_DONE)
        return code;
    sqz_status s = sqz_list(ctx, a->table, &text);
    if (s != SQZ_OK)
        cli_error(cmd->name, "%s", sqz_last_error(ctx));
    else if (a->json)
        show_json(a->table, text);
    else
        show_text(text);
    code = cli_exit_code(s, sqz_last_error(ctx));
    sqz_ctx_free(ctx);
    return code;
}

static const cli_flag_id flags[] = {CLI_END};
const sqz_cmd sqz_cmd_list = {
    .name = "list",
    .summary = "operators, passes, calibrators, metrics and other tables",
    .usage = "list [TABLE] [OPTIONS]",
    .doc = "Without TABLE, names the tables of the library; with one, lists its entries and\n"
           "what each does.",
    .example = "  squeeze list op\n"
               "lists the operators that squeeze runs.",
    .arg = {"TABLE", offsetof(cli_args, table), false},
    .flags = flags,
    .run = run,
};
