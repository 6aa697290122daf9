/* make_fixture DIR: what the command-line tests work on, made from a seed.
 *
 * Images: 8x8 bytes of four classes (bar, column, cross, frame) under noise. Model: conv 3x3 with
 * fixed filters, relu, maxpool, then a nearest-mean classifier whose weights are computed here from
 * the training images by plain loops: no training, and yet a network whose accuracy means
 * something. */
#include "../keras_file.h"
#include "../onnx_model.h"
#include "io/data.h"
#include <unistd.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, FILTERS = 8, POOLED = SIDE / 2, CLASSES = 4 };
enum { FEATURES = FILTERS * POOLED * POOLED, TRAIN = 256, VALID = 128, TEST = 256 };

typedef struct set {
    int64_t n;
    unsigned char *pixel; /* n x 8 x 8 */
    unsigned char *label;
} set;
typedef struct net {
    float conv[FILTERS][3][3], bias[FILTERS];
    float fc[CLASSES][FEATURES], fc_bias[CLASSES];
} net;

static void check(sqz_ctx *ctx, sqz_status s)
{
    if (s == SQZ_OK)
        return;
    fprintf(stderr, "make_fixture: %s\n", sqz_last_error(ctx));
    exit(1);
}

/* ---- images ---- */
static bool lit(int64_t label, int y, int x, int dy, int dx)
{
    y -= dy;
    x -= dx;
    switch (label) {
    case 0: return y == 3 || y == 4;
    case 1: return x == 3 || x == 4;
    case 2: return x == y || x == SIDE - 1 - y;
    default: return y == 1 || y == 6 || x == 1 || x == 6;
    }
}

static set make_set(sqz_rng *r, int64_t n)
{
    set s = {n, malloc((size_t)n * PIXELS), malloc((size_t)n)};
    for (int64_t i = 0; i < n; i++) {
        s.label[i] = (unsigned char)sqz_rng_below(r, CLASSES);
        int dy = (int)sqz_rng_below(r, 3) - 1, dx = (int)sqz_rng_below(r, 3) - 1;
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                double v = (lit(s.label[i], y, x, dy, dx) ? 150.0 : 60.0) +
                           38.0 * sqz_rng_normal(r);
                s.pixel[i * PIXELS + y * SIDE + x] = (unsigned char)(v < 0.0     ? 0.0
                                                                     : v > 255.0 ? 255.0
                                                                                 : v);
            }
    }
    return s;
}

/* ---- model ---- */
/* Features of one image, ordered channel, row, column as Flatten leaves them. */
static void features(const net *m, const unsigned char *p, double out[FEATURES])
{
    memset(out, 0, FEATURES * sizeof *out); /* relu: nothing is below 0 */
    for (int c = 0; c < FILTERS; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                double sum = (double)m->bias[c];
                for (int ky = 0; ky < 3; ky++)
                    for (int kx = 0; kx < 3; kx++) {
                        int iy = y + ky - 1, ix = x + kx - 1;
                        if (iy >= 0 && iy < SIDE && ix >= 0 && ix < SIDE)
                            sum += (double)m->conv[c][ky][kx] * p[iy * SIDE + ix] / 255.0;
                    }
                double *f = &out[(c * POOLED + y / 2) * POOLED + x / 2];
                *f = SQZ_MAX(*f, sum);
            }
}

/* score_c = f . mean_c - |mean_c|^2 / 2: the largest is the nearest mean. */
static void make_net(sqz_rng *r, const set *train, net *m)
{
    for (int c = 0; c < FILTERS; c++) {
        m->bias[c] = 0.05f;
        for (int k = 0; k < 9; k++)
            m->conv[c][k / 3][k % 3] = (float)(0.5 * sqz_rng_normal(r));
    }
    static double mean[CLASSES][FEATURES], f[FEATURES];
    double count[CLASSES] = {0};
    for (int64_t i = 0; i < train->n; i++)
        count[train->label[i]]++;
    for (int64_t i = 0; i < train->n; i++) {
        features(m, train->pixel + i * PIXELS, f);
        for (int k = 0; k < FEATURES; k++)
            mean[train->label[i]][k] += f[k] / count[train->label[i]];
    }
    for (int c = 0; c < CLASSES; c++) {
        double square = 0.0;
        for (int k = 0; k < FEATURES; k++) {
            square += mean[c][k] * mean[c][k];
            m->fc[c][k] = (float)mean[c][k];
        }
        m->fc_bias[c] = (float)(-square / 2.0);
    }
}

