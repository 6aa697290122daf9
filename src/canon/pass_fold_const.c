/* pass_fold_const.c: what can be computed now is not computed on the device. */
#include "ir/pass.h"

#define LARGEST   ((size_t)64 << 20) /* bytes of one result */
#define MAY_GROW  4                  /* times the operands ... */
#define MAY_START ((size_t)1 << 20)  /* ... plus this much */

static size_t bytes_of(const sqz_graph *g, sqz_vid v)
{
    size_t bytes = 0;
    const sqz_value *val = v == SQZ_NONE ? NULL : sqz_val(g, v);
    if (val && sqz_shape_count(g->ctx, &val->shape, val->dtype, NULL, &bytes) != SQZ_OK)
        return SIZE_MAX / 8;
    return bytes;
}

/* A few numbers that expand into megabytes are better expanded on the device. */
static bool worth_it(const sqz_graph *g, const sqz_node *n)
{
    size_t in = 0, out = 0;
    for (unsigned i = 0; i < n->n_in; i++)
        if (!sqz_add(in, bytes_of(g, n->in[i]), &in))
            return false;
    for (unsigned i = 0; i < n->n_out; i++)
        if (!sqz_add(out, bytes_of(g, n->out[i]), &out))
            return false;
    return out <= LARGEST && (out <= MAY_START || (out - MAY_START) / MAY_GROW <= in);
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    (void)env;
    SQZ_EACH_NODE(g, n)
    {
        const sqz_node *nd = sqz_nod(g, n);
        if (sqz_node_foldable(g, nd) && worth_it(g, nd))
            SQZ_TRY(sqz_fold_node(g, n));
    }
    return SQZ_OK;
}

const sqz_pass sqz_pass_fold_const = {
    .info = {.name = "fold_const", .doc = "computes what depends on constants only"},
    .exact = true,
    .run = run,
};
