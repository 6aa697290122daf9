/* auto.c: the cheapest recipe that holds the accuracy asked for, and the most accurate one within a
 * size or the limits of a device. */
#include "api/mixed.h"
#include "base/yaml.h"
#include "eval/without.h"
#include <math.h>
#include <string.h>

#define STEPS   7    /* sizes that are tried between the ends */
#define CLOSE   0.02 /* of the int8 size: nearer than this is as good */
#define REPAIRS 4

/* Few bits need more than rounding to nearest: what there is of these, unless the user chose. */
static sqz_status add_methods(sqz_fit_state *f, sqz_recipe *r)
{
    static const char *const wanted[] = {"gptq", "bias_correct"};
    if (*r->after || f->w->job.method)
        return SQZ_OK;
    for (size_t i = 0; i < SQZ_COUNT(wanted); i++)
        if (sqz_pass_find(wanted[i]))
            SQZ_TRY(sqz_recipe_methods(&f->arena, r, wanted[i]));
    return SQZ_OK;
}

static double size_of(const sqz_trial *t) { return t->estimate ? t->estimate->flash : t->bytes; }

static const sqz_trial *cheapest(const sqz_fit_state *f)
{
    const sqz_trial *best = NULL;
    for (uint32_t i = 0; i < f->n_trial; i++) {
        const sqz_trial *t = &f->trial[i];
        if (t->fits && t->recipe && (!best || size_of(t) < size_of(best)))
            best = t;
    }
    return best;
}

/* A name that tells sizes apart: "mixed 41.3 KiB gptq". */
static char *name_of(sqz_fit_state *f, const sqz_recipe *r, double bytes)
{
    char size[32];
    sqz_print_bytes(size, (uint64_t)fmax(bytes, 0.0));
    return sqz_arena_printf(&f->arena, "mixed %s%s%s%s%s", size, *r->before ? " " : "", r->before,
                            *r->after ? " " : "", r->after);
}

/* Mixed bits within these limits, made and judged. */
static sqz_status try_mixed(sqz_mix *m, const double *limit, const sqz_recipe *r, sqz_trial **out)
{
    sqz_recipe mixed;
    SQZ_TRY(sqz_mix_choose(m, limit, r, &mixed));
    double bytes = m->fixed[SQZ_MIX_BYTES];
    for (uint32_t i = 0; i < m->n; i++)
        bytes += m->layer[i].cost[m->layer[i].pick][SQZ_MIX_BYTES];
    const char *name = name_of(m->f, &mixed, bytes), *text = sqz_recipe_text(&m->f->arena, &mixed);
    if (!name || !text)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < m->f->n_trial; i++) /* another limit, the same choice */
        if (m->f->trial[i].passes && strcmp(m->f->trial[i].passes, text) == 0) {
            *out = &m->f->trial[i];
            return SQZ_OK;
        }
    SQZ_TRY(sqz_fit_try(m->f, name, &mixed, out));
    return sqz_mix_keep(m, *out);
}

/* ---- the cheapest that holds ---- */

