/* Students and other surgery before training: widths, depths, fresh numbers, freezing, new heads,
 * models cut at a value. */
#include "net.h"
#include "prune/lossless.h"
#include "prune/score.h"
#include "prune/student.h"

/* ---- a residual network with batch norms: stem, blocks of which two keep their shape, head ----
 */

static sqz_vid bn(net *n, const char *name, sqz_vid x)
{
    char text[80];
    const int64_t c = sqz_val(n->g, x)->shape.dim[1];
    sqz_vid v[5] = {x};
    for (int k = 1; k < 5; k++) {
        (void)snprintf(text, sizeof text, "%.60s.%d", name, k);
        v[k] = net_const(n, text, (sqz_shape){1, {c}}, 0.3);
        for (int64_t i = 0; i < c && (k == 1 || k == 4); i++)
            net_numbers(n, text)[i] = 1 + 0.1f * (float)i / (float)c;
    }
    return net_node(n, "batch_norm", name, "", 5, v);
}

static sqz_vid conv_bn(net *n, const char *name, sqz_vid x, int64_t out, int64_t k)
{
    char text[80];
    (void)snprintf(text, sizeof text, "%.60s.bn", name);
    return bn(n, text, net_conv(n, name, x, out, k));
}

static sqz_vid block(net *n, const char *name, sqz_vid x, int64_t out)
{
    char t[6][64];
    const char *part[6] = {"c1", "r1", "c2", "skip", "add", "r2"};
    for (int i = 0; i < 6; i++)
        (void)snprintf(t[i], sizeof t[i], "%.40s.%s", name, part[i]);
    const bool same = sqz_val(n->g, x)->shape.dim[1] == out;
    sqz_vid y = net_unary(n, "relu", t[1], "", conv_bn(n, t[0], x, out, 3));
    y = conv_bn(n, t[2], y, out, 3);
    const sqz_vid skip = same ? x : conv_bn(n, t[3], x, out, 1);
    return net_unary(n, "relu", t[5], "", net_binary(n, "add", t[4], skip, y));
}

static net resnet(void)
{
    net n = net_begin(21);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    x = net_unary(&n, "relu", "stem.r", "", conv_bn(&n, "stem", x, 16, 3));
    x = block(&n, "b1", x, 16);
    x = block(&n, "b2", x, 32);
    x = block(&n, "b3", x, 32);
    x = net_unary(&n, "flatten", "flat", "", net_unary(&n, "global_average_pool", "gap", "", x));
    const sqz_vid in[3] = {x, net_const(&n, "fc.w", (sqz_shape){2, {10, 32}}, 0.2),
                           net_const(&n, "fc.b", (sqz_shape){1, {10}}, 0.2)};
    x = net_unary(&n, "softmax", "prob", "axis=-1", net_node(&n, "gemm", "fc", "", 3, in));
    net_finish(&n, 1, &x);
    return n;
}

static int64_t dim(const sqz_graph *g, const char *name, int32_t axis)
{
    const sqz_vid v = sqz_graph_find(g, name);
    if (v == SQZ_NONE)
        fail_msg("no '%s'", name);
    return sqz_val(g, v)->shape.dim[axis];
}

static uint32_t n_nodes(const sqz_graph *g)
{
    uint32_t n = 0;
    SQZ_EACH_NODE(g, id) { n++; }
    return n;
}

/* Runs on fixed numbers; result to be freed. */
static float *run(const sqz_graph *g, size_t *count)
{
    net n = {.ctx = g->ctx, .g = NULL, .r = {.seed = 3}};
    net own = n;
    TEST_OK(g->ctx, sqz_graph_clone(g, &own.g));
    sqz_dataset ds = net_data(&own, 2);
    float *y = net_run(own.g, &ds, 0, count);
    net_data_free(&ds);
    sqz_graph_free(own.g);
    return y;
}

static bool has_node(const sqz_graph *g, const char *name)
{
    SQZ_EACH_NODE(g, id)
    {
        if (strcmp(sqz_nod(g, id)->name, name) == 0)
            return true;
    }
    return false;
}

/* ---- width ---- */

