/* fc.h: y(M,N) = x(M,K) . w + b(N) on integers: gemm and matmul. */
#ifndef SQZ_FC_H
#define SQZ_FC_H
#include "ops/linear.h"

/* State and scratch for rows of w->k codes and w->n outputs; nothing when the node is float. */
sqz_status sqz_fc_prepare(sqz_prep *p, const sqz_weights *w);
sqz_status sqz_fc_run_s8(const sqz_call *c);
#endif
