/* place.h: where memory that is needed for a while lies: intervals of time to offsets. */
#ifndef SQZ_PLACE_H
#define SQZ_PLACE_H
#include "base/base.h"

typedef struct sqz_place {
    uint32_t begin, end;  /* steps, both included */
    size_t bytes, offset; /* offset to be set; a multiple of SQZ_ALIGN */
} sqz_place;
/* Largest first, each at the lowest offset that is free while it is needed (Pisarchyk & Lee 2020).
 * *bytes: of all together. */
sqz_status sqz_place_all(sqz_ctx *ctx, sqz_place *p, size_t n, size_t *bytes);
#endif
