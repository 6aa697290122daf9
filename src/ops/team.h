/* team.h: processes that train together, each on its part of every batch. They compute the same as
 * one of them would on the whole batch, up to rounding. */
#ifndef SQZ_TEAM_H
#define SQZ_TEAM_H
#include "base/base.h"

typedef struct sqz_team {
    int32_t rank, size;
    /* v[i] becomes the sum over all members, in the order of their ranks: the same bytes for each.
     * All of them call it, with the same n. */
    sqz_status (*sum)(void *user, double *v, size_t n);
    void *user;
} sqz_team;
#endif
