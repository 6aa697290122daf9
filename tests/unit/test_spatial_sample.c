/* test_spatial_sample.c: operators that read between pixels, put blocks back, select boxes, and
 * transform: against their definitions in double; what they refuse. */
#include "ops_test.h"

static int64_t pick(sqz_rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo + 1));
}
static double item(const sqz_tensor *t, const int64_t *at)
{
    return (double)SQZ_F32P(t)[flat(&t->shape, at)];
}

/* ---- resize: every axis by a kernel, from the formulas of ONNX ---- */

static double hat(double t) { return fmax(0, 1 - fabs(t)); }
static double keys(double t, double a)
{
    t = fabs(t);
    return t <= 1  ? (a + 2) * t * t * t - (a + 3) * t * t + 1
           : t < 2 ? a * t * t * t - 5 * a * t * t + 8 * a * t - 4 * a
                   : 0;
}

typedef struct resize_case {
    int n;
    int64_t in[3], out[3];
    double scale[3];
    bool cubic, antialias, exclude;
    double a;
} resize_case;

/* Weight of input k in output o of axis i, half pixels. */
static double weight_of(const resize_case *c, int i, int64_t o, int64_t k)
{
    const double x = ((double)o + 0.5) / c->scale[i] - 0.5;
    const double s = c->antialias ? fmin(c->scale[i], 1) : 1;
    double all = 0, mine = 0;
    for (int64_t j = -60; j < c->in[i] + 60; j++) { /* the edge goes on for ever */
        const bool outside = j < 0 || j >= c->in[i];
        const double t = ((double)j - x) * s;
        const double w = outside && c->exclude ? 0 : c->cubic ? keys(t, c->a) : hat(t);
        const int64_t stands_for = j < 0 ? 0 : j >= c->in[i] ? c->in[i] - 1 : j;
        all += w;
        mine += stands_for == k ? w : 0;
    }
    return mine / all;
}

static void test_resize_weights_its_neighbors(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 91};
    for (int round = 0; round < 40; round++) {
        static const double scales[] = {1, 0.5, 0.75, 1.5, 2, 3, 0.3125};
        resize_case c = {.n = (int)pick(&rng, 1, 3), .a = -0.5};
        char attrs[200] = "scales=";
        sqz_shape in = {.rank = c.n}, out = {.rank = c.n};
        c.cubic = sqz_rng_below(&rng, 2);
        c.antialias = sqz_rng_below(&rng, 2);
        c.exclude = sqz_rng_below(&rng, 2);
        for (int i = 0; i < c.n; i++) {
            in.dim[i] = c.in[i] = pick(&rng, 4, 9);
            c.scale[i] = scales[pick(&rng, 0, 6)]; /* exact in float32 */
            out.dim[i] = c.out[i] = (int64_t)((double)c.in[i] * c.scale[i]);
            (void)snprintf(attrs + strlen(attrs), 20, i ? ",%g" : "%g", c.scale[i]);
        }
        (void)snprintf(attrs + strlen(attrs), 120,
                       " mode=%s antialias=%d exclude_outside=%d cubic_coeff_a=-0.5",
                       c.cubic ? "cubic" : "linear", c.antialias, c.exclude);
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, SQZ_F32, in, -1, 1, &rng);
        const sqz_tensor *y = op_run_ok(&r, "resize", attrs);
        assert_shape(y, out);
        for (size_t i = 0; i < y->count; i++) {
            int64_t o[3], k[3];
            double want = 0;
            coords(&y->shape, i, o);
            for (size_t j = 0; j < x->count; j++) {
                double w = 1;
                coords(&x->shape, j, k);
                for (int a = 0; a < c.n && w != 0; a++)
                    w *= weight_of(&c, a, o[a], k[a]);
                want += w * (double)SQZ_F32P(x)[j];
            }
            /* float32 coordinates below 16: weights within 1e-6, three axes, slopes below 2 */
            if (!(fabs((double)SQZ_F32P(y)[i] - want) < 2e-5))
                fail_msg("%s: %g, expected %g", attrs, (double)SQZ_F32P(y)[i], want);
        }
        op_end(&r);
    }
}

