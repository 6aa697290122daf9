/* test_ops_import.c: what the import hooks of operators make of ONNX nodes: older opsets, forms
 * that become other operators, and what is refused by name. Constant inputs fold, so results are
 * numbers. */
#include "import_case.h"

static void test_a_reshape_to_the_exported_batch_leaves_it_free(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(1, 3, 4));
    CONSTANT(&f, SQZ_S64, 1, 12);
    TEST_OK(f.ctx, import(&f, "Reshape", 13));
    TEST_OK(f.ctx, sqz_graph_set_outputs(f.g, f.out, 1));
    TEST_OK(f.ctx, sqz_graph_set_batch(f.g, 5));
    const sqz_shape want = SHAPE(5, 12);
    assert_true(sqz_shape_eq(&sqz_val(f.g, f.out[0])->shape, &want));
    end(&f);
}

static void test_a_reshape_that_moves_the_batch_keeps_its_target(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(1, 12));
    CONSTANT(&f, SQZ_S64, 12);
    TEST_OK(f.ctx, import(&f, "Reshape", 13));
    TEST_OK(f.ctx, sqz_graph_set_outputs(f.g, f.out, 1));
    TEST_FAILS(f.ctx, sqz_graph_set_batch(f.g, 5), SQZ_E_SHAPE, "5x12");
    end(&f);
}

static void test_a_target_computed_from_data_is_refused(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(1, 12));
    input(&f, SHAPE(2));
    TEST_FAILS(f.ctx, import(&f, "Reshape", 13), SQZ_E_UNSUPPORTED, "must be a constant");
    end(&f);
}

static void test_dropout_is_an_identity_or_refused(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_F32, 1, 2, 3);
    attr_f(&f, "ratio", 0.5f);
    TEST_OK(f.ctx, import(&f, "Dropout", 10));
    ASSERT_NUMBERS(folded(&f), 1, 2, 3);
    end(&f);
    begin(&f);
    input(&f, SHAPE(2, 3));
    f.n_out = 2;
    TEST_OK(f.ctx, import(&f, "Dropout", 10));
    const sqz_tensor *mask = sqz_val(f.g, f.out[1])->constant;
    assert_non_null(mask);
    assert_int_equal(mask->dtype, SQZ_BOOL);
    ASSERT_NUMBERS(mask, 1, 1, 1, 1, 1, 1);
    end(&f);
    begin(&f);
    input(&f, SHAPE(2, 3));
    left_out(&f);
    CONSTANT(&f, SQZ_BOOL, 1);
    TEST_FAILS(f.ctx, import(&f, "Dropout", 13), SQZ_E_UNSUPPORTED, "training");
    end(&f);
    begin(&f);
    CONSTANT(&f, SQZ_F32, 1, 2);
    CONSTANT(&f, SQZ_F32, 0);
    CONSTANT(&f, SQZ_BOOL, 1);
    TEST_OK(f.ctx, import(&f, "Dropout", 13)); /* nothing is dropped at ratio 0 */
    ASSERT_NUMBERS(folded(&f), 1, 2);
    end(&f);
}

static void test_variadic_operators_become_chains(void **state)
{
    static const struct {
        const char *op;
        double want[2];
    } row[] = {{"Sum", {9, -1}}, {"Mean", {3, -1.0 / 3}}, {"Max", {5, 2}}, {"Min", {1, -4}}};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        fixture f;
        begin(&f);
        CONSTANT(&f, SQZ_F32, 1, 2);
        CONSTANT(&f, SQZ_F32, 3, 1);
        CONSTANT(&f, SQZ_F32, 5, -4);
        TEST_OK(f.ctx, import(&f, row[i].op, 13));
        assert_numbers(folded(&f), row[i].want, 2);
        end(&f);
        begin(&f);
        CONSTANT(&f, SQZ_F32, 4, 2);
        TEST_OK(f.ctx, import(&f, row[i].op, 13));
        ASSERT_NUMBERS(folded(&f), 4, 2);
        end(&f);
        begin(&f);
        TEST_FAILS(f.ctx, import(&f, row[i].op, 13), SQZ_E_FORMAT, "no inputs");
        end(&f);
    }
}

