/* keras.h: what the Keras importer's files share. A model is built as the ONNX graph that tf2onnx
 * would write: nodes go through the import hooks of ONNX operators, weights get ONNX's layout,
 * spatial layers run channels-first with one Transpose where the data comes in. Internal to src/io.
 */
#ifndef SQZ_KERAS_H
#define SQZ_KERAS_H
#include "io/hdf5.h"
#include "io/import.h"
#include "io/refusal.h"
#include "ir/op.h"
#include <cjson/cJSON.h>

#define SQZ_KERAS_OPSET 17
#define SQZ_KERAS_OUTS  8

/* ---- numbers of the file, on their way to ONNX's layout (keras_array.c) ---- */
typedef struct sqz_karray {
    sqz_tensor num; /* float32 */
    sqz_tensor idx; /* int64, same shape: where each number came from (sqz_keras_place), 0: nowhere;
                       only when the import tracks weights */
} sqz_karray;
/* Weight of a layer and element in it, as one number that is not 0, and back. */
static inline int64_t sqz_keras_place(uint32_t weight, size_t element)
{
    return ((int64_t)weight << 40 | (int64_t)element) + 1;
}
static inline uint32_t sqz_keras_place_weight(int64_t place)
{
    return (uint32_t)((place - 1) >> 40);
}
static inline size_t sqz_keras_place_element(int64_t place)
{
    return (size_t)(place - 1) & (((size_t)1 << 40) - 1);
}

/* ---- weights of the file (keras_weights.c) ---- */
typedef struct sqz_kweight {
    const char *name; /* "conv2d/kernel:0" */
    const char *path; /* of the dataset, from the root of the weights */
} sqz_kweight;
typedef struct sqz_kweights {
    const sqz_kweight *v;
    uint32_t n;
} sqz_kweights;

/* ---- tensors of the model ---- */
typedef struct sqz_kval {
    sqz_vid plain; /* in Keras' order; SQZ_NONE: not made yet */
    sqz_vid first; /* (N,C,...) where Keras has (N,...,C); SQZ_NONE: not made yet */
    bool masked;   /* Keras knows which steps to leave out */
    bool bad;      /* of a layer that cannot be run */
} sqz_kval;

struct sqz_kmodel;
struct sqz_keras;
struct sqz_kclass;
typedef struct sqz_klayer {
    struct sqz_keras *k;
    const char *own;  /* the name in its model */
    const char *name; /* with the names of the models around it: "encoder/conv2d" */
    const char *type; /* class_name */
    const cJSON *config;
    const struct sqz_kclass *cls; /* NULL: a model, or not known */
    struct sqz_kmodel *model;     /* a nested model */
    struct sqz_klayer *inner;     /* of wrappers; backward of Bidirectional is inner[1] */
    struct sqz_klayer *branch;    /* models that Keras 1's Merge joins where a model begins */
    uint32_t n_branch;
    sqz_kweights w;
    uint32_t w_base; /* weight 0 is weight w_base of the layer around it (Bidirectional) */
    sqz_vid *made;   /* constants of the first call, which the others share */
    uint32_t n_made, at_made, room_made;
    uint32_t calls;
    bool turned;  /* Dense: its kernel is (O, I), for Gemm */
    bool refused; /* is on the list already */
    /* of the call that is being built */
    const char *label; /* name, with a number from the second call on */
    sqz_kval **in;
    uint32_t n_in;
    const cJSON *kwargs;   /* further arguments of the call */
    const cJSON *constant; /* that stands before the input in the call, or NULL */
    sqz_kval out[SQZ_KERAS_OUTS];
    uint32_t n_out;
    sqz_status status; /* sticks */
} sqz_klayer;

enum { /* what a class does with a mask */
       SQZ_K_MASK_DROP,
       SQZ_K_MASK_PASS,
       SQZ_K_MASK_USE /* its numbers depend on it: refused */
};
typedef struct sqz_kclass {
    const char *names; /* "Conv2D|Convolution2D" */
    sqz_status (*build)(sqz_klayer *l);
    int arg; /* for build: dimensions, kind */
    int mask;
} sqz_kclass;
typedef struct sqz_kclasses {
    const sqz_kclass *v;
    size_t n;
} sqz_kclasses;

