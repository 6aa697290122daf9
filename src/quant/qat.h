/* qat.h: quantization-aware training. The float graph that was quantized, batch norms folded, gets
 * a fake quantization for every grid of the quantized graph, on activations and on weights, whose
 * scales are trained with the weights (LSQ: Esser et al. 2020), from those of the quantized graph
 * on. Zero points stay. Afterwards codes and scales go back into the quantized graph, which then
 * computes what was trained: the same codes at every value, but where a number lies within the
 * rounding of both arithmetics of the border between two codes. */
#ifndef SQZ_QAT_H
#define SQZ_QAT_H
#include "ir/pass.h"
#include "train/trainer.h"

typedef struct sqz_qat_options {
    int64_t batch;     /* 0: as the inputs stand */
    bool fixed_scales; /* those of the quantized graph are kept */
    double rate;       /* factor of the learning rate for scales; 0: 1 */
} sqz_qat_options;

typedef struct sqz_qat sqz_qat;
/* `quantized` was made of `reference` by ptq (and what refines its codes, which are taken no notice
 * of: training begins with the float weights). Both may go afterwards. */
sqz_status sqz_qat_make(const sqz_graph *reference, const sqz_graph *quantized,
                        const sqz_qat_options *o, sqz_qat **out);
void sqz_qat_free(sqz_qat *q); /* NULL is fine */
/* To append losses to, and to train. It has no batch norms that move. */
sqz_training *sqz_qat_training(sqz_qat *q);
sqz_training sqz_qat_take(sqz_qat *q); /* the same, then the caller's */
const sqz_trained *sqz_qat_trained(const sqz_qat *q, uint32_t *n);
/* Numbers of everything in that list, in order, into the quantized graph. */
sqz_status sqz_qat_write(const sqz_qat *q, const float *const *numbers, sqz_graph *quantized);
/* The fake quantization whose result stands for value v of the quantized graph: its output in the
 * training graph, SQZ_NONE: none. For tests, and to look inside. */
sqz_vid sqz_qat_value(const sqz_qat *q, sqz_vid v);
#endif
