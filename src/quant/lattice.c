/* lattice.c: the integer point next to a center under a quadratic form, by depth-first search with
 * bounds (Schnorr and Euchner 1994, "Lattice basis reduction"; Agrell et al. 2002, "Closest point
 * search in lattices"). For rows of few terms, such as those of depthwise convolutions.
 *
 * cost = sum over i of (l_ii (x_i - c_i) + sum over j < i of l_ij (x_j - c_j))^2: with x_0 .. x_i-1
 * fixed, the best x_i is known, and others are tried in order of their distance. */
#include "quant/refine.h"
#include <math.h>

typedef struct level { /* of the search: x_i */
    double best;       /* center given x_0 .. x_i-1 */
    double before;     /* cost of these */
    int x, step;       /* tried now; distance of the next one, with its sign */
} level;

static double shift(const sqz_lattice *p, const int *x, size_t i)
{
    double s = 0;
    for (size_t j = 0; j < i; j++)
        s += p->l[i * p->n + j] * ((double)x[j] - p->center[j]);
    return s;
}

static double cost_of(const sqz_lattice *p, const int *x)
{
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        const double t = p->l[i * p->n + i] * ((double)x[i] - p->center[i]) + shift(p, x, i);
        sum += t * t;
    }
    return sum;
}

/* The nearest code first. */
static void enter(const sqz_lattice *p, level *v, const int *x, size_t i)
{
    v->best = p->center[i] - shift(p, x, i) / p->l[i * p->n + i];
    const double near = nearbyint(SQZ_MAX(SQZ_MIN(v->best, (double)p->hi), (double)p->lo));
    v->x = (int)near;
    v->step = v->best >= near ? 1 : -1;
}

/* The next code by distance: to and fro around the center; false: none is left. */
static bool next(const sqz_lattice *p, level *v)
{
    for (int tries = 0; tries < 2; tries++) {
        const int x = v->x + v->step;
        v->step = v->step > 0 ? -v->step - 1 : -v->step + 1;
        if (x >= p->lo && x <= p->hi) {
            v->x = x;
            return true;
        }
        v->x = x; /* outside: go on from there */
    }
    return false;
}

bool sqz_lattice_search(const sqz_lattice *p, int *x)
{
    level v[SQZ_LATTICE_MAX];
    int at[SQZ_LATTICE_MAX] = {0};
    const size_t n = p->n;
    double least = cost_of(p, x) * (1 - 1e-12);
    size_t i = 0, nodes = 0;
    v[0].before = 0;
    enter(p, &v[0], at, 0);
    for (;;) {
        const double t = p->l[i * n + i] * ((double)v[i].x - v[i].best), cost = v[i].before + t * t;
        if (nodes++ >= p->nodes)
            return false;
        if (cost < least) {
            at[i] = v[i].x;
            if (i + 1 < n) { /* down */
                i++;
                v[i].before = cost;
                enter(p, &v[i], at, i);
                continue;
            }
            least = cost;
            for (size_t k = 0; k < n; k++)
                x[k] = at[k];
        } else { /* the others here are farther: up */
            if (i == 0)
                return true;
            i--;
        }
        while (!next(p, &v[i])) {
            if (i == 0)
                return true;
            i--;
        }
    }
}
