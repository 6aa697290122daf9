/* lower_ms_fused.c: what ONNX Runtime's optimizer fuses, apart again: Gelu, BiasGelu, FastGelu,
 * QuickGelu, and FusedConv, FusedGemm, FusedMatMul with their activations and transposes. */
#include "ops/build.h"
#include <stdio.h>
#include <string.h>

static double number(const sqz_import *im, const char *name, double def)
{
    const sqz_raw_attr *a = sqz_import_attr(im, name);
    return a && a->type == 1 ? (double)a->f : def;
}

static sqz_status need(const sqz_import *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (i >= im->n_in || im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    return SQZ_OK;
}

/* ---- gelu: input 1, where there is one, is added first ---- */

static sqz_status gelu_as(sqz_import *im, unsigned least, const char *attrs)
{
    sqz_build b = {.im = im};
    SQZ_TRY(need(im, least));
    sqz_vid x = im->in[0];
    if (sqz_b_in(&b, 1) != SQZ_NONE)
        x = sqz_b(&b, "add", NULL, 2, x, im->in[1]);
    return sqz_b_end(&b, 1, sqz_b(&b, "gelu", attrs, 1, x));
}
static sqz_status gelu(sqz_import *im) { return gelu_as(im, 1, NULL); }
static sqz_status bias_gelu(sqz_import *im) { return gelu_as(im, 2, NULL); }
static sqz_status fast_gelu(sqz_import *im) { return gelu_as(im, 1, "approximate=tanh"); }

/* x * sigmoid(alpha x) */
static sqz_status quick_gelu(sqz_import *im)
{
    sqz_build b = {.im = im};
    SQZ_TRY(need(im, 1));
    sqz_vid alpha = sqz_b_num(&b, number(im, "alpha", (double)1.702f), im->in[0]);
    sqz_vid s = sqz_b(&b, "sigmoid", NULL, 1, sqz_b(&b, "mul", NULL, 2, im->in[0], alpha));
    return sqz_b_end(&b, 1, sqz_b(&b, "mul", NULL, 2, im->in[0], s));
}

/* ---- activations ---- */

typedef struct activation {
    const char *name; /* of ONNX; NULL: none */
    double p[2];      /* alpha, beta, or min, max */
    unsigned n;       /* given */
} activation;

static sqz_vid activate(sqz_build *b, sqz_vid x, const activation *a)
{
    static const struct {
        const char *onnx, *op, *format; /* format: of the parameters */
        double p[2];                    /* ONNX's own */
    } row[] = {
        {"Relu", "relu", NULL, {0, 0}},
        {"Tanh", "tanh", NULL, {0, 0}},
        {"Sigmoid", "sigmoid", NULL, {0, 0}},
        {"LeakyRelu", "leaky_relu", "alpha=%.9g", {(double)0.01f, 0}},
        {"HardSigmoid", "hard_sigmoid", "alpha=%.9g beta=%.9g", {(double)0.2f, 0.5}},
        {"Clip", "clip", "min=%.9g max=%.9g", {-3.4028234663852886e38, 3.4028234663852886e38}},
    };
    char text[96];
    if (!a->name || !*a->name || b->status != SQZ_OK)
        return x;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        if (strcmp(row[i].onnx, a->name) != 0)
            continue;
        if (!row[i].format)
            return sqz_b(b, row[i].op, NULL, 1, x);
        (void)snprintf(text, sizeof text, row[i].format, a->n > 0 ? a->p[0] : row[i].p[0],
                       a->n > 1 ? a->p[1] : row[i].p[1]);
        return sqz_b(b, row[i].op, text, 1, x);
    }
    b->status = sqz_fail(b->im->g->ctx, SQZ_E_UNSUPPORTED,
                         "activation '%.60s' is not known, expected Relu, Tanh, Sigmoid, "
                         "LeakyRelu, HardSigmoid or Clip",
                         a->name);
    return SQZ_NONE;
}

/* ---- the operator inside: ONNX's own, with the attributes that it has ---- */

/* `skip`: attributes that begin so are ours. */
static sqz_status inner(sqz_import *im, const char *op_type, unsigned n_in, sqz_arena *temp,
                        sqz_vid *out)
{
    bool known;
    const char *const name[1] = {NULL};
    const sqz_op *op = sqz_op_of_onnx(op_type, 13, &known);
    sqz_raw_attr *kept = sqz_arena_alloc(temp, im->n_attr + 1u, sizeof *kept);
    sqz_import with = *im;
    if (!kept)
        return SQZ_E_NOMEM;
    if (!op || !op->onnx.import)
        return sqz_fail(im->g->ctx, SQZ_E_INTERNAL, "no operator reads %s", op_type);
    with.attr = kept;
    with.n_attr = 0;
    for (unsigned i = 0; i < im->n_attr; i++)
        if (strncmp(im->attr[i].name, "activation", 10) != 0)
            kept[with.n_attr++] = im->attr[i];
    with.op_type = op_type;
    with.opset = 13;
    with.n_in = SQZ_MIN(im->n_in, n_in);
    with.out_name = name;
    with.n_out = 1;
    with.out = out;
    return op->onnx.import(&with, op);
}

