/* fold_f32, 8 at a time. */
#include "kernels/vec_avx2.h"

#include "kernels/fold_f32.h"

void sqz_fold_f32_avx2(sqz_fold_kind kind, size_t rows, size_t n, const float *x, double *y)
{
    fold_f32(kind, rows, n, x, y);
}
