/* knapsack.c: see knapsack.h. The Lagrangian relaxation (Everett 1963; Sinha and Zoltners 1979 for
 * multiple choice) gives the bound: for any prices p >= 0, the sum over groups of
 * min(loss + p . cost) - p . limit is at most the least loss. */
#include "search/knapsack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COSTS     SQZ_KNAPSACK_COSTS
#define KEEP_ONE 20000 /* partial choices of a group, with one limit */
#define KEEP_MANY 1000  /* with more: each is compared with each */
#define SWEEPS    6
#define HALVINGS  60

typedef struct state { /* picks of the first groups */
    double loss, cost[COSTS];
    uint32_t parent, pick;
} state;

typedef struct solver {
    sqz_knapsack *k;
    sqz_arena *a;
    unsigned dim[COSTS], n_dim; /* costs that have a limit */
    double price[COSTS];
    double best;       /* loss of the best picks known */
    uint32_t *trial;   /* picks by prices */
    double *rest_cost; /* of group i on: n_group + 1 rows of least costs */
    double *rest_dual; /* and of least loss + price . cost */
    bool thinned;
} solver;

/* ---- prices ---- */

static void sum(const sqz_knapsack *k, const uint32_t *pick, double *loss, double cost[COSTS])
{
    *loss = 0.0;
    memset(cost, 0, COSTS * sizeof *cost);
    for (uint32_t i = 0; i < k->n_group; i++) {
        *loss += k->choice[pick[i]].loss;
        for (int d = 0; d < COSTS; d++)
            cost[d] += k->choice[pick[i]].cost[d];
    }
}

static bool keeps(const solver *s, const double cost[COSTS])
{
    for (unsigned i = 0; i < s->n_dim; i++)
        if (cost[s->dim[i]] > s->k->limit[s->dim[i]])
            return false;
    return true;
}

static double priced(const solver *s, const sqz_choice *c)
{
    double v = c->loss;
    for (unsigned i = 0; i < s->n_dim; i++)
        v += s->price[s->dim[i]] * c->cost[s->dim[i]];
    return v;
}

/* What is best at these prices; feasible picks may be the best known. Hands back the bound. */
static double buy(solver *s, double cost[COSTS])
{
    sqz_knapsack *k = s->k;
    double dual = 0.0, loss;
    for (uint32_t i = 0; i < k->n_group; i++) {
        uint32_t at = k->first[i];
        for (uint32_t c = at + 1; c < k->first[i + 1]; c++)
            if (priced(s, &k->choice[c]) < priced(s, &k->choice[at]))
                at = c;
        s->trial[i] = at;
        dual += priced(s, &k->choice[at]);
    }
    for (unsigned i = 0; i < s->n_dim; i++)
        dual -= s->price[s->dim[i]] * k->limit[s->dim[i]];
    sum(k, s->trial, &loss, cost);
    if (keeps(s, cost) && loss < s->best) {
        s->best = loss;
        k->feasible = true;
        memcpy(k->pick, s->trial, k->n_group * sizeof *k->pick);
    }
    return dual;
}

typedef struct prices { /* those with the highest bound so far */
    double bound, at[COSTS];
} prices;

/* What is bought at this price of cost d, others as they are, breaks the limit. */
static bool is_over(solver *s, unsigned d, double price, prices *best)
{
    double cost[COSTS];
    s->price[d] = price;
    double dual = buy(s, cost);
    if (dual > best->bound) {
        best->bound = dual;
        memcpy(best->at, s->price, sizeof best->at);
    }
    return cost[d] > s->k->limit[d];
}

/* The least price of cost d at which its limit holds, others as they are. */
static void settle(solver *s, unsigned d, prices *best)
{
    double lo = 0.0, hi = 1e-30;
    if (!is_over(s, d, 0.0, best))
        return;
    for (; is_over(s, d, hi, best); hi *= 64.0) {
        lo = hi;
        if (hi > 1e30)
            return; /* no price is high enough */
    }
    for (int i = 0; i < HALVINGS; i++) {
        double mid = lo > 0.0 ? sqrt(lo) * sqrt(hi) : 0.5 * hi;
        if (is_over(s, d, mid, best))
            lo = mid;
        else
            hi = mid;
    }
    s->price[d] = hi;
}

