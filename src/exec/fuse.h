/* fuse.h: elementwise nodes that are computed together with the node in front of them. */
#ifndef SQZ_FUSE_H
#define SQZ_FUSE_H
#include "exec/exec.h"

typedef struct sqz_link {
    sqz_nid node;
    uint16_t slot; /* input that is the result so far */
} sqz_link;
/* What is fused into a node: bias, residual and clamp into its epilogue (float operators with the
 * trait SQZ_T_FUSES), the rest as a chain of parts on the memory of the result. */
typedef struct sqz_chain {
    sqz_vid own;       /* what the node itself computes; its out[0] is now the end of the chain */
    uint16_t n_in;     /* its own inputs; those of the chain follow, for the memory plan */
    sqz_vid bias, add; /* SQZ_NONE: none */
    float lo, hi;
    uint32_t n_then;
    sqz_link *then;
} sqz_chain;

/* The node's integer form runs: first input and first output stand on int8 grids. */
bool sqz_runs_integer(const sqz_graph *g, const sqz_node *n);
/* Takes what can be fused out of the order of g (an executor's own clone). chain[n]: of node n,
 * NULL: nothing fused; into[n]: the node that n was fused into, n when it was not. Both n_node
 * long, in `a`. */
sqz_status sqz_fuse(sqz_graph *g, sqz_arena *a, sqz_chain ***chain, sqz_nid **into);
#endif
