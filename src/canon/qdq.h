/* qdq.h: what the parts of the pass fold_qdq share. */
#ifndef SQZ_QDQ_PASS_H
#define SQZ_QDQ_PASS_H
#include "ir/pass.h"

typedef struct sqz_qdq_work {
    sqz_graph *g;
    sqz_arena *a;
    sqz_uses u; /* as they were when a part began: a fold only changes its own surroundings */
    uint32_t folded;
} sqz_qdq_work;

bool sqz_qdq_is_op(const sqz_node *n, const char *name);
/* The dequantize node that makes `v`, or NULL. */
const sqz_node *sqz_qdq_source(const sqz_qdq_work *w, sqz_vid v);
bool sqz_qdq_same_grid(const sqz_quant *a, const sqz_quant *b); /* one scale each, the same */
bool sqz_qdq_is_activation(const sqz_value *v);                 /* int8 with one scale */
bool sqz_qdq_has_integer_form(const sqz_op *op);
bool sqz_qdq_is_data(const sqz_node *n, unsigned k); /* input k carries an activation */
/* Every data input is dequantized from a grid that the operator's rule allows before grid y. */
bool sqz_qdq_inputs_fit(const sqz_qdq_work *w, const sqz_node *n, const sqz_quant *y);
/* The value becomes the integer value `like`: same grid, its own name. */
sqz_status sqz_qdq_to_integers(sqz_qdq_work *w, sqz_vid v, const sqz_value *like);
/* Every quantize node behind `v` goes; its readers, and the graph's outputs, read `v`. */
sqz_status sqz_qdq_take_over(sqz_qdq_work *w, sqz_vid v);

/* qdq_spread.c: grids of integers that are only handed on; uint8 becomes int8. */
sqz_status sqz_qdq_spread(sqz_qdq_work *w);
/* qdq_hoist.c: quantize nodes go up through operators that only hand numbers on. */
sqz_status sqz_qdq_hoist(sqz_qdq_work *w);
#endif