static void test_half_width_halves_every_layer_and_keeps_the_interface(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h;
    TEST_OK(n.ctx, sqz_student_make(n.g, "width=0.5", NULL, &h));
    assert_int_equal(dim(h, "x", 3), 3);
    assert_int_equal(dim(h, "stem.w", 0), 8);
    assert_int_equal(dim(h, "b1.c1.w", 0), 8);
    assert_int_equal(dim(h, "b1.c2.w", 3), 8);
    assert_int_equal(dim(h, "b2.skip.w", 0), 16);
    assert_int_equal(dim(h, "b3.c2.bn.4", 0), 16);
    assert_int_equal(dim(h, "fc.w", 1), 16);
    assert_int_equal(dim(h, "prob", 1), 10);
    assert_int_equal(n_nodes(h), n_nodes(n.g));
    size_t count;
    float *y = run(h, &count);
    assert_int_equal(count, 20);
    TEST_NEAR((double)y[0] + y[1] + y[2] + y[3] + y[4] + y[5] + y[6] + y[7] + y[8] + y[9], 1, 1e-5);
    free(y);
    sqz_graph_free(h);
    net_end(&n);
}

static void test_width_goes_to_multiples_and_never_to_nothing(void **state)
{
    static const struct {
        const char *spec;
        int64_t stem, wide;
    } want[] = {{"width=0.7", 8, 24}, /* 11.2 and 22.4 to multiples of 8 */
                {"width=0.7,multiple=1", 11, 22},
                {"width=0.25", 4, 8}, /* less than one multiple: the share itself */
                {"width=0.01", 1, 1},
                {"width=0.8,multiple=4", 12, 24}};
    (void)state;
    net n = resnet();
    for (size_t i = 0; i < SQZ_COUNT(want); i++) {
        sqz_graph *h;
        TEST_OK(n.ctx, sqz_student_make(n.g, want[i].spec, NULL, &h));
        assert_int_equal(dim(h, "stem.w", 0), want[i].stem);
        assert_int_equal(dim(h, "b3.c1.w", 0), want[i].wide);
        sqz_graph_free(h);
    }
    net_end(&n);
}

static void test_the_most_important_channels_stay(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h;
    float *w = net_numbers(&n, "b1.c1.w");
    for (int k = 0; k < 16; k++) /* (O,K,K,I): odd channels are loud */
        for (int i = 0; i < 9 * 16; i++)
            w[k * 144 + i] = (k % 2 ? 5.0f : 0.01f) * (float)(1 + (i + k) % 3);
    TEST_OK(n.ctx, sqz_student_make(n.g, "width=0.5", NULL, &h));
    const sqz_tensor *t = sqz_val(h, sqz_graph_find(h, "b1.c1.w"))->constant;
    for (size_t i = 0; i < t->count; i++)
        assert_true(SQZ_F32P(t)[i] >= 5);
    sqz_graph_free(h);
    net_end(&n);
}

static void test_every_score_is_finite_and_leaves_pinned_classes_at_0(void **state)
{
    (void)state;
    net n = resnet();
    sqz_classes *c;
    TEST_OK(n.ctx, sqz_classes_build(n.g, NULL, &c));
    double *s = calloc(c->n_class + 1, sizeof *s);
    for (size_t i = 0; i < sqz_n_scores; i++) {
        const sqz_score_env env = {.seed = 4};
        double sum = 0;
        TEST_OK(n.ctx, sqz_scores[i]->score(c, NULL, &env, s));
        for (uint32_t k = 0; k < c->n_class; k++) {
            assert_true(isfinite(s[k]) && s[k] >= 0);
            assert_true(!c->cls[k].pin.text || s[k] == 0);
            sum += s[k];
        }
        assert_true(sum > 0);
    }
    free(s);
    sqz_classes_free(c);
    net_end(&n);
}

