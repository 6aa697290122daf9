/* test_ops_move.c: data movement against the definition of each operator, element by element. */
#include "ops_test.h"

/* Distinct numbers, so that a wrong element is seen. */
static sqz_tensor *numbered(op_run *r, sqz_dtype d, sqz_shape s)
{
    sqz_tensor *t = op_in(r, d, s);
    for (size_t i = 0; i < t->count; i++)
        sqz_tensor_set_f64(t, i, d == SQZ_S8 ? (double)(i % 251) - 125 : (double)i + 1);
    return t;
}
static const sqz_dtype types[] = {SQZ_F32, SQZ_S8, SQZ_S64, SQZ_F16};

/* y = x with the input coordinates that `from` makes of those of the output; a negative one means
 * `fill`. */
typedef void (*from_fn)(const sqz_shape *x, int64_t *at);
static void check_moves(const char *op, const char *attrs, sqz_shape s, sqz_shape want,
                        from_fn from, double fill)
{
    for (size_t k = 0; k < SQZ_COUNT(types); k++) {
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = numbered(&r, types[k], s);
        const sqz_tensor *y = op_run_ok(&r, op, attrs);
        assert_shape(y, want);
        assert_int_equal(y->dtype, types[k]);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK] = {0};
            bool inside = true;
            coords(&y->shape, i, at);
            from(&x->shape, at);
            for (int32_t d = 0; d < s.rank; d++)
                inside = inside && at[d] >= 0 && at[d] < s.dim[d];
            double v = inside ? sqz_tensor_f64(x, flat(&x->shape, at)) : fill;
            if (sqz_tensor_f64(y, i) != v)
                fail_msg("%s %s: element %zu is %g, expected %g", op, attrs, i,
                         sqz_tensor_f64(y, i), v);
        }
        op_end(&r);
    }
}

static void from_slice(const sqz_shape *x, int64_t *at) /* [1:3] of axis 1, [::-2] of axis 2 */
{
    at[1] += 1;
    at[2] = x->dim[2] - 1 - 2 * at[2];
}
static void from_big_step(const sqz_shape *x, int64_t *at)
{
    (void)x;
    at[0] = 1 + 3 * at[0];
}
static void test_slices_with_steps_and_clamping(void **state)
{
    (void)state;
    check_moves("slice", "starts=1,-1 ends=3,-100 axes=1,2 steps=1,-2", SHAPE(2, 4, 5),
                SHAPE(2, 2, 3), from_slice, 0);
    check_moves("slice", "starts=-7 ends=9223372036854775807 axes=0 steps=3", SHAPE(8, 3),
                SHAPE(3, 3), from_big_step, 0);
    op_run r;
    op_begin(&r);
    numbered(&r, SQZ_F32, SHAPE(4, 3));
    assert_shape(op_run_ok(&r, "slice", "starts=3 ends=1 axes=0"), SHAPE(0, 3));
    op_end(&r);
    op_refuses("slice", "starts=0 ends=1 axes=0 steps=0", SHAPE(4), SQZ_F32, SQZ_E_SHAPE,
               "step of axis 0 is 0");
    op_refuses("slice", "starts=0,0 ends=1,1 axes=0,-1", SHAPE(4), SQZ_F32, SQZ_E_FORMAT, "twice");
    op_refuses("slice", "starts=0,1 ends=1", SHAPE(4, 4), SQZ_F32, SQZ_E_SHAPE, "2 starts, 1 ends");
}

