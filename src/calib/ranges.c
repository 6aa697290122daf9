/* ranges.c: histograms -> ranges by name -> values of a graph. */
#include "calib/calib.h"
#include <math.h>
#include <string.h>

/* ---- computing: values are independent, so they spread over threads ---- */

typedef struct rule {
    const sqz_calib *calib; /* NULL: leave this one alone */
    const void *opts;
    const sqz_hist *hist;
    unsigned levels; /* of the grid */
} rule;

typedef struct job {
    const rule *rule;
    sqz_ranges *r;
} job;

static sqz_status compute(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t i = begin; i < end; i++) {
        const rule *u = &j->rule[i];
        if (!u->calib)
            continue;
        sqz_range *out = &j->r->item[i].range;
        /* no context: workers may not touch it, and no calibrator needs more than the histogram */
        SQZ_TRY(sqz_calib_range(NULL, u->calib, u->opts, u->hist, u->levels, false, out));
        j->r->item[i].min = u->hist->count ? u->hist->min : 0.0f;
        j->r->item[i].max = u->hist->count ? u->hist->max : 0.0f;
        j->r->item[i].clipped = sqz_hist_outside(u->hist, *out);
        if (u->hist->ends_only)
            j->r->item[i].rule = "minmax";
    }
    return SQZ_OK;
}

static sqz_status create(sqz_ctx *ctx, uint32_t n, sqz_ranges **out)
{
    sqz_ranges *r = sqz_calloc(ctx, 1, sizeof *r);
    *out = r;
    if (!r)
        return SQZ_E_NOMEM;
    r->arena.ctx = ctx;
    r->n = n;
    r->item = sqz_arena_alloc(&r->arena, SQZ_MAX(n, 1u), sizeof *r->item);
    return r->item ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status from_stats(sqz_ctx *ctx, const sqz_stats *s, const char *spec, unsigned bits,
                             sqz_ranges *r)
{
    sqz_arena *a = &r->arena;
    rule every = {.levels = 1u << bits};
    SQZ_TRY(sqz_calib_spec(a, spec, &every.calib, &every.opts));
    rule *rules = sqz_arena_alloc(a, SQZ_MAX(s->n, 1u), sizeof *rules);
    r->calibrator = sqz_arena_strdup(a, spec);
    if (!rules || !r->calibrator)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < s->n; i++) {
        rules[i] = every;
        rules[i].hist = s->item[i].hist;
        r->item[i].rule = r->calibrator;
        r->item[i].name = sqz_arena_strdup(a, s->item[i].name);
        if (!r->item[i].name)
            return SQZ_E_NOMEM;
    }
    r->samples = s->samples;
    memcpy(r->data_checksum, s->data_checksum, sizeof r->data_checksum);
    return sqz_parallel(ctx, s->n, 1, compute, &(job){rules, r});
}

sqz_status sqz_ranges_for_bits(sqz_ctx *ctx, const sqz_stats *s, const char *spec, unsigned bits,
                               sqz_ranges **out)
{
    sqz_status status = create(ctx, s->n, out);
    if (status == SQZ_OK)
        status = from_stats(ctx, s, spec, bits, *out);
    if (status != SQZ_OK) {
        sqz_ranges_free(ctx, *out);
        *out = NULL;
    }
    return status;
}

sqz_status sqz_ranges_from_stats(sqz_ctx *ctx, const sqz_stats *s, const char *spec,
                                 sqz_ranges **out)
{
    return sqz_ranges_for_bits(ctx, s, spec, 8, out);
}

bool sqz_ranges_complete(const sqz_ranges *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (isnan(r->item[i].range.lo))
            return false;
    return true;
}

static const sqz_hist *hist_of(const sqz_stats *s, const char *name)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(s->item[i].name, name) == 0)
            return s->item[i].hist;
    return NULL;
}

sqz_status sqz_ranges_resolve(sqz_ctx *ctx, sqz_ranges *r, const sqz_stats *s)
{
    rule *rules = sqz_arena_alloc(&r->arena, SQZ_MAX(r->n, 1u), sizeof *rules);
    if (!rules)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < r->n; i++) {
        if (!isnan(r->item[i].range.lo))
            continue;
        rules[i].levels = 256;
        rules[i].hist = hist_of(s, r->item[i].name);
        if (!rules[i].hist)
            return sqz_fail(ctx, SQZ_E_NOTFOUND, "ranges: the model has no value '%s'",
                            r->item[i].name);
        SQZ_TRY(sqz_note(
            ctx, sqz_calib_spec(&r->arena, r->item[i].rule, &rules[i].calib, &rules[i].opts),
            "ranges: value '%s'", r->item[i].name));
    }
    return sqz_parallel(ctx, r->n, 1, compute, &(job){rules, r});
}

/* ---- using ---- */

static sqz_status apply(sqz_graph *g, const char *name, sqz_range range, const char *rule_name,
                        uint32_t *unknown)
{
    sqz_vid v = sqz_graph_find(g, name);
    if (v == SQZ_NONE || sqz_val(g, v)->dtype != SQZ_F32 || sqz_val(g, v)->constant) {
        SQZ_WARN(g->ctx, "ranges: the model has no float activation '%s'", name);
        ++*unknown;
        return SQZ_OK;
    }
    if (isnan(range.lo))
        return sqz_fail(g->ctx, SQZ_E_ARG,
                        "ranges: value '%s' asks for calibrator '%s' in place of lo and hi: "
                        "give data to calibrate on",
                        name, rule_name);
    sqz_range *own = sqz_arena_alloc(&g->arena, 1, sizeof *own);
    if (!own)
        return SQZ_E_NOMEM;
    *own = range;
    sqz_val(g, v)->range = own;
    return SQZ_OK;
}

sqz_status sqz_ranges_apply(const sqz_ranges *r, sqz_graph *g, uint32_t *unknown)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < r->n; i++)
        SQZ_TRY(apply(g, r->item[i].name, r->item[i].range, r->item[i].rule, &missing));
    g->have |= SQZ_HAS_RANGES;
    if (unknown)
        *unknown = missing;
    return SQZ_OK;
}

void sqz_ranges_free(sqz_ctx *ctx, sqz_ranges *r)
{
    if (!r)
        return;
    sqz_arena_free(&r->arena);
    sqz_free(ctx, r);
}