static void write_model(sqz_ctx *ctx, const net *w, const char *path)
{
    static model m;
    static int64_t ones[] = {1, 1, 1, 1}, twos[] = {2, 2};
    model_begin(&m, ctx, 8, 13);
    model_input(&m, "image", "batch,1,8,8");
    model_floats(&m, "conv/weight", 4, (const int64_t[]){FILTERS, 1, 3, 3}, &w->conv[0][0][0],
                 FILTERS * 9);
    model_floats(&m, "conv/bias", 1, (const int64_t[]){FILTERS}, w->bias, FILTERS);
    model_floats(&m, "fc/weight", 2, (const int64_t[]){CLASSES, FEATURES}, &w->fc[0][0],
                 (size_t)CLASSES * FEATURES);
    model_floats(&m, "fc/bias", 1, (const int64_t[]){CLASSES}, w->fc_bias, CLASSES);
    Onnx__NodeProto *conv = model_node(&m, "Conv", "conv", "image,conv/weight,conv/bias", "conv");
    Onnx__AttributeProto *pads = model_attr(&m, conv, "pads", 7);
    pads->n_ints = 4;
    pads->ints = ones;
    (void)model_node(&m, "Relu", "relu", "conv", "relu");
    Onnx__NodeProto *pool = model_node(&m, "MaxPool", "pool", "relu", "pool");
    for (int i = 0; i < 2; i++) {
        Onnx__AttributeProto *two = model_attr(&m, pool, i ? "strides" : "kernel_shape", 7);
        two->n_ints = 2;
        two->ints = twos;
    }
    (void)model_node(&m, "Flatten", "flatten", "pool", "flat");
    model_int(&m, model_node(&m, "Gemm", "fc", "flat,fc/weight,fc/bias", "logits"), "transB", 1);
    model_output(&m, "logits");
    size_t n;
    const unsigned char *bytes = model_bytes(&m, &n);
    check(ctx, sqz_file_write(ctx, path, bytes, n));
    model_end(&m);
}

static void write_constant_model(sqz_ctx *ctx, const char *path)
{
    static model m;
    model_begin(&m, ctx, 8, 13);
    model_floats(&m, "three", 1, (const int64_t[]){3}, (const float[]){1.0f, 2.0f, 3.0f}, 3);
    (void)model_node(&m, "Identity", "same", "three", "numbers");
    model_output(&m, "numbers");
    size_t n;
    const unsigned char *bytes = model_bytes(&m, &n);
    check(ctx, sqz_file_write(ctx, path, bytes, n));
    model_end(&m);
}

/* Five things that squeeze has no operators for, and one that it has. */
static void write_unsupported_model(sqz_ctx *ctx, const char *path)
{
    static model m;
    model_begin(&m, ctx, 8, 17);
    model_input(&m, "image", "1,4");
    m.in[m.g.n_input++] = model_info(&m, "words", 8, "2"); /* strings */
    (void)model_node(&m, "Relu", "act", "image", "positive");
    model_node(&m, "FancyFilter", "fancy", "positive", "filtered")->domain = model_text(
        &m, "com.example");
    (void)model_node(&m, "Convolution", "conv_7", "positive", "convolved");
    (void)model_node(&m, "NonZero", "where", "positive", "places");
    (void)model_node(&m, "SequenceConstruct", "list", "positive,image", "both");
    static const char *const output[] = {"filtered", "convolved", "places", "both", "words"};
    for (size_t i = 0; i < SQZ_COUNT(output); i++)
        model_output(&m, output[i]);
    size_t n;
    const unsigned char *bytes = model_bytes(&m, &n);
    check(ctx, sqz_file_write(ctx, path, bytes, n));
    model_end(&m);
}

