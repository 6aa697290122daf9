/* report.h: the result of a command as one JSON document, and its renderings. */
#ifndef SQZ_REPORT_H
#define SQZ_REPORT_H
#include "base/base.h"

struct cJSON;
struct sqz_report {
    sqz_ctx *ctx;
    struct cJSON
        *root;  /* "squeeze_report": 1, "command": "...", then per command; docs/reports.md */
    char *text; /* last rendering */
};
sqz_status sqz_report_new(sqz_ctx *ctx, const char *command, sqz_report **out);
/* Rows of report_<format>.c: json text markdown junit github html. NULL from `render` for a command
 * it has no form for: SQZ_E_ARG that lists the formats. */
typedef struct sqz_report_format {
    sqz_info info;
    sqz_status (*render)(const sqz_report *r, sqz_str *out);
} sqz_report_format;
extern const sqz_report_format *const sqz_report_formats[];
extern const size_t sqz_n_report_formats;
#endif
