/* quantize.h: float graph with ranges -> integer graph. What pass_ptq.c does and fit decides. */
#ifndef SQZ_QUANTIZE_H
#define SQZ_QUANTIZE_H
#include "ir/pass.h"
#include "kernels/multiplier.h" /* sqz_multiplier */

/* true when the node matches one of the comma-separated names, regular expressions or operator
 * types. */
sqz_status sqz_node_selected(const sqz_graph *g, sqz_nid n, const char *selection, bool *yes);
#endif
