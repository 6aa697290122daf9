/* cle_sweep.c: factors that make the ranges of layers equal, channel by channel. r1 = largest
 * weight that makes a channel, r2 = largest that reads it, over all layers of its class:
 * s = sqrt(r1 / r2) brings both to sqrt(r1 r2). Classes are visited in turn until nothing moves;
 * with a depthwise layer between two others that ends at (r1 r2 r3)^(1/3) for all three.
 *
 * Scaling changes the ranges of activations, too, which mostly have one scale for all channels.
 * With a weight b on those, s = sqrt(r1^(1-b) m^b / r2), m the largest number that the channel
 * reaches behind its clamp: b = 0 looks at weights only.
 *
 * A bound other than 0 of a clip (ReLU6) does not scale. A channel that never reaches it may be
 * scaled as long as it still does not: s >= reach / bound. One that does keeps s = 1, unless upper
 * bounds may be split (cle_clip.c). */
#include "quant/cle.h"
#include <math.h>

#define S_MIN  1e-4
#define S_MAX  1e4
#define DONE   1e-4 /* largest relative change of a sweep */
#define MARGIN 1.05 /* data that was not seen may reach a little further */

typedef struct sweep {
    sqz_cle *c;
    float **amax;    /* of each linear node: outs x cols, largest over taps */
    double *lo, *hi; /* of a class */
    double *r1, *r2; /* of a class, in a visit */
    double *reach;   /* of a class: of its activations, unscaled; 0: not known */
    uint32_t *group; /* of a class: classes that one node makes or reads belong together */
} sweep;

/* ---- bounds ---- */

static void bound_by(const sweep *s, const sqz_scaled_clip *clip, const sqz_cle_ends *e, size_t i)
{
    const uint32_t class = sqz_channel_free(&s->c->k, sqz_channel_of(&clip->map, i));
    double least = S_MIN;
    if (class == SQZ_NONE)
        return;
    bool held = i >= e->n && !(s->c->split_clips && sqz_cle_clip_is_plain(s->c, clip) &&
                               (clip->lo == 0 || !isfinite(clip->lo)));
    if (!held && clip->hi != 0 && isfinite(clip->hi) && !s->c->split_clips) {
        held = !(e->hi[i] < clip->hi);
        least = fmax(least, MARGIN * (double)e->hi[i] / (double)clip->hi);
    }
    if (!held && clip->lo != 0 && isfinite(clip->lo)) {
        held = !(e->lo[i] > clip->lo);
        least = fmax(least, MARGIN * (double)e->lo[i] / (double)clip->lo);
    }
    s->c->held += held;
    if (held)
        s->c->k.fixed[class] = true;
    else
        s->lo[class] = fmax(s->lo[class], SQZ_MIN(least, 1.0));
}

/* The channels of what a clip reads lie along its last axis, or all are held. */
static void bound(const sweep *s)
{
    for (uint32_t i = 0; i < s->c->k.n_clip; i++) {
        const sqz_scaled_clip *clip = &s->c->k.clip[i];
        const sqz_shape *x = &sqz_val(s->c->g, clip->x)->shape;
        size_t n = 1;
        for (int32_t a = 0; a < x->rank; a++)
            n *= (size_t)x->dim[a];
        const sqz_cle_ends *e = &s->c->ends[clip->x], none = {0};
        const bool last = e->n > 0 && sqz_cle_clip_is_plain(s->c, clip);
        for (size_t j = 0; j < (last ? e->n : n); j++)
            bound_by(s, clip, last ? e : &none, j);
    }
}

/* What the channels of clamps reach. */
static void find_reach(const sweep *s)
{
    SQZ_EACH_NODE(s->c->g, id)
    {
        const sqz_node *n = sqz_nod(s->c->g, id);
        float lo, hi;
        if (!sqz_cle_clamp(n, &lo, &hi))
            continue;
        const sqz_channel_map *m = &s->c->k.map[n->in[0]];
        const sqz_cle_ends *e = &s->c->ends[n->in[0]];
        for (size_t i = 0; i < e->n && m->n; i++) {
            const uint32_t c = sqz_channel_free(&s->c->k, sqz_channel_of(m, i));
            const float most = fmaxf(fabsf(fminf(fmaxf(e->hi[i], lo), hi)),
                                     fabsf(fminf(fmaxf(e->lo[i], lo), hi)));
            if (c != SQZ_NONE)
                s->reach[c] = fmax(s->reach[c], (double)most);
        }
    }
}

/* ---- ranges ---- */

static sqz_status measure(sweep *s)
{
    const sqz_scaling *k = &s->c->k;
    s->amax = sqz_arena_alloc(s->c->a, k->n_linear + 1u, sizeof *s->amax);
    if (!s->amax)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < k->n_linear; i++) {
        const sqz_scaled *l = &k->linear[i];
        const sqz_tensor *w = sqz_val(k->g, l->w)->constant;
        s->amax[i] = sqz_arena_alloc(s->c->a, w->count / l->taps + 1, sizeof *s->amax[i]);
        if (!s->amax[i])
            return SQZ_E_NOMEM;
        for (size_t e = 0; e < w->count; e++) {
            size_t o, col;
            sqz_scaled_at(l, e, &o, &col);
            float *at = &s->amax[i][o * l->cols + col];
            *at = fmaxf(*at, fabsf(SQZ_F32P(w)[e]));
        }
    }
    return SQZ_OK;
}

