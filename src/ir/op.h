/* op.h: everything an operator can be asked. One file src/ops/op_<name>.c per operator defines one
 * `const sqz_op sqz_op_<name>`; the build lists it, tests/conformance walks its cases. */
#ifndef SQZ_OP_H
#define SQZ_OP_H
#include "ir/graph.h"

/* ---- shapes ----
 * infer sees the values as they stand: in the file's layout before the layout pass, channel-last
 * after it. sqz_axis_c and sqz_axis_s give the channel axis and the first spatial axis in either.
 */
typedef struct sqz_infer {
    sqz_ctx *ctx;
    const void *attrs;
    const sqz_value *const *in; /* NULL entry: optional input left out */
    unsigned n_in, n_out;
    sqz_shape *out;       /* to fill; zeroed */
    sqz_dtype *out_dtype; /* to fill; preset to the type of input 0 */
} sqz_infer;
static inline int32_t sqz_axis_c(const sqz_value *v)
{
    return v->channel_last ? v->shape.rank - 1 : 1;
}
static inline int32_t sqz_axis_s(const sqz_value *v) { return v->channel_last ? 1 : 2; }
/* Axis from a file (may be negative) to 0..rank-1, or an error. */
sqz_status sqz_axis(sqz_ctx *ctx, int64_t axis, int32_t rank, int32_t *out);

/* ---- running ---- */
/* What the executor fused into a node (exec/fuse.c): done to each result before it is stored. Only
 * operators with the trait SQZ_T_FUSES get one. `run` honors all of it, `run_int` the chain of
 * nodes (the rest is not set there). */
struct sqz_call;
typedef struct sqz_then { /* an elementwise node, in place on the output's memory */
    sqz_status (*part)(const struct sqz_call *c, size_t begin, size_t end);
    const struct sqz_call *call;
} sqz_then;
typedef struct sqz_fused {
    const sqz_tensor *bias; /* (n) float, constant: prepare sees it; added to the node's own bias */
    const sqz_tensor *add;  /* float, of the output's shape, added after the bias; NULL: none */
    float lo, hi;           /* then the clamp; -inf, inf: none */
    const sqz_then *then;   /* then these, in order, on the elements just stored */
    unsigned n_then;
} sqz_fused;
typedef struct sqz_call {
    sqz_ctx *ctx; /* only for sqz_fail and sqz_parallel */
    const void *attrs;
    unsigned n_in, n_out;
    const sqz_tensor *const *in; /* NULL entry: left out */
    sqz_tensor *const
        *out; /* planned memory; its bytes are undefined before; may alias in[0] if IN_PLACE */
    const sqz_quant *const *in_q, *const *out_q; /* grids, NULL where float */
    void *state;                                 /* what prepare left */
    void *scratch; /* scratch_bytes of workspace, shared between nodes; not NULL after prepare */
    const sqz_fused *fused; /* NULL: nothing */
    uint64_t step;          /* of training: what draws random numbers draws them by it */
    bool again; /* training computes output 0 a second time in a step: the others stand as the
                   first time left them, and need not be computed */
} sqz_call;
/* Runs what follows on output elements [begin, end), which the calling thread has just stored. */
static inline sqz_status sqz_fused_then(const sqz_fused *f, size_t begin, size_t end)
{
    sqz_status s = SQZ_OK;
    for (unsigned i = 0; f && i < f->n_then && s == SQZ_OK; i++)
        s = f->then[i].part(f->then[i].call, begin, end);
    return s;
}

/* The same for columns [from, to) of rows [begin, end), n columns wide. */
static inline sqz_status sqz_fused_block(const sqz_fused *f, size_t n, size_t begin, size_t end,
                                         size_t from, size_t to)
{
    sqz_status s = SQZ_OK;
    if (to - from == n)
        return sqz_fused_then(f, begin * n, end * n);
    for (size_t r = begin; f && r < end && s == SQZ_OK; r++)
        s = sqz_fused_then(f, r * n + from, r * n + to);
    return s;
}

