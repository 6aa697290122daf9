/* onnx.h: what the ONNX importer's and exporter's files share. Internal to src/io. */
#ifndef SQZ_ONNX_H
#define SQZ_ONNX_H
#include "io/import.h"
#include "ir/op.h"
#include "onnx.pb-c.h"

#define SQZ_ONNX_OPSET_MIN 1
#define SQZ_ONNX_OPSET_MAX 27
#define SQZ_ONNX_IR_MIN    3
#define SQZ_ONNX_IR_MAX    13

enum { /* AttributeProto.type */
       SQZ_ONNX_FLOAT = 1,
       SQZ_ONNX_INT = 2,
       SQZ_ONNX_STRING = 3,
       SQZ_ONNX_TENSOR = 4,
       SQZ_ONNX_FLOATS = 6,
       SQZ_ONNX_INTS = 7,
       SQZ_ONNX_STRINGS = 8
};

/* Absent strings are NULL in protobuf-c and "" in ONNX. */
static inline const char *sqz_onnx_str(const char *s) { return s ? s : ""; }

/* ---- onnx_scan.c ---- */
/* Walks the wire format of a message of type `d` without recursion: everything well-formed and
 * inside, nesting and counts bounded. Only scanned bytes may be unpacked. */
sqz_status sqz_onnx_scan(sqz_ctx *ctx, const void *bytes, size_t n,
                         const ProtobufCMessageDescriptor *d);
/* protobuf-c's allocator on top of the context. `a` must outlive what is unpacked with it. */
ProtobufCAllocator sqz_onnx_allocator(sqz_ctx *ctx);

/* ---- onnx_tensor.c ---- */
/* Fresh tensor with the numbers of `p`. `path` of the model file for external data, or NULL. */
sqz_status sqz_onnx_tensor(sqz_ctx *ctx, const Onnx__TensorProto *p, const char *path,
                           sqz_tensor *out);
/* Fills a TensorProto that borrows name and data of `t`; dims are in `a`. */
sqz_status sqz_onnx_tensor_proto(sqz_arena *a, const sqz_tensor *t, const char *name,
                                 Onnx__TensorProto **out);

/* ---- onnx_external.c ---- */
/* Reads exactly `bytes` of the file that p->external_data names, beside `path`, into data; data
 * NULL: only checks that they are there. */
sqz_status sqz_onnx_external(sqz_ctx *ctx, const Onnx__TensorProto *p, const char *path, void *data,
                             size_t bytes);

/* ---- onnx_names.c: name -> number ---- */
typedef struct sqz_onnx_names {
    sqz_arena *arena;
    struct sqz_onnx_name {
        const char *key;
        uint32_t value;
    } * slot;
    uint32_t cap, used;
} sqz_onnx_names;
/* Room for n names. */
sqz_status sqz_onnx_names_create(sqz_onnx_names *t, sqz_arena *a, size_t n);
uint32_t sqz_onnx_names_get(const sqz_onnx_names *t, const char *key); /* SQZ_NONE: none */
/* false: the name is there already (its number stays). Never more names than made room for. */
bool sqz_onnx_names_add(sqz_onnx_names *t, const char *key, uint32_t value);
void sqz_onnx_names_set(sqz_onnx_names *t, const char *key, uint32_t value);

/* ---- import: the state shared by onnx_*.c ---- */
typedef struct sqz_onnx_import {
    sqz_ctx *ctx;
    sqz_arena arena; /* of the import; gone afterwards */
    const Onnx__ModelProto *model;
    const Onnx__GraphProto *graph;
    const sqz_import_options *opt;
    int64_t opset;
    sqz_graph *g;
    uint32_t *order;      /* n_node indices into graph->node, in execution order */
    bool *bad;            /* n_node: is on the list of what cannot be run */
    sqz_onnx_names init;  /* initializer name -> index */
    sqz_onnx_names used;  /* names that a node or the graph's outputs read */
    sqz_onnx_names value; /* name -> sqz_vid, or SQZ_ONNX_POISON: its node cannot be run */
    sqz_str *lines;       /* what cannot be run, one line each */
    uint32_t n_line;
    sqz_status first; /* status of the first line */
} sqz_onnx_import;
#define SQZ_ONNX_POISON (UINT32_MAX - 1)

/* Notes one thing that cannot be run; the import goes on, to find more. */
SQZ_PRINTF(3, 4) void sqz_onnx_line(sqz_onnx_import *im, sqz_status s, const char *fmt, ...);
bool sqz_onnx_default_domain(const char *domain); /* "" or "ai.onnx" */
/* Opset of a domain that the model imports; 1 when it does not say. */
int64_t sqz_onnx_opset(const sqz_onnx_import *im, const char *domain);
/* Who reads a node: one of the three, or none. *known: its type is read at other opsets. */
typedef struct sqz_onnx_reader {
    sqz_status (*special)(sqz_import *im);
    const sqz_lower *lower;
    const sqz_op *op;
} sqz_onnx_reader;
bool sqz_onnx_find(const sqz_onnx_import *im, const Onnx__NodeProto *n, sqz_onnx_reader *out,
                   bool *known);
/* "node 'x' (Conv, number 3)" in `a`. */
const char *sqz_onnx_place(sqz_arena *a, const Onnx__NodeProto *n, uint32_t index);

/* onnx_order.c: names are written once and defined; a stable topological order. */
sqz_status sqz_onnx_order(sqz_onnx_import *im);
/* onnx_check.c: every node that cannot be run, from its type and attributes alone. */
sqz_status sqz_onnx_check(sqz_onnx_import *im);
/* onnx_inputs.c: graph inputs with every dimension bound. */
sqz_status sqz_onnx_inputs(sqz_onnx_import *im);
/* onnx_node.c: one node of the file. */
sqz_status sqz_onnx_node(sqz_onnx_import *im, uint32_t index);
/* onnx_quant.c: Constant, QuantizeLinear and DequantizeLinear. NULL: an operator of the table. */
typedef sqz_status (*sqz_onnx_import_fn)(sqz_import *im);
sqz_onnx_import_fn sqz_onnx_special(const char *op_type);
#endif