static void test_cropping_reads_a_part_and_fills_the_rest(void **state)
{
    (void)state;
    for (int nearest = 0; nearest < 2; nearest++) {
        op_run r;
        op_begin(&r);
        sqz_tensor *x = op_in(&r, SQZ_F32, SHAPE(1, 5));
        for (int i = 0; i < 5; i++)
            SQZ_F32P(x)[i] = (float)(10 * i);
        const sqz_tensor *y = op_run_ok(&r, nearest ? "resize_nearest" : "resize",
                                        "sizes=0,4 roi=0,0.25,1,1.25 extrapolation_value=-7 "
                                        "coordinate_transformation_mode=tf_crop_and_resize");
        /* from 1 to 5 in 4 steps: 1, 2.333, 3.667, 5 */
        const float want[2][4] = {{10, 70.0f / 3, 110.0f / 3, -7}, {10, 20, 40, -7}};
        for (int i = 0; i < 4; i++)
            assert_true(fabs((double)(SQZ_F32P(y)[i] - want[nearest][i])) < 1e-5);
        op_end(&r);
    }
}

/* ---- grid_sample and deform_conv ---- */

/* x (n, c) at (y, x) in pixels; outside is zero. */
static double between(const sqz_tensor *x, int64_t n, int64_t c, double y, double z)
{
    double sum = 0;
    for (int64_t i = 0; i < x->shape.dim[2]; i++)
        for (int64_t k = 0; k < x->shape.dim[3]; k++)
            sum += hat(y - (double)i) * hat(z - (double)k) * item(x, (int64_t[]){n, c, i, k});
    return sum;
}

static void test_grid_sample_reads_between_pixels(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 92};
    for (int round = 0; round < 40; round++) {
        const bool corners = round % 2;
        const int64_t h = pick(&rng, 1, 6), w = pick(&rng, 1, 6);
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(2, 3, h, w), -1, 1, &rng);
        const sqz_tensor *g = op_random(&r, SQZ_F32, SHAPE(2, 4, 3, 2), -1.6, 1.6, &rng);
        const sqz_tensor *y = op_run_ok(&r, "grid_sample", corners ? "align_corners=1" : "");
        assert_shape(y, SHAPE(2, 3, 4, 3));
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4];
            coords(&y->shape, i, at);
            const double u = item(g, (int64_t[]){at[0], at[2], at[3], 0}),
                         v = item(g, (int64_t[]){at[0], at[2], at[3], 1});
            const double py = corners ? (v + 1) / 2 * (double)(h - 1)
                                      : ((v + 1) * (double)h - 1) / 2;
            const double px = corners ? (u + 1) / 2 * (double)(w - 1)
                                      : ((u + 1) * (double)w - 1) / 2;
            assert_true(fabs((double)SQZ_F32P(y)[i] - between(x, at[0], at[1], py, px)) < 1e-5);
        }
        op_end(&r);
    }
}

/* One row of 5 pixels 0, 1, 2, 3, 4 at places in pixels. */
static void reads(const char *attrs, size_t n, const float *place, const float *want)
{
    op_run r;
    op_begin(&r);
    sqz_tensor *x = op_in(&r, SQZ_F32, SHAPE(1, 1, 5));
    sqz_tensor *g = op_in(&r, SQZ_F32, SHAPE(1, (int64_t)n, 1));
    for (int i = 0; i < 5; i++)
        SQZ_F32P(x)[i] = (float)i;
    for (size_t i = 0; i < n; i++)
        SQZ_F32P(g)[i] = (2 * place[i] + 1) / 5 - 1;
    const sqz_tensor *y = op_run_ok(&r, "grid_sample", attrs);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)(SQZ_F32P(y)[i] - want[i])) < 1e-4))
            fail_msg("%s at %g: %g, expected %g", attrs, (double)place[i], (double)SQZ_F32P(y)[i],
                     (double)want[i]);
    op_end(&r);
}

static void test_padding_decides_what_lies_outside(void **state)
{
    (void)state;
    const float place[] = {-0.25f, -1, 4.25f, 6, 2.5f, 1e9f, -1e9f};
    reads("", 5, place, (float[]){0, 0, 3, 0, 2.5f});
    reads("padding_mode=border", 7, place, (float[]){0, 0, 4, 4, 2.5f, 4, 0});
    /* about -0.5 and 4.5: -1 is 0, 6 is 3 */
    reads("padding_mode=reflection", 5, place, (float[]){0, 0, 4, 3, 2.5f});
    reads("mode=nearest padding_mode=border", 7, place, (float[]){0, 0, 4, 4, 2, 4, 0});
    const float odd[] = {NAN, INFINITY, -INFINITY};
    reads("padding_mode=zeros", 3, odd, (float[]){0, 0, 0});
    reads("padding_mode=reflection", 1, odd, (float[]){0}); /* somewhere inside */
}

