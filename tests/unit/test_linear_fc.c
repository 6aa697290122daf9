/* gemm and matmul: the float form against loops in double, the integer form against the firmware
 * runtime, and what import makes of ONNX's Gemm. */
#include "../linear_case.h"
#include "kernels/blas.h"
#include "kernels/multiplier.h"
#include "runtime/sqz_rt.h"

enum { SEED = 21, ROUNDS = 120 };

static void near(double got, double want, double size, size_t terms)
{
    /* one rounding of 2^-24 for each product and sum */
    if (!(fabs(got - want) <= 2 * ((double)terms + 1) * 6e-8 * size + 1e-30))
        fail_msg("%.9g, expected %.9g", got, want);
}

static void test_gemm_is_the_product_and_the_bias(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_ctx *ctx = test_ctx();
    for (int round = 0; round < ROUNDS; round++) {
        int64_t m = 1 + (int64_t)sqz_rng_below(&r, 200), k = 1 + (int64_t)sqz_rng_below(&r, 70),
                n = 1 + (int64_t)sqz_rng_below(&r, 40);
        bool bias = sqz_rng_below(&r, 2);
        op_case c;
        case_begin(&c, ctx, "gemm", "");
        fill_f32(&r, case_input(&c, SQZ_F32, (sqz_shape){2, {m, k}}), 1);
        fill_f32(&r, case_input(&c, SQZ_F32, (sqz_shape){2, {n, k}}), 1);
        if (bias)
            fill_f32(&r, case_input(&c, SQZ_F32, (sqz_shape){1, {n}}), 1);
        TEST_OK(ctx, case_run(&c, SQZ_F32));
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double want = bias ? SQZ_F32P(&c.in[2])[j] : 0, size = fabs(want);
                for (int64_t t = 0; t < k; t++) {
                    double p = (double)SQZ_F32P(&c.in[0])[i * k + t] *
                               SQZ_F32P(&c.in[1])[j * k + t];
                    want += p;
                    size += fabs(p);
                }
                near(SQZ_F32P(&c.out)[i * n + j], want, size, (size_t)k);
            }
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}

/* Both linear operators as integers; the weights of matmul are (I,O). */
static void check_int(const char *op)
{
    static const char *const cpu[] = {"scalar", "avx2", "avx512vnni"};
    bool columns = strcmp(op, "matmul") == 0;
    for (size_t isa = 0; isa < SQZ_COUNT(cpu); isa++) {
        sqz_rng r = {SEED, 1 << 20};
        sqz_ctx *ctx = case_ctx(cpu[isa], isa == 2 ? 3 : 1);
        for (int round = 0; round < ROUNDS; round++) {
            int64_t m = 1 + (int64_t)sqz_rng_below(&r, 60), k = 1 + (int64_t)sqz_rng_below(&r, 300),
                    n = 1 + (int64_t)sqz_rng_below(&r, 70);
            int32_t mult[70], shift[70];
            op_case c;
            case_begin(&c, ctx, op, "");
            fill_int(&r, case_input(&c, SQZ_S8, (sqz_shape){2, {m, k}}), -128, 127);
            fill_int(
                &r,
                case_input(&c, SQZ_S8, columns ? (sqz_shape){2, {k, n}} : (sqz_shape){2, {n, k}}),
                -127, 127);
            bool bias = !columns && sqz_rng_below(&r, 2);
            if (bias)
                fill_int(&r, case_input(&c, SQZ_S32, (sqz_shape){1, {n}}), -9000, 9000);
            case_linear_grids(&c, &r, columns ? 1 : 0, (uint32_t)n, (size_t)k);
            TEST_OK(ctx, case_run(&c, SQZ_S8));

            int8_t *w = malloc((size_t)(n * k)), *want = malloc((size_t)(m * n));
            for (int64_t o = 0; o < n; o++) {
                uint32_t s = c.in_q[1].n == 1 ? 0 : (uint32_t)o;
                sqz_multiplier((double)c.in_q[0].scale[0] * c.in_q[1].scale[s] / c.out_q.scale[0],
                               &mult[o], &shift[o]);
                for (int64_t t = 0; t < k; t++)
                    w[o * k + t] = SQZ_S8P(&c.in[1])[columns ? t * n + o : o * k + t];
            }
            sqz_rt_fc p = {.n = (int32_t)m,
                           .in = (int32_t)k,
                           .out = (int32_t)n,
                           .in_zero = c.in_q[0].zero[0],
                           .out_zero = c.out_q.zero[0],
                           .act_min = -128,
                           .act_max = 127,
                           .mult = mult,
                           .shift = shift};
            sqz_rt_fc_s8(&p, c.in[0].data, w, bias ? SQZ_S32P(&c.in[2]) : NULL, want);
            assert_int_equal(c.out.count, m * n);
            assert_memory_equal(c.out.data, want, (size_t)(m * n));
            free(w);
            free(want);
            case_end(&c);
        }
        sqz_ctx_free(ctx);
    }
}
static void test_integer_gemm_is_the_runtimes(void **state)
{
    (void)state;
    check_int("gemm");
}
static void test_integer_matmul_is_the_runtimes(void **state)
{
    (void)state;
    check_int("matmul");
}

