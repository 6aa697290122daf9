/* export_keras.h: the weights of a squeezed model back into the Keras file that it came from. */
#ifndef SQZ_EXPORT_KERAS_H
#define SQZ_EXPORT_KERAS_H
#include "ir/graph.h"

typedef struct sqz_keras_export {
    void *bytes; /* of the new file; free with sqz_free */
    size_t n;
    uint32_t written; /* datasets */
    uint32_t norms;   /* batch norms that became the identity */
} sqz_keras_export;
/* A copy of the Keras file in `original`, with the numbers of `model` (a graph as its file has it,
 * whose nodes have the names that the import of `original` gives). What cannot be put back is
 * refused by name. */
sqz_status sqz_export_keras(sqz_ctx *ctx, const sqz_graph *model, const void *original, size_t n,
                            const char *shape, sqz_keras_export *out);

/* export_keras_file.c: datasets that get new numbers. */
typedef struct sqz_keras_dataset {
    const char *path;   /* from the group of the weights */
    sqz_tensor num;     /* float32 */
    unsigned char *set; /* by element: has a new number */
    const char *by;     /* the node that gave the numbers */
} sqz_keras_dataset;
/* `original` with the datasets written over, and the entries of `meta` whose key begins with
 * "squeeze." as attributes. Between sqz_h5_enter and leave. */
sqz_status sqz_keras_rewrite(sqz_ctx *ctx, const void *original, size_t n,
                             const sqz_keras_dataset *set, uint32_t n_set, const sqz_meta *meta,
                             void **bytes, size_t *n_out);
#endif
