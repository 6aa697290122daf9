/* chain.c: see chain.h. */
#include "base/chain.h"
#include <string.h>

static const char *skip_blank(const char *p) { return p + strspn(p, " \t\r\n"); }

/* The ')' that closes the options begun at p, quotes and inner pairs skipped; NULL: none. */
static const char *closing(const char *p)
{
    unsigned depth = 0;
    for (bool quoted = false; *p; p++) {
        if (*p == '\\' && quoted && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (*p == '(' && !quoted)
            depth++;
        else if (*p == ')' && !quoted && depth-- == 0)
            return p;
    }
    return NULL;
}

static sqz_status find(sqz_ctx *ctx, const sqz_chain_table *t, const char *name, size_t *out)
{
    const char *near = NULL; /* sqz_nearest wants an array; names are spread over the table */
    unsigned best = 3;
    for (*out = 0; *out < t->n; ++*out)
        if (strcmp(t->info(*out)->name, name) == 0)
            return SQZ_OK;
    for (size_t i = 0; i < t->n; i++) {
        const unsigned d = sqz_distance(name, t->info(i)->name);
        if (d < best) {
            best = d;
            near = t->info(i)->name;
        }
    }
    return near ? sqz_fail(ctx, SQZ_E_ARG, "%s: no %s is called '%s'; did you mean '%s'?", t->chain,
                           t->item, name, near)
                : sqz_fail(ctx, SQZ_E_ARG, "%s: no %s is called '%s'", t->chain, t->item, name);
}

static sqz_status read_item(sqz_arena *a, const sqz_chain_table *t, const char **text,
                            sqz_chain_item *out)
{
    const char *p = skip_blank(*text), *begin = p;
    const size_t n = strcspn(p, ",( \t\r\n)");
    if (!n)
        return sqz_fail(a->ctx, SQZ_E_ARG, "%s: the name of a %s is expected at '%.20s'", t->chain,
                        t->item, p);
    char *name = sqz_arena_strndup(a, p, n), *options = "";
    if (!name)
        return SQZ_E_NOMEM;
    SQZ_TRY(find(a->ctx, t, name, &out->entry));
    p = skip_blank(p + n);
    if (*p == '(') {
        const char *end = closing(p + 1);
        if (!end)
            return sqz_fail(a->ctx, SQZ_E_ARG, "%s: '%s(' is not closed", t->chain, name);
        options = sqz_arena_strndup(a, p + 1, (size_t)(end - p) - 1);
        p = end + 1;
    } else {
        p = begin + n;
    }
    out->text = sqz_arena_strndup(a, begin, (size_t)(p - begin));
    *text = skip_blank(p);
    const sqz_info *info = t->info(out->entry);
    out->opts = info->opt_size ? sqz_arena_alloc(a, 1, info->opt_size) : NULL;
    if (!options || !out->text || (info->opt_size && !out->opts))
        return SQZ_E_NOMEM;
    sqz_opts_default(info, out->opts);
    SQZ_TRY(sqz_note(a->ctx, sqz_opts_parse(a, info, options, out->opts), "%s: %s '%s'", t->chain,
                     t->item, name));
    return sqz_note(a->ctx, sqz_opts_check(a->ctx, info, out->opts), "%s: %s '%s'", t->chain,
                    t->item, name);
}

sqz_status sqz_chain_read(sqz_arena *a, const sqz_chain_table *t, const char *text,
                          sqz_chain_item **list, unsigned *n)
{
    *n = 0;
    *list = sqz_arena_alloc(a, SQZ_CHAIN_MOST, sizeof **list);
    if (!*list)
        return SQZ_E_NOMEM;
    for (const char *p = skip_blank(text); *p; p = skip_blank(p)) {
        if (*n == SQZ_CHAIN_MOST)
            return sqz_fail(a->ctx, SQZ_E_LIMIT, "%s: more than %d of a %s", t->chain,
                            SQZ_CHAIN_MOST, t->item);
        SQZ_TRY(read_item(a, t, &p, &(*list)[(*n)++]));
        if (*p && *p != ',')
            return sqz_fail(a->ctx, SQZ_E_ARG, "%s: ',' is expected at '%.20s'", t->chain, p);
        if (*p == ',' && !*skip_blank(++p))
            return sqz_fail(a->ctx, SQZ_E_ARG, "%s: the name of a %s is expected at the end",
                            t->chain, t->item);
    }
    return SQZ_OK;
}
