/* Grids by axis and by blocks, integer products, and the operators on integers of ONNX and
 * com.microsoft, each against loops written from the definition. */
#include "exec/exec.h"
#include "io/data.h"
#include "ir/pass.h"
#include "ir/qgrid.h"
#include "onnx_model.h"
#include "ops_test.h"

/* ---- grids ---- */

typedef struct grid {
    sqz_quant q;
    float scale[4096];
    int32_t zero[4096];
} grid;

/* A random grid for a tensor of shape s: per tensor, by axis or by blocks. */
static void random_grid(sqz_rng *r, const sqz_shape *s, sqz_dtype d, grid *g)
{
    uint64_t n = 1;
    memset(&g->q, 0, sizeof g->q);
    g->q.dtype = d;
    g->q.axis = (int32_t)sqz_rng_below(r, (uint64_t)s->rank + 1) - 1;
    if (g->q.axis >= 0 && sqz_rng_below(r, 3))
        g->q.group = 1 + (int32_t)sqz_rng_below(r, 4);
    if (g->q.group)
        assert_true(sqz_quant_blocks(&g->q, s, &n));
    else if (g->q.axis >= 0)
        n = (uint64_t)s->dim[g->q.axis];
    assert_true(n <= SQZ_COUNT(g->scale));
    g->q.n = (uint32_t)n;
    g->q.scale = g->scale;
    g->q.zero = g->zero;
    for (uint32_t i = 0; i < n; i++) {
        g->scale[i] = (float)(0.01 + sqz_rng_uniform(r));
        g->zero[i] = (int32_t)sqz_rng_below(r, 7) + (d == SQZ_S4 || d == SQZ_S8 ? -3 : 4);
    }
}

static sqz_shape random_shape(sqz_rng *r)
{
    sqz_shape s = {.rank = 1 + (int32_t)sqz_rng_below(r, 4)};
    for (int32_t i = 0; i < s.rank; i++)
        s.dim[i] = 1 + (int64_t)sqz_rng_below(r, 6);
    return s;
}

/* Which scale element `at` has, by the definition. */
static size_t scale_of(const sqz_quant *q, const sqz_shape *s, const int64_t *at)
{
    size_t k = 0;
    if (q->axis < 0)
        return 0;
    if (!q->group)
        return (size_t)at[q->axis];
    for (int32_t i = 0; i < s->rank; i++) {
        int64_t blocks = (s->dim[i] + q->group - 1) / q->group;
        k = i == q->axis ? k * (size_t)blocks + (size_t)(at[i] / q->group)
                         : k * (size_t)s->dim[i] + (size_t)at[i];
    }
    return k;
}

static void test_every_element_has_the_scale_of_its_block(void **p)
{
    sqz_rng r = {.seed = 11};
    sqz_ctx *ctx = test_ctx();
    static grid g;
    (void)p;
    for (int round = 0; round < 300; round++) {
        const sqz_shape s = random_shape(&r);
        size_t count;
        int64_t at[SQZ_MAX_RANK];
        random_grid(&r, &s, SQZ_S8, &g);
        TEST_OK(ctx, sqz_shape_count(ctx, &s, SQZ_S8, &count, NULL));
        for (size_t i = 0; i < count; i++) {
            sqz_qrun run = sqz_quant_run(&g.q, &s, i);
            assert_true(run.n > 0);
            for (size_t j = 0; j < run.n && i + j < count; j++) {
                coords(&s, i + j, at);
                assert_int_equal(run.first + j * run.step, scale_of(&g.q, &s, at));
            }
        }
    }
    sqz_ctx_free(ctx);
}

static void test_a_permuted_grid_gives_every_element_its_scale(void **p)
{
    sqz_rng r = {.seed = 12};
    sqz_ctx *ctx = test_ctx();
    static grid g;
    (void)p;
    for (int round = 0; round < 200; round++) {
        sqz_arena a = {.ctx = ctx};
        const sqz_shape s = random_shape(&r);
        sqz_shape t = s;
        sqz_quant q;
        int perm[SQZ_MAX_RANK];
        int64_t at[SQZ_MAX_RANK], was[SQZ_MAX_RANK] = {0};
        size_t count;
        for (int i = 0; i < s.rank; i++)
            perm[i] = (i + 1) % s.rank;
        for (int i = 0; i < s.rank; i++)
            t.dim[i] = s.dim[perm[i]];
        random_grid(&r, &s, SQZ_U8, &g);
        TEST_OK(ctx, sqz_quant_permute(&a, &g.q, &s, perm, &q));
        TEST_OK(ctx, sqz_shape_count(ctx, &s, SQZ_S8, &count, NULL));
        for (size_t i = 0; i < count; i++) {
            coords(&t, i, at);
            for (int k = 0; k < s.rank; k++)
                was[perm[k]] = at[k];
            assert_true(q.scale[scale_of(&q, &t, at)] == g.scale[scale_of(&g.q, &s, was)]);
            assert_int_equal(q.zero[scale_of(&q, &t, at)], g.zero[scale_of(&g.q, &s, was)]);
        }
        sqz_arena_free(&a);
    }
    sqz_ctx_free(ctx);
}

