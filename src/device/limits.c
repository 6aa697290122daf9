/* limits.c: an estimate against the limits of a device file. A limit holds when
 * value x (1 + margin) <= max; one that is broken says what stands in the way. */
#include "device/device.h"
#include <math.h>
#include <stdio.h>

/* A figure for people whatever the locale: three digits, four of a percentage. */
static void print_figure(char out[48], double v, const char *unit)
{
    static const struct {
        const char *unit, *small[3];
    } prefixed[] = {{"s", {"ms", "us", "ns"}}, {"J", {"mJ", "uJ", "nJ"}}};
    char number[32];
    if (*unit == 'B') {
        sqz_print_bytes(number, (uint64_t)v);
        (void)snprintf(out, 48, "%s", number);
        return;
    }
    for (size_t i = 0; i < SQZ_COUNT(prefixed); i++)
        if (*unit == *prefixed[i].unit && v > 0 && v < 1) {
            int k = v >= 1e-3 ? 0 : v >= 1e-6 ? 1 : 2;
            unit = prefixed[i].small[k];
            v *= k == 0 ? 1e3 : k == 1 ? 1e6 : 1e9;
        }
    int digits = 3;
    if (*unit == 'f') {
        unit = "%";
        v *= 100;
        digits = 4;
    }
    double scale = v > 0 ? pow(10, digits - 1 - floor(log10(v))) : 1;
    double rounded = scale <= 1 ? round(v) : round(v * scale) / scale;
    sqz_print_f64(number, rounded);
    (void)snprintf(out, 48, "%s %s", number, unit);
}

typedef struct writer {
    const sqz_device *d;
    sqz_estimate *e;
    sqz_limit_result *row;
    unsigned n;
} writer;

/* "needs 71.3 KiB, 7.3 KiB more than the 64 KiB allowed; <hint>" */
static const char *why_more(writer *w, const sqz_limit_result *r, const char *verb,
                            const char *hint)
{
    char value[48], over[48], limit[48], margin[48] = "", part[80] = "";
    double wanted = r->value * (1 + r->margin);
    print_figure(value, r->value, r->unit);
    print_figure(over, wanted - r->limit, r->unit);
    print_figure(limit, r->limit, r->unit);
    if (r->margin > 0) {
        print_figure(margin, r->margin, "fraction");
        (void)snprintf(part, sizeof part, " (with the margin of %s)", margin);
    }
    const char *text = sqz_arena_printf(&w->e->arena, "%s %s%s, %s more than the %s allowed%s%s",
                                        verb, value, part, over, limit, *hint ? "; " : "", hint);
    return text ? text : "no memory left to say why";
}

static const sqz_node_estimate *heaviest(const sqz_estimate *e, bool weights)
{
    const sqz_node_estimate *best = NULL;
    for (uint32_t i = 0; i < e->n_node; i++) {
        const sqz_node_estimate *n = &e->node[i];
        if (!best || (weights ? n->weight_bytes > best->weight_bytes : n->seconds > best->seconds))
            best = n;
    }
    return best;
}

static sqz_limit_result *add(writer *w, const char *what, const char *unit, double value)
{
    sqz_limit_result *r = &w->row[w->n++];
    *r = (sqz_limit_result){.what = what, .unit = unit, .value = value};
    return r;
}

/* Figures are sums of doubles: one that equals its limit must hold in spite of the last bits. */
#define SLACK 1e-9

static void judge(sqz_limit_result *r, double limit, double margin)
{
    r->limit = limit;
    r->margin = margin;
    r->verdict = r->value * (1 + margin) <= limit * (1 + SLACK) ? SQZ_V_HOLDS : SQZ_V_BROKEN;
}

/* The limit that the file states, or the memory's size less its reserve if that is smaller. */
static void judge_memory(writer *w, sqz_limit_result *r, const sqz_limit *l, bool flash)
{
    const sqz_device_memory *m = NULL;
    for (unsigned i = 0; i < w->d->n_memory; i++)
        if (flash ? w->d->memory[i].weights : w->d->memory[i].arena)
            m = &w->d->memory[i];
    if (l->set)
        judge(r, l->max, l->margin);
    if (m && (!l->set || r->verdict == SQZ_V_HOLDS) &&
        (!l->set || m->size - m->reserve < r->value * (1 + l->margin)))
        judge(r, m->size - m->reserve, 0);
}

