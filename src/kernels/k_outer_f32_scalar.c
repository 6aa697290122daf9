/* outer_f32, one output at a time. */
#include "kernels/vec_scalar.h"

#define VECTORS 1
#define MOST_1  4
#include "kernels/outer_f32.h"

void sqz_outer_f32_scalar(const sqz_outer *o) { outer_f32(o); }
