/* schema.c: option structs as text and back, driven by their schema.
 *
 *   text   = { option }, separated by white space, or by ',' where a `name=` follows
 *   option = name '=' value
 *   value  = word | "quoted, with \" and \\"
 *
 * Items of a list are separated by ',' or ':' ("pads=1,1,1,1"). A value without quotes ends at
 * white space, at a ',' that starts the next option, and has no quotes in it. */
#include "base/schema.h"
#include <math.h>
#include <string.h>

#define NAMES_MAX 64    /* choices of one enum */
#define LIST_MAX  65536 /* items of one list */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static const char *skip_blank(const char *p)
{
    while (is_blank(*p))
        p++;
    return p;
}

static bool starts_option(const char *p) /* name '=' */
{
    p = skip_blank(p);
    const char *name = p;
    while (is_word(*p))
        p++;
    return p > name && *p == '=';
}

/* ---- fields ---- */
static int64_t *as_int(const sqz_attr *at, const void *o) { return sqz_opt_field(at, o); }
static double *as_float(const sqz_attr *at, const void *o) { return sqz_opt_field(at, o); }
static const char **as_string(const sqz_attr *at, const void *o) { return sqz_opt_field(at, o); }
static sqz_ints *as_ints(const sqz_attr *at, const void *o) { return sqz_opt_field(at, o); }
static sqz_floats *as_floats(const sqz_attr *at, const void *o) { return sqz_opt_field(at, o); }

static bool is_integral(const sqz_attr *at)
{
    return at->type == SQZ_A_INT || at->type == SQZ_A_BOOL || at->type == SQZ_A_ENUM;
}

/* Name number k of "a|b|c"; its length in *n; NULL past the end. */
static const char *choice(const char *names, int64_t k, size_t *n)
{
    const char *p = names;
    for (; k > 0 && p; k--) {
        p = strchr(p, '|');
        p = p ? p + 1 : NULL;
    }
    *n = p ? strcspn(p, "|") : 0;
    return k < 0 ? NULL : p;
}

void sqz_opts_default(const sqz_info *info, void *opts)
{
    if (info->opt_size)
        memset(opts, 0, info->opt_size);
    for (unsigned i = 0; i < info->n_opts; i++) {
        const sqz_attr *at = &info->opts[i];
        if (is_integral(at))
            *as_int(at, opts) = (int64_t)at->def;
        else if (at->type == SQZ_A_FLOAT)
            *as_float(at, opts) = at->def;
        else if (at->type == SQZ_A_STRING)
            *as_string(at, opts) = at->names;
    }
}

/* ---- checks ---- */
/* min >= max in the schema means that there are no bounds. NaN is never in bounds. */
static bool in_bounds(const sqz_attr *at, double v)
{
    return at->min >= at->max ? !isnan(v) : v >= at->min && v <= at->max;
}

static sqz_status out_of_bounds(sqz_ctx *ctx, const sqz_attr *at, double v)
{
    char value[32], lo[32], hi[32];
    sqz_print_f64(value, v);
    sqz_print_f64(lo, at->min);
    sqz_print_f64(hi, at->max);
    if (at->min >= at->max)
        return sqz_fail(ctx, SQZ_E_ARG, "option '%s' is %s; a number is expected", at->name, value);
    return sqz_fail(ctx, SQZ_E_ARG, "option '%s' is %s; allowed is %s to %s", at->name, value, lo,
                    hi);
}

static sqz_status check_field(sqz_ctx *ctx, const sqz_attr *at, const void *opts)
{
    size_t n;
    switch (at->type) {
    case SQZ_A_BOOL:
        if (*as_int(at, opts) != 0 && *as_int(at, opts) != 1)
            return sqz_fail(ctx, SQZ_E_ARG, "option '%s' is %lld; allowed is 0 or 1", at->name,
                            (long long)*as_int(at, opts));
        return SQZ_OK;
    case SQZ_A_ENUM:
        if (!choice(at->names, *as_int(at, opts), &n))
            return sqz_fail(ctx, SQZ_E_ARG, "option '%s' has choice number %lld; choices are %s",
                            at->name, (long long)*as_int(at, opts), at->names);
        return SQZ_OK;
    case SQZ_A_INT: {
        double v = (double)*as_int(at, opts);
        return in_bounds(at, v) ? SQZ_OK : out_of_bounds(ctx, at, v);
    }
    case SQZ_A_FLOAT: {
        double v = *as_float(at, opts);
        return in_bounds(at, v) ? SQZ_OK : out_of_bounds(ctx, at, v);
    }
    case SQZ_A_INTS:
        for (uint32_t i = 0; i < as_ints(at, opts)->n; i++)
            if (!in_bounds(at, (double)as_ints(at, opts)->v[i]))
                return out_of_bounds(ctx, at, (double)as_ints(at, opts)->v[i]);
        return SQZ_OK;
    case SQZ_A_FLOATS:
        for (uint32_t i = 0; i < as_floats(at, opts)->n; i++)
            if (!in_bounds(at, (double)as_floats(at, opts)->v[i]))
                return out_of_bounds(ctx, at, (double)as_floats(at, opts)->v[i]);
        return SQZ_OK;
    case SQZ_A_STRING: return SQZ_OK;
    }
    return sqz_fail(ctx, SQZ_E_INTERNAL, "option '%s' has unknown type %d", at->name,
                    (int)at->type);
}

