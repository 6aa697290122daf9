/* out.c: standard output that is checked, errors in one form. */
#include "out.h"
#include "cmd.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cli_error(const char *command, const char *fmt, ...)
{
    va_list ap;
    (void)fflush(stdout); /* where both are the same terminal, the order should be that of time */
    (void)fprintf(stderr, command ? "squeeze %s: " : "squeeze: ", command);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

void cli_json_text(const char *text)
{
    (void)putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            (void)printf("\\%c", c);
        else if (c < 0x20)
            (void)printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)putchar('"');
}

static const char *reason(char buffer[128]) { return strerror_r(errno, buffer, 128); }

int cli_finish(int code)
{
    char buffer[128];
    const char *why = ""; /* a failure before this one has left no reason */
    if (ferror(stdout) == 0) {
        if (fflush(stdout) == 0)
            return code;
        why = reason(buffer);
    }
    (void)fprintf(stderr, "squeeze: cannot write to standard output%s%s\n", *why ? ": " : "", why);
    return CLI_EXIT_MACHINE;
}
