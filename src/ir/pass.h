/* pass.h: every rewrite and every compression step has this one signature and one file
 * pass_<name>.c. A recipe is text: "fold_bn,calib(method=mse),ptq(per_tensor=1)". */
#ifndef SQZ_PASS_H
#define SQZ_PASS_H
#include "ir/op.h"

struct sqz_dataset;
typedef struct sqz_env {             /* what passes may use beside the graph */
    struct sqz_dataset *calib;       /* calibration samples, or NULL */
    const char *layout;              /* of them: "nchw", "nhwc"; NULL: by shape */
    const struct sqz_ranges *ranges; /* calibrated ranges, or NULL; see calib/calib.h */
    uint64_t seed;
    int64_t samples; /* calibration samples at most; 0: 512 */
    int64_t batch;   /* 0: chosen */
    /* The float graph that was quantized, with the ids of the quantized one: what passes after ptq
     * compare with (sqz_reference). The caller's, or made by ptq, then freed by the runner at the
     * end of the recipe. */
    sqz_graph *reference;
    bool refined;        /* the runner's: a later pass refines what ptq makes */
    bool made_reference; /* the runner's: reference is to be freed */
    /* Where statistics of the float activations are kept between recipes that begin alike: calib
     * uses those that are there, and leaves what it collects; the caller frees them. NULL: not
     * wanted. */
    struct sqz_stats **stats;
    bool integer_only; /* the device computes no floats: see option `softmax` of ptq */
    sqz_str *notes;    /* warnings and facts for the report, one line each; NULL: only logged */
} sqz_env;

typedef struct sqz_pass {
    sqz_info info;
    unsigned needs, gives,
        breaks; /* SQZ_HAS_*: the runner refuses a wrong order and says what to do */
    unsigned (*needs_by)(const void *opts); /* what it needs beside that with these options; NULL:
                                               nothing */
    bool exact;                             /* float outputs stay equal up to rounding: tested */
    sqz_status (*run)(sqz_graph *g, const void *opts, sqz_env *env);
} sqz_pass;

extern const sqz_pass *const sqz_passes[];
extern const size_t sqz_n_passes;
const sqz_pass *sqz_pass_find(const char *name);
/* A recipe taken apart, in `a`; every pass is known and its options are checked. */
typedef struct sqz_step {
    const sqz_pass *pass;
    void *opts;       /* pass->info.opt_size bytes, or NULL */
    const char *text; /* as written */
} sqz_step;
sqz_status sqz_recipe_read(sqz_arena *a, const char *text, sqz_step **steps, unsigned *n);
/* "ptq(weights=4)": what differs from the defaults. */
void sqz_step_print(sqz_str *out, const sqz_pass *pass, const void *opts);
/* Runs each pass in turn; the graph is verified after each. */
sqz_status sqz_run_recipe(sqz_graph *g, const char *recipe, sqz_env *env);
/* The float graph of a quantized one; without it a sentence that names the pass. */
sqz_status sqz_reference(const sqz_graph *g, const sqz_env *env, const char *pass,
                         const sqz_graph **out);
/* A copy of g as env->reference, when a later pass wants it. */
sqz_status sqz_keep_reference(const sqz_graph *g, sqz_env *env);
/* Quantized models compute in floating point between their pairs, as ONNX defines
 * it. */
#define SQZ_CANONICAL_LITERAL "fold_const,widen,fold_qdq(literal=1),layout,fold_bn,dce"
#define SQZ_CANONICAL         "fold_const,widen,fold_qdq,layout,fuse_gelu,fuse_hard_swish,fold_bn,dce"
#endif
