/* map_f32, 8 at a time. */
#include "kernels/vec_avx2.h"

#include "kernels/map_f32.h"

void sqz_map_f32_avx2(sqz_map_kind kind, const float *p, const float *x, float *y, size_t n)
{
    map_f32(kind, p, x, y, n);
}
