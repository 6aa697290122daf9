/* requant_fit: see requant_fit.h. */
#include "kernels/requant_fit.h"

void sqz_requant_fit_avx2(size_t n, const int32_t *mult, const int32_t *shift, float *scale,
                          float *offset)
{
    fit(n, mult, shift, scale, offset);
}
