/* optim.h: the table of optimizers. One file src/train/optim_<name>.c per optimizer defines one
 * `const sqz_optim sqz_optim_<name>`; the build lists it. An update takes one tensor, and goes over
 * it in pieces whose borders depend on its size alone: same bytes for any number of threads. */
#ifndef SQZ_OPTIM_H
#define SQZ_OPTIM_H
#include "base/base.h"

typedef struct sqz_optim_step {
    float *w;
    const float *g;
    float *state; /* n_state blocks of n, zero at first */
    size_t n;
    uint64_t t; /* from 1 */
    double rate, decay /* 0: this tensor does not decay */, scale /* of g: clipping */;
    float floor; /* w stays at or above; -INFINITY */
} sqz_optim_step;

typedef struct sqz_optim {
    sqz_info info;    /* doc names the paper */
    double rate;      /* usual peak rate */
    unsigned n_state; /* floats kept per number */
    /* A number of g that is no number makes its w (lamb: all of them) none: the caller looks. */
    sqz_status (*update)(sqz_ctx *ctx, const void *opts, const sqz_optim_step *s);
} sqz_optim;
extern const sqz_optim *const sqz_optims[];
extern const size_t sqz_n_optims;
const sqz_optim *sqz_optim_find(const char *name); /* NULL: none */
/* "sgd(momentum=0.9)" -> the entry and its options, in `a`. */
sqz_status sqz_optim_spec(sqz_arena *a, const char *spec, const sqz_optim **o, const void **opts);

/* Numbers of a piece: below, waking a thread costs more than it saves. */
#define SQZ_OPTIM_GRAIN ((size_t)1 << 14)
/* w, held at its floor. What is no number stays none. */
static inline float sqz_floored(float w, float floor) { return w < floor ? floor : w; }
#endif
