/* pass.h: every rewrite and every compression step has this one signature and one file
 * pass_<name>.c. A recipe is text: "fold_bn,calib(method=mse),ptq(per_tensor=1)". */
#ifndef SQZ_PASS_H
#define SQZ_PASS_H
#include "ir/op.h"

struct sqz_dataset;
typedef struct sqz_env {             /* what passes may use beside the graph */
    struct sqz_dataset *calib;       /* calibration samples, or NULL */
    const struct sqz_ranges *ranges; /* calibrated ranges, or NULL; see calib/calib.h */
    uint64_t seed;
    int64_t samples; /* calibration samples at most; 0: 512 */
    int64_t batch;   /* 0: chosen */
    sqz_str *notes;  /* warnings and facts for the report, one line each; NULL: only logged */
} sqz_env;

typedef struct sqz_pass {
    sqz_info info;
    unsigned needs, gives,
        breaks; /* SQZ_HAS_*: the runner refuses a wrong order and says what to do */
    bool exact; /* float outputs stay equal up to rounding: tested */
    sqz_status (*run)(sqz_graph *g, const void *opts, sqz_env *env);
} sqz_pass;

extern const sqz_pass *const sqz_passes[];
extern const size_t sqz_n_passes;
const sqz_pass *sqz_pass_find(const char *name);
/* Runs each pass in turn; the graph is verified after each. */
sqz_status sqz_run_recipe(sqz_graph *g, const char *recipe, sqz_env *env);
/* Quantized models compute in floating point between their pairs, as ONNX defines
 * it. */
#define SQZ_CANONICAL_LITERAL "fold_const,widen,fold_qdq(literal=1),layout,fold_bn,dce"
#define SQZ_CANONICAL "fold_const,widen,fold_qdq,layout,fuse_gelu,fold_bn,dce"
#endif
