/* kernels.c: which implementation runs. */
#include "kernels/kernels.h"
#include "base/base.h"
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#    include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#    include <sys/auxv.h>
#endif

static const char *const names[SQZ_N_ISA] = {"scalar", "avx2", "avxvnni", "avx512vnni", "neondot"};
const char *sqz_isa_name(sqz_isa isa) { return names[isa]; }

int sqz_isa_find(const char *name)
{
    for (int i = 0; i < SQZ_N_ISA; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

#if defined(__x86_64__)
/* Leaf 7, subleaf 1, EAX bit 4; __builtin_cpu_supports of gcc 12 does not know it. */
static int has_avxvnni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 16);
}
#endif

int sqz_isa_supported(sqz_isa isa)
{
    switch (isa) {
    case SQZ_ISA_scalar: return 1;
#if defined(__x86_64__)
    case SQZ_ISA_avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case SQZ_ISA_avxvnni: return sqz_isa_supported(SQZ_ISA_avx2) && has_avxvnni();
    case SQZ_ISA_avx512vnni:
        return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#elif defined(__aarch64__) && defined(__linux__)
    case SQZ_ISA_neondot: return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
    case SQZ_ISA_neondot: return 1;
#endif
    default: return 0;
    }
}

/* vpdpbusd multiplies unsigned by signed bytes. */
static bool wants_unsigned(sqz_isa isa)
{
    return isa == SQZ_ISA_avxvnni || isa == SQZ_ISA_avx512vnni;
}

void sqz_kernels_select(sqz_kernels *k, sqz_isa cap)
{
    k->isa = cap;
    k->s8_flip = 0;
#define SQZ_KERNEL(kernel, isa)                                                                    \
    if (SQZ_ISA_##isa <= cap && sqz_isa_supported(SQZ_ISA_##isa)) {                                \
        k->kernel = sqz_##kernel##_##isa;                                                          \
        if (strcmp(#kernel, "gemm_s8") == 0)                                                       \
            k->s8_flip = wants_unsigned(SQZ_ISA_##isa) ? 0x80 : 0;                                 \
    }
#include "sqz_kernel_list.inc" /* in increasing order of isa: the last one that fits wins */
#undef SQZ_KERNEL
}

sqz_status sqz_kernels_create(sqz_ctx *ctx, const char *cpu)
{
    if (!cpu)
        cpu = getenv("SQZ_CPU"); /* docs/environment.md */
    int cap = cpu && *cpu ? sqz_isa_find(cpu) : SQZ_N_ISA - 1;
    if (cap < 0)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "SQZ_CPU: no instruction set '%s' (scalar, avx2, avxvnni, avx512vnni, "
                        "neondot)",
                        cpu);
    ctx->kernels = sqz_calloc(ctx, 1, sizeof *ctx->kernels);
    if (!ctx->kernels)
        return SQZ_E_NOMEM;
    sqz_kernels_select(ctx->kernels, (sqz_isa)cap);
    return SQZ_OK;
}
