/* window.c: see window.h. */
#include "ops/window.h"
#include <string.h>

static int64_t item(const sqz_ints *list, int32_t i, int64_t def)
{
    return list->n ? list->v[i] : def;
}

sqz_status sqz_window_rank(sqz_ctx *ctx, const sqz_shape *x, int32_t *n)
{
    if (x->rank < 3 || x->rank > 2 + SQZ_WINDOW_AXES)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED,
                        "the input has rank %d; windows of 1 to %d dimensions (rank 3 to %d) are "
                        "supported",
                        (int)x->rank, SQZ_WINDOW_AXES, SQZ_WINDOW_AXES + 2);
    *n = x->rank - 2;
    return SQZ_OK;
}

static sqz_status check_lists(sqz_ctx *ctx, int32_t n, const sqz_window_attrs *at)
{
    const struct {
        const char *name;
        const sqz_ints *list;
        uint32_t want;
    } rows[] = {{"strides", &at->strides, (uint32_t)n},
                {"dilations", &at->dilations, (uint32_t)n},
                {"pads", &at->pads, 2 * (uint32_t)n}};
    for (size_t r = 0; r < SQZ_COUNT(rows); r++) {
        if (rows[r].list->n && rows[r].list->n != rows[r].want)
            return sqz_fail(ctx, SQZ_E_SHAPE, "%s has %u entries, expected %u", rows[r].name,
                            (unsigned)rows[r].list->n, (unsigned)rows[r].want);
        for (uint32_t i = 0; i < rows[r].list->n; i++)
            if (rows[r].list->v[i] < (r < 2 ? 1 : 0) || rows[r].list->v[i] > INT32_MAX)
                return sqz_fail(ctx, SQZ_E_SHAPE, "%s[%u] is %lld, expected %d or more",
                                rows[r].name, (unsigned)i, (long long)rows[r].list->v[i],
                                r < 2 ? 1 : 0);
    }
    return SQZ_OK;
}

/* Everything but the output size; every number is in 0 .. INT32_MAX afterwards. */
static sqz_status fill(sqz_ctx *ctx, int32_t n, const int64_t *in, const int64_t *k,
                       const sqz_window_attrs *at, sqz_window *w)
{
    if (n < 1 || n > SQZ_WINDOW_AXES)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "%d spatial dimensions; 1 to %d are supported",
                        (int)n, SQZ_WINDOW_AXES);
    SQZ_TRY(check_lists(ctx, n, at));
    for (int32_t a = 0; a < SQZ_WINDOW_AXES; a++) {
        int32_t i = a - (SQZ_WINDOW_AXES -
                         n); /* the list entry of axis a; below 0: an axis that is lacking */
        w->in[a] = i < 0 ? 1 : in[i];
        w->k[a] = i < 0 ? 1 : k[i];
        w->stride[a] = i < 0 ? 1 : item(&at->strides, i, 1);
        w->dil[a] = i < 0 ? 1 : item(&at->dilations, i, 1);
        w->begin[a] = i < 0 ? 0 : item(&at->pads, i, 0);
        w->end[a] = i < 0 ? 0 : item(&at->pads, i + n, 0);
        if (w->in[a] < 0 || w->in[a] > INT32_MAX || w->k[a] < 1 || w->k[a] > INT32_MAX)
            return sqz_fail(ctx, SQZ_E_SHAPE, "input size %lld under a kernel of %lld",
                            (long long)w->in[a], (long long)w->k[a]);
    }
    return SQZ_OK;
}

sqz_status sqz_window_make(sqz_ctx *ctx, int32_t n, const int64_t *in, const int64_t *k,
                           const sqz_window_attrs *at, bool ceil_mode, sqz_window *w)
{
    SQZ_TRY(fill(ctx, n, in, k, at, w));
    for (int a = 0; a < SQZ_WINDOW_AXES; a++) {
        int64_t padded = w->in[a] + w->begin[a] + w->end[a];
        int64_t room = padded - (w->dil[a] * (w->k[a] - 1) + 1);
        if (room < 0)
            return sqz_fail(ctx, SQZ_E_SHAPE,
                            "a kernel of %lld with dilation %lld is larger than the padded input "
                            "of %lld",
                            (long long)w->k[a], (long long)w->dil[a], (long long)padded);
        w->out[a] = room / w->stride[a] + 1;
        if (ceil_mode && room % w->stride[a] && w->out[a] * w->stride[a] < w->in[a] + w->begin[a])
            w->out[a]++;
        if (w->out[a] > INT32_MAX)
            return sqz_fail(ctx, SQZ_E_SHAPE, "an output of %lld is too long",
                            (long long)w->out[a]);
    }
    return SQZ_OK;
}