/* quantize and dequantize of every type, on grids of every kind. */
static void test_codes_follow_the_formula_for_every_type_and_grid(void **p)
{
    static const sqz_dtype type[] = {SQZ_S4, SQZ_U4, SQZ_S8, SQZ_U8, SQZ_S16, SQZ_U16};
    sqz_rng r = {.seed = 13};
    static grid g;
    (void)p;
    for (int round = 0; round < 240; round++) {
        const sqz_dtype d = type[round % 6];
        const sqz_shape s = random_shape(&r);
        sqz_ctx *ctx = test_ctx();
        sqz_tensor x, y, back, *yp = &y, *bp = &back;
        const sqz_tensor *xp = &x, *cp = &y;
        const sqz_quant *none = NULL, *to = &g.q;
        const struct {
            int64_t dtype;
        } attrs = {d};
        int64_t at[SQZ_MAX_RANK];
        bool is_signed = d == SQZ_S4 || d == SQZ_S8 || d == SQZ_S16;
        double top = ldexp(1, (int)sqz_dtype_bits(d) - is_signed) - 1,
               low = is_signed ? -top - 1 : 0;
        random_grid(&r, &s, d, &g);
        TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &s, &x));
        TEST_OK(ctx, sqz_tensor_alloc(ctx, d, &s, &y));
        TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &s, &back));
        for (size_t i = 0; i < x.count; i++)
            SQZ_F32P(&x)[i] = (float)(30 * sqz_rng_normal(&r));
        TEST_OK(ctx,
                sqz_op_run_once(ctx, sqz_op_find("quantize"), &attrs, &xp, 1, &yp, 1, &none, &to));
        TEST_OK(ctx,
                sqz_op_run_once(ctx, sqz_op_find("dequantize"), NULL, &cp, 1, &bp, 1, &to, &none));
        for (size_t i = 0; i < x.count; i++) {
            coords(&s, i, at);
            size_t k = scale_of(&g.q, &s, at);
            double q = nearbyint((double)(SQZ_F32P(&x)[i] / g.scale[k])) + g.zero[k];
            q = fmin(fmax(q, low), top);
            assert_true((double)sqz_tensor_i64(&y, i) == q);
            assert_true(SQZ_F32P(&back)[i] == g.scale[k] * (float)(q - g.zero[k]));
        }
        sqz_tensor_free(ctx, &x);
        sqz_tensor_free(ctx, &y);
        sqz_tensor_free(ctx, &back);
        sqz_ctx_free(ctx);
    }
}

/* ---- integer products ---- */

static void test_matrix_products_of_codes_are_exact(void **p)
{
    sqz_rng r = {.seed = 21};
    (void)p;
    for (int round = 0; round < 40; round++) {
        op_run o;
        const int64_t b = 1 + (int64_t)sqz_rng_below(&r, 3), m = 1 + (int64_t)sqz_rng_below(&r, 5),
                      k = 1 + (int64_t)sqz_rng_below(&r, 40), n = 1 + (int64_t)sqz_rng_below(&r, 9);
        const sqz_dtype da = round % 2 ? SQZ_U8 : SQZ_S8, db = round % 3 ? SQZ_S8 : SQZ_U8;
        const bool rows = round % 4 == 0, columns = round % 4 < 2;
        op_begin(&o);
        const sqz_tensor *x = op_random(&o, da, SHAPE(b, m, k), da == SQZ_U8 ? 0 : -128,
                                        da == SQZ_U8 ? 255 : 127, &r);
        const sqz_tensor *w = op_random(&o, db, SHAPE(k, n), db == SQZ_U8 ? 0 : -128,
                                        db == SQZ_U8 ? 255 : 127, &r);
        const sqz_tensor *zx = rows ? op_random(&o, da, SHAPE(b, m, 1), 0, 127, &r)
                                    : op_random(&o, da, SHAPE(1), 0, 9, &r);
        const sqz_tensor *zw = op_random(&o, db, SHAPE(columns ? n : 1), 0, 127, &r);
        const sqz_tensor *y = op_run_ok(&o, "matmul_integer", "");
        for (int64_t i = 0; i < b * m; i++)
            for (int64_t j = 0; j < n; j++) {
                int64_t sum = 0;
                for (int64_t t = 0; t < k; t++)
                    sum += (sqz_tensor_i64(x, (size_t)(i * k + t)) -
                            sqz_tensor_i64(zx, rows ? (size_t)i : 0)) *
                           (sqz_tensor_i64(w, (size_t)(t * n + j)) -
                            sqz_tensor_i64(zw, columns ? (size_t)j : 0));
                assert_int_equal(SQZ_S32P(y)[i * n + j], sum);
            }
        op_end(&o);
    }
}