static void shift_pad(const sqz_shape *x, int64_t *at)
{
    (void)x;
    at[0] -= 1;
    at[1] -= 2;
    at[2] += 1; /* a negative pad cuts */
}
static void from_constant(const sqz_shape *x, int64_t *at) { shift_pad(x, at); }
static void from_edge(const sqz_shape *x, int64_t *at)
{
    shift_pad(x, at);
    for (int d = 0; d < 3; d++)
        at[d] = SQZ_MIN(SQZ_MAX(at[d], 0), x->dim[d] - 1);
}
static void from_reflect(const sqz_shape *x, int64_t *at)
{
    shift_pad(x, at);
    for (int d = 0; d < 3; d++)
        while (at[d] < 0 || at[d] >= x->dim[d])
            at[d] = at[d] < 0 ? -at[d] : 2 * x->dim[d] - 2 - at[d];
}
static void from_wrap(const sqz_shape *x, int64_t *at)
{
    shift_pad(x, at);
    for (int d = 0; d < 2; d++)
        at[d] = (at[d] + x->dim[d]) % x->dim[d];
    at[2] = 1 + (at[2] - 1) % (x->dim[2] - 1); /* the cut comes first: 1 2 3 4 1 2 */
}
static void test_pads_of_every_mode(void **state)
{
    (void)state;
    const sqz_shape x = SHAPE(2, 3, 5), y = SHAPE(4, 7, 6);
    check_moves("pad", "pads=1,2,-1,1,2,2 value=7", x, y, from_constant, 7);
    check_moves("pad", "pads=1,2,-1,1,2,2 mode=edge", x, y, from_edge, 0);
    check_moves("pad", "pads=1,2,-1,1,2,2 mode=reflect", x, y, from_reflect, 0);
    check_moves("pad", "pads=1,2,-1,1,2,2 mode=wrap", x, y, from_wrap, 0);
    op_refuses("pad", "pads=0,3,0,0 mode=reflect", SHAPE(2, 0), SQZ_F32, SQZ_E_SHAPE,
               "nothing to take");
    op_refuses("pad", "pads=0,3", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "expected 4");
    op_refuses("pad", "pads=0,-2,0,-2", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "cut more");
}

/* Periods of 3 (wrap) and 4 (reflect): 1 2 3 | 1 2 3 ... and 1 2 3 2 | 1 2 3 2 ... */
static void test_long_pads_go_on_periodically(void **state)
{
    static const float want[2][11] = {{3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1},
                                      {1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3}};
    (void)state;
    for (int k = 0; k < 2; k++) {
        op_run r;
        op_begin(&r);
        numbered(&r, SQZ_F32, SHAPE(3));
        const sqz_tensor *y = op_run_ok(&r, "pad",
                                        k ? "pads=4,4 mode=reflect" : "pads=4,4 mode=wrap");
        assert_memory_equal(y->data, want[k], sizeof want[k]);
        op_end(&r);
    }
}

static void test_a_pad_value_may_be_an_input(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    numbered(&r, SQZ_S64, SHAPE(1));
    SQZ_S64P(op_in(&r, SQZ_S64, SHAPE(1)))[0] = INT64_MAX; /* no double is that number */
    const sqz_tensor *y = op_run_ok(&r, "pad", "pads=1,0");
    assert_true(SQZ_S64P(y)[0] == INT64_MAX && SQZ_S64P(y)[1] == 1);
    op_end(&r);
    op_begin(&r);
    numbered(&r, SQZ_S64, SHAPE(1));
    op_in(&r, SQZ_F32, SHAPE(1));
    TEST_FAILS(r.ctx, op_try(&r, "pad", "pads=1,0"), SQZ_E_SHAPE, "expected one s64");
    op_end(&r);
}

static void test_int8_pads_are_on_the_grid(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    numbered(&r, SQZ_S8, SHAPE(2));
    op_grid(&r, 0, 0.5f, -3);
    op_grid(&r, -1, 0.5f, -3);
    const sqz_tensor *y = op_run_ok(&r, "pad", "pads=1,0 value=2");
    assert_int_equal(SQZ_S8P(y)[0], 1); /* 2 / 0.5 - 3 */
    assert_int_equal(SQZ_S8P(y)[1], -125);
    op_end(&r);
}

static void from_tile(const sqz_shape *x, int64_t *at)
{
    for (int d = 0; d < 3; d++)
        at[d] %= x->dim[d];
}
static void from_expand(const sqz_shape *x, int64_t *at)
{
    at[0] = at[1];
    at[1] = x->dim[1] == 1 ? 0 : at[2];
}
static void test_repeats(void **state)
{
    (void)state;
    check_moves("tile", "repeats=2,1,3", SHAPE(2, 3, 2), SHAPE(4, 3, 6), from_tile, 0);
    check_moves("expand", "shape=2,3,4", SHAPE(3, 1), SHAPE(2, 3, 4), from_expand, 0);
    check_moves("expand", "shape=2,1,1", SHAPE(3, 4), SHAPE(2, 3, 4), from_expand, 0);
    op_refuses("tile", "repeats=2", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "1 repeats");
    op_refuses("expand", "shape=2,5", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "do not broadcast");
}

