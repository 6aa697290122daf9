/* match.h: what passes ask that look for a pattern of nodes. */
#ifndef SQZ_MATCH_H
#define SQZ_MATCH_H
#include "ir/op.h"
#include <math.h>
#include <string.h>

typedef struct sqz_matcher {
    sqz_graph *g;
    sqz_uses uses;
} sqz_matcher;

static inline bool sqz_match_op(const sqz_node *n, const char *name)
{
    return n && strcmp(n->op->info.name, name) == 0;
}

/* v is one float, within `part` of `want`. */
static inline bool sqz_match_number(const sqz_graph *g, sqz_vid v, double want, double part)
{
    const sqz_tensor *t = sqz_val(g, v)->constant;
    return t && t->count == 1 && t->dtype == SQZ_F32 && !sqz_val(g, v)->quant &&
           fabs(sqz_tensor_f64(t, 0) - want) <= part * fabs(want);
}

/* n is op(a, constant within `part` of `want`), in any order but for div: a; SQZ_NONE: it is not.
 */
static inline sqz_vid sqz_match_beside(const sqz_graph *g, const sqz_node *n, const char *op,
                                       double want, double part)
{
    if (!sqz_match_op(n, op) || n->n_in != 2)
        return SQZ_NONE;
    if (sqz_match_number(g, n->in[1], want, part))
        return n->in[0];
    return !sqz_match_op(n, "div") && sqz_match_number(g, n->in[0], want, part) ? n->in[1]
                                                                                : SQZ_NONE;
}

static inline const sqz_node *sqz_match_maker(const sqz_graph *g, sqz_vid v)
{
    const sqz_nid p = v == SQZ_NONE ? SQZ_NONE : sqz_val(g, v)->producer;
    return p == SQZ_NONE ? NULL : sqz_nod(g, p);
}

/* The node that reads v, if only one does and v is no output of the graph. */
static inline sqz_nid sqz_match_reader(const sqz_matcher *m, sqz_vid v)
{
    return sqz_n_uses(&m->uses, v) == 1 ? m->uses.node[m->uses.first[v]] : SQZ_NONE;
}

/* A number attribute of a node; NaN: it has none of that name. */
static inline double sqz_match_attr(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0 && n->op->info.opts[i].type == SQZ_A_FLOAT)
            return *(const double *)sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NAN;
}

/* The last node of a pattern becomes op(x): its name and its output stay. What it no longer reads
 * goes with the pass `dce`. Does nothing where types or shapes do not fit. */
static inline sqz_status sqz_match_become(const sqz_matcher *m, sqz_nid id, const char *op,
                                          sqz_vid x)
{
    sqz_node *n = sqz_nod(m->g, id);
    const sqz_value *from = sqz_val(m->g, x), *to = sqz_val(m->g, n->out[0]);
    if (from->dtype != SQZ_F32 || !sqz_shape_eq(&from->shape, &to->shape) || from->quant ||
        to->quant)
        return SQZ_OK;
    n->op = sqz_op_find(op);
    n->in[0] = x;
    n->n_in = 1;
    n->extra = (sqz_blob){0};
    return sqz_node_set_attrs(m->g, id, NULL);
}
#endif
