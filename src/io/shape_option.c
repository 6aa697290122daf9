/* shape_option.c: shapes of inputs that a user gives as text. */
#include "io/shape_option.h"
#include <string.h>

/* One entry of the text: name of `name_n` bytes, sizes from `sizes` to `end`. */
typedef struct entry {
    const char *name, *sizes, *end;
    size_t name_n;
} entry;

static bool next(const char **at, entry *e)
{
    if (!*at || !**at)
        return false;
    size_t n = strcspn(*at, ";"), eq = n;
    while (eq > 0 && (*at)[eq - 1] != '=')
        eq--;
    *e = (entry){*at, *at + eq, *at + n, eq ? eq - 1 : 0};
    *at += n + ((*at)[n] == ';');
    return true;
}

static sqz_status sizes_of(sqz_ctx *ctx, const entry *e, sqz_shape *out)
{
    *out = (sqz_shape){0};
    for (const char *p = e->sizes; p < e->end;)
        if (out->rank == SQZ_MAX_RANK || !sqz_parse_i64(p, &p, &out->dim[out->rank]) ||
            out->dim[out->rank++] < 1 || (p < e->end && *p++ != ','))
            return sqz_fail(ctx, SQZ_E_ARG,
                            "shape option '%.*s': expected at most %d numbers above 0, with commas "
                            "between",
                            (int)SQZ_MIN(e->end - e->name, 80), e->name, SQZ_MAX_RANK);
    return SQZ_OK;
}

sqz_status sqz_shape_option(sqz_ctx *ctx, const char *text, const char *name, bool *found,
                            sqz_shape *out)
{
    entry e;
    *found = false;
    while (next(&text, &e)) {
        if (e.sizes == e.name)
            return sqz_fail(ctx, SQZ_E_ARG, "shape option '%.*s': expected name=1,3,224,224",
                            (int)SQZ_MIN(e.end - e.name, 80), e.name);
        if (e.name_n == strlen(name) && memcmp(e.name, name, e.name_n) == 0) {
            *found = true;
            SQZ_TRY(sizes_of(ctx, &e, out));
        }
    }
    return SQZ_OK;
}

sqz_status sqz_shape_option_check(sqz_ctx *ctx, const char *text, const char *const *name, size_t n)
{
    entry e;
    while (next(&text, &e)) {
        bool known = false;
        for (size_t i = 0; i < n && !known; i++)
            known = strlen(name[i]) == e.name_n && memcmp(e.name, name[i], e.name_n) == 0;
        if (!known)
            return sqz_fail(ctx, SQZ_E_ARG, "shape option: the model has no input '%.*s'",
                            (int)SQZ_MIN(e.name_n, 80), e.name);
    }
    return SQZ_OK;
}
