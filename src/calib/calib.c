/* calib.c: the table of calibrators, and how they are spelt. */
#include "calib/calib.h"
#include <string.h>

/* sqz_calib_list.inc is generated from the file names src/calib/calib_<name>.c */
#define SQZ_ENTRY(name) extern const sqz_calib sqz_calib_##name;
#include "sqz_calib_list.inc"
#undef SQZ_ENTRY
const sqz_calib *const sqz_calibs[] = {
#define SQZ_ENTRY(name) &sqz_calib_##name,
#include "sqz_calib_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_calibs = SQZ_COUNT(sqz_calibs);

const sqz_calib *sqz_calib_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_calibs; i++)
        if (strcmp(sqz_calibs[i]->info.name, name) == 0)
            return sqz_calibs[i];
    return NULL;
}

static sqz_status unknown_rule(sqz_arena *a, const char *name)
{
    const char **names = sqz_arena_alloc(a, sqz_n_calibs, sizeof *names);
    sqz_str known = {.ctx = a->ctx};
    if (!names)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < sqz_n_calibs; i++) {
        names[i] = sqz_calibs[i]->info.name;
        sqz_str_addf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = sqz_nearest(name, names, sqz_n_calibs, sizeof *names);
    sqz_status s = known.status != SQZ_OK
                       ? known.status
                       : sqz_fail(a->ctx, SQZ_E_ARG, "no calibrator '%s'%s%s%s (there are %s)",
                                  name, near ? ", did you mean '" : "", near ? near : "",
                                  near ? "'?" : "", known.data);
    sqz_str_free(&known);
    return s;
}

sqz_status sqz_calib_spec(sqz_arena *a, const char *spec, const sqz_calib **c, const void **opts)
{
    size_t n = strcspn(spec, "(");
    const char *open = spec[n] ? spec + n + 1 : NULL, *close = open ? strrchr(open, ')') : NULL;
    char *name = sqz_arena_strndup(a, spec, n);
    char *text = sqz_arena_strndup(a, open ? open : "", close ? (size_t)(close - open) : 0);
    if (!name || !text)
        return SQZ_E_NOMEM;
    if (open && (!close || close[1]))
        return sqz_fail(a->ctx, SQZ_E_ARG, "calibrator '%s': expected name(option=value)", spec);
    *c = sqz_calib_find(name);
    if (!*c)
        return unknown_rule(a, name);
    void *o = sqz_arena_alloc(a, 1, SQZ_MAX((*c)->info.opt_size, 1));
    if (!o)
        return SQZ_E_NOMEM;
    sqz_opts_default(&(*c)->info, o);
    SQZ_TRY(sqz_note(a->ctx, sqz_opts_parse(a, &(*c)->info, text, o), "calibrator '%s'", name));
    SQZ_TRY(sqz_opts_check(a->ctx, &(*c)->info, o));
    *opts = o;
    return SQZ_OK;
}

sqz_status sqz_calib_range(sqz_ctx *ctx, const sqz_calib *c, const void *opts, const sqz_hist *h,
                           unsigned levels, bool symmetric, sqz_range *out)
{
    *out = (sqz_range){0.0f, 0.0f};
    if (h->count == 0)
        return SQZ_OK;
    if (h->ends_only)
        return sqz_calib_find("minmax")->range(ctx, h, NULL, levels, symmetric, out);
    return c->range(ctx, h, opts, levels, symmetric, out);
}
