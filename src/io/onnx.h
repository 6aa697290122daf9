/* onnx.h: what the ONNX importer's and exporter's files share. Internal to src/io. */
#ifndef SQZ_ONNX_H
#define SQZ_ONNX_H
#include "io/import.h"
#include "io/refusal.h"
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

/* ---- onnx_lean.c ---- */
typedef struct sqz_onnx_part { /* raw_data of initializer `index` of the graph */
    size_t index;
    const unsigned char *data;
    size_t n;
} sqz_onnx_part;
typedef struct sqz_onnx_lean { /* a model whose large initializers point into the file's bytes */
    sqz_ctx *ctx;
    ProtobufCAllocator allocator;
    Onnx__ModelProto *model;
    sqz_onnx_part *part;
    size_t n, room;
} sqz_onnx_lean;
/* Scans and unpacks; `out` stays where it is, and bytes stay readable, until it is freed. */
sqz_status sqz_onnx_unpack(sqz_ctx *ctx, const void *bytes, size_t n, sqz_onnx_lean *out);
void sqz_onnx_lean_free(sqz_onnx_lean *l);

/* ---- onnx_tensor.c ---- */
/* Fresh tensor with the numbers of `p`. `path` of the model file for external data, or NULL. */
sqz_status sqz_onnx_tensor(sqz_ctx *ctx, const Onnx__TensorProto *p, const char *path,
                           sqz_tensor *out);
/* Fills a TensorProto that borrows name and data of `t`; dims are in `a`. */
sqz_status sqz_onnx_tensor_proto(sqz_arena *a, const sqz_tensor *t, const char *name,
                                 Onnx__TensorProto **out);

/* ---- onnx_external.c ---- */
/* A tensor of type d and that shape from the file that p->external_data names, beside `path`. Large
 * ones are mapped, not read: they may be larger than the memory. */
sqz_status sqz_onnx_external(sqz_ctx *ctx, const Onnx__TensorProto *p, const char *path,
                             sqz_dtype d, const sqz_shape *s, sqz_tensor *out);

/* ---- onnx_extra.c: what a file has beside its meaning ---- */
sqz_status sqz_onnx_keep_model(sqz_graph *g, const Onnx__ModelProto *m);
sqz_status sqz_onnx_keep_node(sqz_graph *g, const Onnx__NodeProto *n, sqz_blob *out);
sqz_status sqz_onnx_keep_info(sqz_graph *g, const Onnx__ValueInfoProto *v, sqz_blob *out);
/* *out: a message of type d in the arena, NULL when nothing was kept. */
sqz_status sqz_onnx_unkeep(sqz_arena *a, const sqz_blob *b, const ProtobufCMessageDescriptor *d,
                           void *out);

/* "f32", "string", ... of a TensorProto.DataType, in messages. */
const char *sqz_onnx_type_name(int32_t code);

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

/* ---- import: the state shared by onnx_*.c ----
 * One of these for the model's graph, and one for each graph inside it while it is being inlined: a
 * branch, a loop's body, a function. */
typedef struct sqz_onnx_import {
    sqz_ctx *ctx;
    sqz_arena arena;               /* of the import; gone afterwards */
    struct sqz_onnx_import *outer; /* what it is inside of; NULL: the model's graph */
    bool sealed;                   /* a function's body: sees no names of `outer` */
    const Onnx__ModelProto *model;
    const Onnx__GraphProto *graph;
    const Onnx__FunctionProto *function; /* whose body this is, or is in; NULL: the model's graph */
    const struct sqz_onnx_import *caller; /* of the function: where references resolve */
    const Onnx__NodeProto *call;
    const sqz_import_options *opt;
    const char *where; /* "" or "in then_branch of node 'x' (If, number 3), " */
    unsigned depth;    /* of inlining */
    int64_t opset;
    sqz_graph *g;
    uint32_t *order;        /* n_node indices into graph->node, in execution order */
    bool *bad;              /* n_node: is on the list of what cannot be run */
    sqz_onnx_names init;    /* initializer name -> index */
    sqz_onnx_names used;    /* names that a node or the graph's outputs read */
    sqz_onnx_names value;   /* name -> sqz_vid, or one of the two below */
    sqz_refusals *refusals; /* what cannot be run, of the whole model */
    size_t inlined;         /* nodes so far; of the model's graph, for all */
} sqz_onnx_import;
#define SQZ_ONNX_POISON (UINT32_MAX - 1) /* its node cannot be run */
#define SQZ_ONNX_ABSENT (UINT32_MAX - 2) /* an input that the caller of a function leaves out */