/* prepare: once for each node when an executor is made: packs constant weights, computes
 * multipliers and tables. in[i]->data is set for constants only. Memory from `arena` lives as long
 * as the executor. */
typedef struct sqz_prep {
    sqz_ctx *ctx;
    sqz_arena *arena;
    const void *attrs;
    unsigned n_in, n_out;
    const sqz_tensor *const *in, *const *out;
    const sqz_quant *const *in_q, *const *out_q;
    const sqz_fused *fused; /* NULL: nothing; only its bias has numbers */
    void *state;            /* to set; NULL: none */
    size_t scratch_bytes;   /* to set */
    uint32_t spent; /* to set: bit k: the run does not read constant input k any more, as it is in
                       the state: its memory may go */
} sqz_prep;

/* ---- gradients: the vector-Jacobian product, for training and block reconstruction ----
 * Given dL/dy of the outputs, grad computes dL/dx of the inputs that are wanted, in float32 and
 * channel-last. A plan asks once (sqz_grad_prepare), lays out memory with the answer, and then
 * calls grad in every step: nothing is allocated there. The same bytes for any number of threads.
 */
typedef struct sqz_grad_prep {
    sqz_ctx *ctx;
    sqz_arena *arena; /* lives as long as the plan */
    const void *attrs;
    unsigned n_in, n_out;
    const sqz_tensor *const *in, *const *out; /* shapes; data may be NULL */
    uint64_t want;    /* bit k: the gradient of input k is wanted; inputs beyond 63 share bit 63 */
    bool reads_in[2]; /* preset from the table, may be narrowed: grad reads input 0, 1. What it does
                         not read need not be kept until then */
    bool reads_out;   /* the same of output 0 */
    void *state;      /* to set; NULL: none */
    size_t scratch_bytes; /* to set */
} sqz_grad_prep;
typedef struct sqz_grad_call {
    sqz_ctx *ctx;
    const void *attrs;
    unsigned n_in, n_out;
    const sqz_tensor *const *in, *const *out; /* as run had and left them, where they are read */
    const float *const *out_grad;             /* NULL entry: zeros */
    float *const *in_grad; /* NULL entry: not wanted. An operator that is UNARY and ELEMENTWISE may
                              get the memory of out_grad[0] where it does not add */
    uint64_t add;          /* bit k: added to what stands in in_grad[k], else written over it */
    void *state, *scratch;
    uint64_t step; /* as run had it */
} sqz_grad_call;
enum { /* what grad reads beside out_grad; preset of sqz_grad_prep */
       SQZ_GRAD_IN0 = 1,
       SQZ_GRAD_IN1 = 2,
       SQZ_GRAD_OUT = 4,
       SQZ_GRAD_ESTIMATE = 8 /* no derivative but an estimate of one, as through a rounding */
};

/* ---- which indices travel together: pruning asks, docs/pruning.md tells ----
 * `ties` states rows about the axes of its node's inputs and outputs. In a row, index i of an end
 * has the key ((i - off) / div) % mod, and all indices with one key, of both ends, leave a graph
 * together. What no row mentions is pinned: a forgotten rule is safe rather than wrong. */
