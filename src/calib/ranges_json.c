/* ranges_json.c: ranges.json. Written the same way each time; read strictly, every complaint with
 * the path of the entry. The format is described in docs/quantization.md. */
#include "calib/calib.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, FILE_MAX = 64 << 20 };

/* ---- writing ---- */

static void add_text(sqz_str *out, const char *text)
{
    sqz_str_add(out, "\"");
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            sqz_str_addf(out, "\\%c", c);
        else if (c < 0x20)
            sqz_str_addf(out, "\\u%04x", c);
        else
            sqz_str_addn(out, p, 1);
    }
    sqz_str_add(out, "\"");
}

static void add_f32(sqz_str *out, const char *key, float v)
{
    char number[32];
    if (isnan(v))
        return; /* not known */
    sqz_print_f32(number, v);
    sqz_str_addf(out, "\"%s\": %s, ", key, number);
}

static void add_item(sqz_str *out, const sqz_ranges *r, uint32_t i)
{
    char number[32];
    sqz_str_add(out, "    ");
    add_text(out, r->item[i].name);
    sqz_str_add(out, ": {");
    add_f32(out, "lo", r->item[i].range.lo);
    add_f32(out, "hi", r->item[i].range.hi);
    add_f32(out, "min", r->item[i].min);
    add_f32(out, "max", r->item[i].max);
    if (!isnan(r->item[i].clipped)) {
        sqz_print_f64(number, r->item[i].clipped);
        sqz_str_addf(out, "\"clipped\": %s, ", number);
    }
    sqz_str_addf(out, "\"%s\": ", isnan(r->item[i].range.lo) ? "calibrator" : "rule");
    add_text(out, r->item[i].rule);
    sqz_str_add(out, i + 1 < r->n ? "},\n" : "}\n");
}

sqz_status sqz_ranges_print(const sqz_ranges *r, sqz_str *out)
{
    sqz_str_addf(out, "{\n  \"squeeze_ranges\": %d,\n", VERSION);
    if (r->calibrator) {
        sqz_str_add(out, "  \"calibrator\": ");
        add_text(out, r->calibrator);
        sqz_str_add(out, ",\n");
    }
    sqz_str_addf(out, "  \"samples\": %llu,\n", (unsigned long long)r->samples);
    if (r->data_checksum[0]) {
        sqz_str_add(out, "  \"data\": ");
        add_text(out, r->data_checksum);
        sqz_str_add(out, ",\n");
    }
    sqz_str_add(out, "  \"values\": {\n");
    for (uint32_t i = 0; i < r->n; i++)
        add_item(out, r, i);
    sqz_str_add(out, "  }\n}\n");
    return out->status;
}

sqz_status sqz_ranges_save(sqz_ctx *ctx, const sqz_ranges *r, const char *path)
{
    sqz_str text = {.ctx = ctx};
    sqz_status s = sqz_ranges_print(r, &text);
    if (s == SQZ_OK)
        s = sqz_file_write(ctx, path, text.data, text.len);
    sqz_str_free(&text);
    return s;
}

/* ---- reading ---- */

typedef struct reader {
    sqz_ctx *ctx;
    const char *file, *value; /* value being read, or NULL */
    sqz_ranges *r;
} reader;

static sqz_status wrong(const reader *in, const char *key, const char *what)
{
    return sqz_fail(in->ctx, SQZ_E_FORMAT, "%s: %s%s%s%s: %s", in->file, in->value ? "values." : "",
                    in->value ? in->value : "", in->value && key ? "." : "", key ? key : "", what);
}

static const char *kind_of(const cJSON *j)
{
    return cJSON_IsString(j)   ? "a text"
           : cJSON_IsNumber(j) ? "a number"
           : cJSON_IsObject(j) ? "an object"
           : cJSON_IsArray(j)  ? "a list"
           : cJSON_IsNull(j)   ? "null"
                               : "true or false";
}

static sqz_status expected(const reader *in, const cJSON *j, const char *want)
{
    char what[96];
    snprintf(what, sizeof what, "expected %s, found %s", want, kind_of(j));
    return wrong(in, j->string, what);
}

