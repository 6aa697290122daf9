/* batch_norm, prelu and conv_transpose against loops in double; import of Conv, ConvTranspose,
 * BatchNormalization and PRelu. */
#include "../linear_case.h"
#include "kernels/multiplier.h"
#include "runtime/sqz_rt.h"

enum { SEED = 31 };

static void test_batch_norm_is_the_formula(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_ctx *ctx = test_ctx();
    for (int32_t rank = 2; rank <= 5; rank++) {
        const int64_t c = 7;
        sqz_shape s = {rank, {3, 2, 2, 2, 2}};
        op_case k;
        s.dim[rank - 1] = c;
        case_begin(&k, ctx, "batch_norm", "epsilon=0.001");
        fill_f32(&r, case_input(&k, SQZ_F32, s), 3);
        for (int i = 1; i < 5; i++)
            fill_f32(&r, case_input(&k, SQZ_F32, (sqz_shape){1, {c}}), 1);
        for (int64_t i = 0; i < c; i++)
            SQZ_F32P(&k.in[4])[i] = fabsf(SQZ_F32P(&k.in[4])[i]);
        TEST_OK(ctx, case_run(&k, SQZ_F32));
        for (size_t i = 0; i < k.out.count; i++) {
            double p[5];
            for (int j = 0; j < 5; j++)
                p[j] = SQZ_F32P(&k.in[j])[j ? i % (size_t)c : i];
            double f = p[1] / sqrt(p[4] + 0.001);
            double want = (p[0] - p[3]) * f + p[2];
            /* x * f + (b - m * f): the rounding of each part is relative to that part */
            double size = fabs(p[0] * f) + fabs(p[3] * f) + fabs(p[2]);
            assert_true(fabs(SQZ_F32P(&k.out)[i] - want) <= 4 * 6e-8 * size);
        }
        case_end(&k);
    }
    sqz_ctx_free(ctx);
}

static void test_prelu_float_and_integer(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1 << 20};
    sqz_ctx *ctx = test_ctx();
    for (int one = 0; one < 2; one++) {
        op_case f, q;
        int32_t mult[5], shift[5];
        sqz_shape slope = {3, {one ? 1 : 5, 1, 1}};
        case_begin(&f, ctx, "prelu", "");
        fill_f32(&r, case_input(&f, SQZ_F32, (sqz_shape){4, {2, 3, 4, 5}}), 2);
        fill_f32(&r, case_input(&f, SQZ_F32, slope), 1);
        TEST_OK(ctx, case_run(&f, SQZ_F32));
        for (size_t i = 0; i < f.out.count; i++) {
            float x = SQZ_F32P(&f.in[0])[i], a = SQZ_F32P(&f.in[1])[one ? 0 : i % 5];
            assert_true(SQZ_F32P(&f.out)[i] == (x < 0 ? x * a : x));
        }
        case_begin(&q, ctx, "prelu", "");
        fill_int(&r, case_input(&q, SQZ_S8, (sqz_shape){4, {2, 3, 4, 5}}), -128, 127);
        case_input(&q, SQZ_F32, slope);
        memcpy(q.in[1].data, f.in[1].data, f.in[1].bytes);
        q.in_q[0] = case_grid(&q, SQZ_S8, -1, 1);
        q.out_q = case_grid(&q, SQZ_S8, -1, 1);
        q.quant[0] = q.out_quant = true;
        scales(&q.in_q[0])[0] = 0.03f;
        scales(&q.out_q)[0] = 0.02f;
        zeros(&q.in_q[0])[0] = -11;
        zeros(&q.out_q)[0] = 5;
        TEST_OK(ctx, case_run(&q, SQZ_S8));
        double unit = (double)0.03f / 0.02f;
        sqz_rt_prelu rt = {
            .n = 24, .c = 5, .in_zero = -11, .out_zero = 5, .mult_neg = mult, .shift_neg = shift};
        sqz_multiplier(unit, &rt.mult_pos, &rt.shift_pos);
        for (int k = 0; k < 5; k++) {
            double a = SQZ_F32P(&q.in[1])[one ? 0 : k];
            sqz_multiplier(unit * fabs(a), &mult[k], &shift[k]);
            mult[k] = a < 0 ? -mult[k] : mult[k];
        }
        int8_t want[120];
        sqz_rt_prelu_s8(&rt, q.in[0].data, want);
        assert_memory_equal(q.out.data, want, sizeof want);
        case_end(&f);
        case_end(&q);
    }
    sqz_ctx_free(ctx);
}

