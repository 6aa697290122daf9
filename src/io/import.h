/* import.h: model files to graphs and back. Importers are picked by content, not by extension. */
#ifndef SQZ_IMPORT_H
#define SQZ_IMPORT_H
#include "ir/graph.h"

typedef struct sqz_import_options {
    const char *path;  /* for messages and for external data beside it */
    const char *shape; /* "name=1,3,224,224;..." or NULL */
    const char *bind;  /* inputs that become constants: "sr=16000;..." or NULL */
    sqz_given *given; /* values of inputs that the caller knows: see sqz_given; also their shapes */
    size_t n_given;
    const char *weights; /* HDF5 file of Keras with the weights of this architecture, or NULL */
    bool trains;         /* initializers will change: see sqz_graph.trains */
    const sqz_file_bytes *file; /* that the bytes are of; NULL: somebody else's memory */
} sqz_import_options;
typedef struct sqz_importer { /* import_<name>.c */
    sqz_info info;
    bool (*probe)(const unsigned char *bytes, size_t n);
    sqz_status (*load)(sqz_ctx *ctx, const unsigned char *bytes, size_t n,
                       const sqz_import_options *opt, sqz_graph **out);
} sqz_importer;
extern const sqz_importer *const sqz_importers[];
extern const size_t sqz_n_importers;
typedef struct sqz_import_source { /* the file that a graph came from, external data left out */
    size_t bytes;
    bool unhashed; /* set by the caller who does not want sha256: large files take a while */
    char sha256[65];
} sqz_import_source;
/* The graph as the file has it: before the canonical recipe. source NULL: not wanted. */
sqz_status sqz_import_file(sqz_ctx *ctx, const sqz_import_options *opt, sqz_import_source *source,
                           sqz_graph **out);
sqz_status sqz_import_bytes(sqz_ctx *ctx, const void *bytes, size_t n,
                            const sqz_import_options *opt, sqz_graph **out);
/* Everything in a file that squeeze cannot run, one line each ("node 'x' (Op, number 3): why"), for
 * inspect; SQZ_OK when the file is well-formed, however many lines. The import itself fails with
 * the first lines of the same list and logs all of it. */
sqz_status sqz_onnx_unsupported(sqz_ctx *ctx, const void *bytes, size_t n, sqz_str *lines);

/* The same for a Keras file. */
sqz_status sqz_keras_unsupported(sqz_ctx *ctx, const void *bytes, size_t n,
                                 const sqz_import_options *opt, sqz_str *lines);
/* Names of the float32 initializers of an ONNX file, in `a`. */
sqz_status sqz_onnx_initializers(sqz_arena *a, const void *bytes, size_t n, const char ***names,
                                 uint32_t *count);

/* The weights of a Keras file into a graph that comes from elsewhere, by names and shapes: what
 * finds no place, or several, is refused by name. */
sqz_status sqz_keras_join(sqz_graph *g, const char *weights);

/* Graph -> ONNX bytes (free with sqz_free): the file's layout, names and order; Q/DQ pairs around
 * integer values. Works before and after the canonical recipe and after ptq. */
sqz_status sqz_export_onnx(const sqz_graph *g, void **bytes, size_t *n);
/* How quantized values are written; docs/onnx.md. */
typedef enum sqz_onnx_kind {
    SQZ_ONNX_QDQ,       /* pairs around float operators */
    SQZ_ONNX_QOPERATOR, /* QLinearConv and the like; pairs where there is no such operator */
    SQZ_ONNX_NBITS      /* MatMulNBits for products of floats with integer weights; else pairs */
} sqz_onnx_kind;
typedef struct sqz_onnx_form {
    sqz_onnx_kind kind;
    int64_t accuracy_level; /* of MatMulNBits: 0: the runtime's choice, 1 f32 .. 4 int8 */
    int64_t opset;          /* the least to write; 0: as low as it can be */
} sqz_onnx_form;
/* "qdq", "qoperator", "matmulnbits(accuracy_level=4)", with "opset=N" among the options of each;
 * NULL: qdq. */
sqz_status sqz_onnx_form_parse(sqz_ctx *ctx, const char *text, sqz_onnx_form *out);
sqz_status sqz_export_onnx_form(const sqz_graph *g, const sqz_onnx_form *form, void **bytes,
                                size_t *n);
/* form NULL: qdq. */
sqz_status sqz_export_onnx_file(const sqz_graph *g, const sqz_onnx_form *form, const char *path);
/* One serialized TensorProto (`.pb` of ONNX's test vectors) to a tensor and back. */
sqz_status sqz_tensor_from_pb(sqz_ctx *ctx, const void *bytes, size_t n, sqz_tensor *out,
                              char *name, size_t name_size);
#endif
