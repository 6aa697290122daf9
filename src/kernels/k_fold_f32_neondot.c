/* fold_f32, 4 at a time. */
#include "kernels/vec_neon.h"

#include "kernels/fold_f32.h"

void sqz_fold_f32_neondot(sqz_fold_kind kind, size_t rows, size_t n, const float *x, double *y)
{
    fold_f32(kind, rows, n, x, y);
}