static void test_softmax_before_opset_13_covers_all_later_dimensions(void **state)
{
    (void)state;
    double x[12], sum[2] = {0, 0};
    fixture f;
    begin(&f);
    for (int i = 0; i < 12; i++) {
        x[i] = 0.1 * i * i;
        sum[i / 6] += exp(x[i]);
    }
    constant(&f, SQZ_F32, SHAPE(2, 3, 2), x);
    TEST_OK(f.ctx, import(&f, "Softmax", 11)); /* the default axis was 1 */
    const sqz_tensor *y = folded(&f);
    assert_shape(y, SHAPE(2, 3, 2));
    for (int i = 0; i < 12; i++)
        assert_true(fabs((double)SQZ_F32P(y)[i] - exp(x[i]) / sum[i / 6]) < 1e-6);
    end(&f);
    begin(&f);
    input(&f, SHAPE(1, 3, 2));
    TEST_OK(f.ctx, import(&f, "Softmax", 11));
    TEST_OK(f.ctx, sqz_graph_set_outputs(f.g, f.out, 1));
    TEST_OK(f.ctx, sqz_graph_set_batch(f.g, 7)); /* flattening leaves the batch free */
    end(&f);
    begin(&f);
    input(&f, SHAPE(1, 3, 1, 1));
    TEST_OK(f.ctx, import(&f, "Softmax", 11));
    assert_int_equal(f.g->n_node, 1); /* one axis and ones: no detour */
    end(&f);
}

static void test_shapes_are_constants(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(2, 3, 4));
    attr_i(&f, "start", 1);
    TEST_OK(f.ctx, import(&f, "Shape", 15));
    ASSERT_NUMBERS(folded(&f), 3, 4);
    assert_int_equal(f.g->n_node, 0);
    end(&f);
    begin(&f);
    sqz_tensor seven;
    const sqz_shape one = SHAPE(1);
    TEST_OK(f.ctx, sqz_tensor_alloc(f.ctx, SQZ_S64, &one, &seven));
    SQZ_S64P(&seven)[0] = 7;
    f.attr[f.n_attr++] = (sqz_raw_attr){.name = "value", .type = 4, .t = &seven};
    CONSTANT(&f, SQZ_S64, 2, 2);
    TEST_OK(f.ctx, import(&f, "ConstantOfShape", 9));
    assert_int_equal(folded(&f)->dtype, SQZ_S64);
    ASSERT_NUMBERS(folded(&f), 7, 7, 7, 7);
    sqz_tensor_free(f.ctx, &seven);
    end(&f);
}

static void test_bounds_of_clip_move_from_attributes_to_inputs(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_F32, -2, 0, 9);
    attr_f(&f, "min", -1);
    attr_f(&f, "max", 6);
    TEST_OK(f.ctx, import(&f, "Clip", 7));
    ASSERT_NUMBERS(folded(&f), -1, 0, 6);
    end(&f);
    begin(&f);
    CONSTANT(&f, SQZ_F32, -2, 0, 9);
    left_out(&f);
    constant(&f, SQZ_F32, (sqz_shape){0}, (double[]){6});
    TEST_OK(f.ctx, import(&f, "Clip", 13));
    ASSERT_NUMBERS(folded(&f), -2, 0, 6);
    end(&f);
}

static void test_slices_spell_out_their_axes(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(4, 5));
    INTS(&f, "starts", 1, 2);
    INTS(&f, "ends", 3, 100);
    TEST_OK(f.ctx, import(&f, "Slice", 9));
    assert_text(&f, "axes=0,1");
    end(&f);
    begin(&f);
    CONSTANT(&f, SQZ_F32, 1, 2, 3, 4, 5);
    CONSTANT(&f, SQZ_S64, -1);
    CONSTANT(&f, SQZ_S64, -100);
    CONSTANT(&f, SQZ_S32, 0);
    CONSTANT(&f, SQZ_S64, -2);
    TEST_OK(f.ctx, import(&f, "Slice", 13));
    ASSERT_NUMBERS(folded(&f), 5, 3, 1);
    end(&f);
}

