/* norm.h: normalization by statistics of the data itself: over the last axes of a tensor
 * (layer_norm, rms_norm), and over groups of channels of a sample (instance_norm, group_norm).
 * Sums are in double and in a fixed order. */
#ifndef SQZ_NORM_H
#define SQZ_NORM_H
#include "ops/ew.h"
#include "ops/linear.h"
#include "ops/move.h"

/* ---- rows: x (rows, n) ----
 * y = (x - mean) / sqrt(variance + epsilon) * scale + bias, where scale and bias broadcast to x;
 * not centered: y = x / sqrt(mean of x^2 + epsilon) * scale. */
typedef struct sqz_row_norm_attrs {
    int64_t axis; /* the first axis that is normalized */
    double epsilon;
    int64_t stash_type; /* ONNX type of the statistics when they are outputs */
} sqz_row_norm_attrs;
extern const sqz_attr sqz_row_norm_schema[3];
sqz_status sqz_row_norm_infer(sqz_infer *q);
sqz_status sqz_row_norm_prepare(sqz_prep *p);
sqz_status sqz_row_norm_run(const sqz_call *c, bool centered);
/* Gradient of the centered form (norm_grad.c). */
sqz_status sqz_layer_norm_grad_prepare(sqz_grad_prep *p);
sqz_status sqz_layer_norm_grad(const sqz_grad_call *c);
void sqz_row_norm_ties(sqz_ties *t);
void sqz_row_norm_cost(const sqz_infer *q, sqz_cost *out);

/* ---- groups: channel-last x (N,...,C), scale (C), bias (C) ---- */
/* x with channels, and a number of scale and bias for each. */
sqz_status sqz_group_norm_infer(sqz_infer *q);
sqz_status sqz_group_norm_prepare(sqz_prep *p);
sqz_status sqz_group_norm_run(const sqz_call *c, size_t groups, double epsilon);
/* Gradient (norm_groups_grad.c). */
sqz_status sqz_group_norm_grad_prepare(sqz_grad_prep *p);
sqz_status sqz_group_norm_grad(const sqz_grad_call *c, size_t groups, double epsilon);
/* groups 0: each channel is one. */
void sqz_group_norm_ties(sqz_ties *t, int64_t groups);
void sqz_group_norm_cost(const sqz_infer *q, sqz_cost *out);
#endif