sqz_status sqz_opts_check(sqz_ctx *ctx, const sqz_info *info, const void *opts)
{
    for (unsigned i = 0; i < info->n_opts; i++)
        SQZ_TRY(sqz_note(ctx, check_field(ctx, &info->opts[i], opts), "%s", info->name));
    return SQZ_OK;
}

/* ---- parsing ---- */
/* Takes the value at *p into the arena (NULL: no memory); *p ends behind it. */
static sqz_status take_value(sqz_arena *a, const sqz_attr *at, const char **p, char **out)
{
    const char *from = *p, *to = from;
    if (*from != '"') {
        while (*to && !is_blank(*to) && *to != '"' && !(*to == ',' && starts_option(to + 1)))
            to++;
        if (*to == '"')
            return sqz_fail(a->ctx, SQZ_E_ARG,
                            "option '%s': a value with quotes must begin with them", at->name);
        *p = to;
        *out = sqz_arena_strndup(a, from, (size_t)(to - from));
        return SQZ_OK;
    }
    char *text = *out = sqz_arena_strdup(a, from + 1); /* unescaped in place: never longer */
    if (!text)
        return SQZ_OK;
    for (to = from + 1; *to && *to != '"'; to++) {
        if (*to == '\\' && (to[1] == '"' || to[1] == '\\'))
            to++;
        *text++ = *to;
    }
    if (!*to)
        return sqz_fail(a->ctx, SQZ_E_ARG, "option '%s': the closing quote is missing", at->name);
    *text = 0;
    *p = to + 1;
    if (**p && !is_blank(**p) && **p != ',')
        return sqz_fail(a->ctx, SQZ_E_ARG, "option '%s': text follows the closing quote", at->name);
    return SQZ_OK;
}

static sqz_status wrong_value(sqz_ctx *ctx, const sqz_attr *at, const char *text, const char *want)
{
    return sqz_fail(ctx, SQZ_E_ARG, "option '%s' is '%s'; %s is expected", at->name, text, want);
}

static sqz_status parse_enum(sqz_ctx *ctx, const sqz_attr *at, const char *text, int64_t *out)
{
    char word[NAMES_MAX][64];
    const char *names[NAMES_MAX];
    size_t n_names = 0, n;
    for (int64_t k = 0; k < NAMES_MAX; k++) {
        const char *name = choice(at->names, k, &n);
        if (!name)
            break;
        if (n == strlen(text) && memcmp(name, text, n) == 0) {
            *out = k;
            return SQZ_OK;
        }
        n = SQZ_MIN(n, sizeof word[0] - 1);
        memcpy(word[k], name, n);
        word[k][n] = 0;
        names[n_names++] = word[k];
    }
    const char *near = sqz_nearest(text, names, n_names, sizeof *names);
    return sqz_fail(ctx, SQZ_E_ARG, "option '%s' is '%s'; choices are %s%s%s%s", at->name, text,
                    at->names, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static sqz_status parse_bool(sqz_ctx *ctx, const sqz_attr *at, const char *text, int64_t *out)
{
    bool yes = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "0") != 0 && strcmp(text, "false") != 0)
        return wrong_value(ctx, at, text, "1, 0, true or false");
    *out = yes;
    return SQZ_OK;
}

static sqz_status parse_list(sqz_arena *a, const sqz_attr *at, const char *text, void *field)
{
    bool whole = at->type == SQZ_A_INTS;
    size_t n = *text != 0, i = 0;
    for (const char *p = text; *p; p++)
        n += *p == ',' || *p == ':';
    if (n > LIST_MAX)
        return sqz_fail(a->ctx, SQZ_E_LIMIT, "option '%s' has %zu items; %d are allowed", at->name,
                        n, LIST_MAX);
    void *items = n ? sqz_arena_alloc(a, n, whole ? sizeof(int64_t) : sizeof(float)) : NULL;
    if (n && !items)
        return SQZ_E_NOMEM;
    for (const char *p = text; i < n; i++) {
        const char *end = p;
        double v = 0;
        bool good = whole ? sqz_parse_i64(p, &end, (int64_t *)items + i)
                          : sqz_parse_f64(p, &end, &v) && (isinf(v) || isfinite((float)v));
        if (!good || (*end && *end != ',' && *end != ':'))
            return wrong_value(a->ctx, at, text,
                               whole ? "a list of whole numbers such as 1,1"
                                     : "a list of numbers such as 0.5,2");
        if (!whole)
            ((float *)items)[i] = (float)v;
        p = end + (*end != 0);
    }
    if (whole)
        *(sqz_ints *)field = (sqz_ints){(uint32_t)n, items};
    else
        *(sqz_floats *)field = (sqz_floats){(uint32_t)n, items};
    return SQZ_OK;
}

