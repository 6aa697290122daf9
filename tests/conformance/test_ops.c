/* Walks the operator table and every operator's cases; each claim is a test of its own, named
 * <operator>/<case>/<claim>. Adding an operator adds its tests. */
#include "ir/op.h"
#include "ir/qround.h"
#include "sqz_test.h"

#define MAX_IN  8
#define MAX_OUT 8

typedef struct claim {
    const sqz_op *op;
    unsigned index; /* of the case */
    const sqz_case *c;
} claim;

/* ---- one case as a graph of one node, and its numbers ---- */

typedef struct made {
    sqz_ctx *ctx;
    sqz_graph *g;
    const sqz_node *n;
    sqz_tensor in[MAX_IN]; /* random; constants too */
    const sqz_tensor *inp[MAX_IN];
    unsigned n_in, n_out;
} made;

static void fill(sqz_tensor *t, const sqz_case *c, sqz_rng *r)
{
    double lo = c->lo, hi = c->hi;
    if (lo == 0 && hi == 0) {
        lo = -1;
        hi = 1;
    }
    for (size_t i = 0; i < t->count; i++) {
        if (sqz_dtype_is_float(t->dtype))
            sqz_tensor_set_f64(t, i, lo + (hi - lo) * sqz_rng_uniform(r));
        else
            sqz_tensor_set_i64(t, i,
                               (int64_t)lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo) + 1));
    }
}

static sqz_status add_node(made *m, const sqz_op *op, const char *attrs, const sqz_vid *in)
{
    sqz_arena a = {.ctx = m->ctx};
    void *opts = op->info.opt_size ? sqz_arena_alloc(&a, 1, op->info.opt_size) : NULL;
    sqz_status s = SQZ_OK;
    if (opts) {
        sqz_opts_default(&op->info, opts);
        s = sqz_opts_parse(&a, &op->info, attrs, opts);
    }
    unsigned most = SQZ_MIN(op->n_out_max, MAX_OUT);
    if (s == SQZ_OK)
        for (m->n_out = op->n_out_min; m->n_out <= most; m->n_out++) { /* split: as many as fit */
            s = sqz_graph_node(m->g, op, "node", opts, in, m->n_in, NULL, m->n_out, SQZ_NONE, NULL);
            if (s == SQZ_OK)
                break;
        }
    sqz_arena_free(&a);
    return s;
}

/* `batch`: dimension 0 of every input that is not constant is multiplied by it. */
static sqz_status make(made *m, sqz_ctx *ctx, const claim *cl, int64_t batch)
{
    sqz_rng r = {.seed = 1000 + cl->index};
    sqz_vid in[MAX_IN];
    *m = (made){.ctx = ctx, .n_in = cl->c->n_in};
    TEST_OK(ctx, sqz_graph_create(ctx, &m->g));
    m->g->have = SQZ_HAS_LAYOUT;
    for (unsigned i = 0; i < m->n_in; i++) {
        sqz_shape s = cl->c->in[i];
        bool constant = cl->c->constant >> i & 1;
        in[i] = SQZ_NONE;
        if (s.rank < 0)
            continue;
        if (!constant && s.rank > 0)
            s.dim[0] *= batch;
        TEST_OK(ctx, sqz_tensor_alloc(ctx, cl->c->dtype[i], &s, &m->in[i]));
        fill(&m->in[i], cl->c, &r);
        m->inp[i] = &m->in[i];
        if (constant) {
            sqz_tensor t;
            sqz_tensor_share(&m->in[i], &t);
            TEST_OK(ctx, sqz_graph_constant(m->g, NULL, &t, &in[i]));
        } else {
            TEST_OK(ctx, sqz_graph_input(m->g, NULL, cl->c->dtype[i], &s, &in[i]));
        }
        sqz_val(m->g, in[i])->channel_last = cl->op->layout == SQZ_L_CHANNELS && s.rank >= 3;
    }
    SQZ_TRY(add_node(m, cl->op, cl->c->attrs, in));
    m->n = sqz_nod(m->g, m->g->last);
    return sqz_graph_set_outputs(m->g, m->n->out, m->n_out);
}

static void made_case(made *m, sqz_ctx *ctx, const claim *cl) { TEST_OK(ctx, make(m, ctx, cl, 1)); }

static void unmake(made *m)
{
    for (unsigned i = 0; i < m->n_in; i++)
        sqz_tensor_free(m->ctx, &m->in[i]);
    sqz_graph_free(m->g);
}

typedef struct outputs {
    sqz_tensor t[MAX_OUT];
    sqz_tensor *p[MAX_OUT];
} outputs;

/* Memory for the outputs, every byte set to `mark`. */
static void outputs_make(const made *m, outputs *o, int mark)
{
    for (unsigned i = 0; i < m->n_out; i++) {
        const sqz_value *v = sqz_val(m->g, m->n->out[i]);
        TEST_OK(m->ctx, sqz_tensor_alloc(m->ctx, v->dtype, &v->shape, &o->t[i]));
        if (o->t[i].bytes)
            memset(o->t[i].data, mark, o->t[i].bytes);
        o->p[i] = &o->t[i];
    }
}

static void outputs_free(const made *m, outputs *o)
{
    for (unsigned i = 0; i < m->n_out; i++)
        sqz_tensor_free(m->ctx, &o->t[i]);
}

static void run_float(const made *m, const sqz_tensor *const *in, outputs *o)
{
    TEST_OK(m->ctx, sqz_op_run_once(m->ctx, m->n->op, m->n->attrs, in, m->n_in, o->p, m->n_out,
                                    NULL, NULL));
}

static void same_bytes(const made *m, const outputs *a, const outputs *b)
{
    for (unsigned i = 0; i < m->n_out; i++)
        if (a->t[i].bytes && memcmp(a->t[i].data, b->t[i].data, a->t[i].bytes) != 0)
            fail_msg("output %u differs", i);
}

/* ---- claims about an entry ---- */