typedef struct sqz_tie_end {
    int32_t value, axis; /* input k: k; output k: -1 - k */
    int64_t off, n, div; /* indices off .. off + n - 1; n 0: to the end; div 0: 1 */
} sqz_tie_end;
#define SQZ_TIE_IN(k, ax)  ((sqz_tie_end){.value = (int32_t)(k), .axis = (ax)})
#define SQZ_TIE_OUT(k, ax) ((sqz_tie_end){.value = -1 - (int32_t)(k), .axis = (ax)})
typedef struct sqz_ties {
    sqz_ctx *ctx; /* only for sqz_fail */
    const void *attrs;
    const sqz_value *const *in, *const *out; /* NULL entry: optional input left out */
    unsigned n_in, n_out;
    /* mod 0: no wrap. b NULL: the indices of `a` with one key. Indices outside are passed by. */
    void (*row)(struct sqz_ties *t, const sqz_tie_end *a, const sqz_tie_end *b, int64_t mod);
    /* These indices stay: `why` completes "because it". A text without an end. */
    void (*pin)(struct sqz_ties *t, const sqz_tie_end *a, const char *why);
    /* Leaving changes what is computed from those that stay (a mean over channels). */
    void (*shift)(struct sqz_ties *t, const sqz_tie_end *a, const char *why);
    /* All indices of the axis are pinned, as far as known. */
    bool (*fixed)(const struct sqz_ties *t, const sqz_tie_end *a);
    /* A rule that has a choice (which factor of a reshaped axis is a channel) sets `open` and
     * states nothing until other nodes have settled it; with `choose` it must decide. */
    bool choose, open;
    void *user;
} sqz_ties;
/* Attributes after indices have left: those that repeat a shape are brought up to date. */
typedef struct sqz_recut {
    sqz_ctx *ctx;
    sqz_arena *arena;                        /* for new lists */
    void *attrs;                             /* to change; lists in it may not be written to */
    const sqz_value *const *in, *const *out; /* with the shapes before */
    unsigned n_in, n_out;
    /* How many of these indices are still there. */
    int64_t (*kept)(const struct sqz_recut *c, const sqz_tie_end *a);
    void *user;
} sqz_recut;

/* ---- cost ---- */
typedef enum sqz_cost_kind { /* rows of the device model's kernel tables */
                             SQZ_COST_NONE,
                             SQZ_COST_CONV,
                             SQZ_COST_POINTWISE,
                             SQZ_COST_DEPTHWISE,
                             SQZ_COST_FC,
                             SQZ_COST_POOL,
                             SQZ_COST_ELEMENTWISE,
                             SQZ_COST_SOFTMAX,
                             SQZ_COST_MOVE,
                             SQZ_N_COST_KIND
} sqz_cost_kind;
const char *sqz_cost_kind_name(sqz_cost_kind k); /* "conv", "pointwise", ... */
typedef struct sqz_cost {
    uint64_t macs, ops;      /* multiply-accumulates; other scalar operations */
    uint64_t device_scratch; /* bytes of scratch of our firmware kernel for int8; 0 for most */
    sqz_cost_kind kind;
} sqz_cost;

/* ---- quantization: data, because placing grids, export, cost and training all read it ---- */
typedef enum sqz_qkind {
    SQZ_Q_FLOAT,   /* stays float: inputs are dequantized */
    SQZ_Q_LINEAR,  /* y = sum(x*w) + b: int32 accumulator, then requantized to the output's grid */
    SQZ_Q_SAME,    /* output and data inputs share one grid (reshape, max pool, relu, concat) */
    SQZ_Q_REALIGN, /* every input is brought to the output's grid or a common one (add, mul, average
                      pool) */
    SQZ_Q_FIXED,   /* output grid is fixed_scale, fixed_zero (softmax 1/256, -128) */
    SQZ_Q_LUT      /* unary elementwise: any grids, a table of 256 entries computed from `run` */
} sqz_qkind;
typedef struct sqz_qrule {
    sqz_qkind kind;
    int8_t weight, bias; /* input slots, 0: none (slot 0 is data) */
    int8_t weight2;      /* another weight, with channels on the same axis (recurrent operators) */
    int8_t channel_axis; /* axis of the weight (channel-last layout) that owns one scale each;
                            negative: from the end */
    float fixed_scale;   /* FIXED, and LUT operators with a natural grid (sigmoid, tanh); 0:
                            calibrated */
    int32_t fixed_zero;
    uint32_t data_inputs; /* bit k: input k is a quantized activation; 0: input 0 only (SAME,
                             REALIGN: all tensors) */
} sqz_qrule;

/* ---- layout ---- */
typedef enum sqz_layout_kind {
    SQZ_L_FILE, /* works on the file's layout only (reshape, matmul, gather): the default, always
                   right */
    SQZ_L_CHANNELS, /* runs channel-last only: conv, pools, batch norm; weights of rank >= 3 are
                       moved too */
    SQZ_L_ANY /* any layout that all its tensors share; attributes marked AXIS are renumbered */
} sqz_layout_kind;