static void find_prices(solver *s)
{
    prices best = {.bound = -INFINITY};
    double cost[COSTS];
    best.bound = buy(s, cost);
    for (int i = 0; i < (s->n_dim > 1 ? SWEEPS : 1); i++)
        for (unsigned d = 0; d < s->n_dim; d++)
            settle(s, s->dim[d], &best);
    memcpy(s->price, best.at, sizeof best.at);
    s->k->bound = best.bound;
}

/* ---- dynamic programming ---- */

static int by_cost(const void *a, const void *b)
{
    const state *x = a, *y = b;
    for (int d = 0; d < COSTS; d++)
        if (x->cost[d] != y->cost[d])
            return (x->cost[d] > y->cost[d]) - (x->cost[d] < y->cost[d]);
    if (x->loss != y->loss)
        return (x->loss > y->loss) - (x->loss < y->loss);
    if (x->parent != y->parent)
        return (x->parent > y->parent) - (x->parent < y->parent);
    return (x->pick > y->pick) - (x->pick < y->pick);
}

static int by_loss(const void *a, const void *b)
{
    const state *x = a, *y = b;
    if (x->loss != y->loss)
        return (x->loss > y->loss) - (x->loss < y->loss);
    return by_cost(a, b);
}

static bool beaten(const solver *s, const state *by, const state *x)
{
    if (by->loss > x->loss)
        return false;
    for (unsigned i = 0; i < s->n_dim; i++)
        if (by->cost[s->dim[i]] > x->cost[s->dim[i]])
            return false;
    return true;
}

/* What can still become the answer: group i is the first that is open. */
static bool hopeful(const solver *s, const state *x, uint32_t i)
{
    double dual = x->loss + s->rest_dual[i];
    for (unsigned j = 0; j < s->n_dim; j++) {
        unsigned d = s->dim[j];
        double room = s->k->limit[d] - x->cost[d];
        if (s->rest_cost[i * COSTS + d] > room + 1e-9 * fabs(s->k->limit[d]))
            return false;
        dual -= s->price[d] * room;
    }
    return dual <= s->best + 1e-9 * fabs(s->best);
}

/* With one limit, the cost that has it comes first while sorting. */
static void swap_costs(const solver *s, state *x, size_t n)
{
    unsigned d = s->n_dim == 1 ? s->dim[0] : 0;
    for (size_t i = 0; d && i < n; i++) {
        double t = x[i].cost[0];
        x[i].cost[0] = x[i].cost[d];
        x[i].cost[d] = t;
    }
}

/* Keeps what nothing else beats: n states to fewer, in order of costs. */
static size_t prune(solver *s, state *x, size_t n)
{
    size_t kept = 0, most = s->n_dim > 1 ? KEEP_MANY : KEEP_ONE;
    swap_costs(s, x, n);
    qsort(x, n, sizeof *x, by_cost);
    swap_costs(s, x, n);
    for (size_t i = 0; i < n; i++) {
        bool lost = false;
        for (size_t j = kept; j-- > 0 && !lost;) {
            lost = beaten(s, &x[j], &x[i]);
            if (s->n_dim <= 1)
                break; /* losses fall along the list: the last one says it */
        }
        if (!lost)
            x[kept++] = x[i];
    }
    if (kept > most) { /* the least losses are kept, and every so many of the others */
        qsort(x, kept, sizeof *x, by_loss);
        size_t half = most / 2, left = kept - half;
        for (size_t i = 0; i < half; i++)
            x[half + i] = x[half + i * left / half];
        kept = 2 * half;
        s->thinned = true;
    }
    return kept;
}

static sqz_status make_rests(solver *s)
{
    sqz_knapsack *k = s->k;
    s->rest_cost = sqz_arena_alloc(s->a, (k->n_group + 1u) * (size_t)COSTS, sizeof *s->rest_cost);
    s->rest_dual = sqz_arena_alloc(s->a, k->n_group + 1u, sizeof *s->rest_dual);
    if (!s->rest_cost || !s->rest_dual)
        return SQZ_E_NOMEM;
    for (uint32_t i = k->n_group; i-- > 0;) {
        double dual = INFINITY, least[COSTS] = {INFINITY, INFINITY, INFINITY};
        for (uint32_t c = k->first[i]; c < k->first[i + 1]; c++) {
            dual = fmin(dual, priced(s, &k->choice[c]));
            for (int d = 0; d < COSTS; d++)
                least[d] = fmin(least[d], k->choice[c].cost[d]);
        }
        s->rest_dual[i] = s->rest_dual[i + 1] + dual;
        for (int d = 0; d < COSTS; d++)
            s->rest_cost[(size_t)i * COSTS + d] = s->rest_cost[(size_t)(i + 1) * COSTS + d] +
                                                  least[d];
    }
    return SQZ_OK;
}

