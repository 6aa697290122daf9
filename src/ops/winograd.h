/* winograd.h: 3x3 convolutions of stride 1 in float with 2 to 4 times fewer multiplications (Lavin
 * & Gray 2016, "Fast algorithms for convolutional neural networks"). */
#ifndef SQZ_WINOGRAD_H
#define SQZ_WINOGRAD_H
#include "ops/conv.h"

typedef struct sqz_winograd sqz_winograd;
/* Outputs along the side of the tiles that promise to be fastest, 4 or 2; 0: compute directly,
 * which may be the only way (other windows). Decided by the shapes of one image, never by the
 * batch. Weights that are no constants (training) get 4 only for a gradient: tiles of 4 round
 * about three times as much, and where a ReLU turns over, whole gradients show it. */
size_t sqz_winograd_tile(const sqz_prep *p, const sqz_conv *v, bool gradient);
/* Transforms and packs the weights, if they are no constants at every run, for tiles of a 3x3
 * convolution that `sqz_winograd_can` do; sets p->scratch_bytes. *v is copied. */
bool sqz_winograd_can(const sqz_prep *p, const sqz_conv *v);
sqz_status sqz_winograd_prepare(sqz_prep *p, const sqz_conv *v, size_t tile, sqz_winograd **out);
/* The node with all that is fused into it. */
sqz_status sqz_winograd_run(const sqz_winograd *w, const sqz_call *c);
#endif
