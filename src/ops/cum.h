/* cum.h: what cum_sum and cum_prod share: y[i] = x[0] o x[1] o ... o x[i] along an axis, or without
 * x[i] itself, or from the end. */
#ifndef SQZ_CUM_H
#define SQZ_CUM_H
#include "ops/ew.h"

typedef struct sqz_cum_attrs {
    int64_t axis, exclusive, reverse;
} sqz_cum_attrs;
extern const sqz_attr sqz_cum_schema[3];

/* n elements, `step` apart (backwards: negative), y may be x. */
typedef void (*sqz_cum_fn)(const void *x, void *y, size_t n, ptrdiff_t step, bool exclusive);
typedef struct sqz_cum_table { /* by type; NULL: not for it */
    sqz_cum_fn of[SQZ_N_DTYPE];
} sqz_cum_table;
/* Defines name_type, accumulating in `sum` (double for floats, uint64_t for integers: these wrap
 * around): the expression of s, so far, and v. */
#define SQZ_CUM_SCAN(type, name, sum, start, ...)                                                  \
    static void name##_##type(const void *px, void *py, size_t n, ptrdiff_t step, bool exclusive)  \
    {                                                                                              \
        const sqz_c_##type *x = px;                                                                \
        sqz_c_##type *y = py;                                                                      \
        sum s = start;                                                                             \
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {                                             \
            const sum before = s, v = (sum)x[i * step];                                            \
            s = __VA_ARGS__;                                                                       \
            y[i * step] = (sqz_c_##type)(exclusive ? before : s);                                  \
        }                                                                                          \
    }
sqz_status sqz_cum_infer(sqz_infer *q);
sqz_status sqz_cum_run(const sqz_call *c, const sqz_cum_table *table);
#define SQZ_CUM_COLUMNS(opname, text)                                                              \
    .info = {.name = opname,                                                                       \
             .doc = text,                                                                          \
             .opt_size = sizeof(sqz_cum_attrs),                                                    \
             .opts = sqz_cum_schema,                                                               \
             .n_opts = SQZ_COUNT(sqz_cum_schema)},                                                 \
    .n_in_min = 1, .n_in_max = 1, .n_out_min = 1, .n_out_max = 1,                                  \
    .traits = SQZ_T_F64 | SQZ_T_IN_PLACE, .layout = SQZ_L_ANY, .infer = sqz_cum_infer, .run = run, \
    .quant = {.kind = SQZ_Q_FLOAT}
#endif