static size_t field_size(sqz_attr_type t)
{
    switch (t) {
    case SQZ_A_STRING: return sizeof(char *);
    case SQZ_A_INTS: return sizeof(sqz_ints);
    case SQZ_A_FLOATS: return sizeof(sqz_floats);
    default: return 8;
    }
}

static void check_options(const sqz_info *info)
{
    for (unsigned i = 0; i < info->n_opts; i++) {
        const sqz_attr *at = &info->opts[i];
        if (!at->name || !at->doc || !*at->doc)
            fail_msg("option %u has no name or doc", i);
        if (at->offset + field_size(at->type) > info->opt_size)
            fail_msg("option '%s' lies outside of the struct", at->name);
        if (at->type == SQZ_A_ENUM && !at->names)
            fail_msg("option '%s' has no choices", at->name);
        for (unsigned k = 0; k < i; k++) {
            const sqz_attr *b = &info->opts[k];
            if (strcmp(at->name, b->name) == 0 || (at->offset < b->offset + field_size(b->type) &&
                                                   b->offset < at->offset + field_size(at->type)))
                fail_msg("options '%s' and '%s' overlap", at->name, b->name);
        }
    }
}

static void test_entry(void **state)
{
    const sqz_op *op = ((claim *)*state)->op;
    assert_ptr_equal(sqz_op_find(op->info.name), op);
    assert_true(op->info.doc && *op->info.doc);
    assert_true(op->infer && op->run && op->cases && op->n_cases > 0);
    assert_true(op->n_in_min <= op->n_in_max && op->n_out_min <= op->n_out_max && op->n_out_min);
    assert_true((op->info.opt_size == 0) == (op->info.n_opts == 0));
    check_options(&op->info);
    if (op->quant.kind == SQZ_Q_LINEAR)
        assert_true(op->quant.weight > 0 && op->run_int && op->cost);
    assert_true((op->grad == NULL) == (op->no_grad != NULL)); /* a gradient, or the reason */
    if (op->quant.kind == SQZ_Q_FIXED)
        assert_true(op->quant.fixed_scale > 0 && op->run_int);
    if (op->quant.kind == SQZ_Q_LUT || op->quant.kind == SQZ_Q_REALIGN)
        assert_true(op->run_int != NULL);
    if (op->quant.kind == SQZ_Q_SAME)
        assert_true(op->run_int || (op->traits & (SQZ_T_MOVES | SQZ_T_VIEW)));
    if (op->onnx.op_type) {
        bool known;
        assert_true(op->onnx.since > 0);
        assert_true(!op->onnx.until || op->onnx.until >= op->onnx.since);
        assert_non_null(sqz_op_of_onnx(op->onnx.op_type, op->onnx.since, &known));
    }
}

/* ---- claims about a case ---- */

/* What inference says is what running fills, every byte of it, the same each time. */
static void test_fills_its_outputs(void **state)
{
    sqz_ctx *ctx = test_ctx();
    made m;
    outputs a = {0}, b = {0};
    made_case(&m, ctx, *state);
    TEST_OK(ctx, sqz_graph_verify(m.g));
    outputs_make(&m, &a, 0x00);
    outputs_make(&m, &b, 0xa5);
    run_float(&m, m.inp, &a);
    run_float(&m, m.inp, &b);
    same_bytes(&m, &a, &b);
    outputs_free(&m, &a);
    outputs_free(&m, &b);
    unmake(&m);
    sqz_ctx_free(ctx);
}

static void test_text(void **state)
{
    sqz_ctx *ctx = test_ctx();
    made m;
    sqz_str a = {.ctx = ctx}, b = {.ctx = ctx};
    sqz_graph *h = NULL;
    made_case(&m, ctx, *state);
    TEST_OK(ctx, sqz_graph_print(m.g, SIZE_MAX, &a));
    TEST_OK(ctx, sqz_graph_parse(ctx, a.data, &h));
    TEST_OK(ctx, sqz_graph_print(h, SIZE_MAX, &b));
    assert_string_equal(a.data, b.data);
    assert_true(sqz_opts_equal(&m.n->op->info, m.n->attrs, sqz_nod(h, h->last)->attrs));
    sqz_graph_free(h);
    sqz_str_free(&a);
    sqz_str_free(&b);
    unmake(&m);
    sqz_ctx_free(ctx);
}

static void test_clone(void **state)
{
    sqz_ctx *ctx = test_ctx();
    made m;
    sqz_str a = {.ctx = ctx}, b = {.ctx = ctx};
    sqz_graph *h = NULL;
    made_case(&m, ctx, *state);
    TEST_OK(ctx, sqz_graph_print(m.g, SIZE_MAX, &a));
    TEST_OK(ctx, sqz_graph_clone(m.g, &h));
    unmake(&m); /* nothing of the origin is needed */
    TEST_OK(ctx, sqz_graph_verify(h));
    TEST_OK(ctx, sqz_graph_print(h, SIZE_MAX, &b));
    assert_string_equal(a.data, b.data);
    sqz_graph_free(h);
    sqz_str_free(&a);
    sqz_str_free(&b);
    sqz_ctx_free(ctx);
}

static void test_in_place(void **state)
{
    sqz_ctx *ctx = test_ctx();
    made m;
    outputs a = {0}, b = {0};
    made_case(&m, ctx, *state);
    outputs_make(&m, &a, 0xa5);
    run_float(&m, m.inp, &a);
    if (m.in[0].bytes == a.t[0].bytes && m.in[0].dtype == a.t[0].dtype) {
        const sqz_tensor *in[MAX_IN];
        outputs_make(&m, &b, 0xa5);
        memcpy(b.t[0].data, m.in[0].data, m.in[0].bytes);
        sqz_tensor alias = m.in[0];
        alias.data = b.t[0].data;
        memcpy(in, m.inp, sizeof in);
        in[0] = &alias;
        run_float(&m, in, &b);
        same_bytes(&m, &a, &b);
        outputs_free(&m, &b);
    }
    outputs_free(&m, &a);
    unmake(&m);
    sqz_ctx_free(ctx);
}

