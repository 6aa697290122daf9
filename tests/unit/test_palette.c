/* Palettes: few numbers, the best ones, and the same results as from the weights written out. */
#include "net.h"
#include <math.h>

static net small_on(uint64_t seed, uint32_t threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = threads;
    net n = {.r = {.seed = seed}};
    assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
    TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid b = net_unary(&n, "relu", "rb", "", net_conv(&n, "b", a, 12, 3));
    sqz_vid f = net_unary(&n, "flatten", "f", "axis=1", b);
    sqz_vid w = net_const(&n, "c.w", (sqz_shape){2, {768, 10}}, 0.05);
    sqz_vid c = net_binary(&n, "matmul", "c", f, w);
    net_finish(&n, 1, &c);
    return n;
}
static net small(uint64_t seed) { return small_on(seed, 1); }

static sqz_status apply(net *n, const char *recipe)
{
    sqz_dataset calib = net_data(n, 20);
    sqz_env env = {.calib = &calib};
    sqz_status s = sqz_run_recipe(n->g, recipe, &env);
    net_data_free(&calib);
    return s;
}

static const sqz_node *node(const net *n, const char *name)
{
    SQZ_EACH_NODE(n->g, id)
    {
        if (strcmp(sqz_nod(n->g, id)->name, name) == 0)
            return sqz_nod(n->g, id);
    }
    fail_msg("no node '%s'", name);
    return NULL;
}

static const sqz_node *maker(const net *n, sqz_vid v)
{
    const sqz_nid id = sqz_val(n->g, v)->producer;
    return id == SQZ_NONE ? NULL : sqz_nod(n->g, id);
}

static bool is_op(const sqz_node *n, const char *op)
{
    return n && strcmp(n->op->info.name, op) == 0;
}

/* The gather behind the weight of a node; NULL: it has none. *factors: what it is multiplied with.
 */
static const sqz_node *lookup(const net *n, const char *name, const sqz_tensor **factors)
{
    const sqz_node *m = maker(n, node(n, name)->in[1]);
    *factors = NULL;
    if (is_op(m, "transpose"))
        m = maker(n, m->in[0]);
    if (is_op(m, "mul")) {
        *factors = sqz_val(n->g, m->in[1])->constant;
        m = maker(n, m->in[0]);
    }
    return is_op(m, "gather") ? m : NULL;
}

/* The weights that a lookup makes, in the order of the float graph's constant (channel-last). */
static void written_out(const net *n, const char *name, float *out)
{
    const sqz_tensor *f;
    const sqz_node *g = lookup(n, name, &f);
    assert_non_null(g);
    const sqz_tensor *color = sqz_val(n->g, g->in[0])->constant;
    const sqz_tensor *index = sqz_val(n->g, g->in[1])->constant;
    const int64_t *d = index->shape.dim;
    const bool image = index->shape.rank == 4;
    const int64_t H = image ? d[2] : 1, W = image ? d[3] : 1;
    for (int64_t o = 0; o < d[0]; o++)
        for (int64_t i = 0; i < d[1]; i++)
            for (int64_t s = 0; s < H * W; s++) {
                const size_t from = (size_t)((o * d[1] + i) * H * W + s);
                float v = SQZ_F32P(color)[sqz_tensor_i64(index, from)];
                if (f) /* by output channel: axis 0 of (O,I,H,W), axis 1 of (K,N) */
                    v *= SQZ_F32P(f)[image ? o : i];
                out[image ? (o * H * W + s) * d[1] + i : (int64_t)from] = v;
            }
}

static void test_the_network_runs_as_with_the_weights_written_out(void **state)
{
    (void)state;
    static const char *const recipe[] = {"palette", "palette(colors=200 scaled=0)",
                                         "palette(colors=3 weighted=0)"};
    for (size_t k = 0; k < SQZ_COUNT(recipe); k++) {
        net n = small(1), f = small(1);
        sqz_dataset test = net_data(&n, 6);
        size_t count;
        TEST_OK(n.ctx, apply(&n, recipe[k]));
        TEST_OK(n.ctx, sqz_run_recipe(n.g, "fold_const,dce", NULL)); /* do not undo it */
        written_out(&n, "b", net_numbers(&f, "b.w"));
        written_out(&n, "c", net_numbers(&f, "c.w"));
        if (k != 1) /* 216 weights are too few for 200 colors */
            written_out(&n, "a", net_numbers(&f, "a.w"));
        float *got = net_run(n.g, &test, 0, &count), *want = net_run(f.g, &test, 0, &count);
        assert_memory_equal(got, want, count * sizeof *got);
        free(got);
        free(want);
        net_data_free(&test);
        net_end(&n);
        net_end(&f);
    }
}

