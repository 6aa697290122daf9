/* lower_group_norm.c: GroupNormalization of opset 18, whose scale and bias belong to groups: each
 * is repeated for the channels of its group, which is what opset 21 has. */
#include "ops/build.h"

static sqz_vid for_channels(sqz_build *b, sqz_vid v, int64_t groups, int64_t depth)
{
    v = sqz_bf(b, "reshape", &v, 1, "shape=%lld,1", (long long)groups);
    v = sqz_bf(b, "expand", &v, 1, "shape=%lld,%lld", (long long)groups, (long long)depth);
    return sqz_bf(b, "reshape", &v, 1, "shape=%lld", (long long)(groups * depth));
}

static sqz_status group_norm(sqz_import *im)
{
    sqz_build b = {.im = im};
    sqz_ctx *ctx = im->g->ctx;
    const sqz_raw_attr *e = sqz_import_attr(im, "epsilon");
    const int64_t groups = sqz_import_int(im, "num_groups", 0);
    if (im->n_in != 3 || im->in[0] == SQZ_NONE || im->in[1] == SQZ_NONE || im->in[2] == SQZ_NONE)
        return sqz_fail(ctx, SQZ_E_FORMAT, "%u inputs, expected data, scale and bias", im->n_in);
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const int64_t c = x->rank > 1 ? x->dim[1] : 0;
    if (groups < 1 || c % groups != 0)
        return sqz_fail(ctx, SQZ_E_SHAPE, "%lld channels are no multiple of %lld groups",
                        (long long)c, (long long)groups);
    for (unsigned i = 1; i < 3; i++) {
        const sqz_shape *s = &sqz_val(im->g, im->in[i])->shape;
        if (s->rank != 1 || s->dim[0] != groups)
            return sqz_fail(ctx, SQZ_E_SHAPE,
                            "input %u must have one number for each of %lld groups", i,
                            (long long)groups);
    }
    const sqz_vid in[3] = {im->in[0], for_channels(&b, im->in[1], groups, c / groups),
                           for_channels(&b, im->in[2], groups, c / groups)};
    return sqz_b_end(&b, 1,
                     sqz_bf(&b, "group_norm", in, 3, "num_groups=%lld epsilon=%.9g",
                            (long long)groups, e ? (double)e->f : (double)1e-5f));
}

static const sqz_lower rules[] = {
    {.domain = "",
     .op_type = "GroupNormalization",
     .since = 18,
     .until = 20,
     .import = group_norm,
     .attrs = "num_groups|epsilon|stash_type"},
};
const sqz_lower_set sqz_lower_group_norm = {rules, SQZ_COUNT(rules)};