static sqz_status inner_of(sqz_import *im, const char *op_type, unsigned n_in, sqz_vid *out)
{
    sqz_arena temp = {.ctx = im->g->ctx};
    sqz_status s = inner(im, op_type, n_in, &temp, out);
    sqz_arena_free(&temp);
    return s;
}

/* act(conv(x, w, b) + z) */
static sqz_status fused_conv(sqz_import *im)
{
    sqz_build b = {.im = im};
    const sqz_raw_attr *type = sqz_import_attr(im, "activation"),
                       *p = sqz_import_attr(im, "activation_params");
    activation a = {.name = type ? type->s : NULL};
    sqz_vid y = SQZ_NONE;
    SQZ_TRY(need(im, 2));
    for (uint32_t i = 0; p && i < p->floats.n && i < SQZ_COUNT(a.p); i++)
        a.p[a.n++] = (double)p->floats.v[i];
    SQZ_TRY(inner_of(im, "Conv", 3, &y));
    if (sqz_b_in(&b, 3) != SQZ_NONE)
        y = sqz_b(&b, "add", NULL, 2, y, im->in[3]);
    return sqz_b_end(&b, 1, activate(&b, y, &a));
}

static sqz_status fused_gemm(sqz_import *im)
{
    static const char *const names[] = {"activation_alpha", "activation_beta"};
    sqz_build b = {.im = im};
    const sqz_raw_attr *type = sqz_import_attr(im, "activation");
    activation a = {.name = type ? type->s : NULL};
    sqz_vid y = SQZ_NONE;
    SQZ_TRY(need(im, 2));
    for (unsigned i = 0; i < 2 && sqz_import_attr(im, names[i]); i++)
        a.p[a.n++] = number(im, names[i], 0);
    SQZ_TRY(inner_of(im, "Gemm", 3, &y));
    return sqz_b_end(&b, 1, activate(&b, y, &a));
}

/* ---- alpha a . b of operands that are stored in other orders ---- */

/* batch: the rows come before the batch dimensions; then the last two axes change places. */
static sqz_vid turned(sqz_build *b, sqz_vid x, bool batch, bool swap)
{
    const int32_t rank = sqz_b_val(b, x)->shape.rank;
    int order[SQZ_MAX_RANK];
    char text[8 + 4 * SQZ_MAX_RANK] = "perm=";
    size_t used = strlen(text);
    if (rank < 2 || (!batch && !swap))
        return x;
    for (int i = 0; i < rank; i++)
        order[i] = i;
    for (int i = 0; batch && i < rank - 1; i++)
        order[i] = i < rank - 2 ? i + 1 : 0;
    if (swap) {
        int t = order[rank - 1];
        order[rank - 1] = order[rank - 2];
        order[rank - 2] = t;
    }
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, i ? ",%d" : "%d", order[i]);
    return sqz_b(b, "transpose", text, 1, x);
}

static sqz_status fused_matmul(sqz_import *im)
{
    sqz_build b = {.im = im};
    const double alpha = number(im, "alpha", 1);
    SQZ_TRY(need(im, 2));
    sqz_vid x = turned(&b, im->in[0], sqz_import_int(im, "transBatchA", 0) != 0,
                       sqz_import_int(im, "transA", 0) != 0);
    sqz_vid w = turned(&b, im->in[1], sqz_import_int(im, "transBatchB", 0) != 0,
                       sqz_import_int(im, "transB", 0) != 0);
    sqz_vid y = sqz_b(&b, "matmul", NULL, 2, x, w);
    if (alpha != 1)
        y = sqz_b(&b, "mul", NULL, 2, y, sqz_b_num(&b, alpha, im->in[0]));
    return sqz_b_end(&b, 1, y);
}

#define MS "com.microsoft"
static const sqz_lower rules[] = {
    {.domain = MS, .op_type = "Gelu", .since = 1, .import = gelu, .attrs = ""},
    {.domain = MS, .op_type = "BiasGelu", .since = 1, .import = bias_gelu, .attrs = ""},
    {.domain = MS, .op_type = "FastGelu", .since = 1, .import = fast_gelu, .attrs = ""},
    {.domain = MS, .op_type = "QuickGelu", .since = 1, .import = quick_gelu, .attrs = "alpha"},
    {.domain = MS,
     .op_type = "FusedConv",
     .since = 1,
     .import = fused_conv,
     .attrs = "activation|activation_params|auto_pad|dilations|group|kernel_shape|pads|strides"},
    {.domain = MS,
     .op_type = "FusedGemm",
     .since = 1,
     .import = fused_gemm,
     .attrs =
         "activation|activation_alpha|activation_beta|activation_gamma|alpha|beta|transA|transB"},
    {.domain = MS,
     .op_type = "FusedMatMul",
     .since = 1,
     .import = fused_matmul,
     .attrs = "alpha|transA|transB|transBatchA|transBatchB"},
};
const sqz_lower_set sqz_lower_ms_fused = {rules, SQZ_COUNT(rules)};