static double error(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

static void test_colors_are_better_than_even_steps(void **state)
{
    (void)state;
    net n = small(2);
    enum { COUNT = 768 * 10 };
    float *w = malloc(COUNT * sizeof *w), *p = malloc(COUNT * sizeof *p), most = 0;
    memcpy(w, net_numbers(&n, "c.w"), COUNT * sizeof *w);
    TEST_OK(n.ctx, apply(&n, "palette(weighted=0 scaled=0)"));
    written_out(&n, "c", p);
    const double got = error(w, p, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        most = fmaxf(most, fabsf(w[i]));
    for (float top = most; top > 0.3f * most; top *= 0.97f) { /* the best of the even grids */
        for (size_t i = 0; i < COUNT; i++)
            p[i] = fminf(fmaxf(rintf(w[i] / top * 7.5f - 0.5f), -8), 7) * top / 7.5f + top / 15;
        assert_true(got < 0.9 * error(w, p, COUNT));
    }
    free(w);
    free(p);
    net_end(&n);
}

/* What the network returns is nearer where weights of loud inputs count more. */
static void test_loud_inputs_count_more(void **state)
{
    (void)state;
    double db[2];
    for (int k = 0; k < 2; k++) {
        net n = net_begin(3);
        sqz_vid x = net_input(&n, (sqz_shape){2, {1, 64}});
        sqz_vid loud = net_const(&n, "loud", (sqz_shape){2, {1, 64}}, 0);
        sqz_vid w = net_const(&n, "w", (sqz_shape){2, {64, 64}}, 1);
        for (int i = 0; i < 64; i++) {
            net_numbers(&n, "loud")[i] = i % 8 ? 0.05f : 4.0f;
            for (int o = 0; o < 64; o++)
                net_numbers(&n, "w")[i * 64 + o] *= i % 8 ? 1.0f : 0.2f;
        }
        sqz_vid y = net_binary(&n, "matmul", "y", net_binary(&n, "mul", "m", x, loud), w);
        net_finish(&n, 1, &y);
        sqz_dataset test = net_data(&n, 20);
        size_t count;
        float *before = net_run(n.g, &test, 0, &count);
        TEST_OK(n.ctx, apply(&n, k ? "palette(colors=8)" : "palette(colors=8 weighted=0)"));
        float *after = net_run(n.g, &test, 0, &count);
        db[k] = net_snr(before, after, count);
        free(before);
        free(after);
        net_data_free(&test);
        net_end(&n);
    }
    if (!(db[1] > db[0] + 3))
        fail_msg("%.1f dB weighted, %.1f dB not", db[1], db[0]);
}

static void test_indices_take_as_many_bits_as_needed(void **state)
{
    (void)state;
    const sqz_tensor *f;
    net n = small(4), m = small(4);
    TEST_OK(n.ctx, apply(&n, "palette(colors=16 exclude=b)"));
    const sqz_node *g = lookup(&n, "a", &f);
    assert_int_equal(sqz_val(n.g, g->in[1])->dtype, SQZ_U4);
    assert_int_equal(sqz_val(n.g, g->in[0])->shape.dim[0], 16);
    assert_null(lookup(&n, "b", &f));
    TEST_OK(m.ctx, apply(&m, "palette(colors=128)"));
    assert_null(lookup(&m, "a", &f)); /* 216 weights: nothing to gain */
    assert_int_equal(sqz_val(m.g, lookup(&m, "c", &f)->in[1])->dtype, SQZ_U8);
    net_end(&n);
    net_end(&m);
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    net n = small(5);
    TEST_FAILS(n.ctx, apply(&n, "palette(colors=1)"), SQZ_E_ARG, "colors");
    TEST_FAILS(n.ctx, apply(&n, "palette(exclude=q)"), SQZ_E_NOTFOUND, "matches 'q'");
    net_numbers(&n, "b.w")[5] = NAN;
    TEST_FAILS(n.ctx, apply(&n, "palette(weighted=0)"), SQZ_E_FORMAT, "constant 'b.w': number 5");
    net_end(&n);
}

static void test_the_same_bytes_for_any_number_of_threads(void **state)
{
    (void)state;
    char *text[2];
    for (unsigned t = 0; t < 2; t++) {
        net n = small_on(6, t ? 3 : 1);
        sqz_str out = {.ctx = n.ctx};
        TEST_OK(n.ctx, apply(&n, "palette"));
        TEST_OK(n.ctx, sqz_graph_print(n.g, 8, &out));
        text[t] = strdup(out.data);
        sqz_str_free(&out);
        net_end(&n);
    }
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_network_runs_as_with_the_weights_written_out),
        cmocka_unit_test(test_colors_are_better_than_even_steps),
        cmocka_unit_test(test_loud_inputs_count_more),
        cmocka_unit_test(test_indices_take_as_many_bits_as_needed),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_the_same_bytes_for_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
