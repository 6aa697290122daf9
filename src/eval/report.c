/* report.c: building a report and choosing its rendering. */
#include "eval/report.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_report_format sqz_report_format_##name;
#include "sqz_report_list.inc"
#undef SQZ_ENTRY
const sqz_report_format *const sqz_report_formats[] = {
#define SQZ_ENTRY(name) &sqz_report_format_##name,
#include "sqz_report_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_report_formats = SQZ_COUNT(sqz_report_formats);

sqz_status sqz_report_new(sqz_ctx *ctx, const char *command, sqz_report **out)
{
    *out = NULL;
    sqz_report *r = sqz_calloc(ctx, 1, sizeof *r);
    if (!r)
        return SQZ_E_NOMEM;
    r->ctx = ctx;
    r->arena.ctx = ctx;
    r->root = cJSON_CreateObject();
    if (!r->root) {
        sqz_free(ctx, r);
        return sqz_fail(ctx, SQZ_E_NOMEM, "cannot allocate a report");
    }
    sqz_json_num(r, NULL, "squeeze_report", 1);
    sqz_json_str(r, NULL, "command", command);
    sqz_json_str(r, NULL, "version", sqz_version());
    *out = r;
    return SQZ_OK;
}

void sqz_report_free(sqz_report *r)
{
    if (!r)
        return;
    sqz_free(r->ctx, r->text);
    cJSON_Delete(r->root);
    sqz_arena_free(&r->arena);
    sqz_free(r->ctx, r);
}

sqz_status sqz_report_done(sqz_report *r)
{
    if (r->status == SQZ_E_NOMEM)
        return sqz_fail(r->ctx, SQZ_E_NOMEM, "no memory for the report");
    return r->status;
}

/* ---- JSON ---- */
static void lost(sqz_report *r)
{
    if (r->status == SQZ_OK)
        r->status = SQZ_E_NOMEM;
}

static cJSON *put(sqz_report *r, cJSON *parent, const char *key, cJSON *item)
{
    parent = parent ? parent : r->root;
    if (!item ||
        !(key ? cJSON_AddItemToObject(parent, key, item) : cJSON_AddItemToArray(parent, item))) {
        cJSON_Delete(item);
        lost(r);
        return NULL;
    }
    return item;
}

cJSON *sqz_json_object(sqz_report *r, cJSON *parent, const char *key)
{
    return put(r, parent, key, cJSON_CreateObject());
}
cJSON *sqz_json_array(sqz_report *r, cJSON *parent, const char *key)
{
    return put(r, parent, key, cJSON_CreateArray());
}
void sqz_json_num(sqz_report *r, cJSON *parent, const char *key, double v)
{
    (void)put(r, parent, key, isfinite(v) ? cJSON_CreateNumber(v) : cJSON_CreateNull());
}
void sqz_json_str(sqz_report *r, cJSON *parent, const char *key, const char *v)
{
    cJSON *item = put(r, parent, key, v ? cJSON_CreateString(v) : cJSON_CreateNull());
    if (item && v)
        sqz_text_clean(item->valuestring);
}
void sqz_json_bool(sqz_report *r, cJSON *parent, const char *key, bool v)
{
    (void)put(r, parent, key, cJSON_CreateBool(v));
}

/* ---- view ---- */
static sqz_block *add_block(sqz_report *r, sqz_block_kind kind)
{
    sqz_block *b = sqz_arena_alloc(&r->arena, 1, sizeof *b);
    if (!b) {
        lost(r);
        return NULL;
    }
    b->kind = kind;
    b->detail = r->detail;
    if (r->last)
        r->last->next = b;
    else
        r->first = b;
    r->last = b;
    return b;
}

static char *format(sqz_report *r, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : sqz_arena_alloc(&r->arena, (size_t)n + 1, 1);
    if (p) {
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
        sqz_text_clean(p);
    } else {
        lost(r);
    }
    va_end(again);
    return p ? p : "";
}

void sqz_view_heading(sqz_report *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = format(r, fmt, ap);
    va_end(ap);
    sqz_block *b = add_block(r, SQZ_B_HEADING);
    if (b)
        b->text = text;
}

void sqz_view_text(sqz_report *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = format(r, fmt, ap);
    va_end(ap);
    sqz_block *b = add_block(r, SQZ_B_TEXT);
    if (b)
        b->text = text;
}

/* Cuts `text` at '|' into at most n cells; missing ones are "". */
static const char **cut(sqz_report *r, char *text, unsigned n)
{
    const char **cell = sqz_arena_alloc(&r->arena, n ? n : 1, sizeof *cell);
    if (!cell) {
        lost(r);
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        cell[i] = text ? text : "";
        char *bar = text && i + 1 < n ? strchr(text, '|') : NULL;
        if (bar)
            *bar = '\0';
        text = bar ? bar + 1 : NULL;
    }
    return cell;
}

void sqz_view_table(sqz_report *r, const char *columns)
{
    sqz_block *b = add_block(r, SQZ_B_TABLE);
    char *text = sqz_arena_strdup(&r->arena, columns);
    if (!b || !text)
        return lost(r);
    b->n_column = 1;
    for (const char *p = columns; *p; p++)
        b->n_column += *p == '|';
    b->column = cut(r, text, b->n_column);
}

void sqz_view_row(sqz_report *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = format(r, fmt, ap);
    va_end(ap);
    sqz_block *b = r->last;
    sqz_row *row = sqz_arena_alloc(&r->arena, 1, sizeof *row);
    if (!b || b->kind != SQZ_B_TABLE || !row)
        return lost(r);
    row->cell = cut(r, text, b->n_column);
    if (!row->cell)
        return;
    if (b->last)
        b->last->next = row;
    else
        b->first = row;
    b->last = row;
    b->n_row++;
}

void sqz_view_chart(sqz_report *r, const char *caption, cJSON *config)
{
    sqz_block *b = add_block(r, SQZ_B_CHART);
    char *text = config ? cJSON_PrintUnformatted(config) : NULL;
    if (b && text) {
        b->text = sqz_arena_strdup(&r->arena, caption);
        b->config = sqz_arena_strdup(&r->arena, text);
    }
    if (!b || !text || !b->text || !b->config)
        lost(r);
    cJSON_free(text);
    cJSON_Delete(config);
}

void sqz_view_picture(sqz_report *r, const char *caption, const char *svg)
{
    sqz_block *b = add_block(r, SQZ_B_PICTURE);
    char *text = sqz_arena_strdup(&r->arena, caption);
    if (!b || !text || !(b->config = sqz_arena_strdup(&r->arena, svg)))
        return lost(r);
    sqz_text_clean(text);
    b->text = text;
}

/* ---- charts ---- */
cJSON *sqz_chart_new(const char *type)
{
    cJSON *config = cJSON_CreateObject(), *data = cJSON_AddObjectToObject(config, "data");
    (void)cJSON_AddStringToObject(config, "type", type);
    (void)cJSON_AddArrayToObject(data, "labels");
    (void)cJSON_AddArrayToObject(data, "datasets");
    return config;
}

cJSON *sqz_chart_series(cJSON *config, const char *label, const char *color)
{
    cJSON *data = cJSON_GetObjectItemCaseSensitive(config, "data"), *set = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(set, "label", label);
    (void)cJSON_AddStringToObject(set, "backgroundColor", color);
    (void)cJSON_AddStringToObject(set, "borderColor", color);
    cJSON *series = cJSON_AddArrayToObject(set, "data");
    if (!cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(data, "datasets"), set))
        cJSON_Delete(set);
    return series;
}

