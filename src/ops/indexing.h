/* indexing.h: what the operators share whose indices are tensors: gather_elements, gather_nd, and
 * the scatters, which write where those read. Indices may be computed from data: they are checked
 * when they are there. */
#ifndef SQZ_INDEXING_H
#define SQZ_INDEXING_H
#include "ops/move.h"

/* ---- indices as large as what is read or written: entry (i,j,k) stands for element (index,j,k)
 * of the data, axis 0 for example ---- */
sqz_status sqz_elements_infer(const sqz_infer *q, int64_t axis); /* types, shapes */
typedef struct sqz_elements {
    int32_t rank;
    size_t rows, width;                           /* of the indices: along the last axis */
    size_t dim[SQZ_MAX_RANK], step[SQZ_MAX_RANK]; /* of the indices; of the data, axis: 0 */
    size_t stride;                                /* of the axis in the data */
    int64_t n;                                    /* length of the axis */
} sqz_elements;
/* Checks the indices as well. */
sqz_status sqz_elements_of(sqz_ctx *ctx, const sqz_tensor *data, const sqz_tensor *index,
                           int64_t axis, sqz_elements *out);
/* Element of the data at index 0 of the axis, for the first entry of a row of indices; the next
 * entries are step[rank - 1] further. */
size_t sqz_elements_base(const sqz_elements *e, size_t row);

/* ---- indices that are tuples along the last axis: (.., m) stands for slice
 * data[b0, .., t0, .., t(m-1), ...] ---- */
typedef struct sqz_tuples {
    size_t n, m, each, slice;  /* tuples; length of one; tuples of a batch entry; elements */
    size_t batch;              /* elements of the data for each batch entry */
    size_t step[SQZ_MAX_RANK]; /* of the data, for each index of a tuple */
    int64_t dim[SQZ_MAX_RANK];
} sqz_tuples;
sqz_status sqz_tuples_infer(const sqz_infer *q, int64_t batch_dims);
/* Checks the indices as well. */
sqz_status sqz_tuples_of(sqz_ctx *ctx, const sqz_tensor *data, const sqz_tensor *index,
                         int64_t batch_dims, sqz_tuples *out);
/* First element of the data that tuple i names. */
size_t sqz_tuples_at(const sqz_tuples *t, const sqz_tensor *index, size_t i);

/* ---- order ---- */
/* An unsigned number for element i, in the order of the elements: -0 is 0, NaN is the largest. */
uint64_t sqz_order_key(const sqz_tensor *t, size_t i);

/* ---- scatters ---- */
/* none, min and max are the same on codes of a grid as on numbers; add and mul are not. So these
 * two are operators of their own: sqz_op_scatter_*_reduce, with the same attributes. */
enum { SQZ_SCATTER_NONE, SQZ_SCATTER_ADD, SQZ_SCATTER_MUL, SQZ_SCATTER_MIN, SQZ_SCATTER_MAX };
typedef struct sqz_scatter_attrs {
    int64_t axis, reduction;
} sqz_scatter_attrs;
extern const sqz_attr sqz_scatter_elements_schema[2], sqz_scatter_nd_schema[1];
sqz_status sqz_scatter_elements_infer(sqz_infer *q);
sqz_status sqz_scatter_elements_run(const sqz_call *c);
sqz_status sqz_scatter_nd_infer(sqz_infer *q);
sqz_status sqz_scatter_nd_run(const sqz_call *c);
/* Gradients of all four (scatter_grad.c). */
sqz_status sqz_scatter_grad_prepare(sqz_grad_prep *p);
sqz_status sqz_scatter_elements_grad(const sqz_grad_call *c);
sqz_status sqz_scatter_nd_grad(const sqz_grad_call *c);
/* Only the reductions of this operator, of the two. */
sqz_status sqz_scatter_check(const sqz_infer *q, bool sums);
/* Import hook of the first of the two: picks by the reduction. `sums`: name of the other. */
sqz_status sqz_scatter_import(sqz_import *im, const sqz_op *op, const char *sums);
#endif