static void test_squeeze_spells_out_its_axes(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(1, 5, 1));
    TEST_OK(f.ctx, import(&f, "Squeeze", 11));
    assert_text(&f, "axes=0,2");
    end(&f);
}

static void test_pads_of_some_axes_become_pads_of_all(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    constant(&f, SQZ_F32, SHAPE(1, 2), (double[]){1, 2});
    CONSTANT(&f, SQZ_S64, 1, 2);
    constant(&f, SQZ_F32, (sqz_shape){0}, (double[]){9});
    CONSTANT(&f, SQZ_S64, -1);
    TEST_OK(f.ctx, import(&f, "Pad", 18));
    ASSERT_NUMBERS(folded(&f), 9, 1, 2, 9, 9);
    end(&f);
    begin(&f);
    constant(&f, SQZ_F32, SHAPE(1, 2), (double[]){1, 2});
    CONSTANT(&f, SQZ_S64, 1, 2, 3);
    left_out(&f);
    CONSTANT(&f, SQZ_S64, -1);
    TEST_FAILS(f.ctx, import(&f, "Pad", 18), SQZ_E_FORMAT, "3 pads for 1 axes");
    end(&f);
}

static void test_split_checks_what_repeats_its_outputs(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(5));
    f.n_out = 2;
    attr_i(&f, "num_outputs", 3);
    TEST_FAILS(f.ctx, import(&f, "Split", 18), SQZ_E_FORMAT, "num_outputs is 3 for 2 outputs");
    end(&f);
    begin(&f);
    input(&f, SHAPE(5));
    f.n_out = 2;
    attr_i(&f, "num_outputs", 2);
    TEST_OK(f.ctx, import(&f, "Split", 18));
    assert_int_equal(sqz_val(f.g, f.out[0])->shape.dim[0], 3);
    assert_int_equal(sqz_val(f.g, f.out[1])->shape.dim[0], 2);
    end(&f);
}

static void test_exponents_of_another_type_are_converted(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_F32, 2, 3);
    CONSTANT(&f, SQZ_S64, 3);
    TEST_OK(f.ctx, import(&f, "Pow", 13));
    ASSERT_NUMBERS(folded(&f), 8, 27);
    end(&f);
}

static void test_a_cast_to_the_same_type_is_an_identity(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(2));
    attr_i(&f, "to", 1);
    TEST_OK(f.ctx, import(&f, "Cast", 13));
    assert_text(&f, "identity");
    end(&f);
}

static void test_pools_resolve_auto_pad_and_know_indices(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    INTS(&f, "kernel_shape", 3, 3);
    INTS(&f, "strides", 2, 2);
    attr_s(&f, "auto_pad", "SAME_UPPER");
    TEST_OK(f.ctx, import(&f, "MaxPool", 11));
    assert_text(&f, "pads=1,0,1,1"); /* 5 -> 3 needs 1 + 1, 6 -> 3 needs 0 + 1 */
    end(&f);
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    f.n_out = 2;
    INTS(&f, "kernel_shape", 3, 3);
    INTS(&f, "strides", 2, 2);
    TEST_OK(f.ctx, import(&f, "MaxPool", 11));
    assert_text(&f, "max_pool_indices");
    end(&f);
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    TEST_FAILS(f.ctx, import(&f, "AveragePool", 11), SQZ_E_FORMAT, "kernel_shape");
    end(&f);
}

