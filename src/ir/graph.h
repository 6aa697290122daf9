/* graph.h: the IR. Values (edges, single assignment), nodes (an operator applied), tensors
 * (numbers).
 *
 * Ids are stable for the life of the graph and are what structs hold; pointers only inside a
 * function. Rules: tensors are contiguous and row-major, a view is a node; a quantized value
 * carries its grid; quantize and dequantize nodes stand only where the type really changes; an
 * attribute never repeats a shape. Batch is dimension 0 of every activation that has one; every
 * other dimension is bound. */
#ifndef SQZ_GRAPH_H
#define SQZ_GRAPH_H
#include "base/base.h"
#include "base/schema.h"

#define SQZ_MAX_RANK 8
#define SQZ_NONE     UINT32_MAX

typedef uint32_t sqz_vid, sqz_nid;

typedef enum sqz_dtype {
#define SQZ_DTYPE(sym, num, name, bits, onnx) SQZ_##sym = num,
#include "ir/dtype.def"
#undef SQZ_DTYPE
    SQZ_N_DTYPE
} sqz_dtype;

typedef struct sqz_shape {
    int32_t rank;
    int64_t dim[SQZ_MAX_RANK];
} sqz_shape;

/* ---- shapes and types (shape.c) ---- */
const char *sqz_dtype_name(sqz_dtype d);
unsigned sqz_dtype_bits(sqz_dtype d);
sqz_dtype sqz_dtype_find(const char *name); /* SQZ_N_DTYPE: none */
sqz_dtype sqz_dtype_of_onnx(int32_t code);  /* SQZ_N_DTYPE: none */
int32_t sqz_dtype_onnx(sqz_dtype d);
bool sqz_dtype_is_float(sqz_dtype d);
/* Elements and bytes of a shape; the only place where dimensions are multiplied. Zero-sized is
 * allowed. */
sqz_status sqz_shape_count(sqz_ctx *ctx, const sqz_shape *s, sqz_dtype d, size_t *count,
                           size_t *bytes);
bool sqz_shape_eq(const sqz_shape *a, const sqz_shape *b);
void sqz_shape_print(char out[160], const sqz_shape *s); /* "1x28x28x16" */
/* NumPy broadcasting of a and b. */
sqz_status sqz_shape_broadcast(sqz_ctx *ctx, const sqz_shape *a, const sqz_shape *b,
                               sqz_shape *out);
static inline sqz_shape sqz_shape_of(int32_t rank, const int64_t *dims)
{
    sqz_shape s = {.rank = rank};
    for (int32_t i = 0; i < rank; i++)
        s.dim[i] = dims[i];
    return s;
}

/* ---- tensors (tensor.c) ---- */
typedef struct sqz_data { /* counted buffer; clones of a graph share it */
    _Atomic uint32_t refs;
    size_t bytes;
    void *block; /* NULL: a part of a file, mapped for reading */
    void *map;
    size_t map_bytes;
} sqz_data;

typedef struct sqz_tensor {
    sqz_dtype dtype;
    sqz_shape shape;
    size_t count,
        bytes; /* written by sqz_tensor_init only; 4-bit types: two to a byte, low nibble first */
    sqz_data *own; /* NULL: borrowed or planned memory */
    void *data;    /* SQZ_ALIGN aligned; nothing may be read past bytes */
} sqz_tensor;

/* Owns fresh, zeroed memory. */
sqz_status sqz_tensor_alloc(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, sqz_tensor *out);
/* The same with undefined contents, for who writes all of it. */
sqz_status sqz_tensor_room(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, sqz_tensor *out);
/* Its memory can be written and nobody else refers to it. */
bool sqz_tensor_alone(const sqz_tensor *t);
/* Owns a part of a file that is mapped for reading: `data` lies in the map, which the last
 * reference takes down (on failure at once). */
sqz_status sqz_tensor_map(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, void *map,
                          size_t map_bytes, void *data, sqz_tensor *out);
/* Describes memory of somebody else; data may be NULL and set later. */
sqz_status sqz_tensor_view(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, void *data,
                           sqz_tensor *out);
void sqz_tensor_free(sqz_ctx *ctx, sqz_tensor *t);              /* drops one reference; zeroes *t */
void sqz_tensor_share(const sqz_tensor *from, sqz_tensor *out); /* one more reference */
/* Element i as double / int64, whatever the type (float16 and 4-bit included). */
double sqz_tensor_f64(const sqz_tensor *t, size_t i);
int64_t sqz_tensor_i64(const sqz_tensor *t, size_t i);
void sqz_tensor_set_f64(sqz_tensor *t, size_t i, double v);  /* rounds to even, saturates */
void sqz_tensor_set_i64(sqz_tensor *t, size_t i, int64_t v); /* saturates */
sqz_status sqz_tensor_cast(sqz_ctx *ctx, const sqz_tensor *from, sqz_dtype d, sqz_tensor *out);
/* out = transpose(from): axis i of out is axis perm[i] of from. */
sqz_status sqz_tensor_permute(sqz_ctx *ctx, const sqz_tensor *from, const int *perm,
                              sqz_tensor *out);

