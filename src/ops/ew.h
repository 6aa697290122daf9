/* ew.h: what elementwise operators share. An operator gives one function for each C type that it
 * works on, made by macros from one expression; the type of input 0 picks it. The f32 map of a
 * unary operator, applied to the 256 codes of a grid, is its int8 run. NumPy broadcasting is done
 * here, once for every type. */
#ifndef SQZ_EW_H
#define SQZ_EW_H
#include "ir/op.h"
#include "kernels/kernels.h"
#include "ops/ties.h"
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

typedef float sqz_c_F32;
typedef double sqz_c_F64;
typedef int8_t sqz_c_S8;
typedef int16_t sqz_c_S16;
typedef int32_t sqz_c_S32;
typedef int64_t sqz_c_S64;
typedef uint8_t sqz_c_U8, sqz_c_BOOL;
typedef uint16_t sqz_c_U16;
typedef uint32_t sqz_c_U32;
typedef uint64_t sqz_c_U64;
/* One M(type, ...) for each type of a family. f16 and bf16 arrive as f32. */
#define SQZ_FLOATS(M, ...) M(F32, __VA_ARGS__) M(F64, __VA_ARGS__)
#define SQZ_SIGNED(M, ...)                                                                         \
    M(S8, __VA_ARGS__) M(S16, __VA_ARGS__) M(S32, __VA_ARGS__) M(S64, __VA_ARGS__)
#define SQZ_UNSIGNED(M, ...)                                                                       \
    M(U8, __VA_ARGS__) M(U16, __VA_ARGS__) M(U32, __VA_ARGS__) M(U64, __VA_ARGS__)
#define SQZ_WHOLES(M, ...)  SQZ_SIGNED(M, __VA_ARGS__) SQZ_UNSIGNED(M, __VA_ARGS__)
#define SQZ_NUMBERS(M, ...) SQZ_FLOATS(M, __VA_ARGS__) SQZ_WHOLES(M, __VA_ARGS__)
/* The entry of a table by type: {SQZ_NUMBERS(SQZ_EW_OF, name)}. */
#define SQZ_EW_OF(type, name) [SQZ_##type] = name##_##type,

/* ---- unary: y[i] = f(x[i]) for n elements; y may be x where both have one type ---- */
typedef void (*sqz_map_fn)(const void *attrs, const void *x, void *y, size_t n);
typedef struct sqz_ew_maps { /* by the type of x; NULL: not for it */
    sqz_map_fn of[SQZ_N_DTYPE];
    sqz_map_kind
        fast; /* the kernel for f32; none: of[SQZ_F32]. Tables of codes are made from that */
    /* The kernel and its parameters, where it has some. */
    sqz_map_kind (*choose)(const void *attrs, float p[2]);
} sqz_ew_maps;
/* Defines name_type: the expression of `v`, of type T; `setup` comes before the loop and may read
 * `opts`, the attributes. With <tgmath.h>, exp(v) and the like have the type of v. */
#define SQZ_EW_MAP(type, name, setup, ...) SQZ_EW_MAP_TO(type, T, name, setup, __VA_ARGS__)
/* The same with results of another type, as isnan has them. */
#define SQZ_EW_MAP_TO(type, to, name, setup, ...)                                                  \
    static void name##_##type(const void *opts, const void *px, void *py, size_t n)                \
    {                                                                                              \
        typedef sqz_c_##type T;                                                                    \
        const T *x = px;                                                                           \
        to *y = py;                                                                                \
        (void)opts;                                                                                \
        setup;                                                                                     \
        for (size_t i = 0; i < n; i++) {                                                           \
            const T v = x[i];                                                                      \
            y[i] = (to)(__VA_ARGS__);                                                              \
        }                                                                                          \
    }
/* Type and shape of input 0, which must be a type of the table or on a grid. */
sqz_status sqz_ew_infer(sqz_infer *q, const sqz_ew_maps *maps);
sqz_status sqz_ew_run(const sqz_call *c, const sqz_ew_maps *maps);
/* Output elements begin .. end-1 on the calling thread: by the table of codes where prepare left
 * one, else by the map. */
sqz_status sqz_ew_part(const sqz_call *c, const sqz_ew_maps *maps, size_t begin, size_t end);
/* Integer form of every unary operator: a table of 256 codes, made in prepare from the f32 map. */
sqz_status sqz_lut_prepare(sqz_prep *p, sqz_map_fn map);
sqz_status sqz_lut_run(const sqz_call *c);
sqz_status sqz_lut_part(const sqz_call *c, size_t begin, size_t end);
/* The functions of a unary operator with the table `maps`. */
#define SQZ_EW_UNARY_FUNCTIONS                                                                     \
    static sqz_status infer(sqz_infer *q) { return sqz_ew_infer(q, &maps); }                       \
    static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, &maps); }                      \
    static sqz_status part(const sqz_call *c, size_t begin, size_t end)                            \
    {                                                                                              \
        return sqz_ew_part(c, &maps, begin, end);                                                  \
    }                                                                                              \
    static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, maps.of[SQZ_F32]); }
/* For floats only, without attributes: everything from the expression. */
#define SQZ_EW_UNARY_FLOAT(...) SQZ_EW_UNARY_FAST(none, __VA_ARGS__)
/* The same with a kernel for f32. */
#define SQZ_EW_UNARY_FAST(kernel, ...)                                                             \
    SQZ_FLOATS(SQZ_EW_MAP, map, , __VA_ARGS__)                                                     \
    static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)},                           \
                                     .fast = SQZ_MAP_##kernel};                                    \
    SQZ_EW_UNARY_FUNCTIONS
