/* kernel_test.h: what the tests of kernels share. */
#ifndef SQZ_KERNEL_TEST_H
#define SQZ_KERNEL_TEST_H
#include "kernels/kernels.h"
#include "sqz_test.h"

/* A heap block of exactly that size, so that the address sanitizer sees what lies outside of it;
 * never NULL. */
static inline void *block(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        abort();
    return p;
}

/* The kernels under each instruction set that this processor has, the scalar ones first. */
static inline size_t implementations(sqz_kernels out[SQZ_N_ISA])
{
    size_t n = 0;
    for (int isa = 0; isa < SQZ_N_ISA; isa++)
        if (sqz_isa_supported((sqz_isa)isa))
            sqz_kernels_select(&out[n++], (sqz_isa)isa);
    return n;
}
#endif
