/* yaml.c: strict YAML through libyaml's events, into a tree in an arena. Without recursion: the
 * open collections are a stack of YAML_DEPTH entries. */
#include "base/yaml.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define YAML_DEPTH 64
#define YAML_BYTES ((size_t)1 << 20)
#define YAML_KEYS  4096 /* of one map: repeated keys are looked for pair by pair */

/* ---- messages ---- */
static sqz_status fail_at(const sqz_yaml_doc *d, int line, int column, const char *fmt, va_list ap)
{
    char text[800];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    return sqz_fail(d->arena->ctx, SQZ_E_FORMAT, "%s:%d:%d: %s", d->file, line, column, text);
}

sqz_status sqz_yaml_fail(const sqz_yaml_doc *d, const sqz_yaml *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sqz_status s = fail_at(d, n ? n->line : 1, n ? n->column : 1, fmt, ap);
    va_end(ap);
    return s;
}

SQZ_PRINTF(3, 4)
static sqz_status fail_mark(const sqz_yaml_doc *d, const yaml_mark_t *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sqz_status s = fail_at(d, (int)m->line + 1, (int)m->column + 1, fmt, ap);
    va_end(ap);
    return s;
}

/* ---- building the tree ---- */
typedef struct level {
    sqz_yaml *node, *last; /* an open list or map, its last child so far */
    unsigned n;
    const char *key; /* map: key read, its value comes next */
    int key_line, key_column;
} level;

typedef struct builder {
    const sqz_yaml_doc *d;
    sqz_arena *a;
    sqz_yaml *root;
    level open[YAML_DEPTH];
    unsigned depth, documents;
} builder;

static sqz_status refuse_decorations(const builder *b, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor)
        return fail_mark(b->d, &e->start_mark, "anchor '&%.60s': anchors are not allowed here",
                         (const char *)anchor);
    if (tag)
        return fail_mark(b->d, &e->start_mark, "tag '%.60s': tags are not allowed here",
                         (const char *)tag);
    return SQZ_OK;
}

static sqz_status take_key(builder *b, level *top, const yaml_event_t *e)
{
    const char *key = (const char *)e->data.scalar.value;
    if (e->data.scalar.length == 0 || e->data.scalar.length != strlen(key))
        return fail_mark(b->d, &e->start_mark, "a key is empty or holds a 0 byte");
    for (const sqz_yaml *n = top->node->child; n; n = n->next)
        if (strcmp(n->key, key) == 0)
            return fail_mark(b->d, &e->start_mark,
                             "key '%.60s' is here twice; the first is in line %d", key,
                             n->key_line);
    if (++top->n > YAML_KEYS)
        return fail_mark(b->d, &e->start_mark, "more than %d keys", YAML_KEYS);
    top->key = sqz_arena_strdup(b->a, key);
    top->key_line = (int)e->start_mark.line + 1;
    top->key_column = (int)e->start_mark.column + 1;
    return top->key ? SQZ_OK : SQZ_E_NOMEM;
}

/* A new node at its place in the tree. */
static sqz_status add_node(builder *b, const yaml_event_t *e, sqz_yaml_kind kind, sqz_yaml **out)
{
    sqz_yaml *n = sqz_arena_alloc(b->a, 1, sizeof *n);
    if (!n)
        return SQZ_E_NOMEM;
    *n = (sqz_yaml){
        .kind = kind, .line = (int)e->start_mark.line + 1, .column = (int)e->start_mark.column + 1};
    n->key_line = n->line;
    n->key_column = n->column;
    if (b->depth == 0) {
        b->root = n;
    } else {
        level *top = &b->open[b->depth - 1];
        if (top->node->kind == SQZ_YAML_MAP) {
            n->key = top->key;
            n->key_line = top->key_line;
            n->key_column = top->key_column;
            top->key = NULL;
        }
        n->parent = top->node;
        *(top->last ? &top->last->next : &top->node->child) = n;
        top->last = n;
    }
    *out = n;
    return SQZ_OK;
}

static bool expects_key(const builder *b)
{
    const level *top = b->depth ? &b->open[b->depth - 1] : NULL;
    return top && top->node && top->node->kind == SQZ_YAML_MAP && !top->key;
}

