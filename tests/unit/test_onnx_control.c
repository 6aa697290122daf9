/* If, Loop, Scan and local functions become part of the graph around them. */
#include "exec/exec.h"
#include "io/onnx.h"
#include "onnx_model.h"
#include <string.h>

MODEL_TYPE(GraphProto, graph_proto)
MODEL_TYPE(FunctionProto, function_proto)
MODEL_TYPE(OperatorSetIdProto, operator_set_id_proto)

typedef struct state {
    sqz_ctx *ctx;
    model m;
    sqz_graph *g;
} state;

static int begin(void **p)
{
    state *s = calloc(1, sizeof *s);
    s->ctx = test_ctx();
    model_begin(&s->m, s->ctx, 8, 17);
    *p = s;
    return 0;
}
static int end(void **p)
{
    state *s = *p;
    sqz_graph_free(s->g);
    model_end(&s->m);
    sqz_ctx_free(s->ctx);
    free(s);
    return 0;
}

/* The nodes that were added since `first` become a graph of their own. */
static Onnx__GraphProto *body(model *m, size_t first, const char *in, const char *out)
{
    Onnx__GraphProto *g = MODEL_NEW(m, graph_proto);
    char **name = model_names(m, in, &g->n_input);
    g->name = model_text(m, "body");
    g->n_input -= !*name[0];
    g->input = sqz_arena_alloc(&m->arena, 16, sizeof(void *));
    for (size_t i = 0; i < g->n_input; i++)
        g->input[i] = model_info(m, name[i], 1, NULL);
    name = model_names(m, out, &g->n_output);
    g->output = sqz_arena_alloc(&m->arena, 16, sizeof(void *));
    for (size_t i = 0; i < g->n_output; i++)
        g->output[i] = model_info(m, name[i], 1, NULL);
    g->n_node = m->g.n_node - first;
    g->node = sqz_arena_alloc(&m->arena, g->n_node + 1, sizeof(void *));
    memcpy(g->node, m->node + first, g->n_node * sizeof *g->node);
    m->g.n_node = first;
    return g;
}
static void set_body(model *m, Onnx__NodeProto *n, const char *name, Onnx__GraphProto *g)
{
    model_attr(m, n, name, 5)->g = g;
}

static Onnx__FunctionProto *function(model *m, const char *name, const char *in, const char *out)
{
    Onnx__FunctionProto *f = MODEL_NEW(m, function_proto);
    Onnx__OperatorSetIdProto *opset = MODEL_NEW(m, operator_set_id_proto);
    f->name = model_text(m, name);
    f->domain = model_text(m, "loc");
    f->input = model_names(m, in, &f->n_input);
    f->output = model_names(m, out, &f->n_output);
    opset->has_version = 1;
    opset->version = 17;
    f->opset_import = sqz_arena_alloc(&m->arena, 1, sizeof(void *));
    f->opset_import[f->n_opset_import++] = opset;
    f->n_node = m->g.n_node;
    f->node = sqz_arena_alloc(&m->arena, f->n_node + 1, sizeof(void *));
    memcpy(f->node, m->node, f->n_node * sizeof *f->node);
    m->g.n_node = 0;
    if (!m->m.functions)
        m->m.functions = sqz_arena_alloc(&m->arena, 8, sizeof(void *));
    return m->m.functions[m->m.n_functions++] = f;
}
static Onnx__NodeProto *call(model *m, const char *op, const char *in, const char *out)
{
    Onnx__NodeProto *n = model_node(m, op, NULL, in, out);
    n->domain = model_text(m, "loc");
    return n;
}

