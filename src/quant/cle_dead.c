/* cle_dead.c: channels that carry nothing. A row of weights that is zero, or nothing beside the
 * others, makes a constant, act(b): it goes into the biases of the layers that read it, and their
 * weights for it become zeros; where zeros around the input count, too, only a constant of 0 can
 * go. A channel whose readers have zeros for it need not be made. Weights of dead channels are
 * never trained down: without this they decide the range of a tensor, and of its neighbors'. */
#include "quant/cle.h"
#include <math.h>
#include <string.h>

#define NOTHING      1e-12f /* largest weight of a row without weights... */
#define NOTHING_PART 1e-7f  /* ... and as part of the largest of the tensor */

/* Largest weight of each output (by_out), or of each input over all outputs. */
static sqz_status largest(sqz_cle *c, const sqz_scaled *l, bool by_out, float **out, float *most)
{
    const sqz_tensor *w = sqz_val(c->g, l->w)->constant;
    *out = sqz_arena_alloc(c->a, (by_out ? l->outs : l->ins) + 1, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    *most = 0;
    for (size_t e = 0; e < w->count; e++) {
        size_t o, i;
        sqz_scaled_at(l, e, &o, &i);
        float *at = &(*out)[by_out ? o : sqz_scaled_input(l, o, i)];
        *at = fmaxf(*at, fabsf(SQZ_F32P(w)[e]));
        *most = fmaxf(*most, *at);
    }
    return SQZ_OK;
}

/* From y through clamps and zero padding to what linear nodes read; SQZ_NONE: elsewhere. v (of n
 * channels, may be NULL) goes through the clamps. */
static sqz_vid follow(const sqz_cle *c, sqz_vid y, double *v, size_t n, bool *padded)
{
    *padded = false;
    while (!sqz_cle_read_by_linear(c, y)) {
        const sqz_nid id = sqz_cle_reader(c, y);
        float lo, hi;
        if (id == SQZ_NONE)
            return SQZ_NONE;
        const sqz_node *nd = sqz_nod(c->g, id);
        if (sqz_cle_clamp(nd, &lo, &hi)) {
            for (size_t i = 0; i < n && v; i++)
                v[i] = fmin(fmax(v[i], (double)lo), (double)hi);
        } else if (strcmp(nd->op->info.name, "pad") == 0 && c->k.map[nd->out[0]].n) {
            *padded = true;
        } else {
            return SQZ_NONE;
        }
        y = nd->out[0];
    }
    return y;
}

/* Inputs of l that are the constant v[i] where dead[i]: into the bias. */
static sqz_status take_constants(sqz_cle *c, sqz_scaled *l, const bool *dead, const double *v,
                                 bool padded)
{
    float *w, *b = NULL;
    bool any = false, shift = false;
    padded = padded || l->padded || l->form == SQZ_W_TURNED;
    for (size_t i = 0; i < l->ins; i++) {
        any = any || (dead[i] && (v[i] == 0 || !padded));
        shift = shift || (dead[i] && v[i] != 0 && !padded);
    }
    if (!any)
        return SQZ_OK;
    SQZ_TRY(sqz_cle_own(c, l, &w, shift ? &b : NULL));
    double *sum = sqz_arena_alloc(c->a, l->outs, sizeof *sum);
    if (!sum)
        return SQZ_E_NOMEM;
    const size_t count = sqz_val(c->g, l->w)->constant->count;
    for (size_t e = 0; e < count; e++) {
        size_t o, col;
        sqz_scaled_at(l, e, &o, &col);
        const size_t i = sqz_scaled_input(l, o, col);
        if (!dead[i] || (v[i] != 0 && padded))
            continue;
        sum[o] += (double)w[e] * v[i];
        w[e] = 0;
    }
    for (size_t o = 0; o < l->outs && b; o++)
        b[o] = (float)((double)b[o] + sum[o]);
    return SQZ_OK;
}

static sqz_status forward(sqz_cle *c, sqz_scaled *l)
{
    float *row, most, *w;
    bool any = false, padded;
    SQZ_TRY(largest(c, l, true, &row, &most));
    bool *dead = sqz_arena_alloc(c->a, l->outs + 1, sizeof *dead);
    double *v = sqz_arena_alloc(c->a, l->outs + 1, sizeof *v);
    if (!dead || !v)
        return SQZ_E_NOMEM;
    for (size_t o = 0; o < l->outs; o++) {
        dead[o] = row[o] <= fmaxf(NOTHING, NOTHING_PART * most);
        any = any || dead[o];
        v[o] = l->b == SQZ_NONE ? 0 : (double)SQZ_F32P(sqz_val(c->g, l->b)->constant)[o];
    }
    const sqz_vid y = any ? follow(c, l->y, v, l->outs, &padded) : SQZ_NONE;
    if (y == SQZ_NONE)
        return SQZ_OK;
    SQZ_TRY(sqz_cle_own(c, l, &w, NULL));
    for (size_t e = 0, o, i; e < sqz_val(c->g, l->w)->constant->count; e++) {
        sqz_scaled_at(l, e, &o, &i);
        w[e] = dead[o] ? 0 : w[e];
    }
    for (size_t o = 0; o < l->outs; o++)
        c->dead += dead[o];
    for (uint32_t u = c->uses.first[y]; u < c->uses.first[y + 1]; u++) {
        sqz_scaled *reader = sqz_cle_linear(c, c->uses.node[u]);
        if (reader->ins == l->outs)
            SQZ_TRY(take_constants(c, reader, dead, v, padded));
    }
    return SQZ_OK;
}

/* Outputs that no reader has weights for. */
static sqz_status backward(sqz_cle *c, sqz_scaled *l)
{
    bool padded;
    const sqz_vid y = follow(c, l->y, NULL, 0, &padded);
    if (y == SQZ_NONE)
        return SQZ_OK;
    float *most = sqz_arena_alloc(c->a, l->outs + 1, sizeof *most), unused, *col, *w, *b;
    if (!most)
        return SQZ_E_NOMEM;
    for (uint32_t u = c->uses.first[y]; u < c->uses.first[y + 1]; u++) {
        const sqz_scaled *reader = sqz_cle_linear(c, c->uses.node[u]);
        if (reader->ins != l->outs)
            return SQZ_OK;
        SQZ_TRY(largest(c, reader, false, &col, &unused));
        for (size_t o = 0; o < l->outs; o++)
            most[o] = fmaxf(most[o], col[o]);
    }
    bool any = false;
    for (size_t o = 0; o < l->outs; o++)
        any = any || most[o] == 0;
    if (!any)
        return SQZ_OK;
    SQZ_TRY(sqz_cle_own(c, l, &w, l->b == SQZ_NONE ? NULL : &b));
    for (size_t e = 0, o, i; e < sqz_val(c->g, l->w)->constant->count; e++) {
        sqz_scaled_at(l, e, &o, &i);
        w[e] = most[o] == 0 ? 0 : w[e];
    }
    for (size_t o = 0; o < l->outs && l->b != SQZ_NONE; o++)
        b[o] = most[o] == 0 ? 0 : b[o];
    return SQZ_OK;
}

sqz_status sqz_cle_dead(sqz_cle *c)
{
    for (uint32_t i = 0; i < c->k.n_linear; i++)
        SQZ_TRY(forward(c, &c->k.linear[i]));
    for (uint32_t i = c->k.n_linear; i-- > 0;)
        SQZ_TRY(backward(c, &c->k.linear[i]));
    return SQZ_OK;
}