void sqz_chart_place(cJSON *config, cJSON *series, const char *label, double value)
{
    cJSON *data = cJSON_GetObjectItemCaseSensitive(config, "data");
    cJSON *name = cJSON_CreateString(label);
    if (name)
        sqz_text_clean(name->valuestring);
    if (!cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(data, "labels"), name))
        cJSON_Delete(name);
    (void)cJSON_AddItemToArray(series, cJSON_CreateNumber(value));
}

void sqz_chart_point(cJSON *series, double x, double y)
{
    cJSON *p = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(p, "x", x);
    (void)cJSON_AddNumberToObject(p, "y", y);
    (void)cJSON_AddItemToArray(series, p);
}

/* ---- reading and rendering ---- */
static const cJSON *at_path(const sqz_report *r, const char *path)
{
    const cJSON *at = r->root;
    while (at && *path) {
        char key[128];
        size_t n = strcspn(path, ".");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        int64_t index;
        if (cJSON_IsArray(at))
            at = sqz_parse_i64(key, NULL, &index) && index >= 0 && index < 1000000
                     ? cJSON_GetArrayItem(at, (int)index)
                     : NULL;
        else
            at = cJSON_GetObjectItemCaseSensitive(at, key);
        path += n + (path[n] == '.');
    }
    return at;
}

sqz_status sqz_report_number(const sqz_report *r, const char *path, double *out)
{
    const cJSON *v = path && out ? at_path(r, path) : NULL;
    if (!v || (!cJSON_IsNumber(v) && !cJSON_IsBool(v)))
        return sqz_fail(r->ctx, SQZ_E_NOTFOUND, "the report has no number at '%s'",
                        path ? path : "");
    *out = cJSON_IsBool(v) ? (double)cJSON_IsTrue(v) : v->valuedouble;
    return SQZ_OK;
}

sqz_status sqz_report_text(const sqz_report *r, const char *path, const char **out)
{
    const cJSON *v = path && out ? at_path(r, path) : NULL;
    if (!v || !cJSON_IsString(v))
        return sqz_fail(r->ctx, SQZ_E_NOTFOUND, "the report has no text at '%s'", path ? path : "");
    *out = v->valuestring;
    return SQZ_OK;
}

sqz_status sqz_report_render(sqz_report *r, const char *name, const char **text)
{
    sqz_str out = {.ctx = r->ctx};
    for (size_t i = 0; i < sqz_n_report_formats; i++) {
        if (strcmp(sqz_report_formats[i]->info.name, name) != 0)
            continue;
        sqz_status s = sqz_report_formats[i]->render(r, &out);
        if (s == SQZ_OK)
            s = out.status;
        if (s == SQZ_OK && !out.data)
            s = sqz_fail(r->ctx, SQZ_E_INTERNAL, "format '%s' rendered nothing", name);
        if (s != SQZ_OK) {
            sqz_str_free(&out);
            return s;
        }
        sqz_free(r->ctx, r->text);
        r->text = out.data;
        *text = out.data;
        return SQZ_OK;
    }
    return sqz_fail(r->ctx, SQZ_E_ARG,
                    "no report format '%s' (json, text, markdown, html, junit, github)", name);
}

sqz_status sqz_report_write(sqz_report *r, const char *name, const char *path)
{
    const char *text;
    SQZ_TRY(sqz_report_render(r, name, &text));
    return sqz_file_write(r->ctx, path, text, strlen(text));
}