/* One element of a stack of matrices, with axes of size 1 repeated. */
static float element(const sqz_tensor *t, const int64_t *batch, int32_t rank, int64_t row,
                     int64_t col)
{
    const sqz_shape *s = &t->shape;
    int64_t at = 0;
    for (int32_t d = 0; d < s->rank - 2; d++) {
        int64_t index = batch[rank - 2 - (s->rank - 2) + d];
        at = at * s->dim[d] + (s->dim[d] == 1 ? 0 : index);
    }
    return SQZ_F32P(t)[(at * s->dim[s->rank - 2] + row) * s->dim[s->rank - 1] + col];
}

static void test_matmul_broadcasts_batches_as_numpy(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2 << 20};
    sqz_ctx *ctx = test_ctx();
    for (int round = 0; round < ROUNDS; round++) {
        sqz_shape a = {2 + (int32_t)sqz_rng_below(&r, 3), {0}}, b = a;
        b.rank = 2 + (int32_t)sqz_rng_below(&r, 3);
        int64_t m = 1 + (int64_t)sqz_rng_below(&r, 12), k = 1 + (int64_t)sqz_rng_below(&r, 30),
                n = 1 + (int64_t)sqz_rng_below(&r, 12);
        int32_t rank = SQZ_MAX(a.rank, b.rank);
        int64_t batch[4];
        for (int32_t d = 0; d < rank - 2; d++) {
            int64_t size = 1 + (int64_t)sqz_rng_below(&r, 3);
            int32_t da = d - (rank - a.rank), db = d - (rank - b.rank);
            if (da >= 0)
                a.dim[da] = sqz_rng_below(&r, 3) ? size : 1;
            if (db >= 0)
                b.dim[db] = sqz_rng_below(&r, 3) ? size : 1;
        }
        a.dim[a.rank - 2] = m;
        a.dim[a.rank - 1] = b.dim[b.rank - 2] = k;
        b.dim[b.rank - 1] = n;
        op_case c;
        case_begin(&c, ctx, "matmul", "");
        fill_f32(&r, case_input(&c, SQZ_F32, a), 1);
        fill_f32(&r, case_input(&c, SQZ_F32, b), 1);
        TEST_OK(ctx, case_run(&c, SQZ_F32));
        assert_int_equal(c.out.shape.rank, rank);
        for (size_t i = 0; i < c.out.count; i++) {
            size_t left = i / (size_t)(m * n);
            for (int32_t d = rank - 3; d >= 0; d--) {
                batch[d] = (int64_t)(left % (size_t)c.out.shape.dim[d]);
                left /= (size_t)c.out.shape.dim[d];
            }
            int64_t row = (int64_t)i / n % m, col = (int64_t)i % n;
            double want = 0, size = 0;
            for (int64_t t = 0; t < k; t++) {
                double p = (double)element(&c.in[0], batch, rank, row, t) *
                           element(&c.in[1], batch, rank, t, col);
                want += p;
                size += fabs(p);
            }
            near(SQZ_F32P(&c.out)[i], want, size, (size_t)k);
        }
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}

static void test_matmul_takes_vectors_on_either_side(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    static const struct {
        sqz_shape a, b, y;
    } row[] = {{{1, {3}}, {1, {3}}, {0, {0}}},
               {{1, {3}}, {2, {3, 4}}, {1, {4}}},
               {{3, {2, 5, 3}}, {1, {3}}, {2, {2, 5}}},
               {{1, {3}}, {3, {2, 3, 4}}, {2, {2, 4}}}};
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        op_case c;
        case_begin(&c, ctx, "matmul", "");
        case_input(&c, SQZ_F32, row[i].a);
        case_input(&c, SQZ_F32, row[i].b);
        for (unsigned k = 0; k < 2; k++)
            for (size_t e = 0; e < c.in[k].count; e++)
                SQZ_F32P(&c.in[k])[e] = 1;
        TEST_OK(ctx, case_run(&c, SQZ_F32));
        assert_true(sqz_shape_eq(&c.out.shape, &row[i].y));
        for (size_t e = 0; e < c.out.count; e++)
            assert_true(SQZ_F32P(&c.out)[e] == 3);
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}

