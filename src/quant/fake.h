/* fake.h: a float graph that imitates the quantized one that was made of it: a fake quantization on
 * every edge where the quantized graph has a grid. Ids of nodes are those of both. Shared by blocks
 * that are rounded together and by quantization-aware training. */
#ifndef SQZ_QUANT_FAKE_H
#define SQZ_QUANT_FAKE_H
#include "quant/site.h"

typedef struct sqz_fake { /* an activation's grid */
    sqz_vid owner;        /* of the quantized graph: the value that has it */
    sqz_vid in, out;      /* of the net: before it, behind it */
    sqz_nid node;         /* of the net: fake_quantize */
    sqz_vid scale, keep;  /* of the net: constant, and input (SQZ_NONE: none) */
    float start;          /* scale */
    int bits;
} sqz_fake;
typedef struct sqz_fake_options {
    bool keep;     /* with an input for each grid that says which elements stay float */
    bool outputs;  /* of the graph, too */
    double factor; /* of the gradient of scales is factor / sqrt(N highest code), N the numbers of a
                      sample (Esser et al. 2020); 0: it is 1 */
} sqz_fake_options;
/* Nodes of `net` from the begin on are those of `quantized`; list in `a`. */
sqz_status sqz_fake_edges(sqz_graph *net, const sqz_graph *quantized, const sqz_fake_options *o,
                          sqz_arena *a, sqz_fake **list, uint32_t *n);
/* The value whose grid the numbers of v stand on: v, or what is dequantized to it; SQZ_NONE. */
sqz_vid sqz_grid_owner(const sqz_graph *quantized, sqz_vid v);
/* Constants of the net get the numbers that the quantized graph computes with; weights of these
 * sites are left to who tunes them. */
sqz_status sqz_fake_constants(sqz_graph *net, const sqz_graph *quantized, const sqz_site *site,
                              uint32_t n_site);
/* A bias that only the quantized graph has becomes one of the net. *b: it, SQZ_NONE: none. */
sqz_status sqz_fake_bias(sqz_graph *net, const sqz_graph *quantized, const sqz_site *s, sqz_vid *b);
/* A constant of n numbers, in the arena of nobody: the graph's. */
sqz_status sqz_fake_constant(sqz_graph *g, const float *x, size_t n, sqz_vid *out);
#endif