static void check_flash(writer *w)
{
    const sqz_estimate *e = w->e;
    sqz_limit_result *r = add(w, "flash", "B", e->flash);
    judge_memory(w, r, &w->d->limits.flash, true);
    if (r->verdict != SQZ_V_BROKEN)
        return;
    char weights[48], code[48], most[48], hint[400] = "";
    const sqz_node_estimate *n = heaviest(e, true);
    print_figure(weights, e->weight_bytes, "B");
    print_figure(code, w->d->runtime.code, "B");
    print_figure(most, n ? n->weight_bytes : 0, "B");
    (void)snprintf(hint, sizeof hint,
                   "weights are %s and the runtime's code is %s; most is in node '%.100s' (%s)",
                   weights, code, n ? n->name : "", most);
    r->why = why_more(w, r, "needs", hint);
}

static void check_ram(writer *w)
{
    const sqz_estimate *e = w->e;
    sqz_limit_result *r = add(w, "ram", "B", e->ram);
    judge_memory(w, r, &w->d->limits.ram, false);
    if (r->verdict != SQZ_V_BROKEN)
        return;
    char arena[48], runtime[48], hint[400];
    print_figure(arena, e->arena_bytes, "B");
    print_figure(runtime, w->d->runtime.ram, "B");
    (void)snprintf(hint, sizeof hint,
                   "peak is at node '%.100s'; activations need %s and the runtime %s",
                   e->peak_node ? e->peak_node : "", arena, runtime);
    r->why = why_more(w, r, "needs", hint);
}

static void check_time(writer *w, const char *what, const char *unit, double value,
                       const sqz_limit *l)
{
    const sqz_estimate *e = w->e;
    sqz_limit_result *r = add(w, what, unit, value);
    if (!l->set)
        return;
    judge(r, l->max, l->margin);
    if (r->verdict != SQZ_V_BROKEN)
        return;
    char share[48], hint[400] = "";
    const sqz_node_estimate *n = heaviest(e, false);
    if (n && e->latency > 0) {
        print_figure(share, n->seconds / e->latency, "fraction");
        (void)snprintf(hint, sizeof hint, "%s of it is node '%.100s' with %.0f MAC", share, n->name,
                       (double)n->cost.macs);
    }
    r->why = why_more(w, r, "takes", hint);
}

static void check_accuracy(writer *w, double accuracy, double reference)
{
    const double min = w->d->limits.accuracy.min, drop = w->d->limits.accuracy.max_drop;
    if (!w->d->limits.accuracy.set)
        return;
    if (min > 0) {
        sqz_limit_result *r = add(w, "accuracy", "fraction", accuracy);
        r->limit = min;
        r->why = "accuracy was not measured";
        if (!isnan(accuracy)) {
            char a[48], b[48];
            print_figure(a, accuracy, "fraction");
            print_figure(b, min, "fraction");
            r->verdict = accuracy >= min ? SQZ_V_HOLDS : SQZ_V_BROKEN;
            r->why = accuracy >= min
                         ? NULL
                         : sqz_arena_printf(&w->e->arena, "is %s; at least %s is asked", a, b);
        }
    }
    if (drop > 0) {
        sqz_limit_result *r = add(w, "accuracy drop", "fraction", reference - accuracy);
        r->limit = drop;
        r->why = "accuracy and that of the reference were not both measured";
        if (!isnan(r->value)) {
            r->why = NULL;
            r->verdict = r->value <= drop + SLACK ? SQZ_V_HOLDS : SQZ_V_BROKEN;
            if (r->verdict == SQZ_V_BROKEN)
                r->why = why_more(w, r, "loses", "");
        }
    }
}

static void check_operators(writer *w)
{
    const sqz_estimate *e = w->e;
    sqz_limit_result *r = add(w, "operators", "nodes", e->n_refused);
    r->verdict = e->n_refused ? SQZ_V_BROKEN : SQZ_V_HOLDS;
    if (e->n_refused == 1)
        r->why = e->refused[0];
    else if (e->n_refused)
        r->why = sqz_arena_printf(&w->e->arena, "%u nodes cannot run there; the first: %s",
                                  e->n_refused, e->refused[0]);
}

void sqz_limits_check(const sqz_device *d, sqz_estimate *e, double accuracy, double reference,
                      sqz_limit_result out[8], unsigned *n)
{
    writer w = {.d = d, .e = e, .row = out};
    check_flash(&w);
    check_ram(&w);
    check_time(&w, "latency", "s", e->latency, &d->limits.latency);
    check_time(&w, "energy", "J", e->energy, &d->limits.energy);
    check_accuracy(&w, accuracy, reference);
    check_operators(&w);
    for (unsigned i = 0; i < w.n; i++)
        if (out[i].verdict == SQZ_V_BROKEN && !out[i].why)
            out[i].why = "no memory left to say why";
    *n = w.n;
}
