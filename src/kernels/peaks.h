/* peaks.h: what this machine can do at best, measured now, with the context's threads and
 * instruction set: the measure for what a layer reaches. */
#ifndef SQZ_PEAKS_H
#define SQZ_PEAKS_H
#include "base/base.h"

typedef struct sqz_peaks {
    double f32, s8; /* operations a second, a multiply-add being two */
    double read;    /* bytes a second from memory */
} sqz_peaks;
/* Takes about `seconds` (0: 0.2). */
sqz_status sqz_peaks_measure(sqz_ctx *ctx, double seconds, sqz_peaks *out);
#endif