static void test_resize_refuses_by_name(void **state)
{
    static const struct {
        const char *name, *text;
        int64_t number;
        const char *part;
    } row[] = {{"mode", "quintic", 0, "mode 'quintic'"},
               {"coordinate_transformation_mode", "tf_crop_and_resize", 0, "roi has 0 numbers"},
               {"nearest_mode", "sideways", 0, "nearest_mode 'sideways'"},
               {"antialias", NULL, 1, "antialias and mode 'nearest'"},
               {"keep_aspect_ratio_policy", "larger", 0, "keep_aspect_ratio_policy 'larger'"}};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        fixture f;
        begin(&f);
        input(&f, SHAPE(1, 2, 5, 6));
        left_out(&f);
        CONSTANT(&f, SQZ_F32, 1, 1, 2, 2);
        if (row[i].text)
            attr_s(&f, row[i].name, row[i].text);
        else
            attr_i(&f, row[i].name, row[i].number);
        sqz_status s = import(&f, "Resize", 18);
        assert_true(s == SQZ_E_UNSUPPORTED || s == SQZ_E_FORMAT);
        if (!strstr(sqz_last_error(f.ctx), row[i].part))
            fail_msg("'%s' lacks '%s'", sqz_last_error(f.ctx), row[i].part);
        end(&f);
    }
}

static void test_old_resizing_picks_operator_and_neighbor(void **state)
{
    (void)state;
    const float twice[] = {1, 1, 2, 2};
    fixture f;
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    f.attr[f.n_attr++] = (sqz_raw_attr){.name = "scales", .type = 6, .floats = {4, twice}};
    attr_s(&f, "mode", "linear");
    TEST_OK(f.ctx, import(&f, "Upsample", 7));
    assert_text(&f, "resize_linear");
    assert_text(&f, "asymmetric");
    end(&f);
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    CONSTANT(&f, SQZ_F32, 1, 1, 0.5, 0.5);
    TEST_OK(f.ctx, import(&f, "Resize", 10));
    assert_text(&f, "nearest_mode=ceil");
    end(&f);
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    CONSTANT(&f, SQZ_F32, 1, 1, 0.5, 2);
    TEST_OK(f.ctx, import(&f, "Resize", 10)); /* one node up, one down */
    assert_text(&f, "scales=1,1,1,2 coordinate_transformation_mode=asymmetric nearest_mode=floor");
    assert_text(&f, "scales=1,1,0.5,1 coordinate_transformation_mode=asymmetric nearest_mode=ceil");
    end(&f);
}

static void test_sizes_that_stay_leave_the_batch_free(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    left_out(&f);
    left_out(&f);
    CONSTANT(&f, SQZ_S64, 1, 2, 10, 6);
    TEST_OK(f.ctx, import(&f, "Resize", 13));
    assert_text(&f, "sizes=0,0,10,0");
    TEST_OK(f.ctx, sqz_graph_set_outputs(f.g, f.out, 1));
    TEST_OK(f.ctx, sqz_graph_set_batch(f.g, 3));
    end(&f);
    begin(&f);
    input(&f, SHAPE(1, 2, 5, 6));
    left_out(&f);
    left_out(&f);
    CONSTANT(&f, SQZ_S64, 10, 12);
    attr_ints(&f, "axes", 2, (int64_t[]){2, 3});
    TEST_OK(f.ctx, import(&f, "Resize", 18));
    assert_text(&f, "sizes=0,0,10,12");
    end(&f);
}

/* A model with one node, in protobuf: `n_in` inputs, of which the first `absent` have no name, the
 * others are the graph's input x (1,3,4,4). */
static size_t field(unsigned char *to, int number, const void *bytes, size_t n)
{
    to[0] = (unsigned char)(number << 3 | 2);
    to[1] = (unsigned char)n; /* every message here is below 128 bytes */
    memcpy(to + 2, bytes, n);
    assert_true(n < 128);
    return n + 2;
}
static size_t text(unsigned char *to, int number, const char *s)
{
    return field(to, number, s, strlen(s));
}
static size_t one_node(unsigned char *out, const char *op_type, int n_in, int absent, int opset)
{
    static const unsigned char x_type[] = {0x0a, 0x14, 0x08, 0x01, 0x12, 0x10, 0x0a, 0x02,
                                           0x08, 0x01, 0x0a, 0x02, 0x08, 0x03, 0x0a, 0x02,
                                           0x08, 0x04, 0x0a, 0x02, 0x08, 0x04};
    const unsigned char version[] = {0x10, (unsigned char)opset};
    unsigned char node[128], x[128], y[16], graph[256];
    size_t n = 0, g = 0, m = 0, k = 0;
    for (int i = 0; i < n_in; i++)
        n += text(node + n, 1, i < absent ? "" : "x");
    n += text(node + n, 2, "y");
    n += text(node + n, 4, op_type);
    g += field(graph + g, 1, node, n);
    g += text(graph + g, 2, "g");
    k = text(x, 1, "x");
    k += field(x + k, 2, x_type, sizeof x_type);
    g += field(graph + g, 11, x, k);
    g += field(graph + g, 12, y, text(y, 1, "y"));
    out[m++] = 0x08; /* ir_version 7 */
    out[m++] = 7;
    m += field(out + m, 7, graph, g);
    return m + field(out + m, 8, version, sizeof version);
}