/* The outputs for x = 1 -2 3. */
static void expect(state *s, const double *want, size_t n)
{
    float x[3] = {1, -2, 3};
    const sqz_shape three = {1, {3}};
    sqz_tensor in, out;
    TEST_OK(s->ctx, model_import(&s->m, "x=3", &s->g));
    TEST_OK(s->ctx, sqz_tensor_view(s->ctx, SQZ_F32, &three, x, &in));
    TEST_OK(s->ctx, sqz_exec_once(s->g, &in, &out));
    assert_int_equal(out.count, n);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(sqz_tensor_f64(&out, i) - want[i]) < 1e-5);
    sqz_tensor_free(s->ctx, &out);
    sqz_graph_free(s->g);
    s->g = NULL;
}
#define EXPECT(s, ...)                                                                             \
    expect(s, (double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double))

static void small_if(state *s, const char *cond)
{
    model *m = &s->m;
    model_node(m, "Neg", NULL, "later", "a"); /* captured; its node stands behind */
    Onnx__GraphProto *yes = body(m, 0, "", "a");
    model_node(m, "Abs", NULL, "x", "b");
    Onnx__GraphProto *no = body(m, 0, "", "b");
    Onnx__NodeProto *n = model_node(m, "If", "choose", cond, "y");
    set_body(m, n, "then_branch", yes);
    set_body(m, n, "else_branch", no);
    model_node(m, "Add", NULL, "x,x", "later");
    model_input(m, "x", "?");
    model_output(m, "y");
}

static void test_if_takes_the_branch_that_is_known(void **p)
{
    state *s = *p;
    const unsigned char one = 1, zero = 0;
    small_if(s, "c");
    model_init(&s->m, model_raw(&s->m, "c", 9, 0, NULL, &one, 1));
    EXPECT(s, -2, 4, -6);
    s->m.g.n_initializer = 0;
    model_init(&s->m, model_raw(&s->m, "c", 9, 0, NULL, &zero, 1));
    EXPECT(s, 1, 2, 3);
    s->m.g.n_initializer = 0; /* an input: known when it is bound */
    s->m.in[s->m.g.n_input++] = model_info(&s->m, "c", 9, "1");
    TEST_FAILS(s->ctx, model_import(&s->m, "x=3", &s->g), SQZ_E_UNSUPPORTED, "--bind");
    TEST_FAILS(s->ctx, model_import(&s->m, "x=3", &s->g), SQZ_E_UNSUPPORTED, "'choose'");
    TEST_OK(s->ctx,
            model_import_with(&s->m, &(sqz_import_options){.shape = "x=3", .bind = "c=1"}, &s->g));
    assert_int_equal(s->g->n_input, 1);
}

/* What cannot be run in the branch that is taken is named with its place; the other is not asked.
 */
static void test_branches_are_checked_where_they_are_taken(void **p)
{
    state *s = *p;
    const unsigned char one = 1, zero = 0;
    small_if(s, "c");
    s->m.node[0]->attribute[0]->g->node[0]->op_type = model_text(&s->m, "Nonsense");
    model_init(&s->m, model_raw(&s->m, "c", 9, 0, NULL, &zero, 1));
    EXPECT(s, 1, 2, 3);
    s->m.g.n_initializer = 0;
    model_init(&s->m, model_raw(&s->m, "c", 9, 0, NULL, &one, 1));
    TEST_FAILS(s->ctx, model_import(&s->m, "x=3", &s->g), SQZ_E_UNSUPPORTED,
               "in then_branch of node 'choose', node (Nonsense, number 0): the operator is not");
}

/* state <- state + x each step; collected: state * step number. */
static void small_loop(state *s, int64_t steps)
{
    model *m = &s->m;
    model_node(m, "Add", NULL, "st,x", "st2");
    Onnx__NodeProto *cast = model_node(m, "Cast", NULL, "i", "f");
    model_int(m, cast, "to", 1);
    model_node(m, "Mul", NULL, "st2,f", "got");
    model_node(m, "Identity", NULL, "c", "c2");
    Onnx__GraphProto *b = body(m, 0, "i,c,st", "c2,st2,got");
    Onnx__NodeProto *n = model_node(m, "Loop", "again", "n,,x", "last,all");
    set_body(m, n, "body", b);
    model_node(m, "Flatten", NULL, "all", "flat");
    model_node(m, "Concat", NULL, "last,row", "y");
    model_int(m, m->node[2], "axis", 0);
    const int64_t flat[] = {-1};
    model_list64(m, "minus", flat, 1);
    model_node(m, "Reshape", NULL, "flat,minus", "row");
    model_init(m, model_raw(m, "n", 7, 0, NULL, &steps, sizeof steps));
    model_input(m, "x", "?");
    model_output(m, "y");
}