/* From the states in front of group i to those behind it. */
static sqz_status grow(solver *s, uint32_t i, const state *from, size_t n, state **out,
                       size_t *n_out)
{
    const sqz_knapsack *k = s->k;
    uint32_t choices = k->first[i + 1] - k->first[i];
    state *all = sqz_calloc(s->a->ctx, n * choices + 1, sizeof *all);
    size_t m = 0;
    if (!all)
        return SQZ_E_NOMEM;
    for (size_t j = 0; j < n; j++)
        for (uint32_t c = k->first[i]; c < k->first[i + 1]; c++) {
            state x = from[j];
            x.loss += k->choice[c].loss;
            for (int d = 0; d < COSTS; d++)
                x.cost[d] += k->choice[c].cost[d];
            x.parent = (uint32_t)j;
            x.pick = c;
            if (hopeful(s, &x, i + 1))
                all[m++] = x;
        }
    *n_out = prune(s, all, m);
    *out = sqz_arena_alloc(s->a, *n_out + 1, sizeof **out);
    if (*out)
        memcpy(*out, all, *n_out * sizeof *all);
    sqz_free(s->a->ctx, all);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status programme(solver *s)
{
    sqz_knapsack *k = s->k;
    state **level = sqz_arena_alloc(s->a, k->n_group + 1u, sizeof *level);
    size_t n = 1;
    if (!level || !(level[0] = sqz_arena_alloc(s->a, 1, sizeof **level)))
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < k->n_group && n; i++)
        SQZ_TRY(grow(s, i, level[i], n, &level[i + 1], &n));
    const state *best = NULL;
    for (size_t j = 0; j < n; j++)
        if (!best || level[k->n_group][j].loss < best->loss)
            best = &level[k->n_group][j];
    if (best && (!k->feasible || best->loss < s->best)) {
        k->feasible = true;
        s->best = best->loss;
        for (uint32_t i = k->n_group; i-- > 0;) {
            k->pick[i] = best->pick;
            best = &level[i][best->parent];
        }
    }
    if (!s->thinned && k->feasible)
        k->bound = s->best;
    return SQZ_OK;
}

/* Nothing keeps the limits: the cheapest, costs taken relative to their limits. */
static void cheapest(solver *s)
{
    sqz_knapsack *k = s->k;
    for (uint32_t i = 0; i < k->n_group; i++) {
        double least = INFINITY;
        for (uint32_t c = k->first[i]; c < k->first[i + 1]; c++) {
            double v = 0.0;
            for (unsigned j = 0; j < s->n_dim; j++)
                v += k->choice[c].cost[s->dim[j]] / fmax(k->limit[s->dim[j]], 1e-300);
            if (v < least) {
                least = v;
                k->pick[i] = c;
            }
        }
    }
}

sqz_status sqz_knapsack_solve(sqz_arena *a, sqz_knapsack *k)
{
    solver s = {.k = k, .a = a, .best = INFINITY};
    k->feasible = false;
    k->bound = -INFINITY;
    k->pick = sqz_arena_alloc(a, k->n_group + 1u, sizeof *k->pick);
    s.trial = sqz_arena_alloc(a, k->n_group + 1u, sizeof *s.trial);
    if (!k->pick || !s.trial)
        return SQZ_E_NOMEM;
    for (unsigned d = 0; d < COSTS; d++)
        if (isfinite(k->limit[d]))
            s.dim[s.n_dim++] = d;
    find_prices(&s);
    SQZ_TRY(make_rests(&s));
    SQZ_TRY(programme(&s));
    if (!k->feasible)
        cheapest(&s);
    sum(k, k->pick, &k->loss, k->cost);
    k->bound = fmin(k->bound, k->loss);
    return SQZ_OK;
}