static sqz_status take_scalar(builder *b, const yaml_event_t *e)
{
    if (expects_key(b))
        return take_key(b, &b->open[b->depth - 1], e);
    sqz_yaml *n;
    SQZ_TRY(add_node(b, e, SQZ_YAML_SCALAR, &n));
    if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
        return fail_mark(b->d, &e->start_mark, "text holds a 0 byte");
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    n->text = sqz_arena_strndup(b->a, (const char *)e->data.scalar.value, e->data.scalar.length);
    return n->text ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status open_collection(builder *b, const yaml_event_t *e, sqz_yaml_kind kind)
{
    if (expects_key(b))
        return fail_mark(b->d, &e->start_mark, "a key must be plain text");
    if (b->depth == YAML_DEPTH)
        return fail_mark(b->d, &e->start_mark, "more than %d levels", YAML_DEPTH);
    sqz_yaml *n;
    SQZ_TRY(add_node(b, e, kind, &n));
    b->open[b->depth++] = (level){.node = n};
    return SQZ_OK;
}

static sqz_status take_event(builder *b, const yaml_event_t *e)
{
    SQZ_TRY(refuse_decorations(b, e));
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++)
            return fail_mark(b->d, &e->start_mark, "a second document; one is expected");
        if (e->data.document_start.tag_directives.start !=
            e->data.document_start.tag_directives.end)
            return fail_mark(b->d, &e->start_mark, "%%TAG directives are not allowed here");
        return SQZ_OK;
    case YAML_ALIAS_EVENT:
        return fail_mark(b->d, &e->start_mark, "alias '*%.60s': aliases are not allowed here",
                         (const char *)e->data.alias.anchor);
    case YAML_SCALAR_EVENT: return take_scalar(b, e);
    case YAML_SEQUENCE_START_EVENT: return open_collection(b, e, SQZ_YAML_LIST);
    case YAML_MAPPING_START_EVENT: return open_collection(b, e, SQZ_YAML_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: b->depth--; return SQZ_OK;
    default: return SQZ_OK;
    }
}

static sqz_status syntax_error(const builder *b, const yaml_parser_t *p)
{
    const char *what = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_MEMORY_ERROR)
        return sqz_fail(b->a->ctx, SQZ_E_NOMEM, "%s: no memory to read it", b->d->file);
    if (p->error != YAML_READER_ERROR)
        return fail_mark(b->d, &p->problem_mark, "%s%s%s", what, p->context ? ", " : "",
                         p->context ? p->context : "");
    return fail_mark(b->d, &p->mark, "%s at byte %zu", what, (size_t)p->problem_offset);
}

static sqz_status take_all(builder *b, yaml_parser_t *p)
{
    for (bool end = false; !end;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e))
            return syntax_error(b, p);
        sqz_status s = take_event(b, &e);
        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
        SQZ_TRY(s);
    }
    if (!b->root)
        return sqz_yaml_fail(b->d, NULL, "the file is empty");
    return SQZ_OK;
}

sqz_status sqz_yaml_parse(sqz_arena *a, const char *name, const char *text, size_t bytes,
                          sqz_yaml_doc *out)
{
    *out = (sqz_yaml_doc){.arena = a, .file = sqz_arena_strdup(a, name)};
    if (!out->file)
        return SQZ_E_NOMEM;
    if (bytes > YAML_BYTES)
        return sqz_fail(a->ctx, SQZ_E_LIMIT, "%s: longer than the 1 MiB that are allowed", name);
    builder b = {.d = out, .a = a};
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        return sqz_fail(a->ctx, SQZ_E_NOMEM, "%s: no memory to read it", name);
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)text, bytes);
    sqz_status s = take_all(&b, &p);
    yaml_parser_delete(&p);
    out->root = s == SQZ_OK ? b.root : NULL;
    return s;
}

sqz_status sqz_yaml_load(sqz_arena *a, const char *path, sqz_yaml_doc *out)
{
    void *text;
    size_t bytes;
    *out = (sqz_yaml_doc){.arena = a};
    SQZ_TRY(sqz_file_read(a->ctx, path, YAML_BYTES, &text, &bytes));
    sqz_status s = sqz_yaml_parse(a, path, text, bytes, out);
    sqz_free(a->ctx, text);
    return s;
}

/* ---- looking things up ---- */
const sqz_yaml *sqz_yaml_get(const sqz_yaml *map, const char *key)
{
    if (!map || map->kind != SQZ_YAML_MAP)
        return NULL;
    const sqz_yaml *n = map->child;
    while (n && strcmp(n->key, key) != 0)
        n = n->next;
    return n;
}

static const char *kind_name(const sqz_yaml *n)
{
    return n->kind == SQZ_YAML_MAP    ? "a map"
           : n->kind == SQZ_YAML_LIST ? "a list"
                                      : "a single value";
}

static sqz_status unknown_key(const sqz_yaml_doc *d, const sqz_yaml *n, const char *const *names,
                              size_t n_names)
{
    const yaml_mark_t at = {.line = (size_t)n->key_line - 1, .column = (size_t)n->key_column - 1};
    const char *near = sqz_nearest(n->key, names, n_names, sizeof *names);
    if (near)
        return fail_mark(d, &at, "unknown key '%.60s'; did you mean '%s'?", n->key, near);
    sqz_str all = {.ctx = d->arena->ctx};
    for (size_t i = 0; i < n_names; i++)
        sqz_str_addf(&all, "%s%s", i ? ", " : "", names[i]);
    sqz_status s = all.status;
    if (s == SQZ_OK)
        s = fail_mark(d, &at, "unknown key '%.60s'; keys are %s", n->key,
                      all.data ? all.data : "none");
    sqz_str_free(&all);
    return s;
}