/* Any split of the output into parts, in any order, in place or not, gives the bytes of run. */
static void test_part(void **state)
{
    sqz_ctx *ctx = test_ctx();
    const claim *cl = *state;
    static const sqz_quant *const none[MAX_IN];
    made m;
    outputs a = {0}, b = {0};
    sqz_arena arena = {.ctx = ctx};
    sqz_rng r = {.seed = 77};
    made_case(&m, ctx, cl);
    outputs_make(&m, &a, 0);
    run_float(&m, m.inp, &a);
    for (int round = 0; round < 4; round++) {
        const bool in_place = (cl->op->traits & SQZ_T_IN_PLACE) && round % 2 &&
                              m.in[0].bytes == a.t[0].bytes && m.in[0].dtype == a.t[0].dtype;
        const sqz_tensor *in[MAX_IN];
        memcpy(in, m.inp, sizeof in);
        outputs_make(&m, &b, 0xa5);
        if (in_place) {
            memcpy(b.t[0].data, m.in[0].data, m.in[0].bytes);
            in[0] = &b.t[0];
        }
        sqz_prep p = {.ctx = ctx, .arena = &arena, .attrs = m.n->attrs, .n_in = m.n_in, .n_out = 1};
        p.in = in;
        p.out = (const sqz_tensor *const *)b.p;
        p.in_q = p.out_q = none;
        if (cl->op->prepare)
            TEST_OK(ctx, cl->op->prepare(&p));
        const sqz_call c = {.ctx = ctx,
                            .attrs = m.n->attrs,
                            .n_in = m.n_in,
                            .n_out = 1,
                            .in = in,
                            .out = b.p,
                            .in_q = none,
                            .out_q = none,
                            .state = p.state};
        const size_t n = a.t[0].count, cut = sqz_rng_below(&r, n + 1);
        const size_t more = cut + sqz_rng_below(&r, n - cut + 1);
        TEST_OK(ctx, cl->op->part(&c, more, n));
        TEST_OK(ctx, cl->op->part(&c, 0, cut));
        TEST_OK(ctx, cl->op->part(&c, cut, more));
        same_bytes(&m, &a, &b);
        outputs_free(&m, &b);
    }
    sqz_arena_free(&arena);
    outputs_free(&m, &a);
    unmake(&m);
    sqz_ctx_free(ctx);
}

static sqz_ctx *ctx_of_threads(int threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    o.threads = threads;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    return ctx;
}

/* A larger batch where the operator takes one, so that there is something to split. Integers stay
 * as the case has them: larger lists of them are other shapes, indices, overflows. */
static void make_large(made *m, sqz_ctx *ctx, const claim *cl)
{
    if (make(m, ctx, cl, cl->c->dtype[0] == SQZ_F32 ? 512 : 1) == SQZ_OK)
        return;
    unmake(m);
    made_case(m, ctx, cl);
}

static void test_threads(void **state)
{
    sqz_ctx *ctx[2] = {ctx_of_threads(1), ctx_of_threads(4)};
    made m[2];
    outputs o[2] = {{{{0}}, {0}}, {{{0}}, {0}}};
    for (int k = 0; k < 2; k++) {
        make_large(&m[k], ctx[k], *state);
        outputs_make(&m[k], &o[k], 0);
        run_float(&m[k], m[k].inp, &o[k]);
    }
    same_bytes(&m[0], &o[0], &o[1]);
    for (int k = 0; k < 2; k++) {
        outputs_free(&m[k], &o[k]);
        unmake(&m[k]);
        sqz_ctx_free(ctx[k]);
    }
}

/* An operator of any layout, run channel-last with renumbered axes, gives the same numbers. Cases
 * whose operands all have one rank of 3 or more are asked. */
static void test_layout(void **state)
{
    sqz_ctx *ctx = test_ctx();
    const claim *cl = *state;
    int32_t rank = cl->c->in[0].rank;
    int to_last[SQZ_MAX_RANK], to_file[SQZ_MAX_RANK];
    made m;
    outputs a = {0}, b = {0};
    sqz_tensor turned[MAX_IN] = {0};
    const sqz_tensor *in[MAX_IN] = {0};
    sqz_arena arena = {.ctx = ctx};
    void *attrs;
    made_case(&m, ctx, cl);
    outputs_make(&m, &a, 0);
    run_float(&m, m.inp, &a);
    for (int32_t i = 0; i < rank; i++) {
        to_last[i] = sqz_axis_to_file(i, rank);
        to_file[i] = sqz_axis_to_last(i, rank);
    }
    for (unsigned i = 0; i < m.n_in; i++) {
        if (!m.inp[i])
            continue;
        TEST_OK(ctx, sqz_tensor_permute(ctx, &m.in[i], to_last, &turned[i]));
        in[i] = &turned[i];
    }
    TEST_OK(ctx, sqz_attrs_renumber(ctx, &arena, m.n->op, m.n->attrs, rank, true, &attrs));
    for (unsigned i = 0; i < m.n_out; i++) {
        sqz_shape s = a.t[i].shape;
        for (int32_t k = 0; k < rank; k++)
            s.dim[k] = a.t[i].shape.dim[to_last[k]];
        TEST_OK(ctx, sqz_tensor_alloc(ctx, a.t[i].dtype, &s, &b.t[i]));
        b.p[i] = &b.t[i];
    }
    TEST_OK(ctx, sqz_op_run_once(ctx, m.n->op, attrs, in, m.n_in, b.p, m.n_out, NULL, NULL));
    for (unsigned i = 0; i < m.n_out; i++) {
        sqz_tensor back;
        TEST_OK(ctx, sqz_tensor_permute(ctx, &b.t[i], to_file, &back));
        for (size_t k = 0; k < back.count; k++) {
            double want = sqz_tensor_f64(&a.t[i], k), got = sqz_tensor_f64(&back, k);
            /* sums along an axis may be added in another order: a few units in the last place */
            if (fabs(got - want) > 4e-6 * fmax(1, fabs(want)))
                fail_msg("output %u element %zu: %.9g, in the file's layout %.9g", i, k, got, want);
        }
        sqz_tensor_free(ctx, &back);
    }
    sqz_arena_free(&arena);
    for (unsigned i = 0; i < m.n_in; i++)
        sqz_tensor_free(ctx, &turned[i]);
    outputs_free(&m, &a);
    outputs_free(&m, &b);
    unmake(&m);
    sqz_ctx_free(ctx);
}