/* ---- files ---- */
static void write_npz(sqz_ctx *ctx, const char *path, const set *s, int64_t first, int64_t n,
                      const char *name, unsigned n_array)
{
    float *x = malloc((size_t)n * PIXELS * sizeof *x);
    int64_t *y = malloc((size_t)n * sizeof *y);
    for (int64_t i = 0; i < n * PIXELS; i++)
        x[i] = (float)s->pixel[first * PIXELS + i] / 255.0f;
    for (int64_t i = 0; i < n; i++)
        y[i] = s->label[first + i];
    const int64_t dims[] = {n, 1, SIDE, SIDE};
    const sqz_shape xs = sqz_shape_of(4, dims), ys = sqz_shape_of(1, dims);
    sqz_array a[2] = {{.name = name}, {.name = "y"}};
    check(ctx, sqz_tensor_view(ctx, SQZ_F32, &xs, x, &a[0].t));
    check(ctx, sqz_tensor_view(ctx, SQZ_S64, &ys, y, &a[1].t));
    check(ctx, sqz_npz_write(ctx, path, a, n_array));
    free(x);
    free(y);
}

static void write_idx(sqz_ctx *ctx, const char *path, const unsigned char *p, unsigned rank,
                      const int64_t *dims)
{
    sqz_str s = {.ctx = ctx};
    const unsigned char head[4] = {0, 0, 8, (unsigned char)rank};
    size_t count = 1;
    sqz_str_addn(&s, (const char *)head, 4);
    for (unsigned i = 0; i < rank; i++) {
        const unsigned char be[4] = {0, 0, (unsigned char)(dims[i] >> 8), (unsigned char)dims[i]};
        sqz_str_addn(&s, (const char *)be, 4);
        count *= (size_t)dims[i];
    }
    sqz_str_addn(&s, (const char *)p, count);
    check(ctx, s.status);
    check(ctx, sqz_file_write(ctx, path, s.data, s.len));
    sqz_str_free(&s);
}

/* All images of class 0, and a few of each other. */
static void write_uneven(sqz_ctx *ctx, const char *path, const set *s)
{
    enum { FEW = 4 };
    set part = {0, malloc((size_t)s->n * PIXELS), malloc((size_t)s->n)};
    int64_t count[CLASSES] = {0};
    for (int64_t i = 0; i < s->n; i++) {
        if (s->label[i] && count[s->label[i]] == FEW)
            continue;
        count[s->label[i]]++;
        memcpy(part.pixel + part.n * PIXELS, s->pixel + i * PIXELS, PIXELS);
        part.label[part.n++] = s->label[i];
    }
    write_npz(ctx, path, &part, 0, part.n, "x", 2);
    free(part.pixel);
    free(part.label);
}

/* The same network as a Keras file: images (8,8,1), kernels (3,3,1,8), features with the filter
 * last. */
static void write_keras(sqz_ctx *ctx, const net *w, const char *path)
{
    static const char config[] =
        "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"net\",\"layers\":["
        "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"image\",\"batch_input_shape\":"
        "[null,8,8,1],\"dtype\":\"float32\"}},"
        "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"conv\",\"filters\":8,\"kernel_size\":[3,"
        "3],"
        "\"padding\":\"same\",\"activation\":\"relu\"}},"
        "{\"class_name\":\"MaxPooling2D\",\"config\":{\"name\":\"pool\",\"pool_size\":[2,2]}},"
        "{\"class_name\":\"Dropout\",\"config\":{\"name\":\"drop\",\"rate\":0.5}},"
        "{\"class_name\":\"Flatten\",\"config\":{\"name\":\"flat\"}},"
        "{\"class_name\":\"Dense\",\"config\":{\"name\":\"logits\",\"units\":4}}]}}";
    static float kernel[9 * FILTERS], fc[FEATURES * CLASSES];
    for (int k = 0; k < 9; k++)
        for (int f = 0; f < FILTERS; f++)
            kernel[k * FILTERS + f] = w->conv[f][k / 3][k % 3];
    for (int f = 0; f < FILTERS; f++)
        for (int i = 0; i < POOLED * POOLED; i++)
            for (int c = 0; c < CLASSES; c++)
                fc[(i * FILTERS + f) * CLASSES + c] = w->fc[c][f * POOLED * POOLED + i];
    keras_file k = kf_begin(config, "2.11.0", true);
    kf_list(&k, k.group, "layer_names", "image,conv,pool,drop,flat,logits");
    kf_layer(&k, "conv", "conv/kernel:0,conv/bias:0");
    kf_layer(&k, "logits", "logits/kernel:0,logits/bias:0");
    kf_weight(&k, "conv/conv/kernel:0", (sqz_shape){4, {3, 3, 1, FILTERS}}, kernel);
    kf_weight(&k, "conv/conv/bias:0", (sqz_shape){1, {FILTERS}}, w->bias);
    kf_weight(&k, "logits/logits/kernel:0", (sqz_shape){2, {FEATURES, CLASSES}}, fc);
    kf_weight(&k, "logits/logits/bias:0", (sqz_shape){1, {CLASSES}}, w->fc_bias);
    size_t n;
    void *bytes = kf_end(&k, &n);
    check(ctx, sqz_file_write(ctx, path, bytes, n));
    check(ctx, sqz_file_write(ctx, "model.json", config, sizeof config - 1));
    free(bytes);
}