static void test_every_permutation_of_four_axes(void **state)
{
    (void)state;
    const sqz_shape s = SHAPE(2, 3, 4, 5);
    for (int code = 0; code < 256; code++) {
        const int perm[] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6 & 3};
        if ((1 << perm[0] | 1 << perm[1] | 1 << perm[2] | 1 << perm[3]) != 15)
            continue;
        for (size_t k = 0; k < SQZ_COUNT(types); k++) {
            op_run r;
            char attrs[32];
            op_begin(&r);
            (void)snprintf(attrs, sizeof attrs, "perm=%d,%d,%d,%d", perm[0], perm[1], perm[2],
                           perm[3]);
            const sqz_tensor *x = numbered(&r, types[k], s);
            const sqz_tensor *y = op_run_ok(&r, "transpose", attrs);
            for (size_t i = 0; i < y->count; i++) {
                int64_t at[4], from[4];
                coords(&y->shape, i, at);
                for (int d = 0; d < 4; d++)
                    from[perm[d]] = at[d];
                assert_true(sqz_tensor_f64(y, i) == sqz_tensor_f64(x, flat(&s, from)));
            }
            op_end(&r);
        }
    }
    op_refuses("transpose", "perm=0,0", SHAPE(2, 3), SQZ_F32, SQZ_E_FORMAT, "twice");
    op_refuses("transpose", "perm=0", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "1 entries");
}

static void test_a_transpose_marked_as_view_moves_nothing(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    const sqz_tensor *x = numbered(&r, SQZ_F32, SHAPE(2, 3));
    const sqz_tensor *y = op_run_ok(&r, "transpose", "perm=1,0 view=1");
    assert_memory_equal(x->data, y->data, x->bytes);
    assert_shape(y, SHAPE(2, 3));
    op_end(&r);
}

static void test_split_undoes_concat(void **state)
{
    (void)state;
    for (int axis = -3; axis < 3; axis++)
        for (size_t k = 0; k < SQZ_COUNT(types); k++) {
            op_run a, b;
            char attrs[48];
            const int32_t d = axis < 0 ? axis + 3 : axis;
            const int64_t length[] = {2, 1, 3};
            op_begin(&a);
            for (int i = 0; i < 3; i++) {
                sqz_shape s = SHAPE(2, 3, 4);
                s.dim[d] = length[i];
                sqz_tensor *t = numbered(&a, types[k], s);
                sqz_tensor_set_f64(t, 0, 100 + i);
            }
            (void)snprintf(attrs, sizeof attrs, "axis=%d", axis);
            const sqz_tensor *y = op_run_ok(&a, "concat", attrs);
            assert_int_equal(y->shape.dim[d], 6);
            for (size_t i = 0; i < y->count; i++) {
                int64_t at[3];
                int from = 0;
                coords(&y->shape, i, at);
                for (; at[d] >= length[from]; from++)
                    at[d] -= length[from];
                assert_true(sqz_tensor_f64(y, i) ==
                            sqz_tensor_f64(&a.in[from], flat(&a.in[from].shape, at)));
            }
            op_begin(&b);
            memcpy(op_in(&b, types[k], y->shape)->data, y->data, y->bytes);
            b.n_out = 3;
            (void)snprintf(attrs, sizeof attrs, "axis=%d split=2,1,3", axis);
            op_run_ok(&b, "split", attrs);
            for (int i = 0; i < 3; i++) {
                assert_shape(&b.out[i], a.in[i].shape);
                assert_memory_equal(b.out[i].data, a.in[i].data, a.in[i].bytes);
            }
            op_end(&a);
            op_end(&b);
        }
}