static void test_deform_conv_moves_its_taps(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 93};
    for (int round = 0; round < 30; round++) {
        const int64_t g = pick(&rng, 1, 2), og = pick(&rng, 1, 2), kh = pick(&rng, 1, 3),
                      kw = pick(&rng, 1, 3), st = pick(&rng, 1, 2), dil = pick(&rng, 1, 2),
                      pad = pick(&rng, 0, 1), h = 7, w = 8, c = 4, o = 2 * g;
        const int64_t oh = (h + 2 * pad - dil * (kh - 1) - 1) / st + 1,
                      ow = (w + 2 * pad - dil * (kw - 1) - 1) / st + 1;
        char attrs[160];
        op_run r;
        op_begin(&r);
        (void)snprintf(attrs, sizeof attrs,
                       "group=%d offset_group=%d strides=%d,%d dilations=%d,%d pads=%d,%d,%d,%d",
                       (int)g, (int)og, (int)st, (int)st, (int)dil, (int)dil, (int)pad, (int)pad,
                       (int)pad, (int)pad);
        const sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(2, c, h, w), -1, 1, &rng);
        const sqz_tensor *k = op_random(&r, SQZ_F32, SHAPE(o, c / g, kh, kw), -1, 1, &rng);
        const sqz_tensor *d = op_random(&r, SQZ_F32, SHAPE(2, 2 * og * kh * kw, oh, ow), -2, 2,
                                        &rng);
        const sqz_tensor *b = op_random(&r, SQZ_F32, SHAPE(o), -1, 1, &rng);
        const sqz_tensor *y = op_run_ok(&r, "deform_conv", attrs);
        assert_shape(y, SHAPE(2, o, oh, ow));
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4];
            coords(&y->shape, i, at);
            double want = (double)SQZ_F32P(b)[at[1]];
            for (int64_t ch = 0; ch < c / g; ch++)
                for (int64_t t = 0; t < kh * kw; t++) {
                    const int64_t in = at[1] / (o / g) * (c / g) + ch,
                                  m = in / (c / og) * kh * kw + t;
                    const double dy = item(d, (int64_t[]){at[0], 2 * m, at[2], at[3]}),
                                 dx = item(d, (int64_t[]){at[0], 2 * m + 1, at[2], at[3]});
                    want += item(k, (int64_t[]){at[1], ch, t / kw, t % kw}) *
                            between(x, at[0], in, (double)(at[2] * st - pad + t / kw * dil) + dy,
                                    (double)(at[3] * st - pad + t % kw * dil) + dx);
                }
            assert_true(fabs((double)SQZ_F32P(y)[i] - want) < 1e-4); /* 36 products, 1e-6 each */
        }
        op_end(&r);
    }
}

/* ---- roi_align ---- */

/* On a plane x(y, z) = 2 y + 3 z, interpolation is exact: the average of a cell inside the image is
 * the plane at the middle of the cell. */
static void test_roi_align_of_a_plane_is_its_middle(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    sqz_tensor *x = op_in(&r, SQZ_F32, SHAPE(2, 1, 10, 12));
    for (size_t i = 0; i < x->count; i++)
        SQZ_F32P(x)[i] = (float)(2 * (i / 12 % 10) + 3 * (i % 12)) + (i < 120 ? 0.0f : 100.0f);
    sqz_tensor *box = op_in(&r, SQZ_F32, SHAPE(2, 4));
    memcpy(box->data, (float[]){2, 2, 14, 10, 4.5f, 3, 20, 17}, 8 * sizeof(float));
    SQZ_S64P(op_in(&r, SQZ_S64, SHAPE(2)))[1] = 1;
    const sqz_tensor *y = op_run_ok(&r, "roi_align",
                                    "output_height=2 output_width=3 spatial_scale=0.5");
    assert_shape(y, SHAPE(2, 1, 2, 3));
    for (size_t i = 0; i < y->count; i++) {
        const float *b = SQZ_F32P(box) + i / 6 * 4;
        const double cy = (double)(i / 3 % 2) + 0.5, cx = (double)(i % 3) + 0.5;
        const double py = (double)b[1] / 2 - 0.5 + cy * (double)(b[3] - b[1]) / 4,
                     px = (double)b[0] / 2 - 0.5 + cx * (double)(b[2] - b[0]) / 6;
        const double want = 2 * py + 3 * px + (i < 6 ? 0 : 100);
        assert_true(fabs((double)SQZ_F32P(y)[i] - want) < 1e-4);
    }
    op_end(&r);
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(2, 1, 3, 3));
    op_in(&r, SQZ_F32, SHAPE(1, 4));
    SQZ_S64P(op_in(&r, SQZ_S64, SHAPE(1)))[0] = 2;
    TEST_FAILS(r.ctx, op_try(&r, "roi_align", ""), SQZ_E_ARG, "is of sample 2, there are 2");
    op_end(&r);
}

