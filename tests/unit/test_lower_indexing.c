/* test_lower_indexing.c: Compress, NonZero, Unique, CenterCropPad, DynamicSlice and older spellings
 * of the movers, as the import makes them. */
#include "ops_test.h"

typedef struct fixture {
    sqz_ctx *ctx;
    sqz_graph *g;
    sqz_vid in[5], out[4];
    unsigned n_in, n_out, n_listed;
    sqz_raw_attr attr[4];
    unsigned n_attr;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->ctx = test_ctx();
    f->n_out = 1;
    TEST_OK(f->ctx, sqz_graph_create(f->ctx, &f->g));
    *state = f;
    return 0;
}
static int teardown(void **state)
{
    fixture *f = *state;
    sqz_graph_free(f->g);
    sqz_ctx_free(f->ctx);
    free(f);
    return 0;
}

static void constant(fixture *f, sqz_dtype d, sqz_shape s, const double *v)
{
    sqz_tensor t;
    TEST_OK(f->ctx, sqz_tensor_alloc(f->ctx, d, &s, &t));
    for (size_t i = 0; i < t.count; i++)
        sqz_tensor_set_f64(&t, i, v ? v[i] : (double)i);
    TEST_OK(f->ctx, sqz_graph_constant(f->g, NULL, &t, &f->in[f->n_in++]));
}
#define LIST(f, d, ...)                                                                            \
    constant(f, d, SHAPE((int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))),             \
             (double[]){__VA_ARGS__})
static void input(fixture *f, sqz_dtype d, sqz_shape s)
{
    TEST_OK(f->ctx, sqz_graph_input(f->g, NULL, d, &s, &f->in[f->n_in++]));
}
static void attr_int(fixture *f, const char *name, int64_t v)
{
    f->attr[f->n_attr++] = (sqz_raw_attr){.name = name, .type = 2, .i = v};
}

static sqz_status import(fixture *f, const char *op_type, int64_t opset)
{
    static const char *const names[] = {"y0", "y1", "y2", "y3"};
    bool known;
    const sqz_lower *lower = sqz_lower_find("", op_type, opset, &known);
    const sqz_op *op = sqz_op_of_onnx(op_type, opset, &known);
    assert_true(lower || op);
    sqz_import im = {.g = f->g,
                     .op_type = op_type,
                     .name = "node",
                     .opset = opset,
                     .attr = f->attr,
                     .n_attr = f->n_attr,
                     .in = f->in,
                     .n_in = f->n_in,
                     .out_name = names,
                     .n_out = f->n_out,
                     .n_listed = SQZ_MAX(f->n_listed, f->n_out),
                     .out = f->out};
    if (lower)
        return lower->import(&im);
    return op->onnx.import ? op->onnx.import(&im, op) : sqz_import_node(&im, op, NULL, NULL, 0);
}

/* Output i, which is computed from constants only. */
static void assert_output(fixture *f, unsigned i, sqz_shape s, const double *want)
{
    TEST_OK(f->ctx, sqz_fold_value(f->g, f->out[i]));
    const sqz_tensor *t = sqz_val(f->g, f->out[i])->constant;
    assert_non_null(t);
    assert_shape(t, s);
    for (size_t k = 0; k < t->count; k++)
        if (sqz_tensor_f64(t, k) != want[k])
            fail_msg("output %u, element %zu: %g, expected %g", i, k, sqz_tensor_f64(t, k),
                     want[k]);
}
#define ASSERT_OUTPUT(f, i, s, ...) assert_output(f, i, s, (double[]){__VA_ARGS__})

static void test_compress_along_an_axis(void **state)
{
    constant(*state, SQZ_F32, SHAPE(2, 3), NULL);
    LIST(*state, SQZ_BOOL, 0, 1, 1);
    attr_int(*state, "axis", -1);
    TEST_OK(((fixture *)*state)->ctx, import(*state, "Compress", 11));
    ASSERT_OUTPUT(*state, 0, SHAPE(2, 2), 1, 2, 4, 5);
}

static void test_compress_of_all_elements_with_a_short_condition(void **state)
{
    constant(*state, SQZ_S64, SHAPE(2, 3), NULL);
    LIST(*state, SQZ_BOOL, 1, 0, 0, 1);
    TEST_OK(((fixture *)*state)->ctx, import(*state, "Compress", 9));
    ASSERT_OUTPUT(*state, 0, SHAPE(2), 0, 3);
}

