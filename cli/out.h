/* out.h: the two streams. Results go to standard output, talk to standard error. */
#ifndef SQZ_CLI_OUT_H
#define SQZ_CLI_OUT_H
#include <stddef.h>

#define CLI_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))

/* "squeeze COMMAND: <sentence>" on stderr; command NULL: "squeeze: <sentence>". */
CLI_PRINTF(2, 3) void cli_error(const char *command, const char *fmt, ...);
/* Text as a JSON string, quotes included, on stdout. */
void cli_json_text(const char *text);
/* What the process should exit with: a full disk under stdout must not look like success. */
int cli_finish(int code);
#endif