#define SQZ_F32P(t) ((float *)(t)->data)
#define SQZ_S8P(t)  ((int8_t *)(t)->data)
#define SQZ_S32P(t) ((int32_t *)(t)->data)
#define SQZ_S64P(t) ((int64_t *)(t)->data)

/* ---- the graph (graph.c) ---- */
typedef struct sqz_quant { /* real = scale * (q - zero); see docs/numerics.md */
    sqz_dtype dtype;       /* S8 activations and weights, S32 biases, U8 S16 S4 from other tools */
    int32_t axis;          /* -1: one scale; else one scale per index of this axis */
    int32_t group; /* 0: none; else one scale per block of `group` entries along the axis and
                      per index of all other axes, in the order of the tensor: ONNX's block_size */
    uint8_t bits; /* that codes use, below those of dtype; 0: all. Weights of 3 and 2 bits are S4 */
    uint32_t n;
    const float *scale;  /* n, finite, > 0; < 0 only in constants, which are dequantized */
    const int32_t *zero; /* n */
} sqz_quant;

static inline unsigned sqz_quant_bits(const sqz_quant *q)
{
    return q->bits ? q->bits : sqz_dtype_bits(q->dtype);
}
/* Largest code of a symmetric grid: 127, 7, 3, 1. */
static inline int32_t sqz_quant_limit(const sqz_quant *q)
{
    return (int32_t)((INT64_C(1) << (sqz_quant_bits(q) - 1)) - 1);
}

typedef enum sqz_role { SQZ_ROLE_ACTIVATION, SQZ_ROLE_INPUT, SQZ_ROLE_CONSTANT } sqz_role;

typedef struct sqz_range { /* what calibration found, in real numbers; lo <= 0 <= hi not required
                              here */
    float lo, hi;
} sqz_range;

/* How each channel of a value is distributed, as the batch norm that makes it says: fold_bn keeps
 * it, the batch norm being gone. Over all data, without any data. */
typedef struct sqz_normal {
    uint32_t n;             /* one for each index of the last axis: values stand channel-last */
    const float *mean, *sd; /* n, finite; sd: standard deviation, >= 0 */
} sqz_normal;

/* What a model file has beside its meaning (doc strings, metadata, unknown fields), packed as the
 * file's format does; for the way back. n 0: nothing. */
typedef struct sqz_blob {
    size_t n;
    const unsigned char *bytes;
} sqz_blob;

typedef struct sqz_value {
    const char *name; /* unique in the graph; the name in the model file */
    sqz_shape shape;
    sqz_dtype dtype;
    uint8_t role;
    bool channel_last; /* shape and data are the file's, with axis 1 moved to the end (rank >= 3) */
    const sqz_tensor
        *constant; /* numbers of a constant; never written through: sqz_value_set_constant */
    const sqz_quant *quant;   /* NULL: float */
    const sqz_range *range;   /* NULL: not calibrated */
    const sqz_normal *normal; /* NULL: no batch norm says */
    sqz_nid producer;         /* SQZ_NONE: input or constant */
    bool was_u8;   /* the file has this int8 value as uint8, 128 higher: so does export */
    uint32_t twin; /* value of the same name in the other layout that this one is a copy of, or
                      SQZ_NONE: export writes both as one */
    sqz_blob extra;
} sqz_value;

typedef struct sqz_node {
    const struct sqz_op *op;
    const char *name;  /* unique; made up by the importer when the file has none */
    const void *attrs; /* op->info.opt_size bytes */
    uint16_t n_in, n_out;
    sqz_vid *in, *out;  /* SQZ_NONE: optional input left out */
    sqz_nid prev, next; /* execution order, a topological order */
    bool layout;        /* transpose put there by the layout pass: export drops it */
    bool dead;
    sqz_blob extra;
} sqz_node;

typedef struct sqz_meta {
    const char *key, *value;
    struct sqz_meta *next;
} sqz_meta;

/* The value of an input that the caller of an import knows. Operators that need it as a constant
 * (a shape, a number of steps, a condition) find it, and the input becomes a constant. */
typedef struct sqz_given {
    const char *name; /* of the input; NULL: by its place, counting inputs without an initializer;
                         the import fills it in (memory of the graph) */
    const sqz_tensor *tensor;
    sqz_vid value; /* set by the import */
} sqz_given;