/* The columns that unary operators agree on. */
#define SQZ_EW_UNARY                                                                               \
    .n_in_min = 1, .n_in_max = 1, .n_out_min = 1, .n_out_max = 1, .layout = SQZ_L_ANY,             \
    .infer = infer, .run = run, .part = part, .prepare = prepare, .run_int = sqz_lut_run,          \
    .ties = sqz_ties_elementwise
#define SQZ_EW_TRAITS (SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_IN_PLACE | SQZ_T_F64)

/* ---- binary ---- */
/* y[i] = f(a[i], b[i]) for n elements; y may be a. For three operands, arg is the third. */
typedef void (*sqz_row_fn)(const void *arg, const void *a, const void *b, void *y, size_t n);
typedef struct sqz_rows { /* by the type of a and b; NULL: not for it */
    sqz_row_fn of[SQZ_N_DTYPE];
    sqz_bin_kind fast; /* the kernel for f32; none: of[SQZ_F32] */
} sqz_rows;
/* Defines name_type: the expression of `a` and `b`, of type T. */
#define SQZ_EW_ROW(type, name, ...)  SQZ_EW_ROW_TO(type, T, name, __VA_ARGS__)
#define SQZ_EW_TEST(type, name, ...) SQZ_EW_ROW_TO(type, uint8_t, name, __VA_ARGS__)
#define SQZ_EW_ROW_TO(type, to, name, ...)                                                         \
    static void name##_##type(const void *arg, const void *pa, const void *pb, void *py, size_t n) \
    {                                                                                              \
        typedef sqz_c_##type T;                                                                    \
        const T *xa = pa, *xb = pb;                                                                \
        to *y = py;                                                                                \
        (void)arg;                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                           \
            const T a = xa[i], b = xb[i];                                                          \
            y[i] = (to)(__VA_ARGS__);                                                              \
        }                                                                                          \
    }
sqz_status sqz_ew_infer2(sqz_infer *q, const sqz_rows *rows);
sqz_status sqz_ew_run2(const sqz_call *c, const sqz_rows *rows);
sqz_status sqz_ew_part2(const sqz_call *c, const sqz_rows *rows, size_t begin, size_t end);
/* out[0] = row(in[0], in[1]) with broadcasting. */
sqz_status sqz_ew_broadcast(const sqz_call *c, sqz_row_fn row, const void *arg);
/* Its elements begin .. end-1, on the calling thread. */
sqz_status sqz_ew_broadcast_part(const sqz_call *c, sqz_row_fn row, const void *arg, size_t begin,
                                 size_t end);
/* out[0] = row(in[1], in[2]) with in[0] as arg. */
sqz_status sqz_ew_broadcast3(const sqz_call *c, sqz_row_fn row);
/* No element of an integer divisor (input 1) is 0. */
sqz_status sqz_ew_no_zero(const sqz_call *c);
#define SQZ_EW_BINARY_COLUMNS                                                                      \
    .n_in_min = 2, .n_in_max = 2, .n_out_min = 1, .n_out_max = 1, .layout = SQZ_L_ANY,             \
    .infer = infer, .run = run, .ties = sqz_ties_elementwise
#define SQZ_EW_BINARY                                                                              \
    SQZ_EW_BINARY_COLUMNS, .traits = SQZ_T_ELEMENTWISE | SQZ_T_IN_PLACE | SQZ_T_F64
/* Comparisons: bool from two numbers. */
#define SQZ_EW_COMPARE_FUNCTIONS                                                                   \
    static sqz_status infer(sqz_infer *q)                                                          \
    {                                                                                              \
        q->out_dtype[0] = SQZ_BOOL;                                                                \
        return sqz_ew_infer2(q, &rows);                                                            \
    }                                                                                              \
    static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }
#define SQZ_EW_COMPARE SQZ_EW_BINARY_COLUMNS, .traits = SQZ_T_ELEMENTWISE | SQZ_T_F64

/* Integer add, sub (sign 1, -1; on a common scale, twice the larger one) and mul: what prepare
 * leaves, NULL for a float node, is the argument of the row. */
sqz_status sqz_ew_add_prepare(sqz_prep *p, int32_t sign);
sqz_status sqz_ew_mul_prepare(sqz_prep *p);
void sqz_ew_add_row(const void *state, const void *a, const void *b, void *y, size_t n);
void sqz_ew_mul_row(const void *state, const void *a, const void *b, void *y, size_t n);

/* ---- import ---- */
/* Binary operators: before opset 7, `axis` says where the shape of b lies in that of a. */
sqz_status sqz_ew_import2(sqz_import *im, const sqz_op *op);
/* The operands of such a node, b brought to where NumPy's rules find it. */
sqz_status sqz_ew_operands(sqz_import *im, sqz_vid in[2]);
/* Variadic operators: f(f(a, b), c)...; one input: identity. */
sqz_status sqz_ew_chain(sqz_import *im, const sqz_op *op);
/* The chain over the first n inputs, result unnamed in *out, for hooks that go on. */
sqz_status sqz_ew_chain_open(sqz_import *im, const sqz_op *op, unsigned n, sqz_vid *out);
#endif