/* Regions that no image has, infinite and not a number: an answer, no crash, no endless loop. */
static void test_roi_align_survives_any_region(void **state)
{
    (void)state;
    const float odd[] = {NAN, 0, INFINITY, 3e38f, -3e38f, -INFINITY, 1e9f, -1};
    for (size_t i = 0; i < SQZ_COUNT(odd); i++) {
        op_run r;
        op_begin(&r);
        op_in(&r, SQZ_F32, SHAPE(1, 1, 3, 3));
        sqz_tensor *b = op_in(&r, SQZ_F32, SHAPE(1, 4));
        for (size_t k = 0; k < 4; k++)
            SQZ_F32P(b)[k] = odd[(i + k * 3) % SQZ_COUNT(odd)];
        op_in(&r, SQZ_S64, SHAPE(1));
        op_run_ok(&r, "roi_align", i % 2 ? "sampling_ratio=2" : "");
        op_end(&r);
    }
}

/* Whole pixels, both ends included; cells share the pixel between them. */
static void test_max_roi_pool_takes_whole_pixels(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    sqz_tensor *x = op_in(&r, SQZ_F32, SHAPE(2, 1, 5, 5));
    for (size_t i = 0; i < x->count; i++)
        SQZ_F32P(x)[i] = (float)i - 100;
    memcpy(op_in(&r, SQZ_F32, SHAPE(2, 5))->data, (float[]){1, 2.2f, 0, 6, 4, 0, 20, 20, 30, 30},
           10 * sizeof(float));
    /* columns 1 .. 3 in two cells of 1.5, rows 0 .. 2; the other region lies beside the image */
    const sqz_tensor *y = op_run_ok(&r, "max_roi_pool", "pooled_shape=2,2 spatial_scale=0.5");
    const float want[] = {-68, -67, -63, -62, 0, 0, 0, 0};
    for (int i = 0; i < 8; i++)
        assert_true(SQZ_F32P(y)[i] == want[i]);
    op_end(&r);
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(1, 1, 2, 2));
    SQZ_F32P(op_in(&r, SQZ_F32, SHAPE(1, 5)))[0] = NAN;
    TEST_FAILS(r.ctx, op_try(&r, "max_roi_pool", "pooled_shape=1,1"), SQZ_E_ARG, "of sample nan");
    op_end(&r);
}

/* ---- col2im ---- */

/* <col2im(u), v> = <u, im2col(v)>: col2im is the transpose of reading blocks. */
static void test_col2im_is_the_transpose_of_reading_blocks(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 94};
    for (int round = 0; round < 30; round++) {
        const int64_t h = pick(&rng, 3, 7), w = pick(&rng, 3, 7), kh = pick(&rng, 1, 3),
                      kw = pick(&rng, 1, 3), st = pick(&rng, 1, 2), pt = pick(&rng, 0, 1),
                      pl = pick(&rng, 0, 1);
        const int64_t nh = (h + pt - kh) / st + 1, nw = (w + pl - kw) / st + 1;
        char attrs[160];
        op_run r;
        op_begin(&r);
        (void)snprintf(attrs, sizeof attrs,
                       "image_shape=%d,%d block_shape=%d,%d strides=%d,%d pads=%d,%d,0,0", (int)h,
                       (int)w, (int)kh, (int)kw, (int)st, (int)st, (int)pt, (int)pl);
        const sqz_tensor *u = op_random(&r, SQZ_F32, SHAPE(1, 2 * kh * kw, nh * nw), -1, 1, &rng);
        const sqz_tensor *y = op_run_ok(&r, "col2im", attrs);
        assert_shape(y, SHAPE(1, 2, h, w));
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4];
            double want = 0;
            coords(&y->shape, i, at);
            for (int64_t b = 0; b < kh * kw; b++)
                for (int64_t l = 0; l < nh * nw; l++)
                    if (l / nw * st - pt + b / kw == at[2] && l % nw * st - pl + b % kw == at[3])
                        want += item(u, (int64_t[]){0, at[1] * kh * kw + b, l});
            assert_true(fabs((double)SQZ_F32P(y)[i] - want) < 1e-5);
        }
        op_end(&r);
    }
    op_refuses("col2im", "image_shape=4,4 block_shape=2,2", SHAPE(1, 4, 8), SQZ_F32, SQZ_E_SHAPE,
               "expected (N, C * 4, 9)");
    op_refuses("col2im", "image_shape=4,4 block_shape=2", SHAPE(1, 4, 8), SQZ_F32, SQZ_E_SHAPE,
               "a block of 1");
}

