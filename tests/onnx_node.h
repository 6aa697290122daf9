/* onnx_node.h: one ONNX node with random operands: imported, run, exported, read again and run
 * again; what comes out is compared with a reference by the test. */
#ifndef SQZ_TEST_ONNX_NODE_H
#define SQZ_TEST_ONNX_NODE_H
#include "exec/exec.h"
#include "ir/pass.h"
#include "onnx_model.h"

enum { NODE_IN = 10, NODE_OUT = 6 };
typedef struct onnx_node {
    sqz_ctx *ctx;
    model m;
    Onnx__NodeProto *n;
    Onnx__OperatorSetIdProto extra;
    sqz_tensor in[NODE_IN]; /* by slot */
    bool given[NODE_IN];
    bool constant[NODE_IN];
    unsigned n_in, n_out;
    sqz_tensor out[NODE_OUT];
    char names[256], out_names[128];
} onnx_node;

/* `outputs`: "y,,z"; domain NULL: ONNX's own. */
static inline void node_begin(onnx_node *t, sqz_ctx *ctx, const char *op, const char *domain,
                              int64_t opset, const char *outputs)
{
    memset(t, 0, sizeof *t);
    t->ctx = ctx;
    model_begin(&t->m, ctx, 10, opset);
    t->n = model_node(&t->m, op, "node", "", outputs);
    t->n->n_input = 0;
    for (size_t i = 0; i < t->n->n_output; i++)
        if (*t->n->output[i]) {
            model_output(&t->m, t->n->output[i]);
            t->n_out++;
        }
    if (!domain)
        return;
    t->n->domain = model_text(&t->m, domain);
    onnx__operator_set_id_proto__init(&t->extra);
    t->extra.domain = t->n->domain;
    t->extra.has_version = 1;
    t->extra.version = 1;
    t->m.opsets[1] = &t->extra;
    t->m.m.n_opset_import = 2;
}

/* The next operand; uniform in lo .. hi, whole numbers for integers. */
static inline sqz_tensor *node_in(onnx_node *t, sqz_dtype d, sqz_shape s, bool constant, sqz_rng *r,
                                  double lo, double hi)
{
    sqz_tensor *x = &t->in[t->n_in];
    TEST_OK(t->ctx, sqz_tensor_alloc(t->ctx, d, &s, x));
    for (size_t i = 0; i < x->count; i++) {
        double v = lo + (hi - lo) * sqz_rng_uniform(r);
        if (sqz_dtype_is_float(d))
            sqz_tensor_set_f64(x, i, v);
        else
            sqz_tensor_set_i64(x, i, (int64_t)floor(v + 0.5));
    }
    t->given[t->n_in] = true;
    t->constant[t->n_in++] = constant;
    return x;
}
static inline sqz_tensor *node_f32(onnx_node *t, sqz_shape s, sqz_rng *r)
{
    return node_in(t, SQZ_F32, s, false, r, -1, 1);
}
static inline void node_skip(onnx_node *t) { t->n_in++; } /* an operand left out */

static inline void node_int(onnx_node *t, const char *name, int64_t v)
{
    model_int(&t->m, t->n, name, v);
}
static inline void node_float(onnx_node *t, const char *name, double v)
{
    Onnx__AttributeProto *a = model_attr(&t->m, t->n, name, 1);
    a->has_f = 1;
    a->f = (float)v;
}
static inline void node_ints(onnx_node *t, const char *name, const int64_t *v, size_t n)
{
    Onnx__AttributeProto *a = model_attr(&t->m, t->n, name, 7);
    a->n_ints = n;
    a->ints = sqz_arena_alloc(&t->m.arena, n + 1, sizeof *a->ints);
    memcpy(a->ints, v, n * sizeof *v);
}
static inline void node_text(onnx_node *t, const char *name, const char *v)
{
    Onnx__AttributeProto *a = model_attr(&t->m, t->n, name, 3);
    a->has_s = 1;
    a->s.data = (uint8_t *)model_text(&t->m, v);
    a->s.len = strlen(v);
}

static inline void node_floats(onnx_node *t, const char *name, const float *v, size_t n)
{
    Onnx__AttributeProto *a = model_attr(&t->m, t->n, name, 6);
    a->n_floats = n;
    a->floats = sqz_arena_alloc(&t->m.arena, n + 1, sizeof *a->floats);
    memcpy(a->floats, v, n * sizeof *v);
}
static inline void node_texts(onnx_node *t, const char *name, const char *const *v, size_t n)
{
    Onnx__AttributeProto *a = model_attr(&t->m, t->n, name, 8);
    a->n_strings = n;
    a->strings = sqz_arena_alloc(&t->m.arena, n + 1, sizeof *a->strings);
    for (size_t i = 0; i < n; i++) {
        a->strings[i].data = (uint8_t *)model_text(&t->m, v[i]);
        a->strings[i].len = strlen(v[i]);
    }
}

