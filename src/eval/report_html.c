/* report_html.c: the view as one self-contained page; charts by Chart.js, which is inlined. */
#include "eval/report.h"
#include <string.h>

extern const unsigned char sqz_embed_chart_js[];
extern const size_t sqz_embed_chart_js_size;

static void add_escaped(sqz_str *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': sqz_str_add(out, "&lt;"); break;
        case '>': sqz_str_add(out, "&gt;"); break;
        case '&': sqz_str_add(out, "&amp;"); break;
        case '"': sqz_str_add(out, "&quot;"); break;
        default: sqz_str_addn(out, text, 1);
        }
    }
}

/* JSON inside a script element: "</" would end it. */
static void add_script_json(sqz_str *out, const char *json)
{
    for (; *json; json++)
        if (*json == '<')
            sqz_str_add(out, "\\u003c");
        else
            sqz_str_addn(out, json, 1);
}

static void add_table(const sqz_block *b, sqz_str *out)
{
    sqz_str_add(out, "<div class=\"scroll\"><table><thead><tr>");
    for (unsigned c = 0; c < b->n_column; c++) {
        bool right = b->column[c][0] == '>';
        sqz_str_add(out, right ? "<th class=\"r\">" : "<th>");
        add_escaped(out, b->column[c] + right);
        sqz_str_add(out, "</th>");
    }
    sqz_str_add(out, "</tr></thead><tbody>\n");
    for (const sqz_row *row = b->first; row; row = row->next) {
        sqz_str_add(out, "<tr>");
        for (unsigned c = 0; c < b->n_column; c++) {
            const char *mood = strcmp(row->cell[c], "broken") == 0  ? " bad"
                               : strcmp(row->cell[c], "holds") == 0 ? " good"
                                                                    : "";
            sqz_str_addf(out, "<td class=\"%s%s\">", b->column[c][0] == '>' ? "r" : "", mood);
            add_escaped(out, row->cell[c]);
            sqz_str_add(out, "</td>");
        }
        sqz_str_add(out, "</tr>\n");
    }
    sqz_str_add(out, "</tbody></table></div>\n");
}

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 "
    "1rem;color:#1b1f24}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #d5dae0}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem "
    ".7rem;text-align:left;"
    "border-bottom:1px solid "
    "#e6e9ed;white-space:pre}th{font-weight:600;background:#f4f6f8}.r{text-align:right}"
    ".good{color:#137333;font-weight:600}.bad{color:#b3261e;font-weight:600}.scroll{overflow-x:"
    "auto;margin:.5rem 0}"
    "figure{margin:1rem 0;max-width:56rem}figcaption{color:#555;font-size:.9rem}"
    ".pic{display:inline-block;margin:.4rem .8rem .4rem 0;width:15rem;vertical-align:top}"
    ".pic svg{width:100%;height:auto;background:#fafbfc;border:1px solid #e6e9ed}"
    ".pic figcaption{font-size:.78rem;overflow-wrap:anywhere;line-height:1.3}";

static void add_chart(const sqz_block *b, unsigned id, sqz_str *out)
{
    sqz_str_addf(out, "<figure><canvas id=\"c%u\"></canvas><figcaption>", id);
    add_escaped(out, b->text);
    sqz_str_addf(out, "</figcaption></figure><script>new Chart(document.getElementById(\"c%u\"),",
                 id);
    add_script_json(out, b->config);
    sqz_str_add(out, ");</script>\n");
}

static void add_picture(const sqz_block *b, sqz_str *out)
{
    sqz_str_addf(out, "<figure class=\"pic\">%s<figcaption>", b->config);
    add_escaped(out, b->text);
    sqz_str_add(out, "</figcaption></figure>\n");
}

static sqz_status render(const sqz_report *r, sqz_str *out)
{
    unsigned charts = 0;
    for (const sqz_block *b = r->first; b; b = b->next)
        charts += b->kind == SQZ_B_CHART;
    sqz_str_add(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width\"><title>squeeze report</title><style>");
    sqz_str_add(out, style);
    sqz_str_add(out, "</style>");
    if (charts) {
        sqz_str_add(out, "<script>");
        sqz_str_addn(out, (const char *)sqz_embed_chart_js, sqz_embed_chart_js_size);
        sqz_str_add(out, "</script><script>Chart.defaults.animation=false</script>");
    }
    sqz_str_add(out, "</head><body>\n");
    charts = 0;
    for (const sqz_block *b = r->first; b; b = b->next) {
        const char *tag = b == r->first ? "h1" : "h2";
        if (b->kind == SQZ_B_TABLE) {
            add_table(b, out);
        } else if (b->kind == SQZ_B_CHART) {
            add_chart(b, charts++, out);
        } else if (b->kind == SQZ_B_PICTURE) {
            add_picture(b, out);
        } else {
            tag = b->kind == SQZ_B_HEADING ? tag : "p";
            sqz_str_addf(out, "<%s>", tag);
            add_escaped(out, b->text);
            sqz_str_addf(out, "</%s>\n", tag);
        }
    }
    sqz_str_add(out, "<script type=\"application/json\" id=\"report\">");
    char *json = cJSON_PrintUnformatted(r->root);
    add_script_json(out, json ? json : "null");
    cJSON_free(json);
    sqz_str_add(out, "</script></body></html>\n");
    return json ? SQZ_OK : sqz_fail(r->ctx, SQZ_E_NOMEM, "no memory for the report");
}

const sqz_report_format sqz_report_format_html = {
    .info = {.name = "html", .doc = "one self-contained page with charts"}, .render = render};