/* Channel-last, as operators run: x (N,H,W,I), w (O,Kh,Kw,I/g). */
static void test_convolutions_of_codes_are_exact(void **p)
{
    sqz_rng r = {.seed = 22};
    (void)p;
    for (int round = 0; round < 40; round++) {
        op_run o;
        const int64_t g = 1 + (int64_t)sqz_rng_below(&r, 2),
                      c = g * (1 + (int64_t)sqz_rng_below(&r, 3)),
                      f = g * (1 + (int64_t)sqz_rng_below(&r, 3)),
                      h = 4 + (int64_t)sqz_rng_below(&r, 4), w = 4 + (int64_t)sqz_rng_below(&r, 4),
                      s = 1 + (int64_t)sqz_rng_below(&r, 2), pad = (int64_t)sqz_rng_below(&r, 2),
                      d = 1 + (int64_t)sqz_rng_below(&r, 2);
        const sqz_dtype type = round % 2 ? SQZ_U8 : SQZ_S8;
        char attrs[128];
        op_begin(&o);
        const sqz_tensor *x = op_random(&o, type, SHAPE(2, h, w, c), 0, 127, &r);
        const sqz_tensor *k = op_random(&o, type, SHAPE(f, 2, 2, c / g), 0, 127, &r);
        const sqz_tensor *zx = op_random(&o, type, (sqz_shape){0}, 0, 127, &r);
        const sqz_tensor *zk = op_random(&o, type, SHAPE(f), 0, 127, &r);
        (void)snprintf(attrs, sizeof attrs, "group=%d strides=%d,1 pads=%d,%d,%d,%d dilations=1,%d",
                       (int)g, (int)s, (int)pad, (int)pad, (int)pad, (int)pad, (int)d);
        const sqz_tensor *y = op_run_ok(&o, "conv_integer", attrs);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4], sum = 0;
            coords(&y->shape, i, at);
            for (int64_t t = 0; t < 4 * (c / g); t++) {
                int64_t ky = t / 2 % 2, kx = t % 2, ci = t / 4, group = at[3] / (f / g);
                int64_t iy = at[1] * s - pad + ky, ix = at[2] - pad + kx * d;
                if (iy < 0 || iy >= h || ix < 0 || ix >= w)
                    continue;
                int64_t from[] = {at[0], iy, ix, group * (c / g) + ci}, tap[] = {at[3], ky, kx, ci};
                sum += (sqz_tensor_i64(x, flat(&x->shape, from)) - sqz_tensor_i64(zx, 0)) *
                       (sqz_tensor_i64(k, flat(&k->shape, tap)) -
                        sqz_tensor_i64(zk, (size_t)at[3]));
            }
            assert_int_equal(SQZ_S32P(y)[i], sum);
        }
        op_end(&o);
    }
}

static void test_dynamic_grids_contain_zero(void **p)
{
    static const struct {
        float x[3], scale;
        uint8_t zero, y[3];
    } cases[] = {{{0, 0, 0}, 1, 0, {0, 0, 0}},
                 {{1, 2, 255}, 1, 0, {1, 2, 255}},
                 {{-255, -1, 0}, 1, 255, {0, 254, 255}},
                 {{-1, 0.5f, 4.1f}, 5.1f / 255, 50, {0, 75, 255}}};
    (void)p;
    for (size_t i = 0; i < SQZ_COUNT(cases); i++) {
        op_run o;
        op_begin(&o);
        o.n_out = 3;
        memcpy(op_in(&o, SQZ_F32, SHAPE(3))->data, cases[i].x, sizeof cases[i].x);
        const sqz_tensor *y = op_run_ok(&o, "dynamic_quantize", "");
        assert_memory_equal(y->data, cases[i].y, 3);
        TEST_NEAR((double)SQZ_F32P(&o.out[1])[0], (double)cases[i].scale, 1e-9);
        assert_int_equal(*(uint8_t *)o.out[2].data, cases[i].zero);
        op_end(&o);
    }
}

/* ---- models ---- */

typedef struct state {
    sqz_ctx *ctx;
    model m;
    Onnx__OperatorSetIdProto contrib;
    sqz_graph *g;
} state;

