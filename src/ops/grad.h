/* grad.h: what the gradients of operators share. All numbers are float32; see sqz_grad_call. */
#ifndef SQZ_OPS_GRAD_H
#define SQZ_OPS_GRAD_H
#include "ir/op.h"

/* ---- elementwise ---- */
/* d[i] = g[i] * slope, or added, for n elements; v: the input or the result, whatever the slope is
 * written in. d may be g. */
typedef void (*sqz_ew_grad_fn)(const void *attrs, const float *v, const float *g, float *d,
                               size_t n, bool add);
/* of_out: the slope is written in the result. */
sqz_status sqz_ew_grad(const sqz_grad_call *c, sqz_ew_grad_fn fn, bool of_out);
/* Defines `grad`: the expression is dy/dx in terms of v. `setup` comes before the loop and may read
 * `opts`. Some elements at a time, so that the compiler knows that results do not meet operands.
 * The columns of the table come with it: SQZ_EW_GRAD_COLUMNS, or ..._OUT. */
#define SQZ_GRAD_BLOCK              ((size_t)256)
#define SQZ_EW_GRAD(setup, ...)     SQZ_EW_GRAD_OF(false, setup, __VA_ARGS__)
#define SQZ_EW_GRAD_OUT(setup, ...) SQZ_EW_GRAD_OF(true, setup, __VA_ARGS__)
#define SQZ_EW_GRAD_OF(of_out, setup, ...)                                                         \
    static void slopes(const void *opts, const float *x, const float *g, float *d, size_t n,       \
                       bool add)                                                                   \
    {                                                                                              \
        typedef float T;                                                                           \
        float part[SQZ_GRAD_BLOCK];                                                                \
        (void)opts;                                                                                \
        setup;                                                                                     \
        for (; n; x += SQZ_GRAD_BLOCK) {                                                           \
            const size_t m = SQZ_MIN(n, SQZ_GRAD_BLOCK);                                           \
            for (size_t i = 0; i < m; i++) {                                                       \
                const T v = x[i];                                                                  \
                part[i] = (T)(__VA_ARGS__);                                                        \
            }                                                                                      \
            for (size_t i = 0; i < m; i++) /* apart: GCC makes a branch of g * (v > 0) */          \
                part[i] *= g[i];                                                                   \
            for (size_t i = 0; i < m; i++)                                                         \
                d[i] = add ? d[i] + part[i] : part[i];                                             \
            g += m;                                                                                \
            d += m;                                                                                \
            n -= m;                                                                                \
        }                                                                                          \
    }                                                                                              \
    static sqz_status grad(const sqz_grad_call *c) { return sqz_ew_grad(c, slopes, of_out); }
#define SQZ_EW_GRAD_COLUMNS     .grad = grad, .grad_reads = SQZ_GRAD_IN0
#define SQZ_EW_GRAD_COLUMNS_OUT .grad = grad, .grad_reads = SQZ_GRAD_OUT

/* Two operands with broadcasting: d[i] = g[i] * dy/d(operand k) for a run of n elements, where the
 * operands step by 0 or 1. */
typedef void (*sqz_row_grad_fn)(unsigned k, const float *g, const float *a, size_t step_a,
                                const float *b, size_t step_b, float *d, size_t n);
/* Sums over what was repeated. */
sqz_status sqz_ew_grad2(const sqz_grad_call *c, sqz_row_grad_fn fn);
/* Defines `grad` from both slopes, in terms of a and b. */
#define SQZ_EW_GRAD2(slope_a, slope_b)                                                             \
    static void slopes2(unsigned k, const float *g, const float *pa, size_t sa, const float *pb,   \
                        size_t sb, float *d, size_t n)                                             \
    {                                                                                              \
        typedef float T;                                                                           \
        for (size_t i = 0; i < n; i++) {                                                           \
            const T a = pa[i * sa], b = pb[i * sb];                                                \
            (void)a, (void)b;                                                                      \
            d[i] = g[i] * (T)(k == 0 ? (slope_a) : (slope_b));                                     \
        }                                                                                          \
    }                                                                                              \
    static sqz_status grad(const sqz_grad_call *c) { return sqz_ew_grad2(c, slopes2); }
#define SQZ_EW_GRAD2_COLUMNS .grad = grad, .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1

/* Products: each operand is read for the gradient of the other only. */
static inline void sqz_grad_product_reads(sqz_grad_prep *p)
{
    p->reads_in[0] = p->want & 2;
    p->reads_in[1] = p->want & 1;
}

/* ---- moves ---- */
/* in_grad[0] gets out_grad[0], element by element (views). */
sqz_status sqz_grad_copy(const sqz_grad_call *c);
/* `rows` rows of n numbers, at distances ld_to and ld_from: copied, or added. */
void sqz_grad_rows(float *to, size_t ld_to, const float *from, size_t ld_from, size_t n,
                   size_t rows, bool add);
/* Operators that sqz_maps_prepare (move.h) describes: `maps` is their prepare. Elements that
 * several outputs repeat get the sum. */
sqz_status sqz_maps_grad_prepare(sqz_grad_prep *p, sqz_status (*maps)(sqz_prep *p));
sqz_status sqz_maps_grad(const sqz_grad_call *c);
/* in_grad[k] gets the sum over the new elements of the output, which are all one number. */
void sqz_maps_grad_fill(const sqz_grad_call *c, unsigned k);
/* Operators whose run works on 4-byte integers too and only moves elements of the inputs in `data`
 * (moves_grad.c); elements that are new must be zeros. */
sqz_status sqz_moves_grad_prepare(sqz_grad_prep *p, sqz_status (*run)(const sqz_call *c),
                                  sqz_status (*prepare)(sqz_prep *p), uint32_t data);
sqz_status sqz_moves_grad(const sqz_grad_call *c);
/* The preparation that the run of the operator would get, without numbers. */
sqz_prep sqz_grad_as_prep(const sqz_grad_prep *p);

/* in_grad[k] becomes zeros where it is not added to. */
void sqz_grad_begin(const sqz_grad_call *c, unsigned k);
/* All of it, for an output that has no gradient. */
bool sqz_grad_none(const sqz_grad_call *c);
#endif
