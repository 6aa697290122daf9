/* keras_dense.c: Dense and Embedding. */
#include "io/keras.h"
#include <string.h>

static sqz_vid vector(sqz_klayer *l, uint32_t slot, const char *suffix)
{
    sqz_karray a;
    sqz_vid v;
    if (sqz_keras_cached(l, &v))
        return v;
    sqz_keras_weight(l, slot, &a);
    return sqz_keras_const(l, suffix, &a);
}

/* A matrix is one Gemm; more axes are MatMul and Add, over the last. */
static sqz_status dense(sqz_klayer *l)
{
    bool bias = sqz_kc_bool(l, "use_bias|bias", true);
    sqz_vid x = sqz_keras_plain(l, l->in[0]), y;
    if (!sqz_keras_expect(l, 1 + (uint32_t)bias))
        return l->status;
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    sqz_vid w = vector(l, 0, "kernel"), b = bias ? vector(l, 1, "bias") : SQZ_NONE;
    if (s.rank == 2) {
        y = sqz_keras_node(l, "Gemm", NULL, NULL, 0, SQZ_KI(x, w, b));
    } else {
        y = sqz_keras_node(l, "MatMul", NULL, NULL, 0, SQZ_KI(x, w));
        if (bias)
            y = sqz_keras_node(l, "Add", "BiasAdd", NULL, 0, SQZ_KI(y, b));
    }
    y = sqz_keras_activate(l, sqz_kc_get(l->config, "activation"), y, false);
    sqz_keras_out(l, y, false);
    return l->status;
}

/* Rows of a table, by numbers that the model takes as floats. */
static sqz_status embedding(sqz_klayer *l)
{
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    if (!sqz_keras_expect(l, 1))
        return l->status;
    sqz_vid w = vector(l, 0, "embeddings");
    sqz_dtype d = sqz_val(l->k->g, x)->dtype;
    if (d != SQZ_S32 && d != SQZ_S64)
        x = sqz_keras_node(l, "Cast", "Cast", SQZ_KA(SQZ_K_INT("to", 6)), SQZ_KI(x));
    sqz_keras_out(l, sqz_keras_node(l, "Gather", NULL, NULL, 0, SQZ_KI(w, x)), false);
    if (sqz_kc_bool(l, "mask_zero", false) && l->n_out)
        l->out[0].masked = true;
    return l->status;
}

static const sqz_kclass classes[] = {
    {"Dense|TimeDistributedDense", dense, 0, SQZ_K_MASK_PASS},
    {"Embedding", embedding, 0, SQZ_K_MASK_DROP},
};
const sqz_kclasses sqz_keras_dense = {classes, SQZ_COUNT(classes)};
