/* fold_f32, 16 at a time. */
#include "kernels/vec_avx512.h"

#include "kernels/fold_f32.h"

void sqz_fold_f32_avx512vnni(sqz_fold_kind kind, size_t rows, size_t n, const float *x, double *y)
{
    fold_f32(kind, rows, n, x, y);
}
