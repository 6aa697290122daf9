/* distill_report.c: how a training went: epochs as a table and as JSON, curves for the page, and a
 * line of blocks for the terminal. */
#include "api/distill.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Names of outputs are of files: a bar would end a cell. */
static const char *cell(sqz_course *c, const char *name)
{
    char *copy = sqz_arena_strdup(&c->w->arena, name);
    for (char *p = copy; p && *p; p++)
        *p = *p == '|' ? '/' : *p;
    return copy ? copy : "";
}

/* ---- the table ---- */

static void head(sqz_course *c)
{
    const sqz_objective *o = c->objective;
    sqz_str t = {.ctx = c->w->ctx};
    sqz_str_add(&t, ">epoch");
    for (uint32_t k = 0; k < o->n_report; k++)
        sqz_str_addf(&t, "|>%s", cell(c, o->report[k]));
    if (c->judged)
        sqz_str_addf(&t, "|>%s on valid", c->judged->info.name);
    sqz_str_add(&t, "|>learning rate|>seconds|");
    if (t.status == SQZ_OK)
        sqz_view_table(c->w->rep, t.data);
    sqz_str_free(&t);
}

static void row(sqz_course *c, uint32_t i, const sqz_epoch *e)
{
    sqz_str t = {.ctx = c->w->ctx};
    char value[48];
    for (uint32_t k = 0; k < c->objective->n_report; k++)
        sqz_str_addf(&t, "|%.4g", e->report[k]);
    if (c->judged) {
        sqz_print_metric(value, c->judged, sqz_course_value(c, e->score));
        sqz_str_addf(&t, "|%s", value);
    }
    sqz_str_addf(&t, "|%.3g|%.1f|%s", e->rate, e->seconds, e->best ? "best" : "");
    if (t.status == SQZ_OK)
        sqz_view_row(c->w->rep, "%u%s", (unsigned)i + 1, t.data);
    sqz_str_free(&t);
}

/* Each epoch that was the best so far is marked; the last of them is the one that is kept. */
static uint32_t best_of(const sqz_epoch *e, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < n; i++)
        best = e[i].best ? i : best;
    return best;
}

/* ---- the line: an epoch or several in each place ---- */

#define PLACES 60

static void line(sqz_course *c, const char *name, const sqz_epoch *e, uint32_t n, uint32_t report)
{
    static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double v[PLACES], lo = INFINITY, hi = -INFINITY;
    char text[PLACES * 4 + 1] = "";
    const uint32_t places = SQZ_MIN(n, (uint32_t)PLACES);
    for (uint32_t i = 0; i < places; i++) {
        v[i] = e[(uint64_t)i * n / places].report[report];
        if (i + 1 == places)
            v[i] = e[n - 1].report[report];
        lo = fmin(lo, v[i]);
        hi = fmax(hi, v[i]);
    }
    if (places < 2 || !isfinite(hi - lo))
        return;
    for (uint32_t i = 0; i < places; i++) {
        const double share = hi > lo ? (v[i] - lo) / (hi - lo) : 0;
        strcat(text, block[(int)fmin(floor(share * 8), 7)]);
    }
    sqz_view_text(c->w->rep, "%s  %.4g %s %.4g", name, v[0], text, v[places - 1]);
}

/* ---- curves ---- */

static void curves(sqz_course *c, const sqz_epoch *e, uint32_t n)
{
    static const char *const color[] = {SQZ_COLOR_GOOD, SQZ_COLOR_BAD, "#137333",
                                        "#e37400",      "#9334e6",     "#5f6368"};
    const sqz_objective *o = c->objective;
    cJSON *config = sqz_chart_new("line");
    char epoch[16];
    for (uint32_t k = 0; k < o->n_report; k++) {
        if (k && strncmp(o->report[k], "loss.", 5) != 0)
            continue; /* numbers of another size */
        cJSON *s = sqz_chart_series(config, o->report[k], color[k % SQZ_COUNT(color)]);
        for (uint32_t i = 0; i < n; i++) {
            (void)snprintf(epoch, sizeof epoch, "%u", (unsigned)i + 1);
            if (k == 0) /* names the places, once */
                sqz_chart_place(config, s, epoch, e[i].report[k]);
            else
                (void)cJSON_AddItemToArray(s, cJSON_CreateNumber(e[i].report[k]));
        }
    }
    sqz_view_chart(c->w->rep, "Loss by epoch (means over training steps)", config);
}