/* Halves the span between a size that holds and one that does not. */
static sqz_status halve(sqz_mix *m, const sqz_recipe *r)
{
    double most = sqz_mix_bytes(m, 0), least = sqz_mix_bytes(m, m->n_bits - 1);
    double holds = most, fails = least * (1.0 - 1e-9);
    double next = m->n_bits > 1 ? sqz_mix_bytes(m, 1) : least; /* 4 bits everywhere */
    for (int i = 0; i < STEPS && m->n && !sqz_fit_out_of_budget(m->f); i++) {
        const double limit[SQZ_KNAPSACK_COSTS] = {next, INFINITY, INFINITY};
        sqz_trial *t;
        SQZ_TRY(try_mixed(m, limit, r, &t));
        if (t->fits)
            holds = fmin(holds, next);
        else
            fails = fmax(fails, next);
        if (holds - fails <= CLOSE * most)
            break;
        next = i == 0 && t->fits ? least : 0.5 * (holds + fails);
        if (!sqz_progress(m->f->w->ctx, "sizes", (uint64_t)i + 1, STEPS))
            return sqz_fail(m->f->w->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

sqz_status sqz_auto_cheapest(sqz_fit_state *f, const sqz_recipe *r, sqz_mix *m,
                             const sqz_trial **best)
{
    sqz_trial *t;
    sqz_recipe low;
    SQZ_TRY(sqz_fit_try(f, NULL, r, &t));
    if (!t->fits) { /* int8 is too coarse already: the worst layers stay float */
        SQZ_TRY(sqz_fit_fall_back(f, t));
        *best = cheapest(f);
        return SQZ_OK;
    }
    SQZ_TRY(sqz_mix_open(m, f, r));
    SQZ_TRY(sqz_recipe_copy(&f->arena, r, &low));
    SQZ_TRY(add_methods(f, &low));
    SQZ_TRY(halve(m, &low));
    *best = cheapest(f);
    return SQZ_OK;
}

/* ---- the most accurate within limits ---- */

static void device_limits(const sqz_fit_state *f, double limit[SQZ_KNAPSACK_COSTS])
{
    const sqz_device *d = f->w->device;
    const sqz_limit *l[SQZ_KNAPSACK_COSTS] = {0};
    if (d) {
        l[SQZ_MIX_BYTES] = &d->limits.flash;
        l[SQZ_MIX_SECONDS] = &d->limits.latency;
        l[SQZ_MIX_JOULES] = &d->limits.energy;
    }
    for (int i = 0; i < SQZ_KNAPSACK_COSTS; i++)
        limit[i] = l[i] && l[i]->set ? l[i]->max * (1.0 - l[i]->margin) : INFINITY;
}

/* What the model that was made has too much of, relative to its limit. */
static bool is_over(const sqz_trial *t, const double *limit, double *over)
{
    double have[SQZ_KNAPSACK_COSTS] = {size_of(t)};
    if (t->estimate) {
        have[SQZ_MIX_SECONDS] = t->estimate->latency;
        have[SQZ_MIX_JOULES] = t->estimate->energy;
    }
    bool any = false;
    for (int d = 0; d < SQZ_KNAPSACK_COSTS; d++) {
        over[d] = have[d] > limit[d] ? have[d] - limit[d] : 0.0;
        any = any || over[d] > 0.0;
    }
    return any;
}

static sqz_status say_over(sqz_fit_state *f, sqz_trial *t, const double *limit, const double *over)
{
    static const char *const what[SQZ_KNAPSACK_COSTS] = {"size", "latency", "energy"};
    char have[32], most[32];
    int d = over[0] > 0.0 ? 0 : over[1] > 0.0 ? 1 : 2;
    t->fits = false;
    if (t->obstacle)
        return SQZ_OK;
    if (d == SQZ_MIX_BYTES) {
        sqz_print_bytes(have, (uint64_t)size_of(t));
        sqz_print_bytes(most, (uint64_t)limit[d]);
    } else if (d == SQZ_MIX_SECONDS) {
        sqz_print_seconds(have, limit[d] + over[d]);
        sqz_print_seconds(most, limit[d]);
    } else {
        sqz_print_joules(have, limit[d] + over[d]);
        sqz_print_joules(most, limit[d]);
    }
    t->obstacle = sqz_arena_printf(&f->arena, "%s: %s, %s allowed", what[d], have, most);
    return t->obstacle ? SQZ_OK : SQZ_E_NOMEM;
}

/* Estimates of single layers add up to a little less than the whole: what is over is taken off. */
sqz_status sqz_auto_within(sqz_fit_state *f, const sqz_recipe *r, const double *asked, sqz_mix *m,
                           const sqz_trial **best)
{
    double limit[SQZ_KNAPSACK_COSTS], over[SQZ_KNAPSACK_COSTS];
    sqz_recipe low;
    *best = NULL;
    SQZ_TRY(sqz_mix_open(m, f, r));
    SQZ_TRY(sqz_recipe_copy(&f->arena, r, &low));
    SQZ_TRY(add_methods(f, &low));
    memcpy(limit, asked, sizeof limit);
    for (int i = 0; i < REPAIRS && !sqz_fit_out_of_budget(f); i++) {
        sqz_trial *t;
        SQZ_TRY(try_mixed(m, limit, &low, &t));
        *best = t;
        if (!is_over(t, asked, over))
            break;
        SQZ_TRY(say_over(f, t, asked, over));
        if (!m->feasible)
            break;
        for (int d = 0; d < SQZ_KNAPSACK_COSTS; d++)
            limit[d] -= 1.02 * over[d];
    }
    return SQZ_OK;
}

sqz_status sqz_auto_limits(const sqz_fit_state *f, double limit[SQZ_KNAPSACK_COSTS])
{
    device_limits(f, limit);
    double size;
    if (!f->w->job.target_size)
        return SQZ_OK;
    SQZ_TRY(sqz_quantity(f->w->ctx, "--target-size", f->w->job.target_size, SQZ_DIM_BYTES, &size));
    limit[SQZ_MIX_BYTES] = fmin(limit[SQZ_MIX_BYTES], size);
    return SQZ_OK;
}