/* Every input spreads over the outputs it reaches: the definition, not our gathering. */
static void scatter(const op_case *c, const int64_t *k, const int64_t *stride, const int64_t *dil,
                    const int64_t *pad, int64_t groups, double *y)
{
    const int64_t *x = c->in[0].shape.dim, *o = c->out.shape.dim;
    int64_t og = o[3] / groups, ig = x[3] / groups;
    for (size_t i = 0; i < c->out.count; i++)
        y[i] = SQZ_F32P(&c->in[2])[i % (size_t)o[3]];
    for (int64_t i = 0; i < (int64_t)c->in[0].count; i++) {
        int64_t ci = i % x[3], ix = i / x[3] % x[2], iy = i / x[3] / x[2] % x[1];
        int64_t n = i / x[3] / x[2] / x[1];
        for (int64_t ky = 0; ky < k[0]; ky++)
            for (int64_t kx = 0; kx < k[1]; kx++) {
                int64_t oy = iy * stride[0] + ky * dil[0] - pad[0];
                int64_t ox = ix * stride[1] + kx * dil[1] - pad[1];
                if (oy < 0 || ox < 0 || oy >= o[1] || ox >= o[2])
                    continue;
                for (int64_t j = 0; j < og; j++)
                    y[((n * o[1] + oy) * o[2] + ox) * o[3] + ci / ig * og + j] +=
                        (double)SQZ_F32P(&c->in[0])[i] *
                        SQZ_F32P(&c->in[1])[((ci * k[0] + ky) * k[1] + kx) * og + j];
            }
    }
}

static void test_conv_transpose_spreads_every_input(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2 << 20};
    sqz_ctx *ctx = test_ctx();
    for (int round = 0; round < 150; round++) {
        int64_t k[2], stride[2], dil[2], pad[4], extra[2], in[2];
        int64_t groups = 1 + (int64_t)sqz_rng_below(&r, 2),
                ic = groups * (1 + (int64_t)sqz_rng_below(&r, 4)),
                og = 1 + (int64_t)sqz_rng_below(&r, 4);
        for (int a = 0; a < 2; a++) {
            k[a] = 1 + (int64_t)sqz_rng_below(&r, 4);
            stride[a] = 1 + (int64_t)sqz_rng_below(&r, 3);
            dil[a] = 1 + (int64_t)sqz_rng_below(&r, 2);
            in[a] = 1 + (int64_t)sqz_rng_below(&r, 5);
            extra[a] = (int64_t)sqz_rng_below(&r, (uint64_t)stride[a]);
            int64_t full = stride[a] * (in[a] - 1) + dil[a] * (k[a] - 1) + 1 + extra[a];
            pad[a] = (int64_t)sqz_rng_below(&r, (uint64_t)SQZ_MIN(full, 3));
            pad[2 + a] = (int64_t)sqz_rng_below(&r, (uint64_t)SQZ_MIN(full - pad[a], 3));
        }
        char attrs[200];
        (void)snprintf(attrs, sizeof attrs,
                       "strides=%d,%d dilations=%d,%d pads=%d,%d,%d,%d output_padding=%d,%d "
                       "group=%d",
                       (int)stride[0], (int)stride[1], (int)dil[0], (int)dil[1], (int)pad[0],
                       (int)pad[1], (int)pad[2], (int)pad[3], (int)extra[0], (int)extra[1],
                       (int)groups);
        op_case c;
        case_begin(&c, ctx, "conv_transpose", attrs);
        fill_f32(&r, case_input(&c, SQZ_F32, (sqz_shape){4, {2, in[0], in[1], ic}}), 1);
        fill_f32(&r, case_input(&c, SQZ_F32, (sqz_shape){4, {ic, k[0], k[1], og}}), 1);
        fill_f32(&r, case_input(&c, SQZ_F32, (sqz_shape){1, {og * groups}}), 1);
        TEST_OK(ctx, case_run(&c, SQZ_F32));
        double *want = malloc(c.out.count * sizeof *want);
        scatter(&c, k, stride, dil, pad, groups, want);
        for (size_t i = 0; i < c.out.count; i++)
            if (fabs(SQZ_F32P(&c.out)[i] - want[i]) > 1e-5) /* sums of at most 65 terms below 1 */
                fail_msg("%s: element %zu: %g, expected %g", attrs, i, (double)SQZ_F32P(&c.out)[i],
                         want[i]);
        free(want);
        case_end(&c);
    }
    sqz_ctx_free(ctx);
}