static bool asks_layout(const sqz_op *op, const sqz_case *c)
{
    if (op->layout != SQZ_L_ANY || c->in[0].rank < 3)
        return false;
    for (unsigned i = 1; i < c->n_in; i++)
        if (c->in[i].rank >= 0 && c->in[i].rank != c->in[0].rank)
            return false;
    return !c->attrs || !strstr(c->attrs, "keepdims=0");
}

/* ---- multiply-accumulates ---- */

static unsigned weight_slot(const sqz_op *op)
{
    return op->quant.weight ? (unsigned)op->quant.weight : 1; /* a product of two activations */
}

/* Taps counted from shapes alone; padding counts, as it does in published figures. */
static uint64_t count_macs(const made *m)
{
    const char *name = m->n->op->info.name;
    const sqz_tensor *w = &m->in[weight_slot(m->n->op)];
    uint64_t out = 1, in = m->in[0].count,
             k = (uint64_t)m->in[0].shape.dim[m->in[0].shape.rank - 1];
    const sqz_shape *y = &sqz_val(m->g, m->n->out[0])->shape;
    for (int32_t i = 0; i < y->rank; i++)
        out *= (uint64_t)y->dim[i];
    if (strcmp(name, "matmul") == 0)
        return out * k;
    if (strcmp(name, "gemm") == 0) /* w (O,I) */
        return out * k;
    if (strcmp(name, "conv2d") == 0 || strcmp(name, "dwconv2d") == 0) /* (O,Kh,Kw,I/groups) */
        return out * (w->count / (uint64_t)w->shape.dim[0]);
    if (strcmp(name, "conv_transpose") == 0) /* (I,Kh,Kw,O/groups): every input goes everywhere */
        return in * (w->count / (uint64_t)w->shape.dim[0]);
    fail_msg("no formula for the multiplications of '%s': write it here", name);
    return 0;
}

/* With ones for inputs and weights and zeros for the rest, outputs add up to the number of products
 * that were taken: never more than the cost says. */
static double products_taken(const made *m)
{
    sqz_tensor one[MAX_IN] = {0};
    const sqz_tensor *in[MAX_IN] = {0};
    outputs o = {0};
    double sum = 0;
    for (unsigned i = 0; i < m->n_in; i++) {
        if (!m->inp[i])
            continue;
        TEST_OK(m->ctx, sqz_tensor_alloc(m->ctx, m->in[i].dtype, &m->in[i].shape, &one[i]));
        for (size_t k = 0; k < one[i].count; k++)
            sqz_tensor_set_f64(&one[i], k, i == 0 || i == weight_slot(m->n->op) ? 1 : 0);
        in[i] = &one[i];
    }
    outputs_make(m, &o, 0);
    run_float(m, in, &o);
    for (size_t i = 0; i < o.t[0].count; i++)
        sum += sqz_tensor_f64(&o.t[0], i);
    outputs_free(m, &o);
    for (unsigned i = 0; i < m->n_in; i++)
        sqz_tensor_free(m->ctx, &one[i]);
    return sum;
}

static void test_macs(void **state)
{
    sqz_ctx *ctx = test_ctx();
    made m;
    sqz_cost cost;
    made_case(&m, ctx, *state);
    sqz_node_cost(m.g, m.n, &cost);
    assert_true(cost.macs == count_macs(&m));
    assert_true(cost.kind == SQZ_COST_CONV || cost.kind == SQZ_COST_POINTWISE ||
                cost.kind == SQZ_COST_DEPTHWISE || cost.kind == SQZ_COST_FC);
    double taken = products_taken(&m);
    assert_true(taken > 0 && taken <= (double)cost.macs + 0.5);
    unmake(&m);
    sqz_ctx_free(ctx);
}

/* ---- integers ---- */

typedef struct grids {
    sqz_quant q[MAX_IN + MAX_OUT];
    const sqz_quant *in[MAX_IN], *out[MAX_OUT];
    float *scale[MAX_IN + MAX_OUT];
    int32_t *zero[MAX_IN + MAX_OUT];
} grids;

static sqz_quant *grid(grids *g, unsigned k, sqz_dtype d, int32_t axis, uint32_t n)
{
    g->scale[k] = calloc(n, sizeof(float));
    g->zero[k] = calloc(n, sizeof(int32_t));
    assert_true(g->scale[k] && g->zero[k]);
    g->q[k] = (sqz_quant){
        .dtype = d, .axis = axis, .n = n, .scale = g->scale[k], .zero = g->zero[k]};
    return &g->q[k];
}

static void widen(const sqz_tensor *t, float *lo, float *hi)
{
    for (size_t i = 0; i < t->count; i++) {
        *lo = fminf(*lo, SQZ_F32P(t)[i]);
        *hi = fmaxf(*hi, SQZ_F32P(t)[i]);
    }
}

/* Asymmetric int8 over [lo, hi], which contain 0. */
static void set_range(grids *g, unsigned k, float lo, float hi)
{
    float s = (hi - lo) / 255.0f;
    g->scale[k][0] = s > 0 ? s : 1.0f;
    g->zero[k][0] = (int32_t)fmaxf(-128, fminf(127, nearbyintf(-128 - lo / g->scale[k][0])));
}

/* Entry of the grid that element i belongs to. */
static uint32_t entry(const sqz_quant *q, const sqz_tensor *t, size_t i)
{
    size_t inner = 1;
    if (q->axis < 0)
        return 0;
    for (int32_t a = q->axis + 1; a < t->shape.rank; a++)
        inner *= (size_t)t->shape.dim[a];
    return (uint32_t)(i / inner % (size_t)t->shape.dim[q->axis]);
}

