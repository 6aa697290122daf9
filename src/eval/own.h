/* own.h: the error that each layer makes by itself. One graph is made of the quantized one in which
 * every layer reads what the reference network computes, put on the grids of its inputs: all layers
 * side by side, so that one run tells them apart. A layer behind the guilty one is good here. */
#ifndef SQZ_OWN_H
#define SQZ_OWN_H
#include "eval/layers.h"

typedef struct sqz_own sqz_own;
/* `list`: pairs of sqz_layers_pair, which stay the caller's. */
sqz_status sqz_own_open(const sqz_graph *g, const sqz_layer_error *list, uint32_t n, sqz_own **out);
/* Runs the layers on what b->reference_exec has computed, and adds to own_noise and the like. */
sqz_status sqz_own_add(sqz_own *o, const sqz_runner_batch *b, sqz_layer_error *list);
void sqz_own_close(sqz_own *o); /* NULL is fine */
#endif
