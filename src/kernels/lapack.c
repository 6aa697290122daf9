/* lapack.c: the only file that calls LAPACK. It is column-major: a row-major symmetric matrix is
 * the same there, our lower triangle is its upper one, and our rows are its columns. */
#include "kernels/lapack.h"

extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
extern void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a,
                    const int *lda, double *b, const int *ldb, int *info, size_t);

bool sqz_cholesky(double *a, size_t n)
{
    const int order = (int)n;
    int info = 0;
    if (n)
        dpotrf_("U", &order, a, &order, &info, 1);
    return info == 0;
}

void sqz_cholesky_solve(const double *c, size_t n, double *b, size_t count)
{
    const int order = (int)n, columns = (int)count;
    int info = 0; /* only bad arguments can fail */
    if (n && count)
        dpotrs_("U", &order, &columns, c, &order, b, &order, &info, 1);
}