enum {                     /* what a graph has; passes need, give and break these */
       SQZ_HAS_LAYOUT = 1, /* channel-last inside */
       SQZ_HAS_FOLDED = 2, /* constants and batch norms folded */
       SQZ_HAS_RANGES = 4, /* value->range */
       SQZ_HAS_QUANT = 8,  /* value->quant on activations */
};

typedef struct sqz_graph {
    sqz_ctx *ctx;
    sqz_arena arena;        /* names, attributes, grids, lists */
    sqz_value **value_page; /* pages of SQZ_PAGE: growing never moves an element */
    sqz_node **node_page;
    uint32_t n_value, n_node;
    uint32_t value_pages, node_pages;
    sqz_nid first, last;
    sqz_vid *input, *output;
    uint32_t n_input, n_output;
    unsigned have;
    bool batch_free;        /* the file leaves dimension 0 of the inputs open, or any batch works */
    const char *batch_name; /* what the file calls the open dimension 0, or NULL */
    const char *name, *producer; /* of the model file */
    int64_t opset;               /* default domain, of the model file; 0: none */
    sqz_meta *meta;              /* metadata_props, in order */
    sqz_blob model_extra, graph_extra;
    bool trains;            /* float constants will change: nothing is folded from them */
    const sqz_given *given; /* while importing; else NULL */
    size_t n_given;
    struct sqz_name_map *names; /* name -> value */
    struct sqz_name_map *node_names;
} sqz_graph;