/* L2 of one family computed by hand: the channels between b1.c1 and b1.c2. */
static void test_l2_is_the_mean_of_the_slices_over_their_layers(void **state)
{
    (void)state;
    net n = resnet();
    sqz_classes *c;
    TEST_OK(n.ctx, sqz_classes_build(n.g, NULL, &c));
    double *s = calloc(c->n_class + 1, sizeof *s), row[16] = {0}, col[16] = {0}, rows = 0, cols = 0;
    TEST_OK(n.ctx, sqz_score_find("l2")->score(c, NULL, NULL, s));
    const sqz_vid v1 = sqz_graph_find(n.g, "b1.c1.w"), v2 = sqz_graph_find(n.g, "b1.c2.w");
    const float *w1 = net_numbers(&n, "b1.c1.w"), *w2 = net_numbers(&n, "b1.c2.w");
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 9 * 16; i++) {
            row[k] += (double)w1[k * 144 + i] * (double)w1[k * 144 + i];
            col[k] += (double)w2[i * 16 + k] * (double)w2[i * 16 + k];
        }
    for (int k = 0; k < 16; k++) {
        rows += sqrt(row[k]) / 16;
        cols += sqrt(col[k]) / 16;
    }
    for (int k = 0; k < 16; k++) {
        assert_int_equal(sqz_class_of(c, v1, 0, k), sqz_class_of(c, v2, 3, k));
        TEST_NEAR(s[sqz_class_of(c, v1, 0, k)], (sqrt(row[k]) / rows + sqrt(col[k]) / cols) / 2,
                  1e-9);
    }
    free(s);
    sqz_classes_free(c);
    net_end(&n);
}

/* ---- depth ---- */

static void test_depth_takes_whole_blocks_that_keep_their_shape(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h;
    sqz_arena a = {.ctx = n.ctx};
    sqz_residual *b;
    uint32_t found;
    TEST_OK(n.ctx, sqz_residuals_find(n.g, &a, &b, &found));
    assert_int_equal(found, 2); /* b1 and b3; b2 changes the shape */
    assert_string_equal(sqz_nod(n.g, b[0].add)->name, "b1.add");
    assert_string_equal(sqz_nod(n.g, b[1].add)->name, "b3.add");
    sqz_str notes = {.ctx = n.ctx};
    const sqz_student_env env = {.notes = &notes};
    TEST_OK(n.ctx, sqz_student_make(n.g, "depth=0.5", &env, &h));
    assert_true(has_node(h, "b1.add") != has_node(h, "b3.add"));
    assert_non_null(strstr(notes.data, "is gone"));
    assert_true(has_node(h, "b2.add"));
    size_t count;
    float *y = run(h, &count);
    for (size_t i = 0; i < count; i++)
        assert_true(isfinite(y[i]));
    free(y);
    sqz_graph_free(h);
    TEST_OK(n.ctx, sqz_student_make(n.g, "depth=0", NULL, &h));
    assert_true(!has_node(h, "b1.add") && !has_node(h, "b3.add") && !has_node(h, "b3.r2"));
    assert_true(!has_node(h, "b1.c1") && sqz_graph_find(h, "b1.c1.w") == SQZ_NONE);
    sqz_graph_free(h);
    sqz_str_free(&notes);
    sqz_arena_free(&a);
    net_end(&n);
}

/* A block whose last batch norm has scale 0 changes nothing: with data it is the one that goes, and
 * the network computes what it did. */
static void test_with_data_the_block_that_changes_least_goes(void **state)
{
    static const char *const quiet[] = {"b1", "b3"};
    (void)state;
    for (int k = 0; k < 2; k++) {
        net n = resnet();
        sqz_graph *h;
        char text[64];
        for (int p = 1; p < 3; p++) {
            (void)snprintf(text, sizeof text, "%s.c2.bn.%d", quiet[k], p);
            for (int64_t i = 0; i < dim(n.g, text, 0); i++)
                net_numbers(&n, text)[i] = 0;
        }
        sqz_dataset ds = net_data(&n, 5);
        const sqz_student_env env = {.data = &ds};
        TEST_OK(n.ctx, sqz_student_make(n.g, "depth=0.5", &env, &h));
        (void)snprintf(text, sizeof text, "%s.add", quiet[k]);
        assert_false(has_node(h, text));
        size_t count, again;
        float *want = run(n.g, &count), *got = run(h, &again);
        assert_int_equal(count, again);
        for (size_t i = 0; i < count; i++)
            TEST_NEAR((double)got[i], (double)want[i], 1e-6);
        free(want);
        free(got);
        net_data_free(&ds);
        sqz_graph_free(h);
        net_end(&n);
    }
}

/* ---- text ---- */

static void test_text_that_makes_no_student_is_refused(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h;
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "widht=0.5", NULL, &h), SQZ_E_ARG, "widht");
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "width=0", NULL, &h), SQZ_E_ARG, "width");
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "width=1", NULL, &h), SQZ_E_ARG, "is the teacher");
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "auto,width=0.5", NULL, &h), SQZ_E_ARG, "auto finds");
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "auto", NULL, &h), SQZ_E_ARG, "needs a device");
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "depth=0.9", NULL, &h), SQZ_E_ARG,
               "at most depth=0.75");
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "width=0.5,score=l3", NULL, &h), SQZ_E_ARG, "l3");
    assert_null(h);
    net_end(&n);
}

