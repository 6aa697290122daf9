/* ONNX nodes to graph nodes and back, by the operators' schemas. */
#include "ir/op.h"
#include "sqz_test.h"

typedef struct bench { /* a graph with input x, and a node being imported */
    sqz_ctx *ctx;
    sqz_graph *g;
    sqz_vid x, in[5], out[2];
    const char *out_name[2];
    sqz_import im;
} bench;

static void open_bench(bench *b, const char *op_type, int64_t opset)
{
    sqz_shape s = {4, {1, 3, 4, 5}};
    *b = (bench){.ctx = test_ctx(), .out_name = {"y", NULL}};
    TEST_OK(b->ctx, sqz_graph_create(b->ctx, &b->g));
    TEST_OK(b->ctx, sqz_graph_input(b->g, "x", SQZ_F32, &s, &b->x));
    for (int i = 0; i < 5; i++)
        b->in[i] = SQZ_NONE;
    b->in[0] = b->x;
    b->im = (sqz_import){.g = b->g,
                         .op_type = op_type,
                         .name = "node1",
                         .opset = opset,
                         .in = b->in,
                         .n_in = 1,
                         .out_name = b->out_name,
                         .n_out = 1,
                         .out = b->out};
}

static void close_bench(bench *b)
{
    sqz_graph_free(b->g);
    sqz_ctx_free(b->ctx);
}

static sqz_vid ints(bench *b, const int64_t *v, int64_t n)
{
    sqz_shape s = {1, {n}};
    sqz_tensor t;
    sqz_vid out;
    TEST_OK(b->ctx, sqz_tensor_alloc(b->ctx, SQZ_S64, &s, &t));
    if (n)
        memcpy(t.data, v, (size_t)n * sizeof *v);
    TEST_OK(b->ctx, sqz_graph_constant(b->g, "c", &t, &out));
    return out;
}

static sqz_status import(bench *b, const char *op)
{
    const sqz_op *o = sqz_op_find(op);
    return o->onnx.import ? o->onnx.import(&b->im, o) : sqz_import_node(&b->im, o, NULL, NULL, 0);
}

static const sqz_node *made(const bench *b) { return sqz_nod(b->g, b->g->last); }

static const void *field(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return sqz_opt_field(&n->op->info.opts[i], n->attrs);
    fail();
    return NULL;
}

static void test_attributes_are_read_by_schema(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, "Concat", 13);
    const sqz_raw_attr at[] = {{.name = "axis", .type = 2, .i = -2}};
    b.im.attr = at;
    b.im.n_attr = 1;
    b.in[1] = b.x;
    b.im.n_in = 2;
    TEST_OK(b.ctx, import(&b, "concat"));
    assert_true(*(const int64_t *)field(made(&b), "axis") == -2);
    assert_string_equal(made(&b)->name, "node1");
    assert_int_equal(sqz_graph_find(b.g, "y"), b.out[0]);
    assert_int_equal(sqz_val(b.g, b.out[0])->shape.dim[2], 8);
    close_bench(&b);
}

/* Slice before opset 10 has attributes, later the same as constant inputs. */
static void test_constant_inputs_are_attributes_from_their_opset_on(void **state)
{
    (void)state;
    static const int64_t start[] = {1, 0}, end[] = {3, 2}, axes[] = {2, 3};
    for (int late = 0; late < 2; late++) {
        bench b;
        open_bench(&b, "Slice", late ? 13 : 9);
        const sqz_raw_attr at[] = {{.name = "starts", .type = 7, .ints = {2, start}},
                                   {.name = "ends", .type = 7, .ints = {2, end}},
                                   {.name = "axes", .type = 7, .ints = {2, axes}}};
        if (late) {
            b.in[1] = ints(&b, start, 2);
            b.in[2] = ints(&b, end, 2);
            b.in[3] = ints(&b, axes, 2);
            b.im.n_in = 4;
        } else {
            b.im.attr = at;
            b.im.n_attr = 3;
        }
        TEST_OK(b.ctx, import(&b, "slice"));
        assert_int_equal(made(&b)->n_in, 1); /* the lists are attributes now */
        assert_int_equal(((const sqz_ints *)field(made(&b), "ends"))->v[1], 2);
        assert_int_equal(sqz_val(b.g, b.out[0])->shape.dim[2], 2);
        close_bench(&b);
    }
}