static void test_long_sums_are_refused_when_they_may_overflow(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (int over = 0; over < 2; over++) {
        /* 66311 * 255 * 127 is the largest that fits int32 */
        int64_t k = 66311 + over;
        op_case c;
        case_begin(&c, ctx, "gemm", "");
        fill_int(&(sqz_rng){1, 0}, case_input(&c, SQZ_S8, (sqz_shape){2, {1, k}}), 127, 127);
        fill_int(&(sqz_rng){1, 0}, case_input(&c, SQZ_S8, (sqz_shape){2, {1, k}}), 127, 127);
        case_linear_grids(&c, &(sqz_rng){1, 0}, 0, 1, (size_t)k);
        if (over)
            TEST_FAILS(ctx, case_run(&c, SQZ_S8), SQZ_E_LIMIT, "may leave 32 bits");
        else
            TEST_OK(ctx, case_run(&c, SQZ_S8));
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}

static void test_blas_gives_the_same_bytes_for_any_threads(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 3 << 20};
    enum { M = 700, N = 33, K = 300 };
    float *a = malloc(M * K * 4), *b = malloc(N * K * 4), *y[2];
    for (size_t i = 0; i < M * K; i++)
        a[i] = (float)sqz_rng_normal(&r);
    for (size_t i = 0; i < N * K; i++)
        b[i] = (float)sqz_rng_normal(&r);
    for (int t = 0; t < 2; t++) {
        sqz_ctx *ctx = case_ctx(NULL, t ? 4 : 1);
        sqz_blas_single_thread(ctx);
        y[t] = malloc(M * N * 4);
        TEST_OK(ctx, sqz_sgemm_all(ctx, &(sqz_sgemm){.m = M,
                                                     .n = N,
                                                     .k = K,
                                                     .a = a,
                                                     .lda = K,
                                                     .b = b,
                                                     .ldb = K,
                                                     .b_rows = true,
                                                     .c = y[t],
                                                     .ldc = N}));
        sqz_ctx_free(ctx);
    }
    assert_memory_equal(y[0], y[1], M * N * 4);
    free(a);
    free(b);
    free(y[0]);
    free(y[1]);
}

/* ---- ONNX's Gemm ---- */

typedef struct onnx_gemm {
    bool trans_a, trans_b, const_b, const_c;
    float alpha, beta;
    sqz_shape c; /* rank -1: none */
} onnx_gemm;

enum { M = 3, N = 4, K = 5 };

static sqz_vid operand(sqz_graph *g, sqz_rng *r, const char *name, sqz_shape s, bool constant,
                       sqz_tensor *copy)
{
    sqz_vid id;
    TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, SQZ_F32, &s, copy));
    fill_f32(r, copy, 1);
    if (!constant) {
        TEST_OK(g->ctx, sqz_graph_input(g, name, SQZ_F32, &s, &id));
        return id;
    }
    sqz_tensor t;
    sqz_tensor_share(copy, &t);
    TEST_OK(g->ctx, sqz_graph_constant(g, name, &t, &id));
    return id;
}

/* Runs the float graph node by node; vals[v] holds what is known. */
static void run_graph(sqz_graph *g, sqz_tensor *vals)
{
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        const sqz_tensor *in[4] = {0};
        sqz_tensor *out = &vals[n->out[0]];
        const sqz_value *v = sqz_val(g, n->out[0]);
        for (unsigned i = 0; i < n->n_in; i++) {
            const sqz_value *x = sqz_val(g, n->in[i]);
            in[i] = x->constant ? x->constant : &vals[n->in[i]];
        }
        TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, v->dtype, &v->shape, out));
        TEST_OK(g->ctx, sqz_op_run_once(g->ctx, n->op, n->attrs, in, n->n_in, &out, 1, NULL, NULL));
    }
}