static void test_a_plain_network_has_no_blocks(void **state)
{
    (void)state;
    net n = net_begin(5);
    sqz_graph *h;
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 6, 6}});
    x = net_conv(&n, "c", net_conv(&n, "a", x, 4, 3), 2, 3);
    net_finish(&n, 1, &x);
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "depth=0.5", NULL, &h), SQZ_E_UNSUPPORTED,
               "no residual block");
    net_end(&n);
}

/* ---- auto ---- */

static sqz_device *small_device(sqz_ctx *ctx, double flash)
{
    sqz_device *d;
    TEST_OK(ctx, sqz_device_load(ctx, sqz_device_names[0], &d));
    d->limits.flash = (sqz_limit){.set = true, .max = flash};
    d->limits.ram = d->limits.latency = d->limits.energy = (sqz_limit){0};
    return d;
}

static void test_auto_finds_the_widest_that_fits(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h, *less, *more;
    sqz_device *d = small_device(n.ctx, 1e9);
    sqz_str notes = {.ctx = n.ctx};
    sqz_student_env env = {.device = d, .notes = &notes};
    TEST_OK(n.ctx, sqz_student_make(n.g, "auto,multiple=1", &env, &h)); /* all of it fits */
    assert_int_equal(dim(h, "b3.c1.w", 0), 32);
    assert_non_null(strstr(notes.data, "the teacher itself fits"));
    sqz_graph_free(h);
    d->limits.flash.max = d->runtime.code + 20000; /* about 45 thousand weights do not */
    TEST_OK(n.ctx, sqz_student_make(n.g, "auto,multiple=1", &env, &h));
    const int64_t wide = dim(h, "b3.c1.w", 0);
    assert_true(wide > 16 && wide < 32);
    assert_non_null(strstr(notes.data, "is the largest that fits"));
    sqz_graph_free(h);
    d->limits.flash.max = d->runtime.code + 19000;
    TEST_OK(n.ctx, sqz_student_make(n.g, "auto,multiple=1", &env, &less));
    d->limits.flash.max = d->runtime.code + 25000;
    TEST_OK(n.ctx, sqz_student_make(n.g, "auto,multiple=1", &env, &more));
    assert_true(dim(less, "b3.c1.w", 0) <= wide && wide <= dim(more, "b3.c1.w", 0));
    assert_true(dim(less, "b3.c1.w", 0) < dim(more, "b3.c1.w", 0));
    sqz_graph_free(less);
    sqz_graph_free(more);
    d->limits.flash.max = d->runtime.code + 10;
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "auto", &env, &h), SQZ_E_BUDGET, "no width fits");
    d->limits.flash.set = false;
    d->n_memory = 0;
    TEST_FAILS(n.ctx, sqz_student_make(n.g, "auto", &env, &h), SQZ_E_ARG, "sets no limit");
    sqz_str_free(&notes);
    sqz_device_free(n.ctx, d);
    net_end(&n);
}

/* ---- fresh numbers ---- */

static void moments(const sqz_graph *g, const char *name, double *mean, double *var, double *top)
{
    const sqz_tensor *t = sqz_val(g, sqz_graph_find(g, name))->constant;
    *mean = *var = *top = 0;
    for (size_t i = 0; i < t->count; i++)
        *mean += (double)SQZ_F32P(t)[i] / (double)t->count;
    for (size_t i = 0; i < t->count; i++) {
        const double d = (double)SQZ_F32P(t)[i] - *mean;
        *var += d * d / (double)t->count;
        *top = fmax(*top, fabs((double)SQZ_F32P(t)[i]));
    }
}

