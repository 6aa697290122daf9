/* product.h: float products y(r,j) = sum over k of x(r,k) * w(j,k) with a packed right side:
 * conv2d, conv_transpose, gemm, matmul. What was fused into the node is done chunk by chunk. */
#ifndef SQZ_PRODUCT_H
#define SQZ_PRODUCT_H
#include "ops/linear.h"

/* ---- the right side ---- */
typedef struct sqz_product {
    sqz_weights w;      /* where the weights lie in input w.slot */
    size_t n;           /* outputs of a group */
    sqz_packed *packed; /* one for each group */
    size_t shared;      /* bytes at the begin of the scratch for weights that are not constant */
} sqz_product;
/* Packs constant weights with their biases; others wait for sqz_product_start. */
sqz_status sqz_product_prepare(sqz_prep *p, const sqz_weights *w, sqz_product *out);
void sqz_product_start(const sqz_call *c, sqz_product *p); /* before the chunks of a run */

/* ---- a part of the result ---- */
typedef struct sqz_product_rows {
    sqz_left l;        /* of group 0 */
    size_t group;      /* bytes from there to the next group */
    size_t first;      /* row of the output that row 0 of l belongs to */
    size_t begin, end; /* outputs of every group */
} sqz_product_rows;
sqz_status sqz_product_run(const sqz_call *c, const sqz_product *p, const sqz_product_rows *r);

/* The same to results that something else has computed: rows [begin, end) of n outputs. */
sqz_status sqz_fused_rows(const sqz_call *c, size_t n, size_t begin, size_t end);

/* ---- how the work is divided, by shapes only: into ranges of units (lines of images, rows of a
 * matrix) times ranges of outputs ---- */
typedef struct sqz_division {
    size_t units, plane; /* a range of units is a part of one plane or some whole planes */
    size_t n_ranges, n_outputs;
} sqz_division;
/* Each unit has `rows` rows of the product and reads and writes `bytes`. s->units and plane are
 * set. */
void sqz_product_divide(const sqz_product *p, size_t rows, size_t bytes, sqz_division *s);
typedef struct sqz_chunk {
    size_t range, unit, unit_end, begin, end; /* units, outputs */
} sqz_chunk;
/* Chunk i of n_ranges * n_outputs: all ranges of units with the same outputs follow one another. */
sqz_chunk sqz_chunk_at(const sqz_division *s, size_t n, size_t i);

/* ---- the left side is a matrix as it lies ---- */
typedef struct sqz_matrix {
    sqz_product p;
    sqz_division s;
    size_t step; /* bytes from row to row; groups lie side by side in it */
    bool blas;   /* weights that another node computes, for so few rows that packing does not pay */
} sqz_matrix;
/* Adds what it needs to p->scratch_bytes. */
sqz_status sqz_matrix_prepare(sqz_prep *p, const sqz_weights *w, size_t rows, size_t step,
                              sqz_matrix *out);
sqz_status sqz_matrix_run(const sqz_call *c, sqz_matrix *m);
#endif
