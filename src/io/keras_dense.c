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

/* (I, O) to (O, I): the form in which Gemm keeps its weights. */
static sqz_vid turned_kernel(sqz_klayer *l)
{
    sqz_karray a;
    sqz_vid v;
    if (sqz_keras_cached(l, &v))
        return v;
    sqz_keras_weight(l, 0, &a);
    if (l->status == SQZ_OK && a.num.shape.rank != 2)
        sqz_keras_fail(l, SQZ_E_FORMAT, "its kernel in the file is no matrix");
    sqz_karray_permute(l, &a, 2, (const int[]){1, 0});
    return sqz_keras_const(l, "kernel", &a);
}

/* A matrix is one Gemm; more axes are MatMul and Add, over the last. */
static sqz_status dense(sqz_klayer *l)
{
    bool bias = sqz_kc_bool(l, "use_bias|bias", true);
    sqz_vid x = sqz_keras_plain(l, l->in[0]), y;
    if (!sqz_keras_expect(l, 1 + (uint32_t)bias))
        return l->status;
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    bool matrix = s.rank == 2;
    if (l->n_made == 0) /* the first call decides for all */
        l->turned = matrix;
    sqz_vid w = l->turned ? turned_kernel(l) : vector(l, 0, "kernel");
    sqz_vid b = bias ? vector(l, 1, "bias") : SQZ_NONE;
    if (l->turned && !matrix)
        w = sqz_keras_node(l, "Transpose", "kernel_turned",
                           SQZ_KA(SQZ_K_INTS("perm", 2, ((const int64_t[]){1, 0}))), SQZ_KI(w));
    if (matrix) {
        y = sqz_keras_node(l, "Gemm", NULL, SQZ_KA(SQZ_K_INT("transB", l->turned)),
                           SQZ_KI(x, w, b));
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