static void test_refusals_name_node_and_operator(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, "Concat", 13);
    TEST_FAILS(b.ctx, import(&b, "concat"), SQZ_E_FORMAT,
               "node 'node1' (Concat): attribute 'axis' is missing");
    const sqz_raw_attr wrong[] = {{.name = "axis", .type = 1, .f = 1}};
    b.im.attr = wrong;
    b.im.n_attr = 1;
    TEST_FAILS(b.ctx, import(&b, "concat"), SQZ_E_FORMAT, "'axis' has the wrong type");
    const sqz_raw_attr far[] = {{.name = "axis", .type = 2, .i = 99}};
    b.im.attr = far;
    TEST_FAILS(b.ctx, import(&b, "concat"), SQZ_E_ARG, "node 'node1' (Concat)");
    close_bench(&b);

    open_bench(&b, "Slice", 13);
    b.in[1] = b.in[2] = b.x;
    b.im.n_in = 3;
    TEST_FAILS(b.ctx, import(&b, "slice"), SQZ_E_UNSUPPORTED,
               "node 'node1' (Slice): input 1 ('x') must be a constant");
    close_bench(&b);
}

/* A constant may be computed from constants by nodes before. */
static void test_computed_constants_are_folded_on_demand(void **state)
{
    (void)state;
    static const int64_t a[] = {1}, c[] = {0};
    bench b;
    open_bench(&b, "Slice", 13);
    sqz_vid parts[2] = {ints(&b, a, 1), ints(&b, c, 1)};
    TEST_OK(b.ctx,
            sqz_graph_node_text(b.g, "concat", "glue", "axis=0", parts, 2, SQZ_NONE, &b.in[1]));
    static const int64_t end[] = {3, 2}, axes[] = {2, 3};
    b.in[2] = ints(&b, end, 2);
    b.in[3] = ints(&b, axes, 2);
    b.im.n_in = 4;
    TEST_OK(b.ctx, import(&b, "slice"));
    assert_int_equal(((const sqz_ints *)field(made(&b), "starts"))->v[0], 1);
    assert_int_equal(b.g->first, b.g->last); /* "glue" is gone */
    close_bench(&b);
}

static const sqz_export_attr *written(const sqz_export *e, const char *name)
{
    for (unsigned i = 0; i < e->n_attr; i++)
        if (strcmp(e->attr[i].name, name) == 0)
            return &e->attr[i];
    return NULL;
}

/* The same node in two opsets. */
static void test_export_spells_attributes_as_the_opset_wants(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        bench b;
        sqz_vid y;
        open_bench(&b, "", 0);
        TEST_OK(b.ctx, sqz_graph_node_text(b.g, "slice", "s", "starts=1 ends=3 axes=2", &b.x, 1,
                                           SQZ_NONE, &y));
        sqz_arena a = {.ctx = b.ctx};
        sqz_export *e = sqz_arena_alloc(&a, 1, sizeof *e);
        assert_non_null(e);
        e->arena = &a;
        e->ctx = b.ctx;
        e->g = b.g;
        e->node = made(&b);
        e->attrs = e->node->attrs;
        e->opset = late ? 13 : 9;
        e->in[0].value = b.x;
        e->n_in = 1;
        TEST_OK(b.ctx, sqz_export_schema(e));
        if (late) {
            assert_int_equal(e->n_attr, 0);
            assert_int_equal(e->n_in, 4); /* steps are empty: left out */
            assert_true(e->in[3].is_const && e->in[3].ints.n == 1 && e->in[3].ints.v[0] == 2);
            assert_int_equal(e->in[0].value, b.x);
        } else {
            assert_int_equal(e->n_in, 1);
            const sqz_export_attr *axes = written(e, "axes");
            assert_true(axes && axes->type == 7 && axes->ints.v[0] == 2);
            assert_null(written(e, "steps"));
        }
        sqz_arena_free(&a);
        close_bench(&b);
    }
}

static void test_internal_attributes_stay_inside(void **state)
{
    (void)state;
    bench b;
    sqz_vid y;
    open_bench(&b, "", 0);
    TEST_OK(b.ctx, sqz_graph_node_text(b.g, "transpose", "t", "perm=0,2,3,1 view=1", &b.x, 1,
                                       SQZ_NONE, &y));
    sqz_arena a = {.ctx = b.ctx};
    sqz_export *e = sqz_arena_alloc(&a, 1, sizeof *e);
    assert_non_null(e);
    e->arena = &a;
    e->ctx = b.ctx;
    e->g = b.g;
    e->node = made(&b);
    e->attrs = e->node->attrs;
    e->opset = 13;
    e->n_in = 1;
    TEST_OK(b.ctx, sqz_export_schema(e));
    assert_null(written(e, "view"));
    assert_non_null(written(e, "perm"));
    sqz_arena_free(&a);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes_are_read_by_schema),
        cmocka_unit_test(test_constant_inputs_are_attributes_from_their_opset_on),
        cmocka_unit_test(test_refusals_name_node_and_operator),
        cmocka_unit_test(test_computed_constants_are_folded_on_demand),
        cmocka_unit_test(test_export_spells_attributes_as_the_opset_wants),
        cmocka_unit_test(test_internal_attributes_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