static double expected(const onnx_gemm *q, const sqz_tensor t[3], int i, int j)
{
    double sum = 0;
    for (int k = 0; k < K; k++)
        sum += (double)SQZ_F32P(&t[0])[q->trans_a ? k * M + i : i * K + k] *
               SQZ_F32P(&t[1])[q->trans_b ? j * K + k : k * N + j];
    sum *= q->alpha;
    if (q->c.rank >= 0) {
        int64_t rows = q->c.rank == 2 ? q->c.dim[0] : 1,
                cols = q->c.rank ? q->c.dim[q->c.rank - 1] : 1;
        sum += (double)q->beta * SQZ_F32P(&t[2])[(rows == 1 ? 0 : i) * cols + (cols == 1 ? 0 : j)];
    }
    return sum;
}

static void import_gemm(const onnx_gemm *q)
{
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {SEED, 4 << 20};
    sqz_graph *g;
    sqz_tensor t[3] = {{0}}, vals[32] = {{0}};
    sqz_vid in[3], out[1];
    const char *name[1] = {"y"};
    const sqz_op *op = sqz_op_find("gemm");
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    in[0] = operand(g, &r, "a", q->trans_a ? (sqz_shape){2, {K, M}} : (sqz_shape){2, {M, K}}, false,
                    &t[0]);
    in[1] = operand(g, &r, "b", q->trans_b ? (sqz_shape){2, {N, K}} : (sqz_shape){2, {K, N}},
                    q->const_b, &t[1]);
    if (q->c.rank >= 0)
        in[2] = operand(g, &r, "c", q->c, q->const_c, &t[2]);
    const sqz_raw_attr attr[] = {{.name = "transA", .type = 2, .i = q->trans_a},
                                 {.name = "transB", .type = 2, .i = q->trans_b},
                                 {.name = "alpha", .type = 1, .f = q->alpha},
                                 {.name = "beta", .type = 1, .f = q->beta}};
    sqz_import im = {.g = g,
                     .op_type = "Gemm",
                     .name = "fc",
                     .opset = 13,
                     .attr = attr,
                     .n_attr = 4,
                     .in = in,
                     .n_in = q->c.rank >= 0 ? 3 : 2,
                     .out_name = name,
                     .n_out = 1,
                     .out = out};
    TEST_OK(ctx, op->onnx.import(&im, op));
    TEST_OK(ctx, sqz_graph_set_outputs(g, out, 1));
    assert_string_equal(sqz_val(g, out[0])->name, "y");
    if (q->const_b && q->const_c && !q->trans_a && (q->c.rank <= 1 || q->c.dim[0] == 1))
        assert_int_equal(g->n_node, 1); /* everything that is constant went into constants */
    for (int i = 0; i < 3; i++)
        if (t[i].data && !sqz_val(g, in[i])->constant)
            sqz_tensor_share(&t[i], &vals[in[i]]);
    run_graph(g, vals);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            assert_true(fabs(SQZ_F32P(&vals[out[0]])[i * N + j] - expected(q, t, i, j)) < 1e-5);
    for (int i = 0; i < 32; i++)
        sqz_tensor_free(ctx, &vals[i]);
    for (int i = 0; i < 3; i++)
        sqz_tensor_free(ctx, &t[i]);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_every_gemm_of_onnx_is_imported_as_what_it_means(void **state)
{
    (void)state;
    static const sqz_shape c[] = {{-1, {0}},   {1, {N}},    {0, {0}},   {1, {1}},
                                  {2, {1, N}}, {2, {M, N}}, {2, {M, 1}}};
    for (unsigned bits = 0; bits < 64; bits++)
        for (size_t s = 0; s < SQZ_COUNT(c); s++)
            import_gemm(&(onnx_gemm){.trans_a = bits & 1,
                                     .trans_b = bits & 2,
                                     .const_b = bits & 4,
                                     .const_c = bits & 8,
                                     .alpha = bits & 16 ? 0.5f : 1,
                                     .beta = bits & 32 ? -2 : 1,
                                     .c = c[s]});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_is_the_product_and_the_bias),
        cmocka_unit_test(test_integer_gemm_is_the_runtimes),
        cmocka_unit_test(test_integer_matmul_is_the_runtimes),
        cmocka_unit_test(test_matmul_broadcasts_batches_as_numpy),
        cmocka_unit_test(test_matmul_takes_vectors_on_either_side),
        cmocka_unit_test(test_long_sums_are_refused_when_they_may_overflow),
        cmocka_unit_test(test_blas_gives_the_same_bytes_for_any_threads),
        cmocka_unit_test(test_every_gemm_of_onnx_is_imported_as_what_it_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