static void test_unequal_splits_and_refusals(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    numbered(&r, SQZ_F32, SHAPE(7));
    r.n_out = 3;
    op_run_ok(&r, "split", ""); /* opset 18: the last one is shorter */
    assert_shape(&r.out[0], SHAPE(3));
    assert_shape(&r.out[2], SHAPE(1));
    op_end(&r);
    op_refuses("split", "split=2,3", SHAPE(5), SQZ_F32, SQZ_E_SHAPE, "2 lengths for 1 outputs");
    op_refuses("split", "split=3", SHAPE(5), SQZ_F32, SQZ_E_SHAPE, "sums to 3");
    op_refuses("split", "split=6", SHAPE(5), SQZ_F32, SQZ_E_SHAPE, "length 6");
    op_refuses("concat", "axis=1", SHAPE(5), SQZ_F32, SQZ_E_SHAPE, "axis 1");
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(2, 3));
    op_in(&r, SQZ_F32, SHAPE(2, 4));
    TEST_FAILS(r.ctx, op_try(&r, "concat", "axis=0"), SQZ_E_SHAPE, "input 1 is f32 2x4");
    op_end(&r);
}

static void test_gather_with_negative_indices(void **state)
{
    (void)state;
    const int64_t index[] = {0, -1, 2, -3};
    for (int axis = 0; axis < 3; axis++) {
        op_run r;
        char attrs[16];
        op_begin(&r);
        (void)snprintf(attrs, sizeof attrs, "axis=%d", axis);
        const sqz_tensor *x = numbered(&r, SQZ_F32, SHAPE(3, 4, 5));
        memcpy(op_in(&r, SQZ_S64, SHAPE(2, 2))->data, index, sizeof index);
        const sqz_tensor *y = op_run_ok(&r, "gather", attrs);
        assert_int_equal(y->shape.rank, 4);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4], from[3];
            coords(&y->shape, i, at);
            int64_t k = index[at[axis] * 2 + at[axis + 1]];
            for (int d = 0; d < 3; d++)
                from[d] = d < axis ? at[d] : d > axis ? at[d + 1] : k < 0 ? k + x->shape.dim[d] : k;
            assert_true(SQZ_F32P(y)[i] == SQZ_F32P(x)[flat(&x->shape, from)]);
        }
        op_end(&r);
    }
}

static void test_gather_refuses_indices_outside(void **state)
{
    (void)state;
    const int64_t bad[] = {3, -4, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        op_run r;
        op_begin(&r);
        op_in(&r, SQZ_F32, SHAPE(3, 2));
        SQZ_S64P(op_in(&r, SQZ_S64, SHAPE(1)))[0] = bad[i];
        TEST_FAILS(r.ctx, op_try(&r, "gather", "axis=0"), SQZ_E_ARG, "expected -3 .. 2");
        op_end(&r);
    }
    op_run r;
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(3, 2));
    op_in(&r, SQZ_F32, SHAPE(1));
    TEST_FAILS(r.ctx, op_try(&r, "gather", ""), SQZ_E_UNSUPPORTED, "indices are f32");
    op_end(&r);
}

static void test_views_keep_bytes_and_order(void **state)
{
    static const struct {
        const char *op, *attrs;
        sqz_shape in, out;
    } row[] = {
        {"reshape", "shape=0,-1", {3, {2, 3, 4}}, {2, {2, 12}}},
        {"reshape", "shape=-1,0,2", {3, {2, 3, 4}}, {3, {4, 3, 2}}},
        {"reshape", "", {2, {1, 1}}, {0}},
        {"reshape", "shape=0,3 allowzero=1", {2, {3, 0}}, {2, {0, 3}}},
        {"flatten", "", {3, {2, 3, 4}}, {2, {2, 12}}},
        {"flatten", "axis=0", {3, {2, 3, 4}}, {2, {1, 24}}},
        {"flatten", "axis=3", {3, {2, 3, 4}}, {2, {24, 1}}},
        {"flatten", "axis=-1", {3, {2, 3, 4}}, {2, {6, 4}}},
        {"squeeze", "axes=1,-1", {4, {2, 1, 4, 1}}, {2, {2, 4}}},
        {"squeeze", "", {4, {1, 1, 4, 1}}, {1, {4}}},
        {"unsqueeze", "axes=-1,0", {2, {2, 3}}, {4, {1, 2, 3, 1}}},
        {"identity", "", {2, {2, 3}}, {2, {2, 3}}},
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = numbered(&r, SQZ_F32, row[i].in);
        const sqz_tensor *y = op_run_ok(&r, row[i].op, row[i].attrs);
        assert_shape(y, row[i].out);
        assert_int_equal(y->bytes, x->bytes);
        assert_memory_equal(y->data, x->data, x->bytes);
        assert_true(sqz_op_find(row[i].op)->traits & SQZ_T_VIEW);
        op_end(&r);
    }
}