static sqz_status parse_value(sqz_arena *a, const sqz_attr *at, char *text, void *opts)
{
    switch (at->type) {
    case SQZ_A_INT:
        if (!sqz_parse_i64(text, NULL, as_int(at, opts)))
            return wrong_value(a->ctx, at, text, "a whole number");
        break;
    case SQZ_A_FLOAT:
        if (!sqz_parse_f64(text, NULL, as_float(at, opts)))
            return wrong_value(a->ctx, at, text, "a number");
        break;
    case SQZ_A_BOOL: return parse_bool(a->ctx, at, text, as_int(at, opts));
    case SQZ_A_ENUM: return parse_enum(a->ctx, at, text, as_int(at, opts));
    case SQZ_A_STRING: *as_string(at, opts) = text; break;
    case SQZ_A_INTS:
    case SQZ_A_FLOATS: SQZ_TRY(parse_list(a, at, text, sqz_opt_field(at, opts))); break;
    }
    return check_field(a->ctx, at, opts);
}

static sqz_status unknown_option(sqz_ctx *ctx, const sqz_info *info, const char *name)
{
    if (info->n_opts == 0)
        return sqz_fail(ctx, SQZ_E_ARG, "unknown option '%s'; there are no options", name);
    const char *near = sqz_nearest(name, &info->opts[0].name, info->n_opts, sizeof *info->opts);
    if (near)
        return sqz_fail(ctx, SQZ_E_ARG, "unknown option '%s'; did you mean '%s'?", name, near);
    sqz_str all = {.ctx = ctx};
    for (unsigned i = 0; i < info->n_opts; i++)
        sqz_str_addf(&all, "%s%s", i ? ", " : "", info->opts[i].name);
    sqz_status s = all.status;
    if (s == SQZ_OK)
        s = sqz_fail(ctx, SQZ_E_ARG, "unknown option '%s'; options are %s", name, all.data);
    sqz_str_free(&all);
    return s;
}

/* One option at *p. seen[i]: option i came before. */
static sqz_status parse_option(sqz_arena *a, const sqz_info *info, const char **p, bool *seen,
                               void *opts)
{
    const char *from = *p;
    while (is_word(**p))
        (*p)++;
    if (**p != '=' || *p == from)
        return sqz_fail(a->ctx, SQZ_E_ARG, "found '%.40s' where 'name=value' is expected", from);
    char *name = sqz_arena_strndup(a, from, (size_t)(*p - from)), *value = NULL;
    if (!name)
        return SQZ_E_NOMEM;
    unsigned i = 0;
    while (i < info->n_opts && strcmp(info->opts[i].name, name) != 0)
        i++;
    if (i == info->n_opts)
        return unknown_option(a->ctx, info, name);
    if (seen[i])
        return sqz_fail(a->ctx, SQZ_E_ARG, "option '%s' is given twice", name);
    seen[i] = true;
    ++*p;
    SQZ_TRY(take_value(a, &info->opts[i], p, &value));
    if (!value)
        return SQZ_E_NOMEM;
    return parse_value(a, &info->opts[i], value, opts);
}

static sqz_status parse_all(sqz_arena *a, const sqz_info *info, const char *text, void *opts)
{
    bool *seen = sqz_arena_alloc(a, info->n_opts + 1, sizeof *seen);
    if (!seen)
        return SQZ_E_NOMEM;
    for (const char *p = skip_blank(text); *p;) {
        SQZ_TRY(parse_option(a, info, &p, seen, opts));
        p = skip_blank(p);
        if (*p == ',' && starts_option(p + 1))
            p = skip_blank(p + 1);
    }
    return SQZ_OK;
}

sqz_status sqz_opts_parse(sqz_arena *a, const sqz_info *info, const char *text, void *opts)
{
    return sqz_note(a->ctx, parse_all(a, info, text, opts), "%s", info->name);
}

/* ---- comparing, printing, copying ---- */
static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0; /* a text left out is an empty one */
}