static void begin(state *s, int64_t opset)
{
    memset(s, 0, sizeof *s);
    s->ctx = test_ctx();
    model_begin(&s->m, s->ctx, 10, opset);
    onnx__operator_set_id_proto__init(&s->contrib);
    s->contrib.domain = model_text(&s->m, "com.microsoft");
    s->contrib.has_version = 1;
    s->contrib.version = 1;
    s->m.opsets[1] = &s->contrib;
    s->m.m.n_opset_import = 2;
}
static void end(state *s)
{
    sqz_graph_free(s->g);
    model_end(&s->m);
    sqz_ctx_free(s->ctx);
}
static Onnx__NodeProto *contrib(state *s, const char *op, const char *in, const char *out)
{
    Onnx__NodeProto *n = model_node(&s->m, op, op, in, out);
    n->domain = model_text(&s->m, "com.microsoft");
    return n;
}
static void scalar(state *s, const char *name, float v)
{
    model_floats(&s->m, name, 0, NULL, &v, 1);
}
static void byte(state *s, const char *name, int32_t type, int v)
{
    const int8_t b = (int8_t)v;
    model_init(&s->m, model_raw(&s->m, name, type, 0, NULL, &b, 1));
}

/* Output 0 of the model as the canonical recipe leaves it; inputs are of float32. */
static void run(state *s, const char *recipe, const float *const *x, void *y)
{
    sqz_exec *e;
    void *out[] = {y};
    sqz_graph_free(s->g);
    s->g = NULL;
    TEST_OK(s->ctx, model_import(&s->m, NULL, &s->g));
    if (recipe)
        TEST_OK(s->ctx, sqz_run_recipe(s->g, recipe, NULL));
    TEST_OK(s->ctx, sqz_exec_create(s->g, sqz_val(s->g, s->g->input[0])->shape.dim[0], NULL, &e));
    TEST_OK(s->ctx, sqz_exec_run(e, (const void *const *)x, out));
    sqz_exec_free(e);
}
static void refuses(state *s, sqz_status want, const char *part)
{
    TEST_FAILS(s->ctx, model_import(&s->m, NULL, &s->g), want, part);
    end(s);
}

/* x -> Quantize -> Dequantize with the scale given (k 0) or computed as s1 * s2 of inputs (k 1):
 * the same numbers, whether the grid is known or written out. */
static void test_computed_scales_give_what_constant_ones_give(void **p)
{
    sqz_rng r = {.seed = 31};
    (void)p;
    for (int form = 0; form < 3; form++) { /* one, axis 1, blocks of 2 along axis 1 */
        float x[24], scale[16], one[16], y[2][24];
        const int64_t dims[3][3] = {{1}, {3}, {2, 2, 4}};
        const size_t rank[] = {0, 1, 3}, n[] = {1, 3, 16};
        static const char *const of_scale[] = {"1", "3", "2,2,4"};
        for (int i = 0; i < 24; i++)
            x[i] = (float)(5 * sqz_rng_normal(&r));
        for (int i = 0; i < 16; i++) {
            scale[i] = (float)(0.01 + sqz_rng_uniform(&r));
            one[i] = 1;
        }
        for (int k = 0; k < 2; k++) {
            state s;
            begin(&s, 21);
            model_input(&s.m, "x", "2,3,4");
            if (k)
                model_input(&s.m, "one", of_scale[form]);
            model_floats(&s.m, k ? "s0" : "s", k && !form ? 1 : rank[form], dims[form], scale,
                         n[form]);
            int8_t zero[16];
            for (int i = 0; i < 16; i++)
                zero[i] = (int8_t)(i - 5);
            model_init(&s.m, model_raw(&s.m, "z", 3, k && !form ? 1 : rank[form], dims[form], zero,
                                       n[form]));
            if (k)
                model_node(&s.m, "Mul", NULL, "s0,one", "s");
            Onnx__NodeProto *q = model_node(&s.m, "QuantizeLinear", NULL, "x,s,z", "q");
            Onnx__NodeProto *d = model_node(&s.m, "DequantizeLinear", NULL, "q,s,z", "y");
            model_int(&s.m, q, "axis", 1);
            model_int(&s.m, d, "axis", 1);
            if (form == 2) {
                model_int(&s.m, q, "block_size", 2);
                model_int(&s.m, d, "block_size", 2);
            }
            model_output(&s.m, "y");
            const float *in[] = {x, one};
            run(&s, SQZ_CANONICAL, in, y[k]);
            end(&s);
        }
        for (int i = 0; i < 24; i++)
            assert_true(y[0][i] == y[1][i]);
        assert_true(y[0][0] != x[0]);
    }
}