/* Every key of `map` is among the names and there once. */
static sqz_status check_keys(const reader *in, const cJSON *map, const char *const *name, size_t n)
{
    uint32_t seen = 0; /* bit per name */
    for (const cJSON *j = map->child; j; j = j->next) {
        size_t k = 0;
        while (k < n && strcmp(name[k], j->string) != 0)
            k++;
        if (k == n) {
            char what[128];
            const char *near = sqz_nearest(j->string, name, n, sizeof *name);
            snprintf(what, sizeof what, "unknown key%s%s%s", near ? ", did you mean '" : "",
                     near ? near : "", near ? "'?" : "");
            return wrong(in, j->string, what);
        }
        if (seen & 1u << k)
            return wrong(in, j->string, "is there twice");
        seen |= 1u << k;
    }
    return SQZ_OK;
}

/* Absent: *out stays. */
static sqz_status read_number(const reader *in, const cJSON *map, const char *key, double lo,
                              double hi, double *out)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(map, key);
    char what[96];
    if (!j)
        return SQZ_OK;
    if (!cJSON_IsNumber(j))
        return expected(in, j, "a number");
    if (!(j->valuedouble >= lo && j->valuedouble <= hi)) {
        snprintf(what, sizeof what, "is outside of %g .. %g", lo, hi);
        return wrong(in, key, what);
    }
    *out = j->valuedouble;
    return SQZ_OK;
}