/* ---- ONNX: how it is spelt ---- */
typedef struct sqz_raw_attr { /* one attribute as the file has it */
    const char *name;
    int type; /* AttributeProto.AttributeType: 1 float, 2 int, 3 string, 4 tensor, 6 floats, 7 ints,
                 8 strings */
    float f;
    int64_t i;
    const char *s;
    sqz_ints ints;
    sqz_floats floats;
    const sqz_tensor *t;
    const char *const *strings; /* n_strings of them */
    uint32_t n_strings;
} sqz_raw_attr;

typedef struct sqz_import { /* a node of the file, decoded; what an import hook sees and does */
    sqz_graph *g;
    const char *op_type, *name;
    int64_t opset; /* of the node's domain */
    const sqz_raw_attr *attr;
    unsigned n_attr;
    const sqz_vid *in; /* SQZ_NONE: left out */
    unsigned n_in;
    const char *const *out_name; /* NULL entry: output not wanted */
    unsigned n_out;              /* up to the last one that is wanted */
    unsigned n_listed;           /* outputs that the node lists, wanted or not */
    sqz_vid *out;                /* to fill */
} sqz_import;
const sqz_raw_attr *sqz_import_attr(const sqz_import *im, const char *name); /* NULL: absent */
int64_t sqz_import_int(const sqz_import *im, const char *name, int64_t def);
/* Constant input `slot` (NULL with SQZ_OK when absent; error that names the node when not
 * constant). */
sqz_status sqz_import_const(sqz_import *im, unsigned slot, const sqz_tensor **t);
/* The default: attributes by schema, from ONNX attributes or from constant inputs (attr.slot), over
 * the defaults; checked. `attrs`: opt_size bytes. */
sqz_status sqz_import_attrs(sqz_import *im, const struct sqz_op *op, void *attrs);
/* Adds the node. attrs NULL: read by schema. in NULL: the node's inputs in order, without those
 * that are attributes. */
sqz_status sqz_import_node(sqz_import *im, const struct sqz_op *op, const void *attrs,
                           const sqz_vid *in, unsigned n_in);

typedef struct sqz_export_attr {
    const char *name;
    int type; /* 1 float, 2 int, 3 string, 6 floats, 7 ints, 8 strings */
    int64_t i;
    float f;
    const char *s;
    sqz_ints ints;
    sqz_floats floats;
    const char *const *strings; /* n_strings of them */
    uint32_t n_strings;
} sqz_export_attr;
#define SQZ_EXPORT_INPUTS 128
typedef struct sqz_export { /* what an export hook fills: the node in the file's layout and opset */
    sqz_arena *arena;
    sqz_ctx *ctx;
    const sqz_graph *g;
    const sqz_node *node;
    const void *attrs;            /* with axes already renumbered to the file's layout */
    int64_t opset;                /* being written */
    const char *op_type, *domain; /* preset from the map */
    sqz_export_attr attr[24];
    unsigned n_attr;
    /* Inputs: preset to the node's. An entry with `ints` or `floats` becomes a small int64 / float
     * constant. */
    struct {
        sqz_ints ints;
        sqz_floats floats;
        sqz_vid value;  /* SQZ_NONE with n 0: left out */
        sqz_dtype real; /* type of `floats` in the file: f32 unless the hook says otherwise */
        bool is_const, is_float, scalar;
    } in[SQZ_EXPORT_INPUTS];
    unsigned n_in;
    bool adds; /* ONNX's operator lacks the bias `add`: a node Add follows it */
    sqz_vid add;
} sqz_export;
sqz_status
sqz_export_schema(sqz_export *e); /* the default: attributes by schema, slots from `since` on */

typedef struct sqz_onnx_map {
    const char *op_type;  /* NULL: internal only */
    const char *also;     /* further spellings that import accepts, "|" between; NULL: none */
    uint8_t since, until; /* opsets read; until 0: no end known */
    /* NULL: sqz_import_attrs then sqz_import_node. A hook may build several nodes or pick another
     * operator. */
    sqz_status (*import)(sqz_import *im, const struct sqz_op *op);
    sqz_status (*write)(sqz_export *e); /* NULL: sqz_export_schema */
} sqz_onnx_map;

