/* outer_f32, 8 outputs at a time. */
#include "kernels/vec_avx2.h"

#define VECTORS 2
#define MOST_1  12
#define MOST_2  6
#include "kernels/outer_f32.h"

void sqz_outer_f32_avx2(const sqz_outer *o) { outer_f32(o); }
