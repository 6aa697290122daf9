/* api_prepare.c: squeeze prepare: raw data -> one HDF5 set. */
#include "api/work.h"
#include <string.h>

static sqz_status prepare(sqz_work *w)
{
    if (!w->job.data)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no data specification is given");
    if (!w->job.out && !w->job.dry_run)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no output file is given (-o data.h5)");
    SQZ_TRY(sqz_prepare_run(w->ctx, w->job.data, w->job.out, w->job.dry_run != 0, w->rep->root));
    const cJSON *item;
    static const char *const left_out[] = {"squeeze_report", "command", "version"};
    sqz_view_table(w->rep, "data set|");
    cJSON_ArrayForEach(item, w->rep->root)
    {
        bool shown = item->string != NULL;
        for (size_t i = 0; shown && i < SQZ_COUNT(left_out); i++)
            shown = strcmp(item->string, left_out[i]) != 0;
        if (!shown)
            continue;
        char *text = cJSON_IsString(item) ? NULL : cJSON_PrintUnformatted(item);
        sqz_view_row(w->rep, "%s|%s", item->string,
                     text                ? text
                     : item->valuestring ? item->valuestring
                                         : "");
        cJSON_free(text);
    }
    return SQZ_OK;
}

sqz_status sqz_prepare(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "prepare", prepare, out);
}
