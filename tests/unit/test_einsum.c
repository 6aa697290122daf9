/* test_einsum.c: equations, and what the import makes of them: the same numbers as the definition
 * written as loops over every combination of indices, by matrix products where there are any. */
#include "ops/einsum.h"
#include "ops_test.h"

/* ---- the definition ---- */

typedef struct loops {
    const sqz_tensor *x[4];
    unsigned n;
    sqz_einsum e;
} loops;

/* Sum over all values of the indices from `label` on; at[]: of those before. */
static double sum_from(const loops *l, int label, int64_t *at, uint64_t fixed)
{
    double sum = 0;
    if (label == SQZ_EINSUM_LABELS) {
        double v = 1;
        for (unsigned i = 0; i < l->n; i++) {
            int64_t place[SQZ_MAX_RANK];
            for (int32_t d = 0; d < l->e.rank[i]; d++)
                place[d] = l->x[i]->shape.dim[d] == 1 ? 0 : at[l->e.label[i][d]];
            v *= sqz_tensor_f64(l->x[i], flat(&l->x[i]->shape, place));
        }
        return v;
    }
    if (l->e.dim[label] < 0 || fixed >> label & 1)
        return sum_from(l, label + 1, at, fixed);
    for (at[label] = 0; at[label] < l->e.dim[label]; at[label]++)
        sum += sum_from(l, label + 1, at, fixed);
    return sum;
}

static void assert_einsum(const char *equation, const sqz_tensor *const *x, unsigned n,
                          const sqz_tensor *y, const char *how)
{
    const sqz_shape *shape[4];
    loops l = {.n = n};
    sqz_ctx *ctx = test_ctx();
    for (unsigned i = 0; i < n; i++) {
        l.x[i] = x[i];
        shape[i] = &x[i]->shape;
    }
    TEST_OK(ctx, sqz_einsum_parse(ctx, equation, shape, n, &l.e));
    assert_int_equal(y->shape.rank, l.e.out_rank);
    for (size_t i = 0; i < y->count; i++) {
        int64_t at[SQZ_EINSUM_LABELS] = {0}, place[SQZ_MAX_RANK];
        uint64_t fixed = 0;
        coords(&y->shape, i, place);
        for (int32_t d = 0; d < l.e.out_rank; d++) {
            assert_int_equal(y->shape.dim[d], l.e.dim[l.e.out[d]]);
            at[l.e.out[d]] = place[d];
            fixed |= (uint64_t)1 << l.e.out[d];
        }
        const double want = sum_from(&l, 0, at, fixed), got = sqz_tensor_f64(y, i);
        if (want != got) /* whole numbers: every order of adding gives the same */
            fail_msg("%s (%s): element %zu is %g, expected %g", equation, how, i, got, want);
    }
    sqz_ctx_free(ctx);
}

/* ---- what the import makes ---- */

typedef struct made {
    sqz_ctx *ctx;
    sqz_graph *g;
    sqz_vid out[1];
    bool constant[4];
} made;

static sqz_status import(made *m, const char *equation, const sqz_tensor *const *x, unsigned n)
{
    static const char *const name[] = {"y"};
    const sqz_op *op = sqz_op_find("einsum");
    const sqz_raw_attr attr = {.name = "equation", .type = 3, .s = equation};
    sqz_vid in[4];
    TEST_OK(m->ctx, sqz_graph_create(m->ctx, &m->g));
    for (unsigned i = 0; i < n; i++) {
        sqz_tensor t;
        sqz_tensor_share(x[i], &t);
        if (m->constant[i]) {
            TEST_OK(m->ctx, sqz_graph_constant(m->g, NULL, &t, &in[i]));
        } else {
            sqz_tensor_free(m->ctx, &t);
            TEST_OK(m->ctx, sqz_graph_input(m->g, NULL, x[i]->dtype, &x[i]->shape, &in[i]));
        }
    }
    sqz_import im = {.g = m->g,
                     .op_type = "Einsum",
                     .name = "node",
                     .opset = 12,
                     .attr = &attr,
                     .n_attr = 1,
                     .in = in,
                     .n_in = n,
                     .out_name = name,
                     .n_out = 1,
                     .n_listed = 1,
                     .out = m->out};
    return op->onnx.import(&im, op);
}

static int nodes_of(const sqz_graph *g, const char *op)
{
    int n = 0;
    SQZ_EACH_NODE(g, id) { n += strcmp(sqz_nod(g, id)->op->info.name, op) == 0; }
    return n;
}