/* Blocks of 4-bit weights go to a file and come back as they were. */
static void test_blocks_survive_a_file(void **p)
{
    state s;
    void *bytes;
    size_t n;
    sqz_graph *back;
    float scale[] = {0.5f, -0.25f, 1, 2, 3, 4};
    const int64_t dims[] = {5, 2}, blocks[] = {3, 2};
    const uint8_t codes[] = {0x21, 0x43, 0x65, 0x87, 0xf9}, zero[] = {0x21, 0x43, 0x65};
    (void)p;
    begin(&s, 21);
    model_input(&s.m, "x", "1,5");
    model_floats(&s.m, "s", 2, blocks, scale, 6);
    model_init(&s.m, model_raw(&s.m, "z", 21, 2, blocks, zero, 3));
    model_init(&s.m, model_raw(&s.m, "w", 21, 2, dims, codes, 5));
    Onnx__NodeProto *d = model_node(&s.m, "DequantizeLinear", NULL, "w,s,z", "wf");
    model_int(&s.m, d, "axis", 0);
    model_int(&s.m, d, "block_size", 2);
    model_node(&s.m, "MatMul", NULL, "x,wf", "y");
    model_output(&s.m, "y");
    const float x[] = {1, 0, -1, 2, 3}, *in[] = {x};
    float y[2], again[2];
    run(&s, SQZ_CANONICAL, in, y);
    /* column 0: (1-1)*.5 - (5-3)*1 + 2(7-3)*1 + 3(9-5)*3; column 1: codes 2 4 6 8 15, zeros 2 4 6
     */
    TEST_NEAR((double)y[0], 0 - 2 + 8 + 36, 1e-6);
    TEST_NEAR((double)y[1], 0 - 2 * 2 + 2 * 4 * 2 + 3 * 9 * 4.0, 1e-6);
    TEST_OK(s.ctx, sqz_export_onnx(s.g, &bytes, &n));
    TEST_OK(s.ctx, sqz_import_bytes(s.ctx, bytes, n, NULL, &back));
    sqz_free(s.ctx, bytes);
    const sqz_value *w = sqz_val(back, sqz_nod(back, back->first)->in[0]);
    assert_int_equal(w->dtype, SQZ_U4);
    assert_memory_equal(w->constant->data, codes, 5);
    assert_true(w->quant->group == 2 && w->quant->axis == 0 && w->quant->n == 6);
    assert_memory_equal(w->quant->scale, scale, sizeof scale);
    assert_int_equal(w->quant->zero[5], 6);
    sqz_graph_free(s.g);
    s.g = back;
    sqz_exec *e;
    void *out[] = {again};
    TEST_OK(s.ctx, sqz_exec_create(s.g, 1, NULL, &e));
    TEST_OK(s.ctx, sqz_exec_run(e, (const void *const *)in, out));
    sqz_exec_free(e);
    assert_memory_equal(y, again, sizeof y);
    end(&s);
}

/* y = x . w^T, weights of `bits` bits in blocks of 16 along K, 20 of them: the last is not full. */
static void test_packed_weights_are_unpacked_as_the_tool_packs_them(void **p)
{
    static const int64_t widths[] = {2, 4, 8};
    sqz_rng r = {.seed = 41};
    (void)p;
    for (int round = 0; round < 9; round++) {
        const int64_t bits = widths[round % 3], k = 20, n = 3, row = 2 * 16 * bits / 8;
        const int64_t dims[] = {n, 2, 16 * bits / 8}, flat_dims[] = {n, 2};
        const int zeros = round / 3; /* none, packed, float */
        uint8_t b[3 * 32], z[3 * 2];
        float scale[6], x[20], y[3], zf[6];
        const int64_t zrow = (2 * bits + 7) / 8;
        for (size_t i = 0; i < sizeof b; i++)
            b[i] = (uint8_t)sqz_rng_below(&r, 256);
        for (size_t i = 0; i < sizeof z; i++)
            z[i] = (uint8_t)sqz_rng_below(&r, 256);
        for (int i = 0; i < 6; i++) {
            scale[i] = (float)sqz_rng_normal(&r);
            zf[i] = (float)sqz_rng_uniform(&r);
        }
        scale[1] = 0;
        for (int i = 0; i < 20; i++)
            x[i] = (float)sqz_rng_normal(&r);
        state s;
        begin(&s, 21);
        model_input(&s.m, "x", "1,20");
        model_init(&s.m, model_raw(&s.m, "b", 2, 3, dims, b, (size_t)(n * row)));
        model_floats(&s.m, "s", 2, flat_dims, scale, 6);
        const int64_t zdims[] = {n, zrow};
        if (zeros == 1)
            model_init(&s.m, model_raw(&s.m, "z", 2, 2, zdims, z, (size_t)(n * zrow)));
        if (zeros == 2)
            model_floats(&s.m, "z", 2, flat_dims, zf, 6);
        Onnx__NodeProto *node = contrib(&s, "MatMulNBits", zeros ? "x,b,s,z" : "x,b,s", "y");
        model_int(&s.m, node, "K", k);
        model_int(&s.m, node, "N", n);
        model_int(&s.m, node, "bits", bits);
        model_int(&s.m, node, "block_size", 16);
        model_output(&s.m, "y");
        const float *in[] = {x};
        run(&s, SQZ_CANONICAL, in, y);
        for (int64_t o = 0; o < n; o++) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < k; i++) {
                int code = b[o * row + i * bits / 8] >> (i * bits % 8) & ((1 << bits) - 1);
                int64_t block = i / 16;
                double zero = zeros == 0   ? 1 << (bits - 1)
                              : zeros == 2 ? (double)zf[o * 2 + block]
                                           : z[o * zrow + block * bits / 8] >> (block * bits % 8) &
                                                 ((1 << bits) - 1);
                double w = (double)scale[o * 2 + block] * (code - zero);
                sum += (double)x[i] * w;
                size += fabs((double)x[i] * w);
            }
            TEST_NEAR((double)y[o], sum, 1e-5 * size + 1e-9);
        }
        end(&s);
    }
}

