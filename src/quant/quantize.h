/* quantize.h: float graph with ranges -> integer graph. What pass_ptq.c does and fit decides. */
#ifndef SQZ_QUANTIZE_H
#define SQZ_QUANTIZE_H
#include "ir/pass.h"
#include "kernels/multiplier.h" /* sqz_multiplier */

/* true when the node matches one of the comma-separated names, regular expressions (of the whole
 * name) or operator types: ours ("conv") or ONNX's ("Conv"). */
sqz_status sqz_node_selected(const sqz_graph *g, sqz_nid n, const char *selection, bool *yes);
/* Every entry of the selection matches a node; else SQZ_E_NOTFOUND with the entry and the nearest
 * name. */
sqz_status sqz_selection_check(const sqz_graph *g, const char *selection);
/* Next entry of a comma-separated list, without blanks around it; false at the end. */
bool sqz_next_entry(const char **list, const char **entry, size_t *n);
#endif
