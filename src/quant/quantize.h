/* quantize.h: float graph with ranges -> integer graph. What pass_ptq.c does and fit decides. */
#ifndef SQZ_QUANTIZE_H
#define SQZ_QUANTIZE_H
#include "ir/pass.h"

/* Multiplier and shift of docs/numerics.md for a real factor m > 0 (0 gives 0, 0). */
void sqz_multiplier(double m, int32_t *mult, int32_t *shift);
/* true when the node matches one of the comma-separated names, regular expressions or operator
 * types. */
sqz_status sqz_node_selected(const sqz_graph *g, sqz_nid n, const char *selection, bool *yes);
#endif