/* Mean over both spatial axes of uint8 codes, rounded onto the output's grid. */
static void test_a_mean_of_codes_is_rounded_once(void **p)
{
    sqz_rng r = {.seed = 51};
    state s;
    float x[24], y[2];
    (void)p;
    begin(&s, 13);
    model_input(&s.m, "x", "1,2,3,4");
    scalar(&s, "sx", 0.125f);
    scalar(&s, "sy", 0.0625f);
    byte(&s, "zx", 2, 100);
    byte(&s, "zy", 2, 90);
    model_node(&s.m, "QuantizeLinear", NULL, "x,sx,zx", "q");
    Onnx__NodeProto *n = contrib(&s, "QLinearReduceMean", "q,sx,zx,sy,zy", "m");
    Onnx__AttributeProto *axes = model_attr(&s.m, n, "axes", 7);
    axes->n_ints = 2;
    axes->ints = sqz_arena_alloc(&s.m.arena, 2, sizeof *axes->ints);
    axes->ints[0] = 2;
    axes->ints[1] = 3;
    model_int(&s.m, n, "keepdims", 0);
    model_node(&s.m, "DequantizeLinear", NULL, "m,sy,zy", "y");
    model_output(&s.m, "y");
    for (int i = 0; i < 24; i++)
        x[i] = 0.125f * (float)((int)sqz_rng_below(&r, 60) - 30);
    const float *in[] = {x};
    run(&s, SQZ_CANONICAL, in, y);
    for (int c = 0; c < 2; c++) {
        double sum = 0;
        for (int i = 0; i < 12; i++)
            sum += (double)x[c * 12 + i];
        TEST_NEAR((double)y[c], sum / 12, 0.0625 * 0.51);
    }
    end(&s);
}

/* Asymmetric uint8 weights have no integer kernel: the product is float, and right. */
static void test_weights_with_a_zero_point_are_right(void **p)
{
    state s;
    const int64_t dims[] = {2, 3};
    const uint8_t w[] = {0, 10, 20, 30, 40, 255};
    const float x[] = {1, -0.5f}, *in[] = {x};
    float y[3];
    (void)p;
    begin(&s, 13);
    model_input(&s.m, "x", "1,2");
    scalar(&s, "sx", 0.0078125f);
    scalar(&s, "sw", 0.0625f);
    scalar(&s, "sy", 0.125f);
    byte(&s, "zx", 2, 120);
    byte(&s, "zw", 2, 17);
    byte(&s, "zy", 2, 128);
    model_init(&s.m, model_raw(&s.m, "w", 2, 2, dims, w, 6));
    model_node(&s.m, "QuantizeLinear", NULL, "x,sx,zx", "q");
    model_node(&s.m, "QLinearMatMul", NULL, "q,sx,zx,w,sw,zw,sy,zy", "m");
    model_node(&s.m, "DequantizeLinear", NULL, "m,sy,zy", "y");
    model_output(&s.m, "y");
    run(&s, SQZ_CANONICAL, in, y);
    for (int i = 0; i < 3; i++) {
        double v = (w[i] - 17) * 0.0625 * 1 + (w[3 + i] - 17) * 0.0625 * -0.5;
        TEST_NEAR((double)y[i], v, 0.0626);
    }
    end(&s);
}

