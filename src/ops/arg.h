/* arg.h: what arg_max and arg_min share: where along an axis the best element is. NaN is best. */
#ifndef SQZ_ARG_H
#define SQZ_ARG_H
#include "ops/ew.h"

typedef struct sqz_arg_attrs {
    int64_t axis, keepdims, select_last_index;
} sqz_arg_attrs;
extern const sqz_attr sqz_arg_schema[3];

/* Index of the best of n elements `step` apart; `last`: of equals, the last. */
typedef size_t (*sqz_arg_fn)(const void *x, size_t n, size_t step, bool last);
typedef struct sqz_arg_table { /* by type; NULL: not for it */
    sqz_arg_fn of[SQZ_N_DTYPE];
} sqz_arg_table;
/* Defines name_type: whether `a` beats `b`. */
#define SQZ_ARG_FIND(type, name, ...)                                                              \
    static size_t name##_##type(const void *px, size_t n, size_t step, bool last)                  \
    {                                                                                              \
        const sqz_c_##type *x = px;                                                                \
        size_t best = 0;                                                                           \
        for (size_t i = 1; i < n; i++) {                                                           \
            const sqz_c_##type a = x[i * step], b = x[best * step];                                \
            if ((__VA_ARGS__) || (last && a == b))                                                 \
                best = i;                                                                          \
        }                                                                                          \
        return best;                                                                               \
    }
sqz_status sqz_arg_infer(sqz_infer *q);
sqz_status sqz_arg_run(const sqz_call *c, const sqz_arg_table *table);
#define SQZ_ARG_COLUMNS(opname, text)                                                              \
    .info = {.name = opname,                                                                       \
             .doc = text,                                                                          \
             .opt_size = sizeof(sqz_arg_attrs),                                                    \
             .opts = sqz_arg_schema,                                                               \
             .n_opts = SQZ_COUNT(sqz_arg_schema)},                                                 \
    .n_in_min = 1, .n_in_max = 1, .n_out_min = 1, .n_out_max = 1, .traits = SQZ_T_F64,             \
    .layout = SQZ_L_ANY, .infer = sqz_arg_infer, .run = run, .quant = {.kind = SQZ_Q_FLOAT}
#endif