static void test_loops_unroll(void **p)
{
    state *s = *p;
    small_loop(s, 2);
    EXPECT(s, 3, -6, 9, 0, 0, 0, 3, -6, 9);
}

static void test_loops_without_a_known_end_are_refused(void **p)
{
    state *s = *p;
    small_loop(s, INT64_MAX);
    TEST_FAILS(s->ctx, model_import(&s->m, "x=3", &s->g), SQZ_E_LIMIT, "unroll to more than");
    s->m.g.n_initializer--;
    s->m.in[s->m.g.n_input++] = model_info(&s->m, "n", 7, "1");
    TEST_FAILS(s->ctx, model_import(&s->m, "x=3", &s->g), SQZ_E_UNSUPPORTED, "number of steps");
}

static void test_functions_are_inlined_with_their_attributes(void **p)
{
    state *s = *p;
    model *m = &s->m;
    Onnx__NodeProto *leaky = model_node(m, "LeakyRelu", NULL, "a", "l");
    model_attr(m, leaky, "alpha", 1)->ref_attr_name = model_text(m, "slope");
    model_node(m, "Add", NULL, "l,b", "o");
    function(m, "Act", "a,b", "o");
    call(m, "Act", "a,a", "t");
    Onnx__NodeProto *inner = call(m, "Act", "t,a", "o");
    model_attr(m, inner, "slope", 1)->ref_attr_name = model_text(m, "outer_slope");
    Onnx__FunctionProto *two = function(m, "Two", "a", "o");
    Onnx__AttributeProto *def = MODEL_NEW(m, attribute_proto);
    def->name = model_text(m, "outer_slope");
    def->has_type = def->has_f = 1;
    def->type = 1;
    def->f = 0.5f;
    two->attribute_proto = sqz_arena_alloc(&m->arena, 1, sizeof(void *));
    two->attribute_proto[two->n_attribute_proto++] = def;
    call(m, "Two", "x", "y");
    model_input(m, "x", "?");
    model_output(m, "y");
    /* t = leaky(x, 0.01) + x, y = leaky(t, 0.5) + x */
    EXPECT(s, 3, -3.01, 9);
    Onnx__AttributeProto *given = model_attr(m, m->node[0], "outer_slope", 1);
    given->has_f = 1;
    given->f = 0.25f;
    EXPECT(s, 3, -2.505, 9);
    m->node[0]->op_type = model_text(m, "Three");
    TEST_FAILS(s->ctx, model_import(m, "x=3", &s->g), SQZ_E_UNSUPPORTED, "of domain 'loc'");
}

static void test_a_function_that_calls_itself_is_refused(void **p)
{
    state *s = *p;
    call(&s->m, "Self", "a", "o");
    function(&s->m, "Self", "a", "o");
    call(&s->m, "Self", "x", "y");
    model_input(&s->m, "x", "?");
    model_output(&s->m, "y");
    TEST_FAILS(s->ctx, model_import(&s->m, "x=3", &s->g), SQZ_E_FORMAT, "calls itself");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_if_takes_the_branch_that_is_known),
        T(test_branches_are_checked_where_they_are_taken),
        T(test_loops_unroll),
        T(test_loops_without_a_known_end_are_refused),
        T(test_functions_are_inlined_with_their_attributes),
        T(test_a_function_that_calls_itself_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
