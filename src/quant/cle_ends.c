/* cle_ends.c: smallest and largest number of each channel in front of a relu or clip: from
 * calibration data where there are some, else mean -+ 6 deviations of the batch norm. */
#include "quant/cle.h"
#include "quant/feed.h"
#include <math.h>

static sqz_status make(sqz_cle *c, sqz_vid v, sqz_cle_ends *e)
{
    const sqz_shape *s = &sqz_val(c->g, v)->shape;
    const size_t n = (size_t)s->dim[s->rank - 1];
    e->lo = sqz_arena_alloc(c->a, n + 1, sizeof *e->lo);
    e->hi = sqz_arena_alloc(c->a, n + 1, sizeof *e->hi);
    if (!e->lo || !e->hi)
        return SQZ_E_NOMEM;
    e->n = n;
    for (size_t i = 0; i < n; i++) {
        e->lo[i] = INFINITY;
        e->hi[i] = -INFINITY;
    }
    return SQZ_OK;
}

static void see(sqz_cle_ends *e, const float *x, size_t count)
{
    for (size_t i = 0; i + e->n <= count; i += e->n)
        for (size_t j = 0; j < e->n; j++) {
            e->lo[j] = fminf(e->lo[j], x[i + j]);
            e->hi[j] = fmaxf(e->hi[j], x[i + j]);
        }
}

static bool wanted(const sqz_cle *c, sqz_nid id)
{
    const sqz_node *n = sqz_nod(c->g, id);
    float lo, hi;
    return sqz_cle_clamp(n, &lo, &hi) && c->k.map[n->in[0]].n &&
           sqz_val(c->g, n->in[0])->shape.rank > 0;
}

static sqz_status stream(sqz_cle *c, sqz_flow *f)
{
    SQZ_EACH_NODE(c->g, id)
    {
        if (!wanted(c, id))
            continue;
        const sqz_vid v = sqz_nod(c->g, id)->in[0];
        SQZ_TRY(sqz_flow_advance(f, id));
        const size_t count = sqz_flow_count(f, SQZ_FLOAT_SIDE, v);
        float *x = sqz_malloc(c->g->ctx, SQZ_MAX(count, 1u) * sizeof *x);
        sqz_status s = x ? make(c, v, &c->ends[v]) : SQZ_E_NOMEM;
        for (size_t i = 0; s == SQZ_OK && i < sqz_flow_batches(f); i++) {
            s = sqz_flow_read(f, SQZ_FLOAT_SIDE, v, i, x);
            if (s == SQZ_OK)
                see(&c->ends[v], x, count);
        }
        sqz_free(c->g->ctx, x);
        SQZ_TRY(s);
        c->ends[v].seen = true;
    }
    return SQZ_OK;
}

static sqz_status from_batch_norms(sqz_cle *c)
{
    SQZ_EACH_NODE(c->g, id)
    {
        const sqz_vid v = sqz_nod(c->g, id)->n_in ? sqz_nod(c->g, id)->in[0] : SQZ_NONE;
        if (v == SQZ_NONE || !wanted(c, id) || !sqz_val(c->g, v)->normal)
            continue;
        const sqz_normal *n = sqz_val(c->g, v)->normal;
        SQZ_TRY(make(c, v, &c->ends[v]));
        for (uint32_t i = 0; i < n->n; i++) {
            c->ends[v].lo[i] = n->mean[i] - 6 * n->sd[i];
            c->ends[v].hi[i] = n->mean[i] + 6 * n->sd[i];
        }
    }
    return SQZ_OK;
}

sqz_status sqz_cle_find_ends(sqz_cle *c)
{
    c->ends = sqz_arena_alloc(c->a, c->g->n_value + 1u, sizeof *c->ends);
    if (!c->ends)
        return SQZ_E_NOMEM;
    if (!c->env->calib)
        return from_batch_norms(c);
    const sqz_flow_options o = {.ds = c->env->calib,
                                .layout = c->env->layout,
                                .samples = c->env->samples,
                                .batch = c->env->batch};
    sqz_flow *f;
    SQZ_TRY(sqz_flow_open(c->g, NULL, &o, &f));
    sqz_status s = stream(c, f);
    sqz_flow_close(f);
    return s;
}
