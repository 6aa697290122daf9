/* prepare_csv.c: tables of numbers as text (RFC 4180: quotes, doubled quotes, CRLF). Read twice:
 * first to find columns, rows and labels, then to put the rows into a spool. Numbers have a decimal
 * point whatever the locale. Labels: whole numbers from 0 are classes, other numbers values,
 * anything else class names, numbered in sorted order. */
#include "io/prepare.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CSV_LINE    ((size_t)16 << 20)
#define CSV_COLUMNS ((size_t)1 << 20)
#define CSV_CLASSES 65536

typedef struct csv {
    sqz_source *s;
    FILE *f;
    int64_t line; /* of the last row read */
    char *text;   /* the row: fields one after the other, each ended by a 0 */
    size_t len, room;
    size_t *field; /* where each begins */
    size_t n, field_room;
    size_t n_columns;     /* of the first row */
    const char **title;   /* n_columns, or NULL */
    size_t *x, n_x, y;    /* columns; y is SIZE_MAX without labels */
    const char **classes; /* names, sorted once all are known */
    size_t n_classes, class_room;
    bool numeric, whole; /* all labels so far */
    int64_t largest;
    sqz_spool spool;
    int32_t *class_of;
} csv;

static sqz_status bad(const csv *c, size_t column, const char *what, const char *text)
{
    char place[160] = "";
    if (column < c->n_columns && c->title) /* a row may have more columns than titles */
        (void)snprintf(place, sizeof place, "column '%.100s': ", c->title[column]);
    else if (column != SIZE_MAX)
        (void)snprintf(place, sizeof place, "column %zu: ", column + 1);
    return sqz_fail(c->s->ctx, SQZ_E_FORMAT, "%s:%" PRId64 ": %s%s%s%.60s%s", c->s->spec->file,
                    c->line, place, what, text ? " '" : "", text ? text : "", text ? "'" : "");
}

/* ---- rows ---- */
static sqz_status put(csv *c, char byte)
{
    if (c->len == c->room) {
        size_t room = c->room ? c->room * 2 : 4096;
        if (c->len >= CSV_LINE)
            return bad(c, SIZE_MAX, "a row of more than 16 MiB", NULL);
        char *more = sqz_realloc(c->s->ctx, c->text, c->len, room);
        if (!more)
            return SQZ_E_NOMEM;
        c->text = more;
        c->room = room;
    }
    c->text[c->len++] = byte;
    return SQZ_OK;
}

static sqz_status new_field(csv *c)
{
    if (c->n == c->field_room) {
        size_t room = c->field_room ? c->field_room * 2 : 64;
        if (c->n >= CSV_COLUMNS)
            return bad(c, SIZE_MAX, "more than 2^20 columns", NULL);
        size_t *more = sqz_realloc(c->s->ctx, c->field, c->n * sizeof *more, room * sizeof *more);
        if (!more)
            return SQZ_E_NOMEM;
        c->field = more;
        c->field_room = room;
    }
    c->field[c->n++] = c->len;
    return SQZ_OK;
}

/* A quoted field after its first quote; *next is what follows it. */
static sqz_status quoted(csv *c, int *next)
{
    for (;;) {
        int ch = getc_unlocked(c->f);
        if (ch == EOF)
            return bad(c, SIZE_MAX, "truncated: a quote is not closed", NULL);
        if (ch == '"') {
            ch = getc_unlocked(c->f);
            if (ch != '"') {
                *next = ch;
                return SQZ_OK;
            }
        }
        c->line += ch == '\n';
        SQZ_TRY(put(c, (char)ch));
    }
}

static sqz_status one_field(csv *c, int *next)
{
    SQZ_TRY(new_field(c));
    int ch = getc_unlocked(c->f);
    if (ch == '"') {
        SQZ_TRY(quoted(c, &ch));
    } else {
        for (; ch != EOF && ch != '\n' && ch != '\r' && ch != c->s->spec->separator;
             ch = getc_unlocked(c->f)) {
            if (ch == 0)
                return bad(c, SIZE_MAX, "a zero byte: not a text file", NULL);
            SQZ_TRY(put(c, (char)ch));
        }
    }
    if (ch == '\r' && (ch = getc_unlocked(c->f)) != '\n')
        return bad(c, c->n - 1, "a carriage return inside of a row", NULL);
    if (ch != EOF && ch != '\n' && ch != c->s->spec->separator)
        return bad(c, c->n - 1, "text after a closing quote", NULL);
    *next = ch;
    return put(c, 0);
}

