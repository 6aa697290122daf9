/* conv_back.h: dx of a convolution with steps, dense or depthwise. Input pixels that lie at one
 * place of the step (a phase) read the same taps: for them dx is a convolution of g with step 1. */
#ifndef SQZ_CONV_BACK_H
#define SQZ_CONV_BACK_H
#include "ops/conv.h"
#include "ops/grad.h"

typedef struct sqz_back sqz_back;
/* Two axes at most, no holes in the kernel; one group, or each channel its own. */
bool sqz_back_can(const sqz_conv *v);
/* Adds to p->scratch_bytes. */
sqz_status sqz_back_prepare(sqz_grad_prep *p, const sqz_conv *v, sqz_back **out);
/* in_grad[0] from out_grad[0] and the weights in[1]. */
sqz_status sqz_back_run(const sqz_grad_call *c, const sqz_back *b);
#endif