/* Puts x on its grid: q gets the codes, x the numbers that they stand for. */
static void quantize(sqz_ctx *ctx, sqz_tensor *x, const sqz_quant *g, sqz_tensor *q)
{
    int32_t lo = g->dtype == SQZ_S32 ? INT32_MIN : g->axis >= 0 ? -127 : -128;
    int32_t hi = g->dtype == SQZ_S32 ? INT32_MAX : 127;
    TEST_OK(ctx, sqz_tensor_alloc(ctx, g->dtype, &x->shape, q));
    for (size_t i = 0; i < x->count; i++) {
        uint32_t e = entry(g, x, i);
        int32_t code = sqz_qround(SQZ_F32P(x)[i], g->scale[e], g->zero[e], lo, hi);
        sqz_tensor_set_i64(q, i, code);
        SQZ_F32P(x)[i] = g->scale[e] * (float)(code - g->zero[e]);
    }
}

static bool is_data(const sqz_op *op, unsigned i)
{
    const sqz_qrule *r = &op->quant;
    if (r->data_inputs)
        return r->data_inputs >> i & 1;
    return i == 0 || r->kind == SQZ_Q_SAME || r->kind == SQZ_Q_REALIGN;
}

static void weight_grid(grids *g, const made *m)
{
    const sqz_qrule *r = &m->n->op->quant;
    unsigned k = (unsigned)r->weight;
    const sqz_tensor *w = &m->in[k];
    int32_t axis = r->channel_axis < 0 ? w->shape.rank + r->channel_axis : r->channel_axis;
    g->in[k] = grid(g, k, SQZ_S8, axis, (uint32_t)w->shape.dim[axis]);
    for (size_t i = 0; i < w->count; i++) {
        float *s = &g->scale[k][entry(&g->q[k], w, i)];
        *s = fmaxf(*s, fabsf(SQZ_F32P(w)[i]) / 127.0f);
    }
    for (uint32_t i = 0; i < g->q[k].n; i++)
        g->scale[k][i] = g->scale[k][i] > 0 ? g->scale[k][i] : 1.0f;
    unsigned b = (unsigned)r->bias;
    if (!b || b >= m->n_in || !m->inp[b])
        return;
    g->in[b] = grid(g, b, SQZ_S32, 0, (uint32_t)m->in[b].shape.dim[0]);
    for (uint32_t i = 0; i < g->q[b].n; i++) /* grouped transposed convolutions share scales */
        g->scale[b][i] = g->scale[0][0] * g->scale[k][i % g->q[k].n];
}

static void input_grids(grids *g, const made *m)
{
    const sqz_op *op = m->n->op;
    for (unsigned i = 0; i < m->n_in; i++)
        if (m->inp[i] && m->in[i].dtype == SQZ_F32 && is_data(op, i)) {
            float lo = 0, hi = 0;
            for (unsigned k = 0; k < m->n_in; k++)
                if (m->inp[k] && m->in[k].dtype == SQZ_F32 && is_data(op, k) &&
                    (k == i || op->quant.kind == SQZ_Q_SAME))
                    widen(&m->in[k], &lo, &hi);
            g->in[i] = grid(g, i, SQZ_S8, -1, 1);
            set_range(g, i, lo, hi);
        }
    if (op->quant.kind == SQZ_Q_LINEAR)
        weight_grid(g, m);
}

static void output_grid(grids *g, const made *m, unsigned i, const sqz_tensor *y)
{
    const sqz_qrule *r = &m->n->op->quant;
    unsigned k = MAX_IN + i;
    float lo = 0, hi = 0;
    g->out[i] = grid(g, k, SQZ_S8, -1, 1);
    if (y->dtype != SQZ_F32) { /* indices beside the data: no grid */
        g->out[i] = NULL;
        return;
    }
    widen(y, &lo, &hi);
    set_range(g, k, lo, hi);
    if (r->kind == SQZ_Q_SAME) {
        g->scale[k][0] = g->scale[0][0];
        g->zero[k][0] = g->zero[0][0];
    } else if (r->fixed_scale > 0) {
        g->scale[k][0] = r->fixed_scale;
        g->zero[k][0] = r->fixed_zero;
    }
}

static void compare(const made *m, const grids *g, const outputs *real, const outputs *codes)
{
    static const int steps[] = {[SQZ_Q_LINEAR] = 1,
                                [SQZ_Q_SAME] = 0,
                                [SQZ_Q_REALIGN] = 2,
                                [SQZ_Q_FIXED] = 2,
                                [SQZ_Q_LUT] = 0};
    int allowed = steps[m->n->op->quant.kind];
    for (unsigned i = 0; i < m->n_out; i++) {
        const sqz_quant *q = g->out[i];
        if (!q)
            assert_memory_equal(real->t[i].data, codes->t[i].data, real->t[i].bytes);
        for (size_t k = 0; q && k < real->t[i].count; k++) {
            int want = sqz_qround(SQZ_F32P(&real->t[i])[k], q->scale[0], q->zero[0], -128, 127);
            int got = SQZ_S8P(&codes->t[i])[k];
            if (abs(got - want) > allowed)
                fail_msg("output %u element %zu: code %d, the float result rounds to %d (scale %g)",
                         i, k, got, want, (double)q->scale[0]);
        }
    }
}

/* A case on integers: inputs on their grids, the float result, and the codes. */
typedef struct int_case {
    made m;
    grids g;
    outputs real, codes;
    sqz_tensor q[MAX_IN];
    const sqz_tensor *in[MAX_IN];
} int_case;

static void int_run(const int_case *c, const sqz_tensor *const *in, sqz_tensor *const *out)
{
    const made *m = &c->m;
    TEST_OK(m->ctx, sqz_op_run_once(m->ctx, m->n->op, m->n->attrs, in, m->n_in, out, m->n_out,
                                    c->g.in, c->g.out));
}

