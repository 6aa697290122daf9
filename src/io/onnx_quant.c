/* onnx_quant.c: the nodes that import does itself: Constant, and QuantizeLinear and
 * DequantizeLinear, whose scale and zero point become the grid of the integer value. */
#include "io/onnx.h"
#include <string.h>

/* ---- Constant ---- */

static sqz_status constant(sqz_import *im)
{
    sqz_ctx *ctx = im->g->ctx;
    sqz_tensor t = {0};
    const sqz_raw_attr *a = im->n_attr == 1 ? &im->attr[0] : NULL;
    if (!a)
        return sqz_fail(ctx, SQZ_E_FORMAT, "has %u attributes, expected one with the value",
                        im->n_attr);
    bool list = a->type == SQZ_ONNX_INTS || a->type == SQZ_ONNX_FLOATS;
    bool whole = a->type == SQZ_ONNX_INTS || a->type == SQZ_ONNX_INT;
    sqz_shape shape = {.rank = list};
    shape.dim[0] = a->type == SQZ_ONNX_INTS ? a->ints.n : a->floats.n;
    if (a->type == SQZ_ONNX_TENSOR) {
        sqz_tensor_share(a->t, &t);
        return sqz_graph_constant(im->g, im->out_name[0], &t, &im->out[0]);
    }
    if (!list && a->type != SQZ_ONNX_INT && a->type != SQZ_ONNX_FLOAT)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "a constant of texts is not supported");
    SQZ_TRY(sqz_tensor_alloc(ctx, whole ? SQZ_S64 : SQZ_F32, &shape, &t));
    for (size_t i = 0; i < t.count; i++)
        if (whole)
            SQZ_S64P(&t)[i] = list ? a->ints.v[i] : a->i;
        else
            SQZ_F32P(&t)[i] = list ? a->floats.v[i] : a->f;
    return sqz_graph_constant(im->g, im->out_name[0], &t, &im->out[0]);
}

sqz_onnx_import_fn sqz_onnx_special(const char *op_type)
{
    static const struct {
        const char *op_type;
        sqz_onnx_import_fn fn;
    } table[] = {{"Constant", constant}};
    for (size_t i = 0; i < SQZ_COUNT(table); i++)
        if (strcmp(table[i].op_type, op_type) == 0)
            return table[i].fn;
    return NULL;
}
