/* refine.h: what passes that round weights anew share: the walk over sites, and the problem that
 * each of them is.
 *
 * With d = scale * (code - zero) - w for the terms of a row, the mean squared error of its output
 * is
 *
 *     J(d) = d^T H d + 2 d^T a + J(0),     a = H w - t
 *
 * (site_moments of feed.h; a is 0 where the target is W x^ instead of W x). H carries a damping of
 * `damping` times its mean diagonal, which keeps d small where the samples say nothing. */
#ifndef SQZ_REFINE_H
#define SQZ_REFINE_H
#include "quant/feed.h"

typedef struct sqz_rounding { /* one site */
    sqz_ctx *ctx;
    const sqz_site *site;
    size_t rows, cols, groups;
    int lo, hi;
    const float *w; /* rows x cols */
    float *scale;   /* rows x cols */
    const int32_t *zero;
    bool asymmetric;     /* the target is W x */
    bool row_scale;      /* one scale for each row, which may be changed */
    const double *h;     /* groups x cols x cols, damped */
    const float *hf;     /* the same */
    const float *a, *hw; /* rows x cols; hw is H w */
    int8_t *codes;       /* rows x cols: in and out */
    uint64_t seed;       /* of the site's name */
    sqz_flow *flow;      /* the cut lies in front of the site */
    const sqz_site_moments *m;
} sqz_rounding;

typedef struct sqz_refine {
    const char *pass; /* its name, for progress and notes */
    int64_t samples;  /* 0: as the job says */
    int64_t patches;  /* most patches for the moments; 0: 16,384 and 8 for each term */
    double damping;
    /* -1: where it holds beyond the samples. Matrices see one patch a sample, often fewer than
     * terms, and their inputs lie in few directions: a target that is far from W x^ then moves
     * weights where the samples say nothing. So do biases where no grid adds noise to the data. */
    int asymmetric; /* target W x, not W x^: convolutions */
    int bias;       /* biases take up the shift of the means: beside data on a grid */
    /* Finds codes. Rows whose J is not below that of the codes that were there get those back. */
    sqz_status (*round)(void *user, sqz_rounding *r);
    void *user;
    /* filled */
    double before, after; /* sums over sites of J / J of codes that were there, for the report */
    uint32_t n_site, n_rows, kept_rows; /* rows that kept their codes */
} sqz_refine;
sqz_status sqz_refine_run(sqz_graph *g, sqz_env *env, sqz_refine *r);

/* The bias that makes the means of the site's outputs those of the float network's, by moments of
 * this place in the walk. */
sqz_status sqz_site_mend_bias(sqz_graph *g, const sqz_graph *reference, sqz_site *s,
                              const sqz_site_moments *m, sqz_arena *a, size_t *capped);

/* J - J(0) of each row of codes; a panel at a time in parallel. */
sqz_status sqz_rounding_cost(const sqz_rounding *r, const int8_t *codes, double *cost);
/* g = d H + a of rows begin .. end, half the gradient of J, on the calling thread. */
void sqz_rounding_gradient(const sqz_rounding *r, size_t begin, size_t end, const float *d,
                           float *g);
/* Nearest codes of the weights, or of the minimum `target` of J where that is given. */
void sqz_rounding_nearest(const sqz_rounding *r, const float *target, int8_t *codes);
/* Optimal Brain quantization in a fixed order (gptq.c): columns one by one, the rest of the row
 * moves to make up for it. Codes out, and scales where they may be searched. */
typedef struct sqz_gptq_options {
    bool order;  /* columns by falling diag(H) */
    bool exact;  /* rows of few terms: the best codes by search (lattice.c) */
    bool polish; /* then steps of single codes that lower J, until none does */
    bool scales; /* several scales are tried for each row, and moved to where J is least */
} sqz_gptq_options;
sqz_status sqz_gptq(const sqz_rounding *r, const sqz_gptq_options *o, int8_t *codes);
/* Only the steps of single codes, from the codes given. */
sqz_status sqz_rounding_descend(const sqz_rounding *r, int8_t *codes);

/* ---- lattice.c ---- */
#define SQZ_LATTICE_MAX 25 /* most terms */
typedef struct sqz_lattice {
    size_t n;
    int lo, hi;
    const double *l; /* n x n lower triangle: cost = |l (x - c)|^2 with x in steps */
    const double *center;
    size_t nodes; /* most to look at */
} sqz_lattice;
/* Codes x (in: a first guess, n of them) of least cost; false: nodes ran out, x is the best seen.
 */
bool sqz_lattice_search(const sqz_lattice *p, int *x);
#endif
