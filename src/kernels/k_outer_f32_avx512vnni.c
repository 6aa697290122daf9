/* outer_f32, 16 outputs at a time. */
#include "kernels/vec_avx512.h"

#define VECTORS 4
#define MOST_1  24
#define MOST_2  12
#define MOST_3  8
#define MOST_4  6
#include "kernels/outer_f32.h"

void sqz_outer_f32_avx512vnni(const sqz_outer *o) { outer_f32(o); }
