/* ew.h: what elementwise operators share. Unary ones give a map over an array: it is their float
 * run, and applied to the 256 codes of a grid it is their int8 run. Binary ones give row functions;
 * NumPy broadcasting is done here, once for every type. */
#ifndef SQZ_EW_H
#define SQZ_EW_H
#include "ir/op.h"
#include <math.h>

/* ---- types ---- */
/* Input i is float (of any width, see sqz_op_run_type) or stands on an integer grid. */
sqz_status sqz_need_real(const sqz_infer *q, unsigned i);
/* Grids of a node being prepared, NULL where float. */
static inline const sqz_quant *sqz_grid_in(const sqz_prep *p, unsigned i)
{
    return p->in_q && i < p->n_in ? p->in_q[i] : NULL;
}
static inline const sqz_quant *sqz_grid_out(const sqz_prep *p)
{
    return p->out_q ? p->out_q[0] : NULL;
}
/* *integer: the first n_in inputs and the output stand on int8 grids with one scale each. Fails
 * when only some do, or on another kind of grid. */
sqz_status sqz_need_s8(const sqz_prep *p, unsigned n_in, bool *integer);
/* One int8 grid, or none, for the output and every input. */
sqz_status sqz_need_same_grid(const sqz_prep *p);

/* ---- unary: y[i] = f(x[i]) for n elements; y may be x ---- */
typedef void (*sqz_map_fn)(const void *attrs, const float *x, float *y, size_t n);
sqz_status sqz_ew_infer(sqz_infer *q);
sqz_status sqz_ew_run(const sqz_call *c, sqz_map_fn map);
/* Integer form of every unary operator: a table of 256 codes, made in prepare. */
sqz_status sqz_lut_prepare(sqz_prep *p, sqz_map_fn map);
sqz_status sqz_lut_run(const sqz_call *c);
/* The columns that unary operators agree on; the file defines `run` and `prepare`. */
#define SQZ_EW_UNARY                                                                               \
    .n_in_min = 1, .n_in_max = 1, .n_out_min = 1, .n_out_max = 1, .layout = SQZ_L_ANY,             \
    .infer = sqz_ew_infer, .run = run, .prepare = prepare, .run_int = sqz_lut_run
#define SQZ_EW_TRAITS (SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_IN_PLACE)

/* ---- binary ---- */
/* y[i] = f(a[i], b[i]) for n elements of one type; y may be a. */
typedef void (*sqz_row_fn)(const void *arg, const void *a, const void *b, void *y, size_t n);
/* Defines a row function: `expr` of `type` a and b. */
#define SQZ_EW_ROW(name, type, expr)                                                               \
    static void name(const void *arg, const void *pa, const void *pb, void *py, size_t n)          \
    {                                                                                              \
        (void)arg;                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                           \
            type a = ((const type *)pa)[i], b = ((const type *)pb)[i];                             \
            ((type *)py)[i] = (type)(expr);                                                        \
        }                                                                                          \
    }
typedef struct sqz_rows { /* by type; NULL: not for this type */
    sqz_row_fn f32, s32, s64;
} sqz_rows;
sqz_status sqz_ew_infer2(sqz_infer *q, const sqz_rows *rows);
sqz_status sqz_ew_run2(const sqz_call *c, const sqz_rows *rows);
/* out[0] = row(in[0], in[1]) with broadcasting, elements of `elem` bytes (1, 4 or 8). */
sqz_status sqz_ew_broadcast(const sqz_call *c, size_t elem, sqz_row_fn row, const void *arg);
#define SQZ_EW_BINARY                                                                              \
    .n_in_min = 2, .n_in_max = 2, .n_out_min = 1, .n_out_max = 1,                                  \
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_IN_PLACE, .layout = SQZ_L_ANY, .infer = infer, .run = run

/* Integer add, sub (a common scale: twice the larger one) and mul: leaves an sqz_rt_binary
 * of runtime/sqz_rt.h as the state. */
sqz_status sqz_ew_add_prepare(sqz_prep *p);
sqz_status sqz_ew_mul_prepare(sqz_prep *p);

/* Import hook of variadic operators: f(f(a, b), c)...; one input: identity. */
sqz_status sqz_ew_chain(sqz_import *im, const sqz_op *op);
/* The chain over the first n inputs, result unnamed in *out, for hooks that go on. */
sqz_status sqz_ew_chain_open(sqz_import *im, const sqz_op *op, unsigned n, sqz_vid *out);
#endif
