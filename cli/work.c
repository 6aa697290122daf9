/* work.c: a command that is one call of the library: context, call, report, exit code. */
#include "cmd.h"
#include "opts.h"
#include "out.h"
#include "progress.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the library says ---- */
typedef struct talk {
    cli_progress progress;
    sqz_log_level level;
    char error[1024]; /* the first logged one: often all of what the call fails with */
    unsigned n_error;
} talk;

static void say(talk *t, const char *word, const char *text)
{
    cli_progress_clear(&t->progress);
    (void)fprintf(stderr, "squeeze: %s: %s\n", word, text);
}

static void on_log(void *user, sqz_log_level level, const char *text)
{
    static const char *const word[] = {"error", "warning", "note", "debug"};
    talk *t = user;
    if (level == SQZ_LOG_ERROR && t->n_error++ == 0) {
        (void)snprintf(t->error, sizeof t->error, "%s", text);
        return;
    }
    if (level == SQZ_LOG_ERROR && t->n_error == 2)
        say(t, word[level], t->error);
    if (level <= t->level)
        say(t, word[level <= SQZ_LOG_DEBUG ? level : SQZ_LOG_DEBUG], text);
}

static int on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    return cli_progress_show(&((talk *)user)->progress, what, done, total);
}

/* ---- exit codes ---- */
int cli_exit_code(sqz_status s, const char *sentence)
{
    switch (s) {
    case SQZ_OK: return CLI_EXIT_DONE;
    case SQZ_E_GATE: return CLI_EXIT_BROKEN;
    case SQZ_E_BUDGET: return CLI_EXIT_BUDGET;
    case SQZ_E_NOMEM:
    case SQZ_E_INTERNAL: return CLI_EXIT_MACHINE;
    case SQZ_E_IO: /* what cannot be read is the user's to mend, what cannot be written the disk's
                    */
        return strstr(sentence, "cannot write") || strstr(sentence, "cannot create")
                   ? CLI_EXIT_MACHINE
                   : CLI_EXIT_INPUT;
    default: return CLI_EXIT_INPUT;
    }
}

/* ---- context: the environment is read before any thread begins ---- */
/* --threads, else $SQZ_THREADS, else 0: one per core. */
static bool threads_of(const sqz_cmd *cmd, const cli_args *a, int32_t *out)
{
    const char *text = a->threads ? NULL
                                  : getenv("SQZ_THREADS"); /* NOLINT(concurrency-mt-unsafe) */
    *out = a->threads;
    if (!text || !*text)
        return true;
    char *end;
    long n = strtol(text, &end, 10);
    if (*end || n < 1 || n > cli_flags[CLI_THREADS].high) {
        cli_error(cmd->name, "SQZ_THREADS wants a whole number from 1 to %d, not '%s'",
                  (int)cli_flags[CLI_THREADS].high, text);
        return false;
    }
    *out = (int32_t)n;
    return true;
}

/* $SQZ_ROWS, else as the model says. */
static bool rows_of(const sqz_cmd *cmd, int32_t *out)
{
    static const char *const name[] = {"model", "int8", "float"};
    const char *text = getenv("SQZ_ROWS"); /* NOLINT(concurrency-mt-unsafe) */
    for (size_t i = 0; text && *text && i < CLI_COUNT(name); i++)
        if (!strcmp(text, name[i])) {
            *out = (int32_t)i;
            return true;
        }
    if (!text || !*text)
        return true;
    cli_error(cmd->name, "SQZ_ROWS wants model, int8 or float, not '%s'", text);
    return false;
}

/* -v and -vv, else $SQZ_LOG, else warnings. */
static bool level_of(const sqz_cmd *cmd, const cli_args *a, sqz_log_level *out)
{
    static const char *const name[] = {"error", "warn", "info", "debug"};
    const char *text = a->verbose ? NULL : getenv("SQZ_LOG"); /* NOLINT(concurrency-mt-unsafe) */
    *out = a->verbose > 1 ? SQZ_LOG_DEBUG : a->verbose ? SQZ_LOG_INFO : SQZ_LOG_WARN;
    if (!text || !*text)
        return true;
    for (size_t i = 0; i < CLI_COUNT(name); i++)
        if (!strcmp(text, name[i])) {
            *out = (sqz_log_level)i;
            return true;
        }
    cli_error(cmd->name, "SQZ_LOG wants error, warn, info or debug, not '%s'", text);
    return false;
}

