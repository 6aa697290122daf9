/* without.h: what a quantized graph would be with one of its nodes left float. */
#ifndef SQZ_WITHOUT_H
#define SQZ_WITHOUT_H
#include "ir/op.h"

/* Node n of g computes in float, with the constants of the node of the same name in the reference;
 * what it hands on is on the grid that it was on. SQZ_E_NOTFOUND when the reference has no such
 * node, or another operator under its name. */
sqz_status sqz_graph_float_node(sqz_graph *g, sqz_nid n, const sqz_graph *reference);
/* Bytes of the constants that node n reads, through nodes that only dequantize, with their grids.
 */
double sqz_node_constant_bytes(const sqz_graph *g, sqz_nid n);
/* The same of all constants of g, each once. */
double sqz_graph_constant_bytes(const sqz_graph *g);
#endif