typedef struct sqz_ktrack { /* a constant that was made of weights */
    sqz_vid v;
    const sqz_klayer *layer;
    sqz_tensor idx;
} sqz_ktrack;

/* ---- the import ---- */
typedef struct sqz_keras {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_graph *g;
    const sqz_import_options *opt;
    const cJSON *root;        /* the architecture */
    hid_t weights;            /* group with layer_names; -1: none */
    uint64_t file_bytes;      /* of the file with the weights */
    const char *backend;      /* of the weights; NULL: not told */
    int version;              /* major, of the file; 0: not told */
    bool theano;              /* convolution kernels are stored turned around */
    const char **layer_names; /* groups of the weights */
    uint32_t n_layer_names;
    bool batch_bound; /* dimension 0 of some input is not free */
    bool track;
    sqz_ktrack *tracked;
    uint32_t n_tracked, room_tracked;
    sqz_refusals no;
} sqz_keras;

/* ---- keras_config.c: JSON ---- */
/* Parses with bounded nesting; free with cJSON_Delete. */
sqz_status sqz_keras_parse(sqz_ctx *ctx, const char *text, size_t n, cJSON **out);
/* First entry of "a|b|c" that is there and not null; NULL: none. */
const cJSON *sqz_kc_get(const cJSON *config, const char *names);
/* Values with defaults; what has the wrong type is an error of the layer. */
bool sqz_kc_bool(sqz_klayer *l, const char *names, bool def);
int64_t sqz_kc_int(sqz_klayer *l, const char *names, int64_t def);
double sqz_kc_num(sqz_klayer *l, const char *names, double def);
const char *sqz_kc_str(sqz_klayer *l, const char *names, const char *def);
/* One number for all, or n of them. */
void sqz_kc_ints(sqz_klayer *l, const char *names, uint32_t n, int64_t def, int64_t *out);
/* Any number of them, at most SQZ_MAX_RANK; null becomes `none`. */
uint32_t sqz_kc_list(sqz_klayer *l, const cJSON *item, int64_t none, int64_t *out);
/* Whether `name` is one of "a|b|c". */
bool sqz_kc_is(const char *names, const char *name);
/* Channels are last. */
bool sqz_kc_last(sqz_klayer *l);

/* ---- keras_array.c; nothing happens after an error ---- */
void sqz_karray_free(sqz_klayer *l, sqz_karray *a);
void sqz_karray_zeros(sqz_klayer *l, const sqz_shape *s, sqz_karray *out);
/* An array with another number of axes is refused. */
void sqz_karray_permute(sqz_klayer *l, sqz_karray *a, int32_t rank, const int *perm);
void sqz_karray_reshape(sqz_klayer *l, sqz_karray *a, int32_t rank, const int64_t *dims);
void sqz_karray_flip(sqz_klayer *l, sqz_karray *a, int32_t axis);
/* Entries from .. from+n-1 of an axis. */
void sqz_karray_take(sqz_klayer *l, const sqz_karray *a, int32_t axis, int64_t from, int64_t n,
                     sqz_karray *out);
/* Along an axis; takes over the parts. */
void sqz_karray_join(sqz_klayer *l, sqz_karray *part, uint32_t n, int32_t axis, sqz_karray *out);

/* ---- keras_weights.c ---- */
sqz_status sqz_keras_open_weights(sqz_keras *k, hid_t file);
/* Weights of a layer of the outermost model; n 0: none. *found: the file has a group for it. */
sqz_status sqz_keras_group(sqz_keras *k, const char *layer, sqz_kweights *out, bool *found);
/* Those of a layer in a nested model, picked by name. */
sqz_status sqz_keras_pick(sqz_keras *k, const sqz_kweights *all, const char *layer,
                          sqz_kweights *out);
/* Weight i of the layer. */
void sqz_keras_weight(sqz_klayer *l, uint32_t i, sqz_karray *out);
/* Refuses when the layer has not n weights. */
bool sqz_keras_expect(sqz_klayer *l, uint32_t n);

/* ---- keras_build.c: nodes ---- */
SQZ_PRINTF(3, 4) void sqz_keras_fail(sqz_klayer *l, sqz_status s, const char *fmt, ...);
/* A node of an ONNX type. suffix NULL: it has the layer's name. Returns output 0. */
sqz_vid sqz_keras_node(sqz_klayer *l, const char *type, const char *suffix,
                       const sqz_raw_attr *attr, unsigned n_attr, const sqz_vid *in, unsigned n_in);
