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

/* The form in float of a requantization that may have one; to be freed by fit_free. */
static inline void fit_make(sqz_requant *rq, size_t room)
{
    sqz_kernels k;
    if (rq->zero != -128 || !rq->small)
        return;
    float *at = block(2 * room * sizeof *at);
    memset(at, 0, 2 * room * sizeof *at);
    sqz_kernels_select(&k, SQZ_ISA_scalar);
    k.requant_fit(rq->n, rq->mult, rq->shift, at, at + room);
    rq->scale = at;
    rq->offset = at + room;
}
static inline void fit_free(sqz_requant *rq) { free((void *)(uintptr_t)rq->scale); }
#endif
