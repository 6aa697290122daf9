/* report_github.c: the checks of `squeeze check` as GitHub workflow annotations. */
#include "eval/report.h"

/* Properties and messages of a workflow command: %, CR, LF (and in properties : and ,) are escaped.
 */
static void add_escaped(sqz_str *out, const char *text, bool property)
{
    for (; text && *text; text++) {
        if (*text == '%' || *text == '\r' || *text == '\n' ||
            (property && (*text == ':' || *text == ',')))
            sqz_str_addf(out, "%%%02X", (unsigned)(unsigned char)*text);
        else
            sqz_str_addn(out, text, 1);
    }
}

static sqz_status render(const sqz_report *r, sqz_str *out)
{
    const cJSON *checks = cJSON_GetObjectItemCaseSensitive(r->root, "checks"), *c;
    const char *model = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(r->root, "model"));
    if (!checks)
        return sqz_fail(r->ctx, SQZ_E_ARG, "github is a format of `squeeze check` alone");
    sqz_str_add(out, "");
    cJSON_ArrayForEach(c, checks)
    {
        bool broken = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(c, "holds"));
        sqz_str_addf(out, "::%s file=", broken ? "error" : "notice");
        add_escaped(out, model, true);
        sqz_str_add(out, ",title=squeeze ");
        add_escaped(out, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "name")), true);
        sqz_str_add(out, "::");
        add_escaped(out, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "sentence")),
                    false);
        sqz_str_add(out, "\n");
    }
    return SQZ_OK;
}

const sqz_report_format sqz_report_format_github = {
    .info = {.name = "github", .doc = "checks as GitHub annotations (squeeze check)"},
    .render = render};
