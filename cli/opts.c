/* opts.c: the command line, read by the table of flags. */
#include "opts.h"
#include "out.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_flag cli_flags[CLI_END] = {
#define CLI_FLAG(id, name, letter, type, field, low, high, metavar, doc)                           \
    [CLI_##id] = {name, letter, CLI_##type, offsetof(cli_args, field), low, high, metavar, doc},
#include "flags.def"
#undef CLI_FLAG
};

const cli_flag_id cli_common[] = {CLI_JSON, CLI_QUIET, CLI_VERBOSE, CLI_HELP, CLI_END};

/* ---- nearest name ---- */
#define LONGEST_NAME 40
static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits (insert, remove, change) from a to b, row by row. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[LONGEST_NAME + 1];
    size_t n = strlen(b);
    if (n > LONGEST_NAME || strlen(a) > LONGEST_NAME)
        return LONGEST_NAME;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            unsigned above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *name, const char *const *names, size_t n)
{
    const char *best = NULL;
    unsigned least_edits = (unsigned)strlen(name) / 3 + 2; /* further than this is another word */
    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(name, names[i]);
        if (d < least_edits) {
            least_edits = d;
            best = names[i];
        }
    }
    return best;
}

/* ---- one flag ---- */
static const cli_flag *among(const cli_flag_id *ids, const char *name, size_t len, char letter)
{
    for (; *ids != CLI_END; ids++) {
        const cli_flag *f = &cli_flags[*ids];
        if (letter ? f->letter == letter : strlen(f->name) == len && !memcmp(f->name, name, len))
            return f;
    }
    return NULL;
}

static const cli_flag *find(const sqz_cmd *cmd, const char *name, size_t len, char letter)
{
    const cli_flag *f = among(cmd->flags, name, len, letter);
    return f ? f : among(cli_common, name, len, letter);
}

static bool unknown(const sqz_cmd *cmd, const char *name, size_t len)
{
    const char *names[2 * CLI_END], *near = NULL;
    char word[LONGEST_NAME + 1] = "";
    size_t n = 0;
    for (const cli_flag_id *i = cmd->flags; *i != CLI_END; i++)
        names[n++] = cli_flags[*i].name;
    for (const cli_flag_id *i = cli_common; *i != CLI_END; i++)
        names[n++] = cli_flags[*i].name;
    if (len <= LONGEST_NAME) {
        memcpy(word, name, len);
        near = cli_nearest(word, names, n);
    }
    if (near)
        cli_error(cmd->name, "unknown option '--%.*s'; did you mean '--%s'?", (int)len, name, near);
    else
        cli_error(cmd->name, "unknown option '--%.*s'; `squeeze help %s` lists what there is",
                  (int)len, name, cmd->name);
    return false;
}

static bool read_number(const char *text, int64_t low, int64_t high, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < low || v > high)
        return false;
    *out = v;
    return true;
}

static bool set_real(const sqz_cmd *cmd, const cli_flag *f, const char *value, double *out)
{
    char *end;
    errno = 0;
    const double v = strtod(value, &end);
    if (end != value && !*end && !errno && v >= (double)f->low && v <= (double)f->high) {
        *out = v;
        return true;
    }
    cli_error(cmd->name, "--%s wants a number from %" PRId64 " to %" PRId64 ", not '%s'", f->name,
              f->low, f->high, value);
    return false;
}

static bool set_next(const sqz_cmd *cmd, const cli_flag *f, const char *value, cli_list *list)
{
    if (list->n == (int32_t)CLI_COUNT(list->item)) {
        cli_error(cmd->name, "--%s is given more than %d times", f->name, (int)list->n);
        return false;
    }
    list->item[list->n++] = value;
    return true;
}

