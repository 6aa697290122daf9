/* site.h: a site is a node with weights on a grid: y = sum over cols of w(row, col) * x + b(row),
 * in groups of rows that read the same patches of x. Convolutions, depthwise and transposed ones,
 * gemm and matmul look alike here; the terms of a row are ordered as patches are: kd, ky, kx,
 * channel. */
#ifndef SQZ_SITE_H
#define SQZ_SITE_H
#include "ir/pass.h"
#include "ops/window.h"

typedef struct sqz_site {
    sqz_nid node;           /* the same in both graphs */
    sqz_vid x, y, w, b;     /* of the float graph: data, result, weights, bias (SQZ_NONE) */
    sqz_vid qx, qy, qw, qb; /* of the quantized graph; qw holds the codes */
    unsigned weight_slot, bias_slot; /* inputs of the node; bias_slot 0: it takes none */
    size_t rows, cols, groups;       /* rows / groups rows read patches of the same channels */
    size_t c_in, depth, taps;        /* channels of x, of a group; cols = taps * depth */
    size_t ld_row, ld_col;           /* element (row, col) of the weights, where not `transposed` */
    bool window_op, transposed;      /* a convolution; a transposed one */
    sqz_window window;               /* of convolutions: kernel, strides, padding, sizes */
    int lo, hi;                      /* codes */
    float clip_lo, clip_hi;          /* of a relu or clip that alone reads y; else -inf, inf */
    bool alone;                      /* no other node uses the codes */
    bool shared; /* an earlier site has the same codes: they are refined there */
} sqz_site;

/* All sites of a quantized graph and the float graph that it was made of, in execution order; in
 * `a`. Codes of S8 and S4 beside integer or float data, also through dequantize. */
sqz_status sqz_sites(const sqz_graph *reference, const sqz_graph *quantized, sqz_arena *a,
                     sqz_site **list, uint32_t *n);
/* What a pass that refines needs: the float graph and calibration data; else a sentence that names
 * the pass. */
sqz_status sqz_sites_ready(const sqz_graph *g, const sqz_env *env, const char *pass,
                           const sqz_graph **reference);
/* Place of (row, col) in the tensors of weights. */
size_t sqz_site_at(const sqz_site *s, size_t row, size_t col);
static inline size_t sqz_site_group(const sqz_site *s, size_t row)
{
    return row / (s->rows / s->groups);
}

/* Arrays are rows x cols, row after row. */
sqz_status sqz_site_weights(const sqz_graph *reference, const sqz_site *s, float *w);
sqz_status sqz_site_codes(const sqz_graph *quantized, const sqz_site *s, int8_t *codes);
sqz_status sqz_site_grid(const sqz_graph *quantized, const sqz_site *s, float *scale,
                         int32_t *zero);
/* Codes are checked to lie in lo .. hi of their type. */
sqz_status sqz_site_set_codes(sqz_graph *quantized, const sqz_site *s, const int8_t *codes);
/* One scale for each row, which this node alone uses: it may be changed. */
bool sqz_site_row_scales(const sqz_graph *quantized, const sqz_site *s);
/* Row r gets the scale scale[r * cols]; the bias keeps its real numbers on its new grid. */
sqz_status sqz_site_set_scales(sqz_graph *quantized, sqz_site *s, const float *scale);
/* The bias in real numbers, zeros where there is none; of either graph. */
sqz_status sqz_site_bias(const sqz_graph *g, const sqz_site *s, double *b);
/* Rounded to the grid of the bias, at most 2^30 steps; a site without one gets one. Updates s->qb.
 * *capped (may be NULL): how many were cut. */
sqz_status sqz_site_set_bias(sqz_graph *quantized, sqz_site *s, const double *b, size_t *capped);
#endif