/* uint8 codes that are the model's output cannot be shifted: the pool takes them as numbers. */
static void test_a_pool_of_codes_may_be_an_output(void **p)
{
    state s;
    const float x[] = {0.1f, 0.9f, -3, 0.4f}, *in[] = {x};
    uint8_t y[1];
    (void)p;
    for (int canonical = 0; canonical < 2; canonical++) {
        begin(&s, 13);
        model_input(&s.m, "x", "1,1,2,2");
        scalar(&s, "s", 0.1f);
        byte(&s, "z", 2, 10);
        model_node(&s.m, "QuantizeLinear", NULL, "x,s,z", "q");
        Onnx__NodeProto *n = model_node(&s.m, "MaxPool", NULL, "q", "y");
        Onnx__AttributeProto *k = model_attr(&s.m, n, "kernel_shape", 7);
        k->n_ints = 2;
        k->ints = sqz_arena_alloc(&s.m.arena, 2, sizeof *k->ints);
        k->ints[0] = k->ints[1] = 2;
        model_output(&s.m, "y");
        run(&s, canonical ? SQZ_CANONICAL : "layout", in, y);
        assert_int_equal(y[0], 19);
        end(&s);
    }
}

static void test_what_cannot_be_read_is_refused_by_name(void **p)
{
    static const char *const names[] = {"DynamicQuantizeLSTM", "DequantizeBFP", "MatMulBnb4",
                                        "QMoE"};
    const float two[] = {1, 2};
    const int64_t dims[] = {2};
    state s;
    (void)p;
    for (size_t i = 0; i < SQZ_COUNT(names); i++) {
        begin(&s, 21);
        model_input(&s.m, "x", "1,3");
        contrib(&s, names[i], "x", "y");
        model_output(&s.m, "y");
        refuses(&s, SQZ_E_UNSUPPORTED, names[i]);
    }
    begin(&s, 21);
    model_input(&s.m, "x", "1,3");
    scalar(&s, "s", 1);
    model_int(&s.m, model_node(&s.m, "QuantizeLinear", NULL, "x,s", "y"), "output_dtype", 17);
    model_output(&s.m, "y");
    refuses(&s, SQZ_E_UNSUPPORTED, "float8e4m3fn are not supported: export with int8");
    begin(&s, 21);
    model_input(&s.m, "x", "1,3");
    model_floats(&s.m, "s", 1, dims, two, 2);
    model_node(&s.m, "QuantizeLinear", NULL, "x,s", "y");
    model_output(&s.m, "y");
    refuses(&s, SQZ_E_SHAPE, "scales of shape 2 do not fit 1x3");
    begin(&s, 21);
    model_input(&s.m, "x", "1,3");
    scalar(&s, "s", 1);
    model_int(&s.m, model_node(&s.m, "QuantizeLinear", NULL, "x,s", "y"), "block_size", -2);
    model_output(&s.m, "y");
    refuses(&s, SQZ_E_FORMAT, "block_size is -2");
    begin(&s, 21);
    model_input(&s.m, "x", "1,3");
    byte(&s, "b", 2, 0);
    scalar(&s, "s", 1);
    Onnx__NodeProto *n = contrib(&s, "MatMulNBits", "x,b,s", "y");
    model_int(&s.m, n, "K", 3);
    model_int(&s.m, n, "N", INT32_MAX);
    model_int(&s.m, n, "block_size", 32);
    model_output(&s.m, "y");
    refuses(&s, SQZ_E_SHAPE, "do not fit N, K and blocks");
}

/* An LSTM stays float, its weights do not: within half a step of each row, and a quarter as large.
 */
static void test_recurrent_weights_become_int8(void **p)
{
    sqz_rng r = {.seed = 61};
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    const sqz_shape in = {3, {4, 1, 3}}, w = {3, {1, 20, 3}}, rec = {3, {1, 20, 5}};
    sqz_vid v[3], y;
    float was[60];
    (void)p;
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &in, &v[0]));
    for (int k = 1; k < 3; k++) {
        sqz_tensor t;
        TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, k == 1 ? &w : &rec, &t));
        for (size_t i = 0; i < t.count; i++)
            SQZ_F32P(&t)[i] = (float)sqz_rng_normal(&r);
        if (k == 1)
            memcpy(was, t.data, sizeof was);
        TEST_OK(ctx, sqz_graph_constant(g, k == 1 ? "w" : "r", &t, &v[k]));
    }
    TEST_OK(ctx, sqz_graph_node_text(g, "lstm", "cell", "", v, 3, SQZ_NONE, &y));
    TEST_OK(ctx, sqz_graph_set_outputs(g, &y, 1));
    for (int excluded = 1; excluded >= 0; excluded--) {
        g->have = SQZ_HAS_LAYOUT | SQZ_HAS_RANGES;
        TEST_OK(ctx, sqz_run_recipe(g, excluded ? "ptq(exclude=cell)" : "ptq", &(sqz_env){0}));
        const sqz_node *cell = sqz_nod(g, g->last);
        const sqz_value *read = sqz_val(g, cell->in[1]);
        assert_true((read->constant != NULL) == (excluded == 1));
        if (excluded)
            continue;
        const sqz_value *q = sqz_val(g, sqz_nod(g, read->producer)->in[0]);
        assert_string_equal(q->name, "w_1");
        assert_int_equal(q->dtype, SQZ_S8);
        for (size_t i = 0; i < q->constant->count; i++) {
            float s = q->quant->scale[i / 3];
            TEST_NEAR((double)(s * (float)SQZ_S8P(q->constant)[i]), (double)was[i],
                      0.5001 * (double)s);
        }
    }
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* ---- feeding several inputs ---- */