static bool field_equal(const sqz_attr *at, const void *a, const void *b)
{
    if (is_integral(at))
        return *as_int(at, a) == *as_int(at, b);
    if (at->type == SQZ_A_FLOAT) {
        double x = *as_float(at, a), y = *as_float(at, b);
        return x == y || (isnan(x) && isnan(y));
    }
    if (at->type == SQZ_A_STRING)
        return same_text(*as_string(at, a), *as_string(at, b));
    if (at->type == SQZ_A_INTS) {
        const sqz_ints *x = as_ints(at, a), *y = as_ints(at, b);
        return x->n == y->n && (!x->n || memcmp(x->v, y->v, x->n * sizeof *x->v) == 0);
    }
    const sqz_floats *x = as_floats(at, a), *y = as_floats(at, b);
    if (x->n != y->n)
        return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (x->v[i] != y->v[i])
            return false;
    return true;
}

bool sqz_opts_equal(const sqz_info *info, const void *a, const void *b)
{
    for (unsigned i = 0; i < info->n_opts; i++)
        if (!field_equal(&info->opts[i], a, b))
            return false;
    return true;
}

static bool is_default(const sqz_attr *at, const void *opts)
{
    switch (at->type) {
    case SQZ_A_STRING: return same_text(*as_string(at, opts), at->names);
    case SQZ_A_INTS: return as_ints(at, opts)->n == 0;
    case SQZ_A_FLOATS: return as_floats(at, opts)->n == 0;
    case SQZ_A_FLOAT: return *as_float(at, opts) == at->def;
    default: return *as_int(at, opts) == (int64_t)at->def;
    }
}

static void print_text(sqz_str *out, const char *text)
{
    bool plain = *text != 0;
    for (const char *p = text; *p; p++)
        plain = plain && (is_word(*p) || *p == '/' || *p == ':' || *p == '%');
    if (plain) {
        sqz_str_add(out, text);
        return;
    }
    sqz_str_add(out, "\"");
    for (const char *p = text; *p; p++)
        sqz_str_addf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    sqz_str_add(out, "\"");
}

static void print_value(sqz_str *out, const sqz_attr *at, const void *opts)
{
    char number[32];
    size_t n;
    switch (at->type) {
    case SQZ_A_INT:
    case SQZ_A_BOOL: sqz_str_addf(out, "%lld", (long long)*as_int(at, opts)); break;
    case SQZ_A_ENUM: {
        const char *name = choice(at->names, *as_int(at, opts), &n);
        sqz_str_addn(out, name ? name : "?", name ? n : 1);
        break;
    }
    case SQZ_A_FLOAT:
        sqz_print_f64(number, *as_float(at, opts));
        sqz_str_add(out, number);
        break;
    case SQZ_A_STRING: print_text(out, *as_string(at, opts) ? *as_string(at, opts) : ""); break;
    case SQZ_A_INTS:
        for (uint32_t i = 0; i < as_ints(at, opts)->n; i++)
            sqz_str_addf(out, "%s%lld", i ? "," : "", (long long)as_ints(at, opts)->v[i]);
        break;
    case SQZ_A_FLOATS:
        for (uint32_t i = 0; i < as_floats(at, opts)->n; i++) {
            sqz_print_f32(number, as_floats(at, opts)->v[i]);
            sqz_str_addf(out, "%s%s", i ? "," : "", number);
        }
        break;
    }
}

void sqz_opts_print(sqz_str *out, const sqz_info *info, const void *opts)
{
    const char *gap = "";
    for (unsigned i = 0; i < info->n_opts; i++) {
        if (is_default(&info->opts[i], opts))
            continue;
        sqz_str_addf(out, "%s%s=", gap, info->opts[i].name);
        print_value(out, &info->opts[i], opts);
        gap = " ";
    }
}

static void *copy_items(sqz_arena *a, const void *from, size_t n, size_t elem)
{
    void *to = sqz_arena_alloc(a, n, elem);
    if (to)
        memcpy(to, from, n * elem);
    return to;
}

sqz_status sqz_opts_copy(sqz_arena *a, const sqz_info *info, const void *from, void **to)
{
    *to = NULL;
    if (!info->opt_size)
        return SQZ_OK;
    void *o = copy_items(a, from, info->opt_size, 1);
    if (!o)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < info->n_opts; i++) {
        const sqz_attr *at = &info->opts[i];
        if (at->type == SQZ_A_STRING && *as_string(at, o)) {
            *as_string(at, o) = sqz_arena_strdup(a, *as_string(at, o));
            if (!*as_string(at, o))
                return SQZ_E_NOMEM;
        } else if (at->type == SQZ_A_INTS && as_ints(at, o)->n) {
            sqz_ints *l = as_ints(at, o);
            l->v = copy_items(a, l->v, l->n, sizeof *l->v);
            if (!l->v)
                return SQZ_E_NOMEM;
        } else if (at->type == SQZ_A_FLOATS && as_floats(at, o)->n) {
            sqz_floats *l = as_floats(at, o);
            l->v = copy_items(a, l->v, l->n, sizeof *l->v);
            if (!l->v)
                return SQZ_E_NOMEM;
        }
    }
    *to = o;
    return SQZ_OK;
}