static void int_make(int_case *c, sqz_ctx *ctx, const claim *cl)
{
    made *m = &c->m;
    *c = (int_case){.g = {.q = {{0}}}};
    make_large(m, ctx, cl);
    input_grids(&c->g, m);
    for (unsigned i = 0; i < m->n_in; i++) {
        if (c->g.in[i])
            quantize(ctx, &m->in[i], c->g.in[i], &c->q[i]);
        c->in[i] = c->g.in[i] ? &c->q[i] : m->inp[i];
    }
    outputs_make(m, &c->real, 0);
    run_float(m, m->inp, &c->real);
    for (unsigned i = 0; i < m->n_out; i++) {
        output_grid(&c->g, m, i, &c->real.t[i]);
        sqz_dtype d = c->g.out[i] ? SQZ_S8 : c->real.t[i].dtype;
        TEST_OK(ctx, sqz_tensor_alloc(ctx, d, &c->real.t[i].shape, &c->codes.t[i]));
        c->codes.p[i] = &c->codes.t[i];
    }
    int_run(c, c->in, c->codes.p);
}

static void int_free(int_case *c)
{
    for (unsigned k = 0; k < MAX_IN + MAX_OUT; k++) {
        free(c->g.scale[k]);
        free(c->g.zero[k]);
    }
    for (unsigned i = 0; i < c->m.n_in; i++)
        sqz_tensor_free(c->m.ctx, &c->q[i]);
    outputs_free(&c->m, &c->real);
    outputs_free(&c->m, &c->codes);
    unmake(&c->m);
}

/* Once more with the output where the first input is. */
static void int_in_place(const int_case *c)
{
    const sqz_tensor *in[MAX_IN];
    sqz_tensor *out[MAX_OUT], copy;
    if (!(c->m.n->op->traits & SQZ_T_IN_PLACE) || c->q[0].bytes != c->codes.t[0].bytes)
        return;
    TEST_OK(c->m.ctx, sqz_tensor_cast(c->m.ctx, &c->q[0], SQZ_S8, &copy));
    memcpy(in, c->in, sizeof in);
    memcpy(out, c->codes.p, sizeof out);
    in[0] = out[0] = &copy;
    int_run(c, in, out);
    assert_memory_equal(copy.data, c->codes.t[0].data, copy.bytes);
    sqz_tensor_free(c->m.ctx, &copy);
}

/* The integer form agrees with the float form on the numbers that the codes stand for, gives the
 * same bytes for any number of threads, and works in place where the table says so. */
static void test_int(void **state)
{
    sqz_ctx *ctx[2] = {ctx_of_threads(1), ctx_of_threads(4)};
    int_case *c = calloc(2, sizeof *c);
    assert_non_null(c);
    for (int k = 0; k < 2; k++)
        int_make(&c[k], ctx[k], *state);
    compare(&c[0].m, &c[0].g, &c[0].real, &c[0].codes);
    same_bytes(&c[0].m, &c[0].codes, &c[1].codes);
    int_in_place(&c[0]);
    for (int k = 0; k < 2; k++) {
        int_free(&c[k]);
        sqz_ctx_free(ctx[k]);
    }
    free(c);
}

/* Float data in and out, and an operator with an integer form. */
static bool asks_int(const sqz_op *op, const sqz_case *c)
{
    if (op->quant.kind == SQZ_Q_FLOAT || c->dtype[0] != SQZ_F32 || c->in[0].rank < 0)
        return false;
    /* a linear operator's weights are constants; anything else runs as float */
    return op->quant.kind != SQZ_Q_LINEAR || (c->constant >> op->quant.weight & 1);
}

/* ---- gradients ---- */

/* A case with room for the gradients of its float inputs, and weights u of its outputs: the
 * function is the sum of u * y. */
typedef struct grad_case {
    made m;
    outputs y, u;
    sqz_tensor d[MAX_IN]; /* gradients; no data: not wanted */
    float *dp[MAX_IN];
    const float *gp[MAX_OUT];
    uint64_t want;
} grad_case;

static void grad_case_make(grad_case *c, sqz_ctx *ctx, const claim *cl, bool large)
{
    sqz_rng r = {.seed = 4242 + cl->index};
    *c = (grad_case){.want = 0};
    if (large)
        make_large(&c->m, ctx, cl);
    else
        made_case(&c->m, ctx, cl);
    outputs_make(&c->m, &c->y, 0);
    outputs_make(&c->m, &c->u, 0);
    run_float(&c->m, c->m.inp, &c->y);
    for (unsigned i = 0; i < c->m.n_out; i++)
        if (c->u.t[i].dtype == SQZ_F32) {
            for (size_t k = 0; k < c->u.t[i].count; k++)
                SQZ_F32P(&c->u.t[i])[k] = (float)(2 * sqz_rng_uniform(&r) - 1);
            c->gp[i] = SQZ_F32P(&c->u.t[i]);
        }
    for (unsigned i = 0; i < c->m.n_in; i++) {
        if (!c->m.inp[i] || c->m.in[i].dtype != SQZ_F32)
            continue;
        if ((cl->op->grad_reads & SQZ_GRAD_ESTIMATE) && i > 1) /* zero points, choices */
            continue;
        TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &c->m.in[i].shape, &c->d[i]));
        for (size_t k = 0; k < c->d[i].count; k++)
            SQZ_F32P(&c->d[i])[k] = 0.5f;
        c->dp[i] = SQZ_F32P(&c->d[i]);
        c->want |= (uint64_t)1 << i;
    }
}

static void grad_case_free(grad_case *c)
{
    for (unsigned i = 0; i < c->m.n_in; i++)
        sqz_tensor_free(c->m.ctx, &c->d[i]);
    outputs_free(&c->m, &c->y);
    outputs_free(&c->m, &c->u);
    unmake(&c->m);
}

