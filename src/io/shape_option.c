/* shape_option.c: shapes and values of inputs that a user gives as text. */
#include "io/shape_option.h"
#include <string.h>

bool sqz_option_next(const char **text, sqz_option_entry *e)
{
    if (!*text || !**text)
        return false;
    size_t n = strcspn(*text, ";"), eq = n;
    while (eq > 0 && (*text)[eq - 1] != '=')
        eq--;
    *e = (sqz_option_entry){.name = *text,
                            .values = eq ? *text + eq : NULL,
                            .end = *text + n,
                            .n_name = eq ? eq - 1 : n};
    *text += n + ((*text)[n] == ';');
    return true;
}

static bool is_name(const sqz_option_entry *e, const char *name)
{
    return strlen(name) == e->n_name && memcmp(e->name, name, e->n_name) == 0;
}

bool sqz_option_find(const char *text, const char *name, sqz_option_entry *e)
{
    while (sqz_option_next(&text, e))
        if (e->values && is_name(e, name))
            return true;
    return false;
}

sqz_status sqz_option_check(sqz_ctx *ctx, const char *what, const char *text,
                            const char *const *name, size_t n)
{
    sqz_option_entry e;
    while (sqz_option_next(&text, &e)) {
        size_t i = 0;
        if (!e.values)
            return sqz_fail(ctx, SQZ_E_ARG, "%s option '%.*s': expected %s", what,
                            (int)SQZ_MIN(e.n_name, 80), e.name,
                            *what == 's' ? "name=1,3,224,224" : "name=16000");
        while (i < n && !is_name(&e, name[i]))
            i++;
        if (i == n)
            return sqz_fail(ctx, SQZ_E_ARG, "%s option: the model has no input '%.*s'", what,
                            (int)SQZ_MIN(e.n_name, 80), e.name);
    }
    return SQZ_OK;
}

sqz_status sqz_shape_option(sqz_ctx *ctx, const char *text, const char *name, bool *found,
                            sqz_shape *out)
{
    sqz_option_entry e;
    *found = sqz_option_find(text, name, &e);
    if (!*found)
        return SQZ_OK;
    *out = (sqz_shape){0};
    for (const char *p = e.values; p < e.end;)
        if (out->rank == SQZ_MAX_RANK || !sqz_parse_i64(p, &p, &out->dim[out->rank]) ||
            out->dim[out->rank++] < 1 || (p < e.end && *p++ != ','))
            return sqz_fail(ctx, SQZ_E_ARG,
                            "shape option '%.*s': expected at most %d numbers above 0, with commas "
                            "between",
                            (int)SQZ_MIN(e.end - e.name, 80), e.name, SQZ_MAX_RANK);
    return SQZ_OK;
}
