/* keras_classes.c: the classes that are read, and what to do about others. */
#include "io/keras.h"
#include <string.h>

const sqz_kclass *sqz_keras_class(const char *type)
{
    const sqz_kclasses *const family[] = {
        &sqz_keras_conv,  &sqz_keras_pool,        &sqz_keras_dense,
        &sqz_keras_norm,  &sqz_keras_activations, &sqz_keras_shapes,
        &sqz_keras_merge, &sqz_keras_recurrent,   &sqz_keras_wrappers};
    for (size_t f = 0; f < SQZ_COUNT(family); f++)
        for (size_t i = 0; i < family[f]->n; i++)
            if (sqz_kc_is(family[f]->v[i].names, type))
                return &family[f]->v[i];
    return NULL;
}

const char *sqz_keras_advice(const char *type)
{
    if (strcmp(type, "Lambda") == 0)
        return "its Python code is not in the file: replace it by layers, or export the model to "
               "ONNX with tf2onnx";
    if (strcmp(type, "Masking") == 0)
        return "steps that are left out are not supported: fill sequences to one length without "
               "a mask, or export to ONNX with tf2onnx";
    return "replace it by layers of Keras, or export the model to ONNX with tf2onnx";
}