/* The gradients of the inputs in `want`. What grad says not to read is not there. */
static void grad_run(grad_case *c, uint64_t want, uint64_t add)
{
    made *m = &c->m;
    sqz_arena a = {.ctx = m->ctx};
    sqz_tensor shape[MAX_IN + MAX_OUT];
    const sqz_tensor *in[MAX_IN] = {0}, *out[MAX_OUT] = {0};
    float *dp[MAX_IN] = {0};
    for (unsigned i = 0; i < m->n_in; i++)
        if (m->inp[i]) {
            shape[i] = m->in[i];
            shape[i].data = NULL;
            in[i] = &shape[i];
            dp[i] = want >> i & 1 ? c->dp[i] : NULL;
        }
    for (unsigned i = 0; i < m->n_out; i++) {
        shape[MAX_IN + i] = c->y.t[i];
        shape[MAX_IN + i].data = NULL;
        out[i] = &shape[MAX_IN + i];
    }
    sqz_grad_prep p = {.ctx = m->ctx,
                       .arena = &a,
                       .attrs = m->n->attrs,
                       .n_in = m->n_in,
                       .n_out = m->n_out,
                       .in = in,
                       .out = out,
                       .want = want};
    TEST_OK(m->ctx, sqz_grad_prepare(m->n->op, &p));
    for (unsigned i = 0; i < m->n_in; i++)
        if (m->inp[i] && (i > 1 || p.reads_in[i]))
            shape[i].data = m->in[i].data;
    for (unsigned i = 0; i < m->n_out; i++)
        if (i > 0 || p.reads_out)
            shape[MAX_IN + i].data = c->y.t[i].data;
    void *scratch = sqz_arena_alloc(&a, SQZ_MAX(p.scratch_bytes, (size_t)1), 1);
    assert_non_null(scratch);
    memset(scratch, 0xa5, SQZ_MAX(p.scratch_bytes, (size_t)1));
    const sqz_grad_call call = {.ctx = m->ctx,
                                .attrs = m->n->attrs,
                                .n_in = m->n_in,
                                .n_out = m->n_out,
                                .in = in,
                                .out = out,
                                .out_grad = c->gp,
                                .in_grad = dp,
                                .add = add,
                                .state = p.state,
                                .scratch = scratch};
    TEST_OK(m->ctx, m->n->op->grad(&call));
    sqz_arena_free(&a);
}

/* The function around one number x of input i: its slopes to both sides over a step h, and what the
 * rounding of the results makes of them at most. Operators with a double form use it. */
typedef struct slopes {
    double up, down, noise;
} slopes;

static bool runs_wide(const made *m) /* forms that only the executor makes are float32 */
{
    return (m->n->op->traits & SQZ_T_F64) && !(strcmp(m->n->op->info.name, "matmul") == 0);
}

static void apply(const grad_case *c, const sqz_tensor *const *in, bool wide, outputs *o)
{
    const made *m = &c->m;
    for (unsigned t = 0; t < m->n_out; t++) {
        sqz_dtype d = wide && c->y.t[t].dtype == SQZ_F32 ? SQZ_F64 : c->y.t[t].dtype;
        TEST_OK(m->ctx, sqz_tensor_alloc(m->ctx, d, &c->y.t[t].shape, &o->t[t]));
        o->p[t] = &o->t[t];
    }
    run_float(m, in, o);
}

static slopes slopes_at(const grad_case *c, unsigned i, size_t k, double h)
{
    const made *m = &c->m;
    const bool wide = runs_wide(m);
    const double unit = wide ? 1e-15 : 1e-7;
    sqz_tensor copy[MAX_IN] = {0};
    const sqz_tensor *in[MAX_IN] = {0};
    outputs o[3] = {0};
    double at[3];
    slopes s = {0, 0, 0};
    for (unsigned t = 0; t < m->n_in; t++)
        if (m->inp[t]) {
            sqz_dtype d = wide && m->in[t].dtype == SQZ_F32 ? SQZ_F64 : m->in[t].dtype;
            TEST_OK(m->ctx, sqz_tensor_cast(m->ctx, &m->in[t], d, &copy[t]));
            in[t] = &copy[t];
        }
    const double x = sqz_tensor_f64(&copy[i], k);
    for (int e = 0; e < 3; e++) {
        sqz_tensor_set_f64(&copy[i], k, x + (e - 1) * h);
        at[e] = sqz_tensor_f64(&copy[i], k);
        apply(c, in, wide, &o[e]);
    }
    for (unsigned y = 0; y < m->n_out; y++) {
        for (size_t t = 0; c->gp[y] && t < o[0].t[y].count; t++) {
            const double u = (double)c->gp[y][t], a = sqz_tensor_f64(&o[0].t[y], t),
                         b = sqz_tensor_f64(&o[1].t[y], t), d = sqz_tensor_f64(&o[2].t[y], t);
            s.down += u * (b - a) / (at[1] - at[0]);
            s.up += u * (d - b) / (at[2] - at[1]);
            if (a != b || b != d) /* the others do not depend on x */
                s.noise += fabs(u) * unit * (fabs(a) + fabs(d) + 1) / (at[2] - at[0]);
        }
    }
    for (unsigned t = 0; t < m->n_in; t++)
        sqz_tensor_free(m->ctx, &copy[t]);
    for (int e = 0; e < 3; e++)
        outputs_free(m, &o[e]);
    return s;
}

/* Central differences with steps h and h/2, whose error is of order h^2: together of order h^4. At
 * a kink (of a clamp, a maximum) the slopes to both sides do not draw near each other as the step
 * gets smaller, or the two steps disagree: such elements are left out, and must be few. */