sqz_status sqz_yaml_known(const sqz_yaml_doc *d, const sqz_yaml *map, const char *const *names,
                          size_t n)
{
    if (map->kind != SQZ_YAML_MAP)
        return sqz_yaml_fail(d, map, "found %s where a map of 'key: value' is expected",
                             kind_name(map));
    for (const sqz_yaml *c = map->child; c; c = c->next) {
        size_t i = 0;
        while (i < n && strcmp(names[i], c->key) != 0)
            i++;
        if (i == n)
            return unknown_key(d, c, names, n);
    }
    return SQZ_OK;
}

/* ---- typed values ---- */
static const char *label(const sqz_yaml *n) { return n->key ? n->key : "item"; }

static bool is_null(const sqz_yaml *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    bool yes = false;
    for (size_t i = 0; i < SQZ_COUNT(nulls); i++)
        yes = yes || strcmp(n->text, nulls[i]) == 0;
    return yes && !n->quoted;
}

static sqz_status need_scalar(const sqz_yaml_doc *d, const sqz_yaml *n, const char *want)
{
    if (n->kind != SQZ_YAML_SCALAR)
        return sqz_yaml_fail(d, n, "'%.60s' is %s; %s is expected", label(n), kind_name(n), want);
    if (is_null(n))
        return sqz_yaml_fail(d, n, "'%.60s' has no value; %s is expected", label(n), want);
    return SQZ_OK;
}

static sqz_status wrong_value(const sqz_yaml_doc *d, const sqz_yaml *n, const char *want)
{
    return sqz_yaml_fail(d, n, "'%.60s' is %s%.60s%s; %s is expected", label(n),
                         n->quoted ? "the text \"" : "", n->text, n->quoted ? "\"" : "", want);
}

sqz_status sqz_yaml_str(const sqz_yaml_doc *d, const sqz_yaml *n, const char **out)
{
    if (!n)
        return SQZ_OK;
    SQZ_TRY(need_scalar(d, n, "text"));
    *out = n->text;
    return SQZ_OK;
}

sqz_status sqz_yaml_bool(const sqz_yaml_doc *d, const sqz_yaml *n, bool *out)
{
    if (!n)
        return SQZ_OK;
    SQZ_TRY(need_scalar(d, n, "true or false"));
    bool yes = strcmp(n->text, "true") == 0;
    if (n->quoted || (!yes && strcmp(n->text, "false") != 0))
        return wrong_value(d, n, "true or false");
    *out = yes;
    return SQZ_OK;
}

sqz_status sqz_yaml_int(const sqz_yaml_doc *d, const sqz_yaml *n, int64_t min, int64_t max,
                        int64_t *out)
{
    if (!n)
        return SQZ_OK;
    int64_t v;
    SQZ_TRY(need_scalar(d, n, "a whole number"));
    if (n->quoted || !sqz_parse_i64(n->text, NULL, &v))
        return wrong_value(d, n, "a whole number");
    if (v < min || v > max)
        return sqz_yaml_fail(d, n, "'%.60s' is %lld; allowed is %lld to %lld", label(n),
                             (long long)v, (long long)min, (long long)max);
    *out = v;
    return SQZ_OK;
}

sqz_status sqz_yaml_f64(const sqz_yaml_doc *d, const sqz_yaml *n, double min, double max,
                        double *out)
{
    if (!n)
        return SQZ_OK;
    double v;
    SQZ_TRY(need_scalar(d, n, "a number"));
    if (n->quoted || !sqz_parse_f64(n->text, NULL, &v) || !isfinite(v))
        return wrong_value(d, n, "a number");
    if (v < min || v > max) {
        char lo[32], hi[32];
        sqz_print_f64(lo, min);
        sqz_print_f64(hi, max);
        return sqz_yaml_fail(d, n, "'%.60s' is %.60s; allowed is %s to %s", label(n), n->text, lo,
                             hi);
    }
    *out = v;
    return SQZ_OK;
}

sqz_status sqz_yaml_quantity(const sqz_yaml_doc *d, const sqz_yaml *n, sqz_dim dim, double *out)
{
    if (!n)
        return SQZ_OK;
    SQZ_TRY(need_scalar(d, n, "a quantity with its unit"));
    sqz_status s = sqz_quantity(d->arena->ctx, label(n), n->text, dim, out);
    if (s == SQZ_E_ARG) { /* the sentence is right; what it lacks is the place */
        char why[sizeof d->arena->ctx->error];
        memcpy(why, d->arena->ctx->error, sizeof why);
        s = sqz_yaml_fail(d, n, "%s", why);
    }
    return s;
}
