/* qdq.h: QuantizeLinear and DequantizeLinear as import hooks build them, on their own and inside of
 * the operators that ONNX defines as dequantize -> something -> quantize.
 *
 * Where scale and zero point are constants they become the grid of the integer value. Where they
 * are computed, or no grid of ours (a scale of 0), the formula is written out as nodes. */
#ifndef SQZ_QDQ_H
#define SQZ_QDQ_H
#include "ops/build.h"

typedef struct sqz_qdq {
    sqz_vid scale, zero; /* zero may be left out: 0 */
    int64_t axis;        /* that a list of scales belongs to; may be negative */
    int64_t block;       /* scales by blocks of so many entries along the axis; 0: none */
    bool whole;          /* the ONNX node is nothing else: it passes its names on */
} sqz_qdq;

/* scale * (x - zero) as float32. */
sqz_vid sqz_b_dequantize(sqz_build *b, sqz_vid x, const sqz_qdq *q);
/* Codes of the zero point's type; of type `d` where there is none. */
sqz_vid sqz_b_quantize(sqz_build *b, sqz_vid x, const sqz_qdq *q, sqz_dtype d);
/* x as another type; x itself when it has it. */
sqz_vid sqz_b_cast(sqz_build *b, sqz_vid x, sqz_dtype d);
/* What an ONNX operator of the default domain makes of values, read as in a file of that opset;
 * one output. Attributes may be NULL. */
sqz_vid sqz_b_onnx(sqz_build *b, const char *op_type, int64_t opset, const sqz_vid *in, unsigned n,
                   const sqz_raw_attr *attr, unsigned n_attr);
/* Type by its number in the file; fails, by name, on those that there are no grids of. */
sqz_status sqz_qdq_type(sqz_import *im, int64_t code, sqz_dtype *out);
#endif
