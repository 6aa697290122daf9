/* keras_config.c: values of a Keras model's JSON, under the names that the versions of Keras gave
 * them. */
#include "io/keras.h"
#include <limits.h>
#include <math.h>
#include <string.h>

#define JSON_DEPTH 200 /* levels; a nested model takes four */
#define JSON_BYTES ((size_t)256 << 20)

/* cJSON parses by recursion: nesting is counted before it sees the text. */
static bool shallow(const char *text, size_t n)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if ((c == '{' || c == '[') && ++depth > JSON_DEPTH) {
            return false;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return true;
}

sqz_status sqz_keras_parse(sqz_ctx *ctx, const char *text, size_t n, cJSON **out)
{
    *out = NULL;
    if (n > JSON_BYTES || !shallow(text, n))
        return sqz_fail(ctx, SQZ_E_LIMIT,
                        "the model's JSON is longer than %zu MiB or nested deeper than %d",
                        JSON_BYTES >> 20, JSON_DEPTH);
    const char *end = NULL;
    *out = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    if (*out && cJSON_IsObject(*out))
        return SQZ_OK;
    cJSON_Delete(*out);
    *out = NULL;
    return sqz_fail(ctx, SQZ_E_FORMAT, "the model's architecture is no JSON object (byte %zu)",
                    end ? (size_t)(end - text) : 0);
}

bool sqz_kc_is(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; p && n; p = strchr(p, '|')) {
        p += *p == '|';
        if (strncmp(p, name, n) == 0 && (p[n] == 0 || p[n] == '|'))
            return true;
    }
    return false;
}

const cJSON *sqz_kc_get(const cJSON *config, const char *names)
{
    char name[64];
    while (config && *names) {
        size_t n = strcspn(names, "|");
        if (n < sizeof name) {
            memcpy(name, names, n);
            name[n] = 0;
            const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, name);
            if (item && !cJSON_IsNull(item))
                return item;
        }
        names += n + (names[n] == '|');
    }
    return NULL;
}

static void wrong(sqz_klayer *l, const char *names, const char *want)
{
    sqz_keras_fail(l, SQZ_E_FORMAT, "'%.*s' is not %s", (int)strcspn(names, "|"), names, want);
}

bool sqz_kc_bool(sqz_klayer *l, const char *names, bool def)
{
    const cJSON *item = sqz_kc_get(l->config, names);
    if (item && !cJSON_IsBool(item) && !cJSON_IsNumber(item)) {
        wrong(l, names, "true or false");
        return def;
    }
    return item ? cJSON_IsTrue(item) || (cJSON_IsNumber(item) && item->valuedouble != 0) : def;
}

/* A whole number of at most 31 bits. */
static bool whole(const cJSON *item, int64_t *out)
{
    double v = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (!(fabs(v) <= INT32_MAX) || v != floor(v))
        return false;
    *out = (int64_t)v;
    return true;
}

int64_t sqz_kc_int(sqz_klayer *l, const char *names, int64_t def)
{
    const cJSON *item = sqz_kc_get(l->config, names);
    if (item && cJSON_IsArray(item) && cJSON_GetArraySize(item) == 1)
        item = item->child;
    if (item && !whole(item, &def))
        wrong(l, names, "a whole number");
    return def;
}

double sqz_kc_num(sqz_klayer *l, const char *names, double def)
{
    const cJSON *item = sqz_kc_get(l->config, names);
    /* arrays are written as {"class_name": "__numpy__", "config": {"value": v}} by some versions */
    if (item && cJSON_IsObject(item) && sqz_kc_get(item, "config|value")) {
        const cJSON *inside = sqz_kc_get(item, "config");
        item = sqz_kc_get(inside && cJSON_IsObject(inside) ? inside : item, "value");
    }
    if (item && (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))) {
        wrong(l, names, "a number");
        return def;
    }
    return item ? item->valuedouble : def;
}

const char *sqz_kc_str(sqz_klayer *l, const char *names, const char *def)
{
    const cJSON *item = sqz_kc_get(l->config, names);
    if (item && !cJSON_IsString(item)) {
        wrong(l, names, "a text");
        return def;
    }
    return item ? item->valuestring : def;
}

uint32_t sqz_kc_list(sqz_klayer *l, const cJSON *item, int64_t none, int64_t *out)
{
    uint32_t n = 0;
    const cJSON *e = NULL;
    if (item && cJSON_IsNumber(item)) {
        if (!whole(item, &out[0]))
            sqz_keras_fail(l, SQZ_E_FORMAT, "'%s' is no whole number",
                           item->string ? item->string : "");
        return 1;
    }
    if (item &&
        cJSON_IsObject(item)) /* {"class_name": "TensorShape" or "__tuple__", "items": []} */
        item = sqz_kc_get(item, "items");
    cJSON_ArrayForEach(e, item)
    {
        if (n == SQZ_MAX_RANK || (!cJSON_IsNull(e) && !whole(e, &out[n]))) {
            sqz_keras_fail(l, SQZ_E_FORMAT, "'%s' is no list of at most %d whole numbers",
                           item->string ? item->string : "", SQZ_MAX_RANK);
            return n;
        }
        if (cJSON_IsNull(e))
            out[n] = none;
        n++;
    }
    return n;
}

void sqz_kc_ints(sqz_klayer *l, const char *names, uint32_t n, int64_t def, int64_t *out)
{
    int64_t v[SQZ_MAX_RANK];
    const cJSON *item = sqz_kc_get(l->config, names);
    uint32_t have = item ? sqz_kc_list(l, item, def, v) : 0;
    if (item && have != n && have != 1)
        wrong(l, names, "a number, or one for each spatial axis");
    for (uint32_t i = 0; i < n; i++)
        out[i] = have == 0 ? def : v[have == n ? i : 0];
}

bool sqz_kc_last(sqz_klayer *l)
{
    const char *f = sqz_kc_str(l, "data_format|dim_ordering", "channels_last");
    if (strcmp(f, "channels_first") == 0 || strcmp(f, "th") == 0)
        return false;
    if (strcmp(f, "channels_last") != 0 && strcmp(f, "tf") != 0 && strcmp(f, "default") != 0)
        sqz_keras_fail(l, SQZ_E_FORMAT, "data_format is '%.40s'", f);
    return true;
}
