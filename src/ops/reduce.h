/* reduce.h: sums, means, extremes over any set of axes. An operator gives its folds; walking the
 * axes, types and the int8 mean are done here. Integers are folded in
 * int64, which wraps around, floats in double, or by blocks in float where there is a kernel (float
 * rows, and lines of float columns); all in a fixed order, so that results do not depend on
 * threads.
 */
#ifndef SQZ_REDUCE_H
#define SQZ_REDUCE_H
#include "ops/ew.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct sqz_reduce_attrs {
    sqz_ints axes;
    int64_t keepdims, noop_with_empty_axes;
} sqz_reduce_attrs;
/* `opset`: from which on the axes are an input. */
#define SQZ_REDUCE_ROWS(opset)                                                                     \
    {.name = "axes",                                                                               \
     .offset = offsetof(sqz_reduce_attrs, axes),                                                   \
     .type = SQZ_A_INTS,                                                                           \
     .min = -SQZ_MAX_RANK,                                                                         \
     .max = SQZ_MAX_RANK - 1,                                                                      \
     .flags = SQZ_AF_AXIS,                                                                         \
     .slot = 1,                                                                                    \
     .since = opset,                                                                               \
     .doc = "axes that go; empty: all"},                                                           \
        {.name = "keepdims",                                                                       \
         .offset = offsetof(sqz_reduce_attrs, keepdims),                                           \
         .type = SQZ_A_BOOL,                                                                       \
         .def = 1,                                                                                 \
         .max = 1,                                                                                 \
         .doc = "reduced axes stay, with one entry"},                                              \
    {                                                                                              \
        .name = "noop_with_empty_axes",                                                            \
        .offset = offsetof(sqz_reduce_attrs, noop_with_empty_axes), .type = SQZ_A_BOOL, .max = 1,  \
        .doc = "no axes: nothing is reduced"                                                       \
    }

/* acc[i * step] takes in x[i], both double or both int64_t; step 0: all into one. Beside each
 * accumulator, SQZ_REDUCE_BLOCK further, is a second one that starts with 0. */
typedef void (*sqz_fold_fn)(void *acc, size_t step, const void *x, size_t n);
#define SQZ_REDUCE_BLOCK 256

typedef struct sqz_reducer {
    sqz_fold_fn real, whole; /* of floats; of integers (NULL: as floats) */
    sqz_fold_fn natural;     /* of uint64, where that differs from int64; NULL: as whole */
    double start;            /* of an accumulator */
    int64_t start_whole;
    bool order; /* asks which is larger: uint64 is shifted by 2^63, bool is a type of it */
    double (*finish)(double acc, double second, double n); /* NULL: as it is */
    bool sums;          /* zeros add nothing: indices of the reduced axes may leave */
    bool means;         /* they may, but what is left is the mean of fewer */
    sqz_fold_kind fast; /* what `real` is, for the kernels; none: no such kernel */
} sqz_reducer;
sqz_status sqz_reduce_infer(sqz_infer *q, const sqz_reducer *r);
sqz_status sqz_reduce_run(const sqz_call *c, const sqz_reducer *r);
void sqz_reduce_ties(sqz_ties *t, const sqz_reducer *r);
void sqz_reduce_cost(const sqz_infer *q, sqz_cost *out); /* one operation for each input element */

/* Gradients (reduce_grad.c). */
sqz_status sqz_reduce_grad_sum(const sqz_grad_call *c);
sqz_status sqz_reduce_grad_mean(const sqz_grad_call *c);
/* Where the slope is not the same for all elements (reduce_slope.c): of element x of a group whose
 * result is y, with what `collect` (NULL: nothing) gathered in s, from zeros on, over the group. */
typedef void (*sqz_reduce_collect_fn)(double s[2], double x, double y);
typedef double (*sqz_reduce_slope_fn)(double x, double y, const double s[2]);
sqz_status sqz_reduce_slope(const sqz_grad_call *c, sqz_reduce_collect_fn collect,
                            sqz_reduce_slope_fn slope);
sqz_status sqz_reduce_slope_prepare(sqz_grad_prep *p); /* with collect */
#define SQZ_REDUCE_GRAD(collect, slope)                                                            \
    static sqz_status grad(const sqz_grad_call *c) { return sqz_reduce_slope(c, collect, slope); }
#define SQZ_REDUCE_GRAD_COLUMNS                                                                    \
    .grad = grad, .grad_prepare = sqz_reduce_slope_prepare,                                        \
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_OUT
/* Integer mean: the sum of centered codes, scaled as an average pool does. */
sqz_status sqz_reduce_mean_prepare(sqz_prep *p);
sqz_status sqz_reduce_mean_int(const sqz_call *c);

/* Defines a fold over T: the expression of a (accumulator) and v. */
#define SQZ_REDUCE_FOLD(name, T, ...)                                                              \
    static void name(void *accumulator, size_t step, const void *x, size_t n)                      \
    {                                                                                              \
        T *acc = accumulator;                                                                      \
        for (size_t i = 0; i < n; i++) {                                                           \
            const T a = acc[i * step], v = ((const T *)x)[i];                                      \
            acc[i * step] = (T)(__VA_ARGS__);                                                      \
        }                                                                                          \
    }
#define SQZ_REDUCE_INFO(opname, text)                                                              \
    .info = {.name = opname,                                                                       \
             .doc = text,                                                                          \
             .opt_size = sizeof(sqz_reduce_attrs),                                                 \
             .opts = schema,                                                                       \
             .n_opts = SQZ_COUNT(schema)},                                                         \
    .n_in_min = 1, .n_in_max = 1, .n_out_min = 1, .n_out_max = 1, .layout = SQZ_L_ANY,             \
    .traits = SQZ_T_F64, .infer = infer, .run = run, .cost = sqz_reduce_cost, .ties = ties
#define SQZ_REDUCE_FUNCTIONS SQZ_REDUCE_FUNCTIONS_SINCE(18)
#define SQZ_REDUCE_FUNCTIONS_SINCE(opset)                                                          \
    static const sqz_attr schema[] = {SQZ_REDUCE_ROWS(opset)};                                     \
    static sqz_status infer(sqz_infer *q) { return sqz_reduce_infer(q, &reducer); }                \
    static void ties(sqz_ties *t) { sqz_reduce_ties(t, &reducer); }                                \
    static sqz_status run(const sqz_call *c) { return sqz_reduce_run(c, &reducer); }
#endif
