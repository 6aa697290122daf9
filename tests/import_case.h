/* import_case.h: one ONNX node on constants or inputs, through the import hook of its operator. */
#ifndef SQZ_TEST_IMPORT_CASE_H
#define SQZ_TEST_IMPORT_CASE_H
#include "io/import.h"
#include "ops_test.h"

typedef struct fixture {
    sqz_ctx *ctx;
    sqz_graph *g;
    sqz_vid in[6], out[3];
    unsigned n_in, n_out;
    sqz_raw_attr attr[6];
    unsigned n_attr;
} fixture;

static inline void begin(fixture *f)
{
    memset(f, 0, sizeof *f);
    f->ctx = test_ctx();
    f->n_out = 1;
    TEST_OK(f->ctx, sqz_graph_create(f->ctx, &f->g));
}
static inline void end(fixture *f)
{
    sqz_graph_free(f->g);
    sqz_ctx_free(f->ctx);
}
static inline void input(fixture *f, sqz_shape s)
{
    TEST_OK(f->ctx, sqz_graph_input(f->g, NULL, SQZ_F32, &s, &f->in[f->n_in++]));
}
static inline void constant(fixture *f, sqz_dtype d, sqz_shape s, const double *v)
{
    sqz_tensor t;
    TEST_OK(f->ctx, sqz_tensor_alloc(f->ctx, d, &s, &t));
    for (size_t i = 0; i < t.count; i++) /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage) */
        sqz_tensor_set_f64(&t, i, v[i]); /* v has as many numbers as s */
    TEST_OK(f->ctx, sqz_graph_constant(f->g, NULL, &t, &f->in[f->n_in++]));
}
#define CONSTANT(f, d, ...)                                                                        \
    constant(f, d, SHAPE((int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))),             \
             (double[]){__VA_ARGS__})
static inline void left_out(fixture *f) { f->in[f->n_in++] = SQZ_NONE; }
static inline void attr_i(fixture *f, const char *name, int64_t v)
{
    f->attr[f->n_attr++] = (sqz_raw_attr){.name = name, .type = 2, .i = v};
}
static inline void attr_f(fixture *f, const char *name, float v)
{
    f->attr[f->n_attr++] = (sqz_raw_attr){.name = name, .type = 1, .f = v};
}
static inline void attr_s(fixture *f, const char *name, const char *v)
{
    f->attr[f->n_attr++] = (sqz_raw_attr){.name = name, .type = 3, .s = v};
}
static inline void attr_ints(fixture *f, const char *name, uint32_t n, const int64_t *v)
{
    f->attr[f->n_attr++] = (sqz_raw_attr){.name = name, .type = 7, .ints = {n, v}};
}
#define INTS(f, name, ...) /* compound literals live as long as the calling block */               \
    attr_ints(f, name, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static inline sqz_status import(fixture *f, const char *op_type, int64_t opset)
{
    static const char *const names[] = {"y0", "y1", "y2"};
    bool known;
    const sqz_lower *lower = sqz_lower_find("", op_type, opset, &known);
    const sqz_op *op = sqz_op_of_onnx(op_type, opset, &known);
    assert_true(lower || op);
    sqz_import im = {.g = f->g,
                     .op_type = op_type,
                     .name = "node",
                     .opset = opset,
                     .attr = f->attr,
                     .n_attr = f->n_attr,
                     .in = f->in,
                     .n_in = f->n_in,
                     .out_name = names,
                     .n_out = f->n_out,
                     .out = f->out};
    if (lower)
        return lower->refused ? sqz_fail(f->ctx, SQZ_E_UNSUPPORTED, "%s", lower->refused)
                              : lower->import(&im);
    return op->onnx.import ? op->onnx.import(&im, op) : sqz_import_node(&im, op, NULL, NULL, 0);
}

/* The only output as numbers: everything it is computed from is constant. */
static inline const sqz_tensor *folded(fixture *f)
{
    TEST_OK(f->ctx, sqz_fold_value(f->g, f->out[0]));
    const sqz_tensor *t = sqz_val(f->g, f->out[0])->constant;
    assert_non_null(t);
    return t;
}
static inline void assert_numbers(const sqz_tensor *t, const double *want, size_t n)
{
    assert_int_equal(t->count, n);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(sqz_tensor_f64(t, i) - want[i]) < 1e-6);
}
#define ASSERT_NUMBERS(t, ...)                                                                     \
    assert_numbers(t, (double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double))
/* The graph's text contains `part`. */
static inline void assert_text(fixture *f, const char *part)
{
    sqz_str s = {.ctx = f->ctx};
    TEST_OK(f->ctx, sqz_graph_print(f->g, 64, &s));
    if (!strstr(s.data, part))
        fail_msg("no '%s' in:\n%s", part, s.data);
    sqz_str_free(&s);
}
#endif
