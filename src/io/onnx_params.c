/* onnx_params.c: which constants of an ONNX file are initializers: in a loss, what is to be
 * trained. The graph does not know them from the results of Constant nodes. */
#include "io/onnx.h"

static sqz_status list(sqz_arena *a, const Onnx__GraphProto *g, const char ***names, uint32_t *n)
{
    *n = 0;
    *names = sqz_arena_alloc(a, g->n_initializer + 1, sizeof **names);
    if (!*names)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i];
        if (t->data_type != sqz_dtype_onnx(SQZ_F32))
            continue;
        (*names)[*n] = sqz_arena_strdup(a, sqz_onnx_str(t->name));
        if (!(*names)[(*n)++])
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

sqz_status sqz_onnx_initializers(sqz_arena *a, const void *bytes, size_t n, const char ***names,
                                 uint32_t *count)
{
    sqz_onnx_lean l = {0};
    sqz_status s = sqz_onnx_unpack(a->ctx, bytes, n, &l);
    *count = 0;
    *names = NULL;
    if (s == SQZ_OK && l.model->graph)
        s = list(a, l.model->graph, names, count);
    sqz_onnx_lean_free(&l);
    return s;
}