static void test_compress_needs_its_condition_and_not_its_data(void **state)
{
    fixture *f = *state;
    input(f, SQZ_F32, SHAPE(2, 3));
    LIST(f, SQZ_BOOL, 0, 1);
    attr_int(f, "axis", 1);
    TEST_OK(f->ctx, import(f, "Compress", 11));
    assert_true(sqz_val(f->g, f->out[0])->shape.dim[1] == 1);
    f->n_in = 1;
    input(f, SQZ_BOOL, SHAPE(3));
    TEST_FAILS(f->ctx, import(f, "Compress", 11), SQZ_E_UNSUPPORTED,
               "its output size depends on data");
    f->n_in = 1;
    LIST(f, SQZ_BOOL, 0, 0, 0, 1);
    TEST_FAILS(f->ctx, import(f, "Compress", 11), SQZ_E_SHAPE, "the data have 3");
}

static void test_non_zero(void **state)
{
    const double v[] = {0, 2, 0, -1, 0, 5};
    constant(*state, SQZ_F32, SHAPE(2, 3), v);
    TEST_OK(((fixture *)*state)->ctx, import(*state, "NonZero", 13));
    ASSERT_OUTPUT(*state, 0, SHAPE(2, 3), 0, 1, 1, 1, 0, 2);
}

static void test_non_zero_of_data_is_refused(void **state)
{
    fixture *f = *state;
    input(f, SQZ_F32, SHAPE(2, 3));
    TEST_FAILS(f->ctx, import(f, "NonZero", 13), SQZ_E_UNSUPPORTED, "depends on data");
}

static void test_unique_elements_in_order(void **state)
{
    fixture *f = *state;
    const double v[] = {2, 1, NAN, 3, 1, NAN, -0.0, 0};
    f->n_out = 4;
    constant(f, SQZ_F32, SHAPE(2, 4), v);
    TEST_OK(f->ctx, import(f, "Unique", 11));
    ASSERT_OUTPUT(f, 1, SHAPE(5), 6, 1, 0, 3, 2); /* 0, 1, 2, 3, NaN */
    ASSERT_OUTPUT(f, 2, SHAPE(8), 2, 1, 4, 3, 1, 4, 0, 0);
    ASSERT_OUTPUT(f, 3, SHAPE(5), 2, 2, 1, 1, 2);
}

static void test_unique_elements_as_they_come(void **state)
{
    fixture *f = *state;
    f->n_out = 4;
    LIST(f, SQZ_S64, 2, 1, 1, 3, 4, 3);
    attr_int(f, "sorted", 0);
    TEST_OK(f->ctx, import(f, "Unique", 11));
    ASSERT_OUTPUT(f, 0, SHAPE(4), 2, 1, 3, 4);
    ASSERT_OUTPUT(f, 1, SHAPE(4), 0, 1, 3, 4);
    ASSERT_OUTPUT(f, 2, SHAPE(6), 0, 1, 1, 2, 3, 2);
    ASSERT_OUTPUT(f, 3, SHAPE(4), 1, 2, 2, 1);
}

static void test_unique_columns(void **state)
{
    fixture *f = *state;
    const double v[] = {1, 0, 1, 0, 5, 2, 5, 1};
    f->n_out = 2;
    constant(f, SQZ_S32, SHAPE(2, 4), v);
    attr_int(f, "axis", -1);
    TEST_OK(f->ctx, import(f, "Unique", 11));
    ASSERT_OUTPUT(f, 0, SHAPE(2, 3), 0, 0, 1, 1, 2, 5); /* (0,1) (0,2) (1,5) */
    ASSERT_OUTPUT(f, 1, SHAPE(3), 3, 1, 0);
}

static void test_center_crop_and_pad(void **state)
{
    fixture *f = *state;
    constant(f, SQZ_F32, SHAPE(1, 4, 2), NULL);
    LIST(f, SQZ_S64, 1, 5);
    const int64_t axes[] = {1, -1};
    f->attr[f->n_attr++] = (sqz_raw_attr){.name = "axes", .type = 7, .ints = {2, axes}};
    TEST_OK(f->ctx, import(f, "CenterCropPad", 18));
    ASSERT_OUTPUT(f, 0, SHAPE(1, 1, 5), 0, 2, 3, 0, 0); /* row 1 of 4; 1 before, 2 after */
}

static void test_center_crop_to_the_same_shape_is_nothing(void **state)
{
    fixture *f = *state;
    constant(f, SQZ_F32, SHAPE(1, 2), NULL);
    LIST(f, SQZ_S64, 1, 2);
    TEST_OK(f->ctx, import(f, "CenterCropPad", 18));
    ASSERT_OUTPUT(f, 0, SHAPE(1, 2), 0, 1);
}

static void test_dynamic_slice(void **state)
{
    constant(*state, SQZ_F32, SHAPE(2, 3), NULL);
    LIST(*state, SQZ_S64, 1);
    LIST(*state, SQZ_S64, 9);
    LIST(*state, SQZ_S64, 1);
    TEST_OK(((fixture *)*state)->ctx, import(*state, "DynamicSlice", 9));
    ASSERT_OUTPUT(*state, 0, SHAPE(2, 2), 1, 2, 4, 5);
}