static double factor(const sqz_scaling *k, uint32_t channel)
{
    const uint32_t c = sqz_channel_free(k, channel);
    return c == SQZ_NONE ? 1 : k->s[c];
}

/* Largest weights of a node by the classes that they make and read. */
static void add_ranges(const sweep *s, uint32_t i, bool makes, double *r)
{
    const sqz_scaling *k = &s->c->k;
    const sqz_scaled *l = &k->linear[i];
    for (size_t o = 0; o < l->outs; o++) {
        const double by = 1 / factor(k, l->out[o]);
        for (size_t col = 0; col < l->cols; col++) {
            const uint32_t in = l->in[sqz_scaled_input(l, o, col)];
            const uint32_t class = sqz_channel_free(k, makes ? l->out[o] : in);
            if (class != SQZ_NONE)
                r[class] = fmax(r[class],
                                (double)s->amax[i][o * l->cols + col] * factor(k, in) * by);
        }
    }
}

/* ---- groups: the classes of one interface ---- */

static uint32_t group_of(const sweep *s, uint32_t c)
{
    while (s->group[c] != c)
        c = s->group[c] = s->group[s->group[c]];
    return c;
}

static void join(const sweep *s, const uint32_t *list, size_t n)
{
    uint32_t first = SQZ_NONE;
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = sqz_channel_free(&s->c->k, list[i]);
        if (c == SQZ_NONE)
            continue;
        if (first == SQZ_NONE)
            first = c;
        const uint32_t a = group_of(s, first), b = group_of(s, c);
        s->group[SQZ_MAX(a, b)] = SQZ_MIN(a, b);
    }
}

static uint32_t group_of_list(const sweep *s, const uint32_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = sqz_channel_free(&s->c->k, list[i]);
        if (c != SQZ_NONE)
            return group_of(s, c);
    }
    return SQZ_NONE;
}

/* One visit of the classes that node `first` makes. Returns the largest relative change. */
static double visit(const sweep *s, uint32_t group)
{
    const sqz_scaling *k = &s->c->k;
    double most = 0;
    for (uint32_t i = 0; i < k->n_linear; i++) {
        if (group_of_list(s, k->linear[i].out, k->linear[i].outs) == group)
            add_ranges(s, i, true, s->r1);
        if (group_of_list(s, k->linear[i].in, k->linear[i].ins) == group)
            add_ranges(s, i, false, s->r2);
    }
    for (uint32_t c = 0; c < k->n; c++) {
        if (k->parent[c] != c || k->fixed[c] || group_of(s, c) != group)
            continue;
        if (s->r1[c] > 0 && s->r2[c] > 0) {
            const double b = s->reach[c] > 0 ? s->c->activations : 0, was = k->s[c];
            const double makes = pow(s->r1[c], 1 - b) * (b > 0 ? pow(s->reach[c] / was, b) : 1);
            const double now = was * sqrt(makes / s->r2[c]);
            k->s[c] = fmin(fmax(now, s->lo[c]), s->hi[c]);
            most = fmax(most, fabs(k->s[c] / was - 1));
        }
        s->r1[c] = s->r2[c] = 0;
    }
    return most;
}

static sqz_status make(sweep *s)
{
    const sqz_scaling *k = &s->c->k;
    const size_t n = k->n + 1u;
    s->lo = sqz_arena_alloc(s->c->a, n, sizeof *s->lo);
    s->hi = sqz_arena_alloc(s->c->a, n, sizeof *s->hi);
    s->r1 = sqz_arena_alloc(s->c->a, n, sizeof *s->r1);
    s->r2 = sqz_arena_alloc(s->c->a, n, sizeof *s->r2);
    s->reach = sqz_arena_alloc(s->c->a, n, sizeof *s->reach);
    s->group = sqz_arena_alloc(s->c->a, n, sizeof *s->group);
    if (!s->lo || !s->hi || !s->r1 || !s->r2 || !s->reach || !s->group)
        return SQZ_E_NOMEM;
    for (uint32_t c = 0; c < k->n; c++) {
        s->lo[c] = S_MIN;
        s->hi[c] = S_MAX;
        s->group[c] = c;
    }
    bound(s);
    find_reach(s);
    for (uint32_t i = 0; i < k->n_linear; i++) {
        join(s, k->linear[i].out, k->linear[i].outs);
        join(s, k->linear[i].in, k->linear[i].ins);
    }
    return measure(s);
}

sqz_status sqz_cle_sweep(sqz_cle *c, int64_t sweeps)
{
    sweep s = {.c = c};
    const sqz_scaling *k = &c->k;
    double change = 1;
    SQZ_TRY(make(&s));
    for (c->sweeps = 0; c->sweeps < sweeps && change > DONE; c->sweeps++) {
        change = 0;
        for (uint32_t i = 0; i < k->n_linear; i++) {
            const uint32_t g = group_of_list(&s, k->linear[i].out, k->linear[i].outs);
            bool first = g != SQZ_NONE; /* another node may have made the same classes */
            for (uint32_t j = 0; j < i && first; j++)
                first = group_of_list(&s, k->linear[j].out, k->linear[j].outs) != g;
            if (first)
                change = fmax(change, visit(&s, g));
        }
        if (!sqz_progress(c->g->ctx, "equalize", c->sweeps + 1, (uint64_t)sweeps))
            return sqz_fail(c->g->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}