/* The next row that is not empty; *end at the end of the file. */
static sqz_status row(csv *c, bool *end)
{
    *end = false;
    for (;;) {
        int next = EOF;
        c->len = c->n = 0;
        c->line++;
        do
            SQZ_TRY(one_field(c, &next));
        while (next != EOF && next != '\n');
        if (ferror(c->f))
            return sqz_fail(c->s->ctx, SQZ_E_IO, "%s: cannot be read: %m", c->s->spec->file);
        bool empty = c->n == 1 && c->text[0] == 0;
        if (!empty)
            break;
        if (next == EOF) {
            *end = true;
            return SQZ_OK;
        }
    }
    if (c->n_columns && c->n != c->n_columns) {
        char text[96];
        (void)snprintf(text, sizeof text, "%zu columns, the first row has %zu", c->n, c->n_columns);
        return bad(c, SIZE_MAX, text, NULL);
    }
    return SQZ_OK;
}

static const char *field(const csv *c, size_t i) { return c->text + c->field[i]; }

/* ---- columns ---- */
static sqz_status take_titles(csv *c)
{
    c->n_columns = c->n;
    if (!c->s->spec->header)
        return SQZ_OK;
    c->title = sqz_arena_alloc(&c->s->arena, c->n, sizeof *c->title);
    if (!c->title)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < c->n; i++) {
        const char *text = field(c, i);
        if (i == 0 && strncmp(text, "\xef\xbb\xbf", 3) == 0)
            text += 3; /* byte order mark */
        if (!(c->title[i] = sqz_arena_strdup(&c->s->arena, text)))
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

/* A column by title, or by number from 1 where there is no header. */
static sqz_status find_column(const csv *c, const char *name, size_t *out)
{
    int64_t no;
    for (size_t i = 0; c->title && i < c->n_columns; i++)
        if (strcmp(c->title[i], name) == 0) {
            *out = i;
            return SQZ_OK;
        }
    if (!c->title && sqz_parse_i64(name, NULL, &no) && no >= 1 && (size_t)no <= c->n_columns) {
        *out = (size_t)no - 1;
        return SQZ_OK;
    }
    const char *near = c->title ? sqz_nearest(name, c->title, c->n_columns, sizeof *c->title)
                                : NULL;
    return sqz_fail(c->s->ctx, SQZ_E_FORMAT, "%s: no column '%s'%s%s%s", c->s->spec->file, name,
                    near       ? "; did you mean '"
                    : c->title ? " in the header"
                               : "; without a header columns are numbers from 1",
                    near ? near : "", near ? "'?" : "");
}

static sqz_status choose_columns(csv *c)
{
    const sqz_source_spec *spec = c->s->spec;
    c->y = SIZE_MAX;
    if (spec->y)
        SQZ_TRY(find_column(c, spec->y, &c->y));
    size_t n = spec->n_columns ? spec->n_columns : c->n_columns - (c->y != SIZE_MAX);
    if (n == 0)
        return sqz_fail(c->s->ctx, SQZ_E_FORMAT, "%s: no column is left for x", spec->file);
    c->x = sqz_arena_alloc(&c->s->arena, n, sizeof *c->x);
    if (!c->x)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < spec->n_columns; i++) {
        SQZ_TRY(find_column(c, spec->columns[i], &c->x[c->n_x++]));
        if (c->x[i] == c->y)
            return sqz_fail(c->s->ctx, SQZ_E_FORMAT, "%s: column '%s' is both x and y", spec->file,
                            spec->y);
    }
    for (size_t i = 0; !spec->n_columns && i < c->n_columns; i++)
        if (i != c->y)
            c->x[c->n_x++] = i;
    return SQZ_OK;
}

