/* metric_snr.c: 10 log10(sum r^2 / sum (r - y)^2) of the outputs y against the reference's r, in
 * dB. */
#include "eval/eval.h"
#include <math.h>

typedef struct snr_state {
    double signal, noise;
} snr_state;

static sqz_status add(sqz_ctx *ctx, void *state, const void *opts, const sqz_metric_batch *b)
{
    snr_state *s = state;
    (void)ctx, (void)opts;
    for (size_t i = 0; i < (size_t)b->n * b->row; i++) {
        double r = (double)b->reference[i], d = r - (double)b->pred[i];
        s->signal += r * r;
        s->noise += d * d;
    }
    return SQZ_OK;
}

static sqz_status value(sqz_ctx *ctx, void *state, const void *opts, double *out, double *se)
{
    const snr_state *s = state;
    (void)ctx, (void)opts, (void)se;
    *out = s->noise > 0.0 ? 10.0 * log10(s->signal / s->noise)
                          : 200.0; /* equal: more than any float error */
    return SQZ_OK;
}

const sqz_metric sqz_metric_snr = {
    .info = {.name = "snr", .doc = "signal to noise of the outputs against the reference's, in dB"},
    .higher_is_better = true,
    .needs = SQZ_M_REFERENCE,
    .state_bytes = sizeof(snr_state),
    .add = add,
    .value = value,
};
