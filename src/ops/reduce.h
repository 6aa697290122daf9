/* reduce.h: sums, means, extremes over any set of axes. An operator gives its fold over doubles;
 * walking the axes, types and the int8 mean are done here. Partial sums are in double and in a
 * fixed order, so that results do not depend on threads. */
#ifndef SQZ_REDUCE_H
#define SQZ_REDUCE_H
#include "ops/ew.h"
#include "ops/move.h"

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

typedef struct sqz_reducer {
    double start; /* of an accumulator */
    bool ints;    /* works on s32 and s64 too */
    /* acc[i * step] takes in x[i]; step 0: all into one */
    void (*fold)(double *acc, size_t step, const double *x, size_t n);
    double (*finish)(double acc, double n); /* NULL: as it is */
} sqz_reducer;
sqz_status sqz_reduce_infer(sqz_infer *q, const sqz_reducer *r);
sqz_status sqz_reduce_run(const sqz_call *c, const sqz_reducer *r);
void sqz_reduce_cost(const sqz_infer *q, sqz_cost *out); /* one operation for each input element */

/* Integer mean: the sum of centered codes, scaled as an average pool does. */
sqz_status sqz_reduce_mean_prepare(sqz_prep *p);
sqz_status sqz_reduce_mean_int(const sqz_call *c);

#define SQZ_REDUCE_FOLD(name, expr)                                                                \
    static void name(double *acc, size_t step, const double *x, size_t n)                          \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            double a = acc[i * step], v = x[i];                                                    \
            acc[i * step] = (expr);                                                                \
        }                                                                                          \
    }
#define SQZ_REDUCE_INFO(opname, text)                                                              \
    .info = {.name = opname,                                                                       \
             .doc = text,                                                                          \
             .opt_size = sizeof(sqz_reduce_attrs),                                                 \
             .opts = schema,                                                                       \
             .n_opts = SQZ_COUNT(schema)},                                                         \
    .n_in_min = 1, .n_in_max = 1, .n_out_min = 1, .n_out_max = 1, .layout = SQZ_L_ANY,             \
    .infer = infer, .run = run, .cost = sqz_reduce_cost
#endif