static sqz_status number(const csv *c, size_t column, float *out)
{
    double v;
    const char *text = field(c, column), *end;
    while (*text == ' ')
        text++;
    bool ok = sqz_parse_f64(text, &end, &v);
    while (ok && *end == ' ')
        end++;
    if (!ok || *end || !isfinite(v) || fabs(v) > 3.4e38)
        return bad(c, column, "expected a number, found", field(c, column));
    *out = (float)v;
    return SQZ_OK;
}

/* ---- labels ---- */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char **find_class(const csv *c, const char *name)
{
    return c->n_classes ? bsearch(&name, c->classes, c->n_classes, sizeof *c->classes, by_name)
                        : NULL;
}

/* Keeps the list sorted; classes are few. */
static sqz_status see_class(csv *c, const char *name)
{
    if (find_class(c, name))
        return SQZ_OK;
    if (c->n_classes == CSV_CLASSES)
        return bad(c, c->y, "more than 65536 different labels; labels: values is for numbers",
                   name);
    if (c->n_classes == c->class_room) {
        size_t room = c->class_room ? c->class_room * 2 : 16;
        const char **more = sqz_realloc(c->s->ctx, c->classes, c->n_classes * sizeof *more,
                                        room * sizeof *more);
        if (!more)
            return SQZ_E_NOMEM;
        c->classes = more;
        c->class_room = room;
    }
    const char *copy = sqz_arena_strdup(&c->s->arena, name);
    if (!copy)
        return SQZ_E_NOMEM;
    size_t at = c->n_classes++;
    for (; at > 0 && strcmp(c->classes[at - 1], copy) > 0; at--)
        c->classes[at] = c->classes[at - 1];
    c->classes[at] = copy;
    return SQZ_OK;
}

static sqz_status see_label(csv *c)
{
    const char *text = field(c, c->y);
    double v;
    if (!*text)
        return bad(c, c->y, "the label is empty", NULL);
    bool is_number = sqz_parse_f64(text, NULL, &v) && isfinite(v);
    bool fractions = c->numeric && !c->whole;
    if (!is_number && (c->s->spec->values || fractions))
        return bad(c, c->y, "expected a number, found", text);
    c->numeric = c->numeric && is_number;
    c->whole = c->whole && is_number && v >= 0 && v < 16777216 && v == floor(v);
    if (c->whole)
        c->largest = SQZ_MAX(c->largest, (int64_t)v);
    /* names are needed as long as labels may turn out to be names */
    return c->s->spec->values || (c->numeric && !c->whole) ? SQZ_OK : see_class(c, text);
}

/* What the labels are; those of a test table are what they are in the training table. */
static sqz_status settle_labels(csv *c, const sqz_source *like)
{
    sqz_source *s = c->s;
    s->has_labels = c->y != SIZE_MAX;
    bool numbers = c->numeric && c->whole;
    if (!s->has_labels || s->spec->values || (like ? !like->classes : c->numeric && !c->whole))
        return SQZ_OK;
    if (like && !like->class_names && !numbers)
        return sqz_fail(s->ctx, SQZ_E_FORMAT,
                        "%s: labels in '%s' are not class numbers, as those of training are",
                        s->spec->file, s->spec->y);
    if (like ? !like->class_names : numbers) {
        s->classes = c->largest + 1;
        return SQZ_OK;
    }
    s->classes = like ? like->classes : (int64_t)c->n_classes;
    s->class_names = sqz_arena_alloc(&s->arena, (size_t)s->classes, sizeof *s->class_names);
    if (!s->class_names)
        return SQZ_E_NOMEM;
    memcpy(s->class_names, like ? like->class_names : c->classes,
           (size_t)s->classes * sizeof *s->class_names);
    return SQZ_OK;
}

static sqz_status label(const csv *c, float *y)
{
    const sqz_source *s = c->s;
    if (!s->class_names)
        return number(c, c->y, y);
    const char *name = field(c, c->y);
    const char **at = bsearch(&name, s->class_names, (size_t)s->classes, sizeof *s->class_names,
                              by_name);
    if (!at)
        return bad(c, c->y, "no such class in the training source:", name);
    *y = (float)(at - s->class_names);
    return SQZ_OK;
}