sqz_status sqz_window_make_transposed(sqz_ctx *ctx, int32_t n, const int64_t *in, const int64_t *k,
                                      const sqz_window_attrs *at, const sqz_ints *output_padding,
                                      sqz_window *w)
{
    SQZ_TRY(fill(ctx, n, in, k, at, w));
    if (output_padding->n && output_padding->n != (uint32_t)n)
        return sqz_fail(ctx, SQZ_E_SHAPE, "output_padding has %u entries, expected %d",
                        (unsigned)output_padding->n, (int)n);
    for (int32_t a = 0; a < SQZ_WINDOW_AXES; a++) {
        int32_t i = a - (SQZ_WINDOW_AXES - n);
        int64_t extra = i < 0 ? 0 : item(output_padding, i, 0);
        int64_t full = w->stride[a] * (w->in[a] - 1) + w->dil[a] * (w->k[a] - 1) + 1;
        w->out[a] = full + extra - w->begin[a] - w->end[a];
        if (extra < 0 || extra > INT32_MAX || w->out[a] < 1 || w->out[a] > INT32_MAX)
            return sqz_fail(ctx, SQZ_E_SHAPE,
                            "output of %lld along spatial axis %d (output_padding %lld)",
                            (long long)w->out[a], (int)SQZ_MAX(i, 0), (long long)extra);
    }
    return SQZ_OK;
}

void sqz_window_same(int64_t in, int64_t k, int64_t stride, int64_t dil, bool upper, int64_t *begin,
                     int64_t *end)
{
    int64_t out = in / stride + (in % stride != 0);
    int64_t total = SQZ_MAX((out - 1) * stride + dil * (k - 1) + 1 - in, 0);
    int64_t small = total / 2;
    *begin = upper ? small : total - small;
    *end = total - *begin;
}

/* The list of an attribute, or n times `def`, as a fresh array that may be written. NULL: failed,
 * with *s. */
static int64_t *list_of(sqz_import *im, const char *name, uint32_t n, int64_t def, sqz_status *s)
{
    const sqz_raw_attr *r = sqz_import_attr(im, name);
    r = r && r->ints.n ? r : NULL; /* an empty list is none */
    if (r && r->ints.n != n) {
        *s = sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%s has %u entries, expected %u", name,
                      (unsigned)r->ints.n, (unsigned)n);
        return NULL;
    }
    int64_t *out = sqz_arena_alloc(&im->g->arena, n, sizeof *out);
    *s = out ? SQZ_OK : SQZ_E_NOMEM;
    for (uint32_t i = 0; out && i < n; i++)
        out[i] = r ? r->ints.v[i] : def;
    return out;
}

sqz_status sqz_window_import(sqz_import *im, int32_t n, const int64_t *k, sqz_window_attrs *out)
{
    sqz_ctx *ctx = im->g->ctx;
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    sqz_status s = SQZ_OK;
    sqz_window w;
    if (x->rank != n + 2)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "the input has rank %d, the kernel %d spatial dimensions", (int)x->rank,
                        (int)n);
    int64_t *strides = list_of(im, "strides", (uint32_t)n, 1, &s);
    int64_t *dilations = strides ? list_of(im, "dilations", (uint32_t)n, 1, &s) : NULL;
    int64_t *pads = dilations ? list_of(im, "pads", 2 * (uint32_t)n, 0, &s) : NULL;
    if (!pads)
        return s;
    *out = (sqz_window_attrs){.strides = {(uint32_t)n, strides},
                              .pads = {2 * (uint32_t)n, pads},
                              .dilations = {(uint32_t)n, dilations}};
    SQZ_TRY(fill(ctx, n, x->dim + 2, k, out, &w)); /* the numbers are sane from here on */
    const sqz_raw_attr *r = sqz_import_attr(im, "auto_pad");
    const char *mode = r && r->s ? r->s : "NOTSET";
    if (strcmp(mode, "NOTSET") == 0 || *mode == '\0')
        return SQZ_OK;
    bool upper = strcmp(mode, "SAME_UPPER") == 0, valid = strcmp(mode, "VALID") == 0;
    if (!upper && !valid && strcmp(mode, "SAME_LOWER") != 0)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "auto_pad is '%s', expected NOTSET, SAME_UPPER, SAME_LOWER or VALID", mode);
    for (int32_t i = 0; i < n; i++) {
        pads[i] = pads[n + i] = 0;
        if (!valid)
            sqz_window_same(x->dim[2 + i], k[i], strides[i], dilations[i], upper, &pads[i],
                            &pads[n + i]);
    }
    return SQZ_OK;
}