static void test_views_refuse_other_counts(void **state)
{
    (void)state;
    op_refuses("reshape", "shape=5,-1", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "2x3");
    op_refuses("reshape", "shape=-1,-1", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "reshape to: -1: -1");
    op_refuses("reshape", "shape=7", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "does not fit");
    op_refuses("reshape", "shape=2,3,0", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "does not fit");
    op_refuses("reshape", "shape=4611686018427387904,4611686018427387904", SHAPE(2, 3), SQZ_F32,
               SQZ_E_SHAPE, "does not fit");
    op_refuses("flatten", "axis=3", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "axis 3");
    op_refuses("squeeze", "axes=0", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "axis 0 has 2 entries");
    op_refuses("unsqueeze", "axes=0,0", SHAPE(2, 3), SQZ_F32, SQZ_E_FORMAT, "twice");
    op_refuses("unsqueeze", "axes=4", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "axis 4");
}

static void test_shape_lists_dimensions(void **state)
{
    static const struct {
        const char *attrs;
        int64_t n, want[3];
    } row[] = {{"", 3, {2, 3, 4}},
               {"start=1", 2, {3, 4}},
               {"start=-2 end=-1", 1, {3}},
               {"start=2 end=1", 0, {0}}};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        op_run r;
        op_begin(&r);
        op_in(&r, SQZ_F32, SHAPE(2, 3, 4));
        const sqz_tensor *y = op_run_ok(&r, "shape", row[i].attrs);
        assert_int_equal(y->dtype, SQZ_S64);
        assert_int_equal(y->count, row[i].n);
        for (int64_t k = 0; k < row[i].n; k++)
            assert_int_equal(SQZ_S64P(y)[k], row[i].want[k]);
        op_end(&r);
    }
}

static void test_empty_tensors_move(void **state)
{
    static const struct {
        const char *op, *attrs;
    } row[] = {{"slice", "starts=0 ends=1 axes=0"},
               {"pad", "pads=0,0,0,0"},
               {"tile", "repeats=2,2"},
               {"transpose", "perm=1,0"},
               {"concat", "axis=0"},
               {"split", "axis=0"},
               {"flatten", ""},
               {"relu", ""}};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        op_run r;
        op_begin(&r);
        op_in(&r, SQZ_F32, SHAPE(3, 0));
        assert_int_equal(op_run_ok(&r, row[i].op, row[i].attrs)->count, 0);
        op_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_with_steps_and_clamping),
        cmocka_unit_test(test_pads_of_every_mode),
        cmocka_unit_test(test_long_pads_go_on_periodically),
        cmocka_unit_test(test_a_pad_value_may_be_an_input),
        cmocka_unit_test(test_int8_pads_are_on_the_grid),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_every_permutation_of_four_axes),
        cmocka_unit_test(test_a_transpose_marked_as_view_moves_nothing),
        cmocka_unit_test(test_split_undoes_concat),
        cmocka_unit_test(test_unequal_splits_and_refusals),
        cmocka_unit_test(test_gather_with_negative_indices),
        cmocka_unit_test(test_gather_refuses_indices_outside),
        cmocka_unit_test(test_views_keep_bytes_and_order),
        cmocka_unit_test(test_views_refuse_other_counts),
        cmocka_unit_test(test_shape_lists_dimensions),
        cmocka_unit_test(test_empty_tensors_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
