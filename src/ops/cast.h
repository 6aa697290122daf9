/* cast.h: numbers of one type as numbers of another, in runs. */
#ifndef SQZ_CAST_H
#define SQZ_CAST_H
#include "ir/graph.h"

/* Elements begin .. end of x, converted, into y; begin is even (4-bit numbers lie in pairs). Real
 * numbers become integers by truncation; integers that do not fit wrap around; NaN becomes 0;
 * anything but 0 becomes true. `clamp`: reals outside of 4 bits become the nearest of them. */
void sqz_cast_range(const sqz_tensor *x, sqz_tensor *y, size_t begin, size_t end, bool clamp);
#endif