/* The same, n outputs; opset 0: the usual one. */
void sqz_keras_nodes(sqz_klayer *l, const char *type, int64_t opset, const char *suffix,
                     const sqz_raw_attr *attr, unsigned n_attr, const sqz_vid *in, unsigned n_in,
                     sqz_vid *out, unsigned n_out);
#define SQZ_KA(...)                                                                                \
    (const sqz_raw_attr[]){__VA_ARGS__},                                                           \
        (unsigned)(sizeof((const sqz_raw_attr[]){__VA_ARGS__}) / sizeof(sqz_raw_attr))
#define SQZ_KI(...)                                                                                \
    (const sqz_vid[]){__VA_ARGS__},                                                                \
        (unsigned)(sizeof((const sqz_vid[]){__VA_ARGS__}) / sizeof(sqz_vid))
#define SQZ_K_INT(n_, v_)   ((sqz_raw_attr){.name = (n_), .type = 2, .i = (v_), .s = ""})
#define SQZ_K_FLOAT(n_, v_) ((sqz_raw_attr){.name = (n_), .type = 1, .f = (float)(v_), .s = ""})
#define SQZ_K_TEXT(n_, v_)  ((sqz_raw_attr){.name = (n_), .type = 3, .s = (v_)})
#define SQZ_K_INTS(n_, c_, v_)                                                                     \
    ((sqz_raw_attr){.name = (n_), .type = 7, .s = "", .ints = {(c_), (v_)}})
/* Constants: of weights (taken over; shared by all calls of the layer), of a list, of a number. */
sqz_vid sqz_keras_const(sqz_klayer *l, const char *suffix, sqz_karray *a);
sqz_vid sqz_keras_ints(sqz_klayer *l, uint32_t n, const int64_t *v);
sqz_vid sqz_keras_number(sqz_klayer *l, double v);
/* Whether the constants of this call are there already: then weights need not be read. */
bool sqz_keras_cached(sqz_klayer *l, sqz_vid *out);

/* Views of a tensor. */
sqz_vid sqz_keras_plain(sqz_klayer *l, sqz_kval *v);
sqz_vid sqz_keras_first(sqz_klayer *l, sqz_kval *v); /* rank >= 3; else plain */
/* What there is: the channels-first one where both are. */
sqz_vid sqz_keras_any(sqz_klayer *l, sqz_kval *v, bool *first);
sqz_shape sqz_keras_shape(const sqz_klayer *l, const sqz_kval *v); /* in Keras' order */
/* Axis of the file to one of the value: Keras' axes may be negative; `first`: the value is
 * channels-first. */
int64_t sqz_keras_axis(sqz_klayer *l, int64_t axis, int32_t rank, bool first);
/* The next output of the layer. */
void sqz_keras_out(sqz_klayer *l, sqz_vid v, bool first);

/* ---- keras_activation.c ---- */
/* `spec`: text, or an object of class_name and config; NULL: linear. */
sqz_vid sqz_keras_activate(sqz_klayer *l, const cJSON *spec, sqz_vid x, bool first);
const char *sqz_keras_activation_name(const cJSON *spec); /* NULL: not a name */

/* ---- the classes, by family ---- */
extern const sqz_kclasses sqz_keras_conv, sqz_keras_pool, sqz_keras_dense, sqz_keras_norm,
    sqz_keras_activations, sqz_keras_shapes, sqz_keras_merge, sqz_keras_recurrent,
    sqz_keras_wrappers;
const sqz_kclass *sqz_keras_class(const char *type); /* NULL: none */
/* What to do about a class that is not read. */
const char *sqz_keras_advice(const char *type);

/* ---- keras_model.c ---- */
/* Builds the whole model into k->g. */
sqz_status sqz_keras_model(sqz_keras *k);
/* Runs layer l (a class, or a nested model) on l->in; the outputs are in l->out. */
sqz_status sqz_keras_call(sqz_klayer *l);
/* ---- import_keras.c ---- */
/* ctx, opt, no.lines (and track) set: reads a file into k->g; what cannot be run is in k->no. Close
 * it in any case. */
sqz_status sqz_keras_load(sqz_keras *k, const unsigned char *bytes, size_t n);
void sqz_keras_close(sqz_keras *k);
#endif
