/* report_text.c: the view in a terminal: aligned tables, charts left out. */
#include "eval/report.h"
#include <string.h>

/* Columns on a screen: UTF-8 continuation bytes take none. */
static size_t width(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void add_cell(sqz_str *out, const char *text, size_t wide, bool right, bool last)
{
    size_t pad = wide - width(text);
    if (right)
        sqz_str_addf(out, "%*s", (int)pad, "");
    sqz_str_add(out, text);
    if (!last)
        sqz_str_addf(out, "%*s", (int)((right ? 0 : pad) + 2), "");
}

static sqz_status add_table(const sqz_report *r, const sqz_block *b, sqz_str *out)
{
    sqz_arena a = {.ctx = r->ctx};
    size_t *wide = sqz_arena_alloc(&a, b->n_column, sizeof *wide);
    if (!wide)
        return SQZ_E_NOMEM;
    for (unsigned c = 0; c < b->n_column; c++) {
        wide[c] = width(b->column[c] + (b->column[c][0] == '>'));
        for (const sqz_row *row = b->first; row; row = row->next)
            wide[c] = SQZ_MAX(wide[c], width(row->cell[c]));
    }
    unsigned heads = b->n_column;
    while (heads > 1 && !*b->column[heads - 1])
        heads--;
    for (unsigned c = 0; c < heads; c++)
        add_cell(out, b->column[c] + (b->column[c][0] == '>'), wide[c], b->column[c][0] == '>',
                 c + 1 == heads);
    sqz_str_add(out, "\n");
    for (const sqz_row *row = b->first; row; row = row->next) {
        unsigned n = b->n_column; /* empty cells at the end leave no spaces */
        while (n > 1 && !*row->cell[n - 1])
            n--;
        for (unsigned c = 0; c < n; c++)
            add_cell(out, row->cell[c], wide[c], b->column[c][0] == '>', c + 1 == n);
        sqz_str_add(out, "\n");
    }
    sqz_arena_free(&a);
    return SQZ_OK;
}

static sqz_status render(const sqz_report *r, sqz_str *out)
{
    sqz_str_add(out, "");
    for (const sqz_block *b = r->first; b; b = b->next) {
        if (b->detail)
            continue;
        if (b->kind == SQZ_B_HEADING)
            sqz_str_addf(out, "%s%s\n", b == r->first ? "" : "\n", b->text);
        else if (b->kind == SQZ_B_TEXT)
            sqz_str_addf(out, "%s\n", b->text);
        else if (b->kind == SQZ_B_TABLE)
            SQZ_TRY(add_table(r, b, out));
    }
    return SQZ_OK;
}

const sqz_report_format sqz_report_format_text = {
    .info = {.name = "text", .doc = "tables for a terminal"}, .render = render};