static const sqz_dtype types[] = {SQZ_F32, SQZ_F64, SQZ_S64, SQZ_S32, SQZ_S8};

/* Directly, and through the import: what is known is computed. */
static void check(const char *equation, const sqz_shape *shape, unsigned n, sqz_rng *r)
{
    const sqz_dtype d = types[sqz_rng_below(r, SQZ_COUNT(types))];
    const sqz_tensor *x[4];
    op_run run;
    char attrs[96];
    op_begin(&run);
    for (unsigned i = 0; i < n; i++)
        x[i] = op_random(&run, d, shape[i], -2, 2, r);
    for (unsigned i = 0; i < n; i++)
        for (size_t k = 0; k < x[i]->count; k++)
            sqz_tensor_set_f64(&run.in[i], k, nearbyint(sqz_tensor_f64(x[i], k)));
    (void)snprintf(attrs, sizeof attrs, "equation=%s", equation);
    assert_einsum(equation, x, n, op_run_ok(&run, "einsum", attrs), "direct");
    made m = {.ctx = run.ctx, .constant = {true, true, true, true}};
    TEST_OK(m.ctx, import(&m, equation, x, n));
    TEST_OK(m.ctx, sqz_fold_value(m.g, m.out[0]));
    assert_non_null(sqz_val(m.g, m.out[0])->constant);
    assert_einsum(equation, x, n, sqz_val(m.g, m.out[0])->constant, "imported");
    sqz_graph_free(m.g);
    op_end(&run);
}

static void test_random_equations(void **state)
{
    sqz_rng r = {.seed = 21};
    (void)state;
    for (int round = 0; round < 400; round++) {
        const unsigned n = 1 + (unsigned)sqz_rng_below(&r, 3);
        int64_t length[6], dots[2] = {2, 3};
        sqz_shape shape[3];
        char text[64];
        int at = 0;
        bool used[6] = {false}, ellipsis = false;
        for (int i = 0; i < 6; i++)
            length[i] = 1 + (int64_t)sqz_rng_below(&r, 3);
        for (unsigned i = 0; i < n; i++) {
            bool here[6] = {false};
            shape[i] = (sqz_shape){0};
            at += snprintf(text + at, sizeof text - (size_t)at, "%s", i ? "," : "");
            for (uint64_t k = sqz_rng_below(&r, 4); k-- > 0;) {
                const int id = (int)sqz_rng_below(&r, 6);
                if (here[id] && sqz_rng_below(&r, 4)) /* now and then a diagonal */
                    continue;
                here[id] = used[id] = true;
                text[at++] = (char)('a' + id);
                shape[i].dim[shape[i].rank++] = sqz_rng_below(&r, 6) ? length[id] : 1;
            }
            if (sqz_rng_below(&r, 4) == 0) {
                ellipsis = true;
                at += snprintf(text + at, sizeof text - (size_t)at, "...");
                for (uint64_t k = sqz_rng_below(&r, 3); k-- > 0;)
                    shape[i].dim[shape[i].rank++] = sqz_rng_below(&r, 4) ? dots[1 - k] : 1;
            }
        }
        at += snprintf(text + at, sizeof text - (size_t)at, "->%s", ellipsis ? "..." : "");
        for (int i = 5; i >= 0; i--)
            if (used[i] && sqz_rng_below(&r, 3))
                text[at++] = (char)('a' + i);
        text[at] = '\0';
        check(text, shape, n, &r);
    }
}

static void test_an_implicit_output_is_alphabetical(void **state)
{
    sqz_rng r = {.seed = 22};
    const sqz_shape two[2] = {SHAPE(2, 3), SHAPE(3, 4)};
    (void)state;
    check("ba,ac", two, 2, &r); /* "bc" */
    check("bA,AZ", two, 2, &r); /* "Zb" */
    check("cb", two, 1, &r);    /* a transpose */
    op_run run;
    op_begin(&run);
    op_in(&run, SQZ_F32, SHAPE(2, 3));
    op_in(&run, SQZ_F32, SHAPE(3, 4));
    assert_shape(op_run_ok(&run, "einsum", "equation=bA,AZ"), SHAPE(4, 2));
    op_end(&run);
}

