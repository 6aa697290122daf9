/* rank.h: area under the ROC curve from scores (Mann-Whitney U with ties counted half; standard
 * error by Hanley & McNeil 1982). Keeps 8 bytes a sample: the exact area needs all scores. */
#ifndef SQZ_RANK_H
#define SQZ_RANK_H
#include "base/base.h"

typedef struct sqz_scored {
    float score, positive;
} sqz_scored;
typedef struct sqz_rank {
    sqz_scored *list;
    size_t n, cap;
} sqz_rank;
sqz_status sqz_rank_add(sqz_ctx *ctx, sqz_rank *r, float score, bool positive);
/* Sorts the list. E_ARG when one of the classes is missing. */
sqz_status sqz_rank_auc(sqz_ctx *ctx, sqz_rank *r, double *out, double *se);
#endif
