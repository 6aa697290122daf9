/* baseline.c: the figures of an earlier `squeeze check`, from its JSON report. */
#include "api/work.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LARGEST 0x1p62 /* figures become 64-bit numbers of bytes when they are printed */

static sqz_status figure(sqz_ctx *ctx, const char *path, const cJSON *estimate, const char *name,
                         double *out)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(estimate, name);
    if (!cJSON_IsNumber(j))
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "baseline '%s': no number at estimate.%s; make one with `squeeze check ... "
                        "-o baseline.json`",
                        path, name);
    *out = j->valuedouble;
    if (!(*out >= 0 && *out < LARGEST))
        return sqz_fail(ctx, SQZ_E_FORMAT, "baseline '%s': estimate.%s is %g, which no device has",
                        path, name, *out);
    return SQZ_OK;
}

static sqz_status read_root(sqz_ctx *ctx, const char *path, const cJSON *root, sqz_baseline *out)
{
    const cJSON *e = cJSON_GetObjectItemCaseSensitive(root, "estimate");
    SQZ_TRY(figure(ctx, path, e, "flash", &out->flash));
    SQZ_TRY(figure(ctx, path, e, "ram", &out->ram));
    SQZ_TRY(figure(ctx, path, e, "latency", &out->latency));
    const char *device = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(e, "device"));
    if (device && strlen(device) >= sizeof out->device)
        return sqz_fail(ctx, SQZ_E_FORMAT, "baseline '%s': estimate.device is longer than a name",
                        path);
    (void)snprintf(out->device, sizeof out->device, "%s", device ? device : "");
    return SQZ_OK;
}

sqz_status sqz_baseline_parse(sqz_ctx *ctx, const char *path, const char *text, size_t n,
                              sqz_baseline *out)
{
    const char *end = NULL;
    *out = (sqz_baseline){0};
    cJSON *root = cJSON_ParseWithLengthOpts(text, n, &end, false);
    if (!root)
        return sqz_fail(ctx, SQZ_E_FORMAT, "baseline '%s': not JSON at byte %zu", path,
                        end ? (size_t)(end - text) : 0);
    sqz_status s = read_root(ctx, path, root, out);
    cJSON_Delete(root);
    return s;
}
