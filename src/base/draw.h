/* draw.h: further random numbers (rng.c), for who draws many things with one seed. */
#ifndef SQZ_DRAW_H
#define SQZ_DRAW_H
#include "base/base.h"

/* Seed of a stream of its own for each (a, b, c). */
uint64_t sqz_rng_key(uint64_t seed, uint64_t a, uint64_t b, uint64_t c);
double sqz_rng_beta(sqz_rng *r, double a); /* of the symmetric beta distribution, a > 0 */
#endif
