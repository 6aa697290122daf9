/* report_json.c: the document itself, for machines. */
#include "eval/report.h"

static sqz_status render(const sqz_report *r, sqz_str *out)
{
    char *text = cJSON_Print(r->root);
    if (!text)
        return sqz_fail(r->ctx, SQZ_E_NOMEM, "no memory for the report");
    sqz_str_add(out, text);
    sqz_str_add(out, "\n");
    cJSON_free(text);
    return SQZ_OK;
}

const sqz_report_format sqz_report_format_json = {
    .info = {.name = "json", .doc = "the whole document, for machines"}, .render = render};
