/* coded.h: y = x . w + bias with rows of floats and constant weights that stay on their grid of 4
 * or 8 bits while they are used: gemm and matmul. The executor leaves such weights in place
 * (exec/codes.c) where sqz_coded_fits. */
#ifndef SQZ_CODED_H
#define SQZ_CODED_H
#include "ops/linear.h"

/* Weights of shape s on grid q can be packed: 4 or 8 bits, one scale, one for each output, or one
 * for each block of outputs' terms. axis: of the terms, 0 or 1. */
bool sqz_coded_fits(const sqz_quant *q, const sqz_shape *s, int32_t axis);
/* Input 1 stands on a grid beside float data. */
static inline bool sqz_is_coded(const sqz_prep *p)
{
    return p->n_in > 1 && p->in_q[1] && !p->in_q[0] && !p->out_q[0] && p->in[1]->data;
}
static inline bool sqz_call_is_coded(const sqz_call *c)
{
    return c->in_q && c->in_q[1] && !c->in_q[0];
}
typedef struct sqz_coded_options {
    int32_t axis;   /* of the terms */
    unsigned bias;  /* input slot; 0: none */
    bool int8_rows; /* the model allows rows to be rounded to int8 by blocks */
} sqz_coded_options;
sqz_status sqz_coded_prepare(sqz_prep *p, const sqz_coded_options *o);
sqz_status sqz_coded_run(const sqz_call *c);
#endif
