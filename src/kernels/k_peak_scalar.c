/* peak: multiply-adds that depend on nothing, as many as the instruction set has: what a machine
 * can do at best. Without wide registers this is what the compiler makes of plain C. */
#include "kernels/kernels.h"

uint64_t sqz_peak_scalar(int integer, size_t rounds, float *sink)
{
    float f[32], a = sink[0], b = sink[1];
    int32_t s[32], x = (int32_t)sink[2];
    for (int i = 0; i < 32; i++) {
        f[i] = (float)i;
        s[i] = i;
    }
    for (size_t r = 0; r < rounds; r++)
        if (integer)
            for (int i = 0; i < 32; i++)
                s[i] = (int32_t)((uint32_t)s[i] * (uint32_t)x + (uint32_t)i);
        else
            for (int i = 0; i < 32; i++)
                f[i] = f[i] * a + b;
    for (int i = 0; i < 32; i++)
        sink[3] += f[i] + (float)s[i];
    return (uint64_t)rounds * 32 * 2;
}
