/* mod: y = the remainder of a / b, with broadcasting. fmod 0: it has the sign of b, as in Python;
 * fmod 1: that of a, as in C. */
#include "ops/ew.h"
#include "ops/grad.h"

typedef struct attrs {
    int64_t fmod;
} attrs;
static const sqz_attr schema[] = {{.name = "fmod",
                                   .offset = offsetof(attrs, fmod),
                                   .type = SQZ_A_BOOL,
                                   .max = 1,
                                   .doc = "the remainder has the sign of the dividend"}};

#define AS_IN_C (((const attrs *)arg)->fmod != 0)

static double floor_mod(double a, double b)
{
    const double r = fmod(a, b);
    return r == 0 ? copysign(0, b) : (r < 0) != (b < 0) ? r + b : r;
}
/* remainders of float32 are exact in double, but for the last sum */
SQZ_FLOATS(SQZ_EW_ROW, row, AS_IN_C ? fmod((double)a, (double)b) : floor_mod((double)a, (double)b))

static int64_t whole_mod(int64_t a, int64_t b, bool as_in_c)
{
    const int64_t r = b == -1 ? 0 : a % b; /* lowest % -1 overflows */
    return !as_in_c && r && (r < 0) != (b < 0) ? r + b : r;
}
SQZ_SIGNED(SQZ_EW_ROW, row, whole_mod(a, b, AS_IN_C))
SQZ_UNSIGNED(SQZ_EW_ROW, row, a % b)
static const sqz_rows rows = {.of = {SQZ_NUMBERS(SQZ_EW_OF, row)}};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static sqz_status run(const sqz_call *c)
{
    SQZ_TRY(sqz_ew_no_zero(c));
    return sqz_ew_run2(c, &rows);
}

/* y = a - b * q, q the whole quotient, which is flat but for its steps. */
SQZ_EW_GRAD2(1, -floor((double)a / (double)b))
static void slopes_as_in_c(unsigned k, const float *g, const float *a, size_t step_a,
                           const float *b, size_t step_b, float *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d[i] = k == 0
                   ? g[i]
                   : (float)((double)g[i] * -trunc((double)a[i * step_a] / (double)b[i * step_b]));
}
static sqz_status grad_mod(const sqz_grad_call *c)
{
    return ((const attrs *)c->attrs)->fmod ? sqz_ew_grad2(c, slopes_as_in_c) : grad(c);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "fmod=1", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {1, {4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{2, {3, 1}}, {3, {2, 1, 5}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {0}}, .constant = 2, .lo = 0.5, .hi = 2},
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {4}}},
     .lo = 1,
     .hi = 9,
     .dtype = {SQZ_S64, SQZ_S64}},
};

const sqz_op sqz_op_mod = {
    .info = {.name = "mod",
             .doc = "remainder of a / b",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_BINARY,
    .grad = grad_mod,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Mod", .since = 10},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