/* ---- the two passes ---- */
static sqz_status first_pass(csv *c, const sqz_source *like)
{
    bool end;
    SQZ_TRY(row(c, &end));
    if (end)
        return sqz_fail(c->s->ctx, SQZ_E_FORMAT, "%s: the table is empty", c->s->spec->file);
    SQZ_TRY(take_titles(c));
    SQZ_TRY(choose_columns(c));
    if (c->title)
        SQZ_TRY(row(c, &end));
    for (; !end; c->s->n++) {
        if (c->y != SIZE_MAX)
            SQZ_TRY(see_label(c));
        SQZ_TRY(row(c, &end));
    }
    if (c->s->n == 0)
        return sqz_fail(c->s->ctx, SQZ_E_FORMAT, "%s: a header and no rows", c->s->spec->file);
    if (c->s->n > INT32_MAX)
        return sqz_fail(c->s->ctx, SQZ_E_LIMIT, "%s: more than 2^31 rows", c->s->spec->file);
    c->s->shape = sqz_shape_of(1, (int64_t[]){(int64_t)c->n_x});
    return settle_labels(c, like);
}

static sqz_status second_pass(csv *c, float *x)
{
    bool end;
    float y = 0;
    rewind(c->f);
    c->line = 0;
    if (c->title)
        SQZ_TRY(row(c, &end));
    for (int64_t i = 0; i < c->s->n; i++) {
        SQZ_TRY(row(c, &end));
        if (end)
            return bad(c, SIZE_MAX, "the file became shorter while it was read", NULL);
        for (size_t k = 0; k < c->n_x; k++)
            SQZ_TRY(number(c, c->x[k], &x[k]));
        if (c->s->has_labels)
            SQZ_TRY(label(c, &y));
        if (c->class_of)
            c->class_of[i] = (int32_t)y;
        if (c->spool.fd >= 0)
            SQZ_TRY(sqz_spool_put(&c->spool, i, x, &y));
        if ((i & 1023) == 0 && !sqz_progress(c->s->ctx, "reading", (uint64_t)i, (uint64_t)c->s->n))
            return sqz_fail(c->s->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

static sqz_status read_row(sqz_source *s, int64_t i, sqz_image *img, float *x, float *y)
{
    (void)img;
    return sqz_spool_get(&((csv *)s->impl)->spool, i, x, y);
}

static int32_t class_of_row(const sqz_source *s, int64_t i)
{
    return ((const csv *)s->impl)->class_of[i];
}

static void close_csv(sqz_source *s)
{
    csv *c = s->impl;
    if (!c)
        return;
    if (c->f)
        (void)fclose(c->f);
    sqz_spool_close(&c->spool);
    sqz_free(s->ctx, c->text);
    sqz_free(s->ctx, c->field);
    sqz_free(s->ctx, c->classes);
    sqz_free(s->ctx, c->class_of);
    sqz_free(s->ctx, c);
}

sqz_status sqz_source_csv(sqz_source *s, const sqz_source *like, const char *scratch)
{
    csv *c = s->impl = sqz_calloc(s->ctx, 1, sizeof *c);
    if (!c)
        return SQZ_E_NOMEM;
    c->s = s;
    c->spool.fd = -1;
    c->numeric = c->whole = true;
    s->read = read_row;
    s->class_of = class_of_row;
    s->close = close_csv;
    c->f = fopen(s->spec->file, "rbe");
    if (!c->f)
        return sqz_fail(s->ctx, errno == ENOENT ? SQZ_E_NOTFOUND : SQZ_E_IO, "%s: cannot open: %m",
                        s->spec->file);
    SQZ_TRY(first_pass(c, like));
    if (s->classes && !(c->class_of = sqz_calloc(s->ctx, (size_t)s->n, sizeof *c->class_of)))
        return SQZ_E_NOMEM;
    if (scratch)
        SQZ_TRY(sqz_spool_open(s->ctx, scratch, c->n_x, s->has_labels, false, &c->spool));
    float *x = sqz_calloc(s->ctx, c->n_x, sizeof *x);
    if (!x)
        return SQZ_E_NOMEM;
    sqz_status st = second_pass(c, x);
    sqz_free(s->ctx, x);
    return st;
}