static void test_grad(void **state)
{
    sqz_ctx *ctx = test_ctx();
    const claim *cl = *state;
    size_t checked = 0, all = 0;
    grad_case c;
    grad_case_make(&c, ctx, cl, false);
    grad_run(&c, c.want, 0);
    if (c.y.t[0].dtype != SQZ_F32) { /* a cast to integers: nothing to differ */
        grad_case_free(&c);
        sqz_ctx_free(ctx);
        return;
    }
    const double h = runs_wide(&c.m) ? 1e-3 : 1.0 / 32;
    for (unsigned i = 0; i < c.m.n_in; i++) {
        if (!c.dp[i])
            continue;
        for (size_t k = 0; k < c.d[i].count; k += 1 + c.d[i].count / 150) {
            const slopes a = slopes_at(&c, i, k, h), b = slopes_at(&c, i, k, h / 2);
            const double wide = (a.up + a.down) / 2, near = (b.up + b.down) / 2;
            const double want = near + (near - wide) / 3, got = (double)c.dp[i][k];
            const double jump = fabs(b.up - b.down), noise = a.noise + 2 * b.noise;
            all++;
            if ((jump > 4 * noise && jump > 0.7 * fabs(a.up - a.down)) ||
                fabs(near - wide) > 0.02 * fmax(fabs(near), 0.05) + 2 * noise)
                continue;
            checked++;
            /* the gradient itself is float: sums of some hundred terms of size 1 at most */
            const double own = noise + 2e-5 * fmax(1, fabs(want));
            if (fabs(got - want) <= 0.5 * fabs(near - wide) + own)
                continue;
            /* where the curvature jumps (cubic pieces), differences draw near with h only */
            const slopes d = slopes_at(&c, i, k, h / 4);
            const double third = (d.up + d.down) / 2;
            if (fabs(got - third) > 2 * fabs(third - near) + 4 * own)
                fail_msg("input %u element %zu: %.9g, central differences say %.9g", i, k, got,
                         want);
        }
    }
    if (checked * 10 < all * 8 || !all)
        fail_msg("only %zu of %zu elements could be checked", checked, all);
    grad_case_free(&c);
    sqz_ctx_free(ctx);
}

/* Each input alone gives the same bytes, and adding adds. */
static void test_grad_add(void **state)
{
    sqz_ctx *ctx = test_ctx();
    grad_case a, b;
    grad_case_make(&a, ctx, *state, false);
    grad_case_make(&b, ctx, *state, false);
    grad_run(&a, a.want, 0);
    for (unsigned i = 0; i < a.m.n_in; i++) {
        if (!a.dp[i])
            continue;
        const uint64_t one = (uint64_t)1 << i;
        grad_run(&b, one, one); /* to the 0.5 that stands there */
        for (size_t k = 0; k < a.d[i].count; k++)
            if (fabsf(b.dp[i][k] - (0.5f + a.dp[i][k])) > 1e-5f * fmaxf(1, fabsf(a.dp[i][k])))
                fail_msg("input %u element %zu: %.9g added to 0.5 gives %.9g", i, k,
                         (double)a.dp[i][k], (double)b.dp[i][k]);
        grad_run(&b, one, 0);
        assert_memory_equal(a.dp[i], b.dp[i], a.d[i].bytes);
    }
    grad_case_free(&a);
    grad_case_free(&b);
    sqz_ctx_free(ctx);
}

static void test_grad_threads(void **state)
{
    sqz_ctx *ctx[2] = {ctx_of_threads(1), ctx_of_threads(4)};
    grad_case *c = calloc(2, sizeof *c);
    assert_non_null(c);
    for (int k = 0; k < 2; k++) {
        grad_case_make(&c[k], ctx[k], *state, true);
        grad_run(&c[k], c[k].want, 0);
    }
    for (unsigned i = 0; i < c[0].m.n_in; i++)
        if (c[0].dp[i])
            assert_memory_equal(c[0].dp[i], c[1].dp[i], c[0].d[i].bytes);
    for (int k = 0; k < 2; k++) {
        grad_case_free(&c[k]);
        sqz_ctx_free(ctx[k]);
    }
    free(c);
}

static bool asks_grad(const sqz_op *op, const sqz_case *c)
{
    return op->grad && c->dtype[0] == SQZ_F32 && c->in[0].rank >= 0;
}

/* ---- the list ---- */

#define MAX_TESTS 8192
static struct CMUnitTest list[MAX_TESTS];
static size_t n_list;

static void add(claim *cl, const char *what, CMUnitTestFunction fn)
{
    char *name = malloc(128);
    if (!name || n_list == MAX_TESTS)
        abort();
    if (cl->c)
        (void)snprintf(name, 128, "%s/%u/%s", cl->op->info.name, cl->index + 1, what);
    else
        (void)snprintf(name, 128, "%s/%s", cl->op->info.name, what);
    list[n_list++] = (struct CMUnitTest){.name = name, .test_func = fn, .initial_state = cl};
}

static claim *new_claim(const sqz_op *op, const sqz_case *c, unsigned index)
{
    claim *cl = malloc(sizeof *cl);
    if (!cl)
        abort();
    *cl = (claim){op, index, c};
    return cl;
}

static void add_case(const sqz_op *op, unsigned k)
{
    const sqz_case *c = &op->cases[k];
    claim *cl = new_claim(op, c, k);
    add(cl, "fills its outputs", test_fills_its_outputs);
    add(cl, "text", test_text);
    add(cl, "clone", test_clone);
    add(cl, "threads", test_threads);
    if (op->traits & SQZ_T_IN_PLACE)
        add(cl, "in place", test_in_place);
    if (op->part)
        add(cl, "part", test_part);
    if (asks_layout(op, c))
        add(cl, "layout", test_layout);
    if (op->quant.kind == SQZ_Q_LINEAR)
        add(cl, "macs", test_macs);
    if (asks_int(op, c))
        add(cl, "int", test_int);
    if (asks_grad(op, c)) {
        if (!(op->grad_reads & SQZ_GRAD_ESTIMATE))
            add(cl, "grad", test_grad);
        add(cl, "grad add", test_grad_add);
        add(cl, "grad threads", test_grad_threads);
    }
}

/* Optional argument: only operators of this name. */
int main(int argc, char **argv)
{
    for (size_t i = 0; i < sqz_n_ops; i++) {
        const sqz_op *op = sqz_ops[i];
        if (argc > 1 && strcmp(argv[1], op->info.name) != 0)
            continue;
        add(new_claim(op, NULL, 0), "entry", test_entry);
        for (unsigned k = 0; k < op->n_cases; k++)
            add_case(op, k);
    }
    int failed = _cmocka_run_group_tests("ops", list, n_list, NULL, NULL);
    for (size_t i = 0; i < n_list; i++) {
        if (i + 1 == n_list || list[i + 1].initial_state != list[i].initial_state)
            free(list[i].initial_state);
        free((char *)(uintptr_t)list[i].name);
    }
    return failed;
}
