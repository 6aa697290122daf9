/* report_markdown.c: the view as GitHub-flavoured Markdown. */
#include "eval/report.h"

static void add_cell(sqz_str *out, const char *text)
{
    sqz_str_add(out, " ");
    for (; *text; text++) {
        if (*text == '|' || *text == '\\' || *text == '<' || *text == '*' || *text == '_' ||
            *text == '`')
            sqz_str_add(out, "\\");
        sqz_str_addn(out, text, 1);
    }
    sqz_str_add(out, " |");
}

static void add_table(const sqz_block *b, sqz_str *out)
{
    sqz_str_add(out, "\n|");
    for (unsigned c = 0; c < b->n_column; c++)
        add_cell(out, b->column[c] + (b->column[c][0] == '>'));
    sqz_str_add(out, "\n|");
    for (unsigned c = 0; c < b->n_column; c++)
        sqz_str_add(out, b->column[c][0] == '>' ? " ---: |" : " --- |");
    for (const sqz_row *row = b->first; row; row = row->next) {
        sqz_str_add(out, "\n|");
        for (unsigned c = 0; c < b->n_column; c++)
            add_cell(out, row->cell[c]);
    }
    sqz_str_add(out, "\n\n");
}

static sqz_status render(const sqz_report *r, sqz_str *out)
{
    sqz_str_add(out, "");
    for (const sqz_block *b = r->first; b; b = b->next) {
        if (b->kind == SQZ_B_HEADING)
            sqz_str_addf(out, "\n### %s\n\n", b->text);
        else if (b->kind == SQZ_B_TEXT)
            sqz_str_addf(out, "%s\n\n", b->text);
        else if (b->kind == SQZ_B_TABLE)
            add_table(b, out);
    }
    return SQZ_OK;
}

const sqz_report_format sqz_report_format_markdown = {
    .info = {.name = "markdown", .doc = "tables for a pull request or a wiki"}, .render = render};
