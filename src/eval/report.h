/* report.h: the result of a command: a JSON document for machines, and a view (headings, text,
 * tables, charts) that is rendered alike in a terminal, as Markdown and as a self-contained HTML
 * page. */
#ifndef SQZ_REPORT_H
#define SQZ_REPORT_H
#include "base/base.h"
#include <cjson/cJSON.h>

typedef enum sqz_block_kind {
    SQZ_B_HEADING,
    SQZ_B_TEXT,
    SQZ_B_TABLE,
    SQZ_B_CHART,
    SQZ_B_PICTURE
} sqz_block_kind;
typedef struct sqz_row {
    const char **cell;
    struct sqz_row *next;
} sqz_row;
typedef struct sqz_block {
    sqz_block_kind kind;
    const char *text; /* heading, paragraph, caption of a chart */
    unsigned n_column;
    const char **column; /* heads; one that begins with '>' is right-aligned */
    sqz_row *first, *last;
    unsigned n_row;
    const char *config; /* chart: Chart.js configuration as JSON; picture: an SVG element */
    bool detail;        /* left out in the terminal */
    struct sqz_block *next;
} sqz_block;

struct sqz_report {
    sqz_ctx *ctx;
    cJSON *root; /* "squeeze_report": 1, "command", "version", then per command; docs/reports.md */
    sqz_arena arena;
    sqz_block *first, *last;
    bool detail;       /* of blocks that are added from now on */
    sqz_status status; /* first failure while building; sqz_report_done hands it back */
    char *text;        /* last rendering */
};
sqz_status sqz_report_new(sqz_ctx *ctx, const char *command, sqz_report **out);
sqz_status sqz_report_done(sqz_report *r);

/* JSON: failures (no memory) are kept in r->status. `parent` NULL: the root. */
cJSON *sqz_json_object(sqz_report *r, cJSON *parent,
                       const char *key); /* key NULL: append to an array */
cJSON *sqz_json_array(sqz_report *r, cJSON *parent, const char *key);
void sqz_json_num(sqz_report *r, cJSON *parent, const char *key,
                  double v); /* NaN and infinity become null */
void sqz_json_str(sqz_report *r, cJSON *parent, const char *key, const char *v);
void sqz_json_bool(sqz_report *r, cJSON *parent, const char *key, bool v);

/* View. Columns and cells are separated by '|'; cells are made by the format first. */
SQZ_PRINTF(2, 3) void sqz_view_heading(sqz_report *r, const char *fmt, ...);
SQZ_PRINTF(2, 3) void sqz_view_text(sqz_report *r, const char *fmt, ...);
void sqz_view_table(sqz_report *r, const char *columns);
SQZ_PRINTF(2, 3) void sqz_view_row(sqz_report *r, const char *fmt, ...);
/* A Chart.js configuration: `type` is "bar", "line" or "scatter". A series is an array to which
 * numbers, or for scatter points, are added; labels name the places of a bar or line. Lack of
 * memory shows when the chart is added. */
cJSON *sqz_chart_new(const char *type);
cJSON *sqz_chart_series(cJSON *config, const char *label, const char *color);
void sqz_chart_place(cJSON *config, cJSON *series, const char *label, double value);
void sqz_chart_point(cJSON *series, double x, double y);
/* Takes over `config`. */
void sqz_view_chart(sqz_report *r, const char *caption, cJSON *config);
/* A small picture, in the page only; several in a row stand side by side. `svg` is one element
 * whose text holds nothing of a file: it is written as it is. */
void sqz_view_picture(sqz_report *r, const char *caption, const char *svg);

#define SQZ_COLOR_GOOD "#1a73e8"
#define SQZ_COLOR_BAD  "#b3261e"

/* Rows of report_<format>.c: json text markdown junit github html. */
typedef struct sqz_report_format {
    sqz_info info;
    sqz_status (*render)(const sqz_report *r, sqz_str *out);
} sqz_report_format;
extern const sqz_report_format *const sqz_report_formats[];
extern const size_t sqz_n_report_formats;
#endif
