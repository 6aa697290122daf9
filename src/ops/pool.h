/* pool.h: maximum, average and p-norm over windows of a channel-last tensor (N,H,W,C), over one to
 * three spatial axes, also of the whole image. Shared by the pooling operators. */
#ifndef SQZ_POOL_H
#define SQZ_POOL_H
#include "ops/window.h"

typedef struct sqz_pool_attrs { /* global pools have no attributes: NULL */
    sqz_window_attrs window;
    sqz_ints kernel_shape;
    int64_t ceil_mode;
    int64_t count_include_pad; /* average_pool */
    int64_t storage_order;     /* max_pool_indices */
    double p;                  /* lp_pool */
} sqz_pool_attrs;
#define SQZ_POOL_ROWS                                                                              \
    SQZ_WINDOW_ROWS(sqz_pool_attrs, window),                                                       \
        {.name = "kernel_shape",                                                                   \
         .offset = offsetof(sqz_pool_attrs, kernel_shape),                                         \
         .type = SQZ_A_INTS,                                                                       \
         .min = 1,                                                                                 \
         .max = INT32_MAX,                                                                         \
         .flags = SQZ_AF_REQUIRED,                                                                 \
         .doc = "size of the window along each spatial axis"},                                     \
    {                                                                                              \
        .name = "ceil_mode", .offset = offsetof(sqz_pool_attrs, ceil_mode), .type = SQZ_A_BOOL,    \
        .max = 1, .doc = "a last window may stick out at the end"                                  \
    }

/* The window over an input whose spatial axes begin at `s`. Without attributes it is the whole
 * image, of any number of axes, seen as one column. */
sqz_status sqz_pool_window(sqz_ctx *ctx, const sqz_pool_attrs *at, const sqz_shape *x, int32_t s,
                           sqz_window *w);
/* Gradients (pool_grad.c). */
sqz_status sqz_pool_grad_prepare(sqz_grad_prep *p);
sqz_status sqz_pool_grad_average(const sqz_grad_call *c);
sqz_status sqz_pool_grad_max(const sqz_grad_call *c);

sqz_status sqz_pool_infer(sqz_infer *q); /* out[1], where there is one: s64 of the same shape */
sqz_status sqz_pool_infer_global(sqz_infer *q);
/* The same for maxima, which exist of int8 and uint8 as well. */
sqz_status sqz_pool_infer_max(sqz_infer *q);
sqz_status sqz_pool_infer_global_max(sqz_infer *q);
void sqz_pool_cost(const sqz_infer *q, sqz_cost *out);
sqz_status sqz_pool_import(sqz_import *im, const sqz_op *op);
/* Leave the window and, for int8, the runtime's description as state. */
sqz_status sqz_pool_prepare(sqz_prep *p);
sqz_status sqz_pool_prepare_max(sqz_prep *p);
sqz_status sqz_pool_prepare_average(sqz_prep *p);
/* Float and int8 alike. */
sqz_status sqz_pool_run_max(const sqz_call *c); /* with two outputs: indices too */
sqz_status sqz_pool_run_average(const sqz_call *c);
sqz_status sqz_pool_run_lp(const sqz_call *c);
#endif
