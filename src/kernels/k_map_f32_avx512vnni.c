/* map_f32, 16 at a time. */
#include "kernels/vec_avx512.h"

#include "kernels/map_f32.h"

void sqz_map_f32_avx512vnni(sqz_map_kind kind, const float *p, const float *x, float *y, size_t n)
{
    map_f32(kind, p, x, y, n);
}
