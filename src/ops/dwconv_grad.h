/* dwconv_grad.h: gradients of depthwise convolutions; columns of dwconv2d. */
#ifndef SQZ_DWCONV_GRAD_H
#define SQZ_DWCONV_GRAD_H
#include "ops/conv.h"

sqz_status sqz_dwconv_grad_prepare(sqz_grad_prep *p, const sqz_window_attrs *attrs);
sqz_status sqz_dwconv_grad(const sqz_grad_call *c);
#endif
