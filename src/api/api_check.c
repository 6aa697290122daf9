/* api_check.c: squeeze check: the gate for CI. Needs no data: estimates of the device against its
 * limits, and growth against an earlier report. */
#include "api/work.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void add_check(sqz_work *w, cJSON *list, const char *name, bool holds, const char *sentence)
{
    cJSON *o = sqz_json_object(w->rep, list, NULL);
    sqz_json_str(w->rep, o, "name", name);
    sqz_json_bool(w->rep, o, "holds", holds);
    sqz_json_str(w->rep, o, "sentence", sentence);
}

/* Limits become checks by the names that sqz_describe_limits wrote. */
static unsigned check_limits(sqz_work *w, cJSON *checks, sqz_estimate *e)
{
    unsigned broken = sqz_describe_limits(w, "limits", e, NAN, NAN);
    const cJSON *row, *limits = cJSON_GetObjectItemCaseSensitive(w->rep->root, "limits");
    cJSON_ArrayForEach(row, limits)
    {
        const char *verdict = cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(row, "verdict"));
        const char *what = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "what"));
        const char *why = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "why"));
        if (verdict && what && strcmp(verdict, "not asked") != 0)
            add_check(w, checks, what, strcmp(verdict, "broken") != 0,
                      why ? why : "within its limit");
    }
    return broken;
}

typedef struct growth {
    const char *what;
    double now, before, allowed; /* allowed: absolute */
    bool bytes;
} growth;

static unsigned check_growth(sqz_work *w, cJSON *checks, const growth *g)
{
    bool holds = g->now <= g->before + g->allowed;
    char now[32], before[32], allowed[32], sentence[256], name[64];
    if (g->bytes) {
        sqz_print_bytes(now, (uint64_t)ceil(g->now));
        sqz_print_bytes(before, (uint64_t)ceil(g->before));
        sqz_print_bytes(allowed, (uint64_t)g->allowed);
    } else {
        sqz_print_seconds(now, g->now);
        sqz_print_seconds(before, g->before);
        sqz_print_seconds(allowed, g->allowed);
    }
    (void)snprintf(name, sizeof name, "%s growth", g->what);
    (void)snprintf(sentence, sizeof sentence,
                   "%s went from %s to %s (%+.1f %%); the baseline allows %s more", g->what, before,
                   now, g->before > 0.0 ? 100.0 * (g->now / g->before - 1.0) : 0.0, allowed);
    add_check(w, checks, name, holds, sentence);
    sqz_view_row(w->rep, "%s|%s|%s|%s|%s", g->what, before, now, allowed,
                 holds ? "holds" : "broken");
    return !holds;
}

static sqz_status read_baseline(sqz_work *w, const char *path, sqz_baseline *out)
{
    void *bytes;
    size_t n;
    SQZ_TRY(sqz_note(w->ctx, sqz_file_read(w->ctx, path, 64u << 20, &bytes, &n), "baseline"));
    sqz_status s = sqz_baseline_parse(w->ctx, path, bytes, n, out);
    sqz_free(w->ctx, bytes);
    SQZ_TRY(s);
    if (out->device[0] && strcmp(out->device, w->device->name) != 0)
        return sqz_fail(w->ctx, SQZ_E_ARG, "baseline '%s' is for device '%s', not '%s'", path,
                        out->device, w->device->name);
    return SQZ_OK;
}

/* The file named on the command line, else the device file's, beside that file. */
static sqz_status baseline_path(sqz_work *w, sqz_arena *a, const char **out)
{
    *out = w->job.baseline ? w->job.baseline : w->device->baseline.file;
    if (w->job.baseline || !*out || **out == '/' || !w->device->file)
        return SQZ_OK;
    const char *slash = strrchr(w->device->file, '/');
    *out = sqz_arena_printf(a, "%.*s%s", slash ? (int)(slash - w->device->file + 1) : 0,
                            w->device->file, *out);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status check_baseline(sqz_work *w, cJSON *checks, const sqz_estimate *e,
                                 unsigned *broken)
{
    sqz_arena a = {.ctx = w->ctx};
    const char *path;
    sqz_baseline old;
    sqz_status s = baseline_path(w, &a, &path);
    if (s == SQZ_OK && path)
        s = read_baseline(w, path, &old);
    if (s == SQZ_OK && path) {
        sqz_view_heading(w->rep, "Growth since %s", path);
        sqz_view_table(w->rep, "figure|>before|>now|>allowed more|verdict");
        const growth list[] = {
            {"flash", e->flash, old.flash,
             w->device->baseline.flash * (w->device->baseline.flash_is_percent ? old.flash : 1.0),
             true},
            {"ram", e->ram, old.ram,
             w->device->baseline.ram * (w->device->baseline.ram_is_percent ? old.ram : 1.0), true},
            {"latency", e->latency, old.latency,
             w->device->baseline.latency *
                 (w->device->baseline.latency_is_percent ? old.latency : 1.0),
             false},
        };
        for (size_t i = 0; i < SQZ_COUNT(list); i++)
            *broken += check_growth(w, checks, &list[i]);
    }
    sqz_arena_free(&a);
    return s;
}

static sqz_status check(sqz_work *w)
{
    if (!w->job.device)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no device is given (--device)");
    SQZ_TRY(sqz_work_model(w));
    SQZ_TRY(sqz_work_device(w));
    sqz_estimate *e;
    SQZ_TRY(sqz_estimate_graph(w->graph, w->device, &e));
    sqz_view_heading(w->rep, "%s on %s", w->job.model, w->device->name);
    sqz_json_str(w->rep, NULL, "model", w->job.model);
    sqz_json_str(w->rep, NULL, "sha256", w->source.sha256);
    sqz_describe_estimate(w, "estimate", e);
    cJSON *checks = sqz_json_array(w->rep, NULL, "checks");
    unsigned broken = check_limits(w, checks, e);
    sqz_status s = check_baseline(w, checks, e, &broken);
    sqz_estimate_free(w->ctx, e);
    SQZ_TRY(s);
    sqz_json_bool(w->rep, NULL, "holds", broken == 0);
    if (broken)
        sqz_view_text(w->rep, "%u of %d checks broken", broken, cJSON_GetArraySize(checks));
    else
        sqz_view_text(w->rep, "all %d checks hold", cJSON_GetArraySize(checks));
    if (w->job.out && !w->job.dry_run)
        SQZ_TRY(sqz_report_write(w->rep, "json", w->job.out));
    return broken ? sqz_fail(w->ctx, SQZ_E_GATE, "%u check%s broken", broken,
                             broken == 1 ? " is" : "s are")
                  : SQZ_OK;
}

sqz_status sqz_check(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "check", check, out);
}