static int open_ctx(const sqz_cmd *cmd, const cli_args *a, talk *t, sqz_ctx **out)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    if (!threads_of(cmd, a, &o.threads) || !rows_of(cmd, &o.rows))
        return CLI_EXIT_INPUT;
    if (t) {
        cli_progress_begin(&t->progress, a->quiet);
        if (!level_of(cmd, a, &t->level))
            return CLI_EXIT_INPUT;
        o.log = on_log;
        o.progress = on_progress;
        o.log_user = o.progress_user = t;
    }
    sqz_status s = sqz_ctx_create(&o, out);
    if (s == SQZ_OK) {
        sqz_own_process(*out);
        return CLI_EXIT_DONE;
    }
    if (s ==
        SQZ_E_ARG) /* there is no context to hold a sentence: only the environment can be wrong */
        cli_error(cmd->name,
                  "cannot begin: SQZ_CPU names no instruction set that this machine has");
    else
        cli_error(cmd->name, "cannot begin: %s", sqz_status_name(s));
    return cli_exit_code(s, "");
}

int cli_open(const sqz_cmd *cmd, const cli_args *a, sqz_ctx **out)
{
    return open_ctx(cmd, a, NULL, out);
}

/* ---- report ---- */
static int write_copies(const sqz_cmd *cmd, sqz_ctx *ctx, const cli_args *a, sqz_report *r)
{
    const struct {
        const char *format, *path;
    } copy[] = {{"junit", a->junit}, {"markdown", a->markdown}, {"html", a->html}};
    for (size_t i = 0; i < CLI_COUNT(copy); i++) {
        if (!copy[i].path || a->job.dry_run)
            continue;
        sqz_status s = sqz_report_write(r, copy[i].format, copy[i].path);
        if (s != SQZ_OK) {
            cli_error(cmd->name, "%s", sqz_last_error(ctx));
            return cli_exit_code(s, sqz_last_error(ctx));
        }
    }
    return CLI_EXIT_DONE;
}

static int show(const sqz_cmd *cmd, sqz_ctx *ctx, const cli_args *a, sqz_report *r)
{
    const char *text;
    int code = write_copies(cmd, ctx, a, r);
    if (code != CLI_EXIT_DONE)
        return code;
    sqz_status s = sqz_report_render(r, a->json ? "json" : a->github ? "github" : "text", &text);
    if (s == SQZ_OK)
        (void)fputs(text, stdout);
    else
        cli_error(cmd->name, "%s", sqz_last_error(ctx));
    return cli_exit_code(s, sqz_last_error(ctx));
}

/* With --json a failure is a document as well. */
static void show_failure(const sqz_cmd *cmd, sqz_status s, const char *sentence, int code)
{
    (void)printf("{\n\t\"squeeze_report\": 1,\n\t\"command\": \"%s\",\n\t\"version\": \"%s\",\n",
                 cmd->name, sqz_version());
    (void)printf("\t\"exit\": %d,\n\t\"status\": %d,\n\t\"error\": ", code, (int)s);
    cli_json_text(sentence);
    (void)printf("\n}\n");
}

/* Copied before the report is rendered, which may leave another sentence. */
static int judge(const sqz_cmd *cmd, sqz_ctx *ctx, const cli_args *a, sqz_status s, sqz_report *r)
{
    char sentence[1024];
    (void)snprintf(sentence, sizeof sentence, "%s",
                   *sqz_last_error(ctx) ? sqz_last_error(ctx) : sqz_status_name(s));
    int code = cli_exit_code(s, sentence);
    if (s != SQZ_OK && !r && cli_signal()) {
        cli_error(cmd->name, "stopped by a signal; nothing was left half written");
        return CLI_EXIT_SIGNAL + cli_signal();
    }
    if (r) {
        int shown = show(cmd, ctx, a, r);
        if (shown != CLI_EXIT_DONE)
            return shown;
    } else if (a->json) {
        show_failure(cmd, s, sentence, code);
    }
    if (s != SQZ_OK)
        cli_error(cmd->name, "%s", sentence);
    return code;
}

int cli_work(const sqz_cmd *cmd, const cli_args *a)
{
    sqz_ctx *ctx = NULL;
    sqz_report *r = NULL;
    talk t = {0};
    int code = open_ctx(cmd, a, &t, &ctx);
    if (code != CLI_EXIT_DONE)
        return code;
    cli_signals();
    sqz_status s = cmd->call(ctx, &a->job, &r);
    cli_progress_clear(&t.progress);
    if (t.n_error == 1 && !strstr(sqz_last_error(ctx), t.error))
        say(&t, "error", t.error);
    code = judge(cmd, ctx, a, s, r);
    sqz_report_free(r);
    sqz_ctx_free(ctx);
    return code;
}
