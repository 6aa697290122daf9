/* Keras files of every age, against naive loops in Keras' own order. */
#include "keras_file.h"

#define S(r, ...) ((sqz_shape){r, {__VA_ARGS__}})

static sqz_graph *load(sqz_ctx *ctx, keras_file *k)
{
    size_t n;
    sqz_graph *g;
    void *bytes = kf_end(k, &n);
    TEST_OK(ctx, sqz_import_bytes(ctx, bytes, n, NULL, &g));
    free(bytes);
    return g;
}

static void near_all(const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        TEST_NEAR((double)got[i], want[i], 1e-5 * fmax(1, fabs(want[i])));
}

/* y = x (I) . w (I, O) + b */
static void dense(const double *x, int i, const float *w, const float *b, int o, double *y)
{
    for (int k = 0; k < o; k++) {
        y[k] = b ? (double)b[k] : 0;
        for (int j = 0; j < i; j++)
            y[k] += x[j] * (double)w[j * o + k];
    }
}

#define DENSE(name, n, more)                                                                       \
    "{\"class_name\":\"Dense\",\"config\":{\"name\":\"" name "\",\"units\":" #n more "}}"

static void test_sequential_of_keras_2(void **state)
{
    (void)state;
    for (int variable = 0; variable < 2; variable++) {
        sqz_ctx *ctx = test_ctx();
        float w[12], b[4], x[3], y[4];
        double xd[3], want[4];
        kf_random(1, 12, w);
        kf_random(2, 4, b);
        kf_random(3, 3, x);
        keras_file k = kf_begin(
            "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":"
            "[" DENSE("d", 4, ",\"activation\":\"relu\",\"batch_input_shape\":[null,3]") "]}}",
            "2.3.1", variable);
        kf_list(&k, k.group, "layer_names", "d");
        kf_layer(&k, "d", "d/kernel:0,d/bias:0");
        kf_weight(&k, "d/d/kernel:0", S(2, 3, 4), w);
        kf_weight(&k, "d/d/bias:0", S(1, 4), b);
        sqz_graph *g = load(ctx, &k);
        assert_string_equal(sqz_val(g, g->input[0])->name, "d_input");
        assert_string_equal(sqz_val(g, g->output[0])->name, "d");
        assert_true(g->batch_free);
        for (int i = 0; i < 3; i++)
            xd[i] = (double)x[i];
        dense(xd, 3, w, b, 4, want);
        for (int i = 0; i < 4; i++)
            want[i] = fmax(want[i], 0);
        assert_int_equal(kf_run(ctx, g, (const float *const[]){x}, y, 4), 4);
        near_all(y, want, 4);
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
}

/* x (H,W,I), w (kh,kw,I,O), stride 1, valid: y (H-kh+1, W-kw+1, O); flip: a true convolution. */
static void conv(const float *x, int h, int wd, int i, const float *w, int kh, int kw, int o,
                 bool flip, double *y)
{
    for (int r = 0; r + kh <= h; r++)
        for (int c = 0; c + kw <= wd; c++)
            for (int q = 0; q < o; q++) {
                double sum = 0;
                for (int a = 0; a < kh; a++)
                    for (int b = 0; b < kw; b++)
                        for (int p = 0; p < i; p++) {
                            int ka = flip ? kh - 1 - a : a, kb = flip ? kw - 1 - b : b;
                            sum += (double)x[((r + a) * wd + c + b) * i + p] *
                                   (double)w[((ka * kw + kb) * i + p) * o + q];
                        }
                *y++ = sum;
            }
}

#define CONV1                                                                                      \
    "[{\"class_name\":\"Convolution2D\",\"config\":{\"name\":\"c\",\"nb_filter\":2,"               \
    "\"nb_row\":2,\"nb_col\":3,\"border_mode\":\"valid\",\"subsample\":[1,1],"                     \
    "\"dim_ordering\":\"tf\",\"bias\":false,\"activation\":\"linear\","                            \
    "\"batch_input_shape\":[null,4,5,3]}}]"

/* Keras 1: the config is a list; names of TensorFlow's variables end in ":0", Theano's do not, and
 * its kernels are those of a true convolution. */
static void test_backend_of_keras_1_is_told_by_names(void **state)
{
    (void)state;
    for (int theano = 0; theano < 2; theano++) {
        sqz_ctx *ctx = test_ctx();
        float w[36], x[60], y[18];
        double want[18];
        kf_random(4, 36, w);
        kf_random(5, 60, x);
        keras_file k = kf_begin("{\"class_name\":\"Sequential\",\"config\":" CONV1 "}", "1.2.2",
                                false);
        kf_list(&k, k.group, "layer_names", "c");
        kf_layer(&k, "c", theano ? "c_W" : "c_W:0");
        kf_weight(&k, theano ? "c/c_W" : "c/c_W:0", S(4, 2, 3, 3, 2), w);
        sqz_graph *g = load(ctx, &k);
        conv(x, 4, 5, 3, w, 2, 3, 2, theano, want);
        assert_int_equal(kf_run(ctx, g, (const float *const[]){x}, y, 18), 18);
        near_all(y, want, 18);
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
}

/* A model in a model, called twice: weights are found by name, shared, and the graph turns its
 * input to channels-first once. */
static void test_nested_model_is_shared(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    float w[12], mean[2] = {0.25f, -0.5f}, var[2] = {1.5f, 0.75f}, beta[2] = {0.1f, -0.2f};
    float a[27], b[27], y[8];
    double ca[8], cb[8], want[8];
    kf_random(6, 12, w);
    kf_random(7, 27, a);
    kf_random(8, 27, b);
    const char *inner =
        "{\"name\":\"m\",\"class_name\":\"Functional\",\"config\":{\"name\":\"m\",\"layers\":["
        "{\"name\":\"i\",\"class_name\":\"InputLayer\",\"config\":{\"name\":\"i\",\"batch_input_"
        "shape\":"
        "[null,3,3,3]},\"inbound_nodes\":[]},"
        "{\"name\":\"c\",\"class_name\":\"Conv2D\",\"config\":{\"name\":\"c\",\"filters\":2,"
        "\"kernel_size\":"
        "[2,1],\"use_bias\":false,\"strides\":[1,2]},\"inbound_nodes\":[[[\"i\",0,0,{}]]]},"
        "{\"name\":\"n\",\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"n\","
        "\"scale\":false,"
        "\"axis\":[3],\"epsilon\":0.01},\"inbound_nodes\":[[[\"c\",0,0,{}]]]}],"
        "\"input_layers\":[[\"i\",0,0]],\"output_layers\":[[\"n\",0,0]]},"
        "\"inbound_nodes\":[[[\"a\",0,0,{}]],[[\"b\",0,0,{}]]]}";
    char config[4096];
    /* call 0 of a nested model is the one that made it, in the files of some versions */
    (void)snprintf(config, sizeof config,
                   "{\"class_name\":\"Model\",\"config\":{\"name\":\"o\",\"layers\":["
                   "{\"name\":\"a\",\"class_name\":\"InputLayer\",\"config\":{\"name\":\"a\","
                   "\"batch_input_shape\":[null,3,3,3]},\"inbound_nodes\":[]},"
                   "{\"name\":\"b\",\"class_name\":\"InputLayer\",\"config\":{\"name\":\"b\","
                   "\"batch_input_shape\":[null,3,3,3]},\"inbound_nodes\":[]},%s,"
                   "{\"name\":\"s\",\"class_name\":\"Subtract\",\"config\":{\"name\":\"s\"},"
                   "\"inbound_nodes\":[[[\"m\",1,0,{}],[\"m\",2,0,{}]]]}],"
                   "\"input_layers\":[[\"a\",0,0],[\"b\",0,0]],\"output_layers\":[[\"s\",0,0]]}}",
                   inner);
    keras_file k = kf_begin(config, "2.4.0", true);
    kf_list(&k, k.group, "layer_names0", "a,b");
    kf_list(&k, k.group, "layer_names1", "m,s");
    kf_layer(&k, "a", "");
    kf_layer(&k, "b", "");
    kf_layer(&k, "s", "");
    /* frozen parts come last in such lists, whatever their order in the model */
    kf_layer(&k, "m", "n/beta:0,n/moving_mean:0,n/moving_variance:0,c/kernel:0");
    kf_weight(&k, "m/c/kernel:0", S(4, 2, 1, 3, 2), w);
    kf_weight(&k, "m/n/beta:0", S(1, 2), beta);
    kf_weight(&k, "m/n/moving_mean:0", S(1, 2), mean);
    kf_weight(&k, "m/n/moving_variance:0", S(1, 2), var);
    sqz_graph *g = load(ctx, &k);
    uint32_t turns = 0;
    SQZ_EACH_NODE(g, n) { turns += strcmp(sqz_nod(g, n)->op->info.name, "transpose") == 0; }
    assert_int_equal(turns, 3); /* one for each input, one for the output */
    double full[12];
    for (int side = 0; side < 2; side++) { /* stride 2 along W keeps columns 0 and 2 */
        conv(side ? b : a, 3, 3, 3, w, 2, 1, 2, false, full);
        for (int r = 0; r < 2; r++)
            for (int c = 0; c < 2; c++)
                for (int q = 0; q < 2; q++)
                    (side ? cb : ca)[(r * 2 + c) * 2 + q] = (full[(r * 3 + 2 * c) * 2 + q] -
                                                             (double)mean[q]) /
                                                                sqrt((double)var[q] + 0.01) +
                                                            (double)beta[q];
    }
    for (int i = 0; i < 8; i++)
        want[i] = ca[i] - cb[i];
    assert_int_equal(kf_run(ctx, g, (const float *const[]){a, b}, y, 8), 8);
    near_all(y, want, 8);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double hard(double x) { return fmin(fmax(0.2 * x + 0.5, 0), 1); }

/* One step of an LSTM: gates i f c o along the last axis of w (I,4H), u (H,4H), b (4H). */
static void lstm_step(const float *x, int n_in, int n, const float *w, const float *u,
                      const float *b, double (*gate)(double), double *h, double *c)
{
    double z[64], next[16];
    for (int j = 0; j < 4 * n; j++) {
        z[j] = (double)b[j];
        for (int i = 0; i < n_in; i++)
            z[j] += (double)x[i] * (double)w[i * 4 * n + j];
        for (int i = 0; i < n; i++)
            z[j] += h[i] * (double)u[i * 4 * n + j];
    }
    for (int j = 0; j < n; j++) {
        c[j] = gate(z[n + j]) * c[j] + gate(z[j]) * tanh(z[2 * n + j]);
        next[j] = gate(z[3 * n + j]) * tanh(c[j]);
    }
    memcpy(h, next, (size_t)n * sizeof *h);
}

/* Keras 2 has the gates in one matrix; Keras 1 had a matrix for each, in the order i c f o, and
 * hard_sigmoid. Both give all steps; go_backwards gives them in the order in which they are made.
 */
static void test_lstm_of_both_ages(void **state)
{
    (void)state;
    enum { T = 3, I = 2, H = 3 };
    static const int old[4] = {0, 2, 1, 3};
    static const char *const letter = "icfo";
    for (int age = 1; age <= 2; age++) {
        sqz_ctx *ctx = test_ctx();
        float w[I * 4 * H], u[H * 4 * H], b[4 * H], x[T * I], y[T * H], part[64];
        double h[H] = {0}, c[H] = {0}, want[T * H];
        kf_random(11, SQZ_COUNT(w), w);
        kf_random(12, SQZ_COUNT(u), u);
        kf_random(13, SQZ_COUNT(b), b);
        kf_random(14, SQZ_COUNT(x), x);
        keras_file k = kf_begin(
            age == 2
                ? "{\"class_name\":\"Sequential\",\"config\":[{\"class_name\":\"LSTM\",\"config\":{"
                  "\"name\":\"l\",\"units\":3,\"return_sequences\":true,\"go_backwards\":true,"
                  "\"batch_input_shape\":[null,3,2]}}]}"
                : "{\"class_name\":\"Sequential\",\"config\":[{\"class_name\":\"LSTM\",\"config\":{"
                  "\"name\":\"l\",\"output_dim\":3,\"return_sequences\":true,\"inner_activation\":"
                  "\"hard_sigmoid\",\"batch_input_shape\":[null,3,2]}}]}",
            age == 2 ? "2.6.0" : "1.1.0", age == 2);
        kf_list(&k, k.group, "layer_names", "l");
        if (age == 2) {
            kf_layer(&k, "l", "l/k:0,l/r:0,l/b:0");
            kf_weight(&k, "l/l/k:0", S(2, I, 4 * H), w);
            kf_weight(&k, "l/l/r:0", S(2, H, 4 * H), u);
            kf_weight(&k, "l/l/b:0", S(1, 4 * H), b);
        } else {
            kf_layer(&k, "l",
                     "l_W_i:0,l_U_i:0,l_b_i:0,l_W_c:0,l_U_c:0,l_b_c:0,l_W_f:0,l_U_f:0,l_b_f:0,"
                     "l_W_o:0,l_U_o:0,l_b_o:0");
            for (int g = 0; g < 4; g++) {
                char path[32];
                for (int r = 0; r < I; r++)
                    memcpy(part + r * H, w + r * 4 * H + old[g] * H, H * sizeof *part);
                (void)snprintf(path, sizeof path, "l/l_W_%c:0", letter[g]);
                kf_weight(&k, path, S(2, I, H), part);
                for (int r = 0; r < H; r++)
                    memcpy(part + r * H, u + r * 4 * H + old[g] * H, H * sizeof *part);
                (void)snprintf(path, sizeof path, "l/l_U_%c:0", letter[g]);
                kf_weight(&k, path, S(2, H, H), part);
                (void)snprintf(path, sizeof path, "l/l_b_%c:0", letter[g]);
                kf_weight(&k, path, S(1, H), b + old[g] * H);
            }
        }
        sqz_graph *g = load(ctx, &k);
        for (int t = 0; t < T; t++) {
            lstm_step(x + (age == 2 ? T - 1 - t : t) * I, I, H, w, u, b, age == 2 ? sigmoid : hard,
                      h, c);
            memcpy(want + t * H, h, sizeof h);
        }
        assert_int_equal(kf_run(ctx, g, (const float *const[]){x}, y, T * H), T * H);
        near_all(y, want, T * H);
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
}

/* Keras 1: two branches joined where the model begins. */
static void test_merge_joins_branches(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    float wa[6], wb[4], a[3], b[2], y[4];
    double xa[3], xb[2], want[4];
    kf_random(41, 6, wa);
    kf_random(42, 4, wb);
    kf_random(43, 3, a);
    kf_random(44, 2, b);
#define OLD_DENSE(name, in)                                                                        \
    "{\"class_name\":\"Sequential\",\"config\":[{\"class_name\":\"Dense\",\"config\":{\"name\":"   \
    "\"" name "\",\"output_dim\":2,\"bias\":false,\"input_dim\":" #in "}}]}"
    keras_file k = kf_begin("{\"class_name\":\"Sequential\",\"config\":[{\"class_name\":\"Merge\","
                            "\"config\":{\"name\":\"m\",\"mode\":\"concat\",\"concat_axis\":-1,"
                            "\"layers\":[" OLD_DENSE("p", 3) "," OLD_DENSE("q", 2) "]}}]}",
                            "1.2.2", false);
    kf_list(&k, k.group, "layer_names", "p,q,m");
    kf_layer(&k, "p", "p_W:0");
    kf_layer(&k, "q", "q_W:0");
    kf_layer(&k, "m", "");
    kf_weight(&k, "p/p_W:0", S(2, 3, 2), wa);
    kf_weight(&k, "q/q_W:0", S(2, 2, 2), wb);
    sqz_graph *g = load(ctx, &k);
    assert_int_equal(g->n_input, 2);
    for (int i = 0; i < 3; i++)
        xa[i] = (double)a[i];
    for (int i = 0; i < 2; i++)
        xb[i] = (double)b[i];
    dense(xa, 3, wa, NULL, 2, want);
    dense(xb, 2, wb, NULL, 2, want + 2);
    assert_int_equal(kf_run(ctx, g, (const float *const[]){a, b}, y, 4), 4);
    near_all(y, want, 4);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* ---- what is not read ---- */

static const char *const five =
    "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":["
    "{\"class_name\":\"Embedding\",\"config\":{\"name\":\"emb\",\"input_dim\":5,\"output_dim\":2,"
    "\"mask_zero\":true,\"batch_input_shape\":[null,4]}},"
    "{\"class_name\":\"LSTM\",\"config\":{\"name\":\"rec\",\"units\":2}},"
    "{\"class_name\":\"Lambda\",\"config\":{\"name\":\"lam\"}},"
    "{\"class_name\":\"MyLayer\",\"config\":{\"name\":\"own\"}},"
    "{\"class_name\":\"Masking\",\"config\":{\"name\":\"mask\"}},"
    "{\"class_name\":\"ConvLSTM2D\",\"config\":{\"name\":\"cl\"}}]}}";

static void test_everything_that_cannot_be_run_is_named(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    size_t n;
    float table[10] = {0};
    keras_file k = kf_begin(five, "2.8.0", true);
    kf_list(&k, k.group, "layer_names", "emb");
    kf_layer(&k, "emb", "emb/embeddings:0");
    kf_weight(&k, "emb/emb/embeddings:0", S(2, 5, 2), table);
    void *bytes = kf_end(&k, &n);
    sqz_str lines = {.ctx = ctx};
    TEST_OK(ctx, sqz_keras_unsupported(ctx, bytes, n, NULL, &lines));
    const char *const want[] = {"layer 'lam' (Lambda)",    "tf2onnx",
                                "layer 'own' (MyLayer)",   "layer 'mask' (Masking)",
                                "layer 'cl' (ConvLSTM2D)", "layer 'rec' (LSTM): a mask reaches it"};
    for (size_t i = 0; i < SQZ_COUNT(want); i++)
        if (!strstr(lines.data, want[i]))
            fail_msg("'%s' is not in:\n%s", want[i], lines.data);
    sqz_str_free(&lines);
    sqz_graph *g;
    TEST_FAILS(ctx, sqz_import_bytes(ctx, bytes, n, NULL, &g), SQZ_E_UNSUPPORTED,
               "5 things cannot be run");
    free(bytes);
    sqz_ctx_free(ctx);
}

static void fails(sqz_ctx *ctx, const char *config, const sqz_import_options *opt, sqz_status s,
                  const char *part)
{
    size_t n;
    sqz_graph *g;
    keras_file k = kf_begin(config, "2.2.0", false);
    kf_list(&k, k.group, "layer_names", "d");
    kf_layer(&k, "d", "d/kernel:0");
    kf_weight(&k, "d/d/kernel:0", S(2, 2, 2), (const float[]){1, 2, 3, 4});
    void *bytes = kf_end(&k, &n);
    TEST_FAILS(ctx, sqz_import_bytes(ctx, bytes, n, opt, &g), s, part);
    assert_null(g);
    free(bytes);
}

#define SEQ(layer) "{\"class_name\":\"Sequential\",\"config\":[" layer "]}"
#define IN2        ",\"batch_input_shape\":[null,2]"

static void test_refusals_say_what_is_wrong(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    fails(ctx, SEQ(DENSE("d", 2, IN2)), NULL, SQZ_E_FORMAT,
          "layer 'd' (Dense): the file has 1 weights for it, expected 2");
    fails(ctx, SEQ(DENSE("d", 2, ",\"use_bias\":false,\"activation\":\"wave\"" IN2)), NULL,
          SQZ_E_UNSUPPORTED, "activation 'wave' is not known");
    fails(ctx, SEQ(DENSE("d", 2, ",\"use_bias\":false,\"batch_input_shape\":[null,null,2]")), NULL,
          SQZ_E_SHAPE, "--shape 'd_input=1,<size>,2'");
    fails(ctx, SEQ(DENSE("d", 2, ",\"use_bias\":false" IN2)),
          &(sqz_import_options){.shape = "x=1,2"}, SQZ_E_ARG, "the model has no input 'x'");
    fails(ctx, SEQ(DENSE("d", 2, ",\"use_bias\":false,\"batch_input_shape\":[null,3]")), NULL,
          SQZ_E_SHAPE, "layer 'd' (Dense)");
    fails(ctx, SEQ(DENSE("d", 2, "")), NULL, SQZ_E_SHAPE, "its shape is open");
    fails(ctx,
          SEQ("{\"class_name\":\"Bidirectional\",\"config\":{\"name\":\"b\","
              "\"batch_input_shape\":[null,3,2]}}"),
          NULL, SQZ_E_FORMAT, "layer 'b' (Bidirectional): it has no layer inside");
    fails(
        ctx,
        "{\"class_name\":\"Model\",\"config\":{\"layers\":[{\"name\":\"a\",\"class_name\":\"Add\","
        "\"config\":{},\"inbound_nodes\":[[[\"a\",0,0]]]}],\"input_layers\":[[\"a\",0,0]],"
        "\"output_layers\":[[\"b\",0,0]]}}",
        NULL, SQZ_E_FORMAT, "a reference to a layer");
    fails(ctx, "[1]", NULL, SQZ_E_FORMAT, "no JSON object");
    fails(ctx, NULL, NULL, SQZ_E_FORMAT, "it has weights only");
    char deep[1024] = "{\"config\":";
    memset(deep + 10, '[', 500);
    deep[510] = 0;
    fails(ctx, deep, NULL, SQZ_E_LIMIT, "nested deeper");
    sqz_ctx_free(ctx);
}

/* ---- files that reach out ---- */

static void make_soft(hid_t g)
{
    (void)H5Lcreate_soft("/elsewhere", g, "k", H5P_DEFAULT, H5P_DEFAULT);
}
static void make_outer(hid_t g)
{
    (void)H5Lcreate_external("/etc/hostname", "/x", g, "k", H5P_DEFAULT, H5P_DEFAULT);
}
static void make(hid_t g, hid_t plist, hsize_t n, bool flat)
{
    hsize_t dim[2] = {2, n};
    hid_t space = H5Screate_simple(flat ? 1 : 2, flat ? &dim[1] : dim, NULL);
    hid_t d = H5Dcreate2(g, "k", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    (void)H5Dclose(d);
    (void)H5Sclose(space);
    (void)H5Pclose(plist);
}
static void make_stored_outside(hid_t g)
{
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    (void)H5Pset_external(p, "/etc/hostname", 0, 16);
    make(g, p, 2, false);
}
static void make_promise(hid_t g)
{
    make(g, H5Pcreate(H5P_DATASET_CREATE), (hsize_t)1 << 33, false);
}
static void make_szip(hid_t g)
{
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[2] = {2, 2};
    (void)H5Pset_chunk(p, 2, chunk);
    (void)H5Pset_scaleoffset(p, H5Z_SO_FLOAT_DSCALE, 2);
    make(g, p, 2, false);
}
static void make_text(hid_t g)
{
    hid_t space = H5Screate(H5S_SCALAR),
          d = H5Dcreate2(g, "k", H5T_C_S1, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Dclose(d);
    (void)H5Sclose(space);
}

static void test_weights_come_from_the_file_itself(void **state)
{
    static const struct bad {
        void (*make)(hid_t g);
        const char *part;
    } bads[] = {{make_soft, "is missing, or a link"},
                {make_outer, "is missing, or a link"},
                {make_stored_outside, "keeps its data in another file"},
                {make_promise, "it was not written to its end"},
                {make_szip, "is packed by filter"},
                {make_text, "does not hold numbers"}};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(bads); i++) {
        sqz_ctx *ctx = test_ctx();
        size_t n;
        sqz_graph *g;
        keras_file k = kf_begin(SEQ(DENSE("d", 2, ",\"use_bias\":false" IN2)), "2.2.0", false);
        kf_list(&k, k.group, "layer_names", "d");
        kf_layer(&k, "d", "k");
        hid_t group = H5Gopen2(k.group, "d", H5P_DEFAULT);
        bads[i].make(group);
        (void)H5Gclose(group);
        void *bytes = kf_end(&k, &n);
        sqz_status s = sqz_import_bytes(ctx, bytes, n, NULL, &g);
        if (s == SQZ_OK || !strstr(sqz_last_error(ctx), bads[i].part))
            fail_msg("%zu: status %d, '%s', expected '%s'", i, (int)s, sqz_last_error(ctx),
                     bads[i].part);
        free(bytes);
        sqz_ctx_free(ctx);
    }
}

/* ---- architecture and weights in two files ---- */

static void test_architecture_and_weights_are_joined(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    const char *json = SEQ(DENSE("d", 2, ",\"use_bias\":false" IN2));
    const char *path = "keras_weights_only.h5";
    size_t n;
    sqz_graph *g;
    float x[2] = {1, 2}, y[2];
    TEST_FAILS(ctx, sqz_import_bytes(ctx, json, strlen(json), NULL, &g), SQZ_E_FORMAT,
               "give the file that has them with --weights (quantize: --keras-weights)");
    keras_file k = kf_begin(NULL, "2.2.0", false);
    kf_list(&k, k.group, "layer_names", "d");
    kf_layer(&k, "d", "d/kernel:0");
    kf_weight(&k, "d/d/kernel:0", S(2, 2, 2), (const float[]){1, 2, 3, 4});
    void *bytes = kf_end(&k, &n);
    TEST_OK(ctx, sqz_file_write(ctx, path, bytes, n));
    free(bytes);
    TEST_OK(ctx,
            sqz_import_bytes(ctx, json, strlen(json), &(sqz_import_options){.weights = path}, &g));
    assert_int_equal(kf_run(ctx, g, (const float *const[]){x}, y, 2), 2);
    near_all(y, (const double[]){7, 10}, 2);
    sqz_graph_free(g);
    (void)remove(path);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequential_of_keras_2),
        cmocka_unit_test(test_backend_of_keras_1_is_told_by_names),
        cmocka_unit_test(test_nested_model_is_shared),
        cmocka_unit_test(test_lstm_of_both_ages),
        cmocka_unit_test(test_merge_joins_branches),
        cmocka_unit_test(test_everything_that_cannot_be_run_is_named),
        cmocka_unit_test(test_refusals_say_what_is_wrong),
        cmocka_unit_test(test_weights_come_from_the_file_itself),
        cmocka_unit_test(test_architecture_and_weights_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
