/* build.h: what import hooks write compositions with. Errors stick: once something failed, further
 * calls do nothing and sqz_b_end returns the first status.
 *     sqz_build b = {.im = im};
 *     sqz_vid half = sqz_b(&b, "mul", NULL, 2, im->in[0], sqz_b_num(&b, 0.5, im->in[0]));
 *     return sqz_b_end(&b, 1, sqz_b(&b, "tanh", NULL, 1, half)); */
#ifndef SQZ_BUILD_H
#define SQZ_BUILD_H
#include "ir/op.h"

typedef struct sqz_build {
    sqz_import *im;
    sqz_status status;
    unsigned made; /* nodes so far: inner ones are called after the ONNX node */
} sqz_build;

/* A node of an operator of the table with n inputs (sqz_vid each; SQZ_NONE: left out), attributes
 * as text ("axes=1,2 keepdims=0"; NULL: defaults). Returns its first output. */
sqz_vid sqz_b(sqz_build *b, const char *op, const char *attrs, unsigned n, ...);
/* The same with printf-made attributes and an array of inputs. */
SQZ_PRINTF(5, 6)
sqz_vid sqz_bf(sqz_build *b, const char *op, const sqz_vid *in, unsigned n, const char *attrs, ...);
/* Several outputs. */
void sqz_b_multi(sqz_build *b, const char *op, const char *attrs, const sqz_vid *in, unsigned n,
                 sqz_vid *out, unsigned n_out);
/* Scalar constant of the type of value `like`. */
sqz_vid sqz_b_num(sqz_build *b, double v, sqz_vid like);
/* Takes over one reference of a tensor as a constant. */
sqz_vid sqz_b_tensor(sqz_build *b, sqz_tensor *t);
const sqz_value *sqz_b_val(const sqz_build *b, sqz_vid v); /* v may be SQZ_NONE after an error */
/* The input of the ONNX node, SQZ_NONE when left out. */
static inline sqz_vid sqz_b_in(const sqz_build *b, unsigned i)
{
    return i < b->im->n_in ? b->im->in[i] : SQZ_NONE;
}
/* Ends the hook: v[i] is output i of the ONNX node (SQZ_NONE: none), and gets its name. */
sqz_status sqz_b_end(sqz_build *b, unsigned n, ...);
#endif
