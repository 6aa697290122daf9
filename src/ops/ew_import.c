/* ew_import.c: import hooks of elementwise operators: broadcasting as it was before opset 7, and
 * operators of any number of inputs. */
#include "ops/build.h"
#include "ops/ew.h"
#include <stdio.h>

/* Before opset 7, b lies in a from axis `axis` on; without it, at the end of a. NumPy's rules find
 * it there once ones stand behind it. */
static sqz_status place(sqz_import *im, sqz_vid *b)
{
    sqz_graph *g = im->g;
    const sqz_shape *a = &sqz_val(g, im->in[0])->shape, *s = &sqz_val(g, *b)->shape;
    const int32_t n = s->rank;
    int32_t axis = 0;
    char text[64] = "axes=";
    int used = 5;
    if (!sqz_import_int(im, "broadcast", 0) || !sqz_import_attr(im, "axis") || n == 0 ||
        n >= a->rank)
        return SQZ_OK;
    SQZ_TRY(sqz_axis(g->ctx, sqz_import_int(im, "axis", 0), a->rank, &axis));
    if (axis + n > a->rank)
        return sqz_fail(g->ctx, SQZ_E_SHAPE, "%d dimensions do not fit into %d from axis %d on", n,
                        a->rank, axis);
    if (axis + n == a->rank)
        return SQZ_OK;
    for (int32_t i = n; i < a->rank - axis && used < (int)sizeof text; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, i == n ? "%d" : ",%d", (int)i);
    return sqz_graph_node_text(g, "unsqueeze", NULL, text, b, 1, SQZ_NONE, b);
}

sqz_status sqz_ew_operands(sqz_import *im, sqz_vid in[2])
{
    if (im->n_in != 2 || im->in[0] == SQZ_NONE || im->in[1] == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%u inputs, expected 2", im->n_in);
    in[0] = im->in[0];
    in[1] = im->in[1];
    return im->opset < 7 ? place(im, &in[1]) : SQZ_OK;
}

sqz_status sqz_ew_import2(sqz_import *im, const sqz_op *op)
{
    sqz_vid in[2];
    SQZ_TRY(sqz_ew_operands(im, in));
    return sqz_import_node(im, op, NULL, in, 2);
}

sqz_status sqz_ew_chain_open(sqz_import *im, const sqz_op *op, unsigned n, sqz_vid *out)
{
    *out = im->in[0];
    for (unsigned i = 1; i < n; i++) {
        const sqz_vid in[] = {*out, im->in[i]};
        SQZ_TRY(sqz_graph_node(im->g, op, NULL, NULL, in, 2, NULL, 1, SQZ_NONE, out));
    }
    return SQZ_OK;
}

sqz_status sqz_ew_chain(sqz_import *im, const sqz_op *op)
{
    if (im->n_in == 0)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "no inputs, expected at least one");
    if (im->n_in == 1)
        return sqz_import_node(im, sqz_op_find("identity"), NULL, im->in, 1);
    for (unsigned i = 0; i < im->n_in; i++)
        if (im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    sqz_vid in[] = {SQZ_NONE, im->in[im->n_in - 1]};
    SQZ_TRY(sqz_ew_chain_open(im, op, im->n_in - 1, &in[0]));
    return sqz_import_node(im, op, NULL, in, 2);
}