/* ---- import ---- */

typedef struct file_node {
    const char *op_type, *second_output;
    sqz_shape in[5];
    unsigned n_in;
    sqz_raw_attr attr[8];
    unsigned n_attr;
} file_node;

/* Imports one node whose inputs 1.. are constants; the graph's last node is what came of it. */
static sqz_status import_one(sqz_ctx *ctx, const file_node *f, sqz_graph **out)
{
    bool known;
    const sqz_op *op = sqz_op_of_onnx(f->op_type, 13, &known);
    sqz_vid in[5], made[2];
    const char *name[2] = {"y", f->second_output};
    assert_non_null(op);
    TEST_OK(ctx, sqz_graph_create(ctx, out));
    for (unsigned i = 0; i < f->n_in; i++) {
        sqz_tensor t;
        if (i == 0) {
            TEST_OK(ctx, sqz_graph_input(*out, NULL, SQZ_F32, &f->in[i], &in[i]));
            continue;
        }
        TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &f->in[i], &t));
        TEST_OK(ctx, sqz_graph_constant(*out, NULL, &t, &in[i]));
    }
    sqz_import im = {.g = *out,
                     .op_type = f->op_type,
                     .name = "n",
                     .opset = 13,
                     .attr = f->attr,
                     .n_attr = f->n_attr,
                     .in = in,
                     .n_in = f->n_in,
                     .out_name = name,
                     .n_out = f->second_output ? 2 : 1,
                     .out = made};
    return op->onnx.import(&im, op);
}

static const int64_t two[] = {2, 2}, three[] = {3, 3}, ten[] = {10, 9}, nothing[] = {0, 9};
#define INTS(name_, v_)                                                                            \
    {                                                                                              \
        .name = name_, .type = 7, .ints = { SQZ_COUNT(v_), v_ }                                    \
    }
#define TEXT(name_, v_)                                                                            \
    {                                                                                              \
        .name = name_, .type = 3, .s = v_                                                          \
    }
#define NUMBER(name_, v_)                                                                          \
    {                                                                                              \
        .name = name_, .type = 2, .i = v_                                                          \
    }

static void test_import_resolves_padding_and_depthwise(void **state)
{
    (void)state;
    static const struct {
        file_node f;
        const char *op, *attrs; /* of the node that is made */
        sqz_shape y;
    } row[] = {
        {{"Conv",
          NULL,
          {{4, {1, 3, 5, 6}}, {4, {8, 3, 3, 3}}},
          2,
          {TEXT("auto_pad", "SAME_UPPER")},
          1},
         "conv2d",
         "pads=1,1,1,1",
         {4, {1, 8, 5, 6}}},
        {{"Conv",
          NULL,
          {{4, {1, 3, 6, 6}}, {4, {8, 3, 3, 3}}},
          2,
          {TEXT("auto_pad", "SAME_UPPER"), INTS("strides", two)},
          2},
         "conv2d",
         "pads=0,0,1,1",
         {4, {1, 8, 3, 3}}},
        {{"Conv",
          NULL,
          {{4, {1, 3, 6, 6}}, {4, {8, 3, 3, 3}}},
          2,
          {TEXT("auto_pad", "SAME_LOWER"), INTS("strides", two)},
          2},
         "conv2d",
         "pads=1,1,0,0",
         {4, {1, 8, 3, 3}}},
        {{"Conv", NULL, {{4, {1, 3, 6, 6}}, {4, {8, 3, 3, 3}}}, 2, {TEXT("auto_pad", "VALID")}, 1},
         "conv2d",
         "pads=0,0,0,0",
         {4, {1, 8, 4, 4}}},
        {{"Conv", NULL, {{4, {1, 4, 6, 6}}, {4, {8, 1, 3, 3}}}, 2, {NUMBER("group", 4)}, 1},
         "dwconv2d",
         NULL,
         {4, {1, 8, 4, 4}}},
        {{"Conv", NULL, {{4, {1, 1, 6, 6}}, {4, {8, 1, 3, 3}}}, 2, {NUMBER("group", 1)}, 1},
         "conv2d", /* one channel is not a depthwise convolution */
         NULL,
         {4, {1, 8, 4, 4}}},
        {{"Conv", NULL, {{3, {1, 4, 6}}, {3, {8, 4, 3}}, {1, {8}}}, 3, {{0}}, 0},
         "conv2d",
         NULL,
         {3, {1, 8, 4}}},
        {{"ConvTranspose",
          NULL,
          {{4, {1, 2, 5, 4}}, {4, {2, 3, 3, 3}}},
          2,
          {TEXT("auto_pad", "SAME_UPPER"), INTS("strides", two)},
          2},
         "conv_transpose",
         "pads=0,0,1,1",
         {4, {1, 3, 10, 8}}},
        {{"ConvTranspose",
          NULL,
          {{4, {1, 2, 5, 4}}, {4, {2, 3, 3, 3}}},
          2,
          {INTS("output_shape", ten), INTS("strides", two)},
          2},
         "conv_transpose",
         "pads=1,0,0,0",
         {4, {1, 3, 10, 9}}},
    };
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        sqz_ctx *ctx = test_ctx();
        sqz_graph *g = NULL;
        TEST_OK(ctx, import_one(ctx, &row[i].f, &g));
        const sqz_node *n = sqz_nod(g, g->last);
        sqz_str text = {.ctx = ctx};
        assert_string_equal(n->op->info.name, row[i].op);
        assert_true(sqz_shape_eq(&sqz_val(g, n->out[0])->shape, &row[i].y));
        sqz_opts_print(&text, &n->op->info, n->attrs);
        if (row[i].attrs && !strstr(text.data, row[i].attrs))
            fail_msg("row %zu: '%s' lacks '%s'", i, text.data, row[i].attrs);
        sqz_str_free(&text);
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
}