/* Operands become inputs or initializers of the model. */
static inline void node_operands(onnx_node *t)
{
    size_t used = 0, n = 0;
    for (unsigned i = 0; i < t->n_in; i++) {
        const sqz_tensor *x = &t->in[i];
        char name[16] = "", shape[128] = "";
        size_t at = 0;
        if (t->given[i])
            (void)snprintf(name, sizeof name, "x%u", i);
        used += (size_t)snprintf(t->names + used, sizeof t->names - used, i ? ",%s" : "%s", name);
        for (int32_t k = 0; k < x->shape.rank; k++)
            at += (size_t)snprintf(shape + at, sizeof shape - at, "%lld,",
                                   (long long)x->shape.dim[k]);
        if (t->given[i] && t->constant[i])
            model_init(&t->m,
                       model_raw(&t->m, name, sqz_dtype_onnx(x->dtype), (size_t)x->shape.rank,
                                 x->shape.dim, x->data ? x->data : "", x->bytes));
        else if (t->given[i])
            t->m.in[t->m.g.n_input++] = model_info(&t->m, name, sqz_dtype_onnx(x->dtype), shape);
    }
    t->n->input = model_names(&t->m, t->names, &n);
    t->n->n_input = t->n_in;
}

static inline sqz_status node_exec(onnx_node *t, sqz_graph *g, sqz_tensor *out)
{
    sqz_tensor in[NODE_IN];
    unsigned n = 0;
    for (unsigned i = 0; i < t->n_in; i++)
        if (t->given[i] && !t->constant[i])
            in[n++] = t->in[i];
    return sqz_exec_once(g, in, out);
}

/* Written as ONNX and read again, it computes the same: constants may be folded in another order.
 */
static inline void node_round_trip(onnx_node *t, const sqz_graph *g)
{
    void *bytes = NULL;
    size_t n = 0;
    sqz_graph *back = NULL;
    sqz_tensor out[NODE_OUT] = {{0}};
    const sqz_import_options opt = {0};
    TEST_OK(t->ctx, sqz_export_onnx(g, &bytes, &n));
    TEST_OK(t->ctx, sqz_import_bytes(t->ctx, bytes, n, &opt, &back));
    sqz_free(t->ctx, bytes);
    TEST_OK(t->ctx, sqz_run_recipe(back, SQZ_CANONICAL, &(sqz_env){0}));
    TEST_OK(t->ctx, node_exec(t, back, out));
    for (unsigned k = 0; k < t->n_out; k++) {
        assert_true(sqz_shape_eq(&out[k].shape, &t->out[k].shape));
        for (size_t i = 0; i < out[k].count; i++) {
            double a = sqz_tensor_f64(&out[k], i), b = sqz_tensor_f64(&t->out[k], i);
            if (!(a == b || fabs(a - b) <= 1e-5 * fmax(1, fabs(b))))
                fail_msg("after export output %u element %zu is %.9g, was %.9g", k, i, a, b);
        }
        sqz_tensor_free(t->ctx, &out[k]);
    }
    sqz_graph_free(back);
}

/* t->out: the outputs that have names, in order. */
static inline sqz_status node_try(onnx_node *t)
{
    sqz_graph *g = NULL;
    sqz_env env = {0};
    node_operands(t);
    SQZ_TRY(model_import(&t->m, NULL, &g));
    sqz_status s = sqz_run_recipe(g, SQZ_CANONICAL, &env);
    if (s == SQZ_OK)
        s = node_exec(t, g, t->out);
    if (s == SQZ_OK)
        node_round_trip(t, g);
    sqz_graph_free(g);
    return s;
}
static inline void node_run(onnx_node *t) { TEST_OK(t->ctx, node_try(t)); }

static inline void node_end(onnx_node *t)
{
    for (unsigned i = 0; i < NODE_IN; i++)
        sqz_tensor_free(t->ctx, &t->in[i]);
    for (unsigned i = 0; i < NODE_OUT; i++)
        sqz_tensor_free(t->ctx, &t->out[i]);
    model_end(&t->m);
}

/* Element i of operand `slot` as float; 0 where it is left out. */
static inline double node_at(const onnx_node *t, unsigned slot, size_t i)
{
    return slot < t->n_in && t->given[slot] ? sqz_tensor_f64(&t->in[slot], i) : 0;
}
#endif
