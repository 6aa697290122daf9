/* calib.c: the table of calibrators. */
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

sqz_status sqz_calib_range(sqz_ctx *ctx, const sqz_calib *c, const void *opts, const sqz_hist *h,
                           unsigned levels, bool symmetric, sqz_range *out)
{
    *out = (sqz_range){0.0f, 0.0f};
    if (h->count == 0)
        return SQZ_OK;
    return c->range(ctx, h, opts, levels, symmetric, out);
}
