/* keras_model.h: a Keras model, parsed: layers and who feeds whom. Internal to the Keras importer.
 */
#ifndef SQZ_KERAS_MODEL_H
#define SQZ_KERAS_MODEL_H
#include "io/keras.h"

typedef struct sqz_kref { /* a tensor: output `tensor` of call `node` of a layer */
    uint32_t layer, node, tensor;
} sqz_kref;
typedef struct sqz_kcall {
    sqz_kref *in;
    uint32_t n_in;
    const cJSON *kwargs, *constant;
} sqz_kcall;
typedef struct sqz_kmodel {
    const cJSON *config;
    bool sequential;
    sqz_klayer *layer;
    uint32_t n_layer;
    sqz_kcall **call; /* of each layer; functional models only */
    uint32_t *n_call;
    sqz_kref *input, *output;
    uint32_t n_input, n_output;
} sqz_kmodel;

bool sqz_keras_is_model(const cJSON *spec); /* {"class_name", "config"} */
/* keras_parse.c: `scope` holds the weights of the model around (NULL: the file's groups). */
sqz_status sqz_keras_parse_model(sqz_keras *k, const cJSON *spec, const char *prefix,
                                 const sqz_kweights *scope, sqz_kmodel **out);
/* keras_inputs.c: graph inputs of the outermost model, one kval each. */
sqz_status sqz_keras_inputs(sqz_keras *k, const sqz_kmodel *m, sqz_kval **out, uint32_t *n);
uint32_t sqz_keras_n_inputs(const sqz_kmodel *m);
/* keras_model.c: runs a model on tensors. */
sqz_status sqz_keras_run_model(sqz_keras *k, sqz_kmodel *m, sqz_kval *const *in, uint32_t n_in,
                               sqz_kval *out, uint32_t *n_out);
#endif
