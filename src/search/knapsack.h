/* knapsack.h: one choice out of each group so that the losses add up to least while costs keep
 * their limits: the multiple-choice knapsack of mixed precision. */
#ifndef SQZ_KNAPSACK_H
#define SQZ_KNAPSACK_H
#include "base/base.h"

#define SQZ_KNAPSACK_COSTS 3
typedef struct sqz_choice {
    double loss, cost[SQZ_KNAPSACK_COSTS]; /* finite, costs at least 0 */
} sqz_choice;
typedef struct sqz_knapsack {
    uint32_t n_group;
    const uint32_t *first; /* n_group + 1: choices of group i are first[i] .. first[i + 1] - 1 */
    const sqz_choice *choice;
    double limit[SQZ_KNAPSACK_COSTS]; /* on the sum of each cost; INFINITY: none */
    /* filled */
    uint32_t *pick; /* of each group: index into choice */
    double loss;    /* of the picks */
    double cost[SQZ_KNAPSACK_COSTS];
    double bound;  /* no picks that keep the limits have a smaller loss */
    bool feasible; /* false: nothing keeps the limits; picks are the cheapest then */
} sqz_knapsack;
/* Dynamic programming over groups: of the partial choices only those are kept that no other beats
 * in loss and every cost, that can still keep the limits, and whose loss can still (by the
 * Lagrangian bound of what is left) be less than that of the best found. bound == loss but where
 * there were too many of them; then it is the Lagrangian's. Memory in `a`. */
sqz_status sqz_knapsack_solve(sqz_arena *a, sqz_knapsack *k);
#endif