/* ---- ONNX operators that need none of their own: compositions of others
 * (src/ops/lower_<family>.c, with the builder of ops/build.h), and everything of other domains than
 * ONNX's ---- */
typedef struct sqz_lower {
    const char *domain; /* "": ONNX's own */
    const char *op_type;
    uint8_t since, until; /* opsets of the domain that are read; until 0: no end known */
    sqz_status (*import)(sqz_import *im);
    const char
        *attrs; /* "a|b|c": attributes that it reads, others are refused by name; NULL: any */
    const char *refused; /* no import: why it cannot be run, and what to do instead */
} sqz_lower;
typedef struct sqz_lower_set {
    const sqz_lower *rule;
    size_t n;
} sqz_lower_set;
extern const sqz_lower_set *const sqz_lower_sets[];
extern const size_t sqz_n_lower_sets;
/* NULL: none. *known: the type is read at other opsets. */
const sqz_lower *sqz_lower_find(const char *domain, const char *op_type, int64_t opset,
                                bool *known);

/* ---- examples: small cases that the conformance suite runs through every column ---- */
typedef struct sqz_case {
    const char *attrs;
    unsigned n_in;
    unsigned constant;  /* bit k: input k is a constant */
    sqz_shape in[8];    /* channel-last where the operator is L_CHANNELS; rank -1: left out */
    double lo, hi;      /* range of the random inputs; 0, 0: -1 .. 1 */
    sqz_dtype dtype[8]; /* 0: float32; integers are whole numbers of lo .. hi */
} sqz_case;

enum { /* traits */
       SQZ_T_ELEMENTWISE =
           1, /* output element i depends on input elements i only (after broadcasting) */
       SQZ_T_UNARY = 2,
       SQZ_T_IN_PLACE = 4, /* out[0] may be the memory of in[0] (same bytes), float and integer */
       SQZ_T_VIEW = 8,     /* moves no byte: out[0] is in[0] under another shape */
       SQZ_T_RELU_LIKE =
           16, /* clamps: with the output's grid on its input, integer form is the identity */
       SQZ_T_MOVES =
           32, /* run only moves elements and works on every type, also as the integer run */
       SQZ_T_F64 = 64,    /* run takes f64 as well as f32 */
       SQZ_T_FUSES = 256, /* run and run_int honor sqz_call.fused */
       SQZ_T_CODED = 512, /* run takes a constant weight (quant.weight, 1) that stands on a grid
                             beside float data, where sqz_coded_fits (ops/coded.h) */
       SQZ_T_TYPES = 128  /* run takes every type that infer lets through. Without this trait, MOVES
                             or VIEW, run sees f32 where a value is f16, bf16 or (without F64) f64 */
};

typedef struct sqz_op {
    sqz_info info;
    uint8_t n_in_min, n_in_max, n_out_min, n_out_max;
    uint32_t traits;
    sqz_layout_kind layout;
    /* required */
    sqz_status (*infer)(sqz_infer *q);
    sqz_status (*run)(const sqz_call *c); /* float32, or what infer allows; channel-last */
    /* optional; what NULL means is part of the contract */
    void (*cost)(
        const sqz_infer *q,
        sqz_cost *out); /* after infer, q->out filled. NULL: ops = output elements, ELEMENTWISE */
    sqz_status (*prepare)(sqz_prep *p); /* NULL: no state, no scratch */
    sqz_status (*run_int)(
        const sqz_call *c); /* NULL: float island (MOVES and LUT operators need none) */
    /* Elementwise operators: output elements [begin, end) of a prepared call, on the calling
     * thread; float and integer. out[0] may be in[0]. NULL: never fused into another node. */
    sqz_status (*part)(const sqz_call *c, size_t begin, size_t end);
    sqz_status (*grad)(const sqz_grad_call *c);   /* NULL: cannot be trained through */
    sqz_status (*grad_prepare)(sqz_grad_prep *p); /* NULL: no state, no scratch */
    uint32_t grad_reads;                          /* SQZ_GRAD_... */
    const char *no_grad;               /* why grad is NULL: goes behind "has no gradient: " */
    void (*ties)(sqz_ties *t);         /* NULL: no index of its inputs and outputs may leave */
    sqz_status (*recut)(sqz_recut *c); /* NULL: no attribute repeats a shape */
    /* facts */
    sqz_qrule quant;
    sqz_onnx_map onnx;
    const sqz_case *cases; /* at least one */
    unsigned n_cases;
} sqz_op;