static void test_fresh_numbers_have_the_variance_of_what_follows(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h, *k;
    double mean, var, top;
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &h));
    TEST_OK(n.ctx, sqz_init_random(h, 9, NULL));
    /* 32 x 9 x 32 numbers before a rectifier: 2 / fan in; the sample variance of 9216 normal
     * numbers is within 6 % (4 sigma) */
    moments(h, "b3.c1.w", &mean, &var, &top);
    TEST_NEAR(var / (2.0 / 288), 1, 0.06);
    TEST_NEAR(mean, 0, 4 * sqrt(2.0 / 288 / 9216));
    /* 10 x 32 before a softmax: uniform within sqrt(6 / 42), variance a third of its square */
    moments(h, "fc.w", &mean, &var, &top);
    assert_true(top <= sqrt(6.0 / 42) && top > 0.95 * sqrt(6.0 / 42));
    TEST_NEAR(var / (2.0 / 42), 1, 0.25);
    static const double norm[5] = {0, 1, 0, 0, 1};
    for (int p = 1; p < 5; p++) {
        char text[32];
        (void)snprintf(text, sizeof text, "b1.c1.bn.%d", p);
        moments(h, text, &mean, &var, &top);
        assert_true(mean == norm[p] && var == 0);
    }
    moments(h, "fc.b", &mean, &var, &top);
    assert_true(top == 0);
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &k));
    TEST_OK(n.ctx, sqz_init_random(k, 9, NULL)); /* the same seed: the same numbers */
    const sqz_tensor *a = sqz_val(h, sqz_graph_find(h, "stem.w"))->constant;
    const sqz_tensor *b = sqz_val(k, sqz_graph_find(k, "stem.w"))->constant;
    assert_memory_equal(a->data, b->data, a->bytes);
    TEST_OK(n.ctx, sqz_init_random(k, 10, NULL));
    b = sqz_val(k, sqz_graph_find(k, "stem.w"))->constant;
    assert_memory_not_equal(a->data, b->data, a->bytes);
    sqz_graph_free(h);
    sqz_graph_free(k);
    net_end(&n);
}

static void test_a_student_from_nothing_has_none_of_the_teachers_numbers(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h;
    TEST_OK(n.ctx,
            sqz_student_make(n.g, "width=0.5,init=random", &(sqz_student_env){.seed = 2}, &h));
    const sqz_tensor *t = sqz_val(h, sqz_graph_find(h, "b1.c1.w"))->constant;
    const sqz_tensor *old = sqz_val(n.g, sqz_graph_find(n.g, "b1.c1.w"))->constant;
    for (size_t i = 0; i < t->count; i++)
        for (size_t k = 0; k < old->count; k += 97)
            assert_true(SQZ_F32P(t)[i] != SQZ_F32P(old)[k]);
    sqz_graph_free(h);
    net_end(&n);
}

/* ---- freezing ---- */

static void test_freezing_marks_what_the_pattern_names(void **state)
{
    (void)state;
    net n = resnet();
    bool *frozen = calloc(n.g->n_value, 1), *still = calloc(n.g->n_node, 1);
    TEST_OK(n.ctx, sqz_freeze(n.g, "b1\\..*", frozen, still));
    assert_true(frozen[sqz_graph_find(n.g, "b1.c1.w")] &&
                frozen[sqz_graph_find(n.g, "b1.c2.bn.1")]);
    assert_false(frozen[sqz_graph_find(n.g, "b2.c1.w")] || frozen[sqz_graph_find(n.g, "fc.w")]);
    unsigned norms = 0;
    SQZ_EACH_NODE(n.g, id)
    {
        norms += still[id];
        assert_true(!still[id] || strncmp(sqz_nod(n.g, id)->name, "b1.", 3) == 0);
    }
    assert_int_equal(norms, 2);
    TEST_OK(n.ctx, sqz_freeze(n.g, "fc.w", frozen, NULL)); /* a constant by its own name */
    assert_true(frozen[sqz_graph_find(n.g, "fc.w")] && !frozen[sqz_graph_find(n.g, "fc.b")]);
    TEST_FAILS(n.ctx, sqz_freeze(n.g, "b9.*", frozen, still), SQZ_E_NOTFOUND, "b9.*");
    free(frozen);
    free(still);
    net_end(&n);
}

/* ---- heads ---- */

