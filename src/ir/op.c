/* op.c: the operator table and the questions every operator answers alike. */
#include "ir/op.h"
#include <string.h>

/* sqz_op_list.inc is generated from the file names src/ops/op_<name>.c */
#define SQZ_ENTRY(name) extern const sqz_op sqz_op_##name;
#include "sqz_op_list.inc"
#undef SQZ_ENTRY
const sqz_op *const sqz_ops[] = {
#define SQZ_ENTRY(name) &sqz_op_##name,
#include "sqz_op_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_ops = SQZ_COUNT(sqz_ops);

const sqz_op *sqz_op_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_ops; i++)
        if (strcmp(sqz_ops[i]->info.name, name) == 0)
            return sqz_ops[i];
    return NULL;
}

/* `list` is "A|B|C". */
static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, '|')) {
        p += *p == '|';
        if (strncmp(p, word, n) == 0 && (p[n] == '\0' || p[n] == '|'))
            return true;
    }
    return false;
}

const sqz_op *sqz_op_of_onnx(const char *op_type, int64_t opset, bool *known)
{
    *known = false;
    for (size_t i = 0; i < sqz_n_ops; i++) {
        const sqz_onnx_map *m = &sqz_ops[i]->onnx;
        if (!m->op_type || (strcmp(m->op_type, op_type) != 0 && !in_list(m->also, op_type)))
            continue;
        *known = true;
        if (opset >= m->since && (!m->until || opset <= m->until))
            return sqz_ops[i];
    }
    return NULL;
}

/* sqz_lower_list.inc is generated from the file names src/ops/lower_<family>.c */
#define SQZ_ENTRY(name) extern const sqz_lower_set sqz_lower_##name;
#include "sqz_lower_list.inc"
#undef SQZ_ENTRY
const sqz_lower_set *const sqz_lower_sets[] = {
#define SQZ_ENTRY(name) &sqz_lower_##name,
#include "sqz_lower_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_lower_sets = SQZ_COUNT(sqz_lower_sets);

const sqz_lower *sqz_lower_find(const char *domain, const char *op_type, int64_t opset, bool *known)
{
    *known = false;
    for (size_t k = 0; k < sqz_n_lower_sets; k++)
        for (size_t i = 0; i < sqz_lower_sets[k]->n; i++) {
            const sqz_lower *r = &sqz_lower_sets[k]->rule[i];
            if (strcmp(r->op_type, op_type) != 0 || strcmp(r->domain, domain) != 0)
                continue;
            *known = true;
            if (opset >= r->since && (!r->until || opset <= r->until))
                return r;
        }
    return NULL;
}

sqz_dtype sqz_op_run_type(const sqz_op *op, sqz_dtype d)
{
    if (sqz_op_takes_all(op) || !sqz_dtype_is_float(d) ||
        (d == SQZ_F64 && (op->traits & SQZ_T_F64)))
        return d;
    return SQZ_F32;
}

sqz_status sqz_grad_prepare(const sqz_op *op, sqz_grad_prep *p)
{
    if (!op->grad)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "operator '%s' has no gradient (%s): what comes before it cannot be "
                        "trained",
                        op->info.name, op->no_grad);
    p->reads_in[0] = op->grad_reads & SQZ_GRAD_IN0;
    p->reads_in[1] = op->grad_reads & SQZ_GRAD_IN1;
    p->reads_out = op->grad_reads & SQZ_GRAD_OUT;
    p->state = NULL;
    p->scratch_bytes = 0;
    return op->grad_prepare ? op->grad_prepare(p) : SQZ_OK;
}

sqz_status sqz_axis(sqz_ctx *ctx, int64_t axis, int32_t rank, int32_t *out)
{
    if (axis < -rank || axis >= rank)
        return sqz_fail(ctx, SQZ_E_SHAPE, "axis %lld is outside of a tensor of %d dimensions",
                        (long long)axis, (int)rank);
    *out = (int32_t)(axis < 0 ? axis + rank : axis);
    return SQZ_OK;
}

sqz_infer sqz_node_ask(const sqz_graph *g, const sqz_node *n, const sqz_value **in,
                       sqz_shape *shape, sqz_dtype *dtype)
{
    for (unsigned i = 0; i < n->n_in; i++)
        in[i] = n->in[i] == SQZ_NONE ? NULL : sqz_val(g, n->in[i]);
    memset(shape, 0, n->n_out * sizeof *shape);
    for (unsigned i = 0; i < n->n_out; i++)
        dtype[i] = n->n_in && in[0] ? in[0]->dtype : SQZ_F32;
    return (sqz_infer){.ctx = g->ctx,
                       .attrs = n->attrs,
                       .in = in,
                       .n_in = n->n_in,
                       .n_out = n->n_out,
                       .out = shape,
                       .out_dtype = dtype};
}

static sqz_status infer(const sqz_graph *g, const sqz_node *n, sqz_shape *shape, sqz_dtype *dtype)
{
    const sqz_value *in[UINT8_MAX];
    sqz_infer q = sqz_node_ask(g, n, in, shape, dtype);
    SQZ_TRY(n->op->infer(&q));
    for (unsigned i = 0; i < n->n_out; i++)
        SQZ_TRY(sqz_shape_count(g->ctx, &shape[i], dtype[i], NULL, NULL));
    return SQZ_OK;
}

sqz_status sqz_node_infer(const sqz_graph *g, const sqz_node *n, sqz_shape *shape, sqz_dtype *dtype)
{
    return sqz_note(g->ctx, infer(g, n, shape, dtype), "node '%s' (%s)", n->name, n->op->info.name);
}

void sqz_node_cost(const sqz_graph *g, const sqz_node *n, sqz_cost *out)
{
    const sqz_value *in[UINT8_MAX];
    sqz_shape shape[UINT8_MAX];
    sqz_dtype dtype[UINT8_MAX];
    sqz_infer q = sqz_node_ask(g, n, in, shape, dtype);
    for (unsigned i = 0; i < n->n_out; i++) {
        shape[i] = sqz_val(g, n->out[i])->shape;
        dtype[i] = sqz_val(g, n->out[i])->dtype;
    }
    *out = (sqz_cost){.kind = SQZ_COST_ELEMENTWISE};
    if (n->op->cost) {
        n->op->cost(&q, out);
        return;
    }
    for (unsigned i = 0; i < n->n_out; i++) {
        uint64_t count = 1; /* counted before, when the value was made: fits */
        for (int32_t k = 0; k < shape[i].rank; k++)
            count *= (uint64_t)shape[i].dim[k];
        out->ops += count;
    }
}

const char *sqz_cost_kind_name(sqz_cost_kind k)
{
    static const char *const name[SQZ_N_COST_KIND] = {
        [SQZ_COST_NONE] = "none",
        [SQZ_COST_CONV] = "conv",
        [SQZ_COST_POINTWISE] = "pointwise",
        [SQZ_COST_DEPTHWISE] = "depthwise",
        [SQZ_COST_FC] = "fc",
        [SQZ_COST_POOL] = "pool",
        [SQZ_COST_ELEMENTWISE] = "elementwise",
        [SQZ_COST_SOFTMAX] = "softmax",
        [SQZ_COST_MOVE] = "move",
    };
    return (unsigned)k < SQZ_N_COST_KIND ? name[k] : "unknown";
}
