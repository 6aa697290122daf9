/* codes.h: weights that stay on their integer grid while they are used. */
#ifndef SQZ_CODES_H
#define SQZ_CODES_H
#include "ir/op.h"

/* In an executor's own clone: operators with the trait SQZ_T_CODED take constants on a grid that
 * suits them straight from there, without the dequantize (and the transpose) in between. */
sqz_status sqz_keep_codes(sqz_graph *g);
/* Only the weight of n stands on a grid, and its operator takes it so. */
bool sqz_node_is_coded(const sqz_graph *g, const sqz_node *n);
#endif