static void test_tile_of_opset_1_repeats_one_axis(void **state)
{
    constant(*state, SQZ_F32, SHAPE(2, 2), NULL);
    LIST(*state, SQZ_F32, 2);
    LIST(*state, SQZ_F32, 1);
    TEST_OK(((fixture *)*state)->ctx, import(*state, "Tile", 1));
    ASSERT_OUTPUT(*state, 0, SHAPE(2, 4), 0, 1, 0, 1, 2, 3, 2, 3);
}

static void test_concat_of_opset_1_joins_channels(void **state)
{
    constant(*state, SQZ_F32, SHAPE(1, 2), NULL);
    constant(*state, SQZ_F32, SHAPE(1, 1), NULL);
    TEST_OK(((fixture *)*state)->ctx, import(*state, "Concat", 1));
    ASSERT_OUTPUT(*state, 0, SHAPE(1, 3), 0, 1, 0);
}

/* Without lengths the number of outputs is the rule, also when nobody reads the last ones. */
static void test_split_counts_outputs_that_nobody_reads(void **state)
{
    fixture *f = *state;
    constant(f, SQZ_F32, SHAPE(6), NULL);
    f->n_out = 2;
    f->n_listed = 3;
    TEST_OK(f->ctx, import(f, "Split", 13));
    ASSERT_OUTPUT(f, 0, SHAPE(2), 0, 1);
    ASSERT_OUTPUT(f, 1, SHAPE(2), 2, 3);
}

/* 2 * (0 1; 2 3) . (0 1; 2 3)^T - 1. */
static void test_gemm_of_integers(void **state)
{
    fixture *f = *state;
    constant(f, SQZ_S32, SHAPE(2, 2), NULL);
    constant(f, SQZ_S32, SHAPE(2, 2), NULL);
    LIST(f, SQZ_S32, -1);
    attr_int(f, "transB", 1);
    f->attr[f->n_attr++] = (sqz_raw_attr){.name = "alpha", .type = 1, .f = 2};
    TEST_OK(f->ctx, import(f, "Gemm", 13));
    ASSERT_OUTPUT(f, 0, SHAPE(2, 2), 1, 5, 5, 25);
    f->attr[f->n_attr - 1].f = 0.5f;
    TEST_FAILS(f->ctx, import(f, "Gemm", 13), SQZ_E_UNSUPPORTED, "expected whole numbers");
}

static void test_nodes_without_inputs_are_refused(void **state)
{
    static const char *const types[] = {"Compress", "NonZero", "Unique", "CenterCropPad",
                                        "DynamicSlice"};
    fixture *f = *state;
    f->in[0] = SQZ_NONE;
    for (size_t i = 0; i < SQZ_COUNT(types); i++)
        TEST_FAILS(f->ctx, import(f, types[i], 18), SQZ_E_FORMAT, "input 0 is missing");
}

static void test_a_pad_value_that_no_double_is(void **state)
{
    fixture *f = *state;
    sqz_tensor t;
    const sqz_shape scalar = {0};
    input(f, SQZ_S64, SHAPE(2));
    LIST(f, SQZ_S64, 1, 0);
    TEST_OK(f->ctx, sqz_tensor_alloc(f->ctx, SQZ_S64, &scalar, &t));
    SQZ_S64P(&t)[0] = INT64_MAX;
    TEST_OK(f->ctx, sqz_graph_constant(f->g, NULL, &t, &f->in[f->n_in++]));
    TEST_OK(f->ctx, import(f, "Pad", 13));
    assert_int_equal(sqz_nod(f->g, f->g->last)->n_in, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_compress_along_an_axis),
        TEST(test_compress_of_all_elements_with_a_short_condition),
        TEST(test_compress_needs_its_condition_and_not_its_data),
        TEST(test_non_zero),
        TEST(test_non_zero_of_data_is_refused),
        TEST(test_unique_elements_in_order),
        TEST(test_unique_elements_as_they_come),
        TEST(test_unique_columns),
        TEST(test_center_crop_and_pad),
        TEST(test_center_crop_to_the_same_shape_is_nothing),
        TEST(test_dynamic_slice),
        TEST(test_tile_of_opset_1_repeats_one_axis),
        TEST(test_concat_of_opset_1_joins_channels),
        TEST(test_split_counts_outputs_that_nobody_reads),
        TEST(test_gemm_of_integers),
        TEST(test_nodes_without_inputs_are_refused),
        TEST(test_a_pad_value_that_no_double_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
