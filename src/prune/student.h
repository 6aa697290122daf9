/* student.h: smaller networks made of a larger one, and other surgery before training. All of it
 * works on float graphs with channel-last layout whose batch norms still stand
 * (SQZ_TRAINABLE of train/training.h), and gives a new graph or changes the one given; names stay.
 */
#ifndef SQZ_STUDENT_H
#define SQZ_STUDENT_H
#include "device/device.h"
#include "io/data.h"
#include "prune/classes.h"

typedef struct sqz_student_env {
    const sqz_device *device; /* for "auto"; else NULL */
    sqz_dataset *data;        /* calibration samples that say which blocks matter, or NULL */
    const char *layout;       /* of the data; NULL: by shape */
    uint64_t seed;
    sqz_str *notes; /* what was done, one line each; NULL: not wanted */
} sqz_student_env;
/* "width=0.5", "depth=0.5", "width=0.75,depth=0.5", "auto", with "init=teacher|random",
 * "score=l2", "multiple=8" (student.c has the schema). */
sqz_status sqz_student_make(const sqz_graph *teacher, const char *spec, const sqz_student_env *env,
                            sqz_graph **out);

/* Each family keeps a share of its classes, the most important ones by a score; at least one, and a
 * multiple of so many channels where that many are left (width.c). */
typedef struct sqz_width_options {
    double share;      /* 0 < share <= 1 */
    int64_t multiple;  /* >= 1 */
    const char *score; /* NULL: "l2" */
    uint64_t seed;     /* of a score that draws */
} sqz_width_options;
sqz_status sqz_student_width(const sqz_graph *g, const sqz_width_options *o, sqz_graph **out);

/* Residual blocks y = x + f(x) that keep the shape (depth.c). */
typedef struct sqz_residual {
    sqz_nid add;
    sqz_vid x, f, y;
    double change; /* |f| / |x| on data; NAN: not measured */
} sqz_residual;
sqz_status sqz_residuals_find(const sqz_graph *g, sqz_arena *a, sqz_residual **blocks, uint32_t *n);
/* Measures `change` on samples of env->data. */
sqz_status sqz_residuals_measure(const sqz_graph *g, const sqz_student_env *env,
                                 sqz_residual *blocks, uint32_t n);
/* A share of the blocks stays (to the nearest number, halves down): with data those that change
 * their stream most, else evenly spread ones. Refuses a network without such blocks, and a share
 * that removes none. */
sqz_status sqz_student_depth(const sqz_graph *g, double share, const sqz_student_env *env,
                             sqz_graph **out);

/* Fresh numbers for all parameters, by what reads them (init.c): He et al. (2015) before
 * rectifiers, Glorot & Bengio (2010) elsewhere; biases 0; batch norms 1, 0, statistics 0, 1. Same
 * bytes for one seed. `only`: of constants (n_value entries); NULL: all. */
sqz_status sqz_init_random(sqz_graph *g, uint64_t seed, const bool *only);

/* Marks the constants of nodes, and constants, whose names match (whole, as sqz_match): frozen has
 * n_value entries. Batch norms among the nodes are marked in `still` (n_node entries, or NULL):
 * they keep their statistics. Refuses a pattern that nothing matches. */
sqz_status sqz_freeze(const sqz_graph *g, const char *pattern, bool *frozen, bool *still);

/* The last dense layer or 1x1 convolution before the output gets `classes` outputs and fresh
 * numbers; what follows it stays (replace_head.c). *weight, *bias: its constants (bias SQZ_NONE:
 * none); NULL: not wanted. */
sqz_status sqz_replace_head(sqz_graph *g, int64_t classes, uint64_t seed, sqz_vid *weight,
                            sqz_vid *bias);

/* The graph up to a value, which becomes its only output; what nothing reads then is gone
 * (until.c). */
sqz_status sqz_graph_until(const sqz_graph *g, const char *value, sqz_graph **out);
#endif
