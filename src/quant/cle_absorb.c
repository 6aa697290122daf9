/* cle_absorb.c: a channel that stays above c > 0 in front of a relu needs no relu there: c is taken
 * off its bias, and what it would have added goes into the biases of the layers that read it. The
 * activation's range shrinks by c. c is the smallest number seen in data; without data mean - 3
 * deviations of the batch norm, which one number in 740 falls below. Layers with zeros around
 * their input are left: there, -c would have to stand. */
#include "quant/cle.h"
#include <math.h>

#define SLACK 0.9f /* of the smallest number seen: other data may go a little lower */

/* The clamp behind l, from 0 on, whose readers are all linear without padding. */
static bool fits(const sqz_cle *c, const sqz_scaled *l, float *top)
{
    const sqz_nid act = sqz_cle_reader(c, l->y);
    float lo;
    if (act == SQZ_NONE || l->b == SQZ_NONE || !sqz_cle_clamp(sqz_nod(c->g, act), &lo, top) ||
        lo != 0)
        return false;
    const sqz_vid y = sqz_nod(c->g, act)->out[0];
    if (!sqz_cle_read_by_linear(c, y))
        return false;
    for (uint32_t u = c->uses.first[y]; u < c->uses.first[y + 1]; u++) {
        const sqz_scaled *r = sqz_cle_linear(c, c->uses.node[u]);
        if (r->padded || r->form == SQZ_W_TURNED || r->ins != l->outs)
            return false;
    }
    return true;
}

/* What can be taken off each output of l. Ends were found before scaling. */
static bool amounts(const sqz_cle *c, const sqz_scaled *l, float top, double *take)
{
    const sqz_cle_ends *e = &c->ends[l->y];
    const sqz_normal *n = sqz_val(c->g, l->y)->normal; /* scaled already */
    bool any = false;
    for (size_t o = 0; o < l->outs; o++) {
        const uint32_t class = sqz_channel_free(&c->k, l->out[o]);
        const double s = class == SQZ_NONE ? 1 : c->k.s[class];
        take[o] = 0;
        if (e->n == l->outs && e->seen && (double)e->hi[o] / s < (double)top)
            take[o] = fmax(0, (double)(SLACK * e->lo[o]) / s);
        else if (!(e->n && e->seen) && n && n->n == l->outs &&
                 (double)n->mean[o] + 6 * (double)n->sd[o] < (double)top)
            take[o] = fmax(0, (double)n->mean[o] - 3 * (double)n->sd[o]);
        any = any || take[o] > 0;
    }
    return any;
}

static sqz_status hand_on(sqz_cle *c, sqz_scaled *reader, const double *take)
{
    float *w, *b;
    double *sum = sqz_arena_alloc(c->a, reader->outs + 1, sizeof *sum);
    if (!sum)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_cle_own(c, reader, &w, &b));
    for (size_t e = 0; e < sqz_val(c->g, reader->w)->constant->count; e++) {
        size_t o, col;
        sqz_scaled_at(reader, e, &o, &col);
        sum[o] += (double)w[e] * take[sqz_scaled_input(reader, o, col)];
    }
    for (size_t o = 0; o < reader->outs; o++)
        b[o] = (float)((double)b[o] + sum[o]);
    return SQZ_OK;
}

static sqz_status absorb(sqz_cle *c, sqz_scaled *l)
{
    float top, *w, *b;
    double *take = sqz_arena_alloc(c->a, l->outs + 1, sizeof *take);
    if (!take)
        return SQZ_E_NOMEM;
    if (!fits(c, l, &top) || !amounts(c, l, top, take))
        return SQZ_OK;
    SQZ_TRY(sqz_cle_own(c, l, &w, &b));
    const sqz_normal *n = sqz_val(c->g, l->y)->normal;
    float *mean = sqz_arena_alloc(c->a, l->outs + 1, sizeof *mean);
    if (!mean)
        return SQZ_E_NOMEM;
    for (size_t o = 0; o < l->outs; o++) {
        b[o] = (float)((double)b[o] - take[o]);
        mean[o] = n ? (float)((double)n->mean[o] - take[o]) : 0;
        c->absorbed += take[o] > 0;
    }
    if (n)
        SQZ_TRY(sqz_value_set_normal(c->g, l->y, n->n, mean, n->sd));
    const sqz_vid y = sqz_nod(c->g, sqz_cle_reader(c, l->y))->out[0];
    for (uint32_t u = c->uses.first[y]; u < c->uses.first[y + 1]; u++)
        SQZ_TRY(hand_on(c, sqz_cle_linear(c, c->uses.node[u]), take));
    return SQZ_OK;
}

sqz_status sqz_cle_absorb(sqz_cle *c)
{
    for (uint32_t i = 0; i < c->k.n_linear; i++)
        SQZ_TRY(absorb(c, &c->k.linear[i]));
    return SQZ_OK;
}