static void test_a_new_head_has_the_classes_and_fresh_numbers(void **state)
{
    (void)state;
    net n = resnet();
    sqz_vid w, b;
    double mean, var, top;
    TEST_OK(n.ctx, sqz_replace_head(n.g, 5, 1, &w, &b));
    assert_string_equal(sqz_val(n.g, w)->name, "fc.w");
    assert_string_equal(sqz_val(n.g, b)->name, "fc.b");
    assert_int_equal(dim(n.g, "fc.w", 0), 5);
    assert_int_equal(dim(n.g, "prob", 1), 5);
    moments(n.g, "fc.w", &mean, &var, &top);
    assert_true(var > 0 && top <= sqrt(6.0 / 37));
    moments(n.g, "fc.b", &mean, &var, &top);
    assert_true(top == 0);
    size_t count;
    float *y = run(n.g, &count);
    assert_int_equal(count, 10);
    free(y);
    net_end(&n);
}

/* SqueezeNet's head: a 1x1 convolution, relu, pool over space, reshape with the number written. */
static void test_a_head_that_is_a_convolution(void **state)
{
    (void)state;
    net n = net_begin(8);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 6, 6}});
    x = net_unary(&n, "relu", "r", "", net_conv(&n, "a", x, 6, 3));
    x = net_unary(&n, "relu", "rh", "", net_conv(&n, "head", x, 10, 1));
    x = net_unary(&n, "global_average_pool", "gap", "", x);
    x = net_unary(&n, "softmax", "p", "axis=1", net_unary(&n, "reshape", "rs", "shape=0,10", x));
    net_finish(&n, 1, &x);
    TEST_OK(n.ctx, sqz_replace_head(n.g, 3, 1, NULL, NULL));
    assert_int_equal(dim(n.g, "p", 1), 3);
    assert_int_equal(dim(n.g, "head.b", 0), 3);
    assert_int_equal(dim(n.g, "a.w", 0), 6);
    net_end(&n);
}

static void test_a_network_without_a_head_is_refused(void **state)
{
    (void)state;
    net n = net_begin(8);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 6, 6}});
    x = net_conv(&n, "wide", x, 6, 3);
    net_finish(&n, 1, &x);
    TEST_FAILS(n.ctx, sqz_replace_head(n.g, 3, 1, NULL, NULL), SQZ_E_UNSUPPORTED,
               "'wide' (conv2d)");
    TEST_FAILS(n.ctx, sqz_replace_head(n.g, 0, 1, NULL, NULL), SQZ_E_ARG, "0 classes");
    net_end(&n);
}

/* ---- until ---- */

static void test_a_model_cut_at_a_value_gives_that_value(void **state)
{
    (void)state;
    net n = resnet();
    sqz_graph *h, *k;
    TEST_OK(n.ctx, sqz_graph_until(n.g, "flat", &h));
    assert_int_equal(h->n_output, 1);
    assert_string_equal(sqz_val(h, h->output[0])->name, "flat");
    assert_true(sqz_graph_find(h, "fc.w") == SQZ_NONE && !has_node(h, "prob"));
    size_t count;
    float *y = run(h, &count);
    assert_int_equal(count, 64);
    /* what the whole network computes from that is what it computes */
    const sqz_vid outs[2] = {sqz_graph_find(n.g, "flat"), n.g->output[0]};
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &k));
    TEST_OK(n.ctx, sqz_graph_set_outputs(k, outs, 2));
    float *z = run(k, &count);
    assert_memory_equal(y, z, 64 * sizeof *y);
    free(y);
    free(z);
    sqz_graph_free(k);
    sqz_graph_free(h);
    TEST_FAILS(n.ctx, sqz_graph_until(n.g, "flap", &h), SQZ_E_NOTFOUND, "nearest is 'flat'");
    TEST_FAILS(n.ctx, sqz_graph_until(n.g, "fc.w", &h), SQZ_E_ARG, "a constant");
    TEST_FAILS(n.ctx, sqz_graph_until(n.g, "x", &h), SQZ_E_ARG, "an input");
    net_end(&n);
}

/* ---- memory that ends ---- */

struct countdown {
    int64_t left;
};
static void *scarce_alloc(void *user, size_t n)
{
    struct countdown *c = user;
    return c->left-- > 0 ? malloc(n) : NULL;
}
static void scarce_free(void *user, void *p)
{
    (void)user;
    free(p);
}

