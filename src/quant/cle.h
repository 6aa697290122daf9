/* cle.h: what the parts of cross-layer equalization share (Nagel et al. 2019, "Data-free
 * quantization through weight equalization and bias correction").
 *
 *   ends    what data, or batch norms, say of channels before clamps   cle_ends.c
 *   dead    channels that are constant, or that nobody reads           cle_dead.c
 *   sweep   factors that make ranges equal                             cle_sweep.c
 *   clip    bounds of clips, one for each channel                      cle_clip.c
 *   absorb  high biases go into the next layer                         cle_absorb.c */
#ifndef SQZ_CLE_H
#define SQZ_CLE_H
#include "quant/scaling.h"

typedef struct sqz_cle_ends { /* of each channel of a value (last axis); n 0: not known */
    size_t n;
    float *lo, *hi;
    bool seen; /* in data; else mean -+ 6 deviations */
} sqz_cle_ends;

typedef struct sqz_cle {
    sqz_graph *g;
    sqz_env *env;
    sqz_arena *a;
    sqz_scaling k;
    sqz_uses uses;
    sqz_cle_ends *ends; /* of values that a relu or clip reads */
    double activations; /* weight on the ranges of activations */
    bool split_clips;   /* upper bounds of clips may become one for each channel */
    uint32_t dead, absorbed, sweeps, held, split; /* for the note */
} sqz_cle;

/* The node that alone reads v; SQZ_NONE: none or several, or an output of the graph. */
sqz_nid sqz_cle_reader(const sqz_cle *c, sqz_vid v);
/* Bounds of a relu or clip; false: something else. */
bool sqz_cle_clamp(const sqz_node *n, float *lo, float *hi);
/* The linear node that makes / reads; NULL: none. */
sqz_scaled *sqz_cle_linear(const sqz_cle *c, sqz_nid node);
/* All readers of v are linear nodes with it as data. */
bool sqz_cle_read_by_linear(const sqz_cle *c, sqz_vid v);
/* Weights and bias of a linear node for writing: its own copies. `bias` NULL: not wanted. */
sqz_status sqz_cle_own(sqz_cle *c, sqz_scaled *l, float **weights, float **bias);

sqz_status sqz_cle_find_ends(sqz_cle *c);
sqz_status sqz_cle_dead(sqz_cle *c);
sqz_status sqz_cle_sweep(sqz_cle *c, int64_t sweeps);
/* After the factors went into the weights. */
sqz_status sqz_cle_clips(sqz_cle *c);
/* The channels of the clip's input lie along its last axis. */
bool sqz_cle_clip_is_plain(const sqz_cle *c, const sqz_scaled_clip *clip);
sqz_status sqz_cle_absorb(sqz_cle *c);
#endif