bool sqz_onnx_default_domain(const char *domain); /* "" or "ai.onnx" */
/* Opset of a domain that the model (or the function) imports; 1 when it does not say. */
int64_t sqz_onnx_opset(const sqz_onnx_import *im, const char *domain);
/* Who reads a node: one of these, or nobody. */
typedef struct sqz_onnx_reader {
    sqz_status (*special)(sqz_import *im);
    sqz_status (*control)(sqz_onnx_import *all, const Onnx__NodeProto *n, sqz_import *im);
    const Onnx__FunctionProto *function;
    const sqz_lower *lower;
    const sqz_op *op;
    bool known; /* its type is read at other opsets */
} sqz_onnx_reader;
bool sqz_onnx_find(const sqz_onnx_import *im, const Onnx__NodeProto *n, sqz_onnx_reader *out);
/* "in then_branch of node 'y' (If, number 1), node 'x' (Conv, number 3)" in `a`. */
const char *sqz_onnx_place(const sqz_onnx_import *im, sqz_arena *a, const Onnx__NodeProto *n,
                           uint32_t index);
/* Attribute k of a node, with the reference of a function's node resolved. NULL: the caller gives
 * none, and there is no default. */
const Onnx__AttributeProto *sqz_onnx_attribute(const sqz_onnx_import *im, const Onnx__NodeProto *n,
                                               size_t k);

/* onnx_order.c: names are written once and defined; a stable topological order. */
sqz_status sqz_onnx_order(sqz_onnx_import *im);
/* onnx_check.c: every node that cannot be run, from its type and attributes alone. */
sqz_status sqz_onnx_check(sqz_onnx_import *im);
/* onnx_inputs.c: graph inputs with every dimension bound. */
sqz_status sqz_onnx_inputs(sqz_onnx_import *im);
/* onnx_node.c: one node of the file. */
sqz_status sqz_onnx_node(sqz_onnx_import *im, uint32_t index);
/* The value that a name means here or further out; initializers become constants when first read.
 */
sqz_status sqz_onnx_value(sqz_onnx_import *im, const char *name, sqz_vid *out);
/* onnx_control.c: If, Loop and Scan whose course is known. NULL: another operator. */
typedef sqz_status (*sqz_onnx_control_fn)(sqz_onnx_import *all, const Onnx__NodeProto *n,
                                          sqz_import *im);
sqz_onnx_control_fn sqz_onnx_control(const char *op_type);
/* onnx_inline.c: the nodes of a graph inside another, or of a function. Input k of `graph` is the
 * value in[k] (SQZ_NONE: left out); out[k] becomes output k's, or POISON. */
typedef struct sqz_onnx_body {
    const Onnx__GraphProto *graph;
    const Onnx__FunctionProto *function; /* or NULL */
    const Onnx__NodeProto *call;         /* the node it belongs to */
    const char *what;                    /* "then_branch" */
} sqz_onnx_body;
sqz_status sqz_onnx_inline(sqz_onnx_import *outer, const sqz_onnx_body *body, const sqz_vid *in,
                           size_t n_in, sqz_vid *out, size_t n_out);
sqz_status sqz_onnx_call(sqz_onnx_import *all, const Onnx__FunctionProto *f,
                         const Onnx__NodeProto *n, sqz_import *im);
/* onnx_quant.c: Constant, QuantizeLinear and DequantizeLinear. NULL: an operator of the table. */
typedef sqz_status (*sqz_onnx_import_fn)(sqz_import *im);
sqz_onnx_import_fn sqz_onnx_special(const char *op_type);
#endif