static sqz_status all_of_it(const sqz_graph *g, sqz_dataset *ds)
{
    const sqz_student_env env = {.data = ds, .seed = 3};
    sqz_graph *h = NULL, *k = NULL;
    sqz_lossless found;
    sqz_status s = sqz_student_make(g, "width=0.5,depth=0.5,init=random,score=fpgm", &env, &h);
    bool *frozen = calloc(g->n_value + 1, 1);
    if (s == SQZ_OK)
        s = sqz_graph_until(h, "fc", &k);
    if (s == SQZ_OK)
        s = sqz_replace_head(k, 4, 1, NULL, NULL);
    if (s == SQZ_OK)
        s = sqz_freeze(k, "stem.*", frozen, NULL);
    sqz_graph_free(k);
    k = NULL;
    if (s == SQZ_OK)
        s = sqz_prune_lossless(h, &env, 2, &found, &k);
    sqz_graph_free(h);
    sqz_graph_free(k);
    free(frozen);
    return s;
}

static sqz_status some_of_memory(const char *text, int64_t n)
{
    struct countdown c = {INT64_MAX};
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    net own = {.r = {.seed = 3}};
    o.allocator.user = &c;
    o.allocator.alloc = scarce_alloc;
    o.allocator.free = scarce_free;
    o.threads = 1;
    assert_int_equal(sqz_ctx_create(&o, &own.ctx), SQZ_OK);
    TEST_OK(own.ctx, sqz_graph_parse(own.ctx, text, &own.g));
    sqz_dataset ds = net_data(&own, 2);
    c.left = n;
    sqz_status s = all_of_it(own.g, &ds);
    if (s != SQZ_OK && s != SQZ_E_NOMEM)
        fail_msg("after %lld allocations: status %d: %s", (long long)n, (int)s,
                 sqz_last_error(own.ctx));
    c.left = INT64_MAX;
    net_data_free(&ds);
    net_end(&own); /* asserts that nothing is left */
    return s;
}

static void test_failing_allocations_are_survived(void **state)
{
    (void)state;
    net n = net_begin(21);
    sqz_str text = {.ctx = n.ctx};
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 4, 4}});
    x = block(&n, "b1", net_unary(&n, "relu", "r", "", net_conv(&n, "stem", x, 4, 3)), 4);
    x = net_unary(&n, "flatten", "flat", "", net_unary(&n, "global_average_pool", "gap", "", x));
    const sqz_vid in[3] = {x, net_const(&n, "fc.w", (sqz_shape){2, {6, 4}}, 0.2),
                           net_const(&n, "fc.b", (sqz_shape){1, {6}}, 0.2)};
    x = net_unary(&n, "relu", "r9", "", net_node(&n, "gemm", "fc", "", 3, in));
    net_finish(&n, 1, &x);
    TEST_OK(n.ctx, sqz_graph_print(n.g, SIZE_MAX, &text));
    int64_t k = 0;
    for (sqz_status s = SQZ_E_NOMEM; s != SQZ_OK; k += 1 + k / 24) {
        s = some_of_memory(text.data, k);
        assert_true(s == SQZ_OK || s == SQZ_E_NOMEM);
    }
    assert_true(k > TEST_ALLOCATIONS(500));
    sqz_str_free(&text);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_width_halves_every_layer_and_keeps_the_interface),
        cmocka_unit_test(test_width_goes_to_multiples_and_never_to_nothing),
        cmocka_unit_test(test_the_most_important_channels_stay),
        cmocka_unit_test(test_every_score_is_finite_and_leaves_pinned_classes_at_0),
        cmocka_unit_test(test_l2_is_the_mean_of_the_slices_over_their_layers),
        cmocka_unit_test(test_depth_takes_whole_blocks_that_keep_their_shape),
        cmocka_unit_test(test_with_data_the_block_that_changes_least_goes),
        cmocka_unit_test(test_text_that_makes_no_student_is_refused),
        cmocka_unit_test(test_a_plain_network_has_no_blocks),
        cmocka_unit_test(test_auto_finds_the_widest_that_fits),
        cmocka_unit_test(test_fresh_numbers_have_the_variance_of_what_follows),
        cmocka_unit_test(test_a_student_from_nothing_has_none_of_the_teachers_numbers),
        cmocka_unit_test(test_freezing_marks_what_the_pattern_names),
        cmocka_unit_test(test_a_new_head_has_the_classes_and_fresh_numbers),
        cmocka_unit_test(test_a_head_that_is_a_convolution),
        cmocka_unit_test(test_a_network_without_a_head_is_refused),
        cmocka_unit_test(test_a_model_cut_at_a_value_gives_that_value),
        cmocka_unit_test(test_failing_allocations_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
