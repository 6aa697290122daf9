/* lapack.h: dense linear algebra in double, by LAPACK. */
#ifndef SQZ_LAPACK_H
#define SQZ_LAPACK_H
#include "base/base.h"

/* a (n,n), symmetric, row-major: becomes lower triangular c with a = c c^T; above the diagonal
 * stays what was there. false: a is not positive definite. n fits int. */
bool sqz_cholesky(double *a, size_t n);
/* Rows x of b (count,n) with a x = b by the factor c of a; in place. Both fit int. */
void sqz_cholesky_solve(const double *c, size_t n, double *b, size_t count);
#endif