static void test_import_refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        file_node f;
        const char *part;
    } row[] = {
        {{"Conv", NULL, {{6, {1, 3, 5, 6, 7, 8}}, {6, {8, 3, 3, 3, 3, 3}}}, 2, {{0}}, 0}, "rank 6"},
        {{"Conv", NULL, {{4, {1, 3, 5, 6}}, {4, {8, 3, 3, 3}}}, 2, {INTS("kernel_shape", two)}, 1},
         "kernel_shape does not agree"},
        {{"Conv", NULL, {{4, {1, 3, 5, 6}}, {4, {8, 3, 3, 3}}}, 2, {TEXT("auto_pad", "same")}, 1},
         "auto_pad is 'same'"},
        {{"Conv", NULL, {{4, {1, 3, 5, 6}}, {4, {8, 3, 3, 3}}}, 2, {INTS("pads", three)}, 1},
         "pads has 2 entries"},
        {{"Conv", NULL, {{4, {1, 3, 5, 6}}}, 1, {{0}}, 0}, "weights are missing"},
        {{"ConvTranspose",
          NULL,
          {{4, {1, 2, 5, 4}}, {4, {2, 3, 3, 3}}},
          2,
          {INTS("output_shape", nothing)},
          1},
         "an output of 0 along spatial axis 0"},
        {{"BatchNormalization",
          "mean_out",
          {{2, {1, 3}}, {1, {3}}, {1, {3}}, {1, {3}}, {1, {3}}},
          5,
          {{0}},
          0},
         "training only"},
        {{"Gemm", NULL, {{2, {3, 4}}}, 1, {{0}}, 0}, "operand is missing"},
        {{"Gemm", NULL, {{3, {1, 3, 4}}, {2, {4, 3}}}, 2, {{0}}, 0}, "must be matrices"},
    };
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        sqz_ctx *ctx = test_ctx();
        sqz_graph *g = NULL;
        sqz_status s = import_one(ctx, &row[i].f, &g);
        if (s == SQZ_OK || s == SQZ_E_INTERNAL || !strstr(sqz_last_error(ctx), row[i].part))
            fail_msg("row %zu: status %d, '%s' lacks '%s'", i, (int)s, sqz_last_error(ctx),
                     row[i].part);
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_norm_is_the_formula),
        cmocka_unit_test(test_prelu_float_and_integer),
        cmocka_unit_test(test_conv_transpose_spreads_every_input),
        cmocka_unit_test(test_import_resolves_padding_and_depthwise),
        cmocka_unit_test(test_import_refuses_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