static sqz_status read_text(const reader *in, const cJSON *map, const char *key, const char **out)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(map, key);
    if (!j)
        return SQZ_OK;
    if (!cJSON_IsString(j) || !*j->valuestring)
        return cJSON_IsString(j) ? wrong(in, key, "is empty") : expected(in, j, "a text");
    *out = sqz_arena_strdup(&in->r->arena, j->valuestring);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status read_item(reader *in, const cJSON *j, uint32_t i)
{
    static const char *const keys[] = {"lo", "hi", "min", "max", "clipped", "rule", "calibrator"};
    const double most = (double)SQZ_HIST_LIMIT;
    double lo = NAN, hi = NAN, min = NAN, max = NAN, clipped = NAN;
    const char *rule = "user", *calibrator = NULL;
    const sqz_calib *c;
    const void *opts;
    in->value = j->string;
    if (!cJSON_IsObject(j))
        return wrong(in, NULL, "expected an object such as {\"lo\": -1, \"hi\": 1}");
    SQZ_TRY(check_keys(in, j, keys, SQZ_COUNT(keys)));
    SQZ_TRY(read_number(in, j, "lo", -most, most, &lo));
    SQZ_TRY(read_number(in, j, "hi", -most, most, &hi));
    SQZ_TRY(read_number(in, j, "min", -most, most, &min));
    SQZ_TRY(read_number(in, j, "max", -most, most, &max));
    SQZ_TRY(read_number(in, j, "clipped", 0, 1, &clipped));
    SQZ_TRY(read_text(in, j, "rule", &rule));
    SQZ_TRY(read_text(in, j, "calibrator", &calibrator));
    if (isnan(lo) != isnan(hi))
        return wrong(in, isnan(lo) ? "lo" : "hi", "is missing");
    if (isnan(lo) == !calibrator)
        return wrong(in, NULL, "expected lo and hi, or calibrator");
    if (lo > hi)
        return wrong(in, "lo", "is greater than hi");
    if (calibrator)
        SQZ_TRY(sqz_note(in->ctx, sqz_calib_spec(&in->r->arena, calibrator, &c, &opts),
                         "%s: values.%s.calibrator", in->file, j->string));
    in->r->item[i].name = sqz_arena_strdup(&in->r->arena, j->string);
    in->r->item[i].range = (sqz_range){(float)lo, (float)hi};
    in->r->item[i].min = (float)min;
    in->r->item[i].max = (float)max;
    in->r->item[i].clipped = clipped;
    in->r->item[i].rule = calibrator ? calibrator : rule;
    return in->r->item[i].name ? SQZ_OK : SQZ_E_NOMEM;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static sqz_status check_names(const reader *in)
{
    const sqz_ranges *r = in->r;
    const char **name = sqz_calloc(in->ctx, SQZ_MAX(r->n, 1u), sizeof *name);
    sqz_status s = name ? SQZ_OK : SQZ_E_NOMEM;
    for (uint32_t i = 0; name && i < r->n; i++)
        name[i] = r->item[i].name;
    if (name)
        qsort(name, r->n, sizeof *name, by_name);
    for (uint32_t i = 1; name && i < r->n && s == SQZ_OK; i++)
        if (strcmp(name[i - 1], name[i]) == 0)
            s = sqz_fail(in->ctx, SQZ_E_FORMAT, "%s: values.%s: is there twice", in->file, name[i]);
    sqz_free(in->ctx, (void *)name);
    return s;
}

static sqz_status read_values(reader *in, const cJSON *values)
{
    int n = cJSON_GetArraySize(values);
    in->r->item = sqz_arena_alloc(&in->r->arena, n > 0 ? (size_t)n : 1, sizeof *in->r->item);
    if (!in->r->item)
        return SQZ_E_NOMEM;
    for (const cJSON *j = values->child; j; j = j->next)
        SQZ_TRY(read_item(in, j, in->r->n++));
    in->value = NULL;
    return check_names(in);
}

static sqz_status read_root(reader *in, const cJSON *root)
{
    static const char *const keys[] = {"squeeze_ranges", "calibrator", "samples", "data", "values"};
    double version = 0, samples = 0;
    const char *data = "";
    if (!cJSON_IsObject(root))
        return wrong(in, NULL, "expected an object with \"squeeze_ranges\": 1");
    SQZ_TRY(check_keys(in, root, keys, SQZ_COUNT(keys)));
    SQZ_TRY(read_number(in, root, "squeeze_ranges", VERSION, VERSION, &version));
    if (version != VERSION)
        return wrong(in, "squeeze_ranges", "is missing: is this a file of ranges?");
    SQZ_TRY(read_number(in, root, "samples", 0, 9007199254740992.0, &samples));
    SQZ_TRY(read_text(in, root, "calibrator", &in->r->calibrator));
    SQZ_TRY(read_text(in, root, "data", &data));
    if (strlen(data) >= sizeof in->r->data_checksum)
        return wrong(in, "data", "is longer than a checksum");
    strcpy(in->r->data_checksum, data);
    in->r->samples = (uint64_t)samples;
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(root, "values");
    if (!values || !cJSON_IsObject(values))
        return values ? expected(in, values, "an object") : wrong(in, "values", "is missing");
    return read_values(in, values);
}

static sqz_status not_json(sqz_ctx *ctx, const char *file, const char *text, const char *at)
{
    int line = 1, column = 1;
    for (const char *p = text; p < at; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return sqz_fail(ctx, SQZ_E_FORMAT, "%s:%d:%d: not JSON from here on", file, line, column);
}

sqz_status sqz_ranges_parse(sqz_ctx *ctx, const char *name, const char *text, size_t bytes,
                            sqz_ranges **out)
{
    const char *end = text;
    *out = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, bytes, &end, 0);
    if (!root)
        return not_json(ctx, name, text, SQZ_MIN(end, text + bytes));
    while (end < text + bytes && strchr(" \t\r\n", *end) && *end)
        end++;
    sqz_ranges *r = sqz_calloc(ctx, 1, sizeof *r);
    sqz_status s = !r ? SQZ_E_NOMEM : end < text + bytes ? not_json(ctx, name, text, end) : SQZ_OK;
    if (r)
        r->arena.ctx = ctx;
    if (s == SQZ_OK)
        s = read_root(&(reader){.ctx = ctx, .file = name, .r = r}, root);
    cJSON_Delete(root);
    if (s != SQZ_OK) {
        sqz_ranges_free(ctx, r);
        return s;
    }
    *out = r;
    return SQZ_OK;
}

sqz_status sqz_ranges_load(sqz_ctx *ctx, const char *path, sqz_ranges **out)
{
    void *text;
    size_t bytes;
    *out = NULL;
    SQZ_TRY(sqz_file_read(ctx, path, FILE_MAX, &text, &bytes));
    sqz_status s = sqz_ranges_parse(ctx, path, text, bytes, out);
    sqz_free(ctx, text);
    return s;
}
