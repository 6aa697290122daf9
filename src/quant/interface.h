/* interface.h: an activation and the linear layers that read it, with what calibration data say of
 * its channels: where SmoothQuant and AWQ choose factors. The output error of weights W + D is
 * E|D x|^2 = tr(D G D^T) with G = E[x x^T], for all data and without keeping any. */
#ifndef SQZ_INTERFACE_H
#define SQZ_INTERFACE_H
#include "quant/scaling.h"

typedef struct sqz_interface {
    sqz_scaling *k;
    sqz_vid x;
    size_t n;            /* channels */
    sqz_scaled **linear; /* that read x; dense ones: every output reads every channel */
    uint32_t n_linear;
    uint32_t *class;          /* of each channel; SQZ_NONE: it stays as it is */
    bool free;                /* some channel may be scaled, and none was scaled before */
    const float *g;           /* n x n */
    const float *mean, *most; /* of |x| by channel */
    float lo, hi;             /* of all */
} sqz_interface;

/* Calls `see` for each interface in execution order, then scales the graph by the factors that it
 * set. Channels of convolutions are looked at one pixel at a time. Interfaces of more than 8192
 * channels are left out. Needs a float model and calibration data, else a sentence names `pass`. */
typedef sqz_status (*sqz_interface_fn)(void *user, sqz_interface *f);
sqz_status sqz_interfaces_scale(sqz_graph *g, const sqz_env *env, const char *pass,
                                sqz_interface_fn see, void *user);
/* Channel c is to be divided by t[c], where it may be. */
void sqz_interface_factors(const sqz_interface *f, const float *t);
/* Weights of a dense layer as rows (outs * taps) x n, and back. */
void sqz_interface_rows(const sqz_graph *g, const sqz_scaled *l, float *rows);
void sqz_interface_put_rows(const sqz_scaled *l, const float *rows, float *w);
/* sum over rows of d G d^T. `temp`: rows x n. */
sqz_status sqz_interface_error(const sqz_interface *f, const float *d, size_t rows, float *temp,
                               double *out);
#endif