static void save(const char *path, int64_t second)
{
    sqz_ctx *ctx = test_ctx();
    const sqz_shape a = {2, {3, 2}}, b = {1, {second}};
    sqz_array list[2] = {{.name = "a"}, {.name = "b"}};
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &a, &list[0].t));
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_S64, &b, &list[1].t));
    for (int i = 0; i < 6; i++)
        SQZ_F32P(&list[0].t)[i] = (float)i;
    for (int i = 0; i < second; i++)
        SQZ_S64P(&list[1].t)[i] = 100 + i;
    TEST_OK(ctx, sqz_npz_write(ctx, path, list, 2));
    sqz_arrays_free(ctx, list, 2);
    sqz_ctx_free(ctx);
}

/* Input a (batch, 2) and b, one int64 number for each sample. */
static void test_each_input_gets_the_array_of_its_name(void **p)
{
    static const char path[] = "test_quant_ops.npz", *names[] = {"a", "b"};
    sqz_ctx *ctx = test_ctx();
    sqz_arena arena = {.ctx = ctx};
    sqz_dataset *ds;
    sqz_graph *g;
    sqz_feeds f;
    sqz_vid a, b;
    void *in[2];
    float samples[6];
    const sqz_shape sa = {2, {1, 2}}, sb = {0};
    (void)p;
    save(path, 3);
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_graph_input(g, "a", SQZ_F32, &sa, &a));
    TEST_OK(ctx, sqz_graph_input(g, "b", SQZ_S64, &sb, &b));
    TEST_OK(ctx, sqz_data_open_joined(ctx, path, NULL, names, 2, &ds));
    assert_int_equal(ds->n, 3);
    TEST_OK(ctx, sqz_feeds_plan(&arena, ds, g, NULL, &f));
    assert_int_equal(f.elements, 3);
    TEST_OK(ctx, sqz_feeds_memory(&f, 2, in));
    TEST_OK(ctx, sqz_data_read(ds, 1, 2, samples, NULL));
    TEST_OK(ctx, sqz_feeds_apply(&f, 2, samples, in));
    for (int i = 0; i < 4; i++)
        assert_true(((float *)in[0])[i] == (float)(2 + i));
    assert_true(((int64_t *)in[1])[0] == 101 && ((int64_t *)in[1])[1] == 102);
    sqz_feeds_free(&f, in);
    TEST_OK(ctx, sqz_data_checksum(ds));
    sqz_data_close(ds);
    save(path, 2);
    TEST_FAILS(ctx, sqz_data_open_joined(ctx, path, NULL, names, 2, &ds), SQZ_E_SHAPE,
               "array 'b' has 2 samples, array 'a' 3");
    names[1] = "c";
    TEST_FAILS(ctx, sqz_data_open_joined(ctx, path, NULL, names, 2, &ds), SQZ_E_FORMAT,
               "no array 'c'");
    TEST_OK(ctx, sqz_data_open_named(ctx, path, NULL, "a", "", &ds));
    TEST_FAILS(ctx, sqz_feeds_plan(&arena, ds, g, NULL, &f), SQZ_E_ARG, "an array for each");
    sqz_data_close(ds);
    (void)remove(path);
    sqz_graph_free(g);
    sqz_arena_free(&arena);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_element_has_the_scale_of_its_block),
        cmocka_unit_test(test_a_permuted_grid_gives_every_element_its_scale),
        cmocka_unit_test(test_codes_follow_the_formula_for_every_type_and_grid),
        cmocka_unit_test(test_matrix_products_of_codes_are_exact),
        cmocka_unit_test(test_convolutions_of_codes_are_exact),
        cmocka_unit_test(test_dynamic_grids_contain_zero),
        cmocka_unit_test(test_computed_scales_give_what_constant_ones_give),
        cmocka_unit_test(test_blocks_survive_a_file),
        cmocka_unit_test(test_packed_weights_are_unpacked_as_the_tool_packs_them),
        cmocka_unit_test(test_a_mean_of_codes_is_rounded_once),
        cmocka_unit_test(test_weights_with_a_zero_point_are_right),
        cmocka_unit_test(test_a_pool_of_codes_may_be_an_output),
        cmocka_unit_test(test_recurrent_weights_become_int8),
        cmocka_unit_test(test_each_input_gets_the_array_of_its_name),
        cmocka_unit_test(test_what_cannot_be_read_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
