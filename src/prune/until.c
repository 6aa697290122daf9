/* until.c: a model cut at one of its values: embeddings, features, the body for another head. */
#include "ir/pass.h"
#include "prune/student.h"
#include <string.h>

static sqz_status unknown(const sqz_graph *g, const char *name)
{
    const char *near = NULL;
    unsigned best = UINT32_MAX;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        const sqz_value *x = sqz_val(g, v);
        if (sqz_value_dead(x) || x->constant)
            continue;
        const unsigned d = sqz_distance(name, x->name);
        if (d < best) {
            best = d;
            near = x->name;
        }
    }
    return sqz_fail(g->ctx, SQZ_E_NOTFOUND, "the model has no value '%s'%s%s%s", name,
                    near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "");
}

static sqz_status cut_at(sqz_graph *g, const char *name)
{
    const sqz_vid v = sqz_graph_find(g, name);
    if (v == SQZ_NONE)
        return unknown(g, name);
    if (sqz_val(g, v)->producer == SQZ_NONE)
        return sqz_fail(g->ctx, SQZ_E_ARG, "'%s' is %s: nothing is computed until there", name,
                        sqz_val(g, v)->constant ? "a constant" : "an input of the model");
    SQZ_TRY(sqz_graph_set_outputs(g, &v, 1));
    SQZ_TRY(sqz_run_recipe(g, "dce", NULL));
    return sqz_graph_verify(g);
}

sqz_status sqz_graph_until(const sqz_graph *g, const char *value, sqz_graph **out)
{
    sqz_graph *h;
    *out = NULL;
    SQZ_TRY(sqz_graph_clone(g, &h));
    sqz_status s = cut_at(h, value);
    if (s != SQZ_OK)
        sqz_graph_free(h);
    else
        *out = h;
    return s;
}
