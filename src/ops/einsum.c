/* einsum.c: see einsum.h. */
#include "ops/einsum.h"
#include <string.h>

enum { ELLIPSIS = 52 };

/* Letters in the order that an implicit output has them; -1: no letter. */
static int id_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    return c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

typedef struct term { /* letters before and after an ellipsis */
    uint8_t id[2 * SQZ_MAX_RANK + 1];
    int32_t n, dots; /* dots: place of the ellipsis among the letters, -1: none */
} term;

/* Reads one term up to a comma, an arrow or the end. */
static sqz_status read_term(sqz_ctx *ctx, const char **at, term *t)
{
    const char *p = *at;
    *t = (term){.dots = -1};
    for (; *p && *p != ',' && *p != '-'; p++) {
        if (*p == ' ')
            continue;
        if (strncmp(p, "...", 3) == 0 && t->dots < 0) {
            t->dots = t->n;
            p += 2;
        } else if (id_of(*p) >= 0 && t->n < SQZ_MAX_RANK) {
            t->id[t->n++] = (uint8_t)id_of(*p);
        } else if (id_of(*p) >= 0) {
            return sqz_fail(ctx, SQZ_E_LIMIT, "equation: more than %d indices in a term",
                            SQZ_MAX_RANK);
        } else {
            return sqz_fail(ctx, SQZ_E_FORMAT, "equation: '%c' at '%.20s'", *p, p);
        }
    }
    *at = p;
    return SQZ_OK;
}

/* Puts the indices of an ellipsis of `wide` axes between the letters. */
static sqz_status spread(sqz_ctx *ctx, const term *t, int32_t wide, uint8_t *label, int32_t *rank)
{
    if (t->n + wide > SQZ_MAX_RANK)
        return sqz_fail(ctx, SQZ_E_LIMIT, "equation: more than %d indices in a term", SQZ_MAX_RANK);
    *rank = 0;
    for (int32_t i = 0; i <= t->n; i++) {
        for (int32_t k = wide; i == t->dots && k-- > 0;)
            label[(*rank)++] = (uint8_t)(ELLIPSIS + k);
        if (i < t->n)
            label[(*rank)++] = t->id[i];
    }
    return SQZ_OK;
}

static sqz_status operand(sqz_ctx *ctx, const term *t, const sqz_shape *s, unsigned i,
                          sqz_einsum *e, int32_t *widest)
{
    const int32_t wide = t->dots < 0 ? 0 : s->rank - t->n;
    if (wide < 0 || wide + t->n != s->rank)
        return sqz_fail(ctx, SQZ_E_SHAPE, "equation: %d indices for operand %u of rank %d",
                        (int)t->n, i, (int)s->rank);
    SQZ_TRY(spread(ctx, t, wide, e->label[i], &e->rank[i]));
    *widest = SQZ_MAX(*widest, wide);
    for (int32_t d = 0; d < s->rank; d++) {
        int64_t *have = &e->dim[e->label[i][d]];
        if (*have < 0 || *have == 1)
            *have = s->dim[d];
        else if (s->dim[d] != *have && s->dim[d] != 1)
            return sqz_fail(ctx, SQZ_E_SHAPE,
                            "equation: an index of operand %u runs to %lld, in another to %lld", i,
                            (long long)s->dim[d], (long long)*have);
    }
    return SQZ_OK;
}

/* Without an arrow: the ellipsis, then what comes once, in alphabetical order. */
static sqz_status implicit(sqz_ctx *ctx, const sqz_einsum *e, const term *in, term *t)
{
    unsigned times[ELLIPSIS] = {0};
    *t = (term){.dots = 0};
    for (unsigned i = 0; i < e->n_in; i++)
        for (int32_t k = 0; k < in[i].n; k++)
            times[in[i].id[k]]++;
    for (unsigned id = 0; id < ELLIPSIS; id++) {
        if (times[id] == 1 && t->n == SQZ_MAX_RANK)
            return sqz_fail(ctx, SQZ_E_LIMIT, "equation: an output of more than %d dimensions",
                            SQZ_MAX_RANK);
        if (times[id] == 1)
            t->id[t->n++] = (uint8_t)id;
    }
    return SQZ_OK;
}

static sqz_status check_output(sqz_ctx *ctx, const sqz_einsum *e)
{
    for (int32_t i = 0; i < e->out_rank; i++) {
        if (e->dim[e->out[i]] < 0)
            return sqz_fail(ctx, SQZ_E_FORMAT, "equation: an index of the output is in no operand");
        for (int32_t k = 0; k < i; k++)
            if (e->out[k] == e->out[i])
                return sqz_fail(ctx, SQZ_E_FORMAT, "equation: an index is twice in the output");
    }
    return SQZ_OK;
}

sqz_status sqz_einsum_parse(sqz_ctx *ctx, const char *equation, const sqz_shape *const *shape,
                            unsigned n_in, sqz_einsum *out)
{
    const char *p = equation;
    term in[SQZ_EINSUM_IN] = {{{0}, 0, 0}}, result;
    int32_t widest = 0;
    if (n_in > SQZ_EINSUM_IN)
        return sqz_fail(ctx, SQZ_E_LIMIT, "%u operands, at most %d are supported", n_in,
                        SQZ_EINSUM_IN);
    *out = (sqz_einsum){.n_in = n_in};
    for (int i = 0; i < SQZ_EINSUM_LABELS; i++)
        out->dim[i] = -1;
    for (unsigned i = 0; i < n_in; i++) {
        SQZ_TRY(read_term(ctx, &p, &in[i]));
        SQZ_TRY(operand(ctx, &in[i], shape[i], i, out, &widest));
        if (i + 1 < n_in && *p++ != ',')
            return sqz_fail(ctx, SQZ_E_FORMAT, "equation '%.80s' has %u terms for %u operands",
                            equation, i + 1, n_in);
    }
    if (*p == ',' || (*p && strncmp(p, "->", 2) != 0))
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "equation '%.80s' goes on with '%.20s' after %u operands", equation, p,
                        n_in);
    if (*p) {
        p += 2;
        SQZ_TRY(read_term(ctx, &p, &result));
        if (*p)
            return sqz_fail(ctx, SQZ_E_FORMAT, "equation '%.80s': '%.20s' behind the output",
                            equation, p);
    } else {
        SQZ_TRY(implicit(ctx, out, in, &result));
    }
    SQZ_TRY(spread(ctx, &result, result.dots < 0 ? 0 : widest, out->out, &out->out_rank));
    return check_output(ctx, out);
}