#define SQZ_PAGE 256
static inline sqz_value *sqz_val(const sqz_graph *g, sqz_vid v)
{
    return &g->value_page[v / SQZ_PAGE][v % SQZ_PAGE];
}
static inline sqz_node *sqz_nod(const sqz_graph *g, sqz_nid n)
{
    return &g->node_page[n / SQZ_PAGE][n % SQZ_PAGE];
}
/* What the model file calls a value: a twin is written as the value that it copies. */
static inline const char *sqz_value_file_name(const sqz_graph *g, sqz_vid v)
{
    while (sqz_val(g, v)->twin != SQZ_NONE)
        v = sqz_val(g, v)->twin;
    return sqz_val(g, v)->name;
}
/* Removed values keep their id and are nobody's: neither input, constant, nor made by a node. */
static inline bool sqz_value_dead(const sqz_value *v)
{
    return v->role == SQZ_ROLE_ACTIVATION && v->producer == SQZ_NONE;
}
/* for (sqz_nid n = ...; ...) over live nodes in execution order; the body may remove n. */
#define SQZ_EACH_NODE(g, n)                                                                        \
    for (sqz_nid n = (g)->first, n##_next_ = SQZ_NONE;                                             \
         n != SQZ_NONE && ((n##_next_ = sqz_nod((g), n)->next), true); n = n##_next_)

sqz_status sqz_graph_create(sqz_ctx *ctx, sqz_graph **out);
void sqz_graph_free(sqz_graph *g); /* NULL is fine */
/* Structure copied, tensors shared (clone.c). Ids stay the same. */
sqz_status sqz_graph_clone(const sqz_graph *from, sqz_graph **out);

/* A new value. `name` NULL or taken: a fresh one is made ("conv_1"). */
sqz_status sqz_graph_value(sqz_graph *g, const char *name, sqz_dtype d, const sqz_shape *s,
                           sqz_vid *out);
sqz_status sqz_graph_input(sqz_graph *g, const char *name, sqz_dtype d, const sqz_shape *s,
                           sqz_vid *out);
/* Takes over one reference of `t` (also on failure). */
sqz_status sqz_graph_constant(sqz_graph *g, const char *name, sqz_tensor *t, sqz_vid *out);
/* An input becomes a constant with the numbers of `t`, which stays the caller's. Its type and shape
 * must fit. */
sqz_status sqz_graph_bind_input(sqz_graph *g, sqz_vid v, const sqz_tensor *t);
/* Attaches means and standard deviations; copies both. n: size of the value's last axis. */
sqz_status sqz_value_set_normal(sqz_graph *g, sqz_vid v, uint32_t n, const float *mean,
                                const float *sd);

sqz_status sqz_graph_set_outputs(sqz_graph *g, const sqz_vid *v, uint32_t n);
sqz_vid sqz_graph_find(const sqz_graph *g, const char *name);           /* SQZ_NONE: none */
sqz_status sqz_graph_rename(sqz_graph *g, sqz_vid v, const char *name); /* fails when taken */
/* Replaces the numbers (and type and shape) of a constant; takes over one reference of `t`. */
sqz_status sqz_value_set_constant(sqz_graph *g, sqz_vid v, sqz_tensor *t);
/* Attaches a grid: n scales and zeros are copied. axis -1 and n 1: per tensor. Does not change
 * dtype. */
sqz_status sqz_value_set_quant(sqz_graph *g, sqz_vid v, sqz_dtype d, int32_t axis, uint32_t n,
                               const float *scale, const int32_t *zero);
/* The same, blocks included; copies *q. */
sqz_status sqz_value_set_grid(sqz_graph *g, sqz_vid v, const sqz_quant *q);

/* A new node before `before` (SQZ_NONE: at the end). attrs: an option struct that is deep-copied
 * (NULL: defaults). Infers shapes and types and makes the outputs, named out_name[i] (NULL, or an
 * entry NULL: made up). out may be NULL when n_out is 1 and the id is not wanted. */
sqz_status sqz_graph_node(sqz_graph *g, const struct sqz_op *op, const char *name,
                          const void *attrs, const sqz_vid *in, unsigned n_in,
                          const char *const *out_name, unsigned n_out, sqz_nid before,
                          sqz_vid *out);
/* The same from text, for tests and passes: op by name, attributes as "strides=2,2 pads=1,1,1,1".
 */
sqz_status sqz_graph_node_text(sqz_graph *g, const char *op, const char *name, const char *attrs,
                               const sqz_vid *in, unsigned n_in, sqz_nid before, sqz_vid *out);
/* Removes a node; its outputs must have no uses. */
void sqz_graph_remove(sqz_graph *g, sqz_nid n);
/* Removes a value (its name is free again); it must have no uses and no producer that lives. */
void sqz_graph_remove_value(sqz_graph *g, sqz_vid v);
/* Every use of `from` (inputs of nodes, graph outputs) becomes a use of `to`. */
void sqz_graph_replace_uses(sqz_graph *g, sqz_vid from, sqz_vid to);
sqz_status sqz_node_set_attrs(sqz_graph *g, sqz_nid n, const void *attrs); /* deep copy */
/* Recomputes all shapes and types in order, e.g. after a surgery. */
sqz_status sqz_graph_infer(sqz_graph *g);
/* Sets dimension 0 of every input to `batch` and infers. Fails (graph unchanged) when the graph
 * cannot. */
sqz_status sqz_graph_set_batch(sqz_graph *g, int64_t batch);
sqz_status sqz_graph_add_meta(sqz_graph *g, const char *key,
                              const char *value); /* replaces an equal key */
const char *sqz_graph_get_meta(const sqz_graph *g, const char *key);

/* What the softmax or sigmoid that makes output 0 reads, or output 0 itself (walk.c). */
sqz_vid sqz_graph_logits(const sqz_graph *g);

/* Uses of every value, built on demand (walk.c); valid until the graph changes. Lives in `a`. */
typedef struct sqz_uses {
    uint32_t *first; /* n_value + 1: uses of v are entries first[v] .. first[v+1] */
    sqz_nid *node;   /* SQZ_NONE: a graph output */
    uint16_t *slot;  /* input slot, or output index */
} sqz_uses;
sqz_status sqz_uses_build(const sqz_graph *g, sqz_arena *a, sqz_uses *out);
static inline uint32_t sqz_n_uses(const sqz_uses *u, sqz_vid v)
{
    return u->first[v + 1] - u->first[v];
}

/* ---- parts of a graph (cut.c). A cut lies in front of a node in execution order; SQZ_NONE: behind
 * the last one. ---- */
/* Values that cross the cut: made before it (or inputs), read behind it (or outputs); by id, in
 * `a`. */
sqz_status sqz_graph_live(const sqz_graph *g, sqz_arena *a, sqz_nid cut, sqz_vid **list,
                          uint32_t *n);
/* The nodes from `begin` up to and without `end`, as a graph of its own with the same ids of nodes
 * and values. Inputs: what it reads and does not make; outputs: what it makes that is read behind
 * it or is an output of g, and the n_more values of `more` that it makes. Shapes stay (set the
 * batch before). Numbers are shared. */
sqz_status sqz_graph_piece(const sqz_graph *g, sqz_nid begin, sqz_nid end, const sqz_vid *more,
                           uint32_t n_more, sqz_graph **out);

/* The definition of a valid graph (verify.c): E_INTERNAL with a sentence. */
sqz_status sqz_graph_verify(const sqz_graph *g);
/* The graph as text and back (text.c). Constants up to `max_numbers` elements are printed in full,
 * larger ones as a hash; parsing needs them in full. */
sqz_status sqz_graph_print(const sqz_graph *g, size_t max_numbers, sqz_str *out);
sqz_status sqz_graph_parse(sqz_ctx *ctx, const char *text, sqz_graph **out);
#endif
