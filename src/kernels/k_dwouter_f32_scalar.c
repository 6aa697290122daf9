/* dwouter_f32, one channel at a time. */
#include "kernels/vec_scalar.h"

#include "kernels/dwouter_f32.h"

void sqz_dwouter_f32_scalar(const sqz_windows *x, size_t n_seg, size_t len, size_t n,
                            const float *g, float *sum)
{
    dwouter_f32(x, n_seg, len, n, g, sum);
}
