/* report_junit.c: the checks of `squeeze check` as JUnit XML, one test case each. */
#include "eval/report.h"

static void add_escaped(sqz_str *out, const char *text)
{
    for (; text && *text; text++) {
        switch (*text) {
        case '<': sqz_str_add(out, "&lt;"); break;
        case '>': sqz_str_add(out, "&gt;"); break;
        case '&': sqz_str_add(out, "&amp;"); break;
        case '"': sqz_str_add(out, "&quot;"); break;
        default:
            if ((unsigned char)*text >= 0x20 || *text == '\t' || *text == '\n')
                sqz_str_addn(out, text, 1);
        }
    }
}

static const char *text_of(const cJSON *o, const char *key)
{
    const char *t = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return t ? t : "";
}

static sqz_status render(const sqz_report *r, sqz_str *out)
{
    const cJSON *checks = cJSON_GetObjectItemCaseSensitive(r->root, "checks"), *c;
    if (!checks)
        return sqz_fail(r->ctx, SQZ_E_ARG, "junit is a format of `squeeze check` alone");
    int broken = 0;
    cJSON_ArrayForEach(c, checks)
        broken += cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(c, "holds"));
    sqz_str_addf(out,
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"squeeze check\" "
                 "tests=\"%d\" "
                 "failures=\"%d\">\n",
                 cJSON_GetArraySize(checks), broken);
    cJSON_ArrayForEach(c, checks)
    {
        sqz_str_add(out, "  <testcase classname=\"squeeze\" name=\"");
        add_escaped(out, text_of(c, "name"));
        if (!cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(c, "holds"))) {
            sqz_str_add(out, "\"/>\n");
            continue;
        }
        sqz_str_add(out, "\"><failure message=\"");
        add_escaped(out, text_of(c, "sentence"));
        sqz_str_add(out, "\"/></testcase>\n");
    }
    sqz_str_add(out, "</testsuite>\n");
    return SQZ_OK;
}

const sqz_report_format sqz_report_format_junit = {
    .info = {.name = "junit", .doc = "checks as JUnit XML (squeeze check)"}, .render = render};