static void write_unsupported_keras(sqz_ctx *ctx, const char *path)
{
    keras_file k = kf_begin(
        "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":["
        "{\"class_name\":\"Dropout\",\"config\":{\"name\":\"in\",\"batch_input_shape\":[null,4,2]}}"
        ","
        "{\"class_name\":\"Activation\",\"config\":{\"name\":\"wavy\",\"activation\":\"wave\"}},"
        "{\"class_name\":\"Lambda\",\"config\":{\"name\":\"lam\"}},"
        "{\"class_name\":\"MyLayer\",\"config\":{\"name\":\"own\"}},"
        "{\"class_name\":\"Masking\",\"config\":{\"name\":\"mask\"}},"
        "{\"class_name\":\"ConvLSTM2D\",\"config\":{\"name\":\"film\"}}]}}",
        "2.11.0", true);
    kf_list(&k, k.group, "layer_names", "in");
    kf_layer(&k, "in", "");
    size_t n;
    void *bytes = kf_end(&k, &n);
    check(ctx, sqz_file_write(ctx, path, bytes, n));
    free(bytes);
}

int main(int argc, char **argv)
{
    static net m;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 20240229};
    if (argc != 2)
        return 2;
    check(ctx, sqz_make_dir(ctx, argv[1]));
    if (chdir(argv[1]) != 0)
        return 1;
    set train = make_set(&r, TRAIN), valid = make_set(&r, VALID), test = make_set(&r, TEST);
    make_net(&r, &train, &m);
    write_model(ctx, &m, "model.onnx");
    write_constant_model(ctx, "constant.onnx");
    write_unsupported_model(ctx, "unsupported.onnx");
    write_keras(ctx, &m, "model.h5");
    write_unsupported_keras(ctx, "unsupported.h5");
    write_npz(ctx, "train.npz", &train, 0, TRAIN, "x", 2);
    write_uneven(ctx, "uneven.npz", &train);
    write_npz(ctx, "unlabeled.npz", &train, 0, TRAIN, "x", 1);
    write_npz(ctx, "valid.npz", &valid, 0, VALID, "x", 2);
    write_npz(ctx, "test.npz", &test, 0, TEST, "x", 2);
    write_npz(ctx, "in.npz", &test, 0, 4, "image", 1);
    write_idx(ctx, "train-images.idx", train.pixel, 3, (const int64_t[]){TRAIN, SIDE, SIDE});
    write_idx(ctx, "train-labels.idx", train.label, 1, (const int64_t[]){TRAIN});
    write_idx(ctx, "test-images.idx", test.pixel, 3, (const int64_t[]){TEST, SIDE, SIDE});
    write_idx(ctx, "test-labels.idx", test.label, 1, (const int64_t[]){TEST});
    set *all[] = {&train, &valid, &test};
    for (size_t i = 0; i < SQZ_COUNT(all); i++) {
        free(all[i]->pixel);
        free(all[i]->label);
    }
    sqz_ctx_free(ctx);
    return 0;
}
