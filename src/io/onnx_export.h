/* onnx_export.h: what the files of the ONNX exporter share. Internal to src/io.
 *
 * An integer value of the graph has two faces in the file: its integers (written by QuantizeLinear,
 * or an initializer) and the real numbers that operators read (written by DequantizeLinear). */
#ifndef SQZ_ONNX_EXPORT_H
#define SQZ_ONNX_EXPORT_H
#include "io/onnx.h"

typedef struct sqz_onnx_face {
    const char *real; /* name in the file; NULL: not written yet */
    const char *ints;
} sqz_onnx_face;

typedef struct sqz_onnx_export {
    sqz_ctx *ctx;
    sqz_arena arena; /* of everything in the file but the numbers of constants in our layout */
    const sqz_graph *g;
    sqz_onnx_form form;
    sqz_uses uses;
    int64_t opset;
    bool quantized;
    sqz_onnx_face *face; /* by value id; of the value whose twin it is for twins */
    uint32_t made_up;    /* names */
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    size_t node_room, init_room;
    const char *domain[8]; /* of operators, beside ONNX's own */
    unsigned n_domain;
    sqz_onnx_names shared; /* content -> index of the initializer that has it */
    uint32_t shared_room;
    sqz_tensor *temp; /* numbers in the file's layout, to free at the end */
    size_t n_temp, temp_room;
    bool *nbits;  /* by node id: is written as MatMulNBits; NULL: none is */
    bool *silent; /* by node id: only such nodes read it, and they have its numbers already */
} sqz_onnx_export;

/* ---- export_value.c: names, shapes and numbers in the file's layout ---- */
sqz_vid sqz_onnx_root(const sqz_graph *g, sqz_vid v); /* twins are one value in the file */
bool sqz_onnx_is_ints(const sqz_value *v);            /* on an integer grid */
bool sqz_onnx_is_output(const sqz_onnx_export *e, sqz_vid root);
int32_t sqz_onnx_file_axis(const sqz_value *v, int32_t axis);
int32_t sqz_onnx_file_type(const sqz_value *v); /* TensorProto.DataType */
const char *sqz_onnx_fresh(sqz_onnx_export *e); /* a short name that nothing in the graph has */
/* The name of a value in the file: its own, or a short one where nobody outside can miss it. */
const char *sqz_onnx_name(sqz_onnx_export *e, sqz_vid root);
sqz_status sqz_onnx_add_constant(sqz_onnx_export *e, sqz_vid root, const char *name);
/* An initializer that is no value of the graph, under a fresh name. Takes over t. */
sqz_status sqz_onnx_add_tensor(sqz_onnx_export *e, sqz_tensor *t, const char **out);
/* A small initializer; one of the same content is written once. `out`: its name. */
sqz_status sqz_onnx_share(sqz_onnx_export *e, sqz_dtype d, const sqz_shape *s, const void *data,
                          size_t bytes, const char **out);

/* ---- export_node.c ---- */
sqz_status sqz_onnx_new_node(sqz_onnx_export *e, const char *op_type, const char *name, size_t n_in,
                             size_t n_out, Onnx__NodeProto **out);
sqz_status sqz_onnx_set_int(sqz_onnx_export *e, Onnx__NodeProto *n, const char *name, int64_t v);
sqz_status sqz_onnx_export_node(sqz_onnx_export *e, sqz_nid id);
/* The node as its operator's write hook spells it for an opset. */
sqz_status sqz_onnx_spell(sqz_onnx_export *e, const sqz_node *n, int64_t opset, sqz_export *x);
/* Names of the inputs that were spelled; `codes`: integers of values that are on a grid, not their
 * real numbers. */
sqz_status sqz_onnx_input_names(sqz_onnx_export *e, const sqz_export *x, bool codes,
                                const char **name);
/* A node of n's name with what was spelled but inputs and outputs. */
sqz_status sqz_onnx_spelled_node(sqz_onnx_export *e, const sqz_node *n, const sqz_export *x,
                                 size_t n_in, Onnx__NodeProto **out);

/* ---- export_quant.c ---- */
/* Names of the two faces; writes what is missing. */
sqz_status sqz_onnx_real(sqz_onnx_export *e, sqz_vid v, const char **out);
sqz_status sqz_onnx_ints(sqz_onnx_export *e, sqz_vid v, const char **out);
/* Before an operator writes integer value `root`: the name that it writes. After: QuantizeLinear.
 */
sqz_status sqz_onnx_before(sqz_onnx_export *e, sqz_vid root, const char **out);
sqz_status sqz_onnx_after(sqz_onnx_export *e, sqz_vid root, const char *written);
/* Scale and zero point of a value, as initializers. A list of zeros is written as one. */
sqz_status sqz_onnx_grid(sqz_onnx_export *e, sqz_vid v, const char **scale, const char **zero);
/* Both have one scale, the same, and the same type in the file. */
bool sqz_onnx_same_grid(const sqz_value *a, const sqz_value *b);
/* The graph's own quantize and dequantize nodes. */
sqz_status sqz_onnx_quantize(sqz_onnx_export *e, const sqz_node *n);
sqz_status sqz_onnx_dequantize(sqz_onnx_export *e, const sqz_node *n);

/* ---- export_qlinear.c: operators on integers with their grids as inputs ---- */
/* *done: the node was written so. */
sqz_status sqz_onnx_qlinear(sqz_onnx_export *e, const sqz_node *n, sqz_export *x, bool *done);

/* ---- export_nbits.c: MatMulNBits ---- */
sqz_status sqz_onnx_plan_nbits(sqz_onnx_export *e);
sqz_status sqz_onnx_nbits(sqz_onnx_export *e, const sqz_node *n);
#endif