extern const sqz_op *const sqz_ops[];
extern const size_t sqz_n_ops;
const sqz_op *sqz_op_find(const char *name);
/* First operator that reads this ONNX op_type at this opset; NULL: none. *known: the type is read
 * at others. */
const sqz_op *sqz_op_of_onnx(const char *op_type, int64_t opset, bool *known);
/* Its run takes every type that infer lets through, several at a time too. */
static inline bool sqz_op_takes_all(const sqz_op *op)
{
    return op->traits & (SQZ_T_TYPES | SQZ_T_MOVES | SQZ_T_VIEW);
}
/* The type in which an operator's run sees values of a type: f32 for floats that it cannot take. */
sqz_dtype sqz_op_run_type(const sqz_op *op, sqz_dtype d);
/* What infer and cost are asked about n: fills in[] and, as if all outputs were of the first
 * input's type, dtype[]; shape[] is empty. */
sqz_infer sqz_node_ask(const sqz_graph *g, const sqz_node *n, const sqz_value **in,
                       sqz_shape *shape, sqz_dtype *dtype);
/* Infers one node; messages name it. */
sqz_status sqz_node_infer(const sqz_graph *g, const sqz_node *n, sqz_shape *shape,
                          sqz_dtype *dtype);
void sqz_node_cost(const sqz_graph *g, const sqz_node *n, sqz_cost *out);
/* Presets and asks. Refuses, by name, an operator that has no gradient. */
sqz_status sqz_grad_prepare(const sqz_op *op, sqz_grad_prep *p);
static inline bool sqz_grad_wants(const sqz_grad_call *c, unsigned k)
{
    return k < c->n_in && c->in_grad[k];
}
static inline bool sqz_grad_adds(const sqz_grad_call *c, unsigned k)
{
    return c->add >> SQZ_MIN(k, 63u) & 1;
}
/* Axes between the file's layout and channel-last (axes.c); 0 <= axis < rank. */
int sqz_axis_to_last(int axis, int rank);
int sqz_axis_to_file(int axis, int rank);
/* Shape of a value in the model file. */
sqz_shape sqz_value_file_shape(const sqz_value *v);
/* A copy of the attributes with everything that names axes renumbered (rank: of input 0). */
sqz_status sqz_attrs_renumber(sqz_ctx *ctx, sqz_arena *a, const sqz_op *op, const void *attrs,
                              int32_t rank, bool to_last, void **out);
/* The node looks constant weights up in a palette: gather(colors f32 (k), indices u8 or u4). It is
 * not folded, so that the weights stay small. */
bool sqz_node_is_palette(const sqz_graph *g, const sqz_node *n);
/* Constant folding (fold.c). A node is foldable when all its inputs are constants and it is no
 * dequantization; folding it turns its outputs into constants under the same ids. */
bool sqz_node_foldable(const sqz_graph *g, const sqz_node *n);
sqz_status sqz_fold_node(sqz_graph *g, sqz_nid n);
/* Folds what `v` is computed from when that is all constant, or inputs whose value the caller of
 * the import has given (sqz_graph.given): those become constants. Else does nothing. */
sqz_status sqz_fold_value(sqz_graph *g, sqz_vid v);
/* Runs one node on plain tensors (constant folding, tables, tests): prepare and run, float or
 * integer. */
sqz_status sqz_op_run_once(sqz_ctx *ctx, const sqz_op *op, const void *attrs,
                           const sqz_tensor *const *in, unsigned n_in, sqz_tensor *const *out,
                           unsigned n_out, const sqz_quant *const *in_q,
                           const sqz_quant *const *out_q);
#endif