/* Whatever an operator expects, a node without inputs is refused by sentence, and nodes with absent
 * or too many inputs never crash: every spelling in the table, several opsets. */
static void import_bare(const char *op_type, size_t len)
{
    char name[40];
    unsigned char bytes[512];
    (void)snprintf(name, sizeof name, "%.*s", (int)len, op_type);
    for (int n_in = 0; n_in <= 5; n_in++)
        for (int absent = 0; absent <= n_in; absent++)
            for (int opset = 7; opset <= 21; opset += 2) {
                sqz_ctx *ctx = test_ctx();
                sqz_graph *g = NULL;
                size_t n = one_node(bytes, name, n_in, absent, opset);
                sqz_status s = sqz_import_bytes(ctx, bytes, n, NULL, &g);
                if (strcmp(name, "Relu") == 0 && n_in == 1 && absent == 0)
                    TEST_OK(ctx, s); /* the bytes are a model */
                if (n_in == absent || s != SQZ_OK) {
                    if (s == SQZ_OK || s == SQZ_E_INTERNAL || !*sqz_last_error(ctx))
                        fail_msg("%s with %d inputs, %d absent: %d '%s'", name, n_in, absent,
                                 (int)s, sqz_last_error(ctx));
                }
                sqz_graph_free(g);
                sqz_ctx_free(ctx);
            }
}
static void test_bare_nodes_of_every_spelling_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sqz_n_ops; i++) {
        const sqz_onnx_map *m = &sqz_ops[i]->onnx;
        if (m->op_type)
            import_bare(m->op_type, strlen(m->op_type));
        for (const char *p = m->also; p; p = strchr(p, '|')) {
            p += *p == '|';
            import_bare(p, strcspn(p, "|"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reshape_to_the_exported_batch_leaves_it_free),
        cmocka_unit_test(test_a_reshape_that_moves_the_batch_keeps_its_target),
        cmocka_unit_test(test_a_target_computed_from_data_is_refused),
        cmocka_unit_test(test_dropout_is_an_identity_or_refused),
        cmocka_unit_test(test_variadic_operators_become_chains),
        cmocka_unit_test(test_softmax_before_opset_13_covers_all_later_dimensions),
        cmocka_unit_test(test_shapes_are_constants),
        cmocka_unit_test(test_bounds_of_clip_move_from_attributes_to_inputs),
        cmocka_unit_test(test_slices_spell_out_their_axes),
        cmocka_unit_test(test_squeeze_spells_out_its_axes),
        cmocka_unit_test(test_pads_of_some_axes_become_pads_of_all),
        cmocka_unit_test(test_split_checks_what_repeats_its_outputs),
        cmocka_unit_test(test_exponents_of_another_type_are_converted),
        cmocka_unit_test(test_a_cast_to_the_same_type_is_an_identity),
        cmocka_unit_test(test_pools_resolve_auto_pad_and_know_indices),
        cmocka_unit_test(test_resize_refuses_by_name),
        cmocka_unit_test(test_old_resizing_picks_operator_and_neighbor),
        cmocka_unit_test(test_sizes_that_stay_leave_the_batch_free),
        cmocka_unit_test(test_bare_nodes_of_every_spelling_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
