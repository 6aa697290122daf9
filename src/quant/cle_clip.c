/* cle_clip.c: min(y, 6) of a channel divided by s is min(y', 6 / s): behind a clip whose channels
 * have several factors stands a min with a bound for each. The clip's own bound becomes the
 * largest number that a channel is known to reach, so that a grid needs to reach no further. */
#include "quant/cle.h"
#include <math.h>
#include <string.h>

#define MARGIN 1.05 /* data that was not seen may reach a little further */

bool sqz_cle_clip_is_plain(const sqz_cle *c, const sqz_scaled_clip *clip)
{
    const sqz_shape *x = &sqz_val(c->g, clip->x)->shape;
    for (int32_t a = 0; a < x->rank - 1; a++)
        if (sqz_map_has_axis(&clip->map, x, a))
            return false;
    return x->rank > 0;
}

static double factor(const sqz_cle *c, const sqz_scaled_clip *clip, size_t i)
{
    const uint32_t class = sqz_channel_free(&c->k, sqz_channel_of(&clip->map, i));
    return class == SQZ_NONE ? 1 : c->k.s[class];
}

/* bound[i] = hi / s; returns the largest number that one of them lets through. */
static double bounds(const sqz_cle *c, const sqz_scaled_clip *clip, size_t n, float *bound,
                     bool *same)
{
    const sqz_cle_ends *e = &c->ends[clip->x];
    double most = 0;
    *same = true;
    for (size_t i = 0; i < n; i++) {
        const double s = factor(c, clip, i);
        const double reach = e->n == n && e->seen ? fmax(MARGIN * (double)e->hi[i], 0) : INFINITY;
        bound[i] = (float)((double)clip->hi / s);
        most = fmax(most, fmin(reach, (double)clip->hi) / s);
        *same = *same && bound[i] == bound[0];
    }
    return most > 0 ? most : (double)bound[0];
}

static sqz_status set_bound(sqz_cle *c, sqz_nid node, double hi)
{
    const sqz_node *n = sqz_nod(c->g, node);
    void *attrs;
    SQZ_TRY(sqz_opts_copy(c->a, &n->op->info, n->attrs, &attrs));
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, "max") == 0)
            *(double *)sqz_opt_field(&n->op->info.opts[i], attrs) = hi;
    return sqz_node_set_attrs(c->g, node, attrs);
}

static sqz_status split(sqz_cle *c, const sqz_scaled_clip *clip)
{
    sqz_graph *g = c->g;
    const sqz_shape *x = &sqz_val(g, clip->x)->shape;
    const size_t n = (size_t)x->dim[x->rank - 1];
    sqz_shape s = {.rank = x->rank};
    sqz_tensor t;
    bool same;
    for (int32_t a = 0; a < s.rank; a++)
        s.dim[a] = a == s.rank - 1 ? (int64_t)n : 1;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &s, &t));
    const double most = bounds(c, clip, n, SQZ_F32P(&t), &same);
    if (same && (double)SQZ_F32P(&t)[0] == (double)clip->hi) {
        sqz_tensor_free(g->ctx, &t);
        return SQZ_OK;
    }
    const double all = (double)SQZ_F32P(&t)[0];
    const char *clip_name = sqz_nod(g, clip->node)->name;
    char *bound_name = sqz_arena_printf(c->a, "%s_bounds", clip_name);
    char *name = sqz_arena_printf(c->a, "%s_min", clip_name);
    if (same || !bound_name || !name) {
        sqz_tensor_free(g->ctx, &t);
        return same ? set_bound(c, clip->node, all) : SQZ_E_NOMEM;
    }
    const sqz_vid y = sqz_nod(g, clip->node)->out[0];
    sqz_vid in[2] = {y}, out;
    SQZ_TRY(sqz_graph_constant(g, bound_name, &t, &in[1]));
    sqz_val(g, in[1])->channel_last = sqz_val(g, y)->channel_last;
    SQZ_TRY(set_bound(c, clip->node, (double)(float)most));
    SQZ_TRY(sqz_graph_node(g, sqz_op_find("min"), name, NULL, in, 2, NULL, 1,
                           sqz_nod(g, clip->node)->next, &out));
    const sqz_nid min = sqz_val(g, out)->producer;
    sqz_graph_replace_uses(g, y, out);
    sqz_nod(g, min)->in[0] = y;
    c->split++;
    return SQZ_OK;
}

sqz_status sqz_cle_clips(sqz_cle *c)
{
    for (uint32_t i = 0; i < c->k.n_clip; i++) {
        const sqz_scaled_clip *clip = &c->k.clip[i];
        if (isfinite(clip->hi) && clip->hi != 0 && sqz_cle_clip_is_plain(c, clip))
            SQZ_TRY(split(c, clip));
    }
    return sqz_uses_build(c->g, c->a, &c->uses);
}