/* ---- non_max_suppression ---- */

static double share(const float *a, const float *b) /* intersection over union, y1 x1 y2 x2 */
{
    const double h = fmin((double)a[2], (double)b[2]) - fmax((double)a[0], (double)b[0]);
    const double w = fmin((double)a[3], (double)b[3]) - fmax((double)a[1], (double)b[1]);
    const double area_a = (double)(a[2] - a[0]) * (double)(a[3] - a[1]);
    const double area_b = (double)(b[2] - b[0]) * (double)(b[3] - b[1]);
    return h <= 0 || w <= 0 ? 0 : h * w / (area_a + area_b - h * w);
}

/* Kept boxes come best first and do not overlap; what is left out overlaps a better kept one, or
 * the class was full. */
static void test_boxes_are_kept_for_a_reason(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 95};
    for (int round = 0; round < 40; round++) {
        enum { M = 12 };
        const int64_t most = pick(&rng, 0, 6);
        sqz_ctx *ctx = test_ctx();
        sqz_graph *g;
        sqz_tensor b, s;
        sqz_vid in[2], out;
        char attrs[120];
        const sqz_shape sb = SHAPE(1, M, 4), ss = SHAPE(1, 1, M);
        TEST_OK(ctx, sqz_graph_create(ctx, &g));
        TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &sb, &b));
        TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &ss, &s));
        float box[M][4], score[M];
        for (int i = 0; i < M; i++) {
            for (int k = 0; k < 2; k++) {
                box[i][k] = (float)sqz_rng_uniform(&rng);
                box[i][k + 2] = box[i][k] + 0.1f + (float)sqz_rng_uniform(&rng);
            }
            score[i] = (float)sqz_rng_uniform(&rng);
        }
        memcpy(b.data, box, sizeof box);
        memcpy(s.data, score, sizeof score);
        TEST_OK(ctx, sqz_graph_constant(g, NULL, &b, &in[0]));
        TEST_OK(ctx, sqz_graph_constant(g, NULL, &s, &in[1]));
        (void)snprintf(attrs, sizeof attrs,
                       "max_output_boxes_per_class=%d iou_threshold=0.25 score_threshold=0.2 "
                       "scored=1",
                       (int)most);
        TEST_OK(ctx,
                sqz_graph_node_text(g, "non_max_suppression", "n", attrs, in, 2, SQZ_NONE, &out));
        TEST_OK(ctx, sqz_fold_value(g, out));
        const sqz_tensor *y = sqz_val(g, out)->constant;
        const int64_t n = y->shape.dim[0];
        bool kept[M] = {false};
        assert_true(n <= most);
        for (int64_t i = 0; i < n; i++) {
            const int64_t me = SQZ_S64P(y)[3 * i + 2];
            kept[me] = true;
            assert_true(score[me] > 0.2f);
            for (int64_t k = 0; k < i; k++) {
                const int64_t other = SQZ_S64P(y)[3 * k + 2];
                assert_true(score[other] >= score[me]);
                assert_true(share(box[me], box[other]) <= 0.25 + 1e-6);
            }
        }
        for (int i = 0; i < M; i++) {
            bool reason = kept[i] || score[i] <= 0.2f || n == most;
            for (int k = 0; k < M; k++)
                reason = reason ||
                         (kept[k] && score[k] >= score[i] && share(box[i], box[k]) > 0.25 - 1e-6);
            assert_true(reason);
        }
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
    op_run r;
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(1, 2, 4));
    op_in(&r, SQZ_F32, SHAPE(1, 1, 2));
    TEST_FAILS(r.ctx, op_try(&r, "non_max_suppression", ""), SQZ_E_UNSUPPORTED,
               "its output size depends on data");
    op_end(&r);
}