/* The graph for operands that are not known, the last one constant or not. */
static void graph_of(made *m, const char *equation, const sqz_shape *shape, unsigned n,
                     unsigned constant)
{
    sqz_tensor t[4];
    const sqz_tensor *x[4];
    *m = (made){.ctx = test_ctx()};
    for (unsigned i = 0; i < n; i++) {
        TEST_OK(m->ctx, sqz_tensor_alloc(m->ctx, SQZ_F32, &shape[i], &t[i]));
        x[i] = &t[i];
        m->constant[i] = constant >> i & 1;
    }
    TEST_OK(m->ctx, import(m, equation, x, n));
    for (unsigned i = 0; i < n; i++)
        sqz_tensor_free(m->ctx, &t[i]);
}
static void graph_end(made *m)
{
    sqz_graph_free(m->g);
    sqz_ctx_free(m->ctx);
}

static void test_contractions_are_matrix_products_and_leave_the_batch_open(void **state)
{
    static const struct {
        const char *equation;
        sqz_shape in[2];
        unsigned constant;
        int matmul, mul, transpose, reshape;
    } row[] = {
        {"bij,jk->bik", {{3, {1, 3, 4}}, {2, {4, 5}}}, 2, 1, 0, 0, 0},
        {"oi,bi->bo", {{2, {3, 4}}, {2, {1, 4}}}, 1, 1, 0, 1, 0}, /* the weight goes right */
        {"bhqd,bhkd->bhqk", {{4, {1, 2, 3, 4}}, {4, {1, 2, 5, 4}}}, 0, 1, 0, 1, 0},
        {"bsd,dhk->bshk", {{3, {1, 3, 4}}, {3, {4, 2, 2}}}, 2, 1, 0, 0, 2},
        {"bshk,hkd->bsd", {{4, {1, 3, 2, 2}}, {3, {2, 2, 4}}}, 2, 1, 0, 0, 2},
        {"bi,bi->bi", {{2, {1, 3}}, {2, {1, 3}}}, 0, 0, 1, 0, 0},
        {"bi,j->bij", {{2, {1, 3}}, {1, {4}}}, 2, 0, 1, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        made m;
        graph_of(&m, row[i].equation, row[i].in, 2, row[i].constant);
        assert_int_equal(nodes_of(m.g, "einsum"), 0);
        assert_int_equal(nodes_of(m.g, "matmul"), row[i].matmul);
        assert_int_equal(nodes_of(m.g, "mul"), row[i].mul);
        assert_int_equal(nodes_of(m.g, "transpose"), row[i].transpose);
        assert_int_equal(nodes_of(m.g, "reshape"), row[i].reshape);
        TEST_OK(m.ctx, sqz_graph_set_outputs(m.g, m.out, 1));
        TEST_OK(m.ctx, sqz_graph_set_batch(m.g, 7));
        graph_end(&m);
    }
}

static void test_diagonals_stay_an_einsum(void **state)
{
    made m;
    (void)state;
    graph_of(&m, "bii->bi", (const sqz_shape[]){SHAPE(2, 3, 3)}, 1, 0);
    assert_int_equal(nodes_of(m.g, "einsum"), 1);
    graph_end(&m);
}

static void test_broken_equations_are_refused(void **state)
{
    static const struct {
        const char *equation;
        sqz_status want;
        const char *part;
    } row[] = {
        {"ij,jk", SQZ_E_FORMAT, "goes on with ',jk' after 1"},
        {"i", SQZ_E_SHAPE, "1 indices for operand 0 of rank 2"},
        {"ijk...", SQZ_E_SHAPE, "3 indices"},
        {"i1", SQZ_E_FORMAT, "'1'"},
        {"i......", SQZ_E_FORMAT, "'.'"},
        {"ij->k", SQZ_E_FORMAT, "in no operand"},
        {"ij->ii", SQZ_E_FORMAT, "twice"},
        {"ij->i->j", SQZ_E_FORMAT, "behind the output"},
        {"ij-i", SQZ_E_FORMAT, "goes on with"},
        {"ii", SQZ_E_SHAPE, "runs to 3"},
        {"abcdefghi", SQZ_E_LIMIT, "more than 8"},
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        sqz_ctx *ctx = test_ctx();
        const sqz_shape s = SHAPE(2, 3);
        const sqz_shape *const shapes[1] = {&s};
        sqz_einsum e;
        sqz_status got = sqz_einsum_parse(ctx, row[i].equation, shapes, 1, &e);
        TEST_FAILS(ctx, got, row[i].want, row[i].part);
        sqz_ctx_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_equations),
        cmocka_unit_test(test_an_implicit_output_is_alphabetical),
        cmocka_unit_test(test_contractions_are_matrix_products_and_leave_the_batch_open),
        cmocka_unit_test(test_diagonals_stay_an_einsum),
        cmocka_unit_test(test_broken_equations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