/* ---- JSON ---- */

static void json_epoch(sqz_course *c, cJSON *list, const sqz_epoch *e)
{
    sqz_report *r = c->w->rep;
    cJSON *o = sqz_json_object(r, list, NULL), *terms = sqz_json_array(r, o, "reports");
    sqz_json_num(r, o, "loss", e->report[0]);
    for (uint32_t k = 1; k < c->objective->n_report; k++) {
        cJSON *t = sqz_json_object(r, terms, NULL);
        sqz_json_str(r, t, "name", c->objective->report[k]);
        sqz_json_num(r, t, "value", e->report[k]);
    }
    sqz_json_num(r, o, "metric", sqz_course_value(c, e->score));
    sqz_json_num(r, o, "learning_rate", e->rate);
    sqz_json_num(r, o, "seconds", e->seconds);
}

static void json(sqz_course *c, const sqz_epoch *e, uint32_t n)
{
    static const char *const end[] = {"done", "early", "diverged"};
    sqz_report *r = c->w->rep;
    cJSON *o = sqz_json_object(r, NULL, "training");
    sqz_json_str(r, o, "recipe", c->recipe);
    sqz_json_num(r, o, "samples", (double)c->train->n);
    sqz_json_num(r, o, "batch", (double)c->batch);
    sqz_json_num(r, o, "steps", (double)(sqz_loader_steps(c->loader) * sqz_course_epochs(c)));
    sqz_json_num(r, o, "trained", (double)c->n_number);
    sqz_json_num(r, o, "memory_bytes", (double)sqz_trainer_bytes(c->trainer));
    sqz_json_bool(r, o, "resumed", c->resumed);
    sqz_json_str(r, o, "end", end[c->end]);
    sqz_json_str(r, o, "judged_by", c->judged ? c->judged->info.name : NULL);
    sqz_json_num(r, o, "untrained", sqz_course_value(c, c->first));
    sqz_json_num(r, o, "unquantized", sqz_course_value(c, c->unquantized));
    sqz_json_num(r, o, "teacher", sqz_course_value(c, c->taught));
    sqz_json_num(r, o, "best_epoch", n ? (double)best_of(e, n) + 1 : NAN);
    cJSON *list = sqz_json_array(r, o, "epochs");
    for (uint32_t i = 0; i < n; i++)
        json_epoch(c, list, &e[i]);
}

/* ---- all of it ---- */

static void summary(sqz_course *c, const sqz_epoch *e, uint32_t n)
{
    char first[48], best[48], taught[48], floating[48];
    if (!c->judged || !n)
        return;
    sqz_print_metric(first, c->judged, sqz_course_value(c, c->first));
    sqz_print_metric(best, c->judged, sqz_course_value(c, e[best_of(e, n)].score));
    sqz_print_metric(taught, c->judged, sqz_course_value(c, c->taught));
    sqz_print_metric(floating, c->judged, sqz_course_value(c, c->unquantized));
    sqz_view_text(c->w->rep, "%s on valid (%lld samples): %s before%s%s%s, %s after epoch %u%s%s",
                  c->judged->info.name, (long long)c->valid->n, first,
                  c->qat ? " (as ptq makes it; the float model has " : "", c->qat ? floating : "",
                  c->qat ? ")" : "", best, (unsigned)best_of(e, n) + 1,
                  isnan(c->taught) ? "" : "; the teacher has ", isnan(c->taught) ? "" : taught);
}

void sqz_course_describe(sqz_course *c)
{
    sqz_work *w = c->w;
    uint32_t n;
    char size[32];
    const sqz_epoch *e = sqz_trainer_epochs(c->trainer, &n);
    sqz_print_bytes(size, sqz_trainer_bytes(c->trainer));
    sqz_view_heading(w->rep, "Training");
    sqz_view_text(w->rep,
                  "%llu numbers trained on %lld samples in steps of %lld, memory %s, losses %s",
                  (unsigned long long)c->n_number, (long long)c->train->n, (long long)c->batch,
                  size, c->loss);
    head(c);
    const uint32_t best = best_of(e, n);
    for (uint32_t i = 0; i < n; i++) {
        sqz_epoch one = e[i];
        one.best = i == best;
        row(c, i, &one);
    }
    line(c, "loss", e, n, 0);
    summary(c, e, n);
    curves(c, e, n);
    json(c, e, n);
    sqz_course_note_outcome(c, n ? e[best].score : NAN);
}