/* ---- dft ---- */

static void test_dft_is_the_sum_of_turns(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 96};
    for (int64_t round = 1; round < 60; round++) {
        /* small ones, and some with large prime factors */
        const int64_t n = round < 50 ? round : 67 * (round - 49) + (round % 2 ? 0 : 4);
        const bool inverse = n % 2, half = n % 3 == 0 && !inverse;
        char attrs[120];
        op_run r;
        op_begin(&r);
        const int64_t have = pick(&rng, 1, 50);
        (void)snprintf(attrs, sizeof attrs, "axis=1 dft_length=%d inverse=%d onesided=%d", (int)n,
                       inverse, half);
        const sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(2, have, 2, 2), -1, 1, &rng);
        const sqz_tensor *y = op_run_ok(&r, "dft", attrs);
        assert_shape(y, SHAPE(2, half ? n / 2 + 1 : n, 2, 2));
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4];
            double re = 0, im = 0;
            coords(&y->shape, i, at);
            for (int64_t j = 0; j < SQZ_MIN(n, have); j++) {
                const double turn = (inverse ? 2 : -2) * 3.14159265358979323846 *
                                    (double)(at[1] * j % n) / (double)n;
                const double u = item(x, (int64_t[]){at[0], j, at[2], 0}),
                             v = item(x, (int64_t[]){at[0], j, at[2], 1});
                re += u * cos(turn) - v * sin(turn);
                im += u * sin(turn) + v * cos(turn);
            }
            const double want = (at[3] ? im : re) / (inverse ? (double)n : 1);
            assert_true(fabs((double)SQZ_F32P(y)[i] - want) < 2e-6 * (1 + fabs(want)));
        }
        op_end(&r);
    }
    op_refuses("dft", "axis=2", SHAPE(2, 4, 2), SQZ_F32, SQZ_E_SHAPE, "axis 2 of 3");
    op_refuses("dft", "axis=1", SHAPE(2, 4, 3), SQZ_F32, SQZ_E_SHAPE, "3 numbers in the last");
    op_refuses("dft", "axis=1 inverse=1 onesided=1", SHAPE(2, 1, 2), SQZ_F32, SQZ_E_SHAPE,
               "a transform of length 0");
}

/* Half of the frequencies of a real signal, and back. */
static void test_half_of_the_frequencies_are_enough_for_a_real_signal(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 97};
    for (int64_t n = 2; n < 30; n++) {
        op_run r, back;
        char attrs[80];
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(3, n, 1), -1, 1, &rng);
        const sqz_tensor *y = op_run_ok(&r, "dft", "axis=1 onesided=1");
        op_begin(&back);
        sqz_tensor *h = op_in(&back, SQZ_F32, y->shape);
        memcpy(h->data, y->data, y->bytes);
        (void)snprintf(attrs, sizeof attrs, "axis=1 inverse=1 onesided=1 dft_length=%d", (int)n);
        const sqz_tensor *z = op_run_ok(&back, "dft", attrs);
        assert_shape(z, x->shape);
        for (size_t i = 0; i < x->count; i++)
            assert_true(fabs((double)(SQZ_F32P(z)[i] - SQZ_F32P(x)[i])) < 1e-5);
        op_end(&back);
        op_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_weights_its_neighbors),
        cmocka_unit_test(test_cropping_reads_a_part_and_fills_the_rest),
        cmocka_unit_test(test_grid_sample_reads_between_pixels),
        cmocka_unit_test(test_padding_decides_what_lies_outside),
        cmocka_unit_test(test_deform_conv_moves_its_taps),
        cmocka_unit_test(test_roi_align_of_a_plane_is_its_middle),
        cmocka_unit_test(test_roi_align_survives_any_region),
        cmocka_unit_test(test_max_roi_pool_takes_whole_pixels),
        cmocka_unit_test(test_col2im_is_the_transpose_of_reading_blocks),
        cmocka_unit_test(test_boxes_are_kept_for_a_reason),
        cmocka_unit_test(test_dft_is_the_sum_of_turns),
        cmocka_unit_test(test_half_of_the_frequencies_are_enough_for_a_real_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