static bool set(const sqz_cmd *cmd, const cli_flag *f, const char *value, cli_args *a)
{
    void *field = (char *)a + f->offset;
    int64_t number = 0;
    bool is_number = f->type == CLI_INT || f->type == CLI_SMALL || f->type == CLI_UINT;
    if (is_number && !read_number(value, f->low, f->high, &number)) {
        if (f->high == INT64_MAX)
            cli_error(cmd->name, "--%s wants a whole number of at least %" PRId64 ", not '%s'",
                      f->name, f->low, value);
        else
            cli_error(cmd->name,
                      "--%s wants a whole number from %" PRId64 " to %" PRId64 ", not '%s'",
                      f->name, f->low, f->high, value);
        return false;
    }
    if ((f->type == CLI_TEXT || f->type == CLI_LIST) && !*value) {
        cli_error(cmd->name, "--%s wants a value, not an empty text", f->name);
        return false;
    }
    switch (f->type) {
    case CLI_TEXT: *(const char **)field = value; break;
    case CLI_INT: *(int64_t *)field = number; break;
    case CLI_SMALL: *(int32_t *)field = (int32_t)number; break;
    case CLI_UINT: *(uint64_t *)field = (uint64_t)number; break;
    case CLI_REAL: return set_real(cmd, f, value, field);
    case CLI_ON: *(int32_t *)field = 1; break;
    case CLI_MORE: ++*(int32_t *)field; break;
    case CLI_LIST: return set_next(cmd, f, value, field);
    }
    return true;
}

/* Where we are in argv. */
typedef struct reader {
    const sqz_cmd *cmd;
    char **argv;
    int argc, at;
    cli_args *args;
} reader;

static bool value_of(reader *r, const cli_flag *f, const char *glued)
{
    if (!f->metavar && glued) {
        cli_error(r->cmd->name, "--%s takes no value, got '%s'", f->name, glued);
        return false;
    }
    if (f->metavar && !glued) {
        if (r->at + 1 >= r->argc) {
            cli_error(r->cmd->name, "--%s wants a value: --%s %s", f->name, f->name, f->metavar);
            return false;
        }
        glued = r->argv[++r->at];
    }
    return set(r->cmd, f, glued ? glued : "", r->args);
}

static bool long_flag(reader *r, const char *text) /* after the dashes: "name" or "name=value" */
{
    size_t len = strcspn(text, "=");
    const cli_flag *f = find(r->cmd, text, len, 0);
    if (!f)
        return unknown(r->cmd, text, len);
    return value_of(r, f, text[len] ? text + len + 1 : NULL);
}

static bool short_flags(reader *r, const char *text) /* after the dash: "vv", "o", "oPATH" */
{
    for (; *text; text++) {
        const cli_flag *f = find(r->cmd, "", 0, *text);
        if (!f) {
            cli_error(r->cmd->name, "unknown option '-%c'; `squeeze help %s` lists what there is",
                      *text, r->cmd->name);
            return false;
        }
        if (f->metavar)
            return value_of(r, f, text[1] ? text + 1 : NULL);
        if (!set(r->cmd, f, "", r->args))
            return false;
    }
    return true;
}

static bool plain(reader *r, const char *text)
{
    const char **to = r->cmd->arg.metavar
                          ? (const char **)(void *)((char *)r->args + r->cmd->arg.offset)
                          : NULL;
    if (to && !*to && *text) {
        *to = text;
        return true;
    }
    if (to && *to)
        cli_error(r->cmd->name, "one %s is expected, got '%s' and '%s'", r->cmd->arg.metavar, *to,
                  text);
    else
        cli_error(r->cmd->name, "unexpected argument '%s'; usage: squeeze %s", text, r->cmd->usage);
    return false;
}

bool cli_parse(const sqz_cmd *cmd, int argc, char **argv, cli_args *a)
{
    reader r = {cmd, argv, argc, 0, a};
    bool flags = true; /* until "--" */
    for (; r.at < argc && !a->help; r.at++) {
        const char *text = argv[r.at];
        bool ok;
        if (flags && !strcmp(text, "--")) {
            flags = false;
            continue;
        }
        if (flags && !strncmp(text, "--", 2))
            ok = long_flag(&r, text + 2);
        else if (flags && text[0] == '-' && text[1])
            ok = short_flags(&r, text + 1);
        else
            ok = plain(&r, text);
        if (!ok)
            return false;
    }
    a->job.teachers = a->teacher.item;
    a->job.n_teachers = a->teacher.n;
    if (!a->help && cmd->arg.required && !*(const char **)(void *)((char *)a + cmd->arg.offset)) {
        cli_error(cmd->name, "no %s is given; usage: squeeze %s", cmd->arg.metavar, cmd->usage);
        return false;
    }
    return true;
}
