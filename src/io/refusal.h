/* refusal.h: everything in a model file that cannot be run, collected so that one message names it
 * all. */
#ifndef SQZ_REFUSAL_H
#define SQZ_REFUSAL_H
#include "base/base.h"

typedef struct sqz_refusals {
    sqz_ctx *ctx;
    sqz_str *lines; /* one a line */
    uint32_t n;
    sqz_status first; /* status of the first line */
} sqz_refusals;
/* Notes one thing; the import goes on, to find more. */
SQZ_PRINTF(3, 4) void sqz_refuse(sqz_refusals *r, sqz_status s, const char *fmt, ...);
/* "3 things cannot be run: a; b; c": as many as fit, the rest counted. SQZ_OK when there are none.
 */
sqz_status sqz_refuse_all(const sqz_refusals *r);
#endif
